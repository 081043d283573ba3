"""A process executed in a running container: health checks now, ECS Exec later.

Owns: the fifo its output comes through, the time-out, and the bound on what is kept. Invariant: output beyond the bound
is read and dropped, so that a chatty check can neither fill the host nor block for ever.
"""

import asyncio
import json
import os
import signal

from google.protobuf.any_pb2 import Any as AnyMessage
from msgspec import Struct

from ..interfaces.sandbox import EngineUnavailable, ExecResult
from ..world import World, within
from . import containerd_pb2 as pb
from .containerd_client import PROCESS_TYPE, Containerd, EngineError, NotFound
from .exits import ExitWatch
from .oom_score import make_ordinary
from .sentences import as_runc

_KILLED = 128 + signal.SIGKILL
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_LOOK_S = 2.0
_DRAIN_S = 1.0
_READ_BYTES = 65536


class Executor(Struct, frozen=True, kw_only=True):
    world: World
    engine: Containerd
    exits: ExitWatch
    lane: str
    fifo_dir: str

    async def run(
        self, runtime_id: str, exec_id: str, args: tuple[str, ...], *, timeout_s: float, max_output: int
    ) -> ExecResult:
        """`exit_code` None: killed at the time-out. A container that ends meanwhile gives 137."""
        path = os.path.join(self.fifo_dir, f"{runtime_id}-{exec_id}")
        output = _Output(path, max_output)
        try:
            return await self._run(runtime_id, exec_id, args, path, output, timeout_s)
        finally:
            output.close()

    async def _run(
        self, runtime_id: str, exec_id: str, args: tuple[str, ...], path: str, output: "_Output", timeout_s: float
    ) -> ExecResult:
        ended = self.exits.execution_exit(runtime_id, exec_id)
        try:
            await self.world.offload(self.lane, self._begin, runtime_id, exec_id, args, path)
            output.begun()
            exit_code = await self._wait(runtime_id, exec_id, ended, timeout_s)
            if exit_code is None:
                await self.world.offload(self.lane, self._kill, runtime_id, exec_id)
            await output.drained()
            return ExecResult(exit_code=exit_code, output=output.kept)
        except NotFound:
            return ExecResult(exit_code=_KILLED, output=output.kept)
        except EngineError as error:
            said = as_runc(error.detail, args[0] if args else "")
            missing = "not found" in said or "no such file" in said
            return ExecResult(exit_code=_NOT_FOUND if missing else _NOT_EXECUTABLE, output=said.encode()[:4096])
        finally:
            ended.cancel()
            await self.world.offload(self.lane, self._end, runtime_id, exec_id)

    def _begin(self, runtime_id: str, exec_id: str, args: tuple[str, ...], path: str) -> None:
        container = self.engine.get_container(runtime_id)
        if container is None:
            raise NotFound("NOT_FOUND", runtime_id)
        spec = json.loads(container.spec.value)
        process = spec["process"] | {"args": list(args), "terminal": False}
        request = pb.ExecRequest(
            container_id=runtime_id,
            exec_id=exec_id,
            stdout=path,
            stderr=path,
            spec=AnyMessage(type_url=PROCESS_TYPE, value=json.dumps(process).encode()),
        )
        self.engine.exec_task(request)
        make_ordinary(self.engine.start_task(runtime_id, exec_id), spec["linux"]["cgroupsPath"])

    async def _wait(self, runtime_id: str, exec_id: str, ended: "asyncio.Future[int]", timeout_s: float) -> int | None:
        deadline = self.world.monotonic() + timeout_s
        while (left_s := deadline - self.world.monotonic()) > 0:
            try:
                return await within(min(left_s, _LOOK_S), asyncio.shield(ended))
            except TimeoutError:
                pass
            # The event may have passed while containerd restarted: look.
            try:
                process = await self.world.offload(self.lane, self.engine.get_task, runtime_id, exec_id)
            except EngineUnavailable:
                continue
            if process is None:
                return _KILLED
            if process.status == 3:
                return int(process.exit_status)
        return None

    def _kill(self, runtime_id: str, exec_id: str) -> None:
        try:
            self.engine.kill_task(runtime_id, signal.SIGKILL, exec_id=exec_id)
        except EngineError:
            pass  # it ended at the same moment

    def _end(self, runtime_id: str, exec_id: str) -> None:
        try:
            self.engine.delete_exec(runtime_id, exec_id)
        except (EngineError, EngineUnavailable):
            pass  # not ended yet, or gone with its container; the container's deletion takes the rest


class _Output:
    """The reading end of the fifo, on the event loop.

    The shim opens the fifo once for each stream while the process runs already: the first may be at its end before the
    second is opened. A writing end of our own keeps that from being taken for the end of the output.
    """

    def __init__(self, path: str, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._parts = bytearray()
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if os.path.lexists(path):
            os.unlink(path)  # of an agent that was killed
        os.mkfifo(path, 0o600)
        self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._holding: int | None = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop.add_reader(self._handle, self._readable)

    @property
    def kept(self) -> bytes:
        return bytes(self._parts)

    def _readable(self) -> None:
        try:
            data = os.read(self._handle, _READ_BYTES)
        except BlockingIOError:
            return
        self._parts.extend(data[: self._max_bytes - len(self._parts)])
        if not data:
            self._loop.remove_reader(self._handle)
            self._ended.set()

    def begun(self) -> None:
        """The shim has opened its ends: from here the last one that closes is the end."""
        if self._holding is not None:
            os.close(self._holding)
            self._holding = None

    async def drained(self) -> None:
        """The shim closes its end after the process; a process that left children behind keeps it open."""
        try:
            await within(_DRAIN_S, self._ended.wait())
        except TimeoutError:
            pass

    def close(self) -> None:
        self.begun()
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        os.unlink(self._path)
