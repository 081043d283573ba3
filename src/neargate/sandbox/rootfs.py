"""A container's root filesystem: the image's View below, a writable layer on the task's disk above.

Owns: one View per image and host, the layer directories on the disk, and what must be looked up or made inside the
root before the runtime sees it (user, working directory, mount targets). Invariant: a mount made here is detached
before anything of the image is looked at, so that a killed agent leaves at most an empty mount point on the task's
disk, which the next attempt and the container's deletion remove.
"""

import ctypes
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from ..interfaces.sandbox import ContainerConfig
from ..model.launch import Tmpfs
from . import containerd_pb2 as pb
from .containerd_client import AlreadyExists, Containerd
from .rooted import (
    check_data_target,
    exists,
    make_directory,
    make_mount_target,
    read_rooted,
    set_directory_mode,
)
from .users import ResolvedUser, UnknownUser, resolve_user

_ACCOUNTS_MAX_BYTES = 1024 * 1024
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_READ_ONLY = 1 | 2 | 4 | 8  # and no set-user-ID, no devices, no programs
_SYS_OPEN_TREE = 428  # the same number on every architecture
_OPEN_TREE_CLONE = 1
_AT_FDCWD = -100
_OPTIONS_MAX = 4000  # the kernel takes a page of mount options
_NAME_MAX = 200
_TMPFS_MODE = 0o1777

_libc = ctypes.CDLL(None, use_errno=True)


class Layer(Struct, frozen=True, kw_only=True):
    """The writable layer of one container: three directories on the task's disk."""

    upper: str
    work: str
    mount_point: str


def layer_of(disk_path: str, name: str) -> Layer:
    # A container's name may fill a whole file name, which leaves no room for the prefix.
    short = name if len(name) <= _NAME_MAX else hashlib.sha256(name.encode()).hexdigest()
    return Layer(
        upper=os.path.join(disk_path, f"u-{short}"),
        work=os.path.join(disk_path, f"w-{short}"),
        mount_point=os.path.join(disk_path, f"m-{short}"),
    )


class Views:
    """Read-only snapshots shared by all containers of an image. They are garbage collection's roots themselves."""

    def __init__(self, engine: Containerd) -> None:
        self._engine = engine
        self._lowers: dict[str, tuple[str, ...]] = {}

    def lowers(self, chain_id: str) -> tuple[str, ...]:
        """The image's directories, topmost first."""
        known = self._lowers.get(chain_id)
        # Someone may have removed the snapshot behind our back; then it must be asked for again.
        if known is not None and os.path.isdir(known[0]):
            return known
        key = f"neargate-view-{chain_id.removeprefix('sha256:')}"
        try:
            mounts = self._engine.view_snapshot(key, chain_id, {"containerd.io/gc.root": "neargate"})
        except AlreadyExists:
            mounts = self._engine.snapshot_mounts(key)
        found = _lower_directories(mounts)
        self._lowers[chain_id] = found
        return found


def _lower_directories(mounts: list[pb.Mount]) -> tuple[str, ...]:
    """A View of one layer is a bind mount, of several an overlay with `lowerdir=`."""
    mount = mounts[0]
    if mount.type == "bind":
        return (mount.source,)
    for option in mount.options:
        if option.startswith("lowerdir="):
            return tuple(option.removeprefix("lowerdir=").split(":"))
    raise ValueError(f"containerd gave a View of an unknown kind: {mount.type}")


def rootfs_mount(lowers: tuple[str, ...], layer: Layer) -> pb.Mount:
    """What the shim mounts as the container's root."""
    options = [f"lowerdir={':'.join(lowers)}", f"upperdir={layer.upper}", f"workdir={layer.work}"]
    return pb.Mount(type="overlay", source="overlay", options=options)


@contextmanager
def mounted_root(mount: pb.Mount, target: str) -> Iterator[None]:
    """What the shim does with a `rootfs_mount`, for the length of the block."""
    _mount_overlay(target, ",".join(mount.options))
    try:
        yield
    finally:
        unmount_root(target)


def unmount_root(target: str) -> None:
    """Lazily. May be repeated."""
    while _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        pass  # of an earlier attempt, too


def prepare(config: ContainerConfig, lowers: tuple[str, ...], layer: Layer) -> ResolvedUser:
    """Make what the container needs to find in its root, and find who runs it. Raises UnknownUser, OSError."""
    root = _open_merged(lowers, layer)
    try:
        passwd = read_rooted(root, "/etc/passwd", _ACCOUNTS_MAX_BYTES)
        group = read_rooted(root, "/etc/group", _ACCOUNTS_MAX_BYTES)
        user = resolve_user(config.user, passwd, group)
        for number in (user.uid, user.gid, *user.additional_gids):
            _of_host(config, number)
        for mount in sorted(config.mounts, key=lambda mount: mount.target.count("/")):
            make_mount_target(root, mount.target, is_file=not os.path.isdir(mount.source))
            if mount.is_data:
                check_data_target(root, mount.target)
            if mount.is_private:
                uid, gid = (_of_host(config, number) for number in (user.uid, user.gid))
                os.chown(mount.source, uid, gid, follow_symlinks=False)
        for tmpfs in config.tmpfs:
            _make_tmpfs_target(root, tmpfs)
        make_directory(root, config.working_directory)
        return user
    finally:
        os.close(root)


