"""What a guest's bytes say, as typed messages.

Owns every rule that one frame alone can break: lengths, types, numbers out of range. Must not know which streams there
are. Invariant: any bytes give messages or one `GuestBroke`, and no more than one frame is kept that is not whole.
"""

import struct
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from .errors import GuestBroke
from .frames import HEADER, HEADER_BYTES, RUN_CONTAINER, RUN_KEPT, RUN_TERMINAL, SAID_MAX_BYTES, SPOOL_MAX_BYTES, Say

HELLO_MAX_BYTES: Final = 1024
_KERNEL_MAX_CHARS = 128
_OFFSET_MAX = 2**62  # nobody writes that much
_RUN_FLAGS = RUN_TERMINAL | RUN_CONTAINER | RUN_KEPT
_ERRNO_MAX = 4095
_CODE_MAX = 255
_PID_MAX = 2**31 - 1
_U64 = struct.Struct("<Q")
_I32 = struct.Struct("<i")
_STREAM = struct.Struct("<IiBiBQQ")


class Introduction(Struct, frozen=True):
    """What a guest says of itself. Fields that are not known here are passed over."""

    protocol: int
    kernel: str


class Hello(Struct, frozen=True):
    introduction: Introduction
    nonce: str  # empty: said at the start, unasked


class Output(Struct, frozen=True, gc=False):
    stream: int
    offset: int
    data: bytes


class Ended(Struct, frozen=True, gc=False):
    """`length`: of the whole output, whose last byte was sent before."""

    stream: int
    length: int


class Exited(Struct, frozen=True, gc=False):
    stream: int
    code: int  # 0 to 255


class Failed(Struct, frozen=True, gc=False):
    stream: int
    errno: int


class Done(Struct, frozen=True, gc=False):
    stream: int


class Content(Struct, frozen=True, gc=False):
    stream: int
    data: bytes


class Started(Struct, frozen=True, gc=False):
    stream: int
    pid: int


class Taken(Struct, frozen=True, gc=False):
    """`total`: bytes of input since the connection's HELLO that the process was given, or nobody can take any more."""

    stream: int
    total: int


class StreamTold(Struct, frozen=True, gc=False, kw_only=True):
    """A kept process that there was before this connection. `pid` 0: a container that has none yet, or never had."""

    stream: int
    flags: int
    pid: int
    exit_code: int | None
    output_ended: bool
    acknowledged: int
    produced: int


Message = Hello | Output | Ended | Exited | Failed | Done | Content | Started | Taken | StreamTold


class Decoder:
    """Fed with bytes, gives messages. After a `GuestBroke` it is of no use any more."""

    def __init__(self, fed: bytes = b"") -> None:
        self._fed = bytearray(fed)
        self._at = 0

    @property
    def kept_bytes(self) -> int:
        return len(self._fed) - self._at

    def feed(self, data: bytes) -> None:
        """Take all messages before the next one."""
        del self._fed[: self._at]
        self._at = 0
        self._fed += data

    def next(self) -> Message | None:
        """None: the rest of it has not come yet. Raises GuestBroke."""
        if self.kept_bytes < HEADER_BYTES:
            return None
        length, kind, stream = HEADER.unpack_from(self._fed, self._at)
        if length > SAID_MAX_BYTES:
            raise GuestBroke(f"The guest announced a frame of {length} bytes.")
        if self.kept_bytes < HEADER_BYTES + length:
            return None
        begin = self._at + HEADER_BYTES
        self._at = begin + length
        return message(kind, stream, bytes(self._fed[begin : self._at]))


def message(kind: int, stream: int, payload: bytes) -> Message:
    """What one frame says. Raises GuestBroke."""
    if (kind == Say.HELLO) != (stream == 0):
        raise GuestBroke(f"The guest sent a frame of type {kind} for stream {stream}.")
    try:
        return _message(kind, stream, payload)
    except (struct.error, ValueError, msgspec.MsgspecError, RecursionError):
        raise GuestBroke(f"The guest sent a frame of type {kind} that is none.") from None


def _message(kind: int, stream: int, payload: bytes) -> Message:
    match kind:
        case Say.OUTPUT:
            (offset,) = _U64.unpack_from(payload)
            return Output(stream, _within(offset, 0, _OFFSET_MAX), _some(payload[_U64.size :]))
        case Say.ENDED:
            return Ended(stream, _number(_U64, payload, 0, _OFFSET_MAX))
        case Say.EXIT:
            return Exited(stream, _number(_I32, payload, 0, _CODE_MAX))
        case Say.FAILED:
            return Failed(stream, _number(_I32, payload, 1, _ERRNO_MAX))
        case Say.DONE:
            return Done(stream) if not payload else _broken()
        case Say.CONTENT:
            return Content(stream, payload)
        case Say.STARTED:
            return Started(stream, _number(_I32, payload, 1, _PID_MAX))
        case Say.TAKEN:
            return Taken(stream, _number(_U64, payload, 1, _OFFSET_MAX))
        case Say.STREAM:
            return _told(stream, payload)
        case Say.HELLO:
            return hello(payload)
        case _:
            return _broken()


def hello(payload: bytes) -> Hello:
    """JSON, then the nonce where the host gave one. Raises ValueError."""
    if len(payload) > HELLO_MAX_BYTES:
        raise ValueError("a hello is short")
    text, brace, nonce = payload.rpartition(b"}")
    introduction = msgspec.json.decode(text + brace, type=Introduction)
    if len(introduction.kernel) > _KERNEL_MAX_CHARS or not introduction.kernel.isprintable():
        raise ValueError("not the name of a kernel")
    return Hello(introduction, nonce.decode("ascii"))


def _told(stream: int, payload: bytes) -> StreamTold:
    flags, pid, exited, code, ended, acknowledged, produced = _STREAM.unpack(payload)
    if not flags & RUN_KEPT or flags & ~_RUN_FLAGS or exited > 1 or ended > 1:
        raise ValueError("no stream that is kept")
    return StreamTold(
        stream=stream,
        flags=flags,
        pid=_within(pid, 0 if flags & RUN_CONTAINER else 1, _PID_MAX),
        exit_code=_within(code, 0, _CODE_MAX) if exited else None,
        output_ended=bool(ended),
        acknowledged=_within(acknowledged, 0, _OFFSET_MAX),
        produced=_within(produced, acknowledged, acknowledged + SPOOL_MAX_BYTES),
    )


def _number(form: struct.Struct, payload: bytes, least: int, most: int) -> int:
    (value,) = form.unpack(payload)
    return _within(value, least, most)


def _within(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ValueError("out of range")
    return value


def _some(data: bytes) -> bytes:
    return data or _broken()


def _broken() -> NoReturn:
    raise ValueError("not of this protocol")
