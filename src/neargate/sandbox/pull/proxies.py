"""The operator's HTTP proxies on the way to registries, by the variables that every container tool reads.

Owns which URL goes through which proxy, and the tunnel for https. Must not know registries or images. Invariants:
nothing of this machine is asked through a proxy, and a proxy's password is shown to that proxy alone.
"""

import base64
import ipaddress
import socket
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from ...model.concealed import Concealed
from .dialling import Dialler, is_local
from .failures import cause_of

_HEAD_MAX_BYTES = 16 * 1024
_READ_BYTES = 1  # what follows the head belongs to TLS


class Proxy(Concealed, frozen=True, kw_only=True):
    """`authorization`: the whole header's value, empty without a password."""

    host: str
    port: int
    authorization: str = ""


class ProxyFailed(Exception):
    """There is no way through the proxy, in the words of Go's HTTP client. Nothing was sent to the registry."""


class Proxies(Struct, frozen=True, kw_only=True):
    """`no_proxy`: names (with what is below them), addresses, networks, each also with a port; `*` is everybody."""

    http: Proxy | None = None
    https: Proxy | None = None
    no_proxy: tuple[str, ...] = ()

    def way_to(self, scheme: str, host: str, port: int) -> Proxy | None:
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or self._is_near(host.lower(), port) else proxy

    def _is_near(self, host: str, port: int) -> bool:
        address = _address(host)
        if host == "localhost" or host.endswith(".localhost") or (address is not None and is_local(str(address))):
            return True
        return any(_covers(entry, host, address, port) for entry in self.no_proxy)


DIRECT = Proxies()


def proxies_of(environment: Mapping[str, str]) -> Proxies:
    """From HTTP_PROXY, HTTPS_PROXY and NO_PROXY; the lower-case names win, as everywhere. Raises ValueError."""

    def value(name: str) -> str:
        return environment.get(name.lower(), "") or environment.get(name, "")

    return Proxies(
        http=_proxy("HTTP_PROXY", value("HTTP_PROXY")),
        https=_proxy("HTTPS_PROXY", value("HTTPS_PROXY")),
        no_proxy=tuple(entry for item in value("NO_PROXY").split(",") if (entry := item.strip().lower())),
    )


class Ways(Struct, frozen=True, kw_only=True):
    """How connections to registries are made: by the dialler alone, or through a proxy that it reaches."""

    dialler: Dialler
    proxies: Proxies = DIRECT

    def dial(self, netns_path: str | None, scheme: str, host: str, port: int) -> socket.socket:
        """A connection on which the registry's own TLS or HTTP begins.

        Raises NotAllowed, OSError, UnicodeError, ProxyFailed.
        """
        proxy = self.proxies.way_to(scheme, host, port)
        if proxy is None:
            return self.dialler.dial(netns_path, host, port)
        self.dialler.refuse_own(host, port)
        until = self.dialler.monotonic() + self.dialler.timeout_s
        where = f"{proxy.host}:{proxy.port}"
        try:
            connection = self.dialler.dial_trusted(netns_path, proxy.host, proxy.port)
        except OSError as error:
            raise ProxyFailed(f"proxyconnect tcp: {cause_of(where, error)}") from None
        if scheme != "https":
            return connection
        try:
            open_tunnel(connection, proxy, host, port, lambda: until - self.dialler.monotonic())
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise ProxyFailed(f"proxyconnect tcp: {cause_of(where, error)}") from None
            raise
        return connection

    def request_line(self, url: str, scheme: str, host: str, port: int) -> tuple[str | None, dict[str, str]]:
        """What plain HTTP through a proxy is asked with: the whole URL, and who asks. None: as without a proxy."""
        proxy = self.proxies.way_to(scheme, host, port) if scheme == "http" else None
        if proxy is None:
            return None, {}
        return url, {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def open_tunnel(connection: socket.socket, proxy: Proxy, host: str, port: int, left: Callable[[], float]) -> None:
    """Ask for a way to a registry; afterwards the connection is that way. `left`: seconds that there still are.

    Raises ProxyFailed, OSError.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connection.settimeout(max(left(), 0.001))
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        connection.settimeout(max(left(), 0.001))
        came = connection.recv(_READ_BYTES)
        if not came or len(head) >= _HEAD_MAX_BYTES:
            raise ProxyFailed("proxyconnect tcp: EOF")
        head += came
    first = bytes(head.split(b"\r\n", 1)[0][:200]).decode("ascii", "replace")
    words = first.split(" ", 2)
    if not first.startswith("HTTP/1.") or len(words) < 2 or words[1] != "200":
        raise ProxyFailed(f"proxyconnect tcp: {' '.join(words[1:]) if len(words) > 1 else 'malformed HTTP response'}")


def _proxy(name: str, written: str) -> Proxy | None:
    if not written:
        return None
    try:
        parts = urlsplit(written if "://" in written else f"http://{written}")
        host, port = parts.hostname if parts.scheme == "http" else None, parts.port or 80
    except ValueError:
        host = None
    if not host:
        # Not shown, nor what urllib says of it: a password with a slash in it looks like a port.
        raise ValueError(f"{name} must be the URL of an HTTP proxy, for example http://proxy.lan:3128")
    authorization = ""
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(known.encode()).decode("ascii")
    return Proxy(host=host, port=port, authorization=authorization)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _covers(entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.startswith("[")):
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*")
    if address is not None:
        return _address(entry) == address
    return host == entry.lstrip(".") or host.endswith("." + entry.lstrip("."))
