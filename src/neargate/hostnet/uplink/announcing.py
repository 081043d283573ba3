"""The host answers its neighbours for the public addresses that tasks here have of a pool that is announced.

Owns one entry of proxy ARP or NDP for each address on the link whose network finds it, that link's `proxy_delay`, and
its `proxy_ndp`. Blocking; in the host's namespace. Invariants: what is changed was recorded first; entries that were
there before are somebody else's and stay; without addresses nothing of ours is left.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from ...uplink.pools import HostRoute, Outside, announcing_link
from .. import netlink
from ..host_state import host_routes
from ..namespaces import read_sysctl, write_sysctl
from ..netlink import Netlink
from .herald import Herald
from .record import UplinkFiles, UplinkRecord

Entry = tuple[str, str]  # link, address
Routes = Mapping[int, Sequence[HostRoute]]  # by version
_SAID_MAX = 4
# The kernel answers for others after a random part of 0.8 s: first connections would have given up by then.
_DELAY = "ipv4/neigh/{}/proxy_delay"
_DELAY6, _PROXY6 = "ipv6/neigh/{}/proxy_delay", "ipv6/conf/{}/proxy_ndp"


class Announcing:
    def __init__(self, files: UplinkFiles) -> None:
        self._files = files
        self._herald = Herald()

    def look(
        self,
        host: Netlink,
        record: UplinkRecord,
        outside: Outside,
        defaults: Mapping[int, str],
        own: Collection[str] = (),
    ) -> tuple[str, ...]:
        """Make and remove what is needed; sentences on what is announced where. `record`: as it was written last.

        `defaults`: by version, the link that packets leave by. `own`: what the host takes for itself, as CIDRs.
        """
        if not outside.announced and not record.answered and not _before(record):
            self._herald.tell(())
            return ()
        links = {link.name: link.index for link in host.links()}
        routes = {version: host_routes(host, version) for version in (4, 6)}
        found = _found(routes, outside.announced, defaults)
        taken = _taken(routes, own, found)
        found = {address: link for address, link in found.items() if address not in taken}
        deaf = {link for address, link in found.items() if ":" in address and not _is_router(link)}
        wanted = {(link, one) for one, link in found.items() if link in links and (":" not in one or link not in deaf)}
        names = {index: name for name, index in links.items()}
        there = {(names[index], address) for index, address in netlink.proxied(host) if index in names}
        ours = {entry for entry in record.answered if entry[0] in links}
        kept = (ours & there) | (wanted - there)
        switches = _switches(wanted)
        settled = self._settled(record, kept, switches)
        self._set_delays(settled, switches)
        host.run([netlink.proxy(links[link], address) for link, address in sorted(wanted - there)])
        host.run([netlink.proxy_gone(links[link], address) for link, address in sorted(kept - wanted)])
        self._write(settled, answered=kept & wanted, switches=switches)
        said = (f"{one} is this machine's own or its gateway's, and not announced" for one in sorted(taken)[:_SAID_MAX])
        return (*_told(found, links, deaf), *said, *self._herald.tell(wanted))

    def remove(self, host: Netlink, record: UplinkRecord) -> None:
        """Repeatable."""
        links = {link.name: link.index for link in host.links()}
        host.run([netlink.proxy_gone(links[link], address) for link, address in record.answered if link in links])
        self._set_delays(record, {})

    def _settled(self, record: UplinkRecord, entries: set[Entry], switches: Mapping[str, str]) -> UplinkRecord:
        """Recorded: what is going to be changed, and how switches were before."""
        known = _before(record)
        for name in switches.keys() - known.keys():
            before = read_sysctl(name)
            if before not in (None, switches[name]):
                known[name] = str(before)
        settled = replace(record, answered=tuple(sorted(entries)), delays=(), switched=tuple(sorted(known.items())))
        if settled != record:
            self._files.write(settled)
        return settled

    def _write(self, settled: UplinkRecord, *, answered: set[Entry], switches: Mapping[str, str]) -> None:
        """What is no longer there is no longer in the record."""
        switched = tuple((name, value) for name, value in settled.switched if name in switches)
        left = replace(settled, answered=tuple(sorted(answered)), switched=switched)
        if left != settled:
            self._files.write(left)

    def _set_delays(self, record: UplinkRecord, switches: Mapping[str, str]) -> None:
        """As wanted; elsewhere as it was, unless somebody has set another one since."""
        for name, before in _before(record).items():
            now = read_sysctl(name)
            if name in switches and now not in (None, switches[name]):
                write_sysctl(name, switches[name])
            elif name not in switches and now == _ours(name):
                write_sysctl(name, before)


def _before(record: UplinkRecord) -> dict[str, str]:
    """Switch -> what it was before us."""
    return {_DELAY.format(link): value for link, value in record.delays} | dict(record.switched)


def _ours(name: str) -> str:
    return "1" if name.endswith("/proxy_ndp") else "0"


def _switches(wanted: Iterable[Entry]) -> dict[str, str]:
    found = {
        kind.format(link) for link, address in wanted for kind in ((_DELAY6, _PROXY6) if ":" in address else (_DELAY,))
    }
    return {name: _ours(name) for name in found}


def _taken(routes: Routes, own: Iterable[str], addresses: Iterable[str]) -> set[str]:
    """Of these, the host's own and its gateways': it may have got them after the pool was led to tasks."""
    networks = [ip_network(cidr) for cidr in own]
    gateways = {route.gateway for known in routes.values() for route in known}
    return {one for one in addresses if one in gateways or any(ip_address(one) in network for network in networks)}


def _found(routes: Routes, announced: Iterable[str], defaults: Mapping[int, str]) -> dict[str, str]:
    """Address -> the link whose network finds it; empty without one."""
    return {
        address: announcing_link(address, routes[version], defaults.get(version, ""))
        for address in sorted(announced)
        for version in (6 if ":" in address else 4,)
    }


def _is_router(link: str) -> bool:
    """The kernel answers for others by IPv6 only where it is a router. Making it one is not ours: it would end what the
    link takes from router advertisements, perhaps its only address."""
    return read_sysctl(f"ipv6/conf/{link}/forwarding") == "1"


def _told(found: Mapping[str, str], links: Mapping[str, int], deaf: Iterable[str]) -> Iterable[str]:
    counts: dict[str, int] = {}
    for link in found.values():
        counts[link] = counts.get(link, 0) + 1
    for link, count in sorted(counts.items()):
        if link in links:
            yield f"{link}: answers its neighbours for public addresses of tasks"
        else:
            yield f"{count} public addresses are announced nowhere: no link of this machine leads to their network"
    for link in sorted(deaf):
        if link in links:
            yield (
                f"{link}: answers nobody by IPv6, since net.ipv6.conf.{link}.forwarding is off; with accept_ra=2 "
                "beside it the link goes on to take router advertisements"
            )
