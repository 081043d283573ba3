"""What the uplink asks the kernel of the calling thread's namespace: own addresses, links, forwarding, and whether the
firewall changed. All of it is cheap: it is asked again and again.
"""

import errno
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

from ..uplink.pools import HostRoute
from .namespaces import read_sysctl, write_sysctl
from .netlink import NETLINK_NETFILTER, RTM_GETROUTE, Netlink, NetlinkError, attributes

_ROUTE_UNICAST, _ROUTE_LOCAL, _ROUTE_ANYCAST = 1, 2, 4
_NFT_MSG_GETGEN = 10 << 8 | 16
_GEN_ID = 1
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100


def own_networks(host: Netlink) -> frozenset[str]:
    """What the host takes for itself, as CIDRs: its addresses, loopback, and whatever else its tables call local."""
    return frozenset(destination for kind, destination, _, _ in _routes(host) if kind == _ROUTE_LOCAL)


def own_networks6(host: Netlink) -> frozenset[str]:
    """The same of IPv6."""
    own = (_ROUTE_LOCAL, _ROUTE_ANYCAST)
    return frozenset(destination for kind, destination, _, _ in _routes(host, 6) if kind in own)


def routed_links(host: Netlink) -> frozenset[int]:
    """Indexes of links that some route leads to, whatever its table."""
    return frozenset(index for kind, _, index, _ in _routes(host) if kind == _ROUTE_UNICAST and index)


def host_routes(host: Netlink, version: int = 4) -> list[HostRoute]:
    """Of all tables, where packets are sent on by a link."""
    names = {link.index: link.name for link in host.links()}
    return [
        HostRoute(destination=destination, link=names[index], gateway=gateway)
        for kind, destination, index, gateway in _routes(host, version)
        if kind == _ROUTE_UNICAST and index in names
    ]


def _routes(host: Netlink, version: int = 4) -> list[tuple[int, str, int, str]]:
    """(type, destination, link, gateway) of one family."""
    wanted, size = (socket.AF_INET, 4) if version == 4 else (socket.AF_INET6, 16)
    body = struct.pack("=BBBBBBBBI", wanted, 0, 0, 0, 0, 0, 0, 0, 0)
    found = []
    for answer in host.ask(RTM_GETROUTE, body, dump=True, what="list routes"):
        family, length, kind = answer[0], answer[1], answer[7]
        if family == wanted:
            facts = dict(attributes(answer[12:]))
            destination = f"{ip_address(facts.get(1, bytes(size)))}/{length}"
            gateway = str(ip_address(facts[5])) if len(facts.get(5, b"")) == size else ""
            found.append((kind, destination, struct.unpack("=I", facts.get(4, bytes(4)))[0], gateway))
    return found


def ruleset_generation() -> int | None:
    """A number that every change of the nftables rules changes; None where the kernel has none."""
    try:
        with Netlink(NETLINK_NETFILTER) as netfilter:
            answers = netfilter.ask(_NFT_MSG_GETGEN, struct.pack("=BBH", 0, 0, 0), dump=False, what="ask for changes")
    except NetlinkError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT):
            return None
        raise
    return int.from_bytes(dict(attributes(answers[0][4:]))[_GEN_ID], "big") if answers else None


def address_changes() -> socket.socket:
    """Becomes readable when an address or link of the namespace changes."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    made.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
    return made


def forwards(link: str) -> bool | None:
    """Whether packets that come in by the link are forwarded; None for a link that is gone. `all`: the whole host."""
    value = read_sysctl(f"ipv4/conf/{link}/forwarding")
    return None if value is None else value != "0"


def set_forwarding(link: str, wanted: bool) -> None:
    if forwards(link) not in (None, wanted):
        write_sysctl(f"ipv4/conf/{link}/forwarding", str(int(wanted)))


def has_legacy_filter() -> bool:
    """Whether the older iptables has rules of its own in this namespace, which nftables does not show."""
    try:
        return "filter" in Path("/proc/thread-self/net/ip_tables_names").read_text().split()
    except OSError:
        return False
