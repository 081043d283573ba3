"""One HTTP request from inside a task's network to an event collector, and as much of its answer as is needed.

Owns the connection: a socket of the task's own namespace, so that the task's groups and routes hold for it. Must not
know events. Invariants: only the address of the options is dialled, nobody is followed elsewhere, an answer takes
neither longer nor more memory than its bounds, and no sentence holds the token. Names are looked up as in a task: not
at all yet.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Protocol

import msgspec
from msgspec import Struct

from ...definitions.splunk import SplunkOptions
from ...interfaces.hostnet import HostError, HostNetwork
from ...model.knobs import Knobs
from ...world import World
from ..execution.exchange import Header, head_of, reason_of

PATH = "/services/collector/event/1.0"
LANE = "agent-splunk"
_TEXT_MAX_CHARS = 200
_EXPIRED, _OTHER_NAME = 10, frozenset({62, 64})  # of OpenSSL's verdicts
_SOME_S_MAX = 10**6


class Unreachable(Exception):
    """There was no answer; the sentence is Go's."""


class Answer(Struct, frozen=True, kw_only=True):
    """`said`: the collector's own sentence, if it is one. `retry_after_s`: 0 when it says none."""

    status: int
    said: str = ""
    retry_after_s: int = 0

    @property
    def line(self) -> str:
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


class Collector(Protocol):
    async def ask(
        self, task_id: str, options: SplunkOptions, method: str, headers: Sequence[Header], body: bytes
    ) -> Answer:
        """Raises Unreachable."""


class TaskCollector:
    """One for all tasks of a host."""

    def __init__(self, world: World, network: HostNetwork, knobs: Knobs) -> None:
        self._world = world
        self._network = network
        self._knobs = knobs
        self._contexts: dict[bool, ssl.SSLContext] = {}

    async def ask(
        self, task_id: str, options: SplunkOptions, method: str, headers: Sequence[Header], body: bytes
    ) -> Answer:
        try:
            async with asyncio.timeout(self._knobs.splunk_call_timeout_s):
                return await self._ask(task_id, options, method, headers, body)
        except TimeoutError:
            cause = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        except ssl.SSLError as error:
            cause = _distrust(options, error)
        except (HostError, OSError) as error:
            cause = reason_of(error)
        except _NotDialled as failed:
            cause = f"dial tcp {options.address.host}:{options.address.port}: connect: {failed}"
        except _NoSuchHost:
            cause = f"dial tcp: lookup {options.address.host}: server misbehaving"
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            cause = "EOF"
        raise Unreachable(f'{method.title()} "{url_of(options)}": {cause}')

    async def _ask(
        self, task_id: str, options: SplunkOptions, method: str, headers: Sequence[Header], body: bytes
    ) -> Answer:
        host = _ipv4(options.address.host)
        secure = await self._context(options) if options.address.scheme == "https" else None
        connection = await self._connected(task_id, host, options.address.port)
        try:
            return await self._talk(connection, secure, options, _request(options, method, headers, body))
        finally:
            connection.close()

    async def _connected(self, task_id: str, host: str, port: int) -> socket.socket:
        connection: socket.socket | None = None
        try:
            connection = await self._network.task_socket(task_id)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, HostError | OSError):
                raise _NotDialled(reason_of(error)) from None
            raise
        return connection

    async def _talk(
        self, connection: socket.socket, secure: ssl.SSLContext | None, options: SplunkOptions, request: bytes
    ) -> Answer:
        name = (options.server_name or options.address.host) if secure is not None else None
        limit = self._knobs.splunk_answer_max_bytes
        reader, writer = await asyncio.open_connection(sock=connection, limit=limit, ssl=secure, server_hostname=name)
        try:
            writer.write(request)
            await writer.drain()
            status, fields = head_of(await reader.readuntil(b"\r\n\r\n"))
            said = b""
            if status != HTTPStatus.OK and fields.get("content-length", "").isdecimal():
                said = await reader.read(min(int(fields["content-length"][:9]), limit))
        finally:
            writer.transport.abort()
        return Answer(status=status, said=_sentence(said, options.token), retry_after_s=_seconds(fields))

    async def _context(self, options: SplunkOptions) -> ssl.SSLContext:
        """The host's authorities, read once: that is work of some milliseconds."""
        known = self._contexts.get(options.checks_certificate)
        if known is None:
            known = await self._world.offload(LANE, _context, options.checks_certificate)
            self._contexts[options.checks_certificate] = known
        return known


def url_of(options: SplunkOptions) -> str:
    address = options.address
    return f"{address.scheme}://{address.host}:{address.port}{PATH}"


class _NotDialled(Exception):
    """Why, in the kernel's word."""


class _NoSuchHost(Exception):
    """A name: tasks have no resolver that knows any."""


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except ValueError:
        raise _NoSuchHost from None


def _request(options: SplunkOptions, method: str, headers: Sequence[Header], body: bytes) -> bytes:
    given = [
        (b"Host", f"{options.address.host}:{options.address.port}".encode()),
        *headers,
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
    ]
    lines = b"".join(b"%b: %b\r\n" % header for header in given)
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), PATH.encode(), lines, body)


def _context(checks_certificate: bool) -> ssl.SSLContext:
    made = ssl.create_default_context()
    if not checks_certificate:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _distrust(options: SplunkOptions, error: ssl.SSLError) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: {error.reason or 'handshake failure'}"
    name = options.server_name or options.address.host
    if error.verify_code == _EXPIRED:
        why = "certificate has expired or is not yet valid"
    elif error.verify_code in _OTHER_NAME:
        why = f"certificate is not valid for {name}"
    else:
        why = "certificate signed by unknown authority"
    return f"tls: failed to verify certificate: x509: {why}"


class _Said(Struct):
    text: str
    code: int


def _sentence(body: bytes, token: str) -> str:
    """Only what a collector says of itself, so that nothing that was sent comes back in a task's reason."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if token in said.text:
        return ""
    text = "".join(sign if sign.isprintable() else "?" for sign in said.text[:_TEXT_MAX_CHARS])
    return msgspec.json.encode(_Said(text=text, code=said.code)).decode()


def _seconds(fields: dict[str, str]) -> int:
    text = fields.get("retry-after", "")
    return min(int(text), _SOME_S_MAX) if text.isdecimal() and len(text) <= len(str(_SOME_S_MAX)) else 0
