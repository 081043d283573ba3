"""Brings the nodes of load balancers to their places, to others when their hosts are lost or drained, and takes them
away again. A part of `network/placing.py`.

As for interfaces of VPC endpoints: the record is durable before the zone is asked, and says what the zone answered only
after it has; a zone's answers can be asked for again. Must not know requests.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...interfaces.roles import CapacityManager
from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.capacity import NoAddress, NoCapacity, RecordedReservation
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ..regional.shelves import Shelf
from . import balancer_nodes as nodes
from .balancers import DELETING, FAILED, LEAVING, MOVING, PENDING, RETIRING, LoadBalancer, Node
from .node_moves import HostSeen, Move, MovePlanner, Patience, Step
from .objects import Subnet
from .places import interface_of, must_hold

if TYPE_CHECKING:
    from .registry import NetworkRegistry

_log = get_logger(__name__)


def places_in(shelf: Shelf, states: Collection[str]) -> Iterator[str]:
    """Of nodes in these states, and of those on their way to other hosts: what zones know them by."""
    known = {*states, RETIRING, MOVING}
    return (one.place for balancer in shelf.all(LoadBalancer) for one in balancer.nodes if one.state in known)


def recorded(shelf: Shelf) -> Iterator[RecordedReservation]:
    """What the zones must hold. An elastic address is not theirs."""
    for balancer in shelf.all(LoadBalancer):
        for one in nodes.holding(balancer):
            subnet = shelf.find(Subnet, one.subnet_id)
            if subnet is not None:
                public = one.public_ip if one.allocation_id is None else None
                yield must_hold(
                    subnet,
                    replace(interface_of(one, subnet), public_ipv4=public),
                    place=one.place,
                    capacity_id=one.capacity_id or "",
                    owner=nodes.description(balancer),
                    created_at=one.attached_at or balancer.created_at,
                    host_id=one.host_id or "",
                )


class NodePlacing:
    def __init__(self, network: "NetworkRegistry", capacities: Mapping[str, CapacityManager], knobs: Knobs) -> None:
        self._network = network
        self._capacities = capacities
        self._no_host_s = knobs.node_no_host_s
        self._patience = Patience(lost_s=knobs.node_lost_s, told_s=knobs.node_told_s, handover_s=knobs.node_handover_s)

    async def look(self, account: str, now: float, hosts: Sequence[HostSeen]) -> None:
        """All that is to be done now, once; what fails is left to the next look."""
        planner = MovePlanner(hosts, now, self._patience)
        for balancer in list(self._network.shelf(account).all(LoadBalancer)):  # others may go between two of them
            try:
                await self._move(balancer, planner.moves(balancer.nodes), now)
            except (AwsError, Overloaded) as error:
                _log.warning("a load balancer's nodes stay where they are", balancer=balancer.arn, why=str(error))
            current = self._network.shelf(account).find(LoadBalancer, balancer.arn)
            for one in () if current is None else current.nodes:
                try:
                    if one.state == PENDING:
                        await self._place(balancer, one, now, planner)
                    elif one.state == LEAVING:
                        await self._release(balancer, one)
                except (AwsError, Overloaded) as error:
                    _log.warning("a load balancer waits", balancer=balancer.arn, state=one.state, why=str(error))

    async def _move(self, balancer: LoadBalancer, moves: Sequence[Move], now: float) -> None:
        """What is made of it here is brought to its place by the look that the change causes."""
        if not moves or balancer.state in (FAILED, DELETING):
            return
        for move in moves:
            _log.info(
                "a load balancer's node moves", balancer=balancer.arn, node=move.place, step=move.step.name.lower()
            )
        bits = self._network.bits
        await self._network.change(balancer.account, lambda shelf: nodes.moved(shelf, balancer.arn, moves, now, bits))
        by_place = {one.place: one for one in balancer.nodes}
        for node in (by_place[move.place] for move in moves if move.step is Step.CARRY):
            await self._carry(balancer, node)

    async def _carry(self, balancer: LoadBalancer, node: Node) -> None:
        request = nodes.placed_request(self._network.shelf(balancer.account), balancer, node)
        manager = self._capacities.get(node.zone)
        if request is None or manager is None or node.host_id is None:
            return
        given = await manager.carry(request, node.host_id)
        if isinstance(given, NoCapacity):
            _log.warning("a load balancer's node waits", balancer=balancer.arn, why="the zone has no other host for it")
            return
        await self._network.change(
            balancer.account, lambda shelf: nodes.carried(shelf, balancer.arn, node.place, given)
        )

    async def _place(self, balancer: LoadBalancer, node: Node, now: float, planner: MovePlanner) -> None:
        request = nodes.placed_request(self._network.shelf(balancer.account), balancer, node)
        manager = self._capacities.get(node.zone)
        if request is None or manager is None:
            return  # a zone that was taken away may come again
        given = await manager.place(request)
        arn, place = balancer.arn, node.place
        if isinstance(given, NoCapacity):
            _log.warning("a load balancer waits", balancer=arn, why="the zone has no host for it")
            if planner.is_hopeless(node.zone) and now - balancer.created_at >= self._no_host_s:
                await self._network.change(balancer.account, lambda shelf: nodes.refused(shelf, arn, place, given))
        elif isinstance(given, NoAddress):
            await self._network.change(balancer.account, lambda shelf: nodes.refused(shelf, arn, place, given))
        else:
            await self._network.change(balancer.account, lambda shelf: nodes.placed(shelf, arn, place, given, now))

    async def _release(self, balancer: LoadBalancer, node: Node) -> None:
        """A zone that was taken out of the configuration took its addresses with it."""
        manager = self._capacities.get(node.zone)
        if manager is not None:
            await manager.release(node.place, node.zone)
        await self._network.change(balancer.account, lambda shelf: nodes.released(shelf, balancer.arn, node.place))
