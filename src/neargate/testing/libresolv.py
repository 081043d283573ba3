"""The C library's reading and writing of DNS messages: an independent implementation to hold our own against."""

import ctypes

from msgspec import Struct

_PRINTED_MAX = 4096
_MESSAGE_BYTES = 512  # more than the library's own record of a message takes
_SECTIONS = ("question", "answer", "authority", "additional")


class _Record(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * 1025),
        ("type", ctypes.c_uint16),
        ("network", ctypes.c_uint16),
        ("ttl", ctypes.c_uint32),
        ("length", ctypes.c_uint16),
        ("data", ctypes.c_void_p),
    )


class Unreadable(Exception):
    """The C library says that it is no message."""


class Seen(Struct, frozen=True):
    """`records` by section, each printed as in a zone file, blanks made one."""

    number: int
    flags: int
    records: dict[str, list[str]]

    @property
    def outcome(self) -> int:
        return self.flags & 0xF


def read(message: bytes) -> Seen:
    """Raises Unreadable."""
    library = ctypes.CDLL("libresolv.so.2")
    held = ctypes.create_string_buffer(_MESSAGE_BYTES)
    if library.ns_initparse(message, len(message), held) < 0:
        raise Unreadable
    records: dict[str, list[str]] = {section: [] for section in _SECTIONS}
    for at, section in enumerate(_SECTIONS):
        count = int.from_bytes(message[4 + 2 * at : 6 + 2 * at], "big")
        for number in range(count):
            records[section].append(_printed(library, held, at, number))
    return Seen(int.from_bytes(message[:2], "big"), int.from_bytes(message[2:4], "big"), records)


def _printed(library: ctypes.CDLL, held: "ctypes.Array[ctypes.c_char]", section: int, number: int) -> str:
    record = _Record()
    if library.ns_parserr(held, section, number, ctypes.byref(record)) < 0:
        raise Unreadable
    if section == 0 or record.type == 41:
        return f"{record.name.decode('latin-1')}. {record.type}"
    text = ctypes.create_string_buffer(_PRINTED_MAX)
    if library.ns_sprintrr(held, ctypes.byref(record), None, None, text, _PRINTED_MAX) < 0:
        raise Unreadable
    return " ".join(text.value.decode("latin-1").split())


def query(name: str, kind: int, *, network: int = 1) -> bytes:
    """As the C library asks."""
    held = ctypes.create_string_buffer(_MESSAGE_BYTES)
    library = ctypes.CDLL("libresolv.so.2")
    size = library.res_mkquery(0, name.encode(), network, kind, None, 0, None, held, len(held))
    if size < 0:
        raise Unreadable
    return held.raw[:size]
