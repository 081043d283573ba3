"""One read-only erofs of one image's files, made by mkfs.erofs: a program that sees everything of a stranger's image.

Owns how that program is held: it has no network, no name for what it writes, no right but to read any file, and bounds
of size, memory and time; it dies with this process. Blocking. Must not know what is made when or where it is kept.
The same tree gives the same bytes with the same program.
"""

import fcntl
import hashlib
import os
import shutil
import struct
import subprocess

from msgspec import Struct

from .qmp import printable

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_NOBODY = 65534
_MIB = 1 << 20
_SLACK_BYTES = 64 * _MIB
_STACK_BYTES = 64 * _MIB  # it goes into directories by calling itself
_FILES_MAX = 4096  # it holds each directory open on its way down: as many levels as a path's 4096 bytes have
_LAST_WORDS = 300
_SAID_MAX_BYTES = 64 * 1024  # it has a line for each name that it stumbles over, and an image may have millions
_OURS = "1"  # another number when the options below change what is made
# Modification times are the image's: Python's compiled files are worth nothing without. The long form of inodes,
# because the short one is used where a file is as old as the disk. No checksum, because the disk's own time is taken
# out afterwards.
_OPTIONS = ("--quiet", "-d1", "--preserve-mtime", "-Enosbcrc,force-inode-extended")
_SUPER_OFFSET = 1024
_SUPER_MAGIC = 0xE0F5E1E2
_BUILD_TIME = struct.Struct("<QI")
_BUILD_TIME_OFFSET = _SUPER_OFFSET + 24


class CannotPack(Exception):
    """Why, in a sentence for the task's owner; names in it are the image's."""


class Bounds(Struct, frozen=True, kw_only=True):
    size_bytes: int
    memory_bytes: int
    seconds: float


def bounds(unpacked_bytes: int, factor: float, memory_mib: int, seconds: float) -> Bounds:
    """For an image of that size."""
    size = int(unpacked_bytes * factor) + _SLACK_BYTES
    return Bounds(size_bytes=size, memory_bytes=memory_mib * _MIB, seconds=seconds)


def builder_version() -> str:
    """A short name of what decides the bytes beside the tree. Raises CannotPack without mkfs.erofs, OSError."""
    with open(_program("mkfs.erofs", "erofs-utils"), "rb") as file:
        return f"{_OURS}{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def pack(tree: str, target: int, identity: bytes, bounds: Bounds) -> None:
    """The disk of `tree` into the empty file `target`, which is root's again, readable by all and written out.

    `identity`: 16 bytes that are the filesystem's UUID. Raises CannotPack, OSError.
    """
    os.fchown(target, _NOBODY, _NOBODY)
    os.fchmod(target, 0o600)
    said = _paper()
    try:
        done = subprocess.run(
            [*_held(bounds), *_OPTIONS, "-U", _uuid(identity), f"/proc/self/fd/{target}", tree],
            env={"PATH": _PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=(target,),
            cwd="/",
            check=False,
            timeout=bounds.seconds,
        )
    except subprocess.TimeoutExpired:
        raise CannotPack(f"its disk was not made within {bounds.seconds:.0f} seconds") from None
    else:
        words = os.pread(said, os.lseek(said, 0, os.SEEK_CUR), 0)  # the program has written by our own place in it
    finally:
        os.close(said)
        os.fchown(target, 0, 0)
    if done.returncode != 0:
        raise CannotPack(_why(done.returncode, words, tree, bounds))
    _take_time_out(target)
    os.fchmod(target, 0o444)
    os.fsync(target)  # under its final name it is believed, also after the machine lost its power


def _paper() -> int:
    """A file in memory for what a program says, which takes so much and no more: what comes then is lost."""
    made = os.memfd_create("said", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(made, _SAID_MAX_BYTES)
    fcntl.fcntl(made, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return made


def _held(bounds: Bounds) -> list[str]:
    """The program, and before it those that take away what it does not need, each becoming the next."""
    memory, size = bounds.memory_bytes, bounds.size_bytes
    right = "-all,+dac_read_search"
    return [
        *(_program("ionice"), "-c2", "-n7", _program("nice", "coreutils"), "-n10"),
        *(_program("unshare"), "--net", "--ipc", "--uts"),
        *(_program("prlimit"), f"--fsize={size}", f"--as={memory}", f"--stack={_STACK_BYTES}", "--core=0:0"),
        *(f"--nofile={_FILES_MAX}", f"--cpu={int(bounds.seconds) + 1}"),
        *(_program("setpriv"), f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--no-new-privs"),
        *(f"--bounding-set={right}", f"--inh-caps={right}", f"--ambient-caps={right}", "--pdeathsig=KILL"),
        _program("mkfs.erofs", "erofs-utils"),
    ]


def _program(name: str, package: str = "util-linux") -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise CannotPack(f"{name} is missing on the host (package {package})")
    return found


def _why(status: int, said: bytes, tree: str, bounds: Bounds) -> str:
    if status == -25:  # SIGXFSZ
        return f"its files take more than the {bounds.size_bytes // _MIB} MiB that a disk of its size may take"
    # A name may have any bytes, also those that a terminal obeys.
    words = " ".join(printable(said.decode(errors="replace").replace(tree, ""), len(said)).split())
    if "No space left on device" in words:
        return "no space left on device"
    if "Cannot allocate memory" in words or "ENOMEM" in words:
        # Also of paths that are longer than the kernel's: it cuts them and walks in a circle.
        return "it is too deep, or has more files than fit into the memory for making its disk"
    # Its last words: before them lies the file's path, which may be long.
    return f"mkfs.erofs ended with {status}: {words if len(words) < _LAST_WORDS else '...' + words[-_LAST_WORDS:]}"


def _take_time_out(target: int) -> None:
    """When the disk was made is the only thing in it that another host would say differently."""
    (magic,) = struct.unpack("<I", os.pread(target, 4, _SUPER_OFFSET))
    if magic != _SUPER_MAGIC:
        raise CannotPack("mkfs.erofs made something else")
    os.pwrite(target, bytes(_BUILD_TIME.size), _BUILD_TIME_OFFSET)


def _uuid(identity: bytes) -> str:
    text = identity.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))
