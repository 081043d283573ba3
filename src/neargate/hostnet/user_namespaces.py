"""User namespaces of tasks, kept as files, and which of the host's ids each has.

Owns their directory (`TASK` and `TASK.mounts`: namespaces; `TASK.range`: a link that says the number) and the claims on
ranges, which all instances of a machine share: a link each, made before anything has the ids. All of it goes with a
reboot. Blocking; for one thread. A setns into a user namespace is refused to a process of several threads, so that a
process of its own makes each. Invariant: no two names that are kept, of whatever instance, have the same range.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO
from zlib import crc32

from ..interfaces.hostnet import HostError
from ..model.host_ids import RANGES, UserNamespace, first_of, mounts_map, task_map
from . import libc

CLAIMS = Path("/run/neargate-ids")
_MOUNTS, _RANGE = ".mounts", ".range"  # no name of a task's namespace has a dot
_READY = b"\n"
_NUMBER = re.compile(r"[0-9]{1,4}")


class UserNamespaces:
    """`directory` is made when it is needed. `claims`: of all instances of this machine."""

    def __init__(self, directory: Path, claims: Path = CLAIMS) -> None:
        self._directory = directory
        self._claims = claims

    def find(self, name: str) -> UserNamespace | None:
        """What `made` left under this name, when it was whole."""
        number = self._number(name)
        paths = (self._directory / name, self._directory / f"{name}{_MOUNTS}")
        if number is None or not all(_is_kept(path) for path in paths):
            return None
        return UserNamespace(path=str(paths[0]), mounts_path=str(paths[1]), first=first_of(number))

    @contextmanager
    def made(self, name: str) -> Iterator[str]:
        """A new user namespace with a network of its own, in the block the path of that: whoever wants it keeps it.

        What an earlier attempt left of the name is replaced: its network must be gone. Raises OSError, HostError.
        """
        self.delete(name)
        first = first_of(self._claim(name))
        with ExitStack() as stack:
            mounts = stack.enter_context(_Holder("--user"))
            task = stack.enter_context(_Holder("--user", "--net"))
            for holder, ids, suffix in ((mounts, mounts_map(first), _MOUNTS), (task, task_map(first), "")):
                holder.map_ids(ids)
                path = self._directory / f"{name}{suffix}"
                path.touch(mode=0o600)
                libc.mount(holder.namespace("user"), str(path), None, libc.MS_BIND)
            yield task.namespace("net")

    def delete(self, name: str) -> None:
        """After all that ran in it. May be repeated."""
        for path in (self._directory / name, self._directory / f"{name}{_MOUNTS}"):
            while _is_kept(path):
                libc.umount(str(path), libc.MNT_DETACH)
            path.unlink(missing_ok=True)
        number = self._number(name)
        if number is not None and self._holder_of(number) == self._directory / name:
            (self._claims / str(number)).unlink(missing_ok=True)
        (self._directory / f"{name}{_RANGE}").unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Also half-made ones: `made` completes and `delete` removes them."""
        try:
            return sorted({found.partition(".")[0] for found in os.listdir(self._directory)})
        except FileNotFoundError:
            return []

    def sweep(self) -> None:
        """Give back what a kill left claimed, of this instance and of those that are gone whole."""
        try:
            claims = [int(name) for name in os.listdir(self._claims) if _NUMBER.fullmatch(name)]
        except FileNotFoundError:
            return
        for number in claims:
            holder = self._holder_of(number)
            if holder is None:
                continue
            is_unused = holder.parent == self._directory and self._number(holder.name) != number
            if is_unused or not holder.parent.is_dir():
                (self._claims / str(number)).unlink(missing_ok=True)
        try:
            self._claims.rmdir()
        except OSError:
            pass  # others have some

    def _claim(self, name: str) -> int:
        """The name's number, written down before anything has its ids. Where the search begins follows from the name:
        ids that were in use a moment ago are hardly ever the next task's."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        begin = crc32(name.encode())
        for step in range(RANGES):
            number = (begin + step) % RANGES
            try:
                self._link(number, self._directory / name)
            except FileExistsError:
                continue
            os.symlink(str(number), self._directory / f"{name}{_RANGE}")
            return number
        raise HostError(f"all {RANGES} ranges of user ids of this machine are in use")

    def _link(self, number: int, holder: Path) -> None:
        try:
            os.symlink(holder, self._claims / str(number))
        except FileNotFoundError:
            # The first claim, or another instance gave back the last one at this moment.
            self._claims.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.symlink(holder, self._claims / str(number))

    def _number(self, name: str) -> int | None:
        try:
            number = os.readlink(self._directory / f"{name}{_RANGE}")
        except FileNotFoundError:
            return None
        return int(number)

    def _holder_of(self, number: int) -> Path | None:
        try:
            return Path(os.readlink(self._claims / str(number)))
        except FileNotFoundError:
            return None


class _Holder:
    """A process in new namespaces, which waits for its end: that of its input, also when ours ends first."""

    def __init__(self, *kinds: str) -> None:
        programs = [shutil.which(name, path="/usr/bin:/bin") for name in ("unshare", "cat")]
        if None in programs:
            raise HostError("user namespaces need the programs unshare and cat (packages util-linux and coreutils)")
        unshare, cat = map(str, programs)
        self._process = subprocess.Popen(
            [unshare, *kinds, cat],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={},
        )

    def __enter__(self) -> "_Holder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._process:  # closes its input and waits
            pass

    def map_ids(self, ids: str) -> None:
        """What it says back it says from inside. Raises OSError."""
        try:
            _stream(self._process.stdin).write(_READY)
            _stream(self._process.stdin).flush()
            is_ready = _stream(self._process.stdout).read(1) == _READY
        except BrokenPipeError:
            is_ready = False
        if not is_ready:
            raise OSError(
                f"no user namespace: {_stream(self._process.stderr).read(500).decode(errors='replace').strip()}"
            )
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{self._process.pid}/{kind}").write_text(ids)

    def namespace(self, kind: str) -> str:
        return f"/proc/{self._process.pid}/ns/{kind}"


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "all three are pipes"
    return stream


def _is_kept(path: Path) -> bool:
    """Whether it is a mounted namespace."""
    try:
        return path.stat().st_dev == os.stat("/proc/self/ns/user").st_dev
    except FileNotFoundError:
        return False
