"""Containers' output on its way to the server: each byte once, whatever crashes; slow servers; missing groups."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.agent.channels.bulk import BulkClient
from neargate.agent.channels.link import Closed
from neargate.agent.logs.awslogs import AwsLogsDriver
from neargate.agent.logs.lines import cut_lines, next_line_start
from neargate.agent.logs.shipper import LogShipper
from neargate.link.host_identity import NONCE_BYTES, HostKey
from neargate.link.messages import BulkHello, Challenge, LogOpen, LogOpened, Proof, decode_to_server, encode
from neargate.model.knobs import Knobs
from neargate.model.launch import AwsLogs, TaskLaunch
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
from neargate.testing.fake_sandbox import FakeSandbox, Program
from neargate.world import OsWorld

LOGS = AwsLogs(group="/web", region="us-east-1", stream=f"p/web/{TASK_ID}", max_buffer_bytes=10_000)


def logging_task(**changes: object) -> TaskLaunch:
    return launch(container(logs=replace(LOGS, **changes)))  # type: ignore[arg-type]  # real fields of the options


def test_lines_arrive_in_order_and_a_part_of_a_line_waits_for_its_end(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task())
        await host.server.status(TASK_ID, "RUNNING")
        write(host, b"one\ntwo\nthr")
        await host.clock.sleep(1)
        assert stored(host) == [b"one", b"two"]
        write(host, b"ee\nlast without a newline")
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        assert stored(host) == [b"one", b"two", b"three", b"last without a newline"]
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_missing_group_fails_the_launch_in_the_words_of_aws(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.refuse_logs = ("ResourceNotFoundException", "The specified log group does not exist.")
        host.server.run(logging_task())
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert stopped.stopped_reason == (
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            "failed to create Cloudwatch log stream: ResourceNotFoundException: "
            "The specified log group does not exist.: exit status 1"
        )
        assert host.leftovers() == [] and host.sandbox.ever_started == []

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (
            "CreateLogGroup",
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            "failed to create Cloudwatch log group: AccessDeniedException: no: exit status 1",
        ),
        ("AssumeRole", "no"),
    ],
)
def test_what_the_execution_role_may_not_fails_the_launch(tmp_path: Path, operation: str, reason: str) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.refuse_logs = ("AccessDeniedException", "no")
        host.server.refused_operation = operation
        host.server.run(logging_task())
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert (stopped.stop_code, stopped.stopped_reason) == ("TaskFailedToStart", reason)
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_server_that_is_busy_does_not_fail_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.refuse_logs = ("ServiceUnavailableException", "later")
        host.server.run(logging_task())
        await host.clock.sleep(20)
        host.server.refuse_logs = None
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


class _DyingBulk:
    """Connections of which the first is dead for who sends, before its reader learns of it; the next one answers."""

    def __init__(self) -> None:
        self.connections = 0
        self._dead = asyncio.Event()

    async def connect(self, path: str) -> "_DyingBulk":
        self.connections += 1
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        return self

    async def send(self, data: bytes) -> None:
        message = decode_to_server(data)
        if isinstance(message, BulkHello):
            self._frames.put_nowait(encode(Challenge(nonce=bytes(NONCE_BYTES))))
            return
        if isinstance(message, Proof):
            return
        if self.connections == 1:
            self._dead.set()
            raise Closed("sent after the server's end")  # without giving anybody else a turn
        assert isinstance(message, LogOpen)
        self._frames.put_nowait(encode(LogOpened(request=message.request, stream_key=1, offset=0)))

    async def receive(self) -> bytes:
        if self.connections == 1 and self._frames.empty():
            await self._dead.wait()
            raise Closed("lost")
        return await self._frames.get()

    async def close(self) -> None:
        return


@pytest.mark.timeout(20)
def test_a_server_that_dies_while_a_stream_is_opened_does_not_hang_the_agent(tmp_path: Path) -> None:
    async def main() -> str:
        world, transport = OsWorld(), _DyingBulk()
        bulk = BulkClient(world, Knobs(), transport, "h-1", HostKey(bytes(32)))
        driver = AwsLogsDriver(Knobs(), bulk)
        shipper = LogShipper(world, Knobs(), FakeSandbox(world.now), driver, tmp_path, lambda _: None)
        running = world.spawn(bulk.run(), "bulk")
        await bulk.connected()
        path = await asyncio.wait_for(shipper.open(logging_task(), "web", f"{TASK_ID}-1"), 10)
        running.cancel()
        assert transport.connections == 2
        return path

    assert Path(asyncio.run(main())).is_file()


@pytest.mark.parametrize("answered", [True, False])
def test_nothing_is_lost_or_doubled_when_the_agent_dies_while_shipping(tmp_path: Path, answered: bool) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.acknowledge_logs = answered
        write(host, b"".join(b"line %d\n" % n for n in range(100)))
        await host.clock.sleep(0.3)
        host.kill()
        write(host, b"".join(b"line %d\n" % n for n in range(100, 200)))
        host.server.acknowledge_logs = True
        await host.started()
        await host.clock.sleep(5)
        assert stored(host) == [b"line %d" % n for n in range(200)]

    play(tmp_path, scenario)


def test_a_lost_acknowledgement_is_no_loss(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.acknowledge_logs = False
        write(host, b"stored, not acknowledged\n")
        await host.clock.sleep(host.knobs.log_resend_s + 5)
        host.server.acknowledge_logs = True
        write(host, b"next\n")
        await host.clock.sleep(host.knobs.log_resend_s + 5)
        assert stored(host) == [b"stored, not acknowledged", b"next"]

    play(tmp_path, scenario)


def test_non_blocking_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.is_down = True
        host.server.drop()
        lines = [b"line %05d" % n for n in range(2000)]
        for begin in range(0, len(lines), 100):
            write(host, b"".join(line + b"\n" for line in lines[begin : begin + 100]))
            await host.clock.sleep(0.5)
        assert not host.sandbox.named("web").paused
        host.server.is_down = False
        await host.clock.sleep(20)
        kept = stored(host)
        assert kept == lines[-len(kept) :], "what is kept is the newest, whole lines, in order"
        assert 0 < len(kept) * 11 <= LOGS.max_buffer_bytes
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].log_bytes_dropped == (len(lines) - len(kept)) * 11

    play(tmp_path, scenario)


def test_blocking_holds_the_writer_back_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task(blocking=True))
        await host.server.status(TASK_ID, "RUNNING")
        host.server.is_down = True
        host.server.drop()
        lines = [b"line %05d" % n for n in range(2000)]
        write(host, b"".join(line + b"\n" for line in lines))
        await host.clock.sleep(1)
        assert host.sandbox.named("web").paused
        host.kill()
        await host.clock.sleep(1)
        host.server.is_down = False
        await host.started()
        await host.clock.sleep(10)
        assert stored(host) == lines and not host.sandbox.named("web").paused

    play(tmp_path, scenario)


def test_a_held_back_writer_can_be_stopped(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task(blocking=True))
        await host.server.status(TASK_ID, "RUNNING")
        host.server.acknowledge_logs = False
        write(host, b"x" * 9 + b"\n")
        await host.clock.sleep(1)
        write(host, b"".join(b"line %05d\n" % n for n in range(2000)))
        await host.clock.sleep(1)
        assert host.sandbox.named("web").paused
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].exit_code == 143, "a frozen process would not see its SIGTERM"

    play(tmp_path, scenario)


@pytest.mark.parametrize("killed", [False, True])
def test_the_last_lines_follow_when_the_server_is_back(tmp_path: Path, killed: bool) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(output=b"first\nlast")
        host.server.run(logging_task())
        await host.server.status(TASK_ID, "RUNNING")
        await end_unheard(host)
        assert host.host.leftovers() == [] and host.sandbox.containers == {}, "the end does not wait for the server"
        if killed:
            host.kill()
            await host.clock.sleep(1)
            host.start()
        await heard_again(host)
        assert stored(host) == [b"first", b"last"] and host.leftovers() == []

    play(tmp_path, scenario)


def test_shipped_bytes_are_given_back_to_the_disk(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task(max_buffer_bytes=10_000_000))
        await host.server.status(TASK_ID, "RUNNING")
        path = host.sandbox.named("web").config.log_path
        assert path is not None
        for _ in range(4):
            write(host, (b"x" * 99 + b"\n") * 10_000)
            await host.clock.sleep(2)
        assert _size(path) == (4_000_000, True)
        host.kill()
        await host.started()
        write(host, b"after\n")
        await host.clock.sleep(2)
        assert len(stored(host)) == 40_001 and stored(host)[-1] == b"after"

    play(tmp_path, scenario)


def _size(path: str) -> tuple[int, bool]:
    """The file's size, and whether most of it is holes."""
    status = Path(path).stat()
    return status.st_size, status.st_blocks * 512 < 2_000_000


