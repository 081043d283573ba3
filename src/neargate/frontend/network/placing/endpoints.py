"""Brings the interfaces of VPC endpoints to their places and takes them away again. A part of `placing/loop.py`.

What is asked of zones: `placer.py`. Must not know requests.
"""

from collections.abc import Collection, Iterator, Mapping

from ....interfaces.roles import CapacityManager
from ....interfaces.store import Overloaded
from ....log import get_logger
from ....model.capacity import RecordedReservation
from ....model.errors import AwsError
from ...regional.shelves import Shelf
from ..endpoints import interface_endpoints
from ..nodes.node_moves import MovePlanner
from ..places import interface_of, must_hold
from ..records.objects import EndpointInterface, Subnet, VpcEndpoint
from ..registry import NetworkRegistry
from .placer import Placer, Thing

_log = get_logger(__name__)


def places_in(shelf: Shelf, states: Collection[str]) -> Iterator[str]:
    """Of interfaces in these states: what zones know them by."""
    return (one.place for endpoint in shelf.all(VpcEndpoint) for one in endpoint.interfaces if one.state in states)


def recorded(shelf: Shelf) -> Iterator[RecordedReservation]:
    """What the zones must hold."""
    for endpoint in shelf.all(VpcEndpoint):
        for one in endpoint.interfaces:
            subnet = shelf.find(Subnet, one.subnet_id)
            if one.state == interface_endpoints.AVAILABLE and subnet is not None:
                yield must_hold(
                    subnet,
                    interface_of(one, subnet),
                    place=one.place,
                    capacity_id=one.capacity_id or "",
                    owner=interface_endpoints.description(endpoint),
                    created_at=endpoint.created_at,
                    host_id=one.host_id or "",
                )


class EndpointPlacing:
    def __init__(self, network: NetworkRegistry, capacities: Mapping[str, CapacityManager]) -> None:
        self._network = network
        self._placer = Placer(network, capacities)

    async def look(self, account: str, planner: MovePlanner) -> None:
        """All that is to be done now, once; what fails is left to the next look."""
        for endpoint in list(self._network.shelf(account).all(VpcEndpoint)):  # others may go between two of them
            for one in endpoint.interfaces:
                try:
                    await self._look_at(endpoint, one, planner)
                except (AwsError, Overloaded) as error:
                    _log.warning("a VPC endpoint waits", endpoint=endpoint.name, state=one.state, why=str(error))

    async def _look_at(self, endpoint: VpcEndpoint, one: EndpointInterface, planner: MovePlanner) -> None:
        """Every host serves it, so it goes to another at once: which one says what passes by it (flow logs)."""
        if one.state == interface_endpoints.PENDING:
            if await self._placer.place(self._thing(endpoint, one)) is not None:
                _log.warning("a VPC endpoint waits", endpoint=endpoint.name, why="the zone has no host for it")
        elif one.state == interface_endpoints.DELETING:
            await self._placer.release(self._thing(endpoint, one))
        elif one.state == interface_endpoints.AVAILABLE and planner.is_to_leave(one.host_id, one.zone):
            await self._placer.carry(self._thing(endpoint, one), one.host_id or "")

    def _thing(self, endpoint: VpcEndpoint, one: EndpointInterface) -> Thing:
        name, place = endpoint.name, one.place
        return Thing(
            account=endpoint.account,
            place=place,
            zone=one.zone,
            request=interface_endpoints.placed_request(self._network.shelf(endpoint.account), endpoint, one),
            placed=lambda shelf, given: interface_endpoints.placed(shelf, name, place, given),
            refused=lambda shelf, why: interface_endpoints.failed(shelf, name, place, is_taken=why.is_taken),
            carried=lambda shelf, given: interface_endpoints.carried(shelf, name, place, given),
            released=lambda shelf: interface_endpoints.released(shelf, name, place),
        )
