"""Through no uplink does a task reach the host itself: all of its addresses are tried from inside, and none answers."""

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from neargate.hostnet.edge import EDGE_HOP, ROUTER_HOP
from neargate.hostnet.nftables import Nftables
from neargate.hostnet.uplink.pasta import program
from neargate.testing.netlab import connect, entered, listener_in, pings, reaches, socket_in
from neargate.uplink.texts import EDGE_END_HOP, TAP_ADDRESS, TAP_END_HOP, TAP_GATEWAY

from .uplink_lab import GATEWAY, HOST_ADDRESS, SERVER, TASK, UplinkLab, address_in, run, udp_in

MODES = ["nat", pytest.param("user", marks=pytest.mark.skipif(program() is None, reason="passt is not installed"))]
pytestmark = [pytest.mark.root, pytest.mark.parametrize("mode", MODES)]
PORT = 8080
OTHERS = "203.0.113.77"
BEHIND = "192.0.2.1"
CLOUD_METADATA = "169.254.169.254"
LATER = "203.0.113.99"


def test_nothing_of_the_host_answers(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", BEHIND, "192.0.2.7")
        address_in(lab.host, "eth0", OTHERS)
        address_in(lab.host, "lo", CLOUD_METADATA)
        address_in(lab.internet, "net0", "169.254.169.253")
        await lab.start()
        address_in(lab.host, "eth0", LATER)

        async def is_kept_off() -> bool:
            with entered(str(lab.directory / "netns" / "edge")):
                edge = Nftables()
            listed = edge.run("list set inet neargate_uplink own\n")
            edge.close()
            return LATER in listed

        await lab.until(is_kept_off, "nobody noticed the new address")
        own = [HOST_ADDRESS, OTHERS, BEHIND, LATER, lab.pool_host_address(), "127.0.0.1", "127.8.8.8", "0.0.0.0"]
        links = [EDGE_HOP, ROUTER_HOP, EDGE_END_HOP, TAP_END_HOP, TAP_ADDRESS, TAP_GATEWAY, CLOUD_METADATA]
        asked = [*own, *links, "169.254.169.253", "255.255.255.255", "224.0.0.1"]
        with ExitStack() as open_sockets:
            for place in (lab.host, lab.internet):
                open_sockets.enter_context(listener_in(place, "0.0.0.0", PORT))
            udp = open_sockets.enter_context(udp_in(lab.host, "0.0.0.0", PORT))
            for _ in range(2):
                assert await _answers(lab.task, asked) == []
            assert await _pinged(lab.task, [HOST_ADDRESS, OTHERS, lab.pool_host_address()]) == []
            await _send(lab.task, asked)
            # What goes out goes out all the same, so it was not silence that was measured.
            assert await reaches(lab.task, SERVER, PORT)
            assert await reaches(lab.task, GATEWAY, PORT)
            assert await reaches(lab.host, HOST_ADDRESS, PORT)
            with pytest.raises(BlockingIOError):
                udp.recv(16)

    run(tmp_path, mode, scenario)


def test_the_host_reaches_tasks_as_before(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        with listener_in(lab.task, "0.0.0.0", PORT):
            assert await reaches(lab.host, TASK, PORT)

    run(tmp_path, mode, scenario)


def test_what_the_host_would_translate_to_itself_is_no_way_in(tmp_path: Path, mode: str) -> None:
    """A published port of a container on the host: what is asked for is the host's, and changed before it is routed."""

    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", BEHIND, "192.0.2.7")
        published = f"ip daddr {HOST_ADDRESS} tcp dport {PORT} dnat to 192.0.2.7"
        for hook in ("prerouting", "output"):
            chain = f"chain c_{hook} {{ type nat hook {hook} priority -100; {published}\n}}"
            lab.rules(f"table ip published {{ {chain}\n}}")
        await lab.start()
        with listener_in(lab.second, "0.0.0.0", PORT), listener_in(lab.second, "0.0.0.0", PORT + 1):
            assert await reaches(lab.host, HOST_ADDRESS, PORT)
            assert await connect(lab.task, HOST_ADDRESS, PORT, 0.5) is None
            # The machine behind it is not the host.
            assert await reaches(lab.task, "192.0.2.7", PORT + 1)

    run(tmp_path, mode, scenario)


async def _answers(task: str, addresses: list[str]) -> list[str]:
    found = await asyncio.gather(*(connect(task, address, PORT, 0.5) for address in addresses))
    for client in found:
        if client is not None:
            client.close()
    return [address for address, client in zip(addresses, found, strict=True) if client is not None]


async def _pinged(task: str, addresses: list[str]) -> list[str]:
    return [address for address in addresses if await pings(task, address)]


async def _send(task: str, addresses: list[str]) -> None:
    """A datagram to each. What the kernel refuses to send has not arrived either."""
    with entered(task):
        sender = socket_in(None, socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for address in addresses:
            try:
                sender.sendto(b"x", (address, PORT))
            except OSError:
                continue
