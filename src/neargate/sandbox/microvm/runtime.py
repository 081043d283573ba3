"""crun inside a guest, by the guest's primitives: the words of its commands, and what it says when it fails.

Owns these words and the files of a container's cgroup. Must not know records, logs or the host. What the
guest answers is an enemy's word: it is bounded, and it decides about nothing but this guest's containers.
"""

import json
import re
from collections.abc import Awaitable
from typing import TypeVar

import msgspec
from msgspec import Struct

from ...world import within
from ..sentences import as_runc
from . import places
from .errors import GuestRefused
from .guest import Guest, Process
from .plan import Directory, File, Mount, Step
from .record import Blueprint

CRUN = "/usr/bin/crun"
BUSYBOX = "/usr/bin/busybox"
_ENDED_S = 30.0
_COMMAND_S = 120.0  # of the runtime, with all it says; one that a guest lets never end would hold its machine's lock
_SAID_MAX = 1024
_STATE_MAX = 65536
_NO_CAUSE = "fail startup"  # of a command in a container: what its process said before it is the cause
# crun 1.8 is between a terminal and its process, and ends when it has no child any more, whatever the terminal still
# holds; a command may be over before crun first looks. This child of it outlives the process by the moment in which
# crun passes the rest on. It holds nothing of the terminal, and ends with crun.
_LINGER = (
    f'(n=0; until [ -s "$0" ]; do [ -d /proc/$$ ] || exit; {BUSYBOX} sleep 0.05; done; read -r pid < "$0"; '
    'while [ -d "/proc/$pid" ] && [ -d /proc/$$ ]; do '
    f"if [ $n -lt 20 ]; then n=$((n + 1)); {BUSYBOX} sleep 0.1; else {BUSYBOX} sleep 0.5; fi; done; "
    f'{BUSYBOX} sleep 0.2) < /dev/null > /dev/null 2>&1 & exec "$@"'
)
# What rtnetlink may answer though all is well: no such family in this kernel; it is there already.
_HARMLESS = (17, 95, 97)  # EEXIST, EOPNOTSUPP, EAFNOSUPPORT
T = TypeVar("T")


class RuntimeFailed(Exception):
    """`said`: the runtime's own sentence, as the guest gives it away: printable, in one line."""

    def __init__(self, said: str) -> None:
        self.said = "".join(character if character.isprintable() else " " for character in said)
        super().__init__(self.said)


class _Line(Struct):
    msg: str = ""


class _State(Struct):
    status: str = ""
    pid: int = 0


class Execution(Struct, frozen=True, kw_only=True):
    """`base`: of its files in the guest."""

    process: Process
    base: str

    async def said(self, guest: Guest) -> str:
        """What the runtime said when it failed; empty when it did not."""
        return await _said(guest, f"{self.base}.log")

    async def has_begun(self, guest: Guest) -> bool:
        """The runtime writes the command's pid when that runs."""
        try:
            return bool(await guest.read(f"{self.base}.pid"))
        except GuestRefused:
            return False


async def soon(guest: Guest, work: Awaitable[T]) -> T:
    """What ends by itself in any guest that does what it is told. Raises GuestBroke where it does not."""
    try:
        return await within(_COMMAND_S, work)
    except TimeoutError:
        raise guest.broke(f"The guest did not end in {_COMMAND_S:g} s what ends by itself.") from None


async def carry_out(guest: Guest, step: Step) -> None:
    """Raises GuestGone, GuestRefused."""
    if isinstance(step, Mount):
        await guest.mount(step.source, step.target, step.kind, flags=step.flags, data=step.data)
    elif isinstance(step, Directory):
        await guest.directory(step.path, mode=step.mode)
    elif isinstance(step, File):
        await guest.file(step.path, step.content, mode=step.mode, uid=step.uid, gid=step.gid)
    else:
        try:
            await guest.netlink(step.message)
        except GuestRefused as refused:
            if refused.errno not in _HARMLESS:
                raise


async def swap_on(guest: Guest, path: str) -> None:
    """Repeating it is safe. Raises RuntimeFailed."""
    if f"{path} ".encode() in await guest.read("/proc/swaps"):
        return
    process = await guest.run((BUSYBOX, "swapon", path))
    await process.end_input()
    code, said = await soon(guest, process.wait()), await _output(guest, process)
    await process.forget()
    if code != 0:
        raise RuntimeFailed(f"no swap: {said}")


async def create(guest: Guest, blueprint: Blueprint, number: int) -> Process:
    """Make the container; its process and its output are the stream `number`. Raises RuntimeFailed, GuestRefused.

    On a terminal the runtime itself is the process, between the terminal and the container: it starts it, too.
    """
    runtime_id = blueprint.runtime_id
    log = f"{places.CONTAINERS}/{runtime_id}.log"
    bundle = places.bundle(runtime_id)
    await guest.file(log, b"", mode=0o600)
    if blueprint.terminal:
        words = _crun(log, "run", "--bundle", bundle, runtime_id)
        process = await guest.run(words, number=number, kept=True, terminal=(80, 24), timeout_s=_ENDED_S)
    else:
        pid_file = f"{bundle}/pid"
        words = _crun(log, "create", "--bundle", bundle, "--pid-file", pid_file, runtime_id)
        process = await guest.run(words, number=number, kept=True, pid_file=pid_file, timeout_s=_ENDED_S)
        if process.pid is None:
            said = await _said(guest, log) or await _output(guest, process)
            await process.forget()
            raise RuntimeFailed(said)
        if not blueprint.interactive:
            await process.end_input()
    return process


async def start(guest: Guest, runtime_id: str) -> None:
    """Raises RuntimeFailed."""
    log = f"{places.CONTAINERS}/{runtime_id}.start"
    await guest.file(log, b"", mode=0o600)
    if await _command(guest, _crun(log, "start", runtime_id)) != 0:
        raise RuntimeFailed(await _said(guest, log))


