"""Which name the first bytes of a connection ask for: HTTP's Host header, or the server name of TLS. Pure.

Bytes are a stranger's: what is none of both asks for no name. Owns no more of either protocol than that.
"""

import re

HEAD_MAX_BYTES = 16_384
_HANDSHAKE, _CLIENT_HELLO, _SERVER_NAME = 0x16, 1, 0
_REQUEST = re.compile(rb"[A-Za-z]+ [^\r\n]* HTTP/1\.[01]\r\n")
_HOST = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*)", re.IGNORECASE)


def asked_name(data: bytes) -> str | None:
    """In lower case, without a port; empty: none. None: it is not known before more bytes have come."""
    if not data:
        return None
    if data[0] == _HANDSHAKE:
        try:
            return _of_tls(data)
        except IndexError:
            return None if len(data) < HEAD_MAX_BYTES else ""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None if len(data) < HEAD_MAX_BYTES and _may_be_http(data) else ""
    found = _HOST.search(data, 0, end)
    return _plain(found[1]) if found is not None else ""


def is_http(data: bytes) -> bool:
    """Whether a whole head of HTTP/1 is there."""
    return _REQUEST.match(data) is not None and b"\r\n\r\n" in data


def _may_be_http(data: bytes) -> bool:
    return data[:1].isalpha()


def _plain(host: bytes) -> str:
    return host.strip().rpartition(b":")[0].decode("latin-1").lower() if b":" in host else _lower(host)


def _lower(host: bytes) -> str:
    return host.strip().decode("latin-1").lower()


class _Reader:
    """Raises IndexError at the end of what has come."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise IndexError
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)


def _of_tls(data: bytes) -> str:
    """RFC 8446 4.1.2, RFC 6066 3. A hello over several records asks for none that is looked for here."""
    outer = _Reader(data)
    outer.take(3)
    record = _Reader(outer.take(outer.number(2)))
    try:
        if record.number(1) != _CLIENT_HELLO:
            return ""
        hello = _Reader(record.take(record.number(3)))
        hello.take(34)
        hello.take(hello.number(1))
        hello.take(hello.number(2))
        hello.take(hello.number(1))
        extensions = _Reader(hello.take(hello.number(2)))
        while not extensions.is_over:
            kind, value = extensions.number(2), extensions.take(extensions.number(2))
            if kind == _SERVER_NAME:
                names = _Reader(value)
                names.take(3)
                return _lower(names.take(names.number(2)))
    except IndexError:
        return ""
    return ""
