"""The host's edge namespace: between the machine and the VPC routers, it sees only public addresses and plain routing.

Owns all that this instance adds to the host itself: one veth pair and one route for the public pool (the host's end has
the pool's last address). No sysctl, firewall rule or other route of the host is touched.
"""

import errno
import hashlib
from ipaddress import ip_network

from msgspec import Struct

from ..interfaces.hostnet import HostError
from ..uplink.strays import EDGE_GROUP, strays_chain
from ..uplink.texts import POOL_HOST_HOP6
from ..vpc.table import NOT_ON_THE_INTERNET, UPLINK
from . import netlink
from .namespaces import Namespaces, read_sysctl, write_sysctl
from .netlink import Netlink, NetlinkError
from .nftables import Nftables

NAMESPACE = "edge"
# Link-local addresses of the hops, the same on every link: with permanent neighbours they never leave it.
EDGE_HOP = "169.254.254.1"
ROUTER_HOP = "169.254.254.2"
EDGE_HOP_IPV6, ROUTER_HOP_IPV6 = "fe80::3", "fe80::4"
HOST_MAC, EDGE_HOST_MAC = "0e:ee:ee:ee:01:01", "0e:ee:ee:ee:01:02"
_EDGE_ROUTER_MAC, _ROUTER_MAC = "0e:ee:ee:ee:02:01", "0e:ee:ee:ee:02:02"
# The edge forwards between the host and routers and between routers, and answers nobody itself. `out0` is there with
# `--uplink user` only. What a router sends from an address that no task may have, or to the edge itself, is a stray.
# What comes late from an address that has just been taken back is none.
_RULES = """
add table inet neargate
flush table inet neargate
table inet neargate {
STRAYS
  chain c_raw {
    type filter hook prerouting priority -300; policy accept;
    iifname "v*" ip saddr OWN goto strays
    iifname "v*" ip saddr { PRIVATE } fib saddr . iif oif missing goto strays
    iifname "v*" ip6 saddr { ::, ::1, fe80::/10, ff00::/8 } goto strays
  }
  chain c_fwd {
    type filter hook forward priority 0; policy drop;
    iifname "host0" oifname "v*" accept
    iifname "v*" oifname "host0" accept
    iifname "v*" oifname "v*" accept
    iifname "v*" oifname "out0" accept
    iifname "out0" oifname "v*" ct state established,related accept
    iifname "v*" goto strays
  }
  chain c_input {
    type filter hook input priority 0; policy drop;
    iifname "v*" goto strays
  }
}
"""


class RouterPort(Struct, frozen=True, kw_only=True):
    """A router's end of its link to the edge, by name in the router's namespace."""

    name: str
    edge_end: str


def host_link_name(instance: str) -> str:
    return f"ng{instance}"


def instance_of(host_link: str) -> str:
    """Any text for a link that is nobody's."""
    return host_link.removeprefix("ng")


def router_port(vpc_id: str) -> RouterPort:
    digest = hashlib.sha256(vpc_id.encode()).hexdigest()[:12]
    return RouterPort(name=UPLINK, edge_end=f"v{digest}")


def host_address(public_pool: str) -> str:
    """The machine's own address in the pool: the last, which is given to no task. Nothing broadcasts on these links."""
    return str(ip_network(public_pool)[-1])


