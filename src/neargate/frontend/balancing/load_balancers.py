"""What a call makes of load balancers: shelf in, change out. Pure.

Owns which subnets, security groups and attributes one may have; its nodes' ways are in nodes.py. Invariants: a name is
one load balancer's of the account; an application load balancer stands in two zones or more and has a security group;
listeners and rules go with their load balancer.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..network.filters.groups import named_group
from ..network.nodes import balancer_nodes as nodes
from ..network.records.balancers import balancers
from ..network.records.objects import Subnet, Tags
from ..network.records.security_groups import SecurityGroupView
from ..regional.shelves import Change, Kept, Shelf
from . import arns, attributes
from .checks import check_balancer_name
from .errors import (
    DuplicateLoadBalancerName,
    InvalidConfigurationRequest,
    InvalidSecurityGroup,
    OperationNotPermitted,
    TooManyLoadBalancers,
    ValidationError,
)
from .limits import GROUPS_MAX
from .lookup import find_balancer, parts_of, required_balancer
from .objects import LoadBalancer
from .zones import NOT_ASKED, Free, Mapped, Standing, check_address_type, kept_and_new, subnets_of

DELETION_PROTECTION = "deletion_protection.enabled"


class Wanted(Struct, frozen=True, kw_only=True):
    """CreateLoadBalancer's parameters. `groups` None: the request names none."""

    label: str
    lb_type: str
    scheme: str
    subnets: tuple[Mapped, ...]
    groups: tuple[str, ...] | None
    address_type: str
    tags: Tags = ()

    @property
    def standing(self) -> Standing:
        return Standing(lb_type=self.lb_type, scheme=self.scheme, address_type=self.address_type)


def check(wanted: Wanted) -> None:
    """What is wrong whatever there is. Raises ValidationError, InvalidConfigurationRequest."""
    check_balancer_name(wanted.label)
    if wanted.lb_type not in arns.SHORT:
        raise InvalidConfigurationRequest(f"Neargate does not support load balancers of type '{wanted.lb_type}'")


def create(
    shelf: Shelf,
    wanted: Wanted,
    region: str,
    number: str,
    now: float,
    balancers_max: float,
    bits: nodes.Bits,
    free: Free = NOT_ASKED,
) -> Change[LoadBalancer]:
    """One of the same name and settings: that one. `number`: 16 hex digits, the end of its ARN. Raises as `check`, and
    DuplicateLoadBalancerName, TooManyLoadBalancers, InvalidSecurityGroup and what `zones` raises.
    """
    check(wanted)
    same = next((one for one in balancers(shelf) if one.label == wanted.label), None)
    if same is not None:
        if not _is_as(shelf, same, wanted):
            raise DuplicateLoadBalancerName(wanted.label)
        return Change(result=same)
    _, new = kept_and_new(shelf, wanted.standing, (), wanted.subnets, bits, free=free)
    vpc_id = _vpc_of(shelf, wanted)
    groups = _groups(shelf, vpc_id, wanted)
    if sum(one.lb_type == wanted.lb_type for one in balancers(shelf)) >= balancers_max:
        raise TooManyLoadBalancers
    made = LoadBalancer(
        account=shelf.account,
        name=arns.balancer_arn(region, shelf.account, wanted.lb_type, wanted.label, number),
        label=wanted.label,
        number=number,
        lb_type=wanted.lb_type,
        scheme=wanted.scheme,
        vpc_id=vpc_id,
        created_at=now,
        dns_name=arns.dns_name(region, wanted.lb_type, wanted.scheme, wanted.label, number),
        nodes=new,
        groups=groups,
        address_type=wanted.address_type,
        tags=wanted.tags,
    )
    return Change(result=made, put=(made,))