# -- cutting, pure


def test_very_short_lines_are_shipped_in_chunks_of_a_bounded_number() -> None:
    data = b"".join(b"%d\n" % (n % 10) for n in range(2500)) + b"rest"
    at, counts = 0, []
    while (block := cut_lines(data[at:], 100, 1000, final=True)).consumed:
        at += block.consumed
        counts.append(block.count)
    assert (at, counts) == (len(data), [1000, 1000, 501])
    blank = cut_lines(b"\n" * 5000, 100, 1000, final=False)
    assert (blank.consumed, blank.count) == (1000, 0)
    assert cut_lines(b"a\nb\nc", 100, 2, final=False).lines == b"a\nb"


def test_all_of_many_short_lines_arrive(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(logging_task(max_buffer_bytes=1 << 20))
        await host.server.status(TASK_ID, "RUNNING")
        lines = [b"%d" % (n % 10) for n in range(2 * host.knobs.log_chunk_max_lines + 5)]
        write(host, b"\n".join(lines) + b"\n")
        await host.clock.sleep(5)
        assert stored(host) == lines

    play(tmp_path, scenario)


def test_blank_lines_are_no_events_and_long_lines_are_cut() -> None:
    assert cut_lines(b"\n\na\n\n\nb\n\nrest", 100, 1000, final=False).lines == b"a\nb"
    assert cut_lines(b"\n\n", 100, 1000, final=False) == cut_lines(b"\n\n", 100, 1000, final=True)
    block = cut_lines(b"a" * 25 + b"\nshort\n", 10, 1000, final=False)
    assert block.lines.split(b"\n") == [b"a" * 10, b"a" * 10, b"a" * 5, b"short"] and block.count == 4
    assert cut_lines(b"a" * 25, 10, 1000, final=False).consumed == 10
    assert cut_lines(b"a" * 9, 10, 1000, final=False).consumed == 0
    assert cut_lines("é".encode() * 8, 5, 1000, final=True).lines.decode().replace("\n", "") == "é" * 8


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(5, 30), st.integers(1, 40), st.booleans())
def test_every_byte_is_in_one_event(pieces: list[bytes], line_max: int, lines_max: int, final: bool) -> None:
    data = b"\n".join(pieces)
    block = cut_lines(data, line_max, lines_max, final=final)
    assert block.lines.replace(b"\n", b"") == data[: block.consumed].replace(b"\n", b"")
    assert block.count == (block.lines.count(b"\n") + 1 if block.lines else 0)
    assert all(0 < len(line) <= line_max for line in block.lines.split(b"\n")) or not block.lines
    if data.count(b"\n") > lines_max:
        assert data[: block.consumed].count(b"\n") == lines_max and data[block.consumed - 1 : block.consumed] == b"\n"
    elif final:
        assert block.consumed == len(data)


def test_a_gap_is_followed_by_a_whole_line() -> None:
    assert next_line_start(b"tail of a line\nnext") == 15
    assert next_line_start(b"no newline here") == 15
