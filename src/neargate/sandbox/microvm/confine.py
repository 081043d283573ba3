"""The program between the agent and a machine's monitor: it takes everything from itself, then becomes the monitor.

Run by its path with `-I -S`, so it imports nothing of ours. Its input is a socket: one line, the plan (Plan of
confinement.py), answered by the monitor's pid in the host; then one byte, with which it may begin. The end of the
socket before that byte is the agent's death: nothing is begun. What goes wrong is said there in one line; silence and
the end of the socket mean that the monitor runs. Invariant: what becomes the monitor lacks nothing of its confinement.
A jailer (`is_jailed`) is given half of it and makes the other half.
"""

import base64
import ctypes
import fcntl
import json
import os
import resource
import socket

_SYS_CLONE, _SYS_PIVOT_ROOT, _SYS_MOUNT_SETATTR, _SYS_CLOSE_RANGE = 56, 155, 442, 436
_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, pid, net
_CLONE_PARENT = 0x00008000  # the agent's child, whose end the agent then learns
_SIGCHLD = 17
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_READ_ONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 24, 47, 4
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_HOST_NAME = "machine"  # a namespace of names begins with the host's
_EINVAL = 22
_CAPABILITY_VERSION_3 = 0x20080522
_FIRST = 3  # descriptors that the monitor is given are numbered from here
_HIGH = 512  # below every soft limit that an agent has, above what a monitor is given
_CLOSE_RANGE_CLOEXEC = 4
_PLAN_MAX = 1 << 20

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def main() -> None:
    agent = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _HIGH))
    try:
        plan = json.loads(_line(agent))
        for directory in plan["cgroups"]:
            # The first of all: by its cgroup a machine is found whose agent was killed.
            _write(os.path.join(directory, "cgroup.procs"), "0")
        if plan["oom_score_adj"] is not None:
            _write("/proc/self/oom_score_adj", str(plan["oom_score_adj"]))
        pid = _call(_SYS_CLONE, _NAMESPACES | _CLONE_PARENT | _SIGCHLD, 0, 0, 0, 0)
        if pid:
            agent.sendall(b"%d\n" % pid)
            os._exit(0)
        if not agent.recv(1):
            os._exit(1)
        _become(plan)
    except BaseException as error:
        agent.sendall(f"{type(error).__name__}: {error}\n".encode(errors="replace"))
        os._exit(1)


def _line(agent: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        more = agent.recv(65536)
        if not more or len(received) > _PLAN_MAX:
            os._exit(1)
        received += more
    return received


def _become(plan) -> None:  # type: ignore[no-untyped-def]  # JSON, checked by who wrote it
    os.setsid()
    os.umask(0)
    if plan["is_jailed"]:
        _prepare_jail(plan)
        os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606  the plan's program
    _keep_only(plan["descriptors"], plan["errors"])
    _enter_root(plan)
    for name, value in plan["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.umask(0o077)
    socket.sethostname(_HOST_NAME)
    _drop(plan["uid"])
    _filter(base64.b64decode(plan["filter"]))
    os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606  the plan's program


def _enter_root(plan) -> None:  # type: ignore[no-untyped-def]
    """A file system of its own with only the plan's files, all read-only but for what the plan says."""
    base = plan["base"]
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("none", base, "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=755,size=256k,nr_inodes=512")
    for file in plan["files"]:
        target = base + file["target"]
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
        _mount(file["source"], target, None, _MS_BIND)
    for device in plan["devices"]:
        target = base + device["target"]
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        # Of the machine's user alone: no group is needed for it.
        os.mknod(target, 0o020600, os.makedev(device["major"], device["minor"]))
        os.chown(target, plan["uid"], plan["uid"])
    if plan["has_proc"]:
        os.mkdir(base + "/proc", 0o555)
        # Only processes, of which it has itself; nothing of the kernel's.
        _mount("proc", base + "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "subset=pid,hidepid=2")
    _attributes(base, _READ_ONLY | _NOSUID | _NODEV, 0, recursive=True)
    for file in plan["files"]:
        added = 0 if file["is_program"] else _NOEXEC
        _attributes(base + file["target"], added, _READ_ONLY if file["is_writable"] else 0)
    if plan["devices"]:
        _attributes(base, _NOEXEC, _NODEV)
    os.chdir(base)
    # On top of the old root, which is then taken off: no directory for it is needed.
    _call(_SYS_PIVOT_ROOT, b".", b".")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def _prepare_jail(plan) -> None:  # type: ignore[no-untyped-def]
    """For a jailer, which drops the rest itself: it is root still, in namespaces of its own, and sees the host's files.

    The plan's files are in its jail in this mount namespace alone: nothing of them is left when it is gone.
    """
    _keep_only([], plan["errors"])
    os.dup2(2, 1)  # where the guest's console is written
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)  # of its own numbers
    os.makedirs(plan["base"], mode=0o755, exist_ok=True)
    # Its devices and its program are made in there, and /run allows neither: here, in this mount namespace, it does.
    _mount(plan["base"], plan["base"], None, _MS_BIND)
    _attributes(plan["base"], _NOSUID, _NODEV | _NOEXEC)
    for file in plan["files"]:
        target = plan["base"] + file["target"]
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
        _mount(file["source"], target, None, _MS_BIND)
        _attributes(target, _NOSUID | _NODEV | _NOEXEC | (0 if file["is_writable"] else _READ_ONLY), 0)
    for name, value in plan["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.umask(0o077)
    socket.sethostname(_HOST_NAME)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _drop(uid: int) -> None:
    os.setgroups([])
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            if ctypes.get_errno() != _EINVAL or not capability:
                _check(-1, "the bounding set")
            break
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities")
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capabilities")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _filter(program: bytes) -> None:
    """The last of all: it forbids what was done until here."""
    instructions = ctypes.create_string_buffer(program, len(program))
    head = (ctypes.c_uint64 * 2)(len(program) // 8, ctypes.addressof(instructions))  # struct sock_fprog
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(head), 0, 0), "the filter of system calls")


def _keep_only(descriptors: list[int], errors: int) -> None:
    """From 3 on those that it is given, in order; nothing on the standard ones but its errors; no others."""
    nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    # Out of the way first: a number that is given away may be another's that is still to be moved.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH) for descriptor in (nothing, errors, *descriptors)]
    for number, descriptor in enumerate([moved[0], *moved]):  # 0 and 1 nothing, 2 its errors
        os.dup2(descriptor, number)
    _call(_SYS_CLOSE_RANGE, _FIRST + len(descriptors), (1 << 32) - 1, _CLOSE_RANGE_CLOEXEC)


def _attributes(path: str, added: int, removed: int, *, recursive: bool = False) -> None:
    sets = (ctypes.c_uint64 * 4)(added, removed, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    _call(_SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, ctypes.byref(sets), ctypes.sizeof(sets))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [os.fsencode(word) if word else None for word in (source, target, kind, data)]
    _check(_libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {source} on {target}")


def _call(number: int, *arguments: object) -> int:
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *wide), f"system call {number}")


def _check(result: int, subject: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
    return result


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
