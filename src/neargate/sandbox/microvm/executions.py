"""Commands in running containers: health checks, and terminals of ECS Exec.

Owns: a cgroup of its own for each command, so that all it started ends with it, and the bound on what is kept of its
output. Must not know machines' lives. Invariant: a guest that goes away ends every command, as if it was killed.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from ...interfaces.sandbox import EngineUnavailable, ExecResult, SandboxError
from ...model.lifecycle import REASON_MAX_CHARS
from ...world import World, within
from ..oci_spec import process_capabilities
from ..sentences import as_runc
from . import places, runtime
from .contained import Contained
from .errors import GuestGone, GuestRefused
from .guest import Guest, Process
from .plan import Directory
from .record import KILLED

MARK = "NEARGATE_EXEC"
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_DRAIN_S = 1.0
_LOOK_S = 0.02
_LOOKS = 1500
_END_S = 5.0
PLACES_MAX = 4096  # of a container, each of which a killed command spends


class Executions:
    """`most`: at once in one container."""

    def __init__(self, world: World, most: int) -> None:
        self._world = world
        self._most = most
        self._taken: dict[str, set[int]] = {}
        self._spent: dict[str, int] = {}  # below this number all are

    async def run(
        self,
        guest: Guest,
        container: Contained,
        exec_id: str,
        args: tuple[str, ...],
        *,
        timeout_s: float,
        max_output: int,
    ) -> ExecResult:
        try:
            number = await self.take(guest, container)
        except GuestGone:
            return ExecResult(exit_code=KILLED, output=b"")
        try:
            process = _process(container, exec_id, args)
            return await self._run(guest, container, number, process, timeout_s, max_output)
        except GuestGone:
            return ExecResult(exit_code=KILLED, output=b"")
        except GuestRefused as refused:
            return ExecResult(exit_code=_NOT_EXECUTABLE, output=str(refused).encode())
        finally:
            self.free(container, number)

    async def _run(
        self, guest: Guest, container: Contained, number: int, process: bytes, timeout_s: float, most: int
    ) -> ExecResult:
        await prepare(guest, container, number)
        try:
            made = await runtime.execute(guest, container.blueprint.runtime_id, number, process, detached=True)
        except runtime.RuntimeFailed as failed:
            # As the container engine's: containerd puts these words around the runtime's.
            said = as_runc(f"OCI runtime exec failed: {failed.said}: unknown", (*json.loads(process)["args"], "")[0])
            missing = "not found" in said or "no such file" in said.lower()
            return ExecResult(exit_code=_NOT_FOUND if missing else _NOT_EXECUTABLE, output=said.encode()[:most])
        await made.process.end_input()
        output = _Bounded(most)
        reader = self._world.spawn(output.read(made.process), f"exec-{made.process.number}")
        try:
            code = await _exit_within(made.process, timeout_s)
            if code is None:
                await runtime.kill_execution(guest, places.execution(container.group, number))
            await asyncio.wait({reader}, timeout=_DRAIN_S)
        finally:
            reader.cancel()
            await end(guest, container, number, made.process)
        return ExecResult(exit_code=code, output=output.kept)

    async def take(self, guest: Guest, container: Contained) -> int:
        """A place of its own, in which nothing was killed yet. Raises SandboxError, GuestGone."""
        runtime_id = container.blueprint.runtime_id
        taken = self._taken.setdefault(runtime_id, set())
        if len(taken) >= self._most:
            raise SandboxError("too many commands run in the container")
        for number in range(self._spent.get(runtime_id, 0), PLACES_MAX):
            if number in taken:
                continue
            taken.add(number)
            try:
                if not await runtime.is_spent(guest, places.execution(container.group, number)):
                    return number
            except BaseException:
                self.free(container, number)
                raise
            self.free(container, number)
            taken = self._taken.setdefault(runtime_id, set())
            if number == self._spent.get(runtime_id, 0):
                self._spent[runtime_id] = number + 1
        raise SandboxError("too many commands were killed in the container")

    def forget(self, runtime_id: str) -> None:
        """Its cgroup is new, or it is gone."""
        self._spent.pop(runtime_id, None)

    def free(self, container: Contained, number: int) -> None:
        taken = self._taken.get(container.blueprint.runtime_id, set())
        taken.discard(number)
        if not taken:
            self._taken.pop(container.blueprint.runtime_id, None)

    async def open(self, guest: Guest, container: Contained, exec_id: str, args: tuple[str, ...]) -> "GuestTerminal":
        """Raises SandboxError, EngineUnavailable."""
        try:
            number = await self.take(guest, container)
        except GuestGone as gone:
            raise EngineUnavailable(gone.reason) from None
        made: runtime.Execution | None = None
        try:
            await prepare(guest, container, number)
            process = _terminal_process(container, exec_id, args)
            made = await runtime.execute(guest, container.blueprint.runtime_id, number, process, detached=False)
            await self._begun(guest, made)
        except BaseException as error:
            await self._give_up(guest, container, number, made)
            if isinstance(error, GuestGone):
                raise EngineUnavailable(error.reason) from None
            if isinstance(error, GuestRefused | runtime.RuntimeFailed):
                raise SandboxError(str(error)[:REASON_MAX_CHARS]) from None
            raise
        return GuestTerminal(self, guest, container, number, made.process)

    async def _begun(self, guest: Guest, made: runtime.Execution) -> None:
        """Raises RuntimeFailed."""
        for _ in range(_LOOKS):
            over = made.process.exit_code is not None
            if await made.has_begun(guest):
                return
            if over:
                raise runtime.RuntimeFailed(await made.said(guest) or "the command does not start")
            await self._world.sleep(_LOOK_S)
        raise runtime.RuntimeFailed("the command does not start")

    async def _give_up(self, guest: Guest, container: Contained, number: int, made: runtime.Execution | None) -> None:
        try:
            if made is not None:
                await end(guest, container, number, made.process)
        finally:
            self.free(container, number)


async def prepare(guest: Guest, container: Contained, number: int) -> None:
    await runtime.carry_out(guest, Directory(path=places.CGROUPS + places.execution(container.group, number)))


async def end(guest: Guest, container: Contained, number: int, process: Process) -> None:
    """The command with all that it started."""
    try:
        await runtime.kill_execution(guest, places.execution(container.group, number))
        await within(_END_S, process.end())
    except (GuestGone, GuestRefused, TimeoutError):
        pass  # with its connection everything goes that is not kept


class GuestTerminal:
    """Implements interfaces.sandbox.Terminal. Made by `Executions.open`."""

    def __init__(
        self, executions: Executions, guest: Guest, container: Contained, number: int, process: Process
    ) -> None:
        self._executions = executions
        self._guest = guest
        self._container = container
        self._number = number
        self._process = process
        self._output: AsyncIterator[bytes] = process.output()
        self._is_closed = False
        self._closing = asyncio.Event()

    async def read(self) -> bytes:
        if self._is_closed:
            return b""
        try:
            return await anext(self._output, b"")
        except GuestGone:
            return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._process.write(data)
        except GuestGone:
            pass  # the end is told by `wait`

    async def resize(self, columns: int, rows: int) -> None:
        try:
            await self._process.resize(columns, rows)
        except GuestGone:
            pass

    async def wait(self) -> int:
        try:
            code = await self._process.wait()
        except GuestGone:
            return KILLED
        try:
            await runtime.kill_execution(self._guest, places.execution(self._container.group, self._number))
        except (GuestGone, GuestRefused):
            pass  # what it left is the guest's own, and ends with it
        return code

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await end(self._guest, self._container, self._number, self._process)
        self._executions.free(self._container, self._number)


class _Bounded:
    def __init__(self, most: int) -> None:
        self._most = most
        self._parts = bytearray()

    @property
    def kept(self) -> bytes:
        return bytes(self._parts)

    async def read(self, process: Process) -> None:
        try:
            async for part in process.output():
                self._parts.extend(part[: self._most - len(self._parts)])
        except GuestGone:
            pass


async def _exit_within(process: Process, seconds: float) -> int | None:
    try:
        return await within(seconds, process.wait())
    except TimeoutError:
        return None


def _process(container: Contained, exec_id: str, args: tuple[str, ...]) -> bytes:
    """The container's own process with another command."""
    process: dict[str, Any] = json.loads(container.blueprint.spec)["process"]
    return json.dumps(process | {"args": list(args), "terminal": False, "env": _marked(process, exec_id)}).encode()


def _terminal_process(container: Contained, exec_id: str, args: tuple[str, ...]) -> bytes:
    """The same on a terminal: as root, with the capabilities that root has there."""
    process: dict[str, Any] = json.loads(container.blueprint.spec)["process"]
    environment = [entry for entry in _marked(process, exec_id) if not entry.startswith("TERM=")]
    bounding = tuple((process.get("capabilities") or {}).get("bounding") or ())
    process |= {
        "args": list(args),
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "env": [*environment, "TERM=xterm-256color"],
        "capabilities": process_capabilities(bounding, 0),
    }
    return json.dumps(process).encode()


def _marked(process: dict[str, Any], exec_id: str) -> list[str]:
    """The container's environment; and who looks at the process sees which command it is."""
    given = process.get("env") or []
    return [*(entry for entry in given if not entry.startswith(f"{MARK}=")), f"{MARK}={exec_id}"]
