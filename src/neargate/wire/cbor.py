"""CBOR (RFC 8949) as smithy rpc-v2-cbor needs it: bytes to plain values and back. Pure.

The bytes are a stranger's: depth, number of items and kinds of tags are bounded, every length is checked against the
bytes that are there before anything is made of it. Of the tags only 1 (a moment) has a meaning here.
"""

import struct
from typing import Any

from .timestamps import bounded

DEPTH_MAX = 64
ITEMS_MAX = 25_000
_BREAK = 0xFF
_INDEFINITE = 31
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}


class MalformedCbor(Exception):
    """The message says what is wrong, without quoting the bytes."""


class Moment(float):
    """Epoch seconds that are written with tag 1, and were read from under it."""


def decode(data: bytes) -> Any:
    """One value. Numbers, str, bytes, bool, None, Moment, lists, and dicts with str keys. Raises MalformedCbor."""
    reader = _Reader(data)
    value = reader.item(0)
    if reader.at != len(data):
        raise MalformedCbor("there are bytes behind the value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._items_left = ITEMS_MAX

    def item(self, depth: int) -> Any:
        major, info = self._head()
        if depth > DEPTH_MAX:
            raise MalformedCbor("the value is nested too deeply")
        self._items_left -= 1
        if self._items_left < 0:
            raise MalformedCbor("there are too many values")
        match major:
            case 0:
                return self._number(info)
            case 1:
                return -1 - self._number(info)
            case 2 | 3:
                return self._string(major, info)
            case 4:
                return self._list(info, depth)
            case 5:
                return self._map(info, depth)
            case 6:
                return self._tagged(info, depth)
        return self._simple(info)

    def _head(self) -> tuple[int, int]:
        initial = self._take(1)[0]
        return initial >> 5, initial & 31

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise MalformedCbor("the value ends too early")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def _number(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise MalformedCbor("a length or number has no such form")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _length(self, info: int) -> int:
        """Of a list or map: each element takes a byte at least."""
        length = self._number(info)
        if length > len(self._data) - self.at:
            raise MalformedCbor("the value ends too early")
        return length

    def _is_break(self) -> bool:
        if self.at >= len(self._data):
            raise MalformedCbor("the value ends too early")
        if self._data[self.at] != _BREAK:
            return False
        self.at += 1
        return True

    def _string(self, major: int, info: int) -> str | bytes:
        if info == _INDEFINITE:
            chunks = []
            while not self._is_break():
                inner, inner_info = self._head()
                self._items_left -= 1
                if inner != major or self._items_left < 0:
                    raise MalformedCbor("a string's piece is not a string")
                chunks.append(self._take(self._number(inner_info)))
            raw = b"".join(chunks)
        else:
            raw = self._take(self._number(info))
        if major == 2:
            return raw
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise MalformedCbor("a text is not UTF-8") from None

    def _list(self, info: int, depth: int) -> list[Any]:
        if info != _INDEFINITE:
            return [self.item(depth + 1) for _ in range(self._length(info))]
        items = []
        while not self._is_break():
            items.append(self.item(depth + 1))
        return items

    def _map(self, info: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if info != _INDEFINITE:
            for _ in range(self._length(info)):
                self._pair(found, depth)
        else:
            while not self._is_break():
                self._pair(found, depth)
        return found

    def _pair(self, found: dict[str, Any], depth: int) -> None:
        key = self.item(depth + 1)
        if not isinstance(key, str) or key in found:
            raise MalformedCbor("a map's keys must be texts, each given once")
        found[key] = self.item(depth + 1)

    def _tagged(self, info: int, depth: int) -> Moment:
        if self._number(info) != 1:
            raise MalformedCbor("the only tag that is understood is 1, a moment")
        value = self.item(depth + 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or bounded(value) is None:
            raise MalformedCbor("a moment must be a number of seconds since 1970")
        return Moment(value)

    def _simple(self, info: int) -> Any:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info not in _FLOATS:
            raise MalformedCbor("a simple value has no such form")
        form, size = _FLOATS[info]
        return struct.unpack(form, self._take(size))[0]


def encode(value: Any) -> bytes:
    """`value` as `decode` gives it. Raises TypeError for anything else, which is a bug of ours."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:
    match value:
        case None:
            parts.append(b"\xf6")
        case bool():
            parts.append(b"\xf5" if value else b"\xf4")
        case str():
            raw = value.encode("utf-8", "replace")
            parts += (_opened(3, len(raw)), raw)
        case Moment():
            parts.append(b"\xc1")
            _write(int(value) if value.is_integer() else float(value), parts)
        case int():
            parts.append(_opened(0, value) if value >= 0 else _opened(1, -1 - value))
        case float():
            parts.append(b"\xfb" + struct.pack(">d", value))
        case bytes():
            parts += (_opened(2, len(value)), value)
        case dict():
            parts.append(_opened(5, len(value)))
            for key, item in value.items():
                _write(key, parts)
                _write(item, parts)
        case list() | tuple():
            parts.append(_opened(4, len(value)))
            for item in value:
                _write(item, parts)
        case _:
            raise TypeError(f"CBOR has no form for {type(value).__name__}")


def _opened(major: int, size: int) -> bytes:
    """The first bytes of an item in their shortest form."""
    if size < 24:
        return bytes((major << 5 | size,))
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size < 1 << (8 * width):
            return bytes((major << 5 | info,)) + size.to_bytes(width, "big")
    raise TypeError("CBOR has no form for a number of more than 64 bits")