async def delete(guest: Guest, runtime_id: str) -> None:
    """Kill and remove; one that is not there is no error."""
    await _command(guest, _crun("/dev/null", "delete", "--force", runtime_id))


async def signal(guest: Guest, runtime_id: str, number: int) -> None:
    await _command(guest, _crun("/dev/null", "kill", runtime_id, str(number)))


async def state(guest: Guest, runtime_id: str) -> tuple[str, int]:
    """Status and pid as the runtime says; ("", 0) of what it does not know."""
    process = await guest.run(_crun("/dev/null", "state", runtime_id))
    said = await soon(guest, _all(process, _STATE_MAX))
    await soon(guest, process.wait())
    await process.forget()
    try:
        found = msgspec.json.decode(said, type=_State)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", 0
    return found.status, found.pid


async def runtime_error(guest: Guest, runtime_id: str) -> str:
    """What the runtime said of this container's last `create`; empty when it was content."""
    return await _said(guest, f"{places.CONTAINERS}/{runtime_id}.log")


async def kill_all(guest: Guest, group: str) -> None:
    """Everything in that cgroup (as `places.cgroup` names it), frozen or not. None there: no error."""
    await _write(guest, group, "cgroup.kill", b"1")


async def kill_execution(guest: Guest, group: str) -> bool:
    """End what a command has left in its cgroup. False when there is no such cgroup.

    One that was killed in is noted and never used again: kernels of the 6.1 series kill at once whoever begins in it.
    """
    try:
        events = await guest.read(f"{places.CGROUPS}{group}/cgroup.events")
    except GuestRefused:
        return False
    if re.search(rb"^populated 1$", events, re.MULTILINE):
        await guest.file(_spent(group), b"", mode=0o600)
        await _write(guest, group, "cgroup.kill", b"1")
    return True


async def is_spent(guest: Guest, group: str) -> bool:
    try:
        await guest.read(_spent(group))
    except GuestRefused:
        return False
    return True


def _spent(group: str) -> str:
    return f"{places.EXECUTIONS}/spent{group.replace('/', '~')}"


async def freeze(guest: Guest, group: str, *, frozen: bool) -> None:
    await _write(guest, group, "cgroup.freeze", b"1" if frozen else b"0")


async def oom_kills(guest: Guest, group: str) -> int:
    try:
        text = await guest.read(f"{places.CGROUPS}{group}/memory.events")
    except GuestRefused:
        return 0
    found = re.search(rb"^oom_kill (\d{1,9})$", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


async def _write(guest: Guest, group: str, name: str, value: bytes) -> None:
    try:
        await guest.file(f"{places.CGROUPS}{group}/{name}", value)
    except GuestRefused:
        pass  # the container is gone, and its cgroup with it


async def _command(guest: Guest, words: tuple[str, ...]) -> int:
    process = await guest.run(words)
    await process.end_input()
    code = await soon(guest, process.wait())
    await process.forget()
    return code


async def _output(guest: Guest, process: Process) -> str:
    """What a command that failed has written: the runtime's children say there what they die of."""
    return (await soon(guest, _all(process, _SAID_MAX))).decode(errors="replace").strip()


async def _all(process: Process, most: int) -> bytes:
    """To the end; the first bytes are kept."""
    said = b""
    async for part in process.output():
        said += part[: most - len(said)]
    return said


async def _said(guest: Guest, log: str) -> str:
    try:
        lines = (await guest.read(log)).splitlines()
    except GuestRefused:
        return ""
    said = [_message(line) for line in lines]
    return next((message for message in reversed(said) if message and message != _NO_CAUSE), "")[:_SAID_MAX]


def _message(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_Line).msg
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _crun(log: str, command: str, *rest: str) -> tuple[str, ...]:
    return (CRUN, f"--log={log}", "--log-format=json", command, *rest)


def lingering(pid_file: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """crun on a terminal, so that the last of what is said there is heard. It writes `pid_file`."""
    return (BUSYBOX, "sh", "-c", _LINGER, pid_file, *words)


async def execute(guest: Guest, runtime_id: str, number: int, process: bytes, *, detached: bool) -> Execution:
    """A command in a running container, in the cgroup `places.execution(..., number)`, which must be there.

    `process`: as OCI's. Detached: the stream is the command itself. Else it is on a terminal, the runtime between.
    Raises RuntimeFailed.
    """
    stream = await guest.number()
    base = f"{places.EXECUTIONS}/{stream}"
    await guest.file(f"{base}.json", process)
    await guest.file(f"{base}.log", b"")
    words = _crun(f"{base}.log", "exec", "--process", f"{base}.json", f"--cgroup={places.execution_name(number)}")
    if detached:
        words = (*words, "--detach", "--pid-file", f"{base}.pid", runtime_id)
        made = await guest.run(words, number=stream, pid_file=f"{base}.pid", timeout_s=_ENDED_S)
    else:
        words = lingering(f"{base}.pid", (*words, "--tty", "--pid-file", f"{base}.pid", runtime_id))
        made = await guest.run(words, number=stream, terminal=(80, 24), timeout_s=_ENDED_S)
    execution = Execution(process=made, base=base)
    if detached and made.pid is None:
        said = await execution.said(guest) or await _output(guest, made)
        await made.forget()
        raise RuntimeFailed(said)
    return execution


def sentence(said: str, spec: bytes) -> str:
    """As the container engine's: containerd puts these words around the runtime's."""
    arguments = json.loads(spec)["process"]["args"]
    detail = f"failed to create shim task: OCI runtime create failed: {said or 'the runtime failed'}: unknown"
    return as_runc(detail, arguments[0] if arguments else "")
