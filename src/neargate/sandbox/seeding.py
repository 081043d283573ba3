"""First contents of a volume: what the image holds at the path where the volume is mounted, as Docker copies it.

Owns the copy. Everything goes by descriptors below the opened directory, so that no name in the image leads out of it
and nothing that changes meanwhile can. Devices, fifos and sockets are left out. Repeating the copy completes it.
"""

import os
import shutil
import stat
from collections.abc import Sequence

from .rooted import open_rooted
from .rootfs import open_image

_DEPTH_MAX = 64


class CannotSeed(Exception):
    """Why, in a sentence for the task's owner."""


def seed(lowers: Sequence[str], mount_point: str, image_path: str, target_dir: str) -> bool:
    """Copy; False when the image has no such directory. Raises CannotSeed (disk full, too deep)."""
    root = open_image(tuple(lowers), mount_point)
    try:
        try:
            source = open_rooted(root, image_path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        target = os.open(target_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _copy_directory(source, target, 0)
        except OSError as error:
            raise CannotSeed(f"{image_path}: {error.strerror}") from None
        finally:
            os.close(source)
            os.close(target)
        return True
    finally:
        os.close(root)


def _copy_directory(source: int, target: int, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise CannotSeed(f"the directory in the image is deeper than {_DEPTH_MAX} levels")
    for name in sorted(os.listdir(source)):
        facts = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(facts.st_mode):
            _make_directory(name, target)
            inner_source = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            inner_target = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
            try:
                _copy_directory(inner_source, inner_target, depth + 1)
            finally:
                os.close(inner_source)
                os.close(inner_target)
        elif stat.S_ISREG(facts.st_mode):
            _copy_file(name, source, target)
        elif stat.S_ISLNK(facts.st_mode):
            _copy_link(name, source, target, facts)
    _like(target, os.fstat(source))


def _make_directory(name: str, target: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=target)
    except FileExistsError:
        pass  # left by an attempt that was killed; its contents are copied over


def _copy_file(name: str, source: int, target: int) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    with open(reader, "rb") as old:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=target), "wb") as new:
            shutil.copyfileobj(old, new, 1024 * 1024)
            new.flush()
            _like(new.fileno(), os.fstat(reader))


def _copy_link(name: str, source: int, target: int, facts: os.stat_result) -> None:
    """The text of the link, wherever it leads: it is followed only inside the container."""
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        pass  # the usual case: nothing is there yet
    os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    os.chown(name, facts.st_uid, facts.st_gid, dir_fd=target, follow_symlinks=False)


def _like(handle: int, facts: os.stat_result) -> None:
    """Owner first: changing it clears the set-id bits that the mode then gives back."""
    os.fchown(handle, facts.st_uid, facts.st_gid)
    os.fchmod(handle, stat.S_IMODE(facts.st_mode))
    os.utime(handle, ns=(facts.st_atime_ns, facts.st_mtime_ns))
