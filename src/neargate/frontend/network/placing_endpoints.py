"""Brings the interfaces of VPC endpoints to their places and takes them away again. A part of `placing.py`.

As for NAT gateways: the record is durable before the zone is asked, and says what the zone answered only after it has;
a zone's answers can be asked for again. Must not know requests.
"""

from collections.abc import Collection, Iterator, Mapping

from ...interfaces.roles import CapacityManager
from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.capacity import NoAddress, NoCapacity, RecordedReservation
from ...model.errors import AwsError
from ..regional.shelves import Shelf
from . import interface_endpoints
from .objects import EndpointInterface, Subnet, VpcEndpoint
from .places import interface_of, must_hold
from .registry import NetworkRegistry

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
        self._capacities = capacities

    async def look(self, account: str) -> None:
        """All that is to be done now, once; what fails is left to the next look."""
        for endpoint in list(self._network.shelf(account).all(VpcEndpoint)):  # others may go between two of them
            for one in endpoint.interfaces:
                try:
                    if one.state == interface_endpoints.PENDING:
                        await self._place(endpoint, one)
                    elif one.state == interface_endpoints.DELETING:
                        await self._release(endpoint, one)
                except (AwsError, Overloaded) as error:
                    _log.warning("a VPC endpoint waits", endpoint=endpoint.name, state=one.state, why=str(error))

    async def _place(self, endpoint: VpcEndpoint, one: EndpointInterface) -> None:
        request = interface_endpoints.placed_request(self._network.shelf(endpoint.account), endpoint, one)
        manager = self._capacities.get(one.zone)
        if request is None or manager is None:
            return  # a zone that was taken away may come again
        given = await manager.place(request)
        if isinstance(given, NoCapacity):
            _log.warning("a VPC endpoint waits", endpoint=endpoint.name, why="the zone has no host for it")
        elif isinstance(given, NoAddress):
            is_taken = given.is_taken
            await self._network.change(
                endpoint.account,
                lambda shelf: interface_endpoints.failed(shelf, endpoint.name, one.place, is_taken=is_taken),
            )
        else:
            await self._network.change(
                endpoint.account, lambda shelf: interface_endpoints.placed(shelf, endpoint.name, one.place, given)
            )

    async def _release(self, endpoint: VpcEndpoint, one: EndpointInterface) -> None:
        """A zone that was taken out of the configuration took its addresses with it."""
        manager = self._capacities.get(one.zone)
        if manager is not None:
            await manager.release(one.place, one.zone)
        await self._network.change(
            endpoint.account, lambda shelf: interface_endpoints.released(shelf, endpoint.name, one.place)
        )
