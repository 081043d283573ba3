"""Executed commands from a client's first byte to the terminal in the container, and every way in which they end."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.frontend.executing.sessions import ExecPlace, ExecSession
from neargate.interfaces.roles import TerminalRequest
from neargate.link.host_identity import EXEC, HostKey
from neargate.link.messages import PROTOCOL, Challenge, ExecOrder, Proof
from neargate.link.terminal import (
    INPUT_WINDOW,
    ExecBegin,
    ExecEnded,
    ExecHello,
    ExecInput,
    ExecOutput,
    ExecTaken,
    decode_from_server,
    encode,
)
from neargate.model.errors import ClientError
from neargate.testing.exec_rig import HOST, INCARNATION, NEIGHBOUR, RUNTIME, SHELL, TASK, AgentSide, Client, ExecRig
from neargate.testing.virtual_time import run_virtual
from neargate.wire.data_channel import new_frame
from neargate.wire.exec_session import UNCONFIRMED_MAX, Input

REFUSED = 1008
PLACE = ExecPlace(account="123456789012", task_id=TASK, container="web")


def story(body: Callable[[ExecRig], Awaitable[None]], **knobs: float) -> None:
    async def told() -> None:
        rig = ExecRig(**knobs)
        await rig.start()
        await body(rig)
        await nothing_is_left(rig)
        assert rig.world.failures == []

    run_virtual(told())


async def nothing_is_left(rig: ExecRig) -> None:
    """Neither a terminal nor a connection, nor a session that counts."""
    for _ in range(2000):
        if not rig.sandbox.terminals and all(pipe.is_cut.is_set() for pipe in rig.pipes):
            break
        await asyncio.sleep(0.05)
    assert rig.sandbox.terminals == {}
    assert all(pipe.is_cut.is_set() for pipe in rig.pipes)
    await asyncio.sleep(rig.knobs.exec_token_s)
    for _ in range(rig.knobs.exec_sessions_per_container):
        rig.grant()


async def begun(rig: ExecRig, *, tells_exit_code: bool = True) -> Client:
    granted = rig.grant(tells_exit_code=tells_exit_code)
    client = Client(rig, granted.session_id)
    await client.opened(granted.token)
    for _ in range(1000):
        if granted.session_id in rig.sandbox.terminals:
            return client
        await asyncio.sleep(0.01)
    raise AssertionError("no terminal was opened")


def test_a_shell_says_back_and_its_exit_code_is_told() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        client.type(b"hello\r")
        await client.until(lambda: b"hello" in client.shown)
        (terminal,) = rig.sandbox.terminals.values()
        client.say(client.protocol.resize(120, 40, rig.world.now()).data)
        client.type(b"exit 7\r")
        await client.until(lambda: client.closed_with)
        assert client.finished is not None and (client.finished.exit_code, client.finished.reason) == (7, "")
        assert (terminal.args, terminal.sizes, terminal.typed) == (SHELL, [(120, 40)], b"hello\rexit 7\r")
        assert client.shown == b"hello\rexit 7\r"

    story(body)


def test_output_that_the_client_missed_comes_again_before_the_end() -> None:
    async def body(rig: ExecRig) -> None:
        granted = rig.grant()
        client = Client(rig, granted.session_id)
        client.misses_first_output = True
        await client.opened(granted.token)
        for _ in range(100):
            await asyncio.sleep(0.01)
        (terminal,) = rig.sandbox.terminals.values()
        terminal.say(b"all there is")
        terminal.end(0)
        await client.until(lambda: client.closed_with)
        assert client.shown == b"all there is"
        assert client.finished is not None and client.finished.exit_code == 0

    story(body)


def test_others_clients_are_told_no_exit_code() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig, tells_exit_code=False)
        client.type(b"exit 7\r")
        await client.until(lambda: client.closed_with)
        assert client.finished is not None and (client.finished.exit_code, client.finished.reason) == (None, "")

    story(body)


def test_a_token_opens_its_session_once() -> None:
    async def body(rig: ExecRig) -> None:
        first, second = rig.grant(), rig.grant()
        wrong = [
            second.token,
            "",
            "x",
            first.token[:-4],
            f"{first.token}A",
            "\udcff",
            base64.b64encode(bytes(99)).decode(),
        ]
        for token in wrong:
            client = Client(rig, first.session_id)
            client.say(json.dumps({"MessageSchemaVersion": "1.0", "RequestId": "r", "TokenValue": token}))
            await client.until(lambda client=client: client.closed_with)  # type: ignore[misc]
            assert client.closed_with == REFUSED and client.finished is None
        assert rig.pipes == [], "no terminal was asked for"
        client = Client(rig, first.session_id)
        await client.opened(first.token)
        assert client.protocol.is_open
        again = Client(rig, first.session_id)
        await again.until(lambda: again.closed_with)
        assert not again.is_accepted, "nobody waits for it any more"
        client.hang_up()
        await client.serving

    story(body)


def test_a_token_is_good_for_a_minute() -> None:
    async def body(rig: ExecRig) -> None:
        granted = rig.grant()
        early = Client(rig, granted.session_id)
        await early.until(lambda: early.is_accepted)
        await asyncio.sleep(rig.knobs.exec_token_s)
        early.open(granted.token)
        await early.until(lambda: early.closed_with)
        assert early.closed_with == REFUSED
        late = Client(rig, granted.session_id)
        await late.until(lambda: late.closed_with)
        assert not late.is_accepted and rig.pipes == []

    story(body, exec_token_s=10.0, exec_handshake_s=15.0)


@pytest.mark.parametrize(
    "first",
    [
        b"\0binary",
        "no json",
        "{}",
        '{"TokenValue":7}',
        '{"MessageSchemaVersion":"1.0","TokenValue":"x"}',
        '{"x":' + "[" * 60_000,
    ],
)
def test_what_is_no_opening_is_refused(first: bytes | str) -> None:
    async def body(rig: ExecRig) -> None:
        client = Client(rig, rig.grant().session_id)
        client.say(first)
        await client.until(lambda: client.closed_with)
        assert client.closed_with == REFUSED and rig.pipes == []

    story(body)


def test_a_page_of_a_browser_is_not_let_in() -> None:
    async def body(rig: ExecRig) -> None:
        granted = rig.grant()
        page = Client(rig, granted.session_id, ((b"origin", b"http://127.0.0.1:4566"),))
        await page.until(lambda: page.closed_with)
        assert not page.is_accepted
        nobody = Client(rig, "ecs-execute-command-0123")
        await nobody.until(lambda: nobody.closed_with)
        assert not nobody.is_accepted

    story(body)


def test_who_says_nothing_is_not_waited_for() -> None:
    async def body(rig: ExecRig) -> None:
        silent = Client(rig, rig.grant().session_id)
        await silent.until(lambda: silent.closed_with)
        granted = rig.grant()
        half = Client(rig, granted.session_id)
        half.confirms = False
        half.open(granted.token)
        await half.until(lambda: half.closed_with)
        assert half.finished is not None and "handshake" in half.finished.reason

    story(body)


def test_sessions_of_a_container_are_counted() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        rig.grant()
        with pytest.raises(ClientError) as refused:
            rig.grant()
        assert refused.value.message == (
            "Unable to start new execute sessions because the maximum session limit of 2 has been reached."
        )
        client.hang_up()
        await client.serving
        rig.grant()

    story(body, exec_sessions_per_container=2)


def test_a_client_that_hangs_up_takes_its_command_with_it() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        assert len(rig.sandbox.terminals) == 1
        client.hang_up()
        await client.serving

    story(body)


def test_a_command_whose_client_reads_no_more_waits_and_then_ends() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        client.confirms = False
        terminal.say(b"x" * 4096 * 1000)
        await client.until(lambda: client.closed_with)
        assert client.finished is not None and "does not take" in client.finished.reason
        assert len(client.shown) <= 4096 * UNCONFIRMED_MAX
        assert len(terminal.unread) > 4096 * (1000 - UNCONFIRMED_MAX - 20), "the rest waits where it was said"

    story(body)


def test_a_command_that_reads_nothing_holds_back_what_is_typed() -> None:
    """And what is confirmed meanwhile is still heard, so that its output goes on."""

    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        terminal.reads = False
        for _ in range(100):
            client.type(b"y" * 4096)
        for _ in range(100):
            terminal.say(b"x" * 4096)
            await asyncio.sleep(0.01)
        await client.until(lambda: client.shown.count(b"x") == 4096 * 100)
        assert client.protocol.room < 0, "not all of it was taken"
        client.hang_up()
        await client.serving

    story(body)


def test_what_waits_to_be_typed_is_typed_when_the_command_reads() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        (terminal,) = rig.sandbox.terminals.values()
        terminal.reads = False
        for number in range(100):
            client.type(b"%c" % (65 + number % 26) * 4096)
        await asyncio.sleep(1.0)
        terminal.read_on()
        for _ in range(1000):
            if len(terminal.typed) == 4096 * 100:
                break
            await asyncio.sleep(0.5)
            for again in client.protocol.tick(rig.world.now()):
                client.say(again.data)
        assert terminal.typed == b"".join(b"%c" % (65 + number % 26) * 4096 for number in range(100))
        client.hang_up()
        await client.serving

    story(body)


def test_a_session_without_a_word_ends_after_twenty_minutes() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        await asyncio.sleep(1000.0)
        client.type(b"still here\r")
        began = rig.world.monotonic()
        await client.until(lambda: client.closed_with)
        assert 1200.0 <= rig.world.monotonic() - began < 1202.0
        assert client.finished is not None and client.finished.exit_code is None
        assert client.finished.reason == "Your session timed out due to inactivity."

    story(body)


def test_the_end_of_the_container_is_the_end() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        rig.sandbox.end(RUNTIME, 0)
        await client.until(lambda: client.closed_with)
        assert client.finished is not None and client.finished.exit_code == 137
        granted = rig.grant()
        late = Client(rig, granted.session_id)
        late.open(granted.token)
        await late.until(lambda: late.closed_with)
        assert late.finished is not None and late.finished.reason == "The container does not run."

    story(body)


def test_a_command_that_is_not_there() -> None:
    async def body(rig: ExecRig) -> None:
        granted = rig.grant("no-such-program")
        client = Client(rig, granted.session_id)
        client.open(granted.token)
        await client.until(lambda: client.closed_with)
        assert client.finished is not None and "no-such-program" in client.finished.reason

    story(body)


def test_a_lost_connection_to_the_host_ends_both_halves() -> None:
    async def body(rig: ExecRig) -> None:
        client = await begun(rig)
        rig.pipes[0].is_cut.set()
        await client.until(lambda: client.closed_with)
        assert client.finished is not None
        assert client.finished.reason == "The connection to the container's host was lost."

    story(body)


def test_a_host_that_hears_nothing_is_not_waited_for() -> None:
    async def body(rig: ExecRig) -> None:
        rig.is_deaf = True
        granted = rig.grant()
        client = Client(rig, granted.session_id)
        client.open(granted.token)
        await client.until(lambda: client.closed_with)
        assert client.finished is not None
        assert client.finished.reason == "The execute command failed due to an internal error. Try again later."

    story(body)


def test_another_host_cannot_bring_the_terminal() -> None:
    """Nor can anybody without the host's key, and nobody a second one."""

    async def body(rig: ExecRig) -> None:
        rig.is_deaf = True
        granted = rig.grant()
        order = ExecOrder(
            session=granted.session_id, task_id=TASK, incarnation=INCARNATION, container="web", args=SHELL
        )
        client = Client(rig, granted.session_id)
        client.open(granted.token)
        await asyncio.sleep(1.0)
        strangers = (
            (NEIGHBOUR, rig.neighbour),
            (NEIGHBOUR, rig.key),
            (HOST, rig.neighbour),
            ("host-3", HostKey(b"x" * 32)),
        )
        for host_id, key in strangers:
            rig.agent_of(host_id, key).begin(order)
            await asyncio.sleep(1.0)
        assert rig.sandbox.terminals == {} and client.shown == b""
        rig.agent.begin(order)
        await asyncio.sleep(1.0)
        assert len(rig.sandbox.terminals) == 1
        rig.agent_of(HOST, rig.key).begin(order)
        await asyncio.sleep(1.0)
        client.type(b"one\r")
        await client.until(lambda: client.shown == b"one\r")
        client.hang_up()
        await client.serving

    story(body)


