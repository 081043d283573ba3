"""Looking at and making things inside a root that belongs to somebody hostile.

Owns: openat2 with RESOLVE_IN_ROOT: symlinks, absolute ones too, end inside the root; magic links and other mounts are
never followed. Every path below an image goes through here. Invariant: no function opens a device, a fifo or a socket.
"""

import ctypes
import errno
import os
import stat

_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_DEPTH_MAX = 64
_RACES_MAX = 128
_KERNELS = ("/proc/", "/sys/", "/dev/")

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_rooted(root: int, path: str, flags: int) -> int:
    """openat2 below the directory `root`; raises OSError. The caller closes the descriptor."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV)
    code = 0
    for _ in range(_RACES_MAX):
        handle = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(os.fsencode(path or "/")),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if handle >= 0:
            return int(handle)
        code = ctypes.get_errno()
        if code != errno.EAGAIN:
            break  # else a rename or mount anywhere came between: with `..` the kernel cannot tell where it is
    raise OSError(code, os.strerror(code), path)


def read_rooted(root: int, path: str, max_bytes: int) -> bytes:
    """A regular file's first bytes; nothing when it is missing, is something else, or cannot be resolved."""
    try:
        # O_PATH first: opening a device or a fifo for reading would already do something.
        handle = open_rooted(root, path, os.O_PATH)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b""
        reader = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(handle)
    with open(reader, "rb") as file:
        return file.read(max_bytes)


def make_directory(root: int, path: str) -> None:
    """Like `mkdir -p`, inside the root, with mode 0755. Raises OSError when something else is in the way."""
    _make_parents(root, path, is_file=False)


def set_directory_mode(root: int, path: str, mode: int) -> None:
    handle = open_rooted(root, path, os.O_PATH | os.O_DIRECTORY)
    try:
        os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)


def exists(root: int, path: str) -> bool:
    try:
        os.close(open_rooted(root, path, os.O_PATH))
    except OSError:
        return False
    return True


def make_mount_target(root: int, path: str, *, is_file: bool) -> None:
    """A directory or an empty file at `path`, with its parents, so that a runtime finds it and makes nothing itself."""
    _make_parents(root, path, is_file=is_file)


def check_data_target(root: int, path: str) -> None:
    """Raises OSError where a symlink of the image leads to a file system of the kernel's, or a directory is there.

    `root` is a mount of its own, so that the kernel names what was resolved from there on.
    """
    handle = open_rooted(root, path, os.O_PATH)
    try:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if os.readlink(f"/proc/self/fd/{handle}").startswith(_KERNELS):
            raise PermissionError(errno.EPERM, "it leads to /proc, /sys or /dev", path)
    finally:
        os.close(handle)


def _make_parents(root: int, path: str, *, is_file: bool) -> None:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(parts) > _DEPTH_MAX or ".." in parts:
        raise OSError(22, "invalid path in the container", path)
    for depth in range(1, len(parts) + 1):
        here = "/".join(parts[:depth])
        last_is_file = is_file and depth == len(parts)
        try:
            os.close(open_rooted(root, here, os.O_PATH | (0 if last_is_file else os.O_DIRECTORY)))
            continue
        except FileNotFoundError:
            pass
        parent = open_rooted(root, "/".join(parts[: depth - 1]) or "/", os.O_PATH | os.O_DIRECTORY)
        try:
            _make_one(parent, parts[depth - 1], is_file=last_is_file)
        finally:
            os.close(parent)


def _make_one(parent: int, name: str, *, is_file: bool) -> None:
    """The parent is an open directory inside the root and `name` has no slash: nothing is left to resolve.

    A dangling symlink of that name makes this fail with EEXIST, which is right: it leads to nothing in the image.
    """
    if is_file:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    else:
        os.mkdir(name, 0o755, dir_fd=parent)
