"""Exits of containers and of processes executed in them, as they happen, over restarts of containerd.

Owns: the one event subscription, and finding what ended while nobody listened. Invariant: after every (re)subscription
everything that should run is looked at, so that an exit is late at most, never lost. An exit may be told twice to a
subscriber that came meanwhile, never to one that has seen it. Only what was started can exit: the end of an attempt
that was taken back, which had the same runtime id, is told by its process from that of the attempt that runs.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from ..interfaces.sandbox import ContainerState, EngineUnavailable, Exit
from ..world import World, within
from . import containerd_pb2 as pb
from .containerd_client import Containerd, EngineError, EventStream

LANE = "sandbox-events"
_TOPIC = "/tasks/exit"
_MARKER = "neargate-marker"
_RECONNECT_S = 0.3
_MARKER_WAIT_S = 1.0
_CLOSE_WAIT_S = 5.0
_KILLED = 137
_UNCLAIMED_MAX = 1024


class ExitWatch:
    """`states` lists all containers, blocking (it runs on `lane`)."""

    def __init__(
        self, world: World, engine: Containerd, states: Callable[[], list[ContainerState]], *, lane: str
    ) -> None:
        self._world = world
        self._engine = engine
        self._states = states
        self._lane = lane
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._stream: EventStream | None = None
        self._closing = False
        self._marker_seen = asyncio.Event()
        self._running: dict[str, int] = {}  # the host's pid of its first process; 0 where nobody knows it
        self._unclaimed: OrderedDict[str, pb.TaskExit] = OrderedDict()  # of what is not known to have been started
        self._told: dict[str, Exit] = {}
        self._subscribers: list[Subscriber] = []
        self._executions: dict[tuple[str, str], asyncio.Future[int]] = {}

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._world.spawn(self._run(), "sandbox-exits")

    async def close(self) -> None:
        """Returns when nothing of it uses the channel any more."""
        self._closing = True
        if self._stream is not None:
            self._stream.cancel()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_CLOSE_WAIT_S)

    def started(self, runtime_id: str, pid: int) -> None:
        """It was seen to run as `pid`. From now on its absence means that it ended; it may even have ended by now."""
        self._running[runtime_id] = pid
        self._claim(runtime_id, pid)

    def seen(self, state: ContainerState) -> None:
        """What the engine says of a container, for starts whose answer was lost or was given to an earlier agent."""
        if state.status == "running":
            self.started(state.runtime_id, state.pid or 0)
        elif state.status == "stopped" and state.exit_code is not None:
            self._claim(state.runtime_id, state.pid or 0)

    def forget(self, runtime_id: str) -> None:
        """It is deleted: nothing more will be told of it."""
        self._running.pop(runtime_id, None)
        self._unclaimed.pop(runtime_id, None)
        self._told.pop(runtime_id, None)

    async def exits(self) -> AsyncIterator[Exit]:
        subscriber = Subscriber()
        self._subscribers.append(subscriber)
        try:
            while True:
                yield await subscriber.next()
        finally:
            self._subscribers.remove(subscriber)

    def execution_exit(self, runtime_id: str, exec_id: str) -> "asyncio.Future[int]":
        """Resolves to the exit code of a process executed in a container. Ask before it is started."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._executions[runtime_id, exec_id] = future
        future.add_done_callback(lambda _: self._executions.pop((runtime_id, exec_id), None))
        return future

    # ---------------------------------------------------------------- the subscription

    async def _run(self) -> None:
        while not self._closing:
            try:
                await self._listen()
            except* (EngineUnavailable, EngineError):
                pass  # containerd restarts, or is too busy to answer: subscribe again, then look at everything
            if not self._closing:
                await self._world.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        self._marker_seen.clear()
        stream = self._engine.subscribe([f'topic=="{_TOPIC}"'])
        self._stream = stream
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(stream))
                group.create_task(self._catch_up())
        finally:
            # Ends the lane's thread too, which a cancelled task alone would leave waiting.
            stream.cancel()

    async def _pump(self, stream: EventStream) -> None:
        await self._world.offload(LANE, stream.pump, self._from_thread)
        raise EngineUnavailable("containerd ended the subscription")

    async def _catch_up(self) -> None:
        """containerd does not say when a subscription has begun, so an event of our own must come back first."""
        marker = pb.TaskExit(container_id=_MARKER, id=_MARKER)
        while not self._marker_seen.is_set():
            await self._world.offload(self._lane, self._engine.publish, _TOPIC, marker)
            try:
                await within(_MARKER_WAIT_S, self._marker_seen.wait())
            except TimeoutError:
                pass  # published before the subscription had begun: again
        before = set(self._running)
        states = {state.runtime_id: state for state in await self._world.offload(self._lane, self._states)}
        for state in states.values():
            if state.status == "running":
                self.started(state.runtime_id, state.pid or 0)
            elif state.status == "stopped" and state.exit_code is not None:
                self._tell(
                    Exit(runtime_id=state.runtime_id, exit_code=state.exit_code, exited_at=state.exited_at or 0.0)
                )
        for runtime_id in before:
            state_now = states.get(runtime_id)
            if state_now is not None and state_now.status == "stopped" and state_now.exit_code is None:
                # Its shim was killed while nobody listened; the runtime's record is gone and so is the process.
                self._tell(Exit(runtime_id=runtime_id, exit_code=_KILLED, exited_at=self._world.now()))

    def _from_thread(self, envelope: pb.Envelope) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._received, pb.TaskExit.FromString(envelope.event.value))

    def _received(self, event: pb.TaskExit) -> None:
        if event.container_id == _MARKER:
            self._marker_seen.set()
        elif event.id != event.container_id:
            future = self._executions.get((event.container_id, event.id))
            if future is not None and not future.done():
                future.set_result(event.exit_status)
        elif event.container_id in self._running:
            self._end(event, self._running[event.container_id])
        else:
            self._unclaimed[event.container_id] = event
            while len(self._unclaimed) > _UNCLAIMED_MAX:
                self._unclaimed.popitem(last=False)

    def _claim(self, runtime_id: str, pid: int) -> None:
        event = self._unclaimed.pop(runtime_id, None)
        if event is not None:
            self._end(event, pid)

    def _end(self, event: pb.TaskExit, pid: int) -> None:
        """`event` ends what runs as `pid`, unless it is of another process. Of a shim that died it may name none."""
        if event.pid and pid and event.pid != pid:
            return
        exited_at = event.exited_at.seconds + event.exited_at.nanos / 1e9
        self._tell(Exit(runtime_id=event.container_id, exit_code=event.exit_status, exited_at=exited_at))

    def _tell(self, exit_: Exit) -> None:
        self._running.pop(exit_.runtime_id, None)
        if exit_.runtime_id in self._told:
            return
        self._told[exit_.runtime_id] = exit_
        for subscriber in self._subscribers:
            subscriber.put(exit_)


class Subscriber:
    """One reader of exits: the undelivered by container, bounded by their number, whatever the reader does."""

    def __init__(self) -> None:
        self._pending: dict[str, Exit] = {}
        self._some = asyncio.Event()

    def put(self, exit_: Exit) -> None:
        self._pending[exit_.runtime_id] = exit_
        self._some.set()

    async def next(self) -> Exit:
        await self._some.wait()
        runtime_id = next(iter(self._pending))
        exit_ = self._pending.pop(runtime_id)
        if not self._pending:
            self._some.clear()
        return exit_
