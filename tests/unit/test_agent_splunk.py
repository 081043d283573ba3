"""The splunk driver on a host: tokens out of secrets, lines at least once, collectors that are away, busy or wrong."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.messages import problem
from neargate.agent.logs.files import (
    keep_event_start,
    keep_offset,
    kept_event_start,
    kept_offset,
    open_log,
    remove_log,
)
from neargate.agent.splunk.collector import Answer
from neargate.link.messages import EXECUTION_ROLE, CredentialsIssued, RunOrder
from neargate.model.launch import InjectedSecret, SplunkLogs, TaskLaunch
from neargate.testing.agent_host import (
    INCARNATION,
    TASK_ID,
    VPC,
    AgentHost,
    container,
    launch,
    write,
)
from neargate.testing.fake_region_api import FakeSecret
from neargate.testing.fake_sandbox import Program
from neargate.testing.virtual_time import EPOCH, run_virtual

ROLE = "arn:aws:iam::123456789012:role/execution"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hec-AbCdEf"
TOKEN = "11111111-2222-3333-4444-555555555555"
URL = "http://10.0.1.9:8088"
FAILED = "ResourceInitializationError: failed to initialize logging driver: "
SPLUNK = SplunkLogs(
    options=(("splunk-url", URL),),
    secret_options=(InjectedSecret(name="splunk-token", value_from=SECRET),),
    max_buffer_bytes=10_000,
)


def shipping(**changes: Any) -> TaskLaunch:
    return launch(container(splunk=replace(SPLUNK, **changes)), execution_role_arn=ROLE)


def with_options(*options: tuple[str, str], **changes: Any) -> TaskLaunch:
    return shipping(options=(*SPLUNK.options, *options), **changes)


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            host.server.execution[TASK_ID] = CredentialsIssued(
                task_id=TASK_ID,
                kind=EXECUTION_ROLE,
                role_arn=ROLE,
                access_key_id="ASIA0000000000000001",
                secret_access_key="secret-access-key",
                token="session-token",
                issued_at=EPOCH,
                expires_at=EPOCH + 3600,
            )
            host.api.keys["ASIA0000000000000001"] = "secret-access-key"
            host.api.secrets = {SECRET: FakeSecret(text=TOKEN)}
            host.collector.book.token = TOKEN
            await host.started()
            await scenario(host)

    run_virtual(whole())


async def running(host: AgentHost, wanted: TaskLaunch | None = None) -> None:
    host.server.run(wanted or shipping())
    await host.server.status(TASK_ID, "RUNNING")


async def arrived(host: AgentHost, lines: list[Any]) -> None:
    """At least once: what comes twice is the same."""
    for _ in range(3000):
        if list(dict.fromkeys(host.collector.book.lines())) == lines:
            return
        await host.clock.sleep(0.1)
    raise AssertionError(host.collector.book.lines())


async def ended(host: AgentHost) -> None:
    host.server.stop(TASK_ID, INCARNATION)
    await host.server.status(TASK_ID, "STOPPED")
    assert host.leftovers() == []


async def refused(host: AgentHost, wanted: TaskLaunch) -> str:
    host.server.run(wanted)
    report = await host.server.status(TASK_ID, "STOPPED")
    assert report.stop_code == "TaskFailedToStart" and host.sandbox.ever_started == []
    await host.clock.sleep(10)
    assert host.leftovers() == []
    return report.stopped_reason or ""


def files_that_hold(root: Path, text: str) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_lines_arrive_in_order_with_the_token_of_the_secret(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        assert host.collector.asks == [(TASK_ID, "OPTIONS")] and host.api.operations() == ["GetSecretValue"]
        write(host, b"one\ntwo\nthr")
        await arrived(host, ["one", "two"])
        write(host, b"ee\nlast without a newline")
        await ended(host)
        book = host.collector.book
        assert book.lines() == ["one", "two", "three", "last without a newline"]
        assert {event["host"] for event in book.events} == {"ip-10-0-1-5.ec2.internal"}
        assert {event["event"]["tag"] for event in book.events} == {TASK_ID[:12]}
        assert all(EPOCH <= float(event["time"]) < EPOCH + 3600 for event in book.events)
        assert files_that_hold(tmp_path, TOKEN) == []

    play(tmp_path, scenario)


def test_a_token_may_stand_in_the_options_and_then_nothing_is_looked_up(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host, with_options(("splunk-token", TOKEN), ("splunk-gzip", "true"), secret_options=()))
        write(host, b"one\n")
        await arrived(host, ["one"])
        assert host.api.operations() == [] and host.collector.book.bodies[0][:2] == b"\x1f\x8b"
        await ended(host)

    play(tmp_path, scenario)


def test_a_secret_that_is_not_there_fails_the_launch_in_the_words_of_aws(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.secrets.clear()
        assert await refused(host, shipping()) == (
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
            "failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch "
            f"secret {SECRET} from secrets manager: operation error Secrets Manager: GetSecretValue, https response "
            "error StatusCode: 400, RequestID: r-1, ResourceNotFoundException: Secrets Manager can't find the "
            "specified secret."
        )
        assert host.collector.asks == []

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (
            lambda host: host.collector.cut(1, "Options", "dial tcp 10.0.1.9:8088: connect: connection refused"),
            'Options "http://collector": dial tcp 10.0.1.9:8088: connect: connection refused',
        ),
        (
            lambda host: host.collector.answers.update(OPTIONS=Answer(status=404)),
            "splunk: failed to verify connection - 404 Not Found - ",
        ),
        (
            lambda host: host.collector.answers.update(OPTIONS=Answer(status=302)),
            "splunk: failed to verify connection - 302 Found - ",
        ),
        (
            lambda host: host.api.secrets.update({SECRET: FakeSecret(text="two\r\nlines")}),
            'net/http: invalid header field value for "Authorization"',
        ),
    ],
    ids=["refused", "no collector", "elsewhere", "no token"],
)
def test_a_collector_that_cannot_be_used_fails_the_launch(
    tmp_path: Path, prepare: Callable[[AgentHost], None], reason: str
) -> None:
    async def scenario(host: AgentHost) -> None:
        prepare(host)
        assert await refused(host, shipping()) == FAILED + reason

    play(tmp_path, scenario)


def test_no_value_of_a_secret_is_shown(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        other = InjectedSecret(name="splunk-format", value_from=SECRET)
        reason = await refused(host, shipping(secret_options=(*SPLUNK.secret_options, other)))
        assert reason == f"{FAILED}splunk: the value of splunk-format is not valid"

    play(tmp_path, scenario)


def test_attributes_that_every_event_would_carry_are_bounded(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        wanted = with_options(("env-regex", "^BIG"))
        big = replace(wanted.containers[0], environment=(("BIG", "x" * 20_000),))
        reason = await refused(host, replace(wanted, containers=(big,)))
        assert reason == f"{FAILED}splunk: labels and env name too many characters for each event"

    play(tmp_path, scenario)


def test_without_verification_a_task_starts_and_its_lines_follow(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.collector.cut(5)
        await running(host, with_options(("splunk-verify-connection", "false")))
        write(host, b"one\n")
        await host.clock.sleep(5)
        assert host.collector.book.lines() == []
        await arrived(host, ["one"])
        await ended(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize("status", [503, 429, 403, 500, 302, 204])
def test_what_is_not_taken_is_sent_again_ever_less_often(tmp_path: Path, status: int) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.collector.answers["POST"] = Answer(status=status)
        write(host, b"one\n")
        await host.clock.sleep(600)
        assert 6 <= len(host.collector.asks) <= 30
        del host.collector.answers["POST"]
        await arrived(host, ["one"])
        assert host.collector.book.lines() == ["one"]
        await ended(host)

    play(tmp_path, scenario)


def test_a_collector_may_say_when_to_come_again_within_a_bound(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.collector.answers["POST"] = Answer(status=429, retry_after_s=1_000_000)
        write(host, b"one\n")
        await host.clock.sleep(20)
        assert host.collector.asks.count((TASK_ID, "POST")) == 1
        del host.collector.answers["POST"]
        await host.clock.sleep(100)
        assert host.collector.book.lines() == ["one"]

    play(tmp_path, scenario)


def test_few_lines_are_gathered_and_many_are_not_held_back(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host, shipping(max_buffer_bytes=10_000_000))
        for n in range(100):
            write(host, b"line %d\n" % n)
            await host.clock.sleep(0.1)
        await arrived(host, [f"line {n}" for n in range(100)])
        assert host.collector.asks.count((TASK_ID, "POST")) <= 15
        host.collector.book.events.clear()
        lines = [f"{'x' * 100} {n}" for n in range(5000)]
        write(host, "".join(f"{line}\n" for line in lines).encode())
        await host.clock.sleep(3)
        assert host.collector.book.lines() == lines
        await ended(host)

    play(tmp_path, scenario)


def test_what_a_collector_took_before_it_was_busy_is_not_sent_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host, shipping(max_buffer_bytes=10_000_000))
        book = host.collector.book

        def busy_from_now_on() -> None:
            book.is_busy = True

        host.collector.received = busy_from_now_on
        lines = ['"' * 100 + f" {n:04d}" for n in range(1000)]
        write(host, "".join(f"{line}\n" for line in lines).encode())
        await host.clock.sleep(120)
        assert 500 < len(book.lines()) < 1000, "they were more than one request"
        assert host.collector.asks.count((TASK_ID, "POST")) > 2
        host.collector.received = None
        book.is_busy = False
        write(host, b"last\n")
        await arrived(host, [*lines, "last"])
        assert book.lines() == [*lines, "last"]
        await ended(host)

    play(tmp_path, scenario)


def test_an_offset_that_cannot_be_kept_ends_no_agent(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        in_its_way = tmp_path / "agent" / "splunk" / TASK_ID / ".offsets" / ".offsets"
        in_its_way.mkdir(parents=True)
        write(host, b"one\n")
        await arrived(host, ["one"])
        host.collector.cut(1)
        write(host, b"two\n")
        await arrived(host, ["one", "two"])
        assert host.collector.book.lines() == ["one", "two"]
        in_its_way.rmdir()
        await ended(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize("moment", ["before", "received", "after"])
def test_nothing_is_lost_when_the_agent_dies(tmp_path: Path, moment: str) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        if moment == "before":
            host.collector.book.is_busy = True
        if moment == "received":
            host.collector.received = host.kill
        write(host, b"".join(b"line %d\n" % n for n in range(10)))
        await host.clock.sleep(3)
        if moment == "received":
            assert host.world.is_dead and len(host.collector.book.lines()) == 10
        else:
            host.kill()
        host.collector.received = None
        host.collector.book.is_busy = False
        write(host, b"".join(b"line %d\n" % n for n in range(10, 20)))
        await host.clock.sleep(1)
        await host.started()
        await arrived(host, [f"line {n}" for n in range(20)])
        assert len(host.collector.book.lines()) == (30 if moment == "received" else 20)
        assert host.api.operations() == ["GetSecretValue"] * 2, "the token was in memory only"
        assert files_that_hold(tmp_path, TOKEN) == []
        await ended(host)

    play(tmp_path, scenario)


def test_an_agent_that_finds_no_server_waits_for_its_token_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.kill()
        host.server.is_down = True
        host.start()
        write(host, b"one\n")
        await host.clock.sleep(120)
        assert host.collector.book.lines() == []
        host.server.is_down = False
        await arrived(host, ["one"])
        await ended(host)

    play(tmp_path, scenario)


def test_non_blocking_drops_the_oldest_and_counts_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.collector.book.is_busy = True
        lines = [f"line {n:05d}" for n in range(2000)]
        write(host, "".join(f"{line}\n" for line in lines).encode())
        await host.clock.sleep(60)
        host.collector.book.is_busy = False
        await host.clock.sleep(120)
        kept = host.collector.book.lines()
        assert kept == lines[-len(kept) :] and 800 < len(kept) < 1000
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].log_bytes_dropped == (2000 - len(kept)) * 11

    play(tmp_path, scenario)


def test_blocking_holds_the_writer_back_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host, shipping(blocking=True))
        host.collector.book.is_busy = True
        lines = [f"line {n:05d}" for n in range(2000)]
        write(host, "".join(f"{line}\n" for line in lines).encode())
        await host.clock.sleep(5)
        assert host.sandbox.named("web").paused
        host.kill()
        await host.clock.sleep(1)
        await host.started()
        await host.clock.sleep(5)
        assert host.sandbox.named("web").paused
        host.collector.book.is_busy = False
        await arrived(host, lines)
        await host.clock.sleep(1)
        assert not host.sandbox.named("web").paused
        await ended(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize("killed", [False, True])
def test_the_last_lines_have_their_time_and_are_counted_when_they_cannot_be_sent(tmp_path: Path, killed: bool) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(output=b"first\nlast")
        host.collector.book.is_busy = True
        await running(host)
        await host.clock.sleep(30)
        begun = host.clock.now()
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 0)
        if killed:
            await host.clock.sleep(2)
            host.kill()
            await host.clock.sleep(1)
            await host.started()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert host.clock.now() - begun < 30 and stopped.containers[0].log_bytes_dropped == 10
        await host.clock.sleep(5)
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_an_end_without_a_token_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.kill()
        host.api.secrets.clear()
        write(host, b"never sent\n")
        await host.started()
        await host.clock.sleep(30)
        host.server.stop(TASK_ID, INCARNATION)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.containers[0].log_bytes_dropped == 11
        await host.clock.sleep(5)
        assert host.leftovers() == [] and host.collector.book.lines() == []

    play(tmp_path, scenario)


def test_last_lines_do_not_wait_out_a_long_pause(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.collector.book.is_busy = True
        write(host, b"one\n")
        await host.clock.sleep(300)
        host.collector.book.is_busy = False
        await ended(host)
        assert host.collector.book.lines() == ["one"]

    play(tmp_path, scenario)


def test_a_launch_that_is_stopped_while_its_collector_hangs_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.collector.faults.hang("ask")
        host.server.run(shipping())
        await host.clock.sleep(5)
        assert host.collector.faults.calls["ask"] == 1
        begun = host.clock.now()
        await ended(host)
        assert host.clock.now() - begun < 5

    play(tmp_path, scenario)


def test_files_of_a_task_that_ended_are_removed_when_the_machine_was_restarted(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.collector.book.is_busy = True
        write(host, b"never sent\n")
        await host.clock.sleep(3)
        host.kill()
        host.sandbox.containers.clear()
        host.host.network.tasks.clear()
        host.boot_id = "boot-2"
        host.start()
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(60)
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_one_containers_collector_is_no_others(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        awslogs = replace(container("side"), splunk=None)
        host.server.run(replace(shipping(), containers=(shipping().containers[0], awslogs)))
        await host.server.status(TASK_ID, "RUNNING")
        assert host.sandbox.named("side").config.log_path is None
        assert host.sandbox.named("web").config.log_path == str(tmp_path / "agent" / "splunk" / TASK_ID / "web")

    play(tmp_path, scenario)


def test_the_metadata_shows_no_token(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill()
        agent = await host.started()
        await running(host, with_options(("splunk-token", TOKEN), ("tag", "t"), secret_options=()))
        runtime_id = host.sandbox.named("web").config.runtime_id
        reply = await agent.metadata.answer(VPC, "10.0.1.5", f"/v4/{runtime_id}")
        shown = msgspec.json.decode(reply.body)
        assert (shown["LogDriver"], shown["LogOptions"]) == ("splunk", {"splunk-url": URL, "tag": "t"})

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "changes",
    [
        {"options": (("splunk-url", URL), ("splunk-url", URL))},
        {"options": (*SPLUNK.options, ("splunk-token", TOKEN))},
        {"options": (("splunk-capath", "/etc/shadow"),)},
        {"options": (("tag", "x" * 5000),)},
        {"secret_options": (InjectedSecret(name="mode", value_from=SECRET),)},
        {"secret_options": (InjectedSecret(name="tag", value_from="a\nb"),)},
        {"secret_options": (InjectedSecret(name="tag", value_from="x" * 5000),)},
        {"max_buffer_bytes": 1 << 50},
        {"max_buffer_bytes": 0},
    ],
    ids=str,
)
def test_an_order_that_an_honest_server_would_not_send(changes: dict[str, Any]) -> None:
    assert problem(RunOrder(launch=shipping())) is None
    assert problem(RunOrder(launch=shipping(**changes))) is not None


def test_what_an_honest_order_says_wrongly_ends_the_launch_only(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        reason = await refused(host, shipping(options=(("splunk-url", "http://x/\x00"),)))
        assert reason == f"{FAILED}splunk: expected format scheme://dns_name_or_ip:port for splunk-url"

    play(tmp_path, scenario)


def test_what_is_kept_beside_a_log_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "task" / "web"
    os.close(open_log(path))
    assert kept_offset(path) == 0
    keep_offset(path, 7)
    keep_event_start(path, "^x")
    assert (kept_offset(path), kept_event_start(path)) == (7, "^x")
    (path.parent / ".offsets" / "web").write_text("7x")
    assert kept_offset(path) == 0, "torn by a power cut"
    (path.parent / ".offsets" / ".offsets").write_text("8")  # by a process that died while it wrote
    remove_log(path)
    assert list(tmp_path.iterdir()) == []
