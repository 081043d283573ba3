"""Which addresses are targets of a group: registered, deregistered, forgotten. Shelf in, change out. Pure.

A target that nothing leads to is forgotten at once when it is deregistered; another drains until its delay is over.
Invariants: a target is an address of its group's VPC, in a subnet of it, or a private address beyond; one in the VPC
has its subnet's zone.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from ..network.objects import Subnet, Vpc
from ..regional.shelves import Change, Shelf
from . import attributes
from .errors import InvalidTarget, TooManyTargets, ValidationError
from .limits import TARGETS_PER_GROUP
from .lookup import required_group, users_of
from .objects import Target, TargetGroup

ALL = "all"
DELAY = "deregistration_delay.timeout_seconds"
_BEYOND = tuple(IPv4Network(one) for one in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))


class WantedTarget(Struct, frozen=True, kw_only=True):
    """As a request says it. None: nothing."""

    ip: str
    port: int | None = None
    zone: str | None = None


def register(shelf: Shelf, arn: str, given: Sequence[WantedTarget], now: float) -> Change[None]:
    """Who is registered stays as it is; who drains is one again. Raises TargetGroupNotFound, InvalidTarget,
    TooManyTargets, ValidationError.
    """
    group = required_group(shelf, arn)
    if len(given) > TARGETS_PER_GROUP:
        raise TooManyTargets(arn)
    targets = {one.key: one for one in group.targets}
    for wanted in given:
        new = _target(shelf, group, wanted, now)
        held = targets.get(new.key)
        if held is None or held.draining_since is not None:
            targets[new.key] = new
    if len(targets) > TARGETS_PER_GROUP:
        raise TooManyTargets(arn)
    return _changed(group, targets.values())


def deregister(shelf: Shelf, arn: str, given: Iterable[WantedTarget], now: float) -> Change[None]:
    """What is no target is none already. Raises TargetGroupNotFound."""
    group = required_group(shelf, arn)
    leaving = {key_of(group, one) for one in given}
    stays = draining_s(group) > 0 and bool(users_of(shelf, arn))
    return _changed(group, _left(group.targets, leaving, now, stays=stays))


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
