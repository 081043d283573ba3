"""What a monitor that a guest got into may say to the driver: any breach ends that connection, and nothing else."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from neargate.sandbox.microvm.qmp import Qmp, printable
from neargate.sandbox.microvm.vmm import MachineRefused, MachineStuck
from neargate.world import OsWorld, within

GREETING = b'{"QMP":{"version":{}}}\n'
TAKEN = b'{"return":{},"id":1}\n'
WAIT_S = 20.0
QUICK_S = 0.3


class Monitor:
    """Its end of the connection, in the hands of a test."""

    def __init__(self, theirs: socket.socket) -> None:
        self._theirs = theirs

    async def say(self, *words: bytes) -> None:
        with suppress(OSError):  # it was hung up on
            await within(WAIT_S, asyncio.get_running_loop().sock_sendall(self._theirs, b"".join(words)))

    async def hear(self) -> dict[str, object]:
        line = b""
        while not line.endswith(b"\n"):
            more = await within(WAIT_S, asyncio.get_running_loop().sock_recv(self._theirs, 65536))
            assert more, "it has hung up"
            line += more
        heard: dict[str, object] = json.loads(line)
        return heard

    async def is_hung_up_on(self) -> bool:
        with suppress(ConnectionResetError):
            return await within(WAIT_S, asyncio.get_running_loop().sock_recv(self._theirs, 1)) == b""
        return True


def play(story: Callable[[Qmp, Monitor], Awaitable[None]]) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        qmp = Qmp(OsWorld(), ours)
        with theirs:
            try:
                await story(qmp, Monitor(theirs))
            finally:
                qmp.close()

    asyncio.run(run())


async def opened(qmp: Qmp, monitor: Monitor) -> None:
    await monitor.say(GREETING, TAKEN)
    await qmp.open(WAIT_S)
    assert (await monitor.hear())["execute"] == "qmp_capabilities"


def test_who_gives_up_while_it_greets_leaves_no_connection() -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        opening = asyncio.ensure_future(qmp.open(WAIT_S))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert await monitor.is_hung_up_on()

    play(story)


def test_an_answer_is_its_questions_and_a_refusal_has_the_monitors_words() -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        await opened(qmp, monitor)
        await monitor.say(b'{"return":{"status":"running"},"id":2}\n')
        assert bytes(await qmp.ask("query-status", timeout_s=WAIT_S)) == b'{"status":"running"}'
        await monitor.say(b'{"error":{"desc":"no\\u001b such thing"},"id":3}\n')
        with pytest.raises(MachineRefused, match="stop: no  such thing"):
            await qmp.ask("stop", timeout_s=WAIT_S)

    play(story)


@pytest.mark.parametrize("said", [b"", b"hello\n", b"{}\n", b"[]\n", b'{"QMP":\n', b"\xff\n",
                                  b'{"QMP":{},"event":"\xff"}\n', b'{"x":' + b"[" * 60_000 + b"\n"],
                         ids=range(8))  # fmt: skip
def test_who_does_not_greet_is_not_spoken_to(said: bytes) -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        await monitor.say(said)
        with pytest.raises(MachineStuck, match="does not greet"):
            await qmp.open(QUICK_S)
        assert qmp.is_over

    play(story)


BREACHES = {
    "no JSON": b"hello\n",
    "no object": b"[1]\n",
    "a word of the wrong kind": b'{"event":7}\n',
    "nested without end": b'{"return":' + b"[" * 100_000 + b"\n",
    "a line without end": b"x" * 400_000,
    "no text": b'{"event":"\xff"}\n',
}


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES)
def test_who_breaks_the_protocol_is_hung_up_on(breach: bytes) -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        await opened(qmp, monitor)
        asked = asyncio.ensure_future(qmp.ask("query-status", timeout_s=WAIT_S))
        await monitor.hear()
        await monitor.say(breach)
        with pytest.raises(MachineStuck):
            await asked
        assert qmp.is_over and await qmp.event() is None
        assert await monitor.is_hung_up_on()
        with pytest.raises(MachineStuck, match="hung up"):
            await qmp.ask("cont", timeout_s=WAIT_S)

    play(story)


def test_an_answer_to_another_question_is_none() -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        await opened(qmp, monitor)
        await monitor.say(b'{"return":{},"id":1}\n{"return":{},"id":"2"}\n{"return":{},"id":3}\n')
        with pytest.raises(MachineStuck, match="does not answer query-status"):
            await qmp.ask("query-status", timeout_s=QUICK_S)

    play(story)


def test_answers_that_nobody_waits_for_leave_the_loop_to_others() -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        await opened(qmp, monitor)
        asked = asyncio.ensure_future(qmp.ask("query-status", timeout_s=WAIT_S))
        await monitor.hear()
        turns = 0

        async def others() -> None:
            nonlocal turns
            while not asked.done():
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(others())
        await monitor.say(b"{}\n" * 20, b'{"return":{},"id":2}\n')
        await asked
        await beside
        assert turns > 20

    play(story)


def test_of_events_without_end_few_are_kept_and_the_answer_is_found_among_them() -> None:
    async def story(qmp: Qmp, monitor: Monitor) -> None:
        await opened(qmp, monitor)
        asked = asyncio.ensure_future(qmp.ask("query-status", timeout_s=WAIT_S))
        await monitor.hear()
        await monitor.say(b'{"event":"SHUTDOWN"}\n{"event":"BLOCK_IO_ERROR"}\n' * 20, b'{"return":{},"id":2}\n')
        assert bytes(await asked) == b"{}"
        kept = [event.name for event in qmp._events]
        assert kept == ["SHUTDOWN"] * 8

    play(story)


def test_a_strangers_words_are_lines_of_printable_characters_and_bounded() -> None:
    assert printable("a\x1b[2J\nb\x00\u202e", 100) == "a [2J\nb  "
    assert printable("x" * 1000 + "end", 10) == "xxxxxxxend"
