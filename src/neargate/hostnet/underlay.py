"""The underlay's own flow log: strays that rules have dropped are read, counted, written to a file and told.

Owns two log groups at most (the edge's, and with `--uplink nat` the host's), what was counted so far, and the lines.
What a stray is, the rules decide (`uplink.strays`). Invariant: reading holds up no packet, and a reader that is gone
loses lines of the log, not the counters, which stand in the kernel.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from ..interfaces.hostnet import Strays
from ..log import get_logger
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..uplink.strays import COUNTER, EDGE_GROUP, StrayFlow, StrayFlows, clock, flow_line, host_group
from ..uplink.texts import mark
from ..world import World
from .edge import NAMESPACE
from .namespaces import Namespaces
from .netlink import Netlink
from .nflog import PacketLog
from .nftables import Nftables, NftablesError, NftablesMissing

_LANE = "uplink"
_FILE = "underlay.json"
_FAILURES = (OSError, NftablesError, NftablesMissing)
log = get_logger(__name__)


class UnderlayState(msgspec.Struct, frozen=True, kw_only=True):
    """`packets`, `bytes`: all strays since the edge was made. `seen`: what counters showed when last read.

    `first_at`, `last_at`: epoch seconds of those that were shown. `deaf`: why some are counted and not shown.
    """

    packets: int = 0
    bytes: int = 0
    seen: dict[str, tuple[int, int]] = {}
    first_at: float = 0.0
    last_at: float = 0.0
    last: str = ""
    deaf: str = ""


def read_state(run_directory: Path) -> UnderlayState:
    """Of the region whose networks lie there. Raises PermissionError for whoever may not look."""
    try:
        return msgspec.json.decode((run_directory / _FILE).read_bytes(), type=UnderlayState)
    except (FileNotFoundError, msgspec.DecodeError):
        return UnderlayState()


class _Place:
    """One namespace where strays are counted: its log, its counters, the names of its links."""

    def __init__(self, name: str, group: int, tables: frozenset[str] | None) -> None:
        self.name = name
        self.deaf = ""
        self._tables = tables
        self.packets: PacketLog | None = None
        self.links = Netlink()
        self._rules = Nftables()
        try:
            self.packets = PacketLog(group)
        except OSError as error:
            self.deaf = f"what the {name} drops is counted and not shown: {error}"

    def counters(self) -> dict[str, tuple[int, int]]:
        found = {}
        for entry in self._rules.objects("counters"):
            counter = entry.get("counter")
            if counter is None or counter["name"] != COUNTER:
                continue
            if self._tables is None or counter["table"] in self._tables:
                found[f"{self.name} {counter['table']}"] = (int(counter["packets"]), int(counter["bytes"]))
        return found

    def link_names(self) -> Callable[[int], str]:
        """By index, with the namespace's name; empty for none."""
        names = {link.index: link.name for link in self.links.links()}
        return lambda index: f"{self.name}:{names.get(index, index)}" if index else ""

    def close(self) -> None:
        if self.packets is not None:
            self.packets.close()
        self.links.close()
        self._rules.close()


