"""Terminals on hosts as the server holds them: asked for through the host's link, brought by its agent.

Owns which sessions wait for their terminal, and from which host: an agent brings what its own host was asked for and
nothing else. Must not know clients. Invariant: a terminal is closed once its reader is gone, and whoever waits for one
that does not come is told after a bound.
"""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Struct

from ..interfaces.roles import ExecutedTask, RemoteTerminal, TerminalEnd, TerminalRequest
from ..link.host_identity import EXEC, is_proved
from ..link.messages import PROTOCOL, Challenge, ExecOrder, Proof
from ..link.terminal import (
    DATA_MAX_BYTES,
    INPUT_WINDOW,
    ExecBegin,
    ExecEnded,
    ExecHello,
    ExecInput,
    ExecOutput,
    ExecResize,
    ExecTaken,
    decode_from_agent,
    encode,
)
from ..model.errors import TargetNotConnected
from ..model.knobs import Knobs
from ..model.lifecycle import REASON_MAX_CHARS
from ..world import World
from .cell import Cell
from .channel import Channel, ChannelClosed, new_nonce

SendOrder = Callable[[str, ExecOrder], bool]  # host id, order -> whether the host has a link
_FRAME_SLACK = 4 * DATA_MAX_BYTES


class Terminals:
    """Implements interfaces.roles.Terminals. `order` hands an order to a host's link."""

    def __init__(
        self, world: World, cell: Cell, knobs: Knobs, *, order: SendOrder, is_linked: Callable[[str], bool]
    ) -> None:
        self._world = world
        self._cell = cell
        self._knobs = knobs
        self._order = order
        self._is_linked = is_linked
        self._waiting: dict[str, _Waiting] = {}

    async def is_reachable(self, task_id: str) -> bool:
        place = await self._cell.place(task_id)
        return place is not None and self._is_linked(place[0])

    async def task(self, task_id: str, container: str) -> ExecutedTask | None:
        place = await self._cell.place(task_id)
        identity = await self._cell.task_identity(place[0], task_id) if place is not None else None
        if place is None or identity is None:
            return None
        logs = await self._cell.log_target(place[0], task_id, container)
        if logs is None:
            return ExecutedTask(identity=identity)
        return ExecutedTask(identity=identity, log_group=logs.group, log_region=logs.region)

    async def open(self, request: TerminalRequest) -> RemoteTerminal:
        """Raises TargetNotConnected."""
        place = await self._cell.place(request.task_id)
        if place is None or request.session in self._waiting:
            raise TargetNotConnected
        host_id, incarnation = place
        brought: asyncio.Future[_HostTerminal] = asyncio.get_running_loop().create_future()
        self._waiting[request.session] = _Waiting(host_id=host_id, brought=brought)
        order = ExecOrder(
            session=request.session,
            task_id=request.task_id,
            incarnation=incarnation,
            container=request.container,
            args=request.args,
        )
        try:
            if not self._order(host_id, order):
                raise TargetNotConnected
            async with asyncio.timeout(self._knobs.exec_dial_s):
                return await asyncio.shield(brought)
        except BaseException as error:
            if not brought.cancel() and not brought.cancelled():
                brought.result().closed.set()  # it came at the moment when nobody waited any more
            if isinstance(error, TimeoutError):
                raise TargetNotConnected from None
            raise
        finally:
            del self._waiting[request.session]

    async def accept(self, channel: Channel) -> str:
        """Serve one connection of an agent until the terminal on it is closed; says why."""
        try:
            async with asyncio.timeout(self._knobs.link_silence_s):
                waiting = await self._proved(channel)
        except TimeoutError:
            return "no hello in time"
        except ChannelClosed as closed:
            return str(closed)
        terminal = _HostTerminal(channel)
        waiting.brought.set_result(terminal)
        try:
            await channel.send(encode(ExecBegin()))
        except ChannelClosed as closed:
            return str(closed)  # its reader meets the same end
        await terminal.closed.wait()
        return "the session has ended"

    async def _proved(self, channel: Channel) -> "_Waiting":
        """Raises ChannelClosed: another host's session is as unknown as none."""
        hello = _decode(await channel.receive())
        if not isinstance(hello, ExecHello) or hello.protocol != PROTOCOL:
            raise ChannelClosed("no hello of this protocol")
        key = self._cell.host_keys.of(hello.host_id)
        if key is None:
            raise ChannelClosed("this host's link comes first")
        nonce = new_nonce(self._world)
        await channel.send(encode(Challenge(nonce=nonce)))
        proof = _decode(await channel.receive())
        signature = proof.signature if isinstance(proof, Proof) else b""
        if not is_proved(key, signature, channel=EXEC, nonce=nonce, host_id=hello.host_id):
            raise ChannelClosed("the host's key was not proved")
        waiting = self._waiting.get(hello.session)
        if waiting is None or waiting.host_id != hello.host_id or waiting.brought.done():
            raise ChannelClosed("nobody waits for this terminal")
        return waiting


class _Waiting(Struct, frozen=True, kw_only=True):
    host_id: str
    brought: "asyncio.Future[_HostTerminal]"


class _HostTerminal:
    """Implements interfaces.roles.RemoteTerminal."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._credit = asyncio.Semaphore(INPUT_WINDOW)
        self._taken_back = 0
        self.closed = asyncio.Event()

    async def read(self) -> bytes | TerminalEnd:
        while True:
            try:
                message = _decode(await self._channel.receive())
            except ChannelClosed:
                return TerminalEnd(reason="The connection to the container's host was lost.")
            match message:
                case ExecOutput() if 0 < len(message.data) <= _FRAME_SLACK:
                    return message.data
                case ExecTaken() if self._taken_back > 0:
                    self._taken_back -= 1
                    self._credit.release()
                case ExecEnded():
                    code = None if message.exit_code is None else min(max(0, message.exit_code), 255)
                    return TerminalEnd(exit_code=code, reason=_plain(message.reason))
                case _:
                    return TerminalEnd(reason="The container's host sent what does not belong here.")

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), DATA_MAX_BYTES):
            await self._send(ExecInput(data=data[start : start + DATA_MAX_BYTES]))

    async def resize(self, columns: int, rows: int) -> None:
        await self._send(ExecResize(columns=columns, rows=rows))

    async def close(self) -> None:
        self.closed.set()
        await self._channel.close("the session has ended")

    async def _send(self, message: ExecInput | ExecResize) -> None:
        """Waits until the terminal takes more. What is sent to a lost one is dropped: its reader learns of the loss."""
        await self._credit.acquire()
        self._taken_back += 1
        try:
            await self._channel.send(encode(message))
        except ChannelClosed:
            return


def _decode(data: bytes) -> object:
    try:
        return decode_from_agent(data)
    except msgspec.DecodeError as error:
        raise ChannelClosed(f"unreadable message: {error}") from None


def _plain(text: str) -> str:
    """For somebody's terminal: no control characters of a host's choosing."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:REASON_MAX_CHARS])
