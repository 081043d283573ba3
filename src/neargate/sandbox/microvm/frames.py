"""Protocol 2 as bytes: its numbers, and what the host writes. The table: docs/decisions/0053-microvm-engine.md.

A frame is u32 length of the payload, u8 type, u32 stream, payload; little endian. What a guest says: `messages.py`.
"""

import struct
from enum import IntEnum
from typing import Final

PROTOCOL: Final = 2
SPEAKS: Final = frozenset({PROTOCOL})  # protocols of guests that this release can serve
PAYLOAD_MAX_BYTES: Final = 65536  # of a frame to the guest
SAID_MAX_BYTES: Final = 32768 - 9  # of a frame of the guest: with its header as much as its port takes at once
NONCE_CHARS: Final = 32
INPUT_MAX_BYTES: Final = 65536  # of a stream, sent and not taken
SPOOL_MAX_BYTES: Final = 256 * 1024  # of a stream, produced and not acknowledged
STREAM_MAX: Final = 2**32 - 1

HEADER: Final = struct.Struct("<IBI")
HEADER_BYTES: Final = HEADER.size
_RUN = struct.Struct("<IHH")
_COUNT = struct.Struct("<I")
_CLOCK = struct.Struct("<QI")
_FILE = struct.Struct("<IIIB")
_DIRECTORY = struct.Struct("<III")
_MOUNT = struct.Struct("<I")
_WINDOW = struct.Struct("<QQ")
_SIZE = struct.Struct("<HH")


class Ask(IntEnum):
    """Types of frames to the guest."""

    HELLO = 1
    RUN = 2
    INPUT = 3
    SIGNAL = 4
    CLOCK = 5
    ENTROPY = 6
    FILE = 7
    DISKS = 8
    MOUNT = 9
    DIRECTORY = 10
    NETLINK = 11
    WINDOW = 12
    RESIZE = 13
    FORGET = 14
    READ = 15


class Say(IntEnum):
    """Types of frames to the host."""

    HELLO = 1
    OUTPUT = 16
    ENDED = 17
    EXIT = 18
    FAILED = 19
    DONE = 20
    CONTENT = 21
    STARTED = 22
    TAKEN = 23
    STREAM = 24


RUN_TERMINAL: Final = 1
RUN_CONTAINER: Final = 2
RUN_KEPT: Final = 4


def frame(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """Raises ValueError: what is longer than a frame may be, by whoever asked for it."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise ValueError(f"{len(payload)} bytes are more than a frame holds")
    return HEADER.pack(len(payload), kind, stream) + payload


def words(*each: str) -> bytes:
    """Each ended by a NUL. Raises ValueError for one that has a NUL in it."""
    for word in each:
        if "\0" in word:
            raise ValueError("a word for a guest has no NUL")
    return b"".join(word.encode(errors="surrogateescape") + b"\0" for word in each)


def run_payload(flags: int, columns: int, rows: int, command: tuple[str, ...]) -> bytes:
    return _RUN.pack(flags, columns, rows) + words(*command)


def clock_payload(now: float) -> bytes:
    seconds = int(now)
    return _CLOCK.pack(seconds, min(int((now - seconds) * 1e9), 999_999_999))


def count_payload(count: int) -> bytes:
    return _COUNT.pack(count)


def file_payload(path: str, part: bytes, *, mode: int, uid: int, gid: int, is_more: bool) -> bytes:
    return _FILE.pack(mode, uid, gid, is_more) + words(path) + part


def file_room_bytes(path: str) -> int:
    """How much of a file one frame takes."""
    return PAYLOAD_MAX_BYTES - _FILE.size - len(words(path))


def directory_payload(path: str, *, mode: int, uid: int, gid: int) -> bytes:
    return _DIRECTORY.pack(mode, uid, gid) + words(path)


def mount_payload(source: str, target: str, kind: str, *, flags: int, data: str) -> bytes:
    return _MOUNT.pack(flags) + words(source, target, kind, data)


def window_payload(acknowledged: int, limit: int) -> bytes:
    return _WINDOW.pack(acknowledged, limit)


def size_payload(columns: int, rows: int) -> bytes:
    return _SIZE.pack(columns, rows)