class Underlay:
    """Opened by `start` when the edge is there. `log_file`: flow lines are added to it; it is bounded elsewhere."""

    def __init__(
        self,
        world: World,
        *,
        instance: str,
        run_dir: Path,
        log_file: Path,
        has_host_table: bool,
        knobs: Knobs = DEFAULT_KNOBS,
    ) -> None:
        self._world = world
        self._instance = instance
        self._run_dir = run_dir
        self._log_file = log_file
        self._has_host_table = has_host_table
        self._knobs = knobs
        self._namespaces = Namespaces(run_dir / "netns", world.die)
        self._places: list[_Place] = []
        self._flows: dict[str, StrayFlows] = {}
        self._state = UnderlayState()
        self._saved: UnderlayState | None = None
        self._told_at: float | None = None
        self._keeper: asyncio.Task[object] | None = None

    @property
    def strays(self) -> Strays:
        """As far as they were counted."""
        last = f"{clock(self._state.last_at)} {self._state.last}" if self._state.last else ""
        return Strays(packets=self._state.packets, last=last)

    async def start(self) -> None:
        """Tasks run without it: what cannot be listened to is told, and counted all the same."""
        await self.leave()
        try:
            await self._world.offload(_LANE, self._open)
        except _FAILURES as error:
            log.warning("the underlay has no flow log", why=str(error))
            return
        self._keeper = self._world.spawn(self._keep(), "underlay")

    async def leave(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
            await self._world.offload(_LANE, self._write, self._taken())
        await self._world.offload(_LANE, self._close)

    async def remove(self) -> None:
        """What was counted goes with what counted it; the log stays with the processes' own."""
        await self.leave()
        await self._world.offload(_LANE, lambda: (self._run_dir / _FILE).unlink(missing_ok=True))

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        sockets = [place.packets.socket for place in self._places if place.packets is not None]
        for made in sockets:
            loop.add_reader(made, self._read, arrived)
        try:
            while True:
                await self._world.offload(_LANE, self._write, self._taken())
                await self._pause(arrived)
        finally:
            for made in sockets:
                loop.remove_reader(made)

    async def _pause(self, arrived: asyncio.Event) -> None:
        """Until there is something to write: the first at once, what follows after a while; counters now and then."""
        since = self._world.monotonic()
        with suppress(TimeoutError):  # Python 3.11's wait_for loses a cancellation that meets a packet
            async with asyncio.timeout(self._knobs.underlay_event_s):
                await arrived.wait()
        left = since + self._knobs.underlay_write_s - self._world.monotonic()
        if left > 0:
            await self._world.sleep(left)
        arrived.clear()

    def _read(self, arrived: asyncio.Event) -> None:
        """At once: what waits in a socket would call again and again."""
        now = self._world.now()
        for place in self._places:
            if place.packets is not None:
                flows = self._flows.setdefault(place.name, StrayFlows(self._knobs.underlay_flows_max))
                for packet in place.packets.read():
                    flows.add(packet, now)
        if any(self._flows.values()):
            arrived.set()

    def _taken(self) -> list[tuple[_Place, StrayFlow]]:
        """What was gathered since the last time. On the loop's thread, as `_read` is."""
        gathered = [(place, self._flows.get(place.name)) for place in self._places]
        return [(place, flow) for place, flows in gathered if flows is not None for flow in flows.taken()]

    def _open(self) -> None:
        self._state = read_state(self._run_dir)
        with self._namespaces.inside(NAMESPACE):
            self._places.append(_Place("edge", EDGE_GROUP, None))
        if self._has_host_table:
            tables = frozenset({mark(self._instance)})
            self._places.append(_Place("host", host_group(self._instance), tables))
        deaf = "; ".join(place.deaf for place in self._places if place.deaf)
        if deaf:
            log.warning("the underlay's flow log is not whole", why=deaf)
        self._state = msgspec.structs.replace(self._state, deaf=deaf)

    def _close(self) -> None:
        for place in self._places:
            place.close()
        self._places, self._flows = [], {}

    def _write(self, flows: list[tuple[_Place, StrayFlow]]) -> None:
        """What was gathered, and what the counters say since they were read last. A full disk costs lines."""
        try:
            self._add_lines(flows)
        except OSError as error:
            log.warning("the underlay's flow log cannot be written", why=str(error))
        before, self._state = self._state, self._counted(flows)
        if self._state.packets != before.packets:
            self._tell(self._state.packets - before.packets)
        if self._state == self._saved:
            return
        try:
            _save(self._run_dir / _FILE, self._state)
            self._saved = self._state
        except OSError as error:
            log.warning("what the underlay counted cannot be written", why=str(error))

    def _add_lines(self, flows: list[tuple[_Place, StrayFlow]]) -> None:
        if not flows:
            return
        names = {place.name: place.link_names() for place in self._places}
        lines = [flow_line(flow, names[place.name]) for place, flow in flows]
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with open(os.open(self._log_file, flags, 0o600), "a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def _counted(self, flows: list[tuple[_Place, StrayFlow]]) -> UnderlayState:
        """A counter that shows less than before began anew with its table."""
        state = self._state
        seen: dict[str, tuple[int, int]] = {}
        packets, size = state.packets, state.bytes
        for place in self._places:
            with suppress(NftablesError):
                seen |= place.counters()
        for name, (now_packets, now_bytes) in seen.items():
            old_packets, old_bytes = state.seen.get(name, (0, 0))
            anew = now_packets < old_packets
            packets += now_packets - (0 if anew else old_packets)
            size += now_bytes - (0 if anew else old_bytes)
        first_at, last_at, last = state.first_at, state.last_at, state.last
        for _, flow in flows:
            first_at = first_at or flow.first
            if flow.last >= last_at:
                last_at, last = flow.last, flow.ends
        return msgspec.structs.replace(
            state, packets=packets, bytes=size, seen=seen, first_at=first_at, last_at=last_at, last=last
        )

    def _tell(self, more: int) -> None:
        now = self._world.monotonic()
        if self._told_at is None or now >= self._told_at + self._knobs.underlay_event_s:
            self._told_at = now
            log.warning(
                "underlay: packets of tasks that are neither overlay nor link were dropped",
                packets=more,
                all=self._state.packets,
                last=self._state.last,
                flow_log=str(self._log_file),
            )


def _save(path: Path, state: UnderlayState) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"~{path.name}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(state))
    os.replace(temporary, path)
