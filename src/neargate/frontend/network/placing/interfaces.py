"""Asks zones for the addresses of interfaces that callers make, and gives them back. A part of `placing/loop.py`.

As for NAT gateways: the record names a place before the zone is asked for it, and forgets it only when the zone has it
back. An operation asks at once and answers with what it was given; what it leaves behind, killed or gone, the loop
takes back when it is old enough. Must not know requests.
"""

from collections.abc import Collection, Iterator, Mapping

from ....interfaces.roles import CapacityManager
from ....interfaces.store import Overloaded
from ....log import get_logger
from ....model.capacity import NoAddress, NoCapacity, RecordedReservation, Reservation
from ....model.errors import AwsError
from ....model.network import Eni
from ...regional.shelves import Shelf
from ..addressing import interfaces
from ..errors.interfaces import InterfaceAddressInUse, NoFreeAddresses
from ..places import must_hold
from ..records.objects import InterfaceAddress, NetworkInterface, Subnet
from ..registry import NetworkRegistry

_log = get_logger(__name__)


def places_of(shelf: Shelf, *, at_start: bool) -> Iterator[str]:
    """What zones may hold. At start nothing for those that were leaving: they may have been given back already."""
    states = (interfaces.PENDING, interfaces.HELD, *(() if at_start else (interfaces.LEAVING,)))
    for found in shelf.all(NetworkInterface):
        yield from (one.place for one in found.addresses if one.state in states)


def recorded_addresses(shelf: Shelf) -> Iterator[RecordedReservation]:
    """What the zones must hold."""
    for found in shelf.all(NetworkInterface):
        subnet = shelf.find(Subnet, found.subnet_id)
        if subnet is not None:
            yield from (_recorded(found, one, subnet) for one in found.held)


def _recorded(found: NetworkInterface, address: InterfaceAddress, subnet: Subnet) -> RecordedReservation:
    eni = Eni(
        eni_id=address.hold_id,
        attachment_id="",
        mac=address.mac,
        vpc_id=found.vpc_id,
        subnet_id=found.subnet_id,
        subnet_cidr=subnet.cidr,
        private_ipv4=address.private_ip,
    )
    return must_hold(
        subnet,
        eni,
        place=address.place,
        capacity_id=address.capacity_id,
        owner=found.name,
        created_at=found.created_at,
    )


class InterfacePlacing:
    def __init__(self, network: NetworkRegistry, capacities: Mapping[str, CapacityManager]) -> None:
        self._network = network
        self._capacities = capacities

    async def hold(self, found: NetworkInterface, places: Collection[str]) -> NetworkInterface:
        """All its addresses of these places, which are pending, or none of them; other calls ask for the others.

        Raises InterfaceAddressInUse, NoFreeAddresses.
        """
        answers: dict[str, Reservation] = {}
        pending = [one for one in found.addresses if one.place in places]
        for one in pending:
            answer = await self._ask(found, one)
            if isinstance(answer, Reservation):
                answers[one.place] = answer
                continue
            await self._give_up(found, [each.place for each in pending])
            taken = isinstance(answer, NoAddress) and answer.is_taken and one.wanted is not None
            raise InterfaceAddressInUse(str(one.wanted)) if taken else NoFreeAddresses
        held = await self._network.change(found.account, lambda shelf: interfaces.given(shelf, found.name, answers))
        if held is None:  # it took so long that the loop has given it up
            raise NoFreeAddresses
        return held

    async def _ask(self, found: NetworkInterface, address: InterfaceAddress) -> Reservation | NoCapacity | NoAddress:
        request = interfaces.placed_request(self._network.shelf(found.account), found, address)
        manager = self._capacities.get(found.zone)
        if request is None or manager is None:
            return NoAddress()
        return await manager.place(request)

    async def let_go(self, found: NetworkInterface) -> None:
        """Its leaving addresses. What fails is left to the loop."""
        leaving = [one.place for one in found.addresses if one.state == interfaces.LEAVING]
        manager = self._capacities.get(found.zone)
        try:
            for place in leaving:
                if manager is not None:  # a zone that was taken out of the configuration took its addresses with it
                    await manager.release(place, found.zone)
            await self._network.change(found.account, lambda shelf: interfaces.let_go(shelf, found.name, leaving))
        except (AwsError, Overloaded) as error:
            _log.warning("an interface's addresses are not free yet", interface=found.name, why=str(error))

    async def look(self, account: str, now: float, pending_s: float) -> None:
        """`pending_s`: for so long an operation may be asking for an address."""
        for found in list(self._network.shelf(account).all(NetworkInterface)):
            late = _late(found.addresses, now - pending_s, now)
            if late:
                await self._give_up(found, late)
            elif any(one.state == interfaces.LEAVING for one in found.addresses):
                await self.let_go(found)

    async def _give_up(self, found: NetworkInterface, late: Collection[str]) -> None:
        try:
            gone = await self._network.change(found.account, lambda shelf: interfaces.given_up(shelf, found.name, late))
        except (AwsError, Overloaded) as error:
            _log.warning("an interface waits", interface=found.name, why=str(error))
            return
        if gone is not None:
            await self.let_go(gone)


def _late(addresses: Collection[InterfaceAddress], before: float, now: float) -> list[str]:
    """One from the future was asked for before the clock was set back."""
    pending = (one for one in addresses if one.state == interfaces.PENDING)
    return [one.place for one in pending if one.asked_at <= before or one.asked_at > now]
