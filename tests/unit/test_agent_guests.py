"""Connections of tasks: one task cannot take the places of the others, and a peer that does not read is cut off."""

import asyncio
import socket
from pathlib import Path
from typing import cast

from neargate.agent.endpoint_proxy import EndpointProxy
from neargate.agent.guests import Guests, farewell, source_of
from neargate.model.knobs import DEFAULT_KNOBS


def test_one_source_has_its_places_and_the_others_theirs() -> None:
    guests = Guests(each_max=2, all_max=3)
    assert [guests.admit("a") for _ in range(3)] == [True, True, False]
    assert guests.admit("b")
    assert not guests.admit("c"), "all places are taken"
    guests.leave("a")
    assert guests.admit("c")
    assert not guests.admit("b"), "all places are taken again"


def test_the_last_quarter_is_for_those_who_have_few() -> None:
    guests = Guests(each_max=64, all_max=1024)
    greedy = [sum(guests.admit(f"greedy-{n}") for _ in range(100)) for n in range(32)]
    assert sum(greedy) == 768 + 4 * 20 and max(greedy) == 64
    assert all(guests.admit(f"modest-{n}") for n in range(176))
    assert not guests.admit("one more"), "all places are taken"


def test_the_tasks_of_all_vpcs_leave_half_of_the_api_to_callers_from_outside(tmp_path: Path) -> None:
    """The same address in another VPC is another task, and counts towards the same whole."""
    assert DEFAULT_KNOBS.proxy_connections_max <= DEFAULT_KNOBS.connections_max // 2
    proxied = Guests(each_max=8, all_max=12)

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
        writer.write(await reader.read(1))
        await reader.read()
        await farewell(writer, 1.0)

    async def echoed(port: int) -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"x")
            return await reader.read(1), writer
        except ConnectionResetError:
            return b"", writer

    async def main() -> list[int]:
        at = str(tmp_path / "api.sock")
        servers = [await asyncio.start_unix_server(api, at)]
        served, writers = [], []
        for vpc_id in ("vpc-1", "vpc-2"):
            proxy = EndpointProxy(DEFAULT_KNOBS, vpc_id, proxied, at)
            servers.append(await asyncio.start_server(proxy.serve, "127.0.0.1", 0))
            outcomes = [await echoed(servers[-1].sockets[0].getsockname()[1]) for _ in range(10)]
            served.append(sum(data == b"x" for data, _ in outcomes))
            writers += [writer for _, writer in outcomes]
        for writer in writers:
            await farewell(writer, 1.0)
        for server in servers:
            server.close()
            await server.wait_closed()
        me = asyncio.current_task()
        if others := {task for task in asyncio.all_tasks() if task is not me}:
            await asyncio.wait(others, timeout=10)
        return served

    assert asyncio.run(main()) == [8, 1]


def test_who_is_gone_before_it_was_known_leaves_no_connection_to_the_api(tmp_path: Path) -> None:
    """Its place is given back, so what it left would be counted for nobody."""
    guests = Guests(each_max=1, all_max=1)
    opened: list[asyncio.StreamReader] = []

    class Gone:
        """What a connection that was reset at once is."""

        transport = None

        def get_extra_info(self, name: str) -> None:
            return None

        def close(self) -> None:
            return

        async def wait_closed(self) -> None:
            return

    async def main() -> None:
        at = str(tmp_path / "api.sock")
        server = await asyncio.start_unix_server(lambda reader, _: opened.append(reader), at)
        proxy = EndpointProxy(DEFAULT_KNOBS, "vpc-1", guests, at)
        await proxy.serve(asyncio.StreamReader(), cast("asyncio.StreamWriter", Gone()))
        assert guests.count == 0
        for _ in range(5):
            await asyncio.sleep(0)
        for reader in opened:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        server.close()

    asyncio.run(main())


def test_a_place_comes_back_when_its_connection_is_gone() -> None:
    guests = Guests(each_max=1, all_max=10)
    for _ in range(100):
        assert guests.admit("a")
        assert not guests.admit("a")
        guests.leave("a")


def test_a_peer_that_does_not_read_keeps_no_socket() -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=here)
        writer.write(b"x" * 16 * 1024 * 1024)  # more than any socket's buffer
        await farewell(writer, 0.05)
        await asyncio.sleep(0)
        assert here.fileno() == -1, "the socket is closed although its bytes were not taken"
        there.close()

    asyncio.run(main())


def test_a_peer_that_reads_gets_all_of_it() -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=here)
        reader, other = await asyncio.open_connection(sock=there)
        writer.write(b"x" * 4 * 1024 * 1024)
        received, _ = await asyncio.gather(reader.read(-1), farewell(writer, 30.0))
        assert len(received) == 4 * 1024 * 1024
        assert source_of(writer) == ""
        await farewell(other, 1.0)

    asyncio.run(main())
