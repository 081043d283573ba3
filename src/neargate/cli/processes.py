"""Processes that outlive the command that started them.

A process is known by its pid *and* its start time (a pid alone may have been given to somebody else), kept in a pid
file; where the starter was killed before it wrote that, by its exact command line. It runs in a session of its own, so
that neither Ctrl-C nor the end of `neargate up` reaches it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct

from ..hostnet.process_signals import send
from . import locks
from .privileges import forbid_new_privileges
from .problems import Problem

CLAIM_S = 2.0
FIRST_HUMAN_UID = 1000  # Debian and Ubuntu give system users the numbers below


class Running(Struct, frozen=True):
    """`start_ticks`: field 22 of /proc/PID/stat."""

    pid: int
    start_ticks: int

    @property
    def alive(self) -> bool:
        return start_ticks(self.pid) == self.start_ticks


class Program(Struct, frozen=True, kw_only=True):
    """How to start a process: `argv[0]` is a full path; `environment` replaces the caller's whole environment."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    log_file: Path
    pid_file: Path
    user: str | None = None


def start_ticks(pid: int) -> int | None:
    """When the process began, or None when there is none (a zombie counts as none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # a process may call itself by any bytes
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in b"ZX" else int(fields[19])


def find(pid_file: Path) -> Running | None:
    """The process that a pid file names, if it still runs."""
    try:
        pid, ticks = pid_file.read_text().split()
        found = Running(int(pid), int(ticks))
    except (FileNotFoundError, ValueError):
        return None
    return found if found.alive else None


def find_program(program: Program) -> Running | None:
    return find_programs([program]).get(program.name)


def find_programs(programs: Sequence[Program]) -> dict[str, Running]:
    """Those of the programs that run, by name: found by pid file, else by command line (then the file is made good)."""
    found = {program.name: running for program in programs if (running := find(program.pid_file)) is not None}
    missing = {_command(program): program for program in programs if program.name not in found}
    for command, running in _by_command(missing.keys()).items():
        remember(missing[command].pid_file, running)
        found[missing[command].name] = running
    return found


def _command(program: Program) -> bytes:
    """As /proc shows it."""
    return b"".join(word.encode() + b"\0" for word in program.argv)


def _by_command(wanted: Collection[bytes]) -> dict[bytes, Running]:
    """The oldest process of each command line; a young twin is a fork that has not become its own program.

    One walk for all: a machine may have thousands of processes, and `up` has more to do before its API answers.
    """
    found: dict[bytes, Running] = {}
    for name in os.listdir("/proc") if wanted else ():
        command = _command_line(name) if name.isdecimal() else b""
        running = _is_ours(Path("/proc", name)) if command in wanted else None
        if running is not None and (command not in found or running.start_ticks < found[command].start_ticks):
            found[command] = running
    return found


def _command_line(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as line:
            return line.read()
    except OSError:
        return b""  # it ended while we looked


def _is_ours(path: Path) -> Running | None:
    """Anybody may call a process by any words: it must also be of this machine's own processes and a system user's."""
    try:
        same_namespace = os.readlink(path / "ns/pid") == os.readlink("/proc/self/ns/pid")
        user = int((path / "status").read_text().partition("\nUid:")[2].split()[0])
        ticks = start_ticks(int(path.name))
    except (OSError, ValueError, IndexError):
        return None  # it ended while we looked, or belongs to somebody else
    ours = user == os.geteuid() or (os.geteuid() == 0 and user < FIRST_HUMAN_UID)
    return Running(int(path.name), ticks) if same_namespace and ours and ticks is not None else None


def claim(pid_file: Path, what: str) -> None:
    """Be the only one, and say where: `up` and `down` find also what was started by hand. Problem when one runs.

    The lock lives as long as this process. Threads of a killed one may outlive its death for a moment, hence the wait.
    """
    deadline = time.monotonic() + CLAIM_S
    while locks.take(pid_file.with_suffix(".lock")) is None:
        if time.monotonic() > deadline:
            found = find(pid_file)
            raise Problem(f"{what} already runs" + (f" (pid {found.pid})" if found is not None else ""))
        time.sleep(0.02)
    remember(pid_file, Running(os.getpid(), start_ticks(os.getpid()) or 0))


def spawn(program: Program) -> Running:
    """Start it, write its pid file, return at once. Its output goes to the end of its log file."""
    program.log_file.parent.mkdir(parents=True, exist_ok=True)
    with program.log_file.open("ab") as log:
        child = subprocess.Popen(
            program.argv,
            env=program.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            user=program.user,
            group=program.user,
            extra_groups=[] if program.user else None,
            umask=0o077 if program.user else -1,
            # In the child alone, and here nothing has threads yet.
            preexec_fn=forbid_new_privileges if program.user else None,
        )
    running = Running(child.pid, start_ticks(child.pid) or 0)
    remember(program.pid_file, running)
    child.returncode = 0  # it outlives this object on purpose; `reap` collects it
    return running


def remember(pid_file: Path, running: Running) -> None:
    fresh = pid_file.with_suffix(f".{os.getpid()}.new")  # another may be at it
    fresh.write_text(f"{running.pid} {running.start_ticks}\n")
    fresh.replace(pid_file)


def stop(running: Running, *, timeout_s: float) -> bool:
    """SIGTERM, then SIGKILL after the time-out. True when SIGTERM was enough."""
    tell(running, signal.SIGTERM)
    if wait_gone(running, timeout_s):
        return True
    kill(running)
    return False


def kill(running: Running) -> None:
    """SIGKILL, and wait until it is gone. A process that the kernel holds is left to it."""
    tell(running, signal.SIGKILL)
    wait_gone(running, 5.0)


def tell(running: Running, number: signal.Signals) -> bool:
    """A signal to this process and no other, whoever has its number by now. False: it has ended, or ended first."""
    return send(running.pid, number, lambda _pid: running.alive)


def wait_gone(running: Running, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while running.alive:
        reap()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def reap() -> None:
    """Collect children of ours that ended, so that none stays a zombie."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
