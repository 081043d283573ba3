"""Processes on terminals of their own in running containers: `neargate exec`, and ECS Exec.

Owns: the two fifos of each, the flow through them (who does not read makes the process wait), and its end with all that
it started. Must not know who is at the other end. Invariants: a terminal's directory is there before its process and
goes after it, so that what an agent that was killed left behind is found and ended; output waits in the kernel's
buffers, never here.
"""

import asyncio
import json
import os
import shutil
import signal
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from msgspec import Struct

from ..interfaces.sandbox import EngineUnavailable, SandboxError
from ..model.lifecycle import REASON_MAX_CHARS
from ..world import World, within
from . import containerd_pb2 as pb
from .containerd_client import PROCESS_TYPE, Containerd, EngineError, NotFound
from .exits import ExitWatch
from .oci_spec import process_capabilities
from .oom_score import make_ordinary
from .started_by import Started, end_once, namespace_of

MARK = "NEARGATE_EXEC"  # in the environment of the process, and so of what it starts
_KILLED = 128 + signal.SIGKILL
_LOOK_S = 2.0
_DRAIN_S = 2.0
_READ_BYTES = 16 * 1024
_END_ATTEMPTS = 40
_END_PAUSE_S = 0.05
_STOPPED = 3


class Terminals(Struct, frozen=True, kw_only=True):
    """`directory`: of our own; a reboot empties it."""

    world: World
    engine: Containerd
    exits: ExitWatch
    lane: str
    directory: str

    async def open(self, runtime_id: str, exec_id: str, args: tuple[str, ...]) -> "OpenTerminal":
        """Raises SandboxError, EngineUnavailable; then nothing of it is left, at the latest when the engine answers."""
        terminal = OpenTerminal(self, runtime_id, exec_id)
        try:
            await terminal.begin(args)
        except BaseException:
            # It may have begun all the same; an engine that does not answer is asked again.
            self.world.spawn(self._end_surely(terminal), f"no-terminal-{exec_id}")
            raise
        return terminal

    async def _end_surely(self, terminal: "OpenTerminal") -> None:
        while True:
            try:
                await terminal.close()
                return
            except EngineUnavailable:
                await self.world.sleep(_LOOK_S)

    async def sweep(self) -> None:
        """End what an agent before this one left. Raises EngineUnavailable."""
        for runtime_id, exec_id in await self.world.offload(self.lane, self._left):
            await self.end(runtime_id, exec_id, None)

    def _left(self) -> list[tuple[str, str]]:
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        found = []
        for runtime_id in os.listdir(self.directory):
            found += [(runtime_id, exec_id) for exec_id in os.listdir(os.path.join(self.directory, runtime_id))]
        return found

    def place(self, runtime_id: str, exec_id: str) -> str:
        return os.path.join(self.directory, runtime_id, exec_id)

    async def end(self, runtime_id: str, exec_id: str, started: Started | None) -> None:
        """The process, what it started, its record in the engine, its fifos; each may be gone already."""
        if started is None:
            started = await self.world.offload(self.lane, self.find, runtime_id, exec_id)
        await self.world.offload(self.lane, self._kill, runtime_id, exec_id)
        await self.end_started(started)
        for _ in range(_END_ATTEMPTS):
            if await self.world.offload(self.lane, self._forget, runtime_id, exec_id):
                break
            await self.world.sleep(_END_PAUSE_S)
        await self.world.offload(self.lane, self._clear, runtime_id, exec_id)

    async def end_started(self, started: Started | None) -> None:
        """Again until there is nothing: who is killed may have started another a moment before."""
        for _ in range(_END_ATTEMPTS if started is not None else 0):
            if not await self.world.offload(self.lane, end_once, started):
                return
            await self.world.sleep(_END_PAUSE_S)

    def find(self, runtime_id: str, exec_id: str) -> Started | None:
        """None where the container does not run any more, and nothing of it does."""
        try:
            return self._find(runtime_id, exec_id)
        except EngineError:
            return None  # a container in the middle of its own end

    def _find(self, runtime_id: str, exec_id: str) -> Started | None:
        container = self.engine.get_task(runtime_id)
        namespace = namespace_of(container.pid) if container is not None and container.status != _STOPPED else None
        if namespace is None:
            return None
        process = self.engine.get_task(runtime_id, exec_id)
        leader = process.pid if process is not None and process.status != _STOPPED else 0
        return Started(namespace=namespace, leader=leader, mark=f"{MARK}={exec_id}")

    def start(self, runtime_id: str, exec_id: str, args: tuple[str, ...]) -> Started:
        container = self.engine.get_container(runtime_id)
        task = self.engine.get_task(runtime_id)
        namespace = namespace_of(task.pid) if task is not None else None
        if container is None or namespace is None:
            raise NotFound("NOT_FOUND", f"container {runtime_id} does not run")
        place = self.place(runtime_id, exec_id)
        request = pb.ExecRequest(
            container_id=runtime_id,
            exec_id=exec_id,
            stdin=os.path.join(place, "in"),
            stdout=os.path.join(place, "out"),
            terminal=True,
            spec=AnyMessage(type_url=PROCESS_TYPE, value=_process(container.spec.value, exec_id, args)),
        )
        self.engine.exec_task(request)
        pid = self.engine.start_task(runtime_id, exec_id)
        make_ordinary(pid, json.loads(container.spec.value)["linux"]["cgroupsPath"])
        return Started(namespace=namespace, leader=pid, mark=f"{MARK}={exec_id}")

    def resize(self, runtime_id: str, exec_id: str, columns: int, rows: int) -> None:
        try:
            self.engine.resize_terminal(runtime_id, exec_id, columns, rows)
        except (EngineError, EngineUnavailable):
            pass  # it ended at the same moment, or the next size will come

    def _kill(self, runtime_id: str, exec_id: str) -> None:
        try:
            self.engine.kill_task(runtime_id, signal.SIGKILL, exec_id=exec_id)
        except EngineError:
            pass  # it ended by itself

    def _forget(self, runtime_id: str, exec_id: str) -> bool:
        """False while it has not ended."""
        try:
            self.engine.delete_exec(runtime_id, exec_id)
        except NotFound:
            return True
        except EngineError:
            return False
        return True

    def _clear(self, runtime_id: str, exec_id: str) -> None:
        shutil.rmtree(self.place(runtime_id, exec_id), ignore_errors=True)
        try:
            os.rmdir(os.path.join(self.directory, runtime_id))
        except OSError:
            pass  # another one of this container