async def lying(rig: ExecRig, *said: bytes) -> tuple[Client, AgentSide]:
    """A session whose host was taken over, and says this."""
    rig.is_deaf = True
    granted = rig.grant()
    client = Client(rig, granted.session_id)
    client.open(granted.token)
    await asyncio.sleep(1.0)
    side = await rig.connect("/exec")
    await side.send(encode(ExecHello(protocol=PROTOCOL, host_id=HOST, session=granted.session_id)))
    challenge = decode_from_server(await side.receive())
    assert isinstance(challenge, Challenge)
    await side.send(encode(Proof(signature=rig.key.sign(EXEC, challenge.nonce, HOST))))
    assert isinstance(decode_from_server(await side.receive()), ExecBegin)
    await client.until(lambda: client.protocol.is_open)
    for message in said:
        await side.send(message)
    return client, side


@pytest.mark.parametrize(
    "lie",
    [
        b"\xc1",
        b"",
        encode(ExecTaken()),
        encode(ExecOutput(data=b"")),
        encode(ExecOutput(data=b"x" * 1_000_000)),
        encode(ExecHello(protocol=PROTOCOL, host_id=HOST, session="s-1")),
        encode(ExecEnded(exit_code=2**70 % 2**63, reason="\x1b]0;owned\x07" * 9000)),
        encode(ExecEnded(exit_code=-5)),
        encode(ExecEnded(reason="??")).replace(b"??", b"\xff\xff"),
        b"\x82\xa4type\xaaexec-ended\xa1x" + b"\x91" * 5000,
    ],
)
def test_a_host_that_lies_ends_its_own_session(lie: bytes) -> None:
    async def body(rig: ExecRig) -> None:
        client, _ = await lying(rig, encode(ExecOutput(data=b"hello")), lie)
        await client.until(lambda: client.closed_with)
        assert client.shown == b"hello" and client.finished is not None
        assert client.finished.reason.isprintable() and len(client.finished.reason) <= 1024
        assert client.finished.exit_code is None or 0 <= client.finished.exit_code <= 255

    story(body)


