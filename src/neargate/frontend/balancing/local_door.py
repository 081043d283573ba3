"""Load balancers at the API's own port, for this machine: requests whose Host is NAME.REGION.elb.localhost.

Before anything of the API: such a request is no call of it, and nobody signs it. Each is handed on to a node's public
address, over the machine's own way there, and bodies are streams in both directions. Only the machine's loopback may
ask: whoever else reaches the API's port has the load balancer's own addresses or none. Must not know proxies.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from ...model.knobs import Knobs
from ...world import World
from ..asgi_types import Application, Receive, Scope, Send, endpoint_of, peer_of
from ..network.nodes import balancer_nodes as nodes
from ..network.records.balancers import LoadBalancer, balancers
from ..network.registry import NetworkRegistry
from .lookup import listeners_of

_DOMAIN = b".elb.localhost"
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
_OWN = b"date"  # the server of the API's port says when, in each answer: a header that stands there once
_BLOCK, _HEAD_MAX_BYTES = 65_536, 65_536
Headers = list[tuple[bytes, bytes]]


def asks_for_balancer(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name == b"host" and _name(value).endswith(_DOMAIN) for name, value in headers)


class _Way(NamedTuple):
    """Where a request goes; without an address `why` there is none."""

    address: str = ""
    port: int = 0
    why: str = ""


class _Broken(Exception):
    """The node's answer is none."""


class LocalDoor:
    """`api`: answers all else."""

    def __init__(self, world: World, api: Application, network: NetworkRegistry, knobs: Knobs) -> None:
        self._world = world
        self._api = api
        self._network = network
        self._knobs = knobs
        self._domain = f".{network.region}{_DOMAIN.decode()}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not asks_for_balancer(scope["headers"]) or not _is_of_machine(scope):
            await self._api(scope, receive, send)
            return
        host = next(value for name, value in scope["headers"] if name == b"host")
        way = self._way(_name(host).decode("latin-1"))
        if not way.address:
            await _say(503, way.why, send)
            return
        try:
            async with asyncio.timeout(self._knobs.proxy_idle_s):
                reader, writer = await asyncio.open_connection(way.address, way.port, limit=_HEAD_MAX_BYTES)
        except (OSError, TimeoutError):
            await _say(502, f"{way.address}:{way.port}, a node of the load balancer, does not answer.", send)
            return
        sending = self._world.spawn(_send_request(scope, receive, writer), "balancer request")
        try:
            await _answer(scope["method"], reader, send)
        finally:
            sending.cancel()
            writer.transport.abort()

    def _way(self, name: str) -> _Way:
        """Names are unique in an account; of several accounts' the first one's."""
        label = name.removesuffix(self._domain)
        shelves = (self._network.shelf(account) for account in self._network.accounts())
        found = [(shelf, one) for shelf in shelves for one in balancers(shelf) if one.label.lower() == label]
        for shelf, one in found:
            ports = [listener.port for listener in listeners_of(shelf, one.arn) if listener.protocol == "HTTP"]
            address = _public(one)
            if address and ports:
                return _Way(address=address, port=80 if 80 in ports else min(ports))
            if address:
                return _Way(why=f"The load balancer {label} has no HTTP listener: ask at its listener's own port.")
        if found:
            return _Way(why=f"The load balancer {label} has no public address: it is reached from its VPC alone.")
        return _Way(why=f"There is no load balancer {label} in {self._network.region}.")


def _public(balancer: LoadBalancer) -> str:
    return next((one.public_ip for one in nodes.led_to(balancer) if one.public_ip), "")


def _name(host: bytes) -> bytes:
    """Without a port, in lower case."""
    name, colon, _ = host.rpartition(b":")
    return (name if colon else host).strip().lower()


def _is_of_machine(scope: Scope) -> bool:
    try:
        return not endpoint_of(scope) and ip_address(peer_of(scope)).is_loopback
    except ValueError:
        return False


async def _say(status: int, sentence: str, send: Send) -> None:
    body = sentence.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_request(scope: Scope, receive: Receive, writer: asyncio.StreamWriter) -> None:
    """Until the client goes, and with it the node's connection."""
    headers: Headers = list(scope["headers"])
    is_chunked = any(name == b"transfer-encoding" for name, _ in headers)
    path = bytes(scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    lines = [b"%s %s%s HTTP/1.1" % (scope["method"].encode(), path, query), b"connection: close"]
    lines += [b"%s: %s" % (name, value) for name, value in headers if name not in _HOP_BY_HOP]
    lines += [b"transfer-encoding: chunked"] if is_chunked else []
    # The answer says what became of it. What is written to a connection that broke is an error that is none of the
    # system's with some loops; nothing of a request may end the process.
    with suppress(OSError, RuntimeError):
        writer.write(b"\r\n".join([*lines, b"", b""]))
        while (message := await receive())["type"] == "http.request":
            chunk, more = message.get("body", b""), message.get("more_body", False)
            if chunk:
                writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk)
            if not more and is_chunked:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
        writer.transport.abort()


async def _answer(method: str, reader: asyncio.StreamReader, send: Send) -> None:
    """Raises _Broken for an answer that ends in its middle: the client's connection then ends in its middle too."""
    try:
        status, headers = await _head(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        await _say(502, "The load balancer's node gave no answer.", send)
        return
    told = [(name, value) for name, value in headers if name not in _HOP_BY_HOP and name != _OWN]
    await send({"type": "http.response.start", "status": status, "headers": told})
    if method != "HEAD" and status not in (204, 304):
        try:
            await _body(reader, headers, send)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise _Broken(str(error)) from None
    await send({"type": "http.response.body", "body": b""})


async def _head(reader: asyncio.StreamReader) -> tuple[int, Headers]:
    """What comes before it (100 Continue, 103 Early Hints) is left out."""
    while True:
        first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        status = int(first.split(b" ", 2)[1])
        if status >= 200:
            parts = [line.partition(b":") for line in lines]
            return status, [(name.strip().lower(), value.strip()) for name, _, value in parts]


async def _body(reader: asyncio.StreamReader, headers: Headers, send: Send) -> None:
    said = dict(headers)
    if b"chunked" in said.get(b"transfer-encoding", b"").lower():
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await _pass_on(reader, size, send)
            await reader.readexactly(2)
    elif b"content-length" in said:
        await _pass_on(reader, int(said[b"content-length"]), send)
    else:
        while block := await reader.read(_BLOCK):
            await send({"type": "http.response.body", "body": block, "more_body": True})


async def _pass_on(reader: asyncio.StreamReader, size: int, send: Send) -> None:
    while size > 0:
        block = await reader.read(min(size, _BLOCK))
        if not block:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(block)
        await send({"type": "http.response.body", "body": block, "more_body": True})
