"""What calls, the placing loop and nodes' reports make of load balancers' places: shelf in, change out. Pure.

A node: pending -> available -> deleting, and then it is in no record. A load balancer is active when each of its nodes
has its interface and serves; failed when the first ones cannot be had; impaired when later ones cannot, or one serves
no longer. Invariants: a node is available only with what its zone gave it, and is forgotten only after the zone has
that back; one that is deleted goes with its last node.
"""

from collections.abc import Callable, Container, Iterator
from typing import Any

from msgspec.structs import replace

from ...model import ids
from ...model.capacity import NoAddress, PlacedRequest, Reservation
from ..regional.shelves import Change, Shelf
from . import places
from .balancers import ACTIVE, ACTIVE_IMPAIRED, DELETING, FAILED, PROVISIONING, LoadBalancer, Node
from .objects import ElasticAddress, Subnet
from .places import answer_kept

PENDING, AVAILABLE, LEAVING = "pending", "available", "deleting"
_NOT_SERVING = "The load balancer does not serve in {zones}."
_SHORT = {"application": "app", "network": "net"}

Bits = Callable[[int], int]


def new_node(
    subnet: Subnet, bits: Bits, *, private_ip: str | None = None, address: ElasticAddress | None = None
) -> Node:
    """`address`: the elastic one that it has."""
    return Node(
        place=ids.ec2_id("elbnode", bits),
        subnet_id=subnet.name,
        zone=subnet.zone,
        wanted_private_ip=private_ip,
        allocation_id=None if address is None else address.name,
        public_ip=None if address is None else address.public_ip,
    )


def description(balancer: LoadBalancer) -> str:
    """Of its interfaces."""
    return f"ELB {_SHORT[balancer.lb_type]}/{balancer.label}/{balancer.arn.rpartition('/')[2]}"


def deleting(balancer: LoadBalancer) -> LoadBalancer | None:
    """As it is while its addresses are given back; None: it has none, and goes at once."""
    if not balancer.nodes:
        return None
    return replace(balancer, state=DELETING, nodes=tuple(map(_leaving, balancer.nodes)))


def with_nodes(balancer: LoadBalancer, kept: Container[str], new: tuple[Node, ...]) -> LoadBalancer:
    """In other subnets: nodes whose places are not kept leave, and new ones come."""
    held = tuple(one if one.place in kept else _leaving(one) for one in balancer.nodes)
    return replace(balancer, nodes=(*held, *new))


