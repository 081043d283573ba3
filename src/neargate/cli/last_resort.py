"""The end of a region's containers without an engine: their processes, its shims and its mounts, found in the kernel.

Used only by `down --force`, when neither agent nor containerd can live. Invariant: it touches only what carries this
instance's name: cgroups `neargate-INSTANCE`, shims of that containerd namespace, mounts below the region's directories.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ..hostnet import libc
from ..hostnet.process_signals import send
from .paths import RegionPaths
from .problems import Problem

KILL_S = 20.0
LOOK_S = 0.05
CGROUPS = Path("/sys/fs/cgroup")
MOUNTS = Path("/proc/self/mounts")
_OCTAL = re.compile(rb"\\([0-7]{3})")


def end_containers(paths: RegionPaths) -> None:
    """Repeatable. Problem when processes resist, for example in the kernel's uninterruptible sleep."""
    name = f"neargate-{paths.instance}"
    deadline = time.monotonic() + KILL_S
    while left := {*_members(name), *_shims(name)}:
        for pid in left:
            send(pid, signal.SIGKILL, lambda found: found in _members(name) or _is_shim(found, name))
        if time.monotonic() > deadline:
            shown = ", ".join(str(pid) for pid in sorted(left)[:5])
            raise Problem(f"processes that cannot be killed are left in the cgroup {name} (pid {shown})")
        time.sleep(LOOK_S)
    for target in _mounts(paths, name):
        libc.umount(target, libc.MNT_DETACH)


def _members(name: str) -> Iterator[int]:
    """Of the instance's cgroup in every hierarchy: each has its own directory, with version 1."""
    for top in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top):
            try:
                text = (Path(folder) / "cgroup.procs").read_text()
            except OSError:
                continue  # it went meanwhile
            yield from (int(pid) for pid in text.split() if int(pid))


def _shims(name: str) -> Iterator[int]:
    yield from (int(process.name) for process in Path("/proc").glob("[0-9]*") if _is_shim(int(process.name), name))


def _is_shim(pid: int, name: str) -> bool:
    """Root's own of this pid namespace only: in a container anybody may call itself anything."""
    process = Path("/proc", str(pid))
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        ours = process.stat().st_uid == 0 and os.readlink(process / "ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False  # it ended while we looked
    shim = words[0].rpartition(b"/")[2].startswith(b"containerd-shim")
    return ours and shim and words[1:3] == [b"-namespace", name.encode()]


def _mounts(paths: RegionPaths, name: str) -> list[str]:
    """Root filesystems of containers, the innermost first; the tasks' disks go with `--remove-all`."""
    own = str(paths.run / "containerd")
    return [path for path in mount_points() if path.startswith(f"{own}/") or f"/{name}/" in path]


def mount_points() -> list[str]:
    """All that this process sees, the innermost first. The kernel writes blanks in a path as octal numbers."""
    words = (line.split()[1] for line in MOUNTS.read_bytes().splitlines())
    paths = [os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), word)) for word in words]
    return paths[::-1]
