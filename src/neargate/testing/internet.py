"""What is beyond a machine, for tests: a namespace behind the edge of a `NetLab`, with addresses of its own.

Needs root. Owns one namespace and its link to the lab's edge; both go with `close`, or the link with the lab. It must
not touch the host's own namespace.
"""

from ..hostnet import netlink
from ..hostnet.namespaces import Namespaces
from ..hostnet.netlink import Netlink
from .netlab import NetLab, entered

_EDGE_END, _MAC, _EDGE_MAC = "vinternet", "0e:ee:ee:ee:0f:01", "0e:ee:ee:ee:0f:02"
_HOP, _EDGE_HOP = "169.254.252.2", "169.254.252.1"


class Internet:
    """`netns_path` is where its servers and clients live."""

    def __init__(self, namespaces: Namespaces, netns_path: str) -> None:
        self._namespaces = namespaces
        self.netns_path = netns_path

    @classmethod
    def beyond(cls, lab: NetLab, *addresses: str) -> "Internet":
        namespaces = Namespaces(lab.directory.with_name(f"{lab.directory.name}-internet"), lab.world.die)
        namespaces.ensure("internet")
        made = cls(namespaces, str(namespaces.path("internet")))
        with namespaces.opened("internet") as target, entered(str(lab.directory / "netns" / "edge")), Netlink() as edge:
            pair = netlink.veth(
                _EDGE_END,
                _EDGE_MAC,
                peer="eth0",
                peer_mac=_MAC,
                peer_namespace=target,
                mtu=1500,
                segment_bytes=65536,  # as a link out of the machine
            )
            edge.run([pair])
            _join(edge, _EDGE_END, _HOP, _MAC)
        with namespaces.inside("internet"), Netlink() as links:
            _join(links, "eth0", _EDGE_HOP, _EDGE_MAC)
            index = links.existing("eth0").index
            links.run([netlink.address(index, address) for address in addresses])
        return made

    def close(self) -> None:
        self._namespaces.delete("internet")


def _join(links: Netlink, name: str, hop: str, mac: str) -> None:
    index = links.existing(name).index
    links.run(
        [
            netlink.link_up(links.existing("lo").index),
            netlink.no_autoconf(index),
            netlink.link_up(index, arp=False),
            netlink.neighbour(index, hop, mac),
            netlink.route("0.0.0.0/0", index, via=hop),
        ]
    )
    links.settle(name)
