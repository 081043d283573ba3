"""Brings the nodes of load balancers to their places and takes them away again. A part of `network/placing.py`.

As for interfaces of VPC endpoints: the record is durable before the zone is asked, and says what the zone answered only
after it has; a zone's answers can be asked for again. Must not know requests.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ...interfaces.roles import CapacityManager
from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.capacity import NoAddress, NoCapacity, RecordedReservation
from ...model.errors import AwsError
from ..regional.shelves import Shelf
from . import balancer_nodes as nodes
from .balancers import LoadBalancer, Node
from .objects import Subnet
from .places import interface_of, must_hold

if TYPE_CHECKING:
    from .registry import NetworkRegistry

_log = get_logger(__name__)


def places_in(shelf: Shelf, states: Collection[str]) -> Iterator[str]:
    """Of nodes in these states: what zones know them by."""
    return (one.place for balancer in shelf.all(LoadBalancer) for one in balancer.nodes if one.state in states)


def recorded(shelf: Shelf) -> Iterator[RecordedReservation]:
    """What the zones must hold. An elastic address is not theirs."""
    for balancer in shelf.all(LoadBalancer):
        for one in nodes.there(balancer):
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
    def __init__(self, network: "NetworkRegistry", capacities: Mapping[str, CapacityManager]) -> None:
        self._network = network
        self._capacities = capacities

    async def look(self, account: str, now: float) -> None:
        """All that is to be done now, once; what fails is left to the next look."""
        for balancer in list(self._network.shelf(account).all(LoadBalancer)):  # others may go between two of them
            for one in balancer.nodes:
                try:
                    if one.state == nodes.PENDING:
                        await self._place(balancer, one, now)
                    elif one.state == nodes.LEAVING:
                        await self._release(balancer, one)
                except (AwsError, Overloaded) as error:
                    _log.warning("a load balancer waits", balancer=balancer.arn, state=one.state, why=str(error))

    async def _place(self, balancer: LoadBalancer, node: Node, now: float) -> None:
        request = nodes.placed_request(self._network.shelf(balancer.account), balancer, node)
        manager = self._capacities.get(node.zone)
        if request is None or manager is None:
            return  # a zone that was taken away may come again
        given = await manager.place(request)
        arn, place = balancer.arn, node.place
        if isinstance(given, NoCapacity):
            _log.warning("a load balancer waits", balancer=arn, why="the zone has no host for it")
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
