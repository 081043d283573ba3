"""What nodes said last of the targets that they check. In memory alone: nodes say it again to a server that begins.

Must not know records. Invariant: of a node only its newest report counts, and nothing of one that is gone.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from msgspec.structs import replace

from ...model.balancing import NodeReport, TargetVerdict

_SILENT = "Its host is silent."


class Verdicts:
    """By node. `listen`: called with the ARNs of the groups of which something else is said than before. `unplanned`:
    load balancers whose nodes cannot be told of their last changes, with a sentence for the operator.
    """

    def __init__(self) -> None:
        self.unplanned: dict[str, str] = {}
        self._reports: dict[str, NodeReport] = {}  # place -> its newest
        self._verdicts: dict[str, dict[str, dict[str, TargetVerdict]]] = {}  # group -> place -> target
        self._listeners: list[Callable[[Sequence[str]], None]] = []
        self._fresh: set[str] = set()  # places that said something since somebody looked

    def listen(self, listener: Callable[[Sequence[str]], None]) -> None:
        self._listeners.append(listener)

    def heard(self, report: NodeReport) -> None:
        """One of an older plan than the last is late, and says nothing."""
        before = self._reports.get(report.place)
        if before is not None and before.generation > report.generation:
            return
        self._fresh.add(report.place)
        self._take(report, before)

    def fresh(self) -> frozenset[str]:
        """Places of nodes that said something since this was asked last."""
        found, self._fresh = frozenset(self._fresh), set()
        return found

    def places(self) -> list[str]:
        return list(self._reports)

    def lapse(self, place: str) -> None:
        """Its host has been silent for so long that the node counts as one that does not serve, and says nothing."""
        before = self._reports[place]
        if before.is_serving or before.groups:
            self._take(replace(before, is_serving=False, groups=(), why=_SILENT), before)

    def _take(self, report: NodeReport, before: NodeReport | None) -> None:
        self._reports[report.place] = report
        said = {one.group: {each.key: each for each in one.targets} for one in report.groups}
        known = {group for group, places in self._verdicts.items() if report.place in places}
        changed = []
        for group in sorted(known | said.keys()):
            places = self._verdicts.setdefault(group, {})
            if places.get(report.place) != said.get(group):
                changed.append(group)
            if group in said:
                places[report.place] = said[group]
            else:
                del places[report.place]
            if not places:
                del self._verdicts[group]
        is_other = before is None or before.is_serving != report.is_serving or before.generation != report.generation
        if changed or is_other:
            self._tell(changed or sorted(said))

    def forget_others(self, places: Collection[str]) -> None:
        """All but those of these nodes."""
        for place in [place for place in self._reports if place not in places]:
            del self._reports[place]
        for group, known in list(self._verdicts.items()):
            for place in [place for place in known if place not in places]:
                del known[place]
            if not known:
                del self._verdicts[group]

    def report(self, place: str) -> NodeReport | None:
        return self._reports.get(place)

    def of_target(self, group: str, key: str) -> Iterator[tuple[str, TargetVerdict]]:
        """(place, what its node says), of nodes that say something."""
        for place, targets in self._verdicts.get(group, {}).items():
            if key in targets:
                yield place, targets[key]

    def _tell(self, groups: Sequence[str]) -> None:
        for listener in self._listeners:
            listener(groups)
