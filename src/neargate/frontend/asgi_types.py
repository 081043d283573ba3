"""What every ASGI application here is handed, and what can be told from it. Knows none of the applications."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
IMAGES_PREFIX = b"/v2"
ENDPOINT = "vpc_endpoint"  # in a connection's state
VIA = "neargate.via"  # in a scope: the endpoint that it came through, for who is handed the request on


class ClientGone(Exception):
    """The caller hung up before its request was complete; nobody is left to answer."""


def is_of_images(path: bytes) -> bool:
    """Whether a request is a container tool's: no operation of the API has such a path."""
    return path == IMAGES_PREFIX or path.startswith(IMAGES_PREFIX + b"/")


def endpoint_of(scope: Scope) -> str:
    """The id of the VPC endpoint that the connection came through, as the agent said it; empty for none."""
    state = scope.get("state") or {}
    return str(state.get(ENDPOINT, ""))


def peer_of(scope: Scope) -> str:
    """The address that the connection came from, empty when the server does not tell."""
    client = scope.get("client")
    return str(client[0]) if client else ""
