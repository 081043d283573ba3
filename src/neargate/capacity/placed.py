"""Claims of things that have a place and are no tasks: NAT gateways, nodes of load balancers.

They hold addresses and an interface, no room.

Pure. Owns which host such a thing gets and what its claim and its interface are. Invariant: an address is taken in the
subnet's book before a claim names it.
"""

from collections.abc import Callable, Iterable, Mapping

from ..model import ids
from ..model.capacity import NoAddress, PlacedRequest
from ..model.network import Eni
from ..placement.feasible import HostView
from ..placement.reserve import Room
from ..vpc.addresses import address_number, address_text, mac_address, private_dns_name, subnet_range
from .books import Addresses, PublicAddresses
from .claims import Claim

Bits = Callable[[int], int]
NONE_THERE: Mapping[str, int] = {}


def host_for(
    request: PlacedRequest, hosts: Iterable[HostView], pools: Iterable[str], placed: Mapping[str, int]
) -> str | None:
    """Empty for what has none; None: there is none for it."""
    if not request.has_host:
        return ""
    return choose_host(hosts, request.zone, pools, beside=request.beside, placed=placed)


def choose_host(
    hosts: Iterable[HostView],
    zone: str,
    pools: Iterable[str],
    *,
    beside: Iterable[str] = (),
    placed: Mapping[str, int] = NONE_THERE,
) -> str | None:
    """A connected host of the zone: one of the account's own or nobody's first, then one that others keep. Of these one
    that has nothing of the same work (`beside`), and the fewest of such things at all (`placed`: how many).

    It runs nothing of the account's: whose tasks the host runs, and whether it takes more of them, does not matter.
    """
    own, shared = frozenset(pools), frozenset(beside)

    def rank(host: HostView) -> tuple[bool, bool, bool, int, str]:
        name = host.host_id
        return host.pool not in own, not host.accepts_tasks, name in shared, placed.get(name, 0), name

    there = [host for host in hosts if host.connected and not host.is_draining and host.zone in (None, zone)]
    best = min(there, key=rank, default=None)
    return None if best is None else best.host_id


def take_placed(request: PlacedRequest, book: Addresses, public: PublicAddresses) -> tuple[int, int | None] | NoAddress:
    """A private one, and a public one where it is asked for; both or none."""
    private = take_address(request, book)
    if isinstance(private, NoAddress) or not request.assign_public_ip:
        return private if isinstance(private, NoAddress) else (private, None)
    given = public.take_next()
    if given is None:
        book.taken.discard(private)
        return NoAddress(is_public=True)
    return private, given


def take_address(request: PlacedRequest, book: Addresses) -> int | NoAddress:
    if book.within.size == 0:
        book.within = subnet_range(request.subnet.cidr)
    book.keep(request.subnet.kept)
    if request.private_ipv4 is None:
        free = book.take_next()
        return NoAddress() if free is None else free
    wanted = address_number(request.private_ipv4)
    if wanted in book.taken or not book.has(wanted):
        return NoAddress(is_taken=True)
    book.taken.add(wanted)
    return wanted


def placed_claim(
    request: PlacedRequest, host_id: str, addresses: tuple[int, int | None], now: float, bits: Bits
) -> Claim:
    address, public = addresses
    return Claim(
        key=(request.object_id, request.zone),
        capacity_id=ids.capacity_id(now, bits),
        account=request.account,
        host_id=host_id,
        room=Room(),
        subnet_id=request.subnet.subnet_id,
        private_ip=address,
        public_ip=public,
        eni_id=ids.ec2_id("eni", bits),
        eni_error=None,
        created_at=now,
        is_placed=True,
    )


def placed_interface(request: PlacedRequest, claim: Claim, region: str, bits: Bits) -> Eni:
    assert claim.eni_id is not None and claim.private_ip is not None
    private = address_text(claim.private_ip)
    return Eni(
        eni_id=claim.eni_id,
        attachment_id=ids.ec2_id("ela-attach", bits),
        mac=mac_address(bits),
        vpc_id=request.subnet.vpc_id,
        subnet_id=request.subnet.subnet_id,
        subnet_cidr=request.subnet.cidr,
        private_ipv4=private,
        public_ipv4=address_text(claim.public_ip) if claim.public_ip is not None else None,
        private_dns_name=private_dns_name(private, region),
    )