def wanted(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Its nodes, but those that leave."""
    return tuple(one for one in balancer.nodes if one.state != LEAVING)


def there(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Those with an interface."""
    return tuple(one for one in balancer.nodes if one.state == AVAILABLE)


def led_to(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Nodes that its names list: those that serve and have a healthy target; where none has, those that serve."""
    found = there(balancer)
    return tuple(one for one in found if one.is_listed) or tuple(one for one in found if one.serves) or found


def users_of(shelf: Shelf, allocation_id: str) -> Iterator[Node]:
    """The node that has an elastic address."""
    for balancer in shelf.all(LoadBalancer):
        yield from (one for one in balancer.nodes if one.allocation_id == allocation_id)


def _leaving(node: Node) -> Node:
    return replace(node, state=LEAVING, serves=False, is_listed=False)


# -- the placing loop's


def placed_request(shelf: Shelf, balancer: LoadBalancer, node: Node) -> PlacedRequest | None:
    """None: its subnet is gone."""
    return places.placed_request(
        shelf,
        node.subnet_id,
        place=node.place,
        description=description(balancer),
        private_ip=node.wanted_private_ip,
        public_ip=balancer.scheme == "internet-facing" and node.allocation_id is None,
    )


def placed(shelf: Shelf, arn: str, place: str, given: Reservation, now: float) -> Change[None]:
    """What is no longer pending stays as it is: somebody deleted it meanwhile."""
    balancer, node = _found(shelf, arn, place)
    if balancer is None or node is None or node.state != PENDING or given.eni is None:
        return Change(result=None)
    kept: dict[str, Any] = answer_kept(given, given.eni)
    if node.allocation_id is None:
        kept["public_ip"] = given.eni.public_ipv4
    made = replace(node, state=AVAILABLE, attached_at=now, **kept)
    return Change(result=None, put=(_with(balancer, made),))


def refused(shelf: Shelf, arn: str, place: str, why: NoAddress) -> Change[None]:
    """One that never was active fails as a whole. Another says why and goes on: the node is asked for again."""
    balancer, node = _found(shelf, arn, place)
    if balancer is None or node is None or node.state != PENDING:
        return Change(result=None)
    reason = _refusal(node, why)
    if balancer.state == PROVISIONING:
        leaving = tuple(map(_leaving, balancer.nodes))
        return Change(result=None, put=(replace(balancer, state=FAILED, reason=reason, nodes=leaving),))
    if (balancer.state, balancer.reason) == (ACTIVE_IMPAIRED, reason):
        return Change(result=None)
    return Change(result=None, put=(replace(balancer, state=ACTIVE_IMPAIRED, reason=reason),))


def _refusal(node: Node, why: NoAddress) -> str:
    if why.is_public:
        return "The Region has no public IP address left."
    if why.is_taken:
        return f"The private IP address {node.wanted_private_ip} is in use."
    return f"Not enough IP space available in {node.subnet_id}."


def released(shelf: Shelf, arn: str, place: str) -> Change[None]:
    """The zone has it back. The last of one that is deleted takes that along."""
    balancer, node = _found(shelf, arn, place)
    if balancer is None or node is None or node.state != LEAVING:
        return Change(result=None)
    left = replace(balancer, nodes=tuple(one for one in balancer.nodes if one.place != place))
    if left.state == DELETING and not left.nodes:
        return Change(result=None, drop=(balancer,))
    return Change(result=None, put=(left,))


# -- of nodes' reports


def seen(shelf: Shelf, arn: str, serving: Container[str], silent: Container[str], good: Container[str]) -> Change[None]:
    """By places: of whom it was said that they serve; who has not said anything yet; who has a healthy target."""
    balancer = shelf.find(LoadBalancer, arn)
    if balancer is None or balancer.state in (FAILED, DELETING):
        return Change(result=None)
    changed = replace(balancer, nodes=tuple(_listed(one, serving, silent, good) for one in balancer.nodes))
    nodes = wanted(changed)
    ill = [one for one in nodes if one.state == AVAILABLE and not one.serves and one.place not in silent]
    if all(one.state == AVAILABLE and one.serves for one in nodes):
        changed = replace(changed, state=ACTIVE, reason="")
    elif balancer.state != PROVISIONING and ill:
        sentence = _NOT_SERVING.format(zones=", ".join(sorted(one.zone for one in ill)))
        changed = replace(changed, state=ACTIVE_IMPAIRED, reason=sentence)
    return Change(result=None, put=(changed,) if changed != balancer else ())


def _listed(node: Node, serving: Container[str], silent: Container[str], good: Container[str]) -> Node:
    """Who has not said anything to this server is as it was: there may be another, which hears it."""
    if node.state != AVAILABLE or node.place in silent:
        return node
    serves = node.place in serving
    return replace(node, serves=serves, is_listed=serves and node.place in good)


def _found(shelf: Shelf, arn: str, place: str) -> tuple[LoadBalancer | None, Node | None]:
    balancer = shelf.find(LoadBalancer, arn)
    if balancer is None:
        return None, None
    return balancer, next((one for one in balancer.nodes if one.place == place), None)


def _with(balancer: LoadBalancer, changed: Node) -> LoadBalancer:
    return replace(balancer, nodes=tuple(changed if one.place == changed.place else one for one in balancer.nodes))
