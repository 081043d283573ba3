"""Which addresses a pull may connect to, and the connecting: a name is looked up once, what was judged is dialled.

Owns the rule that a task's image reaches nothing of this machine: loopback, link-local and the clouds' own addresses
are for registries that the operator named. Must not know HTTP. Invariant: the judged address is the one connected to,
so that a name which changes its mind gains nothing; every connection passes here, also of redirects and token realms.
"""

import ctypes
import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

_CLONE_NEWNET = 0x40000000
Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]

_ADDRESSES_MAX = 8  # of one name that are tried
# Addresses that mean "the machine itself" or its cloud, whatever network they are asked from.
_LOCAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/128", "::1/128", "fe80::/10", "fec0::/10", "ff00::/8"),
        # Metadata services outside the link-local range: EC2, Google, Alibaba, Azure, Oracle.
        *("fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NotAllowed(Exception):
    """All addresses of the name are this machine's own. Nothing was sent to any of them."""


def is_local(address: str) -> bool:
    """Whether an address (with or without a zone, `fe80::1%eth0`) is one that only named registries may have."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_local(str(inner))
        if int(found) < 1 << 32:
            return True  # ::/96: unspecified, loopback, and the old form of IPv4 in IPv6
    return any(found in network for network in _LOCAL if network.version == found.version)


def is_named(host: str, port: int, named: tuple[str, ...]) -> bool:
    """Whether the operator named this registry, as `host:port` or as `host` with whatever port. IPv6 in brackets."""
    written = f"[{host}]" if ":" in host else host
    return any(name.lower() in (written.lower(), f"{written}:{port}".lower()) for name in named)


def host_and_port(url: str) -> tuple[str, int]:
    """Raises ValueError for a URL without a host or with a port that is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port if parts.port is not None else (443 if parts.scheme == "https" else 80)
    if not host or not 0 < port < 65536:
        raise ValueError(url)
    return host, port


class Dialler(Struct, frozen=True, kw_only=True):
    """`named`: registries that may be on this machine, the region's own first.

    `timeout_s` is for all addresses of a name together. `carried`: addresses that a task's network leads to at all;
    a registry that has no other is asked from the host's, as one in the operator's own network.
    """

    monotonic: Callable[[], float]
    timeout_s: float
    named: tuple[str, ...]
    carried: Callable[[str], bool] = lambda _: True

    def dial(self, netns_path: str | None, host: str, port: int) -> socket.socket:
        """Raises NotAllowed, OSError, UnicodeError (no name that can be asked for)."""
        return self._dial(netns_path, host, port, is_named(host, port, self.named), self.carried)

    def dial_trusted(self, netns_path: str | None, host: str, port: int) -> socket.socket:
        """To what the operator named and no image can: it may be on this machine. Raises OSError, UnicodeError."""
        return self._dial(netns_path, host, port, True, lambda _: True)

    def refuse_own(self, host: str, port: int) -> None:
        """Raises NotAllowed for a name that leads to this machine from here; one that nobody here knows passes."""
        if is_named(host, port, self.named):
            return
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return
        if all(is_local(str(entry[4][0])) for entry in found):
            raise NotAllowed

    def _dial(
        self, netns_path: str | None, host: str, port: int, may_be_local: bool, carried: Callable[[str], bool]
    ) -> socket.socket:
        until = self.monotonic() + self.timeout_s

        def left() -> float:
            return until - self.monotonic()

        # By the host's servers, in its network: a task's may reach none of them.
        addresses = _allowed(host, port, may_be_local)
        within = [address for address in addresses if carried(str(address[4][0]))]
        if netns_path is None or not within:
            return connect_first(addresses, left)
        return _in_namespace(netns_path, lambda: connect_first(within, left))


def _allowed(host: str, port: int, may_be_local: bool) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed: list[Address] = [entry for entry in found if may_be_local or not is_local(str(entry[4][0]))]
    if not allowed:
        raise NotAllowed
    return allowed


def connect_first(addresses: Sequence[Address], left: Callable[[], float]) -> socket.socket:
    """To the first of getaddrinfo's entries that answers. `left`: seconds that there still are.

    Raises the last refusal's OSError. No more than a few addresses are tried: whoever owns a name may list thousands.
    """
    error: OSError = TimeoutError("timed out")
    for family, kind, protocol, _, address in addresses[:_ADDRESSES_MAX]:
        patience_s = left()
        if patience_s <= 0:
            break
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as refused:  # a machine without this family
            error = refused
            continue
        try:
            connection.settimeout(patience_s)
            connection.connect(address)
        except OSError as refused:
            connection.close()
            error = refused
            continue
        return connection
    raise error


def _in_namespace(netns_path: str, connect: Callable[[], socket.socket]) -> socket.socket:
    """A socket stays in the namespace it was made in, so a thread that enters the namespace lives only for the dial.

    A thread of a lane must not be used: it could not be trusted to be back in the host's namespace afterwards.
    """
    result: list[socket.socket | OSError | UnicodeError | NotAllowed] = []

    def enter() -> None:
        try:
            handle = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code))
            finally:
                os.close(handle)
            result.append(connect())
        except (OSError, UnicodeError, NotAllowed) as error:
            result.append(error)

    thread = threading.Thread(target=enter, name="pull-netns", daemon=True)
    thread.start()
    thread.join()
    outcome = result[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
