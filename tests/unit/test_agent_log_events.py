"""Events of several lines: how they are cut, that none is lost, doubled or torn by crashes, and hostile writers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neargate.agent.logs import shipper as log_shipper
from neargate.agent.logs.events import begins_event, cut_events
from neargate.agent.logs.lines import Block
from neargate.definitions.awslogs_events import event_start
from neargate.model.launch import AwsLogs, TaskLaunch
from neargate.regex.linear import LinearRegex
from neargate.testing.agent_host import (
    INCARNATION,
    TASK_ID,
    AgentHost,
    container,
    end_unheard,
    heard_again,
    launch,
    play,
    stored,
    write,
)
from neargate.testing.fake_sandbox import Program


def begins(line: bytes) -> bool:
    return line.startswith(b"[")


def cut(data: bytes, *, final: bool = False, flush: bool = False, event_max: int = 100) -> list[bytes]:
    block = cut_events(data, begins, event_max, 1000, final=final, flush=flush)
    assert block.lines == data[: block.consumed]
    return pieces(block.lines, block.sizes)


def pieces(lines: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    found, at = [], 0
    for size in sizes:
        found.append(lines[at : at + size])
        at += size
    return found


def test_an_event_lasts_until_the_next_begins() -> None:
    data = b"before\n[1] a\n  at b\n\n  at c\n[2] d\n  at e"
    assert cut(data) == [b"before\n", b"[1] a\n  at b\n\n  at c\n"]
    assert cut(data, flush=True) == [b"before\n", b"[1] a\n  at b\n\n  at c\n", b"[2] d\n"]
    assert cut(data, final=True) == [b"before\n", b"[1] a\n  at b\n\n  at c\n", b"[2] d\n  at e"]
    assert cut(b"[1] only") == [] and cut(b"") == [] and cut(b"", final=True) == []


def test_an_event_is_never_too_large() -> None:
    assert cut(b"[1]\n" + b"x" * 8 + b"\n" + b"y" * 8 + b"\n[2]\n", event_max=12) == [
        b"[1]\n",
        b"xxxxxxxx\n",
        b"yyyyyyyy\n",
    ]
    assert cut(b"a" * 25 + b"\n[", event_max=10) == [b"a" * 10, b"a" * 10]
    assert cut(b"a" * 25, event_max=10, final=True) == [b"a" * 10, b"a" * 10, b"a" * 5]
    assert "".join(piece.decode() for piece in cut("é".encode() * 20, event_max=5, final=True)) == "é" * 20


@given(
    st.lists(st.sampled_from([b"[", b"a", b"\n", "é".encode(), b"xxxxxxxxxxxxxxxx", b"\n["]), max_size=40).map(
        b"".join
    ),
    st.integers(5, 30),
    st.integers(1, 10),
    st.booleans(),
    st.booleans(),
)
@example(b"[[[[\n[", 5, 2, False, False)  # whole lines as large as an event may be, and a part of a line behind them
@example(b"aaaa\n[[[[[", 5, 2, False, False)
def test_every_byte_is_in_one_event(data: bytes, event_max: int, events_max: int, final: bool, flush: bool) -> None:
    block = cut_events(data, begins, event_max, events_max, final=final, flush=flush)
    assert sum(block.sizes) == block.consumed == len(block.lines)
    assert len(block.sizes) == block.count <= events_max
    assert all(0 < size <= event_max for size in block.sizes)
    if block.count < events_max:
        rest = data[block.consumed :]
        assert not (final and rest)
        assert len(rest) <= 2 * event_max  # an event that may go on, and a part of a line
        assert not flush or b"\n" not in rest


@given(st.lists(st.sampled_from([b"[1]", b"a", b"", b"  at"]), max_size=30), st.integers(1, 8))
def test_where_it_is_read_from_makes_no_difference(lines: list[bytes], step: int) -> None:
    """What comes piece by piece, or again after a crash, is cut as if it had come at once."""
    data = b"".join(line + b"\n" for line in lines)
    found: list[bytes] = []
    at = 0
    for end in [*range(0, len(data), step), len(data)]:
        block = cut_events(data[at:end], begins, 1000, 1000, final=False)
        found += pieces(block.lines, block.sizes)
        at += block.consumed
    assert found + cut(data[at:], final=True) == cut(data, final=True, event_max=1000)


DATES = [
    ("%b %d, %Y %H:%M:%S", "Jan 01, 2024 23:59:59 x", "Foo 01, 2024 23:59:59"),
    (r"\[%Y-%m-%d", "[2024-12-31] x", "2024-12-31"),
    ("%A %w %j %p %I:%M", "Monday 1 366 PM 12:59", "Monday 7 366 PM 12:59"),
    ("%y%B%a%z%Z%f%L", "24MayTue+0100CEST123456.789", "24May"),
    ("^%H", "07:00", "at 07:00"),
]


@pytest.mark.parametrize(("text", "yes", "no"), DATES)
def test_a_datetime_format_is_an_expression(text: str, yes: str, no: str) -> None:
    expression = event_start({"awslogs-datetime-format": text})
    assert expression is not None
    machine = LinearRegex(expression)
    assert machine.found_in(yes) and not machine.found_in(no)


def test_an_expression_made_to_take_long_begins_no_event() -> None:
    line = "".join("ab"[(0x9E3779B97F4A7C15 * (n + 1) * (n + 7) >> 13) & 1] for n in range(200_000)).encode()
    assert not begins_event(LinearRegex("[ab]*a[ab]{300}c"), line)
    assert begins_event(LinearRegex("^b|^a"), line)
    assert not begins_event(LinearRegex("(a*)*c"), b"a" * 250_000)


# On a host.


def task(**changes: object) -> TaskLaunch:
    given = {"group": "/web", "region": "us-east-1", "stream": f"p/web/{TASK_ID}", "event_start": r"^\["} | changes
    return launch(container(logs=AwsLogs(**given)))  # type: ignore[arg-type]  # real fields of the options


async def wait_for(host: AgentHost, expected: list[bytes]) -> None:
    for _ in range(200):
        if stored(host) == expected:
            return
        await host.clock.sleep(0.1)
    assert stored(host) == expected


def test_an_event_is_shipped_when_the_next_begins_or_when_it_is_quiet(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        write(host, b"[1] a\n  at b\n[2] c\n")
        await host.clock.sleep(0.5)
        assert stored(host) == [b"[1] a\n  at b\n"]
        write(host, b"  at d\npart of a li")
        await wait_for(host, [b"[1] a\n  at b\n", b"[2] c\n  at d\n"])
        write(host, b"ne\n[3] e")
        await wait_for(host, [b"[1] a\n  at b\n", b"[2] c\n  at d\n", b"part of a line\n"])
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        assert stored(host) == [b"[1] a\n  at b\n", b"[2] c\n  at d\n", b"part of a line\n", b"[3] e"]
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_lines_that_never_end_an_event_are_not_kept_back_for_long(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        for number in range(40):
            write(host, b"  line %d\n" % number)
            await host.clock.sleep(0.5)
        assert 2 <= len(stored(host)) <= 8
        await host.clock.sleep(7)
        assert b"".join(stored(host)) == b"".join(b"  line %d\n" % number for number in range(40))

    play(tmp_path, scenario)


def test_a_container_writes_more_than_an_event_without_a_newline(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(task(max_buffer_bytes=10_000_000))
        await host.server.status(TASK_ID, "RUNNING")
        write(host, b"x" * 3_000_000 + b"\n[1]\n")
        await host.clock.sleep(10)
        assert b"".join(stored(host)) == b"x" * 3_000_000 + b"\n[1]\n"
        assert max(map(len, stored(host))) <= 256 * 1024 - 26

    play(tmp_path, scenario)


def kill_while_pending(host: AgentHost) -> bytes:
    write(host, b"[1] a\n  at b\n")
    return b"[1] a\n  at b\n"


def kill_while_shipping(host: AgentHost) -> bytes:
    data = b"".join(b"[%d]\n  at x\n" % n for n in range(100))
    write(host, data)
    return data


@pytest.mark.parametrize("before", [kill_while_pending, kill_while_shipping])
@pytest.mark.parametrize("answered", [True, False])
def test_no_event_is_lost_doubled_or_torn_when_the_agent_dies(
    tmp_path: Path, before: Callable[[AgentHost], bytes], answered: bool
) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.acknowledge_logs = answered
        data = before(host)
        await host.clock.sleep(0.3)
        host.kill()
        write(host, b"  at the end\n[next]\n")
        host.server.acknowledge_logs = True
        await host.started()
        await wait_for(host, cut(data + b"  at the end\n[next]\n", final=True, event_max=10_000))

    play(tmp_path, scenario)


@pytest.mark.parametrize("killed", [False, True])
def test_the_last_event_of_a_task_that_is_over_is_whole(tmp_path: Path, killed: bool) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(output=b"[1] first\n  at a\n[2] last\n  at b")
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        await end_unheard(host)
        if killed:
            host.kill()
            await host.clock.sleep(1)
            host.start()
        await heard_again(host)
        assert stored(host) == [b"[1] first\n  at a\n", b"[2] last\n  at b"] and host.leftovers() == []

    play(tmp_path, scenario)


def test_a_part_of_a_line_is_looked_at_once_and_not_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bytes] = []

    def counted(data: bytes, *args: Any, **named: Any) -> Block:
        looks.append(data)
        return cut_events(data, *args, **named)

    monkeypatch.setattr(log_shipper, "cut_events", counted)

    async def scenario(host: AgentHost) -> None:
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        write(host, b"[1] a\n> ")
        await wait_for(host, [b"[1] a\n"])
        await host.clock.sleep(5)
        before = len(looks)
        await host.clock.sleep(600)
        assert len(looks) - before <= 1
        write(host, b"b\n")
        await wait_for(host, [b"[1] a\n", b"> b\n"])

    play(tmp_path, scenario)


@pytest.mark.parametrize("kept", [b"[0-", b"^(\xc3"])
def test_an_expression_that_a_power_cut_tore_holds_no_agent_up(tmp_path: Path, kept: bytes) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(output=b"[1] a\n  at b")
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        await end_unheard(host)
        host.kill()
        beside = host.root / "agent" / "logs" / TASK_ID / ".event-starts" / "web"
        assert beside.read_text() == r"^\["
        beside.write_bytes(kept)
        host.start()
        await heard_again(host)
        assert b"\n".join(line.rstrip() for line in stored(host)) == b"[1] a\n  at b" and host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("took_s", [None, 1.0])
def test_an_expression_that_takes_long_is_its_containers_own_loss(tmp_path: Path, took_s: float | None) -> None:
    """`took_s`: of each look for events; None: the first one does not end."""
    cuts: list[float] = []

    async def scenario(host: AgentHost) -> None:
        offload = host.world.offload

        async def slow(lane: str, function: Any, *args: Any) -> Any:
            if lane != "log-cuts":
                return await offload(lane, function, *args)
            cuts.append(host.clock.now())
            if took_s is None and len(cuts) == 1:
                await host.clock.sleep(60)
            block, _ = await offload(lane, function, *args)
            return block, took_s or 0.0

        host.world.offload = slow  # type: ignore[method-assign]
        plain = AwsLogs(group="/web", region="us-east-1", stream="p/side")
        both = (*task().containers, container("side", logs=plain))
        host.server.run(launch(*both))
        await host.server.status(TASK_ID, "RUNNING")
        write(host, b"[1] a\n")
        side = host.sandbox.named("side").config.runtime_id
        for number in range(30):
            write(host, b"[2] b\n")
            host.sandbox.write_log(side, b"%d\n" % number)
            await host.clock.sleep(1)
        assert len(host.server.logs[TASK_ID, "side"].lines) >= 29
        if took_s is None:
            assert stored(host) == [] and len(cuts) == 1
        else:
            assert 5 <= len(cuts) <= 15, "a third of the time"
        await host.clock.sleep(120)
        assert b"".join(stored(host)) == b"[1] a\n" + b"[2] b\n" * 30

    play(tmp_path, scenario)


def test_a_writer_that_is_faster_than_its_expression_is_heard_in_part(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        offload = host.world.offload

        async def slow(lane: str, function: Any, *args: Any) -> Any:
            if lane == "log-cuts":
                await host.clock.sleep(2)
            return await offload(lane, function, *args)

        host.world.offload = slow  # type: ignore[method-assign]
        host.server.run(task(max_buffer_bytes=5000))
        await host.server.status(TASK_ID, "RUNNING")
        written = [b"[%06d]\n  %s\n" % (number, b"x" * 80) for number in range(3000)]
        for first in range(0, 3000, 50):
            write(host, b"".join(written[first : first + 50]))
            await host.clock.sleep(0.5)
        heard = [event for event in stored(host) if event in set(written)]
        assert len(heard) > 300 and heard == sorted(heard) and len(heard) == len(set(heard))
        await host.clock.sleep(20)
        assert stored(host)[-1] == written[-1]
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        assert host.leftovers() == []

    play(tmp_path, scenario)