def _of_host(config: ContainerConfig, number: int) -> int:
    """The host's id for one of the container's. Raises UnknownUser."""
    try:
        return number if config.user_namespace is None else config.user_namespace.of_host(number)
    except ValueError as error:
        raise UnknownUser(f"{error}, which is all that tasks have on this host (--user-namespaces)") from None


def _make_tmpfs_target(root: int, tmpfs: Tmpfs) -> None:
    """runc 1.1 gives a tmpfs the mode of the directory below it and ignores `mode=`, so that directory says it."""
    was_there = exists(root, tmpfs.container_path)
    make_directory(root, tmpfs.container_path)
    asked = next((option[5:] for option in tmpfs.mount_options if re.fullmatch("mode=[0-7]{3,4}", option)), None)
    if asked is not None:
        set_directory_mode(root, tmpfs.container_path, int(asked, 8))
    elif not was_there:
        set_directory_mode(root, tmpfs.container_path, _TMPFS_MODE)


def clear(layer: Layer) -> None:
    """Take away a mount that a killed agent left."""
    if os.path.isdir(layer.mount_point):
        _libc.umount2(os.fsencode(layer.mount_point), _MNT_DETACH)
        try:
            os.rmdir(layer.mount_point)
        except OSError as error:
            # A disk that was cut off takes no changes any more; it is deleted whole.
            if error.errno != errno.EIO:
                raise


def open_image(lowers: tuple[str, ...], mount_point: str) -> int:
    """A descriptor of the image's own merged root, without a writable layer. `mount_point` is made and removed."""
    if len(lowers) == 1:
        return os.open(lowers[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.makedirs(mount_point, mode=0o700, exist_ok=True)
    try:
        with _lowerdir(lowers) as option:
            return _mounted(mount_point, option)
    finally:
        os.rmdir(mount_point)


@contextmanager
def mounted_image(lowers: tuple[str, ...], directory: str) -> Iterator[str]:
    """The image's merged root at a path, to be read by a program that takes no descriptor: below the new `directory`.

    Also of one layer, whose whiteouts are no files of the image. A kill leaves it for `remove_mounted`.
    """
    bottom, merged = os.path.join(directory, "empty"), os.path.join(directory, "merged")
    try:
        os.makedirs(bottom, mode=0o700)
        os.mkdir(merged, 0o700)
        with _lowerdir((*lowers, bottom)) as option:
            _mount_overlay(merged, option, _READ_ONLY)
        yield merged
    finally:
        remove_mounted(directory)


def remove_mounted(directory: str) -> None:
    """May be repeated; nothing of the image is looked at."""
    merged = os.path.join(directory, "merged")
    while _libc.umount2(os.fsencode(merged), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        pass  # mounts lie above each other
    for path in (merged, os.path.join(directory, "empty"), directory):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass  # killed before it was made, or a repeat


@contextmanager
def _lowerdir(lowers: tuple[str, ...]) -> Iterator[str]:
    """The mount option, with descriptors for names: a page has room for more of them than an image may have layers."""
    handles: list[int] = []
    try:
        handles.extend(os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for lower in lowers)
        yield "lowerdir=" + ":".join(f"/proc/self/fd/{handle}" for handle in handles)
    finally:
        for handle in handles:
            os.close(handle)


def _mount_overlay(mount_point: str, options: str, flags: int = 0) -> None:
    target = os.fsencode(mount_point)
    if _libc.mount(b"overlay", target, b"overlay", ctypes.c_ulong(flags), options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), mount_point)


def _mounted(mount_point: str, options: str) -> int:
    """Mount an overlay, copy the mount to where only a descriptor leads, detach it: the copy lives as long as that.

    Not the detached one itself: whoever lets go of anything in it changes the table of all mounts, so that of `..`
    behind a symlink the kernel says for ever that something came between (openat2: EAGAIN).
    """
    _mount_overlay(mount_point, options)
    target = os.fsencode(mount_point)
    try:
        return _copied(target)
    finally:
        _libc.umount2(target, _MNT_DETACH)


def _copied(mount_point: bytes) -> int:
    """open_tree(2)."""
    handle = _libc.syscall(
        ctypes.c_long(_SYS_OPEN_TREE),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(mount_point),
        ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC),
    )
    if handle < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(mount_point))
    return int(handle)


def _open_merged(lowers: tuple[str, ...], layer: Layer) -> int:
    """A descriptor of the merged root whose mount is already detached: it goes away with the descriptor."""
    clear(layer)
    os.mkdir(layer.mount_point, 0o700)
    handles: list[int] = []
    try:
        options = f"lowerdir={':'.join(lowers)},upperdir={layer.upper},workdir={layer.work}"
        if len(options) > _OPTIONS_MAX:
            # Many layers: name the directories by descriptors, which are short.
            handles.extend(os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for lower in lowers)
            short = ":".join(f"/proc/self/fd/{handle}" for handle in handles)
            options = f"lowerdir={short},upperdir={layer.upper},workdir={layer.work}"
        return _mounted(layer.mount_point, options)
    finally:
        for handle in handles:
            os.close(handle)
        os.rmdir(layer.mount_point)
