"""A guest that breaks the rules ends its machine with a reason, and costs the agent nothing else."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest

from neargate.sandbox.microvm.channel import Limits
from neargate.sandbox.microvm.errors import GuestBroke, GuestGone, GuestRefused
from neargate.sandbox.microvm.guest import Guest
from neargate.sandbox.microvm.stream import WINDOW_BYTES
from neargate.testing.fake_guest import (
    CONTENT,
    DONE,
    ENDED,
    EXIT,
    FAILED,
    FILE,
    FORGET,
    HELLO,
    INPUT,
    OUTPUT,
    READ,
    RUN,
    STARTED,
    STREAM,
    TAKEN,
    said,
)
from neargate.testing.fake_guest_processes import KEPT, FakeProcess, cat, saying, sleep
from neargate.testing.guest_rig import GuestRig

ANSWER_S = 5.0
LIMITS = Limits(hello_s=3.0, answer_s=ANSWER_S, stall_s=4.0)
PROGRAMS = {
    ("sleep",): sleep,
    ("cat",): cat,
    ("three",): saying(b"", 3),
    ("words",): saying(b"words"),
    ("much",): saying(bytes(1_000_000)),
}
Play = Callable[[Callable[[GuestRig], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def played(life: Callable[[GuestRig], Awaitable[None]]) -> None:
        GuestRig(tmp_path, PROGRAMS, limits=LIMITS).run(life)

    return played


async def broke(guest: Guest) -> str:
    """The reason for which the machine is to be ended."""
    end = await guest.ended()
    assert isinstance(end, GuestBroke)
    return end.reason


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def code(value: int) -> bytes:
    return struct.pack("<i", value)


OF_ONE_THAT_RUNS = {
    "speaks of a stream that it was not given": lambda n: said(OUTPUT, n + 50, number(0) + b"x"),
    "says hello again": lambda n: said(HELLO, 0, b'{"protocol":2,"kernel":"6.1"}'),
    "tells of a stream too late": lambda n: said(STREAM, n + 50, struct.pack("<IiBiBQQ", 4, 9, 0, 0, 0, 0, 0)),
    "answers what was not asked": lambda n: said(DONE, n + 50),
    "answers what a process does not ask": lambda n: said(DONE, n),
    "has a content that was not asked for": lambda n: said(CONTENT, n + 50, b"x"),
    "refuses what it has started": lambda n: said(FAILED, n, code(1)),
    "starts it twice": lambda n: said(STARTED, n, code(9)),
    "ends it twice": lambda n: said(EXIT, n, code(0)) + said(EXIT, n, code(0)),
    "starts it after its end": lambda n: said(EXIT, n, code(0)) + said(STARTED, n, code(9)),
    "has output before it may": lambda n: said(OUTPUT, n, number(0) + b"x"),
    "ends its output twice": lambda n: said(ENDED, n, number(0)) * 2,
    "ends its output beyond what a guest keeps": lambda n: said(ENDED, n, number(256 * 1024 + 1)),
    "took what it was not given": lambda n: said(TAKEN, n, number(1)),
    "sends what is no frame": lambda n: said(99, n),
    "announces what is too long": lambda n: b"\xff" * 9,
    "floods with answers": lambda n: said(DONE, n + 50) * 10_000,
}


@pytest.mark.parametrize("lie", OF_ONE_THAT_RUNS.values(), ids=OF_ONE_THAT_RUNS.keys())
def test_a_guest_that(play: Play, lie: Callable[[int], bytes]) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("sleep",))
        rig.fake.say_raw(lie(process.number))
        assert (await broke(guest)).startswith("The guest")
        with pytest.raises(GuestBroke):
            await guest.file("/run/file", b"")

    play(life)


OF_ONE_THAT_IS_READ = {
    "leaves a hole": lambda n: said(OUTPUT, n, number(1) + b"x"),
    "says the same again": lambda n: said(OUTPUT, n, number(0) + b"xy") + said(OUTPUT, n, number(1) + b"y"),
    "goes beyond the limit": lambda n: (
        said(OUTPUT, n, number(0) + bytes(32000))
        + said(OUTPUT, n, number(32000) + bytes(32000))
        + said(OUTPUT, n, number(64000) + bytes(1537))
    ),
    "goes on after its end": lambda n: said(ENDED, n, number(1)) + said(OUTPUT, n, number(0) + b"xy"),
    "ends before its last byte": lambda n: said(ENDED, n, number(1)),
    "ends before what it said": lambda n: said(OUTPUT, n, number(0) + b"xy") + said(ENDED, n, number(1)),
}


@pytest.mark.parametrize("lie", OF_ONE_THAT_IS_READ.values(), ids=OF_ONE_THAT_IS_READ.keys())
def test_an_output_that(play: Play, lie: Callable[[int], bytes]) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("sleep",))
        output = process.output()
        reading = rig.world.spawn(_first(output), "reading")
        await guest.file("/run/file", b"")  # the window is there by now
        rig.fake.say_raw(lie(process.number))
        assert f"stream {process.number} " in await broke(guest)
        reading.cancel()

    play(life)


async def _first(parts: AsyncGenerator[bytes, None]) -> None:
    try:
        async for _ in parts:
            await asyncio.get_running_loop().create_future()  # it consumes nothing
    except GuestGone:
        pass


# ---------------------------------------------------------------- answers


def test_input_is_not_taken_twice(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("cat",))
        await process.write(b"12345")
        rig.fake.say_raw(said(TAKEN, process.number, number(5)))
        assert "took 5" in await broke(guest)

    play(life)


def test_a_container_that_was_not_made_does_not_start_after_all(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        container = await guest.run(("three",), pid_file="/run/pid")
        assert container.exit_code == 3
        rig.fake.say_raw(said(STARTED, container.number, code(9)))
        assert "after its exit" in await broke(guest)

    play(life)


def test_an_answer_of_another_kind_is_a_lie(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        for mute, kind in ((FILE, CONTENT), (READ, DONE)):
            guest = await rig.connect()
            rig.fake.mute = {mute}
            async with asyncio.TaskGroup() as group:
                group.create_task(_expect_broken(guest.file("/run/f", b"") if mute == FILE else guest.read("/run/f")))
                group.create_task(_say_when_asked(rig, mute, kind))
            rig.fake.mute = set()

    play(life)


async def _expect_broken(call: Awaitable[object]) -> None:
    with pytest.raises(GuestBroke):
        await call


async def _say_when_asked(rig: GuestRig, asked: int, kind: int) -> None:
    while rig.fake.asked[-1] != asked:
        await rig.world.sleep(0.01)
    rig.fake.say_raw(said(kind, max(rig.fake.numbers)))


@pytest.mark.parametrize("kind", [RUN, FILE, READ, FORGET])
def test_a_guest_that_does_not_answer_in_time_is_broken(play: Play, kind: int) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        ended = await guest.run(("three",))
        await ended.wait()
        rig.fake.mute = {kind}
        began = rig.world.monotonic()
        calls = {
            RUN: lambda: guest.run(("sleep",)),
            FILE: lambda: guest.file("/f", b""),
            READ: lambda: guest.read("/f"),
            FORGET: ended.forget,
        }
        with pytest.raises(GuestBroke, match="5 s"):
            await calls[kind]()
        assert rig.world.monotonic() - began == pytest.approx(ANSWER_S)
        assert "5 s" in await broke(guest)

    play(life)


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (b'{"protocol":3,"kernel":"6.1"}', "protocol 3"),
        (b'{"protocol":1,"kernel":"6.1"}', "protocol 1"),
        (b'{"kernel":"6.1"}', "hello is none"),
    ],
)
def test_a_guest_of_another_protocol_is_not_spoken_to(play: Play, hello: bytes, words: str) -> None:
    async def life(rig: GuestRig) -> None:
        rig.fake.hello = hello
        with pytest.raises(GuestBroke, match=words):
            await rig.connect()
        assert rig.fake.asked == [HELLO]

    play(life)


def test_a_guest_that_says_no_hello_is_broken_in_time(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        rig.fake.mute = {HELLO}
        with pytest.raises(GuestBroke, match="no hello in 3 s"):
            await rig.connect()

    play(life)


def test_a_guest_that_missed_a_hello_is_asked_once_more(tmp_path: Path) -> None:
    """It was in the middle of an old connection's frame, and took the HELLO for the rest of it."""

    async def life(rig: GuestRig) -> None:
        rig.fake.mute = {HELLO}
        connecting = rig.world.spawn(rig.connect(), "connecting")
        await rig.world.sleep(12)
        rig.fake.mute = set()
        await asyncio.wait({connecting})
        assert rig.world.monotonic() == pytest.approx(1 + 2 + 4 + 8)
        assert rig.fake.connections == rig.fake.asked.count(HELLO) == 5
        await connecting.result().file("/f", b"")

    GuestRig(tmp_path, PROGRAMS, limits=Limits(hello_s=30, hello_again_s=1)).run(life)


