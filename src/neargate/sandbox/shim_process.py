"""One process of containerd's shim that waits without a container: started, given to a container, ended.

Blocking. Must not know tasks or when a shim is worth having. Invariants: a shim that waits has a directory of its own,
made before it and removed after it, so that the next agent finds every one; who ends a shim asks it to go, and one
that has a container refuses, so that ending one too many ends nobody's container.
"""

import json
import os
import re
import shutil
import socket
import struct
import subprocess

from msgspec import Struct

from .containerd_client import RUNTIME
from .containerd_process import ContainerdInstance
from .oci_spec import SHIM_GROUP_ANNOTATION

_PROGRAM = "containerd-shim-runc-v2"
_START_S = 10.0
_END_S = 5.0
_ENDS = 20
_ADDRESS = re.compile(r"unix://(/[^\s\0]{1,107})")
# containerd's children share these with it; a shim of ours must be as one of them.
_NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup")
_CREDENTIALS = struct.Struct("iII")
# TTRPC: length, stream, kind of message, flags; then the service's and the method's name as a protobuf message.
_HEADER = struct.Struct(">IIBB")
_REQUEST = 1
# The score is the parent's and one more, so the parent has containerd's; `exit` keeps this shell the parent.
_SCORED = 'echo "$0" > /proc/self/oom_score_adj && "$@"; exit $?'


class NoShim(Exception):
    """On this machine no shim can be started beside containerd. The message says why."""


class WaitingShim(Struct, frozen=True, kw_only=True):
    """`group` is its name: containers that name it are put into it. `directory` is its own."""

    own: ContainerdInstance
    group: str
    directory: str
    address: str

    def runtime(self, runtime_id: str) -> str:
        """What containerd is to call for this container: a program that answers with this shim's address at once."""
        if not _answers(self.address):
            return RUNTIME  # it was killed; containerd starts another one of this name
        os.makedirs(self.own.told_dir, mode=0o700, exist_ok=True)
        told = os.path.join(self.own.told_dir, runtime_id)
        with open(told + ".new", "w", encoding="utf-8") as file:
            file.write(f"unix://{self.address}\n")
        os.replace(told + ".new", told)
        return self.own.front_path


def start(own: ContainerdInstance, namespace: str, group: str, directory: str) -> WaitingShim:
    """Raises NoShim where it never will, OSError when it may next time. `directory` is made."""
    pid = _containerd_pid(own.address)
    environment = _environment(pid)
    program = shutil.which(_PROGRAM, path=environment.get("PATH"))
    if program is None:
        raise NoShim(f"{_PROGRAM} is not on containerd's PATH")
    if not os.access(own.front_path, os.X_OK):
        raise NoShim(f"{own.front_path} cannot be executed there")
    if not os.path.exists(f"{own.address}.ttrpc"):
        raise NoShim("containerd has no socket for its shims' events")
    _check_likeness(pid)
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
        score = file.read().strip()
    arguments = ("-namespace", namespace, "-address", own.address, "-publish-binary", os.readlink(f"/proc/{pid}/exe"))
    command = ["/bin/sh", "-c", _SCORED, score, program, *arguments, "-id", group, "start"]
    environment |= {"GOMAXPROCS": "2", "TTRPC_ADDRESS": f"{own.address}.ttrpc"}
    os.makedirs(directory, mode=0o700)
    try:
        with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as config:
            json.dump({"annotations": {SHIM_GROUP_ANNOTATION: group}}, config)
        os.symlink("/dev/null", os.path.join(directory, "log"))
        address = _started(command, directory, environment)
    except (NoShim, OSError):
        end(directory)  # it may have come up all the same, and one that nobody knows would wait for ever
        raise
    return WaitingShim(own=own, group=group, directory=directory, address=address)


def _started(command: list[str], directory: str, environment: dict[str, str]) -> str:
    """The address that it says."""
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_START_S,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise OSError("a shim did not start in time") from None
    found = _ADDRESS.fullmatch(done.stdout.strip())
    if done.returncode != 0 or found is None:
        # Of another containerd, whose shims answer in other words, or may not be given containerd's score.
        raise NoShim(f"{_PROGRAM} start: {(done.stderr or done.stdout).strip()[-300:]!r}")
    return found.group(1)


def end(directory: str) -> None:
    """Ask it to go, unless a container is in it, and remove its directory. Repeatable. Raises OSError."""
    for _ in range(_ENDS):
        try:
            with open(os.path.join(directory, "address"), encoding="utf-8") as file:
                found = _ADDRESS.fullmatch(file.read().strip())
        except FileNotFoundError:
            found = None  # not started yet: without its directory it will not be
        if found is not None:
            _ask_to_go(found.group(1))
        try:
            shutil.rmtree(directory)
            return
        except FileNotFoundError:
            return
        except OSError:
            continue  # one that an agent began to start as it was killed wrote its address at this moment
    raise OSError(f"{directory} cannot be removed")


def end_all(directory: str, told_dir: str | None = None) -> None:
    """What containers were told, and every shim that was left below `directory`. Raises the last OSError, after all.

    In this order: containerd may still be at a dead agent's create, and for an address that is gone it waits 100 s.
    """
    if told_dir is not None:
        shutil.rmtree(told_dir, ignore_errors=True)
    failure: OSError | None = None
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        try:
            end(os.path.join(directory, name))
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure


def forget(own: ContainerdInstance, runtime_id: str) -> None:
    """The container is made, or will not be."""
    try:
        os.unlink(os.path.join(own.told_dir, runtime_id))
    except FileNotFoundError:
        pass  # its shim was dead by then, or this is a repeat


def _answers(path: str) -> bool:
    try:
        _connected(path).close()
    except OSError:
        return False
    return True


def _connected(path: str) -> socket.socket:
    """Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_END_S)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _ask_to_go(path: str) -> None:
    """Returns when it answered or went. A socket that nobody serves any more is removed."""
    try:
        connection = _connected(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
        return
    with connection:
        try:
            connection.sendall(_shutdown_request())
            connection.recv(1)
        except (ConnectionError, TimeoutError):
            return  # gone; or it is still coming up and finds the request


def _shutdown_request() -> bytes:
    service, method = b"containerd.task.v2.Task", b"Shutdown"
    body = b"\x0a" + bytes((len(service),)) + service + b"\x12" + bytes((len(method),)) + method
    return _HEADER.pack(len(body), 1, _REQUEST, 0) + body


def _containerd_pid(address: str) -> int:
    with _connected(address) as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid = int(_CREDENTIALS.unpack(credentials)[0])
    if pid <= 0:
        raise NoShim("containerd's process is not visible from here")
    return pid


def _environment(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = (os.fsdecode(word).partition("=") for word in file.read().split(b"\0") if word)
        return {name: value for name, _, value in pairs}


def _check_likeness(pid: int) -> None:
    """A shim that we start is in our namespaces and cgroups; those that containerd starts are in containerd's."""
    for name in _NAMESPACES:
        if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"):
            raise NoShim(f"containerd lives in another {name} namespace")
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as theirs, open("/proc/self/cgroup", encoding="utf-8") as ours:
        if theirs.read() != ours.read():
            raise NoShim("containerd lives in another cgroup")