def test_a_host_that_takes_no_input_holds_back_its_own_client_alone() -> None:
    async def body(rig: ExecRig) -> None:
        client, side = await lying(rig)
        for _ in range(200):
            client.type(b"x" * 4096)
        await asyncio.sleep(5.0)
        taken = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(1.0):
                    message = decode_from_server(await side.receive())
                assert isinstance(message, ExecInput)
                taken += 1
        assert taken == INPUT_WINDOW
        client.hang_up()
        await client.serving

    story(body)


def test_no_text_of_a_message_shows_what_is_executed_typed_or_said() -> None:
    words: dict[str, Any] = {"task_id": TASK, "container": "web", "args": ("login", "hunter2")}
    typed = b"hunter2"
    for made in (
        ExecOrder(session="s-1", incarnation=INCARNATION, **words),
        TerminalRequest(session="s-1", **words),
        ExecSession(id="s-1", place=PLACE, args=("login", "hunter2"), tells_exit_code=False),
        ExecInput(data=typed),
        ExecOutput(data=typed),
        Input(data=typed),
        new_frame("input_stream_data", 0, 1, typed, created_ms=1, random_bits=lambda bits: bits),
    ):
        assert "hunter2" not in f"{made} {made!r} {[made]}"


def test_an_agent_obeys_orders_for_its_own_tasks_only() -> None:
    async def body(rig: ExecRig) -> None:
        for task_id, incarnation, container in (
            ("1" * 32, INCARNATION, "web"),
            (TASK, "cell-2", "web"),
            (TASK, INCARNATION, "db"),
        ):
            order = ExecOrder(session="s-1", task_id=task_id, incarnation=incarnation, container=container, args=SHELL)
            rig.agent.begin(order)
            await asyncio.sleep(1.0)
            assert rig.sandbox.terminals == {}
        rig.is_enabled = False
        granted = rig.grant()
        client = Client(rig, granted.session_id)
        client.open(granted.token)
        await client.until(lambda: client.closed_with)
        assert client.finished is not None and client.finished.reason == "The task was not started for this."

    story(body)
