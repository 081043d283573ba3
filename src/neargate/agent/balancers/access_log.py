"""One node's access log: what its proxy says of requests becomes lines of AWS's, for whoever brings them away.

Owns the socket that the proxy writes to, and the count of what was lost. Must not know links. Invariants: the proxy
waits for nobody, and nothing here grows without a bound: what there is no room or no time for is lost and counted. The
proxy numbers its lines, so that those that never came are counted, too; only what it said while there was no agent is
not.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from ...flowlogs.windows import Event
from ...interfaces.hostnet import HostError
from ...interfaces.proxies import AccessLines, ProxyHost
from ...model.balancing import BalancerPlan, PlannedNode
from ...model.knobs import Knobs
from ...proxying import access_format, access_lines
from ...proxying.access_lines import Names
from ...world import World
from ..seldom import SeldomNote

LANE, HOST_LANE = "access-logs", "balancers"
_SOURCES_MAX = 1024
_LOST_AT_ONCE_MAX = 1_000_000  # whatever a proxy says
_DATAGRAM_MAX = 65_536


class Counted(Struct, frozen=True, kw_only=True):
    """`numbers`: the last of each source. `lost`: in these lines alone."""

    events: list[Event]
    numbers: dict[tuple[str, str], int]
    lost: int


class AccessLog:
    """`lost`: lines, since this object began."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        host: ProxyHost,
        eni_id: str,
        ship: AccessLines,
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._host = host
        self._eni_id = eni_id
        self._at = Path(host.directory(eni_id), access_format.SOCKET)
        self._ship = ship
        self._note = SeldomNote(world, note)
        self._sent_by = ""
        self._shown: tuple[BalancerPlan, PlannedNode, Names] | None = None  # as the last plan calls things
        self._names: Names | None = None  # and as the one before it did
        self._socket: socket.socket | None = None
        self._told: list[bytes] = []
        self._room = knobs.access_log_waiting_max_bytes
        self._numbers: dict[tuple[str, str], int] = {}
        self._is_working = False
        self.lost = 0

    async def follow(self, plan: BalancerPlan, node: PlannedNode) -> None:
        """Before the proxy is told to log. A host that cannot has no log, and serves. Who ends a proxy takes its
        directory away, this socket's name with it: then there is another."""
        self._sent_by = plan.access_log
        if not plan.access_log:
            self.close()
            return
        self._call(plan, node)
        if self._socket is not None and self._at.is_socket():
            return
        self.close()
        try:
            self._socket = await self._world.offload(HOST_LANE, self._host.log_socket, self._eni_id)
        except (HostError, OSError) as error:
            self._note(f"the proxy of {self._eni_id} has no access log yet: {error}")
            return
        asyncio.get_running_loop().add_reader(self._socket, self._read, self._socket)

    def _call(self, plan: BalancerPlan, node: PlannedNode) -> None:
        before = self._shown
        if before is not None and before[0] is plan and before[1] is node:
            return
        fresh = access_lines.names_of(plan, node)
        self._shown = plan, node, fresh
        self._names = fresh if before is None else access_lines.also(fresh, before[2])

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self, listener: socket.socket) -> None:
        """What came, without a look at it. Beyond the room it is left out, which the numbers tell later."""
        for _ in range(self._knobs.access_log_reads_at_once):
            try:
                told = listener.recv(_DATAGRAM_MAX)
            except OSError:  # nothing more
                break
            if len(told) <= self._room:
                self._room -= len(told)
                self._told.append(told)
        if self._told and not self._is_working:
            self._is_working = True
            self._world.spawn(self._work(), f"access-log-{self._eni_id}")

    async def _work(self) -> None:
        """Until nothing is left; what comes within a rest is sent together."""
        while self._told:
            await self._world.sleep(self._knobs.access_log_rest_s)
            taken, self._told = self._told, []
            names = self._names
            assert names is not None, "a plan opened the socket"
            made = await self._world.offload(LANE, counted, taken, names, self._numbers)
            self._room += sum(map(len, taken))
            self._numbers = made.numbers
            self.lost += made.lost
            if made.events and not (self._sent_by and self._ship(self._sent_by, self._eni_id, made.events)):
                self.lost += len(made.events)
        self._is_working = False


def counted(told: Sequence[bytes], names: Names, numbers: dict[tuple[str, str], int]) -> Counted:
    """Lines, in the order of their times. Of a source that is heard for the first time the number says nothing."""
    known, events, lost = dict(numbers), list[Event](), 0
    for one in told:
        entry = access_format.entry(one)
        if entry is None:
            continue  # the next number tells that one is missing
        before = known.pop(entry.source, None)
        if before is not None and entry.number > before + 1:
            lost += min(entry.number - before - 1, _LOST_AT_ONCE_MAX)
        known[entry.source] = entry.number if before is None else max(before, entry.number)
        events.append((entry.ended_us // 1000, access_lines.line(entry, names)))
    events.sort(key=lambda event: event[0])
    return Counted(events=events, numbers=dict(list(known.items())[-_SOURCES_MAX:]), lost=lost)
