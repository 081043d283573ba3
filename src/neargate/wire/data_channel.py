"""Frames of a session's data channel, as clients of Session Manager speak them: bytes in, a message out, and back.

Owns the layout: a header of 120 bytes (lengths and numbers big-endian, the type padded with spaces), then the payload
that its SHA-256 is for. Must not know what a message means (exec_session.py). Invariant: a frame is whole and says the
truth about itself, or it is refused; nothing is read beyond its bounds.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable

from ..model.concealed import Concealed
from ..model.ids import uuid4

HEADER_BYTES = 120
FRAME_MAX_BYTES = 64 * 1024
PAYLOAD_MAX_BYTES = FRAME_MAX_BYTES - HEADER_BYTES

INPUT = "input_stream_data"
OUTPUT = "output_stream_data"
ACKNOWLEDGE = "acknowledge"
CHANNEL_CLOSED = "channel_closed"

# Kinds of payload.
DATA = 1
SIZE = 3
HANDSHAKE_REQUEST = 5
HANDSHAKE_RESPONSE = 6
HANDSHAKE_COMPLETE = 7
CHALLENGE_REQUEST = 8
CHALLENGE_RESPONSE = 9
FLAG = 10
EXIT_CODE = 12

# Bits of `flags`.
SYN = 1
FIN = 2

_LENGTH_STATED = HEADER_BYTES - 4  # the payload's own length is not counted
_TYPE_BYTES = 32
_HEAD = struct.Struct(">I32sIQqQ16s32sII")
_VERSION = 1


class BadFrame(Exception):
    """What came is no frame. The message quotes nothing of it."""


class Frame(Concealed, frozen=True, kw_only=True):
    """`id`: a UUID's text. `created_ms`: since the epoch. `payload_kind` is 0 where the type says it all.

    The payload may be what somebody types, a secret too.
    """

    type: str
    sequence: int
    flags: int = 0
    id: str
    created_ms: int
    payload_kind: int = 0
    payload: bytes = b""


def new_frame(
    name: str,
    sequence: int,
    kind: int,
    payload: bytes,
    *,
    created_ms: int,
    random_bits: Callable[[int], int],
    flags: int = 0,
) -> Frame:
    return Frame(
        type=name,
        sequence=sequence,
        flags=flags,
        id=uuid4(random_bits),
        created_ms=created_ms,
        payload_kind=kind,
        payload=payload,
    )


def encode(frame: Frame) -> bytes:
    return (
        _HEAD.pack(
            _LENGTH_STATED,
            frame.type.encode("ascii").ljust(_TYPE_BYTES),
            _VERSION,
            frame.created_ms,
            frame.sequence,
            frame.flags,
            _swapped(bytes.fromhex(frame.id.replace("-", ""))),
            hashlib.sha256(frame.payload).digest(),
            frame.payload_kind,
            len(frame.payload),
        )
        + frame.payload
    )


def decode(data: bytes) -> Frame:
    """Raises BadFrame."""
    if not HEADER_BYTES <= len(data) <= FRAME_MAX_BYTES:
        raise BadFrame(f"a frame of {len(data)} bytes")
    stated, name, version, created_ms, sequence, flags, raw_id, digest, kind, length = _HEAD.unpack_from(data)
    payload = data[HEADER_BYTES:]
    if stated != _LENGTH_STATED:
        raise BadFrame(f"a header of {stated} bytes")
    if version != _VERSION:
        raise BadFrame(f"schema version {version}")
    if length != len(payload):
        raise BadFrame(f"a payload of {len(payload)} bytes that says {length}")
    if sequence < 0:
        raise BadFrame("a negative sequence number")
    # A payload of nothing has a digest in some clients and none in others.
    if payload and not hmac.compare_digest(hashlib.sha256(payload).digest(), digest):
        raise BadFrame("the payload is not what its digest says")
    return Frame(
        type=_name(name),
        sequence=sequence,
        flags=flags,
        id=_text(_swapped(raw_id)),
        created_ms=created_ms,
        payload_kind=kind,
        payload=payload,
    )


def _name(field: bytes) -> str:
    text = field.rstrip(b" \0")
    if not text or not all(byte == 0x5F or 0x61 <= byte <= 0x7A for byte in text):
        raise BadFrame("a message type that is none")
    return text.decode("ascii")


def _text(raw: bytes) -> str:
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _swapped(raw: bytes) -> bytes:
    """Of an id the last eight bytes come first."""
    return raw[8:] + raw[:8]
