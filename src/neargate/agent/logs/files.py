"""The blocking part of log shipping: sizes, reads and holes of log files, in one call per round on one lane.

Must not know streams or servers. Invariant: a hole is punched only over whole file-system blocks, so that what lies
beyond it is untouched and `first_data` never points behind bytes that were not shipped.
"""

import ctypes
import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

LANE = "agent-logs"
_BLOCK = 4096
_EVENT_STARTS = ".event-starts"  # no containers' names
_OFFSETS = ".offsets"
_BESIDE = (_EVENT_STARTS, _OFFSETS)
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Ask(Struct, frozen=True, kw_only=True):
    """`read_at` None: only the size. `punch`: (from, to) to give back. `final`: the writer had ended before this."""

    descriptor: int
    read_at: int | None
    read_max: int
    unless_size: int  # nothing is read when the file still has this size
    final: bool = False
    punch: tuple[int, int] | None = None


class Answer(Struct, frozen=True, kw_only=True):
    size: int
    data: bytes = b""


def scan(asks: Sequence[Ask], budget: int) -> list[Answer]:
    """All files of a round. `budget` bounds the bytes read in all. A disk that fails in one file is not the others'."""
    answers: list[Answer] = []
    for ask in asks:
        if ask.punch is not None:
            with suppress(OSError):  # its blocks stay for now, as where files have no holes
                punch(ask.descriptor, *ask.punch)
        size = os.fstat(ask.descriptor).st_size
        data = b""
        if ask.read_at is not None and size > ask.read_at and size != ask.unless_size and budget > 0:
            with suppress(OSError):  # asked again in the next round
                data = os.pread(ask.descriptor, min(ask.read_max, budget), ask.read_at)
            budget -= len(data)
        answers.append(Answer(size=size, data=data))
    return answers


def open_log(path: Path) -> int:
    """The file exists before its writer, so that it can be followed from the first byte."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def keep_event_start(path: Path, expression: str) -> None:
    """Beside the log, for an agent that finds the log without its task. Only a whole file is ever seen."""
    _keep(path, _EVENT_STARTS, expression)


def kept_event_start(path: Path) -> str | None:
    """After a power cut it may be cut short anywhere."""
    return _kept(path, _EVENT_STARTS)


def keep_offset(path: Path, offset: int) -> None:
    """What lies before it was received by one who keeps no offset. It outlives this process, not a power cut."""
    _keep(path, _OFFSETS, str(offset))


def kept_offset(path: Path) -> int:
    text = _kept(path, _OFFSETS) or ""
    return int(text) if text.isascii() and text.isdecimal() else 0


def _keep(path: Path, folder: str, text: str) -> None:
    beside = path.parent / folder / path.name
    if _kept(path, folder) == text:
        return  # a full disk is asked for nothing
    beside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = beside.parent / folder
    written.write_text(text, "utf-8")
    written.rename(beside)


def _kept(path: Path, folder: str) -> str | None:
    try:
        return (path.parent / folder / path.name).read_text("utf-8", "replace")
    except FileNotFoundError:
        return None


def remove_log(path: Path) -> None:
    """The log goes last: what is found without it belongs to nobody."""
    folders = [path.parent / folder for folder in _BESIDE]
    for folder in folders:
        for name in (path.name, folder.name):  # the latter was never wholly written
            (folder / name).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    for folder in (*folders, path.parent):
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise


def punch(descriptor: int, begin: int, end: int) -> None:
    """Give the blocks back; the size and the writer's position stay."""
    end -= end % _BLOCK
    begin -= begin % _BLOCK
    if end <= begin:
        return
    if _libc.fallocate(descriptor, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, begin, end - begin) != 0:
        code = ctypes.get_errno()
        # A file system without holes keeps the bytes until the task ends: more disk, nothing lost.
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise OSError(code, os.strerror(code))


def first_data(descriptor: int) -> int:
    """Offset of the first byte that was not given back."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return os.fstat(descriptor).st_size
        if error.errno == errno.EINVAL:
            return 0
        raise


def leftover_logs(root: Path) -> list[tuple[str, str]]:
    """(task id, container) of every log file on this host."""
    if not root.is_dir():
        return []
    return sorted((path.parent.name, path.name) for path in root.glob("*/*") if path.is_file())
