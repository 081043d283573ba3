"""What a first `up` makes before the region exists, and its removal when that `up` fails: `down` knows only regions.

A region exists once its region.json does. Must not touch what was there before, nor anything that is not a region's.
Invariant: removes only while it holds the lock of `up`, and only where no region.json came to be.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from . import locks, processes
from .paths import RegionPaths
from .supervisor import FORMER

PROCESSES = ("server", "agent", "containerd", "images", *FORMER)


class Footprint(Struct, frozen=True, kw_only=True):
    """`made_later`: of what a first `up` makes, what was not there; what holds others comes after them."""

    paths: RegionPaths
    made_later: tuple[Path, ...]

    @contextmanager
    def removed_on_failure(self) -> Iterator[None]:
        """Around all that may fail between the lock and the first region.json."""
        try:
            yield
        except BaseException:
            self.remove()
            raise

    def remove_unless_up(self) -> None:
        """For whoever does not hold the lock of `up`."""
        try:
            lock = locks.take(self.paths.up_lock)
        except FileNotFoundError:
            return  # gone with the rest
        except OSError:
            if self.paths.run in self.made_later:
                remove_remains(self.paths)  # somebody else's data; the directory below /run or /tmp is ours
            return
        if lock is not None:
            self.remove()
            os.close(lock)

    def remove(self) -> None:
        """The lock's file goes last but for directories: who comes next begins with nothing.

        Of a region that exists only the run directory goes, where nothing of it runs: it is empty again as before.
        """
        if self.paths.config.exists():
            if self.paths.run in self.made_later:
                remove_remains(self.paths)
            return
        for path in self.made_later:
            if path in self.paths.data.parents or path == self.paths.data:
                with suppress(OSError):  # somebody else put something there, which stays
                    path.rmdir()
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def look(paths: RegionPaths) -> Footprint:
    """Before anything is made."""
    own = (
        *(paths.secrets, paths.databases, paths.logs, paths.agent, paths.disks, paths.containerd),
        paths.images,
        *(paths.image_storage, paths.image_storage.with_suffix(".new")),
        *(paths.administrator, paths.administrator.with_suffix(".new"), paths.config.with_suffix(".new")),
        *(paths.run, paths.up_lock, paths.data, *paths.data.parents),
    )
    return Footprint(paths=paths, made_later=tuple(path for path in own if not path.exists()))


def remove_remains(paths: RegionPaths) -> bool:
    """Of a first `up` that was killed before there was a region: its sockets' directory. True when it is gone.

    False where processes or mounts are left: then a region was there and lost its region.json.
    """
    mounted = any(
        f" {paths.run}/" in line for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    )
    if mounted or any(processes.find(paths.pid_file(name)) is not None for name in PROCESSES):
        return False
    shutil.rmtree(paths.run, ignore_errors=True)
    return True