class Edge:
    """Open with `Edge.ensure`; every method may be repeated."""

    def __init__(self, namespaces: Namespaces, links: Netlink, mtu: int) -> None:
        self._namespaces = namespaces
        self._links = links
        self._mtu = mtu

    @classmethod
    def ensure(cls, namespaces: Namespaces, host: Netlink, *, instance: str, public_pool: str, mtu: int) -> "Edge":
        fresh = namespaces.ensure(NAMESPACE)
        with namespaces.inside(NAMESPACE):
            links = Netlink()
            _configure(public_pool)
        edge = cls(namespaces, links, mtu)
        try:
            edge._join_host(host, host_link_name(instance), public_pool, fresh=fresh)
        except (HostError, OSError):
            edge.close()
            raise
        return edge

    def close(self) -> None:
        self._links.close()

    def join_router(self, vpc_id: str, namespace: str, router: Netlink, *, fresh: bool) -> int:
        """The link between edge and a router; the index of the router's end."""
        port = router_port(vpc_id)
        if fresh:
            self._links.run([netlink.link_gone(port.edge_end)])
        if router.link(port.name) is None:
            with self._namespaces.opened(namespace) as target:
                pair = netlink.veth(
                    port.edge_end,
                    _EDGE_ROUTER_MAC,
                    peer=port.name,
                    peer_mac=_ROUTER_MAC,
                    peer_namespace=target,
                    mtu=self._mtu,
                )
                self._links.run([pair])
        here, there = _index(self._links, port.edge_end), _index(router, port.name)
        with self._namespaces.inside(NAMESPACE):
            write_sysctl(f"ipv6/conf/{port.edge_end}/disable_ipv6", "0")
        self._links.run(
            [
                netlink.no_autoconf(here),
                netlink.link_up(here, arp=False),
                netlink.neighbour(here, ROUTER_HOP, _ROUTER_MAC),
                netlink.neighbour(here, ROUTER_HOP_IPV6, _ROUTER_MAC),
            ]
        )
        router.run(
            [
                netlink.no_autoconf(there),
                netlink.link_up(there, arp=False),
                netlink.neighbour(there, EDGE_HOP, _EDGE_ROUTER_MAC),
                netlink.neighbour(there, EDGE_HOP_IPV6, _EDGE_ROUTER_MAC),
                netlink.route("0.0.0.0/0", there, via=EDGE_HOP),
                netlink.route("::/0", there, via=EDGE_HOP_IPV6),
            ]
        )
        self._links.settle(port.edge_end)
        router.settle(port.name)
        return there

    def leave_router(self, vpc_id: str) -> None:
        """The link is gone when this returns, and the public addresses that led over it."""
        self._links.run([netlink.link_gone(router_port(vpc_id).edge_end)])

    def add_public(self, vpc_id: str, public: str) -> None:
        index = _index(self._links, router_port(vpc_id).edge_end)
        hop = ROUTER_HOP_IPV6 if ":" in public else ROUTER_HOP
        self._links.run([netlink.route(_host_route(public), index, via=hop)])

    def remove_public(self, public: str) -> None:
        self._links.run([netlink.route_gone(_host_route(public))])

    def lead_ipv6_to_host(self, host: str) -> None:
        """To this one address of the host's, from pools of IPv6."""
        with self._namespaces.inside(NAMESPACE):
            if read_sysctl("ipv6/conf/host0/disable_ipv6") == "1":
                write_sysctl("ipv6/conf/host0/disable_ipv6", "0")
        index = _index(self._links, "host0")
        hop = netlink.neighbour(index, POOL_HOST_HOP6, HOST_MAC)
        self._links.run([hop, netlink.route(f"{host}/128", index, via=POOL_HOST_HOP6)])

    def public_routes(self) -> list[str]:
        """Public addresses that lead to a router now."""
        found = [*self._links.routes(), *self._links.routes(6)]
        return [route.rpartition("/")[0] for route in found if route.endswith(("/32", "/128"))]

    def _join_host(self, host: Netlink, name: str, public_pool: str, *, fresh: bool) -> None:
        own = host_address(public_pool)
        if fresh:
            # What is left of an edge that is gone leads nowhere.
            host.run([netlink.link_gone(name)])
        if host.link(name) is None:
            with self._namespaces.opened(NAMESPACE) as target:
                pair = netlink.veth(
                    name, HOST_MAC, peer="host0", peer_mac=EDGE_HOST_MAC, peer_namespace=target, mtu=self._mtu
                )
                host.run([pair])
        here, there = _index(host, name), _index(self._links, "host0")
        self._links.run(
            [
                netlink.no_autoconf(there),
                netlink.link_up(there, arp=False),
                netlink.neighbour(there, own, HOST_MAC),
                netlink.route(f"{own}/32", there),
                netlink.link_up(_index(self._links, "lo")),
                # Errors (no such public address) need an address to come from.
                netlink.address(_index(self._links, "lo"), EDGE_HOP),
            ]
        )
        host.run(
            [
                netlink.no_autoconf(here),
                netlink.link_up(here, arp=False),
                netlink.address(here, own),
                netlink.neighbour(here, EDGE_HOP, EDGE_HOST_MAC),
            ]
        )
        _lead_here(host, public_pool, here, own)
        host.settle(name)
        self._links.settle("host0")


def _configure(public_pool: str) -> None:
    """Of the edge's own namespace. Strict reverse path: a router sends only from public addresses routed to it."""
    for scope in ("all", "default"):
        write_sysctl(f"ipv4/conf/{scope}/send_redirects", "0")
        write_sysctl(f"ipv4/conf/{scope}/accept_redirects", "0")
        write_sysctl(f"ipv4/conf/{scope}/accept_source_route", "0")
    write_sysctl("ipv4/conf/all/rp_filter", "1")
    write_sysctl("ipv4/conf/default/rp_filter", "1")
    write_sysctl("ipv4/ip_forward", "1")
    # IPv6 is between routers only: their links are allowed it one by one.
    write_sysctl("ipv6/conf/default/disable_ipv6", "1")
    if read_sysctl("ipv6/conf/all/forwarding") == "0":
        write_sysctl("ipv6/conf/all/forwarding", "1")
        write_sysctl("ipv6/conf/default/forwarding", "0")
    rules = Nftables()
    try:
        rules.run(_rules(public_pool))
    finally:
        rules.close()


def _rules(public_pool: str) -> str:
    """What they have counted stays: the table is emptied, not made anew."""
    text = _RULES.replace("STRAYS", strays_chain(EDGE_GROUP)).replace("OWN", host_address(public_pool))
    return text.replace("PRIVATE", ", ".join(NOT_ON_THE_INTERNET))


def _lead_here(host: Netlink, public_pool: str, link: int, own: str) -> None:
    """Never in place of another's route: another instance's tasks may live behind it."""
    try:
        host.run([netlink.route(public_pool, link, via=EDGE_HOP, source=own, replace=False)])
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise
        if any(index != link for index in host.links_to(public_pool)):
            what = f"{public_pool} leads to somebody else's network interface; which: ip route show {public_pool}"
            raise HostError(what) from None


def _host_route(public: str) -> str:
    return f"{public}/{128 if ':' in public else 32}"


def _index(links: Netlink, name: str) -> int:
    return links.existing(name).index
