"""The faults of a run: a list drawn before it begins, so that a failing seed can be shrunk by taking entries away.

Owns what each kind of fault does. Invariant: every fault ends by itself, before the run is asked to come to rest.
"""

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...store.sqlite import MemoryDisk
from .net import Net
from .region import SERVER
from .sim import Sim
from .world import Process


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """`at`, `duration_s`: virtual seconds. `count`: steps or effects. `strength`: what the kind makes of it, 0 to 1."""

    at: float
    kind: str
    target: str
    count: int = 0
    duration_s: float = 0.0
    strength: float = 0.0


_SERVER_KINDS = ("kill-step", "kill-effect", "pause", "slow-disk", "lost-commit", "failed-disk", "full-disk", "clock")
_HOST_KINDS = ("kill-step", "kill-effect", "pause", "cut", "freeze", "delay", "hostile", "clock")
_REAL_KINDS = ("engine", "engine")  # of hosts with a real agent: the engine is killed


def draw_faults(rng: random.Random, hosts: Sequence[str], *, until_s: float, real: bool) -> list[Fault]:
    """About a fault each five seconds, of all kinds or (in half of the runs) of one to four."""
    everything = [(SERVER, kind) for kind in _SERVER_KINDS] + [("", kind) for kind in _HOST_KINDS + _REAL_KINDS * real]
    allowed = everything if rng.random() < 0.5 else rng.sample(everything, rng.randint(1, 4))
    faults = []
    for _ in range(rng.randint(1, max(2, int(until_s / 4)))):
        target, kind = rng.choice(allowed)
        fault = Fault(
            at=round(2 + rng.random() * until_s, 3),
            kind=kind,
            target=target or rng.choice(hosts),
            count=1 + int(rng.random() ** 2 * (40 if kind == "kill-effect" else 400)),
            duration_s=round(rng.choice((0.05, 0.5, 3.0, 25.0)) * (0.5 + rng.random()), 3),
            strength=round(rng.random(), 3),
        )
        faults.append(fault)
    return sorted(faults, key=lambda fault: fault.at)


class Injector:
    """Arms faults, and is the weather in which blocking calls happen."""

    def __init__(self, sim: Sim, net: Net, disk: MemoryDisk, restart_engine: Callable[[str, float], None]) -> None:
        self._sim = sim
        self._net = net
        self._disk = disk
        self._rng = sim.stream("disks")
        self._slow_until = 0.0
        self._slowness = 0.0
        self._failing: str | None = None
        self._acts: Mapping[str, Callable[[Fault], None]] = {
            "kill-step": self._kill_step,
            "kill-effect": self._kill_effect,
            "pause": lambda fault: sim.pause(fault.target, fault.duration_s),
            "clock": self._clock,
            "slow-disk": self._slow_disk,
            "lost-commit": self._fail_disk,
            "failed-disk": self._fail_disk,
            "full-disk": self._full_disk,
            "cut": lambda fault: net.cut(fault.target),
            "freeze": lambda fault: net.freeze(fault.target, fault.duration_s),
            "delay": self._delay,
            "hostile": self._hostile,
            "engine": lambda fault: restart_engine(fault.target, fault.duration_s),
        }

    def arm(self, faults: Sequence[Fault]) -> None:
        for fault in faults:
            self._sim.at(fault.at, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def _strike(self, fault: Fault) -> None:
        self._sim.say("fault", f"{fault.kind} {fault.target} {fault.duration_s} s, {fault.count}, {fault.strength}")
        self._sim.count(fault.kind)
        self._acts[fault.kind](fault)

    def _kill_step(self, fault: Fault) -> None:
        self._sim.doom(fault.target, steps=fault.count, restart_after_s=fault.duration_s)

    def _kill_effect(self, fault: Fault) -> None:
        self._sim.doom(fault.target, effects=fault.count, restart_after_s=fault.duration_s)

    def _clock(self, fault: Fault) -> None:
        """Up to ten seconds off, and running up to a thousandth too fast or too slow."""
        off = 2 * fault.strength - 1
        self._sim.set_clock(fault.target, 10 * off, 1 + off / 1000)

    def _slow_disk(self, fault: Fault) -> None:
        self._slow_until = self._sim.now + fault.duration_s
        self._slowness = fault.strength

    def _fail_disk(self, fault: Fault) -> None:
        self._failing = fault.kind

    def _full_disk(self, fault: Fault) -> None:
        self._disk.is_full = True
        self._sim.at(fault.duration_s, self._freed)

    def _freed(self) -> None:
        self._disk.is_full = False

    def _delay(self, fault: Fault) -> None:
        path = self._net.path(fault.target)
        path.extra_s = 3 * fault.strength
        self._sim.at(fault.duration_s, lambda: setattr(path, "extra_s", 0.0))

    def _hostile(self, fault: Fault) -> None:
        path = self._net.path(fault.target)
        path.hostile = 0.6 * fault.strength
        self._sim.at(fault.duration_s, lambda: setattr(path, "hostile", 0.0))

    # -- the weather

    def latencies(self, process: Process, lane: str) -> tuple[float, float]:
        slow = self._slowness if process.name == SERVER and self._sim.now < self._slow_until else 0.0
        spread = 2.0 * slow if lane.startswith("store-") else 0.0
        return (
            0.0001 + (0.001 + spread) * self._rng.random(),
            0.00005 + (0.0005 + spread) * self._rng.random(),
        )

    def fails(self, process: Process, lane: str, *, after: bool) -> Exception | None:
        """An I/O error of SQLite's: before the commit, or once it was made and nobody can know."""
        if self._failing is None or process.name != SERVER or not lane.startswith("store-"):
            return None
        if after is not (self._failing == "lost-commit"):
            return None
        self._failing = None
        self._sim.expected_deaths += 1
        return sqlite3.OperationalError("disk I/O error")