def delete(shelf: Shelf, arn: str) -> Change[tuple[Kept, ...]]:
    """Listeners and rules go with it; what went is the result. One that is not there is gone already. Raises
    OperationNotPermitted.
    """
    balancer = find_balancer(shelf, arn)
    if balancer is None:
        return Change(result=())
    if attributes.of_balancer(balancer)[DELETION_PROTECTION] == "true":
        raise OperationNotPermitted(f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled")
    parts = parts_of(shelf, arn)
    left = nodes.deleting(balancer)
    if left is None:
        return Change(result=(balancer, *parts), drop=(balancer, *parts))
    return Change(result=(balancer, *parts), put=(left,), drop=parts)


def set_subnets(
    shelf: Shelf,
    arn: str,
    given: Sequence[Mapped],
    address_type: str | None,
    bits: nodes.Bits,
    free: Free = NOT_ASKED,
) -> Change[LoadBalancer]:
    """Raises LoadBalancerNotFound, and as `create` of subnets."""
    balancer = required_balancer(shelf, arn)
    kind = balancer.address_type if address_type is None else address_type
    standing = Standing(lb_type=balancer.lb_type, scheme=balancer.scheme, address_type=kind)
    kept, new = kept_and_new(shelf, standing, nodes.wanted(balancer), given, bits, balancer.vpc_id, free)
    changed = replace(nodes.with_nodes(balancer, kept, new), address_type=kind)
    return _changed(balancer, changed)


def set_groups(shelf: Shelf, arn: str, given: Sequence[str]) -> Change[LoadBalancer]:
    """Raises LoadBalancerNotFound, InvalidConfigurationRequest, InvalidSecurityGroup, ValidationError."""
    balancer = required_balancer(shelf, arn)
    if balancer.lb_type == "network" and not balancer.groups and given:
        raise InvalidConfigurationRequest(
            "You cannot add security groups to a Network Load Balancer that was created without security groups"
        )
    if not given and (balancer.lb_type == "application" or balancer.groups):
        raise ValidationError("At least one security group must be specified")
    return _changed(balancer, replace(balancer, groups=_checked_groups(shelf, balancer.vpc_id, given)))


def set_address_type(shelf: Shelf, arn: str, address_type: str) -> Change[LoadBalancer]:
    """Raises LoadBalancerNotFound, InvalidSubnet, InvalidConfigurationRequest."""
    balancer = required_balancer(shelf, arn)
    standing = Standing(lb_type=balancer.lb_type, scheme=balancer.scheme, address_type=address_type)
    subnets = (shelf.find(Subnet, one.subnet_id) for one in nodes.wanted(balancer))
    check_address_type(standing, (one for one in subnets if one is not None))
    return _changed(balancer, replace(balancer, address_type=address_type))


def set_attributes(shelf: Shelf, arn: str, given: Iterable[tuple[str, str]]) -> Change[LoadBalancer]:
    """Raises LoadBalancerNotFound, ValidationError, InvalidConfigurationRequest."""
    balancer = required_balancer(shelf, arn)
    return _changed(balancer, replace(balancer, attributes=attributes.balancer_changed(balancer, given)))


def _changed(before: LoadBalancer, after: LoadBalancer) -> Change[LoadBalancer]:
    return Change(result=after, put=(after,) if after != before else ())


def _is_as(shelf: Shelf, made: LoadBalancer, wanted: Wanted) -> bool:
    """Tags and the order of subnets and groups make no difference."""
    asked = {one.subnet_id: one for one in wanted.subnets}
    held = {one.subnet_id: one for one in nodes.standing(made)}
    if asked.keys() != held.keys() or any(
        (one.allocation_id, one.private_ip) != (held[subnet].allocation_id, held[subnet].wanted_private_ip)
        for subnet, one in asked.items()
    ):
        return False
    groups = wanted.groups or _default_groups(shelf, made.vpc_id, wanted.lb_type)
    same = (made.lb_type, made.scheme, made.address_type) == (wanted.lb_type, wanted.scheme, wanted.address_type)
    return same and set(groups) == set(made.groups)


def _vpc_of(shelf: Shelf, wanted: Wanted) -> str:
    return subnets_of(shelf, wanted.standing, wanted.subnets)[0].vpc_id


def _groups(shelf: Shelf, vpc_id: str, wanted: Wanted) -> tuple[str, ...]:
    if not wanted.groups:
        return _default_groups(shelf, vpc_id, wanted.lb_type)
    return _checked_groups(shelf, vpc_id, wanted.groups)


def _default_groups(shelf: Shelf, vpc_id: str, lb_type: str) -> tuple[str, ...]:
    """A network load balancer has none unless they are named."""
    group = named_group(shelf, vpc_id, "default") if lb_type == "application" else None
    return () if group is None else (group.name,)


def _checked_groups(shelf: Shelf, vpc_id: str, given: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(given))
    if len(found) > GROUPS_MAX:
        raise InvalidConfigurationRequest("The maximum number of security groups per load balancer has been reached.")
    for group_id in found:
        group = shelf.find(SecurityGroupView, group_id)
        if group is None:
            raise InvalidSecurityGroup(group_id)
        if group.vpc_id != vpc_id:
            raise InvalidConfigurationRequest(f"Security group '{group_id}' does not belong to VPC '{vpc_id}'")
    return found
