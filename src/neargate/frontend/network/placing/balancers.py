"""Brings the nodes of load balancers to their places, to others when their hosts are lost or drained, and takes them
away again. A part of `placing/loop.py`.

What is asked of zones: `placer.py`. Which node goes where and when: `node_moves.py`. Must not know requests.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ....interfaces.roles import CapacityManager
from ....interfaces.store import Overloaded
from ....log import get_logger
from ....model.capacity import RecordedReservation
from ....model.errors import AwsError
from ...regional.shelves import Shelf
from ..nodes import balancer_nodes as nodes
from ..nodes.node_moves import MovePlanner, Step
from ..places import interface_of, must_hold
from ..records.balancers import DELETING, FAILED, LEAVING, MOVING, PENDING, RETIRING, LoadBalancer, Node
from ..records.objects import Subnet
from .placer import Placer, Thing

if TYPE_CHECKING:
    from ..registry import NetworkRegistry

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
    """`no_host_s`: of a load balancer's life, for the first host of a zone to come."""

    def __init__(self, network: "NetworkRegistry", capacities: Mapping[str, CapacityManager], no_host_s: float) -> None:
        self._network = network
        self._placer = Placer(network, capacities)
        self._no_host_s = no_host_s

    async def look(self, account: str, now: float, planner: MovePlanner) -> None:
        """All that is to be done now, once; what fails is left to the next look."""
        for arn in [one.arn for one in self._network.shelf(account).all(LoadBalancer)]:
            try:
                await self._move(account, arn, now, planner)
            except (AwsError, Overloaded) as error:
                _log.warning("a load balancer's nodes stay where they are", balancer=arn, why=str(error))
            balancer = self._network.shelf(account).find(LoadBalancer, arn)
            if balancer is None:
                continue
            for one in balancer.nodes:
                try:
                    if one.state == PENDING:
                        await self._place(balancer, one, now, planner)
                    elif one.state == LEAVING:
                        await self._placer.release(self._thing(balancer, one, now))
                except (AwsError, Overloaded) as error:
                    _log.warning("a load balancer waits", balancer=arn, state=one.state, why=str(error))

    async def _move(self, account: str, arn: str, now: float, planner: MovePlanner) -> None:
        balancer = self._network.shelf(account).find(LoadBalancer, arn)
        if balancer is None or balancer.state in (FAILED, DELETING):
            return
        moves = planner.moves(balancer.nodes)
        if not moves:
            return
        for move in moves:
            _log.info("a load balancer's node moves", balancer=arn, node=move.place, step=move.step.name.lower())
        bits = self._network.bits
        await self._network.change(account, lambda shelf: nodes.moved(shelf, arn, moves, now, bits))
        carried = {move.place for move in moves if move.step is Step.CARRY}
        for node in (one for one in balancer.nodes if one.place in carried):
            if await self._placer.carry(self._thing(balancer, node, now), node.host_id or "") is not None:
                _log.warning("a load balancer's node waits", balancer=arn, why="the zone has no other host for it")

    async def _place(self, balancer: LoadBalancer, node: Node, now: float, planner: MovePlanner) -> None:
        none = await self._placer.place(self._thing(balancer, node, now))
        if none is None:
            return
        arn, place = balancer.arn, node.place
        _log.warning("a load balancer waits", balancer=arn, why="the zone has no host for it")
        if planner.is_hopeless(node.zone) and now - balancer.created_at >= self._no_host_s:
            await self._network.change(balancer.account, lambda shelf: nodes.refused(shelf, arn, place, none))

    def _thing(self, balancer: LoadBalancer, node: Node, now: float) -> Thing:
        arn, place = balancer.arn, node.place
        return Thing(
            account=balancer.account,
            place=place,
            zone=node.zone,
            request=nodes.placed_request(self._network.shelf(balancer.account), balancer, node),
            placed=lambda shelf, given: nodes.placed(shelf, arn, place, given, now),
            refused=lambda shelf, why: nodes.refused(shelf, arn, place, why),
            carried=lambda shelf, given: nodes.carried(shelf, arn, place, given),
            released=lambda shelf: nodes.released(shelf, arn, place),
        )
