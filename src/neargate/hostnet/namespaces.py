"""Network namespaces kept by bind mounts in one directory, and the only place that moves a thread between them.

A namespace lives as long as its bind mount, with or without processes, so it survives the agent. All methods run on the
one thread of the network lane; it enters a namespace for the length of a `with` block and is always back in the host's
afterwards. If it could not come back, the process ends: a thread in the wrong namespace would change others' links.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..interfaces.hostnet import HostError
from . import libc

_PART = re.compile(r"[a-z0-9_]{1,64}")


class Namespaces:
    def __init__(self, directory: Path, die: Callable[[str], None]) -> None:
        self._directory = directory
        self._die = die

    def path(self, name: str) -> Path:
        return self._directory / name

    def exists(self, name: str) -> bool:
        """Whether the name is a mounted namespace, not merely the file that a crash left before the mount."""
        try:
            return os.stat(self.path(name)).st_dev == os.stat("/proc/self/ns/net").st_dev
        except FileNotFoundError:
            return False

    def names(self) -> list[str]:
        """Every file of the directory, mounted or not: all of them are ours to complete or to remove."""
        try:
            return sorted(os.listdir(self._directory))
        except FileNotFoundError:
            return []

    def ensure(self, name: str) -> bool:
        """True if the namespace was made by this call."""
        if self.exists(name):
            return False
        with self._coming_back():
            libc.unshare(libc.CLONE_NEWNET)
            # The thread's own entry: /proc/self/ns/net is the main thread's.
            self.keep(name, "/proc/thread-self/ns/net")
        return True

    def keep(self, name: str, source: str) -> None:
        """Give a name to the namespace at the path `source`. There must be none of that name."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(name)
        path.touch(mode=0o600)
        libc.mount(source, str(path), None, libc.MS_BIND)

    def delete(self, name: str) -> None:
        """Unmounts and unlinks; the kernel frees the namespace once no process or socket is in it."""
        path = str(self.path(name))
        while self.exists(name):
            libc.umount(path, libc.MNT_DETACH)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # a repeated delete

    @contextmanager
    def opened(self, name: str) -> Iterator[int]:
        """A descriptor of the namespace for the length of the block."""
        descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Sockets, nft contexts and /proc/sys/net writes of the block belong to the namespace."""
        with self.opened(name) as target, self._coming_back():
            libc.setns(target, libc.CLONE_NEWNET)
            yield

    @contextmanager
    def aside(self) -> Iterator[None]:
        """In a new namespace without a name: it ends with the last that holds something of it."""
        with self._coming_back():
            libc.unshare(libc.CLONE_NEWNET)
            yield

    @contextmanager
    def inside_of(self, descriptor: int) -> Iterator[None]:
        """As `inside`, of one that has no name."""
        with self._coming_back():
            libc.setns(descriptor, libc.CLONE_NEWNET)
            yield

    @contextmanager
    def _coming_back(self) -> Iterator[None]:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield
        finally:
            try:
                libc.setns(home, libc.CLONE_NEWNET)
            except OSError as error:
                self._die(f"a thread cannot leave a network namespace: {error}")
            os.close(home)


def write_sysctl(name: str, value: str) -> None:
    """Write one of `/proc/sys/net` in the calling thread's namespace. What this kernel lacks needs no switching off."""
    try:
        Path(f"/proc/sys/net/{name}").write_text(value)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def set_control(name: str, value: str) -> None:
    """Write `net.*` in the calling thread's namespace, as a task asks for it. Raises HostError."""
    parts = name.split(".")
    if parts[0] != "net" or not all(_PART.fullmatch(part) for part in parts):
        raise HostError(f"{name} is no kernel parameter of a network namespace")
    path = f"/proc/sys/{'/'.join(parts)}"
    try:
        Path(path).write_text(value)
    except OSError as error:
        raise HostError(f"open {path}: {(error.strerror or str(error)).lower()}") from None


def read_sysctl(name: str) -> str | None:
    """One of `/proc/sys/net` in the calling thread's namespace; None where this kernel lacks it."""
    try:
        return Path(f"/proc/sys/net/{name}").read_text().strip()
    except FileNotFoundError:
        return None
