"""Callers' interfaces: calls that come at once have what is theirs, and many addresses are no more work than few."""

import asyncio
from typing import Any, cast

from neargate.frontend.network.addressing import interfaces
from neargate.frontend.network.addressing.interfaces import WantedInterface
from neargate.frontend.network.placing.interfaces import InterfacePlacing
from neargate.frontend.network.placing.loop import Placing
from neargate.frontend.network.records.objects import NetworkInterface, Subnet
from neargate.frontend.network.registry import NetworkRegistry
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk
from neargate.world import OsWorld

from .test_placing import ACCOUNT, ZONE, Process, run, start

NOW = 1.0


async def made(process: Process, token: str | None = None) -> NetworkInterface:
    """As CreateNetworkInterface."""
    subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
    wanted = WantedInterface(
        subnet_id=subnet.name,
        addresses=(None,),
        groups=(),
        description="",
        requester="",
        client_token=token,
        tags=(),
    )
    bits = process.network.bits
    found = await process.network.change(ACCOUNT, lambda shelf: interfaces.create(shelf, wanted, 9, NOW, bits))
    return found if found.is_there else await placing(process).hold(found, [one.place for one in found.addresses])


async def added(process: Process, interface_id: str) -> list[str]:
    """As AssignPrivateIpAddresses: the places that the call asked for, which are held now."""
    bits = process.network.bits

    def decide(shelf: Shelf) -> Change[Any]:
        return interfaces.add_addresses(shelf, interface_id, [None], NOW, bits)

    changed = await process.network.change(ACCOUNT, decide)
    new = changed.addresses[-1].place
    held = await placing(process).hold(changed, [new])
    return [one.place for one in held.held if one.place == new]


def placing(process: Process) -> InterfacePlacing:
    return InterfacePlacing(process.network, {ZONE: process.capacity})


def test_a_token_makes_one_interface_of_two_calls_at_once() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        one, other = await asyncio.gather(made(process, "once"), made(process, "once"))
        assert one == other and one.is_there
        assert len(await process.capacity.placed()) == 1

    run(main)


def test_two_calls_that_add_addresses_at_once_have_one_each() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        name = (await made(process)).name
        [one], [other] = await asyncio.gather(added(process, name), added(process, name))
        assert one != other
        found = process.network.shelf(ACCOUNT).find(NetworkInterface, name)
        assert found is not None and len(found.held) == len(found.addresses) == 3

    run(main)


class Counted:
    """A region's network that counts how often somebody goes through all of its accounts."""

    def __init__(self, network: NetworkRegistry) -> None:
        self._network = network
        self.passes = 0

    def accounts(self) -> list[str]:
        self.passes += 1
        return self._network.accounts()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def test_how_often_all_records_are_read_is_not_a_matter_of_how_many_addresses_are_held() -> None:
    async def passes(process: Process) -> int:
        counted = Counted(process.network)
        await Placing(OsWorld(), cast(NetworkRegistry, counted), {ZONE: process.capacity}, Knobs()).look()
        return counted.passes

    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await made(process)
        few = await passes(process)
        for _ in range(5):
            await made(process)
        assert len(await process.capacity.placed()) == 6
        assert await passes(process) == few

    run(main)
