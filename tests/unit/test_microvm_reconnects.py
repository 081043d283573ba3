"""Over any number of cut connections no byte of a kept process's output is lost or comes twice."""

import asyncio
import struct
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neargate.sandbox.microvm.errors import GuestBroke, GuestGone
from neargate.sandbox.microvm.guest import Guest
from neargate.testing.fake_guest_processes import FakeProcess, Program
from neargate.testing.guest_rig import GuestRig

WRITING = ("write",)


def content(length: int) -> bytes:
    """No four bytes of it are alike."""
    return b"".join(struct.pack(">I", at) for at in range(length // 4 + 1))[:length]


def writing(whole: bytes, pieces: list[int]) -> Program:
    async def program(process: FakeProcess) -> int:
        await process.begin()
        at = 0
        while at < len(whole):
            for piece in pieces:
                await process.say(whole[at : at + piece])
                at += piece
        return 9

    return program


async def _log(guest: Guest, number: int, log: bytearray, grown: asyncio.Event) -> None:
    """As the agent writes a container's log file: what is in it is known after a kill, too."""
    async for part in guest.processes[number].output(len(log)):
        log += part
        grown.set()


async def _chatter(guest: Guest) -> None:
    """Requests that are cut in the middle."""
    count = 0
    while True:
        count += 1
        await guest.file(f"/run/{count % 7}", bytes(90_000))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    length=st.integers(0, 700_000),
    pieces=st.lists(st.integers(1, 100_000), min_size=1, max_size=4),
    cuts=st.lists(st.tuples(st.sampled_from(["guest", "host"]), st.integers(0, 150_000)), max_size=12),
    chatters=st.booleans(),
)
def test_no_byte_is_lost_or_doubled(
    length: int, pieces: list[int], cuts: list[tuple[str, int]], chatters: bool
) -> None:
    whole, log = content(length), bytearray()

    async def connection(rig: GuestRig, number: int, cut: tuple[str, int] | None) -> None:
        """One agent's time, to its end by a kill or to the output's end."""
        if cut is not None and cut[0] == "guest":
            rig.fake.cut_in = cut[1]
        guest = await rig.connect()
        grown = asyncio.Event()
        tasks = [rig.world.spawn(_log(guest, number, log, grown), "log")]
        if chatters and cut is not None:
            tasks.append(rig.world.spawn(_chatter(guest), "chatter"))
        if cut is not None and cut[0] == "host":
            enough = min(len(log) + cut[1], length)
            while len(log) < enough:
                grown.clear()
                await grown.wait()
            for task in tasks:
                task.cancel()
            await guest.close()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done() and not tasks[0].cancelled() and tasks[0].exception() is None:
            assert await guest.processes[number].wait() == 9
        await guest.close()
        await asyncio.wait(tasks)
        assert not isinstance(await guest.ended(), GuestBroke)

    async def life(rig: GuestRig) -> None:
        first = await rig.connect()
        process = await first.run(WRITING, kept=True)
        await first.close()
        for cut in [*cuts, None]:
            (end,) = await asyncio.gather(connection(rig, process.number, cut), return_exceptions=True)
            assert end is None or type(end) is GuestGone, end
        rig.failures[:] = [failure for failure in rig.failures if type(failure) is not GuestGone]

    with tempfile.TemporaryDirectory() as directory:
        rig = GuestRig(Path(directory), {WRITING: writing(whole, pieces)})
        rig.run(life)
        assert bytes(log) == whole
        assert not rig.fake.complaints


def test_what_was_read_and_not_noted_comes_again_on_the_same_connection(tmp_path: Path) -> None:
    """A consumer was cancelled in its work, the connection goes on; also where all that may come is here already."""
    whole = content(400_000)

    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(WRITING, kept=True)
        log = bytearray()
        step = 0
        while len(log) < len(whole):
            output = process.output(len(log))
            part = await anext(output)
            await rig.world.sleep(1)
            step += 1
            log += part if step % 2 else part[: len(part) // 2 or 1]
            await output.aclose()
        assert log == whole

    GuestRig(tmp_path, {WRITING: writing(whole, [70_000])}).run(life)
