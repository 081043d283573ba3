"""The socket is read when somebody asks, written within a bound; both loops that the agent may run on do so."""

import asyncio
import socket
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from neargate.sandbox.microvm.connection import Connection
from neargate.testing.fake_guest_processes import cat, saying
from neargate.testing.guest_rig import GuestRig
from neargate.world import OsWorld

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
TURNS = 50


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def ran(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(main)

    return ran


@contextmanager
def listening() -> Iterator[tuple[str, socket.socket]]:
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/sock")
        listener.listen()
        yield directory, listener


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def fill(end: socket.socket) -> int:
    """As much as the kernel takes now."""
    count = 0
    end.setblocking(False)
    try:
        while True:
            count += end.send(bytes(4096))
    except BlockingIOError:
        return count


def test_what_nobody_asks_for_waits_in_the_kernel(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def main() -> None:
        with listening() as (directory, listener):
            connection = await Connection.connect(OsWorld(), directory, "sock")
            end, _ = listener.accept()
            with end:
                await turns()
                sent = fill(end)
                await turns()
                assert fill(end) == 0, "it was read before anybody asked"
                first = await connection.read()
                sent += fill(end)
                await turns()
                assert fill(end) == 0, "it was read on after what was asked for"
                got = len(first)
                while got < sent:
                    got += len(await connection.read())
                assert got == sent
            assert await connection.read() == b""
            connection.abort()

    run(main())


def test_what_is_not_taken_keeps_the_writer_waiting(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def main() -> None:
        with listening() as (directory, listener):
            connection = await Connection.connect(OsWorld(), directory, "sock")
            end, _ = listener.accept()
            with end:
                written = 0
                while written < 8 * 1024 * 1024:
                    waiting = asyncio.ensure_future(connection.writable())
                    await turns()
                    if not waiting.done():
                        break
                    connection.write(bytes(65536))
                    written += 65536
                assert not waiting.done() and connection.unsent_bytes <= 2 * 65536
                got = 0
                while got < written:
                    got += len(await asyncio.get_running_loop().run_in_executor(None, end.recv, 1 << 20))
                    await turns()
                await waiting
                connection.abort()
                await turns()
                with pytest.raises(OSError, match="over"):
                    await connection.writable()

    run(main())


def test_a_guest_is_spoken_to_in_real_time(run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path) -> None:
    big = bytes(range(256)) * 8000
    rig = GuestRig(tmp_path, {("much",): saying(big, 4), ("cat",): cat}, world=OsWorld())

    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("much",))
        assert b"".join([part async for part in process.output()]) == big
        assert await process.wait() == 4
        await guest.file("/run/big", big)
        assert rig.fake.files["/run/big"].content == big

    run(rig.alive(life))
    assert not rig.fake.complaints
