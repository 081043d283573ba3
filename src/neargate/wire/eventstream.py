"""Messages of `application/vnd.amazon.eventstream`: what streams events to AWS's clients over one HTTP answer. Pure.

A message is a prelude (both lengths and their CRC), headers, a payload and the CRC of it all; all numbers are
big-endian. Source: "Amazon event stream" in the Smithy specification. Only headers that are text are written.
"""

import struct
import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_PRELUDE = struct.Struct("!II")
_CRC = struct.Struct("!I")
_TEXT = 7  # the type of a header's value


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    packed = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    size = _PRELUDE.size + _CRC.size + len(packed) + len(payload) + _CRC.size
    prelude = _PRELUDE.pack(size, len(packed))
    whole = b"".join((prelude, _CRC.pack(zlib.crc32(prelude)), packed, payload))
    return whole + _CRC.pack(zlib.crc32(whole))


def event(name: str, payload: bytes, content_type: str) -> bytes:
    return message({":message-type": "event", ":event-type": name, ":content-type": content_type}, payload)


def exception(name: str, payload: bytes, content_type: str) -> bytes:
    """A modelled error in the middle of a stream, which ends with it."""
    return message({":message-type": "exception", ":exception-type": name, ":content-type": content_type}, payload)


def _header(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + bytes((_TEXT,)) + struct.pack("!H", len(value)) + value
