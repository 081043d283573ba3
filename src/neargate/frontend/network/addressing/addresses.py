"""What calls make of an account's elastic addresses: shelf in, change out. Pure.

Invariant: an address that a NAT gateway or a load balancer's node uses stays the account's, and stays with it. Whether
a task of a service has one the zones know, and who decides on it asks them after it is said here (`for_services.py`).
"""

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from ...regional.shelves import Change, Shelf
from ..errors.addresses import (
    AddressInUse,
    AddressLimitExceeded,
    AllocationTooLate,
    AlreadyAssociated,
    AssociationNotFound,
    ManagedByAService,
)
from ..pools.public import Renounced
from ..records.balancers import LoadBalancer, Node
from ..records.objects import ElasticAddress, NatGateway, Tags
from ..tagging import AddressNotFound

# A gateway's states in which its address is with it.
HOLDING = ("pending", "available", "deleting")
SERVICE_TAG = "neargate:service"  # CLUSTER/SERVICE: the address stays with tasks of this service


def required_address(shelf: Shelf, allocation_id: str) -> ElasticAddress:
    """Raises AddressNotFound: EC2 has no other word for an id that cannot be one."""
    found = shelf.find(ElasticAddress, allocation_id)
    if found is None:
        raise AddressNotFound([allocation_id[:255]])
    return found


def user_of(shelf: Shelf, allocation_id: str) -> NatGateway | Node | None:
    """The gateway or the node that has the address."""
    return next((one for one in elastic_users(shelf) if one.allocation_id == allocation_id), None)


def elastic_users(shelf: Shelf) -> Iterator[NatGateway | Node]:
    """Gateways and nodes that have elastic addresses."""
    yield from (nat for nat in shelf.all(NatGateway) if holds(nat))
    for balancer in shelf.all(LoadBalancer):
        yield from (node for node in balancer.nodes if node.allocation_id is not None)


def holds(nat: NatGateway) -> bool:
    return nat.association_id is not None and nat.state in HOLDING


def check_room(shelf: Shelf, addresses_max: float) -> None:
    """Raises AddressLimitExceeded."""
    if shelf.count(ElasticAddress) >= addresses_max:
        raise AddressLimitExceeded


def allocate(
    shelf: Shelf, allocation_id: str, public_ip: str, border_group: str, tags: Tags, addresses_max: float
) -> Change[ElasticAddress]:
    """Of an address that the pool has given. Raises AddressLimitExceeded, AllocationTooLate."""
    check_room(shelf, addresses_max)
    if shelf.find(Renounced, allocation_id) is not None:
        raise AllocationTooLate
    made = ElasticAddress(
        account=shelf.account, name=allocation_id, public_ip=public_ip, border_group=border_group, tags=tags
    )
    return Change(result=made, put=(made,))


def release(shelf: Shelf, allocation_id: str) -> Change[ElasticAddress]:
    """Raises AddressNotFound, AddressInUse."""
    found = required_address(shelf, allocation_id)
    if user_of(shelf, allocation_id) is not None:
        raise AddressInUse(found.public_ip)
    return Change(result=found, drop=(found,))


def take_again(shelf: Shelf, released: ElasticAddress) -> Change[None]:
    """What was released while a task was getting it."""
    is_there = shelf.find(ElasticAddress, released.name) is not None
    return Change(result=None, put=() if is_there else (released,))


def of_service(shelf: Shelf, cluster: str, service: str) -> tuple[str, ...]:
    """Those tagged so that nothing else has."""
    tag = (SERVICE_TAG, f"{cluster}/{service}")
    tagged = (one for one in shelf.all(ElasticAddress) if tag in one.tags)
    return tuple(sorted(one.public_ip for one in tagged if user_of(shelf, one.name) is None))


def name_address(shelf: Shelf, allocation_id: str, domain_name: str | None) -> Change[ElasticAddress]:
    """Its PTR record. Raises AddressNotFound."""
    changed = replace(required_address(shelf, allocation_id), domain_name=domain_name)
    return Change(result=changed, put=(changed,))


def check_associable(shelf: Shelf, allocation_id: str, *, again: bool) -> None:
    """Raises AddressNotFound, AlreadyAssociated; with `again` what has it would have to give it away: refused too."""
    required_address(shelf, allocation_id)
    user = user_of(shelf, allocation_id)
    if user is not None and not again:
        raise AlreadyAssociated(allocation_id, user.association_id or "")
    if user is not None:
        raise ManagedByAService


def check_dissociable(shelf: Shelf, association_id: str, of_tasks: Collection[str]) -> None:
    """Always raises: there is none (AssociationNotFound), or it is a gateway's, a node's or a service's."""
    if association_id in of_tasks or any(one.association_id == association_id for one in elastic_users(shelf)):
        raise ManagedByAService
    raise AssociationNotFound([association_id[:255]])
