"""Calls of callers' interfaces that come at once: of one token one interface, and to each call its own addresses."""

import asyncio
from typing import Any

from neargate.frontend.network import interfaces
from neargate.frontend.network.interfaces import WantedInterface
from neargate.frontend.network.objects import NetworkInterface, Subnet
from neargate.frontend.network.placing_interfaces import InterfacePlacing
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.store.sqlite import MemoryDisk

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
