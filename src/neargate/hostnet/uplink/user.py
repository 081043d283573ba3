"""`--uplink user`: what tasks send leaves by pasta's sockets, and the host is changed in nothing.

Owns that one pasta runs, joined to the edge, and that it is started again later each time it dies early. Blocking; for
the one thread of the uplink's lane, in the host's namespace, which pasta's sockets are born in.
"""

from collections.abc import Callable
from pathlib import Path

from ...interfaces.hostnet import HostError
from ..host_state import own_networks, own_networks6
from ..namespaces import Namespaces
from ..netlink import Netlink
from .edge import EdgeSide
from .pasta import Pasta, PastaProcess, program
from .record import UplinkFiles, UplinkRecord

STARTS = "pasta starts"  # nothing is wrong: it is on its way
STABLE_S = 10.0  # what lived so long died of something new
READY_S = 10.0  # what takes longer is ended and started again
FREE_RESTARTS = 2
_HALF = "IPv6 stays on this machine: it had no way for it when pasta began; it has one after neargate down and up"
RESTART_MIN_S, RESTART_MAX_S = 0.5, 30.0


class UserUplink:
    def __init__(
        self,
        files: UplinkFiles,
        edge: EdgeSide,
        process: PastaProcess,
        *,
        monotonic: Callable[[], float],
        die: Callable[[str], None],
    ) -> None:
        self._files = files
        self._edge = edge
        self._process = process
        self._monotonic = monotonic
        self._die = die
        self._pasta: Pasta | None = None
        self._started_at = 0.0
        self._early_deaths = 0
        self._counted = False  # the death of the one that was started last
        self._looked_around = False
        self.notes: tuple[str, ...] = ()

    def look(self, host: Netlink) -> Pasta:
        """The one that tasks' packets pass through now. Raises HostError while there is none."""
        self._edge.keep_off(own_networks(host) | own_networks6(host))
        if self._pasta is None or not self._process.is_alive(self._pasta):
            self._pasta = self._found()
        tap = Namespaces(Path(f"/proc/{self._pasta.held}/ns"), self._die)
        carries_ipv6 = self._edge.lead_to_tap(tap, "net")
        self.notes = (_HALF,) if not carries_ipv6 and host.links_to("::/0", 6) else ()
        return self._pasta

    def remove(self) -> None:
        self._process.end()
        self._pasta = None

    def _found(self) -> Pasta:
        # A walk over all processes: once for what an earlier agent left, then only while one starts.
        if not self._looked_around or self._process.is_starting:
            self._looked_around = True
            found = self._process.find()
            if found is not None:
                return found
        now = self._monotonic()
        if self._process.is_starting and now - self._started_at < READY_S:
            raise HostError(STARTS)
        if self._started_at:
            self._died(now)
        self._start(now)
        raise HostError(STARTS)

    def _died(self, now: float) -> None:
        """Raises HostError while it is not to be started again yet."""
        if not self._counted:
            self._counted = True
            self._early_deaths = self._early_deaths + 1 if now - self._started_at < STABLE_S else 0
        if now - self._started_at < restart_delay_s(self._early_deaths):
            raise HostError(f"pasta ended: {self._process.last_words() or 'it said nothing'}")

    def _start(self, now: float) -> None:
        binary = program()
        if binary is None:
            raise HostError("pasta is not installed; apt-get install passt, or choose another --uplink")
        self._files.write(UplinkRecord(mode="user"))
        self._started_at, self._counted = now, False
        self._process.start(binary)


def restart_delay_s(early_deaths: int) -> float:
    """From the last start on: at once at first, then doubling up to a bound."""
    if early_deaths <= FREE_RESTARTS:
        return 0.0
    return float(min(RESTART_MIN_S * 2 ** (min(early_deaths, 32) - FREE_RESTARTS - 1), RESTART_MAX_S))
