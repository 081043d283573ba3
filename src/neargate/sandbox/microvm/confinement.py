"""Starts a machine's monitor where it can touch nothing but its machine, by `confine.py`.

Owns what such a process has (the plan), how it is begun without a moment in which a killed agent would leave it
unknown, and who its user is. Blocking, on the driver's lane. Knows no monitor's options. Invariants: the process is in
its cgroup before it is anything else; it begins only after its pid was remembered; no two machines of a host's
directory share a user.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from . import system_calls
from .vmm import MachineRefused, VmmMissing

# Beside the range that proxies of load balancers have: above what systemd gives away, below its last ids.
_USERS = range(1_967_108_864, 1_967_108_864 + (1 << 26))
_WAIT_S = 20.0  # a machine that swaps starts a Python slowly
_SAID_MAX = 4096
_FILTER = system_calls.program()
_LAUNCHER = Path(__file__).with_name("confine.py")


class ConfinedFile(Struct, frozen=True, kw_only=True):
    """`source` on the host is `target` inside. Read-only but for `is_writable`; only a program may be executed."""

    source: str
    target: str
    is_program: bool = False
    is_writable: bool = False


class ConfinedDevice(Struct, frozen=True, kw_only=True):
    """A character device's own node, of the process's user alone."""

    target: str
    major: int
    minor: int


class Plan(Struct, frozen=True, kw_only=True):
    """All that the process has. `descriptors` become 3, 4, ... inside; `errors` its standard error.

    `base`: an empty directory of the host, where its root is put together; nothing is left in it. `cgroups`:
    directories, one for each hierarchy. `limits`: names of the `resource` module. `has_proc`: of its own processes
    alone, for /proc/self/fd.
    """

    command: tuple[str, ...]
    uid: int
    base: str
    files: tuple[ConfinedFile, ...]
    cgroups: tuple[str, ...]
    descriptors: tuple[int, ...]
    errors: int
    limits: dict[str, int]
    devices: tuple[ConfinedDevice, ...] = ()
    has_proc: bool = False
    oom_score_adj: int | None = 0  # as a task's containers
    environment: dict[str, str] = {}
    filter: bytes = _FILTER  # of system calls, the kernel's program
    is_jailed: bool = False  # `command` is a jailer's, and `base` the root that it makes: see `confine._prepare_jail`


def machine_user(directory: str, taken: Collection[int], uid_map: str) -> int:
    """A user (and group) id for the machine of this directory that nobody on the host has. `uid_map`: of /proc.

    Pure. Raises VmmMissing in a user namespace without such ids: two machines never share a user.
    """
    mapped = [(int(first), int(first) + int(count)) for first, _, count in map(str.split, uid_map.splitlines())]
    if not any(first <= _USERS.start and _USERS.stop <= end for first, end in mapped):
        raise VmmMissing(f"machines need user ids of their own, {_USERS.start} and above, which are not mapped here")
    begin = int.from_bytes(sha256(directory.encode()).digest()[:8])
    for step in range(len(taken) + 1):
        uid = _USERS[(begin + step) % len(_USERS)]
        if uid not in taken:
            return uid
    raise AssertionError("more machines than user ids")


def give(path: str, uid: int) -> None:
    """A writable file becomes the machine's own, for nobody else to read. Raises MachineRefused."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise MachineRefused(f"{path}: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise MachineRefused(f"{path} is no regular file")
        os.fchown(descriptor, uid, uid)
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def launch(plan: Plan, remember: Callable[[int], None]) -> int:
    """The pid in the host of the process, which runs its program by now. It is our child: who ends it collects it.

    `remember` is called with the pid before the program begins. Raises MachineRefused with what went wrong.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(_WAIT_S)
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(_LAUNCHER)],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            pass_fds=(*plan.descriptors, plan.errors),
        )
        theirs.close()
        try:
            return _begun(plan, ours, remember)
        except TimeoutError:
            raise MachineRefused(f"its process was not confined within {_WAIT_S:.0f} s") from None
        finally:
            ours.close()  # a launcher that still waits ends now
            _ended(launcher)


def _ended(launcher: subprocess.Popen[bytes]) -> None:
    try:
        launcher.wait(_WAIT_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def _begun(plan: Plan, ours: socket.socket, remember: Callable[[int], None]) -> int:
    ours.sendall(msgspec.json.encode(plan) + b"\n")
    said = _read(ours, until=b"\n").decode(errors="replace").strip()
    if not said.isdecimal():
        raise MachineRefused(f"its process cannot be confined: {said or 'it was killed'}")
    pid = int(said)
    try:
        remember(pid)
        ours.sendall(b"\n")
        failed = _read(ours).decode(errors="replace").strip()
    except BaseException:
        _end(pid)
        raise
    if failed:
        _end(pid)
        raise MachineRefused(f"its process cannot be confined: {failed}")
    return pid


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)  # our child, not collected yet: the number is its own
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _read(ours: socket.socket, until: bytes = b"") -> bytes:
    """To the end of the socket, or to the mark."""
    received = b""
    while len(received) < _SAID_MAX and not (until and received.endswith(until)):
        more = ours.recv(1 if until else _SAID_MAX)
        if not more:
            break
        received += more
    return received
