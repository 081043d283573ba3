"""What calls, the placing loop and nodes' reports make of load balancers' places: shelf in, change out. Pure.

A node: pending -> available -> deleting, and then it is in no record; what it does on its way to another host decides
`node_moves.py`. A load balancer is active when a node serves in each of its zones; failed when the first ones cannot be
had; impaired when later ones cannot, or one serves no longer and no other in its zone. Invariants: a node is available
only with what its zone gave it, and is forgotten only after the zone has that back; one that is deleted goes with its
last node.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain
from typing import Any

from msgspec.structs import replace

from ....model import ids
from ....model.capacity import NoAddress, NoCapacity, PlacedRequest, Reservation
from ...regional.shelves import Change, Shelf
from .. import places
from ..places import answer_kept
from ..records.balancers import (
    ACTIVE,
    ACTIVE_IMPAIRED,
    AVAILABLE,
    DELETING,
    FAILED,
    LEAVING,
    MOVING,
    PENDING,
    PROVISIONING,
    RETIRING,
    LoadBalancer,
    Node,
)
from ..records.objects import ElasticAddress, Subnet
from .node_moves import Move, Step, hosts_beside

_NOT_SERVING = "The load balancer does not serve in "
_NO_HOST = "No host of the Availability Zone {zone} can run a node of the load balancer."
_SHORT = {"application": "app", "network": "net"}

Bits = Callable[[int], int]


def new_node(
    subnet: Subnet,
    bits: Bits,
    *,
    private_ip: str | None = None,
    address: ElasticAddress | None = None,
    followed: str = "",
) -> Node:
    """`address`: the elastic one that it has. `followed`: the line in which it is to take another's place."""
    return Node(
        place=ids.ec2_id("elbnode", bits),
        subnet_id=subnet.name,
        zone=subnet.zone,
        wanted_private_ip=private_ip,
        allocation_id=None if address is None else address.name,
        public_ip=None if address is None else address.public_ip,
        followed=followed,
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
    held = tuple(one if one.place in kept or one.state == RETIRING else _leaving(one) for one in balancer.nodes)
    return replace(balancer, nodes=(*held, *new))


def wanted(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Its nodes, but those that leave. One whose place another takes is among them until that serves."""
    return tuple(one for one in balancer.nodes if one.state not in (LEAVING, RETIRING))


def standing(balancer: LoadBalancer) -> tuple[Node, ...]:
    """One for each of its subnets."""
    return tuple({one.line: one for one in wanted(balancer)}.values())


def there(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Those with an interface on a host."""
    return tuple(one for one in balancer.nodes if one.state in (AVAILABLE, RETIRING))


def holding(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Those with addresses of their zone."""
    return tuple(one for one in balancer.nodes if one.state in (AVAILABLE, RETIRING, MOVING))


def led_to(balancer: LoadBalancer) -> tuple[Node, ...]:
    """Nodes that its names list: those that serve and have a healthy target; where none has, those that serve."""
    found = tuple(one for one in balancer.nodes if one.state == AVAILABLE)
    return tuple(one for one in found if one.is_listed) or tuple(one for one in found if one.serves) or found


def led_to_in_zones(balancer: LoadBalancer) -> Iterator[Node]:
    """Nodes that the names of its zones list, whatever becomes of other zones: as `led_to`, of each line by itself."""
    found = [one for one in balancer.nodes if one.state == AVAILABLE]
    listed, served = {one.line for one in found if one.is_listed}, {one.line for one in found if one.serves}
    of_rest = (one for one in found if one.line not in listed and (one.serves or one.line not in served))
    return chain((one for one in found if one.is_listed), of_rest)


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
        beside=hosts_beside(balancer.nodes, node),
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


def refused(shelf: Shelf, arn: str, place: str, why: NoAddress | NoCapacity) -> Change[None]:
    """One that never was active fails as a whole, unless the node whose place this one was to take is there. Another
    says why and goes on: the node is asked for again. Where one serves whose place it was to take, nothing is amiss
    yet.
    """
    balancer, node = _found(shelf, arn, place)
    if balancer is None or node is None or node.state != PENDING or node.line in _served(balancer):
        return Change(result=None)
    reason = _refusal(node, why)
    if balancer.state == PROVISIONING and _is_followed(balancer, node):
        return Change(result=None)
    if balancer.state == PROVISIONING:
        leaving = tuple(map(_leaving, balancer.nodes))
        return Change(result=None, put=(replace(balancer, state=FAILED, reason=reason, nodes=leaving),))
    if (balancer.state, balancer.reason) == (ACTIVE_IMPAIRED, reason):
        return Change(result=None)
    return Change(result=None, put=(replace(balancer, state=ACTIVE_IMPAIRED, reason=reason),))


def _is_followed(balancer: LoadBalancer, node: Node) -> bool:
    return any(one.line == node.line and one.state in (AVAILABLE, MOVING) for one in balancer.nodes)


def _refusal(node: Node, why: NoAddress | NoCapacity) -> str:
    if isinstance(why, NoCapacity):
        return _NO_HOST.format(zone=node.zone)
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


# -- from host to host


def moved(shelf: Shelf, arn: str, moves: Iterable[Move], now: float, bits: Bits) -> Change[None]:
    """What needs no answer of a zone. A node that is in another state by now stays as it is."""
    balancer = shelf.find(LoadBalancer, arn)
    if balancer is None or balancer.state in (FAILED, DELETING):
        return Change(result=None)
    steps = {move.place: move.step for move in moves}
    made = [_stepped(one, steps[one.place], now) if one.place in steps else one for one in balancer.nodes]
    for one in balancer.nodes:
        subnet = shelf.find(Subnet, one.subnet_id)
        if steps.get(one.place) is Step.SUCCEED and one.state == AVAILABLE and subnet is not None:
            made.append(new_node(subnet, bits, followed=one.line))
    changed = replace(balancer, nodes=tuple(made))
    return Change(result=None, put=(changed,) if changed != balancer else ())


def _stepped(node: Node, step: Step, now: float) -> Node:
    match step, node.state:
        case Step.RETIRE, "available":
            return replace(node, state=RETIRING, since=now, serves=False, is_listed=False)
        case Step.LET_GO, "available":
            return replace(node, state=MOVING, since=now, serves=False, is_listed=False)
        case Step.STAY, "moving":
            return replace(node, state=AVAILABLE, since=None)
        case Step.END, "retiring" | "pending" | "available" if not node.serves:
            return _leaving(node)
        case _:
            return node


def carried(shelf: Shelf, arn: str, place: str, given: Reservation) -> Change[None]:
    """It is on another host, where it has not said anything yet."""
    balancer, node = _found(shelf, arn, place)
    if balancer is None or node is None or node.state not in (AVAILABLE, MOVING):
        return Change(result=None)
    made = replace(node, state=AVAILABLE, since=None, host_id=given.host_id, serves=False, is_listed=False)
    return Change(result=None, put=(_with(balancer, made),) if made != node else ())


# -- of nodes' reports


def seen(shelf: Shelf, arn: str, serving: Container[str], silent: Container[str], good: Container[str]) -> Change[None]:
    """By places: of whom it was said that they serve; who has not said anything yet; who has a healthy target."""
    balancer = shelf.find(LoadBalancer, arn)
    if balancer is None or balancer.state in (FAILED, DELETING):
        return Change(result=None)
    changed = replace(balancer, nodes=tuple(_listed(one, serving, silent, good) for one in balancer.nodes))
    nodes, served = wanted(changed), _served(changed)
    ill = {one.zone for one in nodes if one.line not in served and _is_ill(one, silent)}
    if served.issuperset(one.line for one in nodes):
        changed = replace(changed, state=ACTIVE, reason="")
    elif balancer.state != PROVISIONING and ill and _may_say(balancer):
        sentence = f"{_NOT_SERVING}{', '.join(sorted(ill))}."
        changed = replace(changed, state=ACTIVE_IMPAIRED, reason=sentence)
    return Change(result=None, put=(changed,) if changed != balancer else ())


def _served(balancer: LoadBalancer) -> set[str]:
    """Lines in which a node serves."""
    return {one.line for one in balancer.nodes if one.state == AVAILABLE and one.serves}


def _is_ill(node: Node, silent: Container[str]) -> bool:
    return node.state == MOVING or (node.state == AVAILABLE and node.place not in silent)


def _may_say(balancer: LoadBalancer) -> bool:
    """What a zone refused is more than that nothing serves there."""
    return balancer.state != ACTIVE_IMPAIRED or balancer.reason.startswith(_NOT_SERVING)


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
