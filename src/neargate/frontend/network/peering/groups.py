"""Rules that refer to groups of a peered VPC: which may be made, and which have become stale. Pure.

Owns what a rule remembers of its peer: the VPC, and the peering connection over which it holds. Invariants: such a rule
is made only while that connection is active; it lets nobody in or out as soon as the connection has ended or the group
is gone, and another connection between the same VPCs does not revive it.
"""

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from ...regional.shelves import Shelf
from ..errors.common import GroupNotFound, InvalidParameterValue
from ..errors.routing import PeeringNotFound
from ..records.objects import Peering
from ..records.security_groups import RuleSpec, SecurityGroupView
from .peerings import ACTIVE, DELETED, status_at

DIFFERENT_NETWORKS = "You have specified two resources that belong to different networks."


class Reference(Struct, frozen=True, kw_only=True):
    """A row of DescribeSecurityGroupReferences: rules of `vpc_id` refer to the group over `peering_id`."""

    group_id: str
    vpc_id: str
    peering_id: str


def with_peer(shelf: Shelf, group: SecurityGroupView, spec: RuleSpec) -> RuleSpec:
    """The rule as it is kept: of a peered VPC's group with that VPC and the connection, of any other peer without.

    What the request says of VPC and connection must be so. Raises GroupNotFound, PeeringNotFound,
    InvalidParameterValue.
    """
    if spec.peer_group is None:
        return spec
    peer = shelf.find(SecurityGroupView, spec.peer_group)
    if peer is None:
        raise GroupNotFound.of_id(spec.peer_group)
    if spec.peer_vpc not in (None, peer.vpc_id):
        raise InvalidParameterValue(f"The security group '{peer.name}' does not belong to VPC '{spec.peer_vpc[:255]}'")
    if peer.vpc_id == group.vpc_id:
        if spec.peering is not None:
            raise InvalidParameterValue(f"The security group '{peer.name}' is in the same VPC: no peering leads to it.")
        return replace(spec, peer_vpc=None)
    if spec.peering is not None and shelf.find(Peering, spec.peering) is None:
        raise PeeringNotFound([spec.peering[:255]])
    found = active_between(shelf, group.vpc_id, peer.vpc_id)
    if found is None or spec.peering not in (None, found.name):
        raise GroupNotFound(DIFFERENT_NETWORKS)
    return replace(spec, peer_vpc=peer.vpc_id, peering=found.name)


def active_between(shelf: Shelf, vpc_id: str, other: str) -> Peering | None:
    ends = {vpc_id, other}
    peerings = (one for one in shelf.all(Peering) if {one.requester_vpc, one.accepter_vpc} == ends)
    return next((one for one in peerings if one.status == ACTIVE), None)


def peering_status(shelf: Shelf, peering_id: str, now: float) -> str:
    """One that is not even shown any more was deleted."""
    found = shelf.find(Peering, peering_id)
    return DELETED if found is None else status_at(found, now)


def is_stale(shelf: Shelf, spec: RuleSpec) -> bool:
    if spec.peering is None:
        return False
    found = shelf.find(Peering, spec.peering)
    is_active = found is not None and found.status == ACTIVE
    return not is_active or shelf.find(SecurityGroupView, spec.peer_group or "") is None


def stale_groups(shelf: Shelf, vpc_id: str) -> Iterator[tuple[SecurityGroupView, list[RuleSpec]]]:
    """The groups of a VPC that have stale rules, with these."""
    for group in shelf.all(SecurityGroupView):
        if group.vpc_id == vpc_id:
            stale = [rule.spec for rule in group.rules if is_stale(shelf, rule.spec)]
            if stale:
                yield group, stale


def references(shelf: Shelf, group_ids: list[str]) -> list[Reference]:
    """By whom the groups are referred to from other VPCs, once each; a stale rule refers to nobody any more."""
    wanted = frozenset(group_ids)
    found = {
        (rule.spec.peer_group, group.vpc_id, rule.spec.peering): None
        for group in shelf.all(SecurityGroupView)
        for rule in group.rules
        if rule.spec.peering is not None and rule.spec.peer_group in wanted and not is_stale(shelf, rule.spec)
    }
    return [
        Reference(group_id=group_id, vpc_id=vpc_id, peering_id=peering_id)
        for group_id, vpc_id, peering_id in sorted(found, key=str)
        if group_id is not None and peering_id is not None
    ]


Status = Callable[[str], str]


def statuses(shelf: Shelf, now: float) -> Status:
    """A connection's id -> its status, as descriptions of rules show it."""
    return lambda peering_id: peering_status(shelf, peering_id, now)
