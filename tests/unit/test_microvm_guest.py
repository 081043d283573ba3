"""What an engine asks arrives at the guest as the table says, and its processes are typed."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.sandbox.microvm.channel import Limits
from neargate.sandbox.microvm.errors import GuestBroke, GuestGone, GuestRefused
from neargate.sandbox.microvm.guest import Guest
from neargate.sandbox.microvm.numbers import StreamNumbers
from neargate.testing.fake_guest import FILE, FakeFile, FakeGuest
from neargate.testing.fake_guest_processes import FakeProcess, cat, sleep
from neargate.testing.guest_rig import GuestRig
from neargate.testing.virtual_time import EPOCH, VirtualWorld, run_virtual

Play = Callable[[Callable[[GuestRig], Awaitable[None]]], None]


async def sized(process: FakeProcess) -> int:
    while True:
        await process.hear()
        await process.say(repr(process.size).encode())


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def played(life: Callable[[GuestRig], Awaitable[None]]) -> None:
        rig = GuestRig(tmp_path, {("sleep",): sleep, ("cat",): cat, ("size",): sized})
        rig.run(life)
        assert not rig.fake.complaints

    return played


def test_what_is_asked_arrives(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest, fake = await rig.connect(), rig.fake
        await guest.mount("serial:abc", "/images/abc", "erofs", flags=1, data="ro")
        await guest.mount("tmpfs", "/run/t", "tmpfs")
        assert fake.mounts == [(1, "serial:abc", "/images/abc", "erofs", "ro"), (0, "tmpfs", "/run/t", "tmpfs", "")]
        await guest.directory("/run/d", mode=0o711, uid=5, gid=6)
        assert fake.directories == {"/run/d": (0o711, 5, 6)}
        await guest.netlink(b"message")
        assert fake.netlinks == [b"message"]
        await guest.clock()
        assert fake.clocks == [pytest.approx(EPOCH + rig.world.monotonic())]
        await guest.entropy(b"e" * 256)
        assert fake.entropy == b"e" * 256
        assert not fake.has_disks
        await guest.disks(2)
        assert fake.has_disks

    play(life)


@pytest.mark.parametrize("length", [0, 1, 65536 - 13 - 7, 65536 - 13 - 6, 500_000])
def test_a_file_of_any_length_arrives_whole(play: Play, length: int) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        rig.fake.files["/run/f"] = FakeFile(b"old", 0, 0, 0)
        content = os.urandom(length)
        await guest.file("/run/g", content, mode=0o640, uid=1, gid=2)
        assert rig.fake.files["/run/g"] == FakeFile(content, 0o640, 1, 2)
        await guest.file("/run/f", content)
        assert rig.fake.files["/run/f"].content == content
        assert rig.fake.asked.count(FILE) == 2 * max(1, -(-length // (65536 - 13 - 7)))

    play(life)


@pytest.mark.parametrize(
    "words", [("sleep", "with\0nul"), tuple("word" for _ in range(14_000))], ids=["a NUL", "too many words"]
)
def test_words_that_no_frame_holds_are_the_callers_mistake(play: Play, words: tuple[str, ...]) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        with pytest.raises(ValueError, match=r"NUL|frame"):
            await guest.run(words)
        assert not guest.processes
        await guest.file("/run/f", b"")

    play(life)


def test_a_terminal_has_a_size_that_changes(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("size",), terminal=(80, 24))
        assert process.is_terminal and not process.is_kept and not process.is_container
        output = process.output()
        await process.write(b"?")
        assert await anext(output) == b"(80, 24)"
        await process.resize(132, 50)
        await process.write(b"?")
        assert await anext(output) == b"(132, 50)"
        await output.aclose()

    play(life)


def test_a_write_returns_when_it_was_taken_and_the_next_waits_its_turn(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("cat",))
        fake = rig.fake.processes[process.number]
        fake.reads.clear()
        first = rig.world.spawn(process.write(b"a" * 200_000), "first")
        second = rig.world.spawn(process.write(b"b" * 10), "second")
        empty = rig.world.spawn(process.write(b""), "empty")
        await rig.world.sleep(1)
        assert not first.done() and not second.done() and not empty.done()
        fake.reads.set()
        heard = b""
        async for part in process.output():
            heard += part
            if len(heard) == 200_010:
                break
        assert heard == b"a" * 200_000 + b"b" * 10
        await asyncio.wait([first, second, empty])
        await process.end_input()
        assert await process.wait() == 0

    play(life)


def test_a_write_that_fits_returns_when_it_was_taken_too(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("cat",))
        fake = rig.fake.processes[process.number]
        fake.reads.clear()
        writing = rig.world.spawn(process.write(b"few"), "writing")
        await rig.world.sleep(1)
        assert not writing.done()
        fake.reads.set()
        await asyncio.wait([writing])
        assert fake.taken == 3

    play(life)


def test_a_writer_does_not_wait_for_what_has_exited(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("cat",))
        rig.fake.processes[process.number].reads.clear()
        writing = rig.world.spawn(process.write(bytes(200_000)), "writing")
        await rig.world.sleep(1)
        await process.signal(9)
        assert await process.wait() == 137
        await asyncio.wait([writing])
        await process.end_input()

    play(life)


def test_a_container_that_an_earlier_agent_was_making_is_told_when_it_runs(play: Play) -> None:
    async def slow(process: FakeProcess) -> int:
        await process.hear()
        return await sleep(process)

    async def life(rig: GuestRig) -> None:
        rig.fake.programs[("make",)] = slow
        first = await rig.connect()
        number = await first.number()
        making = rig.world.spawn(first.run(("make",), number=number, kept=True, pid_file="/run/pid"), "making")
        await rig.world.sleep(1)
        making.cancel()
        await asyncio.wait([making])
        await first.close()
        second = await rig.connect()
        container = second.processes[number]
        assert container.is_container and container.is_kept and container.pid is None
        waiting = rig.world.spawn(container.started(), "waiting")
        await container.write(b"go on")
        await asyncio.wait([waiting])
        assert waiting.result() == container.pid is not None

    play(life)


# ---------------------------------------------------------------- how it is reached


def test_nobody_there_is_no_fault_of_the_guest(tmp_path: Path) -> None:
    async def life() -> None:
        world = VirtualWorld()
        numbers = StreamNumbers(world, str(tmp_path / "streams"))
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "sock")
        fake = FakeGuest(world, str(tmp_path / "sock"))
        await fake.start()
        for name in ("missing", "file", "link"):
            with pytest.raises(GuestGone) as gone:
                await Guest.connect(world, directory=str(tmp_path), name=name, numbers=numbers)
            assert not isinstance(gone.value, GuestBroke)
        await fake.stop()
        with pytest.raises(GuestGone) as gone:
            await Guest.connect(world, directory=str(tmp_path), name="sock", numbers=numbers)
        assert not isinstance(gone.value, GuestBroke)

    run_virtual(life())


def test_the_path_may_be_longer_than_a_sockets_address(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)

    async def life(rig: GuestRig) -> None:
        assert (await rig.connect()).kernel == "6.1.0-fake"

    GuestRig(directory, {}).run(life)


def test_a_handle_is_left_by_no_connection(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        await guest.close()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            guest = await rig.connect()
            await guest.close()
            await rig.world.sleep(1)
        assert len(os.listdir("/proc/self/fd")) <= before

    play(life)


# ---------------------------------------------------------------- stream numbers


def test_a_number_is_given_once_also_over_restarts(tmp_path: Path) -> None:
    path = str(tmp_path / "streams")

    async def life() -> None:
        world = VirtualWorld()
        given: list[int] = []
        for count in (3, 1, 5000, 2):
            numbers = StreamNumbers(world, path)
            given += [await numbers.next() for _ in range(count)]
            assert numbers.was_given(given[0]) == (len(given) > count)
            assert not numbers.was_given(given[-1] + 5000)
        given += await asyncio.gather(*(numbers.next() for _ in range(5000)))
        assert max(given) < 10 * 4096, "callers at the same time take a block together"
        assert len(set(given)) == len(given) and min(given) > 0

    run_virtual(life())


@pytest.mark.parametrize("content", ["", "x", "-", str(2**32 - 5), "9" * 30])
def test_a_file_that_holds_no_number_is_not_gone_on_with(tmp_path: Path, content: str) -> None:
    (tmp_path / "streams").write_text(content)

    async def life() -> None:
        with pytest.raises(ValueError, match=r"."):
            await StreamNumbers(VirtualWorld(), str(tmp_path / "streams")).next()

    run_virtual(life())


def test_a_number_that_was_noted_before_is_the_processes(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        number = await guest.number()
        process = await guest.run(("sleep",), number=number)
        assert process.number == number and set(guest.processes) == {number}

    play(life)


def test_forget_of_what_runs_asks_nobody(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("sleep",))
        asked = list(rig.fake.asked)
        with pytest.raises(GuestRefused):
            await process.forget()
        assert rig.fake.asked == asked

    play(life)


def test_limits_are_a_machines_own(tmp_path: Path) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        rig.fake.mute = {FILE}
        with pytest.raises(GuestBroke, match=r"0\.5 s"):
            await guest.file("/f", b"")

    GuestRig(tmp_path, {}, limits=Limits(answer_s=0.5)).run(life)
