"""What a call makes of VPC peering connections, inside one account: shelf in, change out. Pure.

Owns their lifecycle, as AWS's peering guide has it. Invariants: two VPCs have one live connection at most; whose
networks overlap are never connected; one that ended stays to be seen for a while, and no call revives it.
"""

from collections.abc import Callable, Iterator
from ipaddress import ip_network

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Shelf
from ..errors.common import VpcNotFound
from ..errors.routing import (
    NotPermitted,
    PeeringExists,
    PeeringNotFound,
    PeeringsActive,
    PeeringsOutstanding,
    PeeringState,
    Unsupported,
)
from ..records.objects import Peering, Tags, Vpc

Bits = Callable[[int], int]
PENDING, ACTIVE, FAILED, DELETED, REJECTED = "pending-acceptance", "active", "failed", "deleted", "rejected"
EXPIRED = "expired"
EXPIRES_AFTER_S = 7 * 86400.0
# How long one that ended is still shown.
_SHOWN_S = {FAILED: 2 * 3600.0, DELETED: 2 * 3600.0, REJECTED: 2 * 86400.0, EXPIRED: 2 * 86400.0}
_LIVE = (PENDING, ACTIVE)


def status_at(peering: Peering, now: float) -> str:
    if peering.status == PENDING and now >= peering.created_at + EXPIRES_AFTER_S:
        return EXPIRED
    return peering.status


def visible(shelf: Shelf, now: float) -> Iterator[Peering]:
    return (one for one in shelf.all(Peering) if not _forgotten(one, now))


def _forgotten(peering: Peering, now: float) -> bool:
    status = status_at(peering, now)
    if status not in _SHOWN_S:
        return False
    ended = peering.created_at + EXPIRES_AFTER_S if status == EXPIRED else peering.ended_at or peering.created_at
    return now >= ended + _SHOWN_S[status]


def required_peering(shelf: Shelf, peering_id: str, now: float) -> Peering:
    """Raises PeeringNotFound."""
    peering = shelf.find(Peering, peering_id)
    if peering is None or _forgotten(peering, now):
        raise PeeringNotFound([peering_id])
    return peering


def request_peering(
    shelf: Shelf, vpc_id: str, peer_vpc_id: str, tags: Tags, now: float, requests_max: float, bits: Bits
) -> Change[Peering]:
    """Failed at once where the peer is not there or networks overlap, as AWS fails it. Also drops what nobody sees any
    more. Raises VpcNotFound, PeeringExists, PeeringsOutstanding.
    """
    vpc, peer = shelf.find(Vpc, vpc_id), shelf.find(Vpc, peer_vpc_id)
    if vpc is None:
        raise VpcNotFound([vpc_id])
    live = [one for one in shelf.all(Peering) if status_at(one, now) in _LIVE]
    for one in live:
        if {one.requester_vpc, one.accepter_vpc} == {vpc_id, peer_vpc_id}:
            raise PeeringExists(one.name)
    if sum(one.status == PENDING for one in live) >= requests_max:
        raise PeeringsOutstanding
    failed = peer is None or _overlap(vpc, peer)
    peering = Peering(
        account=shelf.account,
        name=ids.ec2_id("pcx", bits),
        requester_vpc=vpc_id,
        accepter_vpc=peer_vpc_id,
        status=FAILED if failed else PENDING,
        created_at=now,
        ended_at=now if failed else None,
        tags=tags,
    )
    return Change(result=peering, put=(peering,), drop=tuple(one for one in shelf.all(Peering) if _forgotten(one, now)))


def _overlap(vpc: Vpc, peer: Vpc) -> bool:
    """A VPC overlaps with itself. IPv6 networks are given once each, and are looked at all the same."""
    theirs = [ip_network(block.cidr) for block in (*peer.blocks, *peer.ipv6)]
    return any(ip_network(block.cidr).overlaps(other) for block in (*vpc.blocks, *vpc.ipv6) for other in theirs)


def accept(shelf: Shelf, peering_id: str, now: float, active_max: float) -> Change[Peering]:
    """Fails it where networks overlap by now. Raises PeeringNotFound, PeeringState, PeeringsActive."""
    peering = _moving(shelf, peering_id, now, (PENDING,), ACTIVE)
    ends = [shelf.find(Vpc, vpc_id) for vpc_id in (peering.requester_vpc, peering.accepter_vpc)]
    for vpc in ends:
        if vpc is not None and sum(_is_active(one, vpc.vpc_id) for one in shelf.all(Peering)) >= active_max:
            raise PeeringsActive(vpc.vpc_id)
    requester, accepter = ends
    if requester is None or accepter is None or _overlap(requester, accepter):
        return _ended(peering, FAILED, now)
    changed = replace(peering, status=ACTIVE)
    return Change(result=changed, put=(changed,))


def reject(shelf: Shelf, peering_id: str, now: float) -> Change[Peering]:
    """Raises PeeringNotFound, PeeringState."""
    return _ended(_moving(shelf, peering_id, now, (PENDING,), REJECTED), REJECTED, now)


def delete(shelf: Shelf, peering_id: str, now: float) -> Change[Peering]:
    """Routes to it become black holes. Raises PeeringNotFound, PeeringState."""
    return _ended(_moving(shelf, peering_id, now, _LIVE, "deleting"), DELETED, now)


def check_options(shelf: Shelf, peering_id: str, now: float, *, wants_names: bool) -> None:
    """`wants_names`: that the peer's public host names resolve to private addresses. Raises PeeringNotFound,
    NotPermitted for a connection that is not active, Unsupported.
    """
    peering = required_peering(shelf, peering_id, now)
    if status_at(peering, now) != ACTIVE:
        raise NotPermitted(f"Peering {peering_id} is not active. Peering options can be added only to active peerings.")
    if wants_names:
        raise Unsupported("Neargate's resolver does not resolve public host names of a peer VPC to private addresses.")


def _is_active(peering: Peering, vpc_id: str) -> bool:
    return peering.status == ACTIVE and vpc_id in (peering.requester_vpc, peering.accepter_vpc)


def _moving(shelf: Shelf, peering_id: str, now: float, sources: tuple[str, ...], wish: str) -> Peering:
    peering = required_peering(shelf, peering_id, now)
    status = status_at(peering, now)
    if status not in sources:
        raise PeeringState(peering_id, wish, status)
    return peering


def _ended(peering: Peering, status: str, now: float) -> Change[Peering]:
    changed = replace(peering, status=status, ended_at=now)
    return Change(result=changed, put=(changed,))
