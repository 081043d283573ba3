"""One bounded GET over https, to an address that was judged. Blocking: runs on a lane of its own.

Owns the rule that whoever may name a provider does not reach this machine or its private network by it: addresses that
are not public are for hosts that the operator named. The name is looked up once and what was judged is dialled.
Redirects are not followed, certificates are always checked: by the system's authorities (or SSL_CERT_FILE), and by the
provider's thumbprints where these do not know the certificate's (thumbprints.py).
"""

import encodings.idna  # noqa: F401 - which getaddrinfo looks for, where the server may no longer read the library
import http.client
import io
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from msgspec import Struct

from ....sandbox.pull.dialling import connect_first, host_and_port, is_local, is_named
from .thumbprints import WrongThumbprint, served_chain, trusting

_ADDRESSES_MAX = 4  # of one name that are tried
_HEAD_MAX_BYTES = 32_768
_URL_MAX = 2048
_UNKNOWN_AUTHORITY = frozenset({18, 19, 20, 21})  # OpenSSL's codes: signed by itself, or by nobody that is known


class NotFetched(Exception):
    """The provider could not be asked, or did not answer as it should. The message names no address."""


class NotTrusted(NotFetched):
    """No authority that is known signed its certificate, and no thumbprint that is configured is of it."""


class Fetcher(Struct, frozen=True, kw_only=True):
    """`named`: host or host:port of providers that may be on this machine or in a private network."""

    monotonic: Callable[[], float]
    named: tuple[str, ...] = ()
    timeout_s: float = 10.0  # from the first packet to the last byte
    body_max_bytes: int = 262_144

    def get(self, url: str, thumbprints: tuple[str, ...] = ()) -> bytes:
        """Raises NotFetched."""
        until = self.monotonic() + self.timeout_s
        try:
            netloc, path = _split(url)
            host, port = host_and_port(url)
            with self._secured(host, port, until, thumbprints) as secured:
                return self._exchange(secured, netloc, path, until)
        except WrongThumbprint as error:
            raise NotTrusted(str(error)) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NotFetched(f"no answer: {type(error).__name__}") from error

    def _secured(self, host: str, port: int, until: float, thumbprints: tuple[str, ...]) -> ssl.SSLSocket:
        try:
            return self._handshake(host, port, until, ssl.create_default_context())
        except ssl.SSLCertVerificationError as error:
            if not thumbprints or error.verify_code not in _UNKNOWN_AUTHORITY:
                raise
        with self._connect(host, port, until) as raw:
            raw.settimeout(self._left(until))
            chain = served_chain(raw, host)
        return self._handshake(host, port, until, trusting(chain, thumbprints))

    def _handshake(self, host: str, port: int, until: float, context: ssl.SSLContext) -> ssl.SSLSocket:
        with self._connect(host, port, until) as raw:  # wrapping takes the connection out of `raw`
            raw.settimeout(self._left(until))
            return context.wrap_socket(raw, server_hostname=host)

    def _connect(self, host: str, port: int, until: float) -> socket.socket:
        may_be_private = is_named(host, port, self.named)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        allowed = [entry for entry in found if may_be_private or _is_public(str(entry[4][0]))]
        if not allowed:
            raise PermissionError("no public address")
        return connect_first(allowed[:_ADDRESSES_MAX], lambda: until - self.monotonic())

    def _exchange(self, secured: ssl.SSLSocket, netloc: str, path: str, until: float) -> bytes:
        request = f"GET {path} HTTP/1.1\r\nHost: {netloc}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        secured.settimeout(self._left(until))
        secured.sendall(request.encode("ascii"))
        bounded = _Bounded(secured, lambda: self._left(until), _HEAD_MAX_BYTES + self.body_max_bytes)
        answer = http.client.HTTPResponse(cast(socket.socket, bounded), method="GET")  # it asks for makefile alone
        answer.begin()
        if answer.status != 200:
            raise NotFetched(f"answered {answer.status}")
        body = answer.read(self.body_max_bytes + 1)
        if len(body) > self.body_max_bytes:
            raise NotFetched("the answer is too long")
        return body

    def _left(self, until: float) -> float:
        left = until - self.monotonic()
        if left <= 0:
            raise TimeoutError("the provider takes too long")
        return left


class _Bounded(io.RawIOBase):
    """A socket as a file in which every read has only the time and the bytes that are left."""

    def __init__(self, secured: ssl.SSLSocket, left_s: Callable[[], float], left_bytes: int) -> None:
        self._secured = secured
        self._left_s = left_s
        self._left_bytes = left_bytes

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        self._secured.settimeout(self._left_s())
        count = self._secured.recv_into(buffer)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise OSError("the answer is too long")
        return count


def _split(url: str) -> tuple[str, str]:
    """Host with port as written, path with query. Raises ValueError, NotFetched."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.username is not None or len(url) > _URL_MAX:
        raise NotFetched("only https URLs are fetched")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise NotFetched("the URL is malformed")
    return parts.netloc, path


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return not is_local(address) and (mapped or found).is_global
