"""A light AWS JSON client for benchmarks: one kept connection, own signatures. The same for Neargate and its peers."""

import json
import socket
import time
from typing import Any

from neargate.testing.signing import json_headers, signed
from neargate.wire.sigv4 import SignedRequest

IDLE_S = 2.0


def encode(host: str, key: str, secret: str, service: str, operation: str, body: bytes, now: float) -> bytes:
    """One whole HTTP request, signed. Valid for some minutes, also when it is sent again."""
    headers = json_headers(service, operation, host)
    request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
    lines = signed(request, key=key, secret=secret, region="us-east-1", service=service, now=now)
    head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return b"POST / HTTP/1.1\r\n" + head + b"content-length: %d\r\n\r\n" % len(body) + body


class Client:
    """Blocking. `endpoint`: (host, port) on loopback."""

    def __init__(self, port: int, key: str, secret: str) -> None:
        self.host = f"127.0.0.1:{port}"
        self._key, self._secret = key, secret
        self._port = port
        self._connection: socket.socket | None = None
        self._used_at = 0.0

    def call(self, service: str, operation: str, **members: Any) -> dict[str, Any]:
        """The answer's members. RuntimeError for anything but HTTP 200."""
        status, body = self.exchange(self.encoded(service, operation, **members))
        answer: dict[str, Any] = json.loads(body or b"{}")
        if status != 200:
            raise RuntimeError(f"{operation}: HTTP {status}: {body[:500]!r}")
        return answer

    def encoded(self, service: str, operation: str, **members: Any) -> bytes:
        body = json.dumps(members).encode()
        return encode(self.host, self._key, self._secret, service, operation, body, time.time())

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """(status, body). A connection that idled is not trusted: servers close those after some seconds."""
        if time.monotonic() - self._used_at > IDLE_S:
            self.close()
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=60.0)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(request)
        data = bytearray()
        while (found := whole_answer(data)) is None:
            part = self._connection.recv(262144)
            if not part:
                raise RuntimeError("the server closed the connection")
            data += part
        self._used_at = time.monotonic()
        if says_close(data):
            self.close()
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def says_close(data: bytes | bytearray) -> bool:
    """The server takes no second request on this connection."""
    return b"\r\nconnection: close\r\n" in bytes(data[:2048]).lower()


def whole_answer(data: bytes | bytearray) -> tuple[int, bytes] | None:
    """(status, body) once `data` holds a whole answer with a Content-Length."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(data[:end]).lower()
    _, found, rest = head.partition(b"content-length:")
    size = int(rest.partition(b"\r\n")[0]) if found else 0
    if len(data) < end + 4 + size:
        return None
    return int(head[9:12]), bytes(data[end + 4 : end + 4 + size])
