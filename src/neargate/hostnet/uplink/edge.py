"""The edge's side of the uplink: what tasks may not reach, and the default route, which is the last thing to be made.

Owns in the edge namespace one table, the default route and the link to pasta's namespace. Blocking; for the one thread
of the uplink's lane. Invariant: there is a default route only while the table stands that keeps tasks off the host.
"""

import errno
import struct

from ...interfaces.hostnet import HostError
from ...uplink import texts
from .. import netlink
from ..edge import HOST_MAC, NAMESPACE, host_address
from ..namespaces import Namespaces, read_sysctl, write_sysctl
from ..netlink import Netlink, NetlinkError
from ..nftables import Nftables

_DEFAULT, _DEFAULT6 = "0.0.0.0/0", "::/0"
_IFLA_TXQLEN = 13
TAP_QUEUE = 20_000  # packets of 1500 bytes; the kernel's 500 or 1000 held one connection to a hundredth of its speed


class EdgeSide:
    def __init__(self, namespaces: Namespaces, public_pool: str, mtu: int) -> None:
        self._namespaces = namespaces
        self._pool = public_pool
        self._mtu = mtu
        self._kept_off: tuple[frozenset[str], tuple[str, ...]] | None = None
        self._others: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        return self._namespaces.exists(NAMESPACE)

    def keep_off(self, own: frozenset[str], *, to_host: bool = False, found6: tuple[str, ...] = ()) -> None:
        """No task opens a connection to these. Nothing is done where they are the same as before.

        `to_host`: whether what tasks send beyond their machine passes through the host, and with it untranslated what
        is from the networks `found6`.
        """
        if (own, found6) == self._kept_off:
            return
        self._kept_off = None
        with self._namespaces.inside(NAMESPACE):
            own4, own6 = ([text for text in own if (":" in text) is is_ipv6] for is_ipv6 in (False, True))
            _load(texts.edge_table(own4, self._pool, to_host=to_host, own6=own6, found6=found6))
        self._kept_off = (own, found6)

    def know(self, others: tuple[str, ...]) -> None:
        """Pools that tasks here have addresses of, beside the host's own block. IPv6 leaves with an address of ours."""
        self._others = tuple(cidr for cidr in others if ":" not in cidr)

    def forget(self) -> None:
        """The edge may be another one now."""
        self._kept_off = None

    def lead_to_host(self) -> None:
        with self._namespaces.inside(NAMESPACE):
            links = Netlink()
        with links:
            self._lead(links, links.existing("host0").index, host_address(self._pool))

    def lead_ipv6_to_host(self, wanted: bool) -> None:
        with self._namespaces.inside(NAMESPACE):
            links = Netlink()
        with links:
            if wanted:
                self._lead_ipv6(links, "host0", texts.HOST_HOP6, HOST_MAC)
            else:
                links.run([netlink.route_gone(_DEFAULT6)])

    def lead_to_tap(self, tap: Namespaces, name: str) -> bool:
        """`name` in `tap` is the namespace of pasta's tap. Raises HostError while the tap is not there.

        Whether IPv6 is led there too: pasta carries it if the host had a way for it when pasta began.
        """
        with self._namespaces.inside(NAMESPACE):
            links = Netlink()
        with tap.inside(name):
            there = Netlink()
        with links, there:
            if there.link(texts.TAP) is None or _DEFAULT not in there.routes():
                raise HostError("pasta has not made its interface yet")
            if there.link(texts.TAP_END) is None:
                self._join(links, tap, name)
            here, far = links.existing(texts.EDGE_END).index, there.existing(texts.TAP_END).index
            links.run(_hop(here, texts.TAP_END_HOP, texts.TAP_END_MAC))
            back = [netlink.route(pool, far, via=texts.EDGE_END_HOP) for pool in (self._pool, *self._others)]
            there.run([*_hop(far, texts.EDGE_END_HOP, texts.EDGE_END_MAC), *back])
            self._lead(links, here, texts.TAP_END_HOP)
            carries_ipv6 = _DEFAULT6 in there.routes(6)
            if carries_ipv6:
                with tap.inside(name):
                    _allow_ipv6(texts.TAP_END)
                    if read_sysctl("ipv6/conf/all/forwarding") == "0":
                        write_sysctl("ipv6/conf/all/forwarding", "1")
                gateway = netlink.neighbour(there.existing(texts.TAP).index, texts.TAP_GATEWAY6, texts.TAP_GATEWAY_MAC)
                hop = netlink.neighbour(far, texts.EDGE_END_HOP6, texts.EDGE_END_MAC)
                one = f"{texts.edge_address6(self._pool)}/128"
                there.run([gateway, hop, netlink.route(one, far, via=texts.EDGE_END_HOP6)])
                self._lead_ipv6(links, texts.EDGE_END, texts.TAP_END_HOP6, texts.TAP_END_MAC)
            else:
                links.run([netlink.route_gone(_DEFAULT6)])
            links.settle(texts.EDGE_END)
            there.settle(texts.TAP_END)
            return carries_ipv6

    def lead_nowhere(self) -> None:
        """No way out of the edge; what keeps tasks off the host stays. Repeatable."""
        with self._namespaces.inside(NAMESPACE), Netlink() as links:
            gone = [netlink.route_gone(_DEFAULT), netlink.route_gone(_DEFAULT6)]
            links.run([*gone, netlink.link_gone(texts.EDGE_END)])

    def close(self) -> None:
        """The same, and the table goes last. Repeatable."""
        self._kept_off = None
        if self.exists:
            self.lead_nowhere()
            with self._namespaces.inside(NAMESPACE):
                _load(texts.edge_table_gone())

    def _join(self, links: Netlink, tap: Namespaces, name: str) -> None:
        """The rules of the tap's namespace come before the link that packets could arrive on."""
        with tap.inside(name):
            write_sysctl("ipv4/ip_forward", "1")
            for scope in ("all", "default"):
                write_sysctl(f"ipv4/conf/{scope}/rp_filter", "0")
                write_sysctl(f"ipv4/conf/{scope}/send_redirects", "0")
                write_sysctl(f"ipv6/conf/{scope}/accept_ra", "0")
            write_sysctl("ipv6/conf/default/disable_ipv6", "1")
            _load(texts.tap_table())
        with tap.inside(name), Netlink() as there:
            there.run([_queue(there.existing(texts.TAP).index)])
        # What is left of a pasta that died may still be on its way out.
        links.run([netlink.link_gone(texts.EDGE_END)])
        with tap.opened(name) as target:
            pair = netlink.veth(
                texts.EDGE_END,
                texts.EDGE_END_MAC,
                peer=texts.TAP_END,
                peer_mac=texts.TAP_END_MAC,
                peer_namespace=target,
                mtu=self._mtu,
            )
            links.run([pair])

    def _lead(self, links: Netlink, index: int, via: str) -> None:
        if self._kept_off is None:
            raise NetlinkError(errno.EPERM, "lead out of the edge before the host is kept apart")
        if links.links_to(_DEFAULT) != [index]:
            links.run([netlink.route(_DEFAULT, index, via=via)])

    def _lead_ipv6(self, links: Netlink, link: str, via: str, mac: str) -> None:
        if self._kept_off is None:
            raise NetlinkError(errno.EPERM, "lead out of the edge before the host is kept apart")
        with self._namespaces.inside(NAMESPACE):
            _allow_ipv6(link)
        index = links.existing(link).index
        links.run([netlink.neighbour(index, via, mac)])
        if links.links_to(_DEFAULT6, 6) != [index]:
            links.run([netlink.route(_DEFAULT6, index, via=via)])


def _allow_ipv6(link: str) -> None:
    """In the calling thread's namespace, where links are not allowed it by default."""
    if read_sysctl(f"ipv6/conf/{link}/disable_ipv6") == "1":
        write_sysctl(f"ipv6/conf/{link}/disable_ipv6", "0")


def _hop(index: int, address: str, mac: str) -> list[netlink.Message]:
    return [netlink.no_autoconf(index), netlink.link_up(index, arp=False), netlink.neighbour(index, address, mac)]


def _queue(index: int) -> netlink.Message:
    """Room for whole windows of packets: one that is lost here stops its connection until the sender's time is over."""
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + netlink.attribute(_IFLA_TXQLEN, struct.pack("=I", TAP_QUEUE))
    return netlink.Message(what="lengthen the tap's queue", kind=netlink.RTM_NEWLINK, flags=0, body=body)


def _load(text: str) -> None:
    """In the calling thread's namespace."""
    rules = Nftables()
    try:
        rules.run(text)
    finally:
        rules.close()