def test_who_says_too_much_before_the_hello_is_broken(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        rig.fake.mute = {HELLO}
        rig.fake.left = bytes(9 * 1024 * 1024)
        with pytest.raises(GuestBroke, match="too much"):
            await rig.connect()

    play(life)


# ---------------------------------------------------------------- what it tells of earlier connections


@pytest.mark.parametrize("count", [1, 2000])
def test_a_stream_that_nobody_asked_for_is_a_lie(play: Play, count: int) -> None:
    async def life(rig: GuestRig) -> None:
        for stream in range(5000, 5000 + count):
            rig.fake.processes[stream] = FakeProcess(stream, KEPT, ("sleep",), pid=9, news=lambda: None)
        with pytest.raises(GuestBroke, match="told of stream"):
            await rig.connect()

    play(life)


@pytest.mark.parametrize(("count", "is_right"), [(512, True), (1025, False)])
def test_the_streams_that_are_told_of_are_bounded(play: Play, tmp_path: Path, count: int, is_right: bool) -> None:
    (tmp_path / "streams").write_text("10000")

    async def life(rig: GuestRig) -> None:
        for stream in range(5000, 5000 + count):
            rig.fake.processes[stream] = FakeProcess(stream, KEPT, ("sleep",), pid=9, news=lambda: None)
        if is_right:
            assert len((await rig.connect()).processes) == count
        else:
            with pytest.raises(GuestBroke, match="too many"):
                await rig.connect()

    play(life)


@pytest.mark.parametrize("start", [4, 9])
def test_an_offset_that_the_guest_says_it_has_not_is_a_lie(play: Play, start: int) -> None:
    """The host has read and noted it once: a guest that tells the truth has no other."""

    async def life(rig: GuestRig) -> None:
        first = await rig.connect()
        process = await first.run(("sleep",), kept=True)
        fake = rig.fake.processes[process.number]
        await fake.say(b"12345678")
        assert fake.open_window(5, 5)
        await first.close()
        second = await rig.connect()
        with pytest.raises(GuestBroke, match="from 5 to 8"):
            await anext(second.processes[process.number].output(start))
        await broke(second)

    play(life)


# ---------------------------------------------------------------- floods and stalls


def test_output_in_crumbs_is_read_no_faster_than_the_bound_and_whole(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        process = await guest.run(("sleep",))
        count = 5 * LIMITS.frames_per_s
        began = rig.world.monotonic()
        crumbs = b"".join(said(OUTPUT, process.number, number(at) + b"x") for at in range(count))
        output = process.output()
        reading = rig.world.spawn(_count(output, count), "reading")
        await guest.file("/run/file", b"")
        rig.fake.say_raw(crumbs)
        await asyncio.wait({reading})
        assert reading.result() == count
        took_s = rig.world.monotonic() - began
        assert count / took_s <= LIMITS.frames_per_s + LIMITS.frames_burst / took_s

    play(life)


async def _count(parts: AsyncGenerator[bytes, None], wanted: int) -> int:
    got = 0
    async for part in parts:
        got += len(part)
        if got >= wanted:
            break
    return got


def test_a_guest_that_does_not_read_keeps_only_its_own_writers_waiting(tmp_path: Path) -> None:
    for name in ("deaf", "good"):
        (tmp_path / name).mkdir()
    good = GuestRig(tmp_path / "good", PROGRAMS, limits=LIMITS)

    async def life(rig: GuestRig) -> None:
        async def beside(other: GuestRig) -> None:
            deaf, hearing = await rig.connect(), await other.connect()
            rig.fake.is_deaf = True
            writers = [rig.world.spawn(_expect_broken(deaf.file(f"/{n}", bytes(60_000))), "writer") for n in range(100)]
            process = await hearing.run(("words",))
            assert b"".join([part async for part in process.output()]) == b"words"
            assert not any(writer.done() for writer in writers)
            assert deaf.unsent_bytes <= 2 * 65536 + 9, "what a guest does not read is not kept for it"
            assert "read nothing" in await broke(deaf) or "answer" in await broke(deaf)
            await asyncio.wait(writers)
            assert [writer.exception() for writer in writers] == [None] * 100

        await good.alive(beside)

    GuestRig(tmp_path / "deaf", PROGRAMS, limits=LIMITS).run(life)


def test_what_is_not_consumed_is_kept_up_to_the_window_for_each_stream(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        processes = [await guest.run(("much",)) for _ in range(20)]
        readers = [process.output() for process in processes]
        for reader in readers:
            await anext(reader)
        await rig.world.sleep(10)
        for process in processes:
            assert 0 < process.unread_bytes <= WINDOW_BYTES
            assert len(rig.fake.processes[process.number].spool) == 256 * 1024
            assert process.exit_code is None
        words = await guest.run(("words",))
        assert b"".join([part async for part in words.output()]) == b"words"
        for reader in readers:
            await reader.aclose()

    play(life)


# ---------------------------------------------------------------- ends


async def _waits(guest: Guest, rig: GuestRig) -> list["asyncio.Task[str]"]:
    """Of every kind; each gives the reason that it was told."""
    process, taker = await guest.run(("sleep",)), await guest.run(("cat",))
    rig.fake.processes[taker.number].reads.clear()
    rig.fake.mute = {FILE, RUN, INPUT}

    async def reason(call: Awaitable[object]) -> str:
        with pytest.raises(GuestGone) as gone:
            await call
        return gone.value.reason

    calls: list[Awaitable[object]] = [
        process.wait(),
        _count(process.output(), 1),
        taker.write(bytes(100_000)),
        guest.file("/f", b""),
        guest.run(("sleep",)),
        guest.run(("sleep",), kept=True, pid_file="/run/pid"),
        _raise(guest.ended()),
    ]
    return [rig.world.spawn(reason(call), "waits") for call in calls]


async def _raise(end: Awaitable[GuestGone]) -> None:
    raise await end


@pytest.mark.parametrize("how", ["cut", "close", "lie"])
def test_all_that_waits_gets_the_same_reason_at_the_end(play: Play, how: str) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        waits = await _waits(guest, rig)
        await rig.world.sleep(1)
        began = rig.world.monotonic()
        assert not any(wait.done() for wait in waits)
        if how == "close":
            await guest.close()
        elif how == "cut":
            rig.fake.cut()
        else:
            rig.fake.say_raw(said(DONE, 4000))
        await asyncio.wait(waits)
        assert rig.world.monotonic() == began, "nobody waits until the time is up"
        reasons = {wait.result() for wait in waits}
        assert len(reasons) == 1
        assert isinstance(await guest.ended(), GuestBroke) == (how == "lie")
        with pytest.raises(GuestGone) as gone:
            await guest.run(("sleep",))
        assert {gone.value.reason} == reasons

    play(life)


# ---------------------------------------------------------------- callers that go


def test_the_late_answer_to_a_caller_who_is_gone_is_no_lie(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        rig.fake.mute = {FILE}
        asking = rig.world.spawn(guest.file("/f", b""), "asking")
        await rig.world.sleep(1)
        asking.cancel()
        await asyncio.wait({asking})
        rig.fake.mute = set()
        rig.fake.say_raw(said(DONE, max(rig.fake.numbers)))
        await guest.file("/g", b"")

    play(life)


def test_a_run_that_is_cancelled_leaves_nothing_unless_it_is_kept(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        for kept in (False, True):
            rig.fake.hold_starts(True)
            running = rig.world.spawn(guest.run(("sleep",), kept=kept), "running")
            await rig.world.sleep(1)
            running.cancel()
            await asyncio.wait({running})
            rig.fake.hold_starts(False)
            await rig.world.sleep(1)
            assert len(rig.fake.processes) == len(guest.processes) == int(kept)
        assert not rig.fake.complaints

    play(life)


@pytest.mark.parametrize("refused", [RUN, FORGET])
def test_a_guest_that_refuses_to_end_what_was_cancelled_does_not_end_the_agent(play: Play, refused: int) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        rig.fake.hold_starts(True)
        if refused == FORGET:
            rig.fake.refusals = {FORGET: 16}
        else:
            rig.fake.mute = {RUN}
        running = rig.world.spawn(guest.run(("sleep",)), "running")
        await rig.world.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        rig.fake.hold_starts(False)
        if refused == RUN:
            rig.fake.say_raw(said(FAILED, max(rig.fake.numbers), code(11)))
        await rig.world.sleep(1)
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("guest-end")]
        rig.fake.mute = set()
        await guest.file("/f", b"")
        assert len(guest.processes) == (1 if refused == FORGET else 0)

    play(life)


def test_a_run_that_is_refused_is_no_process(play: Play) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        rig.fake.refusals = {RUN: 11}
        with pytest.raises(GuestRefused) as refused:
            await guest.run(("sleep",), kept=True)
        assert refused.value.errno == 11
        assert not guest.processes

    play(life)


def test_requests_beyond_those_at_a_time_wait_for_answers(tmp_path: Path) -> None:
    async def life(rig: GuestRig) -> None:
        guest = await rig.connect()
        rig.fake.mute = {FILE}
        asking = [rig.world.spawn(_expect_broken(guest.file(f"/{n}", b"")), "asking") for n in range(5)]
        await rig.world.sleep(1)
        assert rig.fake.asked.count(FILE) == 2
        await asyncio.wait(asking)

    GuestRig(tmp_path, PROGRAMS, limits=Limits(requests=2)).run(life)
