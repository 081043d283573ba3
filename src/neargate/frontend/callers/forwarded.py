"""What a proxy that ends TLS before the API says of a call: that it came by TLS, and from where. Pure.

Believed only when the operator says that there is such a proxy on this machine, and only of connections from loopback:
a task's or another machine's header says nothing. Invariant: of several values the last counts, which the proxy wrote;
what came before it may be the caller's own.
"""

from collections.abc import Mapping
from ipaddress import ip_address


def seen_by_proxy(headers: Mapping[bytes, bytes], peer: str) -> tuple[str, bool]:
    """(the caller's address, whether it spoke TLS) of a call from `peer`. Header names are lower case."""
    if not _is_loopback(peer):
        return peer, False
    source = _last(headers.get(b"x-forwarded-for", b""))
    return source if _is_address(source) else peer, _last(headers.get(b"x-forwarded-proto", b"")).lower() == "https"


def _last(value: bytes) -> str:
    return value.decode("latin-1").rpartition(",")[2].strip()


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ip_address(text).is_loopback


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
