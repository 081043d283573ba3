"""One VPC's traffic on one host, from what the kernel counts to windows of flow logs.

Owns what of each flow was counted before, so that a long flow has a record in each window with what came since.
Invariant: a flow's packets are counted once, whether it is seen in a dump, at its end or in both; one that began before
anybody counted is counted from when it was first seen.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ..model.flow_logs import ACCEPT, REJECT, PlannedFlowLog
from .interfaces import Interface, Interfaces
from .messages import EGRESS, EGRESS_OVER, INGRESS_KNOWN, INGRESS_OVER, Counts, Ends, Flow, Rejection
from .sightings import is_unlogged, sightings
from .windows import Event, Share, Window

_NOTHING = Counts(0, 0, 0, 0)


class Ledger:
    """`since`: when counting began here, epoch seconds. `local_mark`: of packets within the VPC."""

    def __init__(self, since: float, *, local_mark: int, records_max: int, interface_max: int, flows_max: int) -> None:
        self.interfaces = Interfaces()
        self.paths: Mapping[int, int] = {}  # a flow's mark -> what AWS calls its traffic path
        self.gateways: Mapping[int, Interface] = {}  # a flow's mark -> the NAT gateway that it passes
        self._since = since
        self._local_mark = local_mark
        self._bounds = {"records_max": records_max, "interface_max": interface_max}
        self._flows_max = flows_max
        self._windows: dict[str, Window] = {}
        self._ends: dict[str, float] = {}
        self._counted: dict[bytes, tuple[Counts, int]] = {}  # by flow; and in which dump it was seen last
        self._dump = 0
        self._is_full = False  # in this dump there were more flows than are remembered
        self._skips = 0

    def keep(self, logs: Iterable[PlannedFlowLog], now: float, interval_max_s: float) -> None:
        """Windows for exactly these; one that is new begins now. They end together, at full intervals of the clock."""
        wanted = {log.flow_log_id: log for log in logs}
        for gone in self._windows.keys() - wanted.keys():
            del self._windows[gone], self._ends[gone]
        for log_id, log in wanted.items():
            if log_id not in self._windows:
                self._begin(log, now, interval_max_s)

    def is_due(self, now: float) -> bool:
        return any(end <= now for end in self._ends.values())

    def flow(self, flow: Flow, now: float, *, ended: bool) -> None:
        """What it counted since it was seen last, for the interfaces at its ends."""
        before = self._before(flow, ended=ended)
        if before is None:
            return
        counts = flow.counts
        since = Counts(
            counts.packets - before.packets,
            counts.bytes - before.bytes,
            counts.packets_back - before.packets_back,
            counts.bytes_back - before.bytes_back,
        )
        if since.packets > 0 or since.packets_back > 0:
            for interface, share in sightings(flow, since, now, self.interfaces, self.gateways, self.paths):
                self._add(interface, share)

    def rejected(self, rejection: Rejection, now: float) -> None:
        is_egress = rejection.prefix in (EGRESS, EGRESS_OVER)
        ends, interface = self._rejecting(rejection, now, is_egress=is_egress)
        sender = None
        if rejection.prefix not in (EGRESS, EGRESS_OVER, INGRESS_KNOWN) and rejection.mark == self._local_mark:
            # The kernel forgets a flow whose first packet is dropped, but its sender was allowed to send it.
            sender = self.interfaces.find(ends.source, now)
        if rejection.prefix in (EGRESS_OVER, INGRESS_OVER):
            for each in (interface, sender):
                if each is not None:
                    self.skip(each.eni_id)
            return
        share = Share(
            is_egress=is_egress,
            action=REJECT,
            protocol=rejection.protocol,
            ends=ends,
            packets=1,
            size=rejection.size,
            begin=now,
            end=now,
            flags=rejection.flags if rejection.protocol == 6 else None,
            path=self.paths.get(rejection.mark),
            reverts=rejection.prefix == INGRESS_KNOWN,
        )
        if interface is not None and not is_unlogged(rejection.protocol, ends, interface):
            self._add(interface, share)
        if sender is not None and not is_unlogged(rejection.protocol, ends, sender):
            self._add(sender, replace(share, is_egress=True, action=ACCEPT))

    def skip(self, eni_id: str) -> None:
        for window in self._windows.values():
            window.skip(eni_id)

    def skip_all(self) -> None:
        """Something was lost, and nobody knows of whom."""
        for interface in self.interfaces.all:
            self.skip(interface.eni_id)

    def dumped(self) -> None:
        """All flows were seen; those that were not, nor the time before, are gone and their end was not told."""
        self._dump += 1
        if self._is_full:
            self._is_full = False
            self.skip_all()
        for key in [key for key, (_, seen) in self._counted.items() if seen < self._dump - 1]:
            del self._counted[key]

    def close(
        self, now: float, interval_max_s: float, *, all_windows: bool = False
    ) -> list[tuple[str, str, list[Event]]]:
        """(flow log, interface, events) of the windows that are over; the next ones begin."""
        closed = []
        for log_id in [log_id for log_id, end in self._ends.items() if all_windows or end <= now]:
            window = self._windows[log_id]
            for eni_id, events in window.events(self.interfaces.all, now).items():
                closed.append((log_id, eni_id, events))
            self._skips += window.skips
            self._begin(window.log, now, interval_max_s)
        return closed

    def taken_skips(self) -> int:
        """SKIPDATA records of the windows that were closed since this was asked last."""
        taken, self._skips = self._skips, 0
        return taken

    def _begin(self, log: PlannedFlowLog, now: float, interval_max_s: float) -> None:
        interval_s = min(float(log.interval_s), interval_max_s)
        self._windows[log.flow_log_id] = Window(log, now, **self._bounds)
        self._ends[log.flow_log_id] = (now // interval_s + 1) * interval_s

    def _before(self, flow: Flow, *, ended: bool) -> Counts | None:
        """What was counted of it already; None where that is not known."""
        known = self._counted.pop(flow.key, None) if ended else self._counted.get(flow.key)
        if known is None and not ended and len(self._counted) >= self._flows_max:
            # Remembered not at all it would be counted twice. Said once of a dump: it may be so of all its flows.
            if not self._is_full:
                self._is_full = True
                self.skip_all()
            return None
        if not ended:
            self._counted[flow.key] = (flow.counts, self._dump)
        if known is not None:
            return known[0]
        return _NOTHING if flow.started_ns / 1e9 >= self._since else None

    def _rejecting(self, rejection: Rejection, now: float, *, is_egress: bool) -> tuple[Ends, Interface | None]:
        """The packet's ends as a line shows them: an interface by its private address."""
        ends = rejection.ends
        if is_egress:
            return ends, self.interfaces.find(ends.source, now)
        found = self.interfaces.find(ends.destination, now)
        if found is None and (found := self.interfaces.find_public(ends.destination, now)) is not None:
            ends = Ends(ends.source, found.addresses[0], ends.source_port, ends.destination_port)
        return ends, found

    def _add(self, interface: Interface, share: Share) -> None:
        for window in self._windows.values():
            if window.takes(interface):
                window.add(interface, replace(share, begin=max(window.begun, share.begin)))
