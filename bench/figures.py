"""What a benchmark answers: one figure with its raw samples, its goal, and what it was measured against."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`goal`: `<= 0.8` or `>= 10`, None for a figure that explains another. `samples`: every raw value, by series."""

    name: str
    value: float
    unit: str
    against: str
    goal: str | None = None
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    load: float = 0.0
    command: str = ""

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        sign, _, bound = self.goal.partition(" ")
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


def quantile(values: Sequence[float], q: float) -> float:
    """The smallest sample that at least the share `q` of all samples does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-q * len(ordered) // 1) - 1))]


def spread(values: Sequence[float]) -> str:
    """`median (least .. most)` for notes."""
    return f"{median(values):.1f} ({min(values):.1f} .. {max(values):.1f})"


class Load:
    """How busy all processors were during a block, ours included: 0 idle, 1 all busy."""

    def __enter__(self) -> "Load":
        self._before = _ticks()
        self.busy = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        busy, total = (after - before for after, before in zip(_ticks(), self._before, strict=True))
        self.busy = busy / max(1, total)


def _ticks() -> tuple[int, int]:
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def foreign_load(seconds: float = 1.0) -> float:
    """Share of the processors that others use while nothing of ours runs."""
    with Load() as load:
        time.sleep(seconds)
    return load.busy


def as_entry(figure: Figure) -> dict[str, Any]:
    """One entry of results.json."""
    entry = asdict(figure)
    entry["met"] = figure.met
    entry["value"] = round(figure.value, 4)
    entry["load"] = round(figure.load, 3)
    entry["samples"] = {name: [round(value, 4) for value in values] for name, values in figure.samples.items()}
    return entry


def save(figures: Sequence[Figure]) -> None:
    """Replace the entries of the figures just measured; keep those of other benchmarks."""
    fresh = {figure.name: as_entry(figure) for figure in figures}
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    kept = [entry for entry in known if entry["name"] not in fresh]
    temporary = RESULTS.with_suffix(".new")
    temporary.write_text(json.dumps([*kept, *fresh.values()], indent=1) + "\n")
    temporary.replace(RESULTS)


def show(figure: Figure) -> None:
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    goal = figure.goal or "-"
    print(f"{figure.name:<48} {figure.value:>9.2f} {figure.unit:<10} {goal:>9}  {verdict:<7} busy {figure.load:4.0%}")
    print(f"    against: {figure.against}")
    for note in figure.notes:
        print(f"    {note}")


def cores() -> int:
    return os.cpu_count() or 1