class OpenTerminal:
    """Implements interfaces.sandbox.Terminal. Made by `Terminals.open`."""

    def __init__(self, terminals: Terminals, runtime_id: str, exec_id: str) -> None:
        self._all = terminals
        self._world = terminals.world
        self._runtime_id = runtime_id
        self._exec_id = exec_id
        self._started: Started | None = None
        self._exit: asyncio.Task[int] | None = None
        self._closed = False
        self._is_gone = True  # nothing is there yet
        self._input = self._output = self._holding = -1

    async def begin(self, args: tuple[str, ...]) -> None:
        world, lane = self._world, self._all.lane
        try:
            await world.offload(lane, self._make_fifos)
        except OSError as error:
            raise SandboxError(f"The host has no room for another terminal: {error.strerror}.") from None
        exited = self._all.exits.execution_exit(self._runtime_id, self._exec_id)
        try:
            self._started = await world.offload(lane, self._all.start, self._runtime_id, self._exec_id, args)
        except EngineError as error:
            exited.cancel()
            raise SandboxError(error.detail[:REASON_MAX_CHARS]) from None
        except BaseException:
            exited.cancel()
            raise
        os.close(self._holding)  # the shim has opened its end: from here its closing is the end
        self._holding = -1
        self._exit = world.spawn(self._watch(exited), f"terminal-{self._exec_id}")

    async def read(self) -> bytes:
        while not self._closed:
            try:
                return os.read(self._output, _READ_BYTES)
            except BlockingIOError:
                if not await self._wait_for(self._output):
                    break
        return b""

    async def write(self, data: bytes) -> None:
        assert self._exit is not None, "a terminal that was never begun is handed to nobody"
        left = memoryview(data)
        while left and not self._closed and not self._exit.done():
            try:
                left = left[os.write(self._input, left) :]
            except BlockingIOError:
                await self._wait_to_write()

    async def resize(self, columns: int, rows: int) -> None:
        await self._world.offload(self._all.lane, self._all.resize, self._runtime_id, self._exec_id, columns, rows)

    async def wait(self) -> int:
        assert self._exit is not None, "a terminal that was never begun is handed to nobody"
        return await asyncio.shield(self._exit)

    async def close(self) -> None:
        """Raises EngineUnavailable, and is to be repeated then."""
        self._closed = True
        if self._is_gone:
            return
        await self._all.end(self._runtime_id, self._exec_id, self._started)
        self._is_gone = True
        if self._exit is not None:
            self._exit.cancel()
        for handle in (self._input, self._output, self._holding):
            if handle != -1:
                asyncio.get_running_loop().remove_reader(handle)
                asyncio.get_running_loop().remove_writer(handle)
                os.close(handle)
        self._input = self._output = self._holding = -1

    def _make_fifos(self) -> None:
        place = self._all.place(self._runtime_id, self._exec_id)
        os.makedirs(place, mode=0o700)
        self._is_gone = False
        for name in ("in", "out"):
            os.mkfifo(os.path.join(place, name), 0o600)
        # Held for both directions: no end of ours is ever the last one, and no open waits for the shim's.
        self._input = os.open(os.path.join(place, "in"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._output = os.open(os.path.join(place, "out"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._holding = os.open(os.path.join(place, "out"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    async def _watch(self, exited: "asyncio.Future[int]") -> int:
        """What it started goes with it: else a background process would keep the terminal open."""
        try:
            code = await self._exit_code(exited)
            await self._all.end_started(self._started)
            return code
        finally:
            exited.cancel()

    async def _exit_code(self, exited: "asyncio.Future[int]") -> int:
        while True:
            try:
                return await within(_LOOK_S, asyncio.shield(exited))
            except TimeoutError:
                pass
            # The event may have passed while containerd restarted: look.
            try:
                process = await self._world.offload(
                    self._all.lane, self._all.engine.get_task, self._runtime_id, self._exec_id
                )
            except (EngineError, EngineUnavailable):
                continue
            if process is None:
                return _KILLED
            if process.status == _STOPPED:
                return int(process.exit_status)

    async def _wait_for(self, handle: int) -> bool:
        """Until there is something to read. False when it ended and nothing came for a while."""
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(handle, _resolve, readable)
        assert self._exit is not None, "a terminal that was never begun is handed to nobody"
        try:
            if not self._exit.done():
                either: set[asyncio.Future[Any]] = {readable, self._exit}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not readable.done():
                await asyncio.wait({readable}, timeout=_DRAIN_S)
            return readable.done()
        finally:
            if self._output == handle:  # else it was closed, and the number may be another's
                loop.remove_reader(handle)

    async def _wait_to_write(self) -> None:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._input, _resolve, writable)
        assert self._exit is not None, "a terminal that was never begun is handed to nobody"
        try:
            either: set[asyncio.Future[Any]] = {writable, self._exit}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._input != -1:
                loop.remove_writer(self._input)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _process(spec: bytes, exec_id: str, args: tuple[str, ...]) -> bytes:
    """The container's own process with another command: as root, with the capabilities that root has there."""
    process = json.loads(spec)["process"]
    environment = [entry for entry in process.get("env") or [] if not entry.startswith((f"{MARK}=", "TERM="))]
    bounding = tuple((process.get("capabilities") or {}).get("bounding") or ())
    process |= {
        "args": list(args),
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "env": [*environment, "TERM=xterm-256color", f"{MARK}={exec_id}"],
        "capabilities": process_capabilities(bounding, 0),
    }
    return json.dumps(process).encode()
