"""What a call makes of the networks of a VPC: further IPv4 ones, IPv6 ones of the region's. Pure.

Invariant: networks of a VPC never overlap one another or those of its peers, and one that has a subnet stays.
"""

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network

from msgspec import Struct
from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Kept, Shelf
from ..errors.vpcs import CidrInUse, CidrIsPrimary, CidrLimitExceeded, VpcAssociationNotFound, VpcRange
from ..records.objects import AclEntry, CidrBlock, NetworkAcl, Peering, RouteTable, Subnet, Vpc
from ..records.security_groups import SecurityGroupView, StoredRule
from .changes import GONE, ipv6_association, required_vpc
from .cidrs import Network, check_apart, check_further_network, ipv4, is_within, overlap
from .defaults import allow_all_egress, allow_all_egress_ipv6, allow_all_entries

Bits = Callable[[int], int]


class Association(Struct, frozen=True, kw_only=True):
    """A network with the VPC it came to or left."""

    vpc_id: str
    block: CidrBlock

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.block.cidr


def associate_ipv4(
    shelf: Shelf, vpc_id: str, cidr: str, blocks_max: float, bits: Bits, public: Sequence[str] = ()
) -> Change[Association]:
    """`public`: networks of the region's public addresses. Raises VpcNotFound, CidrInvalid, VpcRange,
    CidrLimitExceeded.
    """
    vpc = required_vpc(shelf, vpc_id)
    network = ipv4(cidr)
    check_further_network(network, *(block.cidr for block in vpc.blocks))
    check_apart(network, public)
    _check_free(shelf, vpc, network)
    if len(vpc.blocks) >= blocks_max:
        raise CidrLimitExceeded(vpc_id, blocks_max)
    block = CidrBlock(association_id=ids.ec2_id("vpc-cidr-assoc", bits), cidr=str(network))
    changed = replace(vpc, others=(*vpc.others, block))
    return Change(result=Association(vpc_id=vpc_id, block=block), put=(changed,))


def _check_free(shelf: Shelf, vpc: Vpc, network: Network) -> None:
    """Not one of its own, none that a route of its tables leads to (or is wider than), none of a peer."""
    for block in vpc.blocks:
        if overlap(network, ip_network(block.cidr)):
            raise VpcRange.conflict(str(network), f"the CIDR '{block.cidr}' of the vpc '{vpc.vpc_id}'")
    for table in shelf.all(RouteTable):
        if table.vpc_id == vpc.vpc_id:
            for route in table.routes:
                if "/" in route.destination and is_within(ip_network(route.destination), network):
                    raise VpcRange.conflict(
                        str(network), f"the route to '{route.destination}' of the route table '{table.name}'"
                    )
    for peer in _peers(shelf, vpc.vpc_id):
        for block in peer.blocks:
            if overlap(network, ip_network(block.cidr)):
                raise VpcRange.conflict(str(network), f"the CIDR '{block.cidr}' of the peer vpc '{peer.vpc_id}'")


def _peers(shelf: Shelf, vpc_id: str) -> Iterator[Vpc]:
    for peering in shelf.all(Peering):
        ends = (peering.requester_vpc, peering.accepter_vpc)
        if vpc_id in ends and peering.status not in GONE:
            peer = shelf.find(Vpc, ends[0] if ends[1] == vpc_id else ends[1])
            if peer is not None:
                yield peer


def associate_ipv6(
    shelf: Shelf, vpc_id: str, region: str, blocks_max: float, bits: Bits, of_pool: CidrBlock | None = None
) -> Change[Association]:
    """A network of the region's, or `of_pool`. With the first one come the rules that let IPv6 through where nobody
    changed those of the default ACL, or those of a group for what goes out. Raises VpcNotFound, CidrLimitExceeded.
    """
    vpc = required_vpc(shelf, vpc_id)
    if len(vpc.ipv6) >= blocks_max:
        raise CidrLimitExceeded(vpc_id, blocks_max)
    block = of_pool or ipv6_association(shelf, region, bits)
    changed = replace(vpc, ipv6=(*vpc.ipv6, block))
    opened = () if vpc.ipv6 else tuple(_opened(shelf, vpc_id, bits))
    return Change(result=Association(vpc_id=vpc_id, block=block), put=(changed, *opened))


def _opened(shelf: Shelf, vpc_id: str, bits: Bits) -> Iterator[Kept]:
    for acl in shelf.all(NetworkAcl):
        if acl.vpc_id == vpc_id and acl.is_default:
            entries = (*_opened_entries(acl, is_egress=True), *_opened_entries(acl, is_egress=False))
            if entries != acl.entries:
                yield replace(acl, entries=entries)
    for group in shelf.all(SecurityGroupView):
        if group.vpc_id == vpc_id and _is_untouched(group, bits):
            yield replace(group, rules=(*group.rules, allow_all_egress_ipv6(bits)))


def _opened_entries(acl: NetworkAcl, *, is_egress: bool) -> tuple[AclEntry, ...]:
    """The lines of one direction; with the IPv6 one where they are still those that it was made with."""
    have = tuple(entry for entry in acl.entries if entry.is_egress == is_egress)
    first = tuple(entry for entry in allow_all_entries(with_ipv6=False) if entry.is_egress == is_egress)
    both = tuple(entry for entry in allow_all_entries(with_ipv6=True) if entry.is_egress == is_egress)
    return both if have == first else have


def _is_untouched(group: SecurityGroupView, bits: Bits) -> bool:
    def meanings(rules: Iterator[StoredRule]) -> set[tuple[bool, str, int, int, str]]:
        return {rule.spec.meaning for rule in rules}

    return meanings(rule for rule in group.rules if rule.spec.is_egress) == meanings(iter([allow_all_egress(bits)]))


def disassociate(shelf: Shelf, association_id: str) -> Change[Association]:
    """Raises VpcAssociationNotFound, CidrIsPrimary, CidrInUse."""
    vpc, block = required_association(shelf, association_id)
    if block == vpc.blocks[0]:
        raise CidrIsPrimary(association_id)
    network = ip_network(block.cidr)
    for subnet in shelf.all(Subnet):
        if subnet.vpc_id == vpc.vpc_id:
            for cidr in (subnet.cidr, *(one.cidr for one in subnet.ipv6)):
                if is_within(ip_network(cidr), network):
                    raise CidrInUse(vpc.vpc_id, block.cidr)
    changed = replace(
        vpc,
        others=tuple(one for one in vpc.others if one != block),
        ipv6=tuple(one for one in vpc.ipv6 if one != block),
    )
    return Change(result=Association(vpc_id=vpc.vpc_id, block=block), put=(changed,))


def required_association(shelf: Shelf, association_id: str) -> tuple[Vpc, CidrBlock]:
    """Raises VpcAssociationNotFound."""
    for vpc in shelf.all(Vpc):
        for block in (*vpc.blocks, *vpc.ipv6):
            if block.association_id == association_id:
                return vpc, block
    raise VpcAssociationNotFound([association_id])
