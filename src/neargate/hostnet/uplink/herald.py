"""Neighbours hear at once that a public address is here now: one frame for each, from the link that it is announced on.

Owns what was told since this process began: an agent that starts tells of all again, since they may have been
elsewhere meanwhile. Blocking; in the host's namespace. Invariant: what cannot be sent harms nothing; it is tried again.
"""

import socket
from collections.abc import Collection

from ...uplink.heralds import Entry, due, frame

_ETHERNET = 1  # ARPHRD_ETHER


class Herald:
    def __init__(self) -> None:
        self._told: dict[Entry, int] = {}

    def tell(self, wanted: Collection[Entry]) -> tuple[str, ...]:
        """After the host answers for them. Sentences on links where nobody can be told."""
        self._told = {entry: times for entry, times in self._told.items() if entry in wanted}
        by_link: dict[str, list[Entry]] = {}
        for entry in due(wanted, self._told):
            by_link.setdefault(entry[0], []).append(entry)
        return tuple(said for link, entries in sorted(by_link.items()) if (said := self._send(link, entries)))

    def _send(self, link: str, entries: list[Entry]) -> str:
        """Why not; empty when all are told."""
        try:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as out:
                out.bind((link, 0))
                _, _, _, kind, mac = out.getsockname()
                for entry in entries:
                    if kind == _ETHERNET:  # others have no neighbours that could ask
                        out.send(frame(mac, entry[1], self._told.get(entry, 0)))
                    self._told[entry] = self._told.get(entry, 0) + 1
        except OSError as error:
            return f"{link}: neighbours are not told of addresses that came here: {error.strerror or error}"
        return ""
