"""Keeps the agent's link up: connects outwards, again after a loss (with jitter), and moves frames.

All protocol is in `link.session`; this is its driver. Must not know what an order means: it hands actions on, in
order. Invariants: at most one connection at a time; one whose writer cannot keep up is closed, never buffered for ever;
what was begun because of an order is finished also when the connection that brought it is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ...link.host_identity import HostKey
from ...link.messages import ProtectionAsk, ToAgent, messages_to_agent
from ...link.session import AgentAction, AgentSession, Disconnect, Send
from ...model.balancing import NodeReport
from ...model.capacity import HostFacts
from ...model.knobs import Knobs
from ...model.launch import TaskReport
from ...world import World
from ..arrivals.messages import problem

_OUTGOING_MAX = 4096
_ACTIONS_MAX = 64  # beyond it the socket is not read, and the server waits


class Closed(Exception):
    """The connection is gone; what was not acknowledged is said again on the next one."""


class Connection(Protocol):
    """Whole binary messages. Both calls raise Closed."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes: ...

    async def close(self) -> None: ...


class Transport(Protocol):
    async def connect(self, path: str) -> Connection:
        """`/link` or `/bulk`. Raises Closed when the server is not there."""


class LinkClient:
    """One per agent. `deliver` gets every action that is not about the connection itself.

    `refused` gets each message that must not be obeyed, with the reason; nothing else sees it.
    """

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        transport: Transport,
        key: HostKey,
        *,
        facts: Callable[[], HostFacts],
        reports: Callable[[], Sequence[TaskReport]],
        deliver: Callable[[AgentAction], Awaitable[None]],
        refused: Callable[[ToAgent, str], Awaitable[None]],
        note: Callable[[str], None],
        plans: Callable[[], Mapping[str, int]] = dict,
        balancers: Callable[[], Mapping[str, int] | None] = lambda: None,
    ) -> None:
        """`plans`: VPC -> generation, of those that this host holds; `balancers`: ARN -> generation."""
        self._world = world
        self._knobs = knobs
        self._transport = transport
        self._facts = facts
        self._reports = reports
        self._deliver = deliver
        self._refused = refused
        self._note = note
        self._plans = plans
        self._balancers = balancers
        self._session = AgentSession(knobs, key, f"{world.random.getrandbits(64):016x}")
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue(_OUTGOING_MAX)
        self._actions: asyncio.Queue[AgentAction] = asyncio.Queue(_ACTIONS_MAX)

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    def report(self, report: TaskReport) -> None:
        """Persisted by the caller. Sent now or on the next connection, until acknowledged."""
        self._enqueue(self._session.report(report, self._world.monotonic()))

    def host_changed(self) -> None:
        self._enqueue(self._session.host_changed(self._facts()))

    def report_nodes(self, reports: Sequence[NodeReport]) -> None:
        """Lost while there is no server to hear them."""
        self._enqueue(self._session.node_reports(reports))

    def ask_credentials(self, task_id: str, kind: str) -> None:
        self._enqueue(self._session.ask_credentials(task_id, kind))

    def ask_tags(self, task_id: str) -> bool:
        """False while there is no server to answer."""
        self._enqueue(self._session.ask_tags(task_id))
        return self.is_open

    def ask_protection(self, ask: ProtectionAsk) -> bool:
        """False while there is no server to answer."""
        self._enqueue(self._session.ask_protection(ask))
        return self.is_open

    async def run(self) -> None:
        self._world.spawn(self._do_actions(), "link-actions")
        backoff_s = self._knobs.link_reconnect_min_s
        while True:
            try:
                connection = await self._transport.connect("/link")
            except Closed:
                await self._world.sleep(backoff_s * (0.5 + self._world.random.random()))
                backoff_s = min(backoff_s * 2, self._knobs.link_reconnect_max_s)
                continue
            reason = await self._serve(connection)
            if self._session.is_open:
                backoff_s = self._knobs.link_reconnect_min_s
            self._session.disconnected()
            self._note(f"link lost: {reason}")
            await connection.close()
            await self._world.sleep(backoff_s * (0.5 + self._world.random.random()))
            backoff_s = min(backoff_s * 2, self._knobs.link_reconnect_max_s)

    async def _serve(self, connection: Connection) -> str:
        """Returns why the connection ended."""
        self._outgoing = asyncio.Queue(_OUTGOING_MAX)
        over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        plans, balancers, now = self._plans(), self._balancers(), self._world.monotonic()
        self._enqueue(self._session.connected(self._facts(), self._reports(), now, plans, balancers))
        loops = [
            self._world.spawn(self._write(connection, self._outgoing, over), "link-write"),
            self._world.spawn(self._read(connection, over), "link-read"),
            self._world.spawn(self._tick(over), "link-tick"),
        ]
        try:
            return await over
        finally:
            for loop in loops:
                loop.cancel()

    async def _read(self, connection: Connection, over: "asyncio.Future[str]") -> None:
        try:
            while True:
                for message in messages_to_agent(await connection.receive()):
                    await self._hear(message, over)
        except Closed as closed:
            _end(over, str(closed))
        except msgspec.DecodeError as error:
            _end(over, f"the server sent what this agent cannot read: {error}")

    async def _hear(self, message: ToAgent, over: "asyncio.Future[str]") -> None:
        wrong = problem(message)
        if wrong is not None:
            await self._refused(message, wrong)
            return
        for action in self._session.received(message, self._world.monotonic()):
            await self._act(action, over)

    async def _write(
        self, connection: Connection, outgoing: "asyncio.Queue[bytes | None]", over: "asyncio.Future[str]"
    ) -> None:
        try:
            while True:
                data = await outgoing.get()
                if data is None:
                    _end(over, "the server does not read")
                    return
                await connection.send(data)
        except Closed as closed:
            _end(over, str(closed))

    async def _tick(self, over: "asyncio.Future[str]") -> None:
        while True:
            await self._world.sleep(min(1.0, self._knobs.link_ping_period_s))
            for action in self._session.tick(self._world.monotonic()):
                await self._act(action, over)

    async def _act(self, action: AgentAction, over: "asyncio.Future[str]") -> None:
        match action:
            case Send():
                self._enqueue([action])
            case Disconnect():
                _end(over, action.reason)
            case _:
                await self._actions.put(action)

    async def _do_actions(self) -> None:
        """One after another, outside the connection's own loops: those are cut off where they stand."""
        while True:
            await self._deliver(await self._actions.get())

    def _enqueue(self, actions: Sequence[AgentAction]) -> None:
        for action in actions:
            assert isinstance(action, Send), "only frames come without a message from the server"
            if self._outgoing.qsize() >= _OUTGOING_MAX - 1:
                # The last place is for the sign that ends the connection; the session says everything again.
                if not self._outgoing.full():
                    self._outgoing.put_nowait(None)
                return
            self._outgoing.put_nowait(action.data)


def _end(over: "asyncio.Future[Any]", reason: str) -> None:
    if not over.done():
        over.set_result(reason)
