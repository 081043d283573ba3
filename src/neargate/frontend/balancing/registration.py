"""Which addresses are targets of a group: registered, deregistered, forgotten. Shelf in, change out. Pure.

A target that nothing leads to is forgotten at once when it is deregistered; another drains until its delay is over.
Invariants: a target is an address of its group's VPC, in a subnet of it, or a private address beyond; one in the VPC
has its subnet's zone.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from ..network.records.objects import Subnet, Vpc
from ..regional.shelves import Change, Shelf
from . import attributes
from .errors import InvalidTarget, TooManyTargets, ValidationError
from .limits import AWS_LIMITS, Limits
from .lookup import find_balancer, required_group, users_of
from .objects import Target, TargetGroup
from .room import check_groups, registered

ALL = "all"
DELAY = "deregistration_delay.timeout_seconds"
_BEYOND = tuple(IPv4Network(one) for one in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))


class WantedTarget(Struct, frozen=True, kw_only=True):
    """As a request says it. None: nothing."""

    ip: str
    port: int | None = None
    zone: str | None = None


def register(
    shelf: Shelf, arn: str, given: Sequence[WantedTarget], now: float, limits: Limits = AWS_LIMITS
) -> Change[None]:
    """Who is registered stays as it is; who drains is one again. Raises TargetGroupNotFound, InvalidTarget,
    TooManyTargets, ValidationError.
    """
    group = required_group(shelf, arn)
    if len(given) > limits.targets_per_group:
        raise TooManyTargets.of_group(arn)
    targets = {one.key: one for one in group.targets}
    for wanted in given:
        new = _target(shelf, group, wanted, now)
        held = targets.get(new.key)
        if held is None or held.draining_since is not None:
            targets[new.key] = new
    after = replace(group, targets=tuple(targets.values()))
    if len(registered(after)) > len(registered(group)):  # a limit that was lowered takes nothing away
        if len(registered(after)) > limits.targets_per_group:
            raise TooManyTargets.of_group(arn)
        for user in users_of(shelf, arn):
            balancer = find_balancer(shelf, user)
            if balancer is not None:
                check_groups(shelf, balancer, [after], limits)
    return _changed(group, targets.values())


def deregister(
    shelf: Shelf, arn: str, given: Iterable[WantedTarget], now: float, limits: Limits = AWS_LIMITS
) -> Change[None]:
    """What is no target is none already. As many drain at a time as may be registered: of more, those that have drained
    longest are forgotten. Raises TargetGroupNotFound.
    """
    group = required_group(shelf, arn)
    leaving = {key_of(group, one) for one in given}
    stays = draining_s(group) > 0 and bool(users_of(shelf, arn))
    left = list(_left(group.targets, leaving, now, stays=stays))
    draining = [one for one in left if one.draining_since is not None]
    if len(draining) > limits.targets_per_group:
        longest = sorted(draining, key=lambda one: one.draining_since or 0.0)[: -limits.targets_per_group or None]
        gone = {one.key for one in longest}
        left = [one for one in left if one.key not in gone]
    return _changed(group, left)


def forget(shelf: Shelf, arn: str, keys: Iterable[str]) -> Change[None]:
    """Targets that have drained. Those that were registered again meanwhile stay."""
    group, gone = shelf.find(TargetGroup, arn), set(keys)
    if group is None:
        return Change(result=None)
    return _changed(group, (one for one in group.targets if one.draining_since is None or one.key not in gone))


def key_of(group: TargetGroup, wanted: WantedTarget) -> str:
    """Without a port: the group's."""
    return f"{wanted.ip}:{wanted.port or group.port}"


def draining_s(group: TargetGroup) -> int:
    return int(attributes.of_group(group)[DELAY])


def _left(targets: Iterable[Target], leaving: set[str], now: float, *, stays: bool) -> Iterator[Target]:
    for one in targets:
        if one.key not in leaving or (stays and one.draining_since is not None):
            yield one
        elif stays:
            yield replace(one, draining_since=now)


def _target(shelf: Shelf, group: TargetGroup, wanted: WantedTarget, now: float) -> Target:
    try:
        address = IPv4Address(wanted.ip)
    except AddressValueError:
        raise ValidationError(f"The IP address '{wanted.ip[:255]}' is not a valid IPv4 address") from None
    return Target(
        ip=str(address), port=wanted.port or group.port, zone=_zone(shelf, group, wanted, address), registered_at=now
    )


def _zone(shelf: Shelf, group: TargetGroup, wanted: WantedTarget, address: IPv4Address) -> str:
    """Raises InvalidTarget, ValidationError."""
    vpc = shelf.find(Vpc, group.vpc_id)
    if vpc is not None and any(address in IPv4Network(block.cidr) for block in vpc.blocks):
        subnets = (one for one in shelf.all(Subnet) if one.vpc_id == group.vpc_id)
        subnet = next((one for one in subnets if address in IPv4Network(one.cidr)), None)
        if subnet is None:
            raise InvalidTarget(f"The IP address '{address}' is not in a subnet of the VPC '{group.vpc_id}'")
        if wanted.zone == ALL:
            return ALL
        if wanted.zone not in (None, subnet.zone):
            raise InvalidTarget(f"The IP address '{address}' is not in the Availability Zone '{wanted.zone[:255]}'")
        return subnet.zone
    if not any(address in one for one in _BEYOND):
        raise InvalidTarget(
            f"The IP address '{address}' is neither in the VPC '{group.vpc_id}' nor in a private range "
            f"({', '.join(map(str, _BEYOND))})"
        )
    if wanted.zone != ALL:
        raise ValidationError(
            f"You must specify the Availability Zone '{ALL}' for the IP address '{address}': "
            f"it is outside the VPC '{group.vpc_id}'"
        )
    return ALL


def _changed(group: TargetGroup, targets: Iterable[Target]) -> Change[None]:
    after = replace(group, targets=tuple(targets))
    return Change(result=None, put=(after,) if after != group else ())
