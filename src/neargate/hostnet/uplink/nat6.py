"""`--uplink nat` for IPv6: what the host needs beside the table, so that it forwards tasks' packets and nobody else's.

Owns forwarding by link (`force_forwarding`, Linux 6.17), the route back to the edge's one address and its neighbour.
Blocking; in the host's namespace. Invariant: `net.ipv6.conf.all.forwarding` is read and never written: it would end the
host's own autoconfiguration, and with it the host's IPv6.
"""

from msgspec.structs import replace

from ...uplink import texts
from .. import netlink
from ..edge import EDGE_HOST_MAC
from ..host_state import host_routes
from ..namespaces import read_sysctl, write_sysctl
from ..netlink import Netlink
from .record import UplinkRecord

_DEFAULT6 = "::/0"
CANNOT = (
    "IPv6 stays on this machine: its forwarding is off (net.ipv6.conf.all.forwarding), and a kernel before Linux 6.17 "
    "switches it on for all links or none, which ends what they take from router advertisements; "
    "--uplink user carries it"
)


class Nat6:
    """`link`: the host's end of the pair. `pool`: names the region's one address of IPv6."""

    def __init__(self, link: str, pool: str) -> None:
        self._link = link
        self._back = f"{texts.edge_address6(pool)}/128"

    def outer_links(self, host: Netlink, *, is_found: bool = False) -> list[str]:
        """Links of the default route; none where the host has no way for IPv6. `is_found`: neighbours on others, too,
        may find addresses of tasks: then these follow."""
        default = host.links_to(_DEFAULT6, 6)
        names = [link.name for link in host.links() if link.index in default]
        if is_found:
            others = (route for route in host_routes(host, 6) if not route.destination.startswith(("fe80:", "ff")))
            names += sorted({route.link for route in others} - set(names))
        return [name for name in names if name != "lo" and not name.startswith("ng")]

    def note(self, outer: list[str]) -> str:
        """Why IPv6 stays here though the host has a way for it; empty where it does not."""
        return CANNOT if outer and not _forwards("all") and _forced("all") is None else ""

    def opened(self, record: UplinkRecord, outer: list[str]) -> UplinkRecord:
        """What is to be recorded before `lead`. Where somebody made the whole host forward, it is theirs now."""
        if _forwards("all"):
            return replace(record, opened6=())
        before = [name for name in record.opened6 if _forced(name) is not None]
        closed = [name for name in outer if _forced(name) is False and name not in before]
        return replace(record, opened6=(*before, *closed))

    def lead(self, host: Netlink, record: UplinkRecord) -> None:
        """After the table that keeps others out."""
        if not _forwards("all"):
            for name in (*record.opened6, self._link):
                _force(name, True)
        if read_sysctl(f"ipv6/conf/{self._link}/disable_ipv6") == "1":
            write_sysctl(f"ipv6/conf/{self._link}/disable_ipv6", "0")
        index = host.existing(self._link).index
        host.run(
            [
                netlink.neighbour(index, texts.EDGE_HOST_HOP6, EDGE_HOST_MAC),
                netlink.route(self._back, index, via=texts.EDGE_HOST_HOP6),
            ]
        )

    def remove(self, host: Netlink, record: UplinkRecord | None) -> None:
        """Repeatable."""
        for name in (self._link, *(record.opened6 if record is not None else ())):
            _force(name, False)
        link = host.link(self._link)
        if link is not None:
            host.run([netlink.route_gone(self._back, link.index)])
            host.run([netlink.neighbour_gone(link.index, texts.EDGE_HOST_HOP6)])


def _forwards(link: str) -> bool:
    return read_sysctl(f"ipv6/conf/{link}/forwarding") == "1"


def _forced(link: str) -> bool | None:
    """None for a link that is gone, and where the kernel knows nothing of it."""
    value = read_sysctl(f"ipv6/conf/{link}/force_forwarding")
    return None if value is None else value != "0"


def _force(link: str, wanted: bool) -> None:
    if _forced(link) not in (None, wanted):
        write_sysctl(f"ipv6/conf/{link}/force_forwarding", str(int(wanted)))
