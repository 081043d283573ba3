"""What a region may have left on this machine: found where its data is gone, removed without an engine or an agent.

Owns what lies outside the data directory: processes, mounts, cgroups, the run directory, and what shims and runtimes
keep below /run/containerd. Must not need anything of the data directory. Invariant: it touches only what carries this
instance's name or lies in its directories, and it ends processes only for `down --force`.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ..hostnet import libc
from . import locks, processes
from .last_resort import CGROUPS, end_containers, mount_points
from .paths import RegionPaths, region_of
from .problems import Problem
from .processes import Running

END_S = 20.0
LOOK_S = 0.05
RUNS = Path("/run/neargate")
SHIM_SOCKETS = Path("/run/containerd/s")  # of every shim of this machine, whichever containerd has started it
RUNTIME_STATE = Path("/run/containerd/runc")  # of every OCI runtime that a shim starts, crun too
_BUNDLES = "containerd/containerd/io.containerd.runtime.v2.task"
_HELPERS = frozenset({"containerd", "docker-registry", "haproxy", "pasta"})


class Leftover(Struct, frozen=True, kw_only=True):
    """Of a region whose data directory, or whose region.json, is gone."""

    paths: RegionPaths
    processes: int
    mounts: int

    def __str__(self) -> str:
        return f"{self.processes} processes, {self.mounts} mounts, {self.paths.run}"


def found() -> list[Leftover]:
    """By run directories, which name their data. A region that is being started is none."""
    runs = list(RUNS.glob("*"))
    if os.geteuid() != 0:
        runs += Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp")).glob("neargate-*")  # noqa: S108
    regions = (paths for run in sorted(runs) if (paths := region_of(run)) is not None)
    return [
        Leftover(paths=paths, processes=len(list(_processes(paths))), mounts=len(_mounts(paths)))
        for paths in regions
        if not paths.config.exists() and not locks.is_taken(paths.up_lock)
    ]


def has_any(paths: RegionPaths) -> bool:
    """Also where its run directory is gone too."""
    return paths.run.exists() or bool(_mounts(paths)) or any(True for _ in _processes(paths))


def end_all(paths: RegionPaths) -> None:
    """Every process of the region and every container, by SIGKILL. Repeatable. Problem when some resist."""
    deadline = time.monotonic() + END_S
    while left := list(_processes(paths)):
        for _, running in sorted(left, key=lambda item: item[0] != "up"):  # it would start the others again
            processes.kill(running)
        if time.monotonic() > deadline:
            pids = ", ".join(str(running.pid) for _, running in left[:5])
            raise Problem(f"processes of the region under {paths.data} cannot be killed (pid {pids})")
        time.sleep(LOOK_S)
    end_containers(paths)


def remove(paths: RegionPaths) -> None:
    """All but processes and network. Repeatable. Problem when something stays."""
    for target in _mounts(paths):
        libc.umount(target, libc.MNT_DETACH)
    _remove_shim_sockets(paths)
    name = f"neargate-{paths.instance}"
    _remove_path(RUNTIME_STATE / name)
    for top in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):  # what is in use is told of below
                os.rmdir(folder)
        if top.exists():
            raise Problem(f"the cgroup {top} is still in use; what runs there: {_members(top)}")
    if os.path.ismount(paths.run):  # the operator's own: only what lies in it is ours
        for path in paths.run.iterdir():
            _remove_path(path)
    else:
        _remove_path(paths.run)


def _remove_path(path: Path) -> None:
    try:
        if os.geteuid() != 0 and not os.access(path.parent, os.X_OK, effective_ids=True):
            return  # nothing of a region that this user started lies where it may not even look
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return
    except OSError as error:
        raise Problem(f"{error.filename} cannot be removed: {error.strerror}; mend it and try again") from None


def _members(cgroup: Path) -> str:
    pids: list[str] = []
    for folder, _, _ in os.walk(cgroup):
        with suppress(OSError):  # it went meanwhile
            pids += (Path(folder) / "cgroup.procs").read_text().split()
    return f"pid {', '.join(pids[:5])}" if pids else "nothing that is shown"


def _remove_shim_sockets(paths: RegionPaths) -> None:
    """A shim that was killed leaves its socket; its bundle says which."""
    for told in (paths.run / _BUNDLES).glob("*/*/address"):
        with suppress(OSError):  # gone meanwhile
            socket = Path(told.read_text().strip().removeprefix("unix://"))
            if socket.parent == SHIM_SOCKETS:
                socket.unlink()


def _mounts(paths: RegionPaths) -> list[str]:
    """Made by the region, the innermost first. A filesystem that the operator mounted for its data is not."""
    own = (f"{paths.run}/", f"{paths.disks}/mnt/", f"{paths.containerd}/")
    return [target for target in mount_points() if target.startswith(own)]


def _processes(paths: RegionPaths) -> Iterator[tuple[str, Running]]:
    """(what it is, process): of this pid namespace, and this user's or, for root, a system user's."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            same_namespace = os.readlink(process / "ns/pid") == os.readlink("/proc/self/ns/pid")
            user = process.stat().st_uid
            allowed = user == os.geteuid() or (os.geteuid() == 0 and user < processes.FIRST_HUMAN_UID)
            what = _half(process, paths) or _helper(process, paths) if same_namespace and allowed else ""
        except OSError:
            continue  # it ended while we looked, or is somebody else's
        ticks = processes.start_ticks(int(process.name))
        if what and ticks is not None and int(process.name) != os.getpid():
            yield what, Running(int(process.name), ticks)


def _half(process: Path, paths: RegionPaths) -> str:
    """Each holds its lock as long as it lives, also where the file is gone."""
    own = {str(lock): lock.stem for lock in (paths.up_lock, paths.run / "server.lock", paths.run / "agent.lock")}
    for handle in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            half = own.get(os.readlink(handle).removesuffix(" (deleted)"))
            if half is not None:
                return half
    return ""


def _helper(process: Path, paths: RegionPaths) -> str:
    words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
    name = words[0].rpartition("/")[2]
    inside = (f"{paths.data}/", f"{paths.run}/")
    return name if name in _HELPERS and any(word.startswith(inside) for word in words[1:]) else ""
