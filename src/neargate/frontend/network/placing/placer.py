"""Asks a zone for one thing that has a place, and records what it answered: for nodes of load balancers and interfaces
of VPC endpoints alike.

The record is durable before the zone is asked, and says what the zone answered only after it has; a zone's answers can
be asked for again. Must not know what the things are.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from ....interfaces.roles import CapacityManager
from ....model.capacity import NoAddress, NoCapacity, PlacedRequest, Reservation
from ...regional.shelves import Change, Shelf

if TYPE_CHECKING:
    from ..registry import NetworkRegistry

Answered = Callable[[Shelf, Reservation], Change[None]]


class Thing(Struct, frozen=True, kw_only=True):
    """`place`: what its zone knows it by. `request` None: its subnet is gone. The others: what becomes of its record
    when it has its place, cannot have it, is on another host, or is given back."""

    account: str
    place: str
    zone: str
    request: PlacedRequest | None
    placed: Answered
    refused: Callable[[Shelf, NoAddress], Change[None]]
    carried: Answered
    released: Callable[[Shelf], Change[None]]


class Placer:
    def __init__(self, network: "NetworkRegistry", capacities: Mapping[str, CapacityManager]) -> None:
        self._network = network
        self._capacities = capacities

    async def place(self, thing: Thing) -> NoCapacity | None:
        """NoCapacity, of which nothing is recorded: the zone has no host for it. A zone that was taken out of the
        configuration may come again."""
        manager = self._capacities.get(thing.zone)
        if thing.request is None or manager is None:
            return None
        given = await manager.place(thing.request)
        if isinstance(given, NoCapacity):
            return given
        if isinstance(given, NoAddress):
            await self._network.change(thing.account, lambda shelf: thing.refused(shelf, given))
        else:
            await self._network.change(thing.account, lambda shelf: thing.placed(shelf, given))
        return None

    async def carry(self, thing: Thing, host_id: str) -> NoCapacity | None:
        """From this host to another, with all that it has. NoCapacity: it stays."""
        manager = self._capacities.get(thing.zone)
        if thing.request is None or manager is None:
            return None
        given = await manager.carry(thing.request, host_id)
        if isinstance(given, NoCapacity):
            return given
        await self._network.change(thing.account, lambda shelf: thing.carried(shelf, given))
        return None

    async def release(self, thing: Thing) -> None:
        """A zone that was taken out of the configuration took its addresses with it."""
        manager = self._capacities.get(thing.zone)
        if manager is not None:
            await manager.release(thing.place, thing.zone)
        await self._network.change(thing.account, thing.released)
