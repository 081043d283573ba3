"""The host answers its neighbours for the public addresses that tasks here have of a pool that is announced.

Owns one entry of proxy ARP for each address on the link whose network finds it, and that link's `proxy_delay`.
Blocking; in the host's namespace. Invariants: what is changed was recorded first; entries that were there before are
somebody else's and stay; without addresses nothing of ours is left.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ...uplink.pools import Outside, announcing_link
from .. import netlink
from ..host_state import host_routes
from ..namespaces import read_sysctl, write_sysctl
from ..netlink import Netlink
from .record import UplinkFiles, UplinkRecord

Entry = tuple[str, str]  # link, address
# The kernel answers for others after a random part of 0.8 s: first connections would have given up by then.
_AT_ONCE = "0"


class Announcing:
    def __init__(self, files: UplinkFiles) -> None:
        self._files = files

    def look(self, host: Netlink, record: UplinkRecord, outside: Outside, default: str) -> tuple[str, ...]:
        """Make and remove what is needed; sentences on what is announced where. `record`: as it was written last.

        `default`: the link that packets leave by.
        """
        if not outside.announced and not record.answered and not record.delays:
            return ()
        routes, links = host_routes(host), {link.name: link.index for link in host.links()}
        found = {address: announcing_link(address, routes, default) for address in sorted(outside.announced)}
        wanted = {(link, address) for address, link in found.items() if link in links}
        names = {index: name for name, index in links.items()}
        there = {(names[index], address) for index, address in netlink.proxied(host) if index in names}
        ours = {entry for entry in record.answered if entry[0] in links}
        kept = (ours & there) | (wanted - there)
        settled = self._settled(record, kept, {link for link, _ in wanted})
        self._set_delays(settled, {link for link, _ in wanted})
        host.run([netlink.proxy(links[link], address) for link, address in sorted(wanted - there)])
        host.run([netlink.proxy_gone(links[link], address) for link, address in sorted(kept - wanted)])
        self._write(settled, answered=kept & wanted, links={link for link, _ in wanted})
        return tuple(_told(found, links))

    def remove(self, host: Netlink, record: UplinkRecord) -> None:
        """Repeatable."""
        links = {link.name: link.index for link in host.links()}
        host.run([netlink.proxy_gone(links[link], address) for link, address in record.answered if link in links])
        self._set_delays(record, set())

    def _settled(self, record: UplinkRecord, entries: set[Entry], links: set[str]) -> UplinkRecord:
        """Recorded: what is going to be changed, and how links were before."""
        known = dict(record.delays)
        for link in links - known.keys():
            before = read_sysctl(f"ipv4/neigh/{link}/proxy_delay")
            if before not in (None, _AT_ONCE):
                known[link] = str(before)
        settled = replace(record, answered=tuple(sorted(entries)), delays=tuple(sorted(known.items())))
        if settled != record:
            self._files.write(settled)
        return settled

    def _write(self, settled: UplinkRecord, *, answered: set[Entry], links: set[str]) -> None:
        """What is no longer there is no longer in the record."""
        delays = tuple((link, value) for link, value in settled.delays if link in links)
        left = replace(settled, answered=tuple(sorted(answered)), delays=delays)
        if left != settled:
            self._files.write(left)

    def _set_delays(self, record: UplinkRecord, links: set[str]) -> None:
        """None where something is announced; elsewhere as it was, unless somebody has set another one since."""
        for link, before in record.delays:
            name = f"ipv4/neigh/{link}/proxy_delay"
            now = read_sysctl(name)
            if link in links and now not in (None, _AT_ONCE):
                write_sysctl(name, _AT_ONCE)
            elif link not in links and now == _AT_ONCE:
                write_sysctl(name, before)


def _told(found: Mapping[str, str], links: Mapping[str, int]) -> Iterable[str]:
    counts: dict[str, int] = {}
    for link in found.values():
        counts[link] = counts.get(link, 0) + 1
    for link, count in sorted(counts.items()):
        if link in links:
            yield f"{link}: answers its neighbours for public addresses of tasks"
        else:
            yield f"{count} public addresses are announced nowhere: no link of this machine leads to their network"
