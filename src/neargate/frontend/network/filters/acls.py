"""What a call makes of network ACLs: shelf in, change out. Pure; `bits` is the randomness for new ids.

Owns their entries and which subnet has which. Must not know requests. Invariants: numbers are unique in a direction, a
subnet has exactly one ACL of its own VPC, and what denies what no other entry speaks of is never stored nor changed.
"""

from collections.abc import Callable

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Shelf
from ..errors.acls import (
    AclAssociationNotFound,
    AclEntryExists,
    AclEntryLimitExceeded,
    AclEntryNotFound,
    AclInUse,
    AclLimitExceeded,
    DefaultAclStays,
    DifferentNetworks,
    NetworkAclNotFound,
)
from ..errors.common import VpcNotFound
from ..errors.routing import IdempotentMismatch
from ..records.objects import ANYWHERE, ANYWHERE_IPV6, AclAssociation, AclEntry, NetworkAcl, Subnet, Tags, Vpc
from ..vpcs.defaults import LAST_RULE, LAST_RULE_IPV6

Bits = Callable[[int], int]


def required_acl(shelf: Shelf, acl_id: str) -> NetworkAcl:
    """Raises NetworkAclNotFound."""
    acl = shelf.find(NetworkAcl, acl_id)
    if acl is None:
        raise NetworkAclNotFound([acl_id])
    return acl


def all_entries(acl: NetworkAcl, *, with_ipv6: bool) -> tuple[AclEntry, ...]:
    """As they are shown: egress first, by number, with the last lines that nobody can change."""
    stored = sorted(acl.entries, key=lambda entry: (not entry.is_egress, entry.number))
    entries: list[AclEntry] = []
    for is_egress in (True, False):
        entries += [entry for entry in stored if entry.is_egress == is_egress]
        entries.append(AclEntry(number=LAST_RULE, is_egress=is_egress, allow=False, protocol="-1", cidr_ipv4=ANYWHERE))
        if with_ipv6:
            entries.append(
                AclEntry(
                    number=LAST_RULE_IPV6, is_egress=is_egress, allow=False, protocol="-1", cidr_ipv6=ANYWHERE_IPV6
                )
            )
    return tuple(entries)


def create_acl(
    shelf: Shelf, vpc_id: str, tags: Tags, client_token: str | None, acls_max: float, bits: Bits
) -> Change[NetworkAcl]:
    """It denies everything. Raises VpcNotFound, AclLimitExceeded, IdempotentMismatch."""
    if client_token is not None:
        before = next((acl for acl in shelf.all(NetworkAcl) if acl.client_token == client_token), None)
        if before is not None:
            if before.vpc_id != vpc_id:
                raise IdempotentMismatch(client_token)
            return Change(result=before)
    if shelf.find(Vpc, vpc_id) is None:
        raise VpcNotFound([vpc_id])
    if sum(acl.vpc_id == vpc_id for acl in shelf.all(NetworkAcl)) >= acls_max:
        raise AclLimitExceeded
    acl = NetworkAcl(
        account=shelf.account, name=ids.ec2_id("acl", bits), vpc_id=vpc_id, tags=tags, client_token=client_token
    )
    return Change(result=acl, put=(acl,))


def delete_acl(shelf: Shelf, acl_id: str) -> Change[None]:
    """Raises NetworkAclNotFound, DefaultAclStays, AclInUse."""
    acl = required_acl(shelf, acl_id)
    if acl.is_default:
        raise DefaultAclStays(acl_id)
    if acl.associations:
        raise AclInUse(acl_id)
    return Change(result=None, drop=(acl,))


def create_entry(shelf: Shelf, acl_id: str, entry: AclEntry, entries_max: float) -> Change[None]:
    """Raises NetworkAclNotFound, AclEntryExists, AclEntryLimitExceeded.

    `entries_max`: in each direction, IPv4 and IPv6 apart; the last lines count, as AWS counts.
    """
    acl = required_acl(shelf, acl_id)
    if _entry(acl, entry.number, is_egress=entry.is_egress) is not None:
        raise AclEntryExists(entry.number)
    changed = replace(acl, entries=(*acl.entries, entry))
    _check_count(changed, entry, entries_max)
    return Change(result=None, put=(changed,))


def replace_entry(shelf: Shelf, acl_id: str, entry: AclEntry, entries_max: float) -> Change[None]:
    """Raises NetworkAclNotFound, AclEntryNotFound, AclEntryLimitExceeded."""
    acl = required_acl(shelf, acl_id)
    before = _entry(acl, entry.number, is_egress=entry.is_egress)
    if before is None:
        raise AclEntryNotFound(acl_id, entry.number, is_egress=entry.is_egress)
    changed = replace(acl, entries=tuple(entry if one is before else one for one in acl.entries))
    if (before.cidr_ipv6 is None) != (entry.cidr_ipv6 is None):
        _check_count(changed, entry, entries_max)
    return Change(result=None, put=(changed,) if changed != acl else ())


def delete_entry(shelf: Shelf, acl_id: str, number: int, *, is_egress: bool) -> Change[None]:
    """Raises NetworkAclNotFound, AclEntryNotFound."""
    acl = required_acl(shelf, acl_id)
    before = _entry(acl, number, is_egress=is_egress)
    if before is None:
        raise AclEntryNotFound(acl_id, number, is_egress=is_egress)
    return Change(result=None, put=(replace(acl, entries=tuple(one for one in acl.entries if one is not before)),))


def _entry(acl: NetworkAcl, number: int, *, is_egress: bool) -> AclEntry | None:
    return next((one for one in acl.entries if one.number == number and one.is_egress == is_egress), None)


def _check_count(acl: NetworkAcl, entry: AclEntry, entries_max: float) -> None:
    like = [
        one
        for one in acl.entries
        if one.is_egress == entry.is_egress and (one.cidr_ipv6 is None) == (entry.cidr_ipv6 is None)
    ]
    if len(like) + 1 > entries_max:
        raise AclEntryLimitExceeded


def acl_of_association(shelf: Shelf, association_id: str) -> tuple[NetworkAcl, AclAssociation] | None:
    for acl in shelf.all(NetworkAcl):
        for one in acl.associations:
            if one.association_id == association_id:
                return acl, one
    return None


def replace_association(shelf: Shelf, association_id: str, acl_id: str, bits: Bits) -> Change[str]:
    """The id of the association that is in force now; of one that already leads there: the same.

    Raises AclAssociationNotFound, NetworkAclNotFound, DifferentNetworks.
    """
    known = acl_of_association(shelf, association_id)
    if known is None:
        raise AclAssociationNotFound(association_id)
    before, association = known
    after = required_acl(shelf, acl_id)
    subnet = shelf.find(Subnet, association.subnet_id)
    if subnet is None or subnet.vpc_id != after.vpc_id:
        raise DifferentNetworks(acl_id, association.subnet_id)
    if after.name == before.name:
        return Change(result=association_id)
    made = AclAssociation(association_id=ids.ec2_id("aclassoc", bits), subnet_id=association.subnet_id)
    left = tuple(one for one in before.associations if one is not association)
    return Change(
        result=made.association_id,
        put=(replace(before, associations=left), replace(after, associations=(*after.associations, made))),
    )
