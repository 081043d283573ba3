"""What is kept of executed commands: their output as events of a log stream, whatever the log says."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from neargate.frontend.executing.calls import CallRefused
from neargate.frontend.executing.relay import Begun
from neargate.frontend.executing.rules import SessionRules, log_group, session_rules
from neargate.frontend.executing.session_log import SessionLog
from neargate.frontend.executing.transcript import EVENT_MAX_BYTES, EVENTS_MAX, events
from neargate.interfaces.roles import ExecutedTask, TaskIdentity
from neargate.model.errors import ClientError
from neargate.testing.exec_rig import TASK, Client, ExecRig
from neargate.testing.virtual_time import run_virtual
from neargate.wire.exec_encryption import DataKey

GROUP = "/exec"
LOGGED = SessionRules(log_group=GROUP)


@pytest.mark.parametrize(
    ("output", "is_last", "messages", "rest"),
    [
        (b"", True, [], b""),
        (b"$ ls\r\na\r\n$ ", False, ["$ ls\na"], b"$ "),
        (b"$ ls\r\na\r\n$ ", True, ["$ ls\na\n$ "], b""),
        (b"half", False, [], b"half"),
        (b"\r\n", True, [], b""),
        (b"a\xffb\xc3\n", False, ["a\ufffdb\ufffd"], b""),
        ("\u00e9\n".encode() * 2, False, ["\u00e9\n\u00e9"], b""),
    ],
)
def test_output_is_cut_at_its_lines(output: bytes, is_last: bool, messages: list[str], rest: bytes) -> None:
    assert events(output, is_last=is_last) == (messages, rest)


@pytest.mark.parametrize("piece", [b"x", b"line\n", "\u20ac".encode(), b"a\xf0\x9f\x98\x80", b"\xff", b"\x80"])
def test_events_are_bounded_and_nothing_is_lost(piece: bytes) -> None:
    output = piece * (3 * EVENT_MAX_BYTES // len(piece))
    kept, rest = events(output, is_last=False)
    last, nothing = events(rest, is_last=True)
    messages = kept + last
    assert nothing == b"" and len(messages) >= 3
    assert events(output, is_last=True) == (messages, b"")
    assert all(len(message.encode()) <= 256 * 1024 - 26 for message in messages)
    assert sum(sorted(len(message.encode()) + 26 for message in messages)[-EVENTS_MAX:]) <= 1024 * 1024
    text = "\n".join(messages) if b"\n" in piece else "".join(messages)
    whole = output.decode(errors="replace")
    assert text.rstrip("\n") == whole.rstrip("\n")


IDENTITY = TaskIdentity(account="1", task_arn="", task_role_arn=None, execution_role_arn=None)
AWSLOGS = ExecutedTask(identity=IDENTITY, log_group="/web", log_region="us-east-1")


@pytest.mark.parametrize(
    ("configuration", "task", "group"),
    [
        (None, AWSLOGS, "/web"),
        ({"logging": "DEFAULT"}, AWSLOGS, "/web"),
        ({"logging": "DEFAULT"}, ExecutedTask(identity=IDENTITY), ""),
        ({"logging": "DEFAULT"}, ExecutedTask(identity=IDENTITY, log_group="/web", log_region="eu-west-1"), ""),
        ({"logging": "NONE"}, AWSLOGS, ""),
        ({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "/exec"}}, AWSLOGS, "/exec"),
    ],
)
def test_where_a_cluster_wants_sessions_logged(
    configuration: dict[str, object] | None, task: ExecutedTask, group: str
) -> None:
    cluster = {} if configuration is None else {"configuration": {"executeCommandConfiguration": configuration}}
    assert log_group(session_rules(cluster), task, "us-east-1") == group


def test_buckets_are_refused() -> None:
    wanted = {"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "/exec", "s3BucketName": "b"}}
    with pytest.raises(ClientError, match="s3BucketName"):
        session_rules({"configuration": {"executeCommandConfiguration": wanted}})


def story(body: Callable[[ExecRig], Awaitable[None]], **knobs: float) -> None:
    async def told() -> None:
        rig = ExecRig(**knobs)
        await rig.start()
        await body(rig)
        assert rig.world.failures == []

    run_virtual(told())


async def begun(rig: ExecRig, rules: SessionRules = LOGGED) -> tuple[Client, str]:
    granted = rig.grant(rules=rules)
    client = Client(rig, granted.session_id)
    await client.opened(granted.token)
    for _ in range(1000):
        if granted.session_id in rig.sandbox.terminals or client.closed_with is not None:
            return client, granted.session_id
        await asyncio.sleep(0.01)
    raise AssertionError("no terminal was opened")


async def stored(rig: ExecRig, stream: tuple[str, str], *messages: str) -> None:
    for _ in range(1000):
        if rig.api.streams.get(stream) == list(messages):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{rig.api.streams}, not {messages}")


def test_what_a_session_says_is_logged_while_it_lasts_and_at_its_end() -> None:
    async def body(rig: ExecRig) -> None:
        client, session = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        terminal.say(b"one\r\ntwo")
        await stored(rig, (GROUP, session), "one")
        terminal.say(b"\r\nthree")
        terminal.end(0)
        await client.serving
        assert client.shown == b"one\r\ntwo\r\nthree"
        assert rig.api.streams == {(GROUP, session): ["one", "two\nthree"]}

    story(body)


def test_by_default_the_containers_own_group_is_taken() -> None:
    async def body(rig: ExecRig) -> None:
        for group, streams in ((None, 0), ("/web", 1)):
            rig.log_group = group
            client, session = await begun(rig, SessionRules())
            rig.sandbox.terminals[session].say(b"x\r\n")
            rig.sandbox.terminals[session].end(0)
            await client.serving
            assert len(rig.api.streams) == streams
        assert rig.api.streams == {("/web", session): ["x"]}

    story(body)


def test_a_client_that_hangs_up_does_not_lose_the_log() -> None:
    async def body(rig: ExecRig) -> None:
        client, session = await begun(rig)
        rig.sandbox.terminals[session].say(b"rm -r /\r\n$ ")
        await client.until(lambda: client.shown)
        client.hang_up()
        await client.serving
        assert rig.api.streams == {(GROUP, session): ["rm -r /\n$ "]}

    story(body)


@pytest.mark.parametrize("operation", ["CreateLogStream", "PutLogEvents"])
def test_a_log_that_is_refused_leaves_the_session_alone(operation: str) -> None:
    async def body(rig: ExecRig) -> None:
        rig.api.refusals[operation] = [CallRefused("AccessDeniedException", "no")]
        client, session = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        much = b"0123456\n" * 200_000
        terminal.say(much)
        terminal.end(0)
        await client.serving
        assert client.shown == much, "nothing waited for the log"
        assert client.finished is not None and client.finished.exit_code == 0
        assert rig.api.streams.get((GROUP, session), []) == []

    story(body)


def test_a_busy_log_is_asked_again_and_nothing_is_lost() -> None:
    async def body(rig: ExecRig) -> None:
        busy = CallRefused("ThrottlingException", "Rate exceeded", is_passing=True)
        rig.api.refusals = {"CreateLogStream": [busy] * 2, "PutLogEvents": [busy] * 4}
        client, session = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        much = b"0123456\n" * 200_000
        terminal.say(much)
        terminal.end(0)
        await client.serving
        assert "\n".join(rig.api.streams[GROUP, session]).encode() + b"\n" == much
        assert client.shown == much

    story(body)


def test_a_log_that_does_not_answer_is_given_up_after_a_while() -> None:
    """Until then no more is read of the terminal than there is room for."""

    async def body(rig: ExecRig) -> None:
        rig.api.free.clear()
        client, _ = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        terminal.say(b"0123456\n" * 200_000)
        await asyncio.sleep(rig.knobs.exec_log_patience_s / 2)
        assert len(client.shown) < rig.knobs.exec_log_buffer_max_bytes + 64 * 1024
        terminal.end(0)
        await client.serving
        assert client.shown == b"0123456\n" * 200_000
        assert rig.api.streams == {}
        rig.api.free.set()
        await asyncio.sleep(1.0)

    story(body)


def test_much_at_once_comes_in_calls_that_the_log_takes() -> None:
    async def body(rig: ExecRig) -> None:
        log = SessionLog(rig.world, rig.knobs, rig.api, group=GROUP, stream="s", note=rig.notes.append)
        rig.world.spawn(log.run(), "log")
        log.take(b"\xff" * 1_000_000)
        await log.finish()
        log.take(b"too late")
        await asyncio.sleep(100.0)
        assert "".join(rig.api.streams[GROUP, "s"]) == "\ufffd" * 1_000_000
        assert rig.notes == []

    story(body)


def test_a_terminal_that_fails_to_close_leaves_no_log_waiting() -> None:
    class Broken:
        async def close(self) -> None:
            raise OSError

    async def body(rig: ExecRig) -> None:
        log = SessionLog(rig.world, rig.knobs, rig.api, group=GROUP, stream="s", note=rig.notes.append)
        running = rig.world.spawn(log.run(), "log")
        log.take(b"said")
        with pytest.raises(OSError):  # noqa: PT011  whatever it was
            await Begun(terminal=Broken(), log=log).close()  # type: ignore[arg-type]  # nothing else is asked of it
        assert rig.api.streams == {(GROUP, "s"): ["said"]}
        await running

    story(body)


@pytest.mark.parametrize(
    ("groups", "refused", "begins"),
    [
        ([{"logGroupName": GROUP, "kmsKeyId": "arn:k"}], False, True),
        ([{"logGroupName": GROUP}], False, False),
        ([{"logGroupName": f"{GROUP}-2", "kmsKeyId": "arn:k"}], False, False),
        ([], False, False),
        ([{"logGroupName": GROUP, "kmsKeyId": "arn:k"}], True, False),
    ],
)
def test_a_log_that_must_be_encrypted(groups: list[dict[str, str]], refused: bool, begins: bool) -> None:
    async def body(rig: ExecRig) -> None:
        rig.api.groups = groups
        if refused:
            rig.api.refusals["DescribeLogGroups"] = [CallRefused("AccessDeniedException", "no")]
        granted = rig.grant(rules=SessionRules(log_group=GROUP, needs_encrypted_group=True))
        client = Client(rig, granted.session_id)
        await client.opened(granted.token)
        if begins:
            client.hang_up()
        await client.serving
        assert (client.finished is None) == begins
        if client.finished is not None:
            assert rig.pipes == [] and client.finished.reason == (
                "We couldn't start the session because encryption is not set up on the selected CloudWatch Logs log "
                "group. Either encrypt the log group or choose an option to enable logging without encryption."
            )

    story(body)


KEY, ENCRYPTED = DataKey(plain=bytes(range(64)), sealed=b"sealed"), SessionRules(log_group=GROUP, key_id="alias/exec")


def test_an_encrypted_session_is_logged_as_it_was_said() -> None:
    async def body(rig: ExecRig) -> None:
        rig.api.keys[KEY.sealed] = KEY.plain
        granted = rig.grant(rules=ENCRYPTED)
        client = Client(rig, granted.session_id, key=KEY)
        await client.opened(granted.token)
        client.type(b"hello\r")
        await client.until(lambda: b"hello" in client.shown)
        client.type(b"exit 7\r")
        await client.serving
        assert client.finished is not None and client.finished.exit_code == 7
        (asked,) = rig.api.decrypted
        assert asked["KeyId"] == "alias/exec"
        assert asked["EncryptionContext"] == {
            "aws:ssm:SessionId": granted.session_id,
            "aws:ssm:TargetId": "ecs:default_task_web",
        }
        assert rig.api.streams == {(GROUP, granted.session_id): ["hello\rexit 7\r"]}

    story(body)


@pytest.mark.parametrize("has_key", [True, False])
def test_nothing_runs_before_there_is_a_key(has_key: bool) -> None:
    async def body(rig: ExecRig) -> None:
        rig.api.refusals["Decrypt"] = [CallRefused("AccessDeniedException", "no")]
        granted = rig.grant(rules=ENCRYPTED)
        client = Client(rig, granted.session_id, key=KEY if has_key else None)
        client.open(granted.token)
        await client.serving
        assert client.finished is not None and rig.pipes == [] and rig.api.streams == {}
        why = (
            "Fetching data key failed: Unable to retrieve data key, Error when decrypting data key "
            "AccessDeniedException: no"
            if has_key
            else "KMSEncryption failed on client with status 2 error: this client was given no data key"
        )
        assert client.finished.reason == (
            f"\n----------ERROR-------\nEncountered error while initiating handshake. {why}"
        )

    story(body)


def test_a_key_store_that_does_not_answer_is_not_waited_for() -> None:
    async def body(rig: ExecRig) -> None:
        rig.api.free.clear()
        granted = rig.grant(rules=ENCRYPTED)
        client = Client(rig, granted.session_id, key=KEY)
        client.open(granted.token)
        await client.serving
        assert client.finished is not None and "handshake in time" in client.finished.reason
        assert rig.pipes == []

    story(body)


def test_an_account_leaves_room_for_others() -> None:
    async def body(rig: ExecRig) -> None:
        for account, most in (("1", 51), ("2", 25), ("3", 13)):
            for count in range(most):
                rig.grant(account=account, container=f"c{count}")
            with pytest.raises(ClientError, match=f"session limit of {most} has been reached"):
                rig.grant(account=account, container="more")
        with pytest.raises(ClientError, match="limit of 51 has"):
            rig.grant(account="1", container="more")
        rig.grant(account="4")

    story(body, exec_sessions_max=100)


def test_the_rig_knows_its_task() -> None:
    async def body(rig: ExecRig) -> None:
        found = await rig.terminals.task(TASK, "web")
        assert found is not None and found.log_group is None
        assert await rig.terminals.task("1" * 32, "web") is None

    story(body)
