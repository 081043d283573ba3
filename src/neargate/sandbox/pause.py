"""The process that holds a task's shared process namespace, and the tiny root file system it lives in.

Owns: what the pause container consists of: a shell of this machine's busybox that waits for a sleeping child for ever.
Must not know containerd. Invariants: the shell is the namespace's first process, so every orphan becomes its child, and
it waits for any child. No process inside can end it: a first process gets only the signals that it handles, and this
one handles the ends of children. It may do nothing: no capability, no writable file, no privilege to gain.
"""

import os
import struct
from typing import Any

from ..interfaces.sandbox import PauseConfig
from .oci_spec import (
    MASKED_PATHS,
    READONLY_PATHS,
    SHIM_GROUP_ANNOTATION,
    HostFacts,
    in_user_namespace,
    user_namespaces,
)
from .seccomp import seccomp_profile

_PROGRAM = "/bin/busybox"
# A shell without a child would have nothing to wait for. Who kills the sleeper gets another one.
# The interrupt is the one signal that a shell handles unasked.
_SCRIPT = f"trap '' INT; while :; do {_PROGRAM} sleep 2147483647 & wait; done"
PAUSE_ARGS = (_PROGRAM, "sh", "-c", _SCRIPT)
_NOBODY = 65534
# Itself, its child, and room for the processes that a runtime needs for a moment to make it.
_PIDS_MAX = 16

# Debian and Ubuntu: package busybox-static. A program that needs libraries would not start in an empty root.
PROGRAMS = ("/bin/busybox", "/usr/bin/busybox")
_ELF_HEADER = struct.Struct("<16xHHIQQQIHHH")
_INTERPRETER = 3


def prepare_root(directory: str) -> str:
    """The root of every pause container of this machine: mount points only. Returns `directory`."""
    for name in ("proc", "dev", "bin"):
        os.makedirs(os.path.join(directory, name), mode=0o755, exist_ok=True)
    target = os.path.join(directory, _PROGRAM.lstrip("/"))
    os.close(os.open(target, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400))  # a place for a mount
    return directory


def pause_spec(config: PauseConfig, host: HostFacts, root: str, *, shim_group: str) -> dict[str, Any]:
    """The OCI specification. `root` comes from `prepare_root`; the host must have a pause program."""
    nothing: list[str] = []
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": _NOBODY, "gid": _NOBODY},
            "args": list(PAUSE_ARGS),
            "env": [],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), nothing),
            "noNewPrivileges": True,
        },
        "root": {"path": root, "readonly": True},
        "mounts": [
            _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
            _mount("/dev", "tmpfs", "nosuid", "noexec", "mode=755", "size=64k"),
            {
                "destination": _PROGRAM,
                "type": "bind",
                "source": host.pause_program,
                "options": ["bind", "rprivate", "ro", "nosuid", "nodev"],
            },
        ],
        "annotations": {SHIM_GROUP_ANNOTATION: shim_group},
        "linux": {
            "cgroupsPath": config.cgroup_path,
            "namespaces": [
                *({"type": kind} for kind in ("pid", "ipc", "uts", "mount")),
                {"type": "network", "path": config.netns_path},
                *([{"type": "cgroup"}] if host.cgroup_v2 else []),
                *user_namespaces(config.user_namespace),
            ],
            **in_user_namespace(config.user_namespace),
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "cpu": {"shares": 2},
                "pids": {"limit": _PIDS_MAX},
            },
            "seccomp": seccomp_profile(host.architecture, ()),
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def is_static(path: str) -> bool:
    """Whether the file is a 64-bit program that names no dynamic loader. False for what is not there or no program."""
    try:
        with open(path, "rb") as file:
            head = file.read(_ELF_HEADER.size)
            if len(head) < _ELF_HEADER.size or head[:5] != b"\x7fELF\x02":
                return False
            _, _, _, _, table, _, _, _, entry_bytes, count = _ELF_HEADER.unpack(head)
            file.seek(table)
            entries = file.read(entry_bytes * count)
    except OSError:
        return False
    kinds = [int.from_bytes(entries[at : at + 4], "little") for at in range(0, len(entries), entry_bytes or 1)]
    return bool(kinds) and _INTERPRETER not in kinds
