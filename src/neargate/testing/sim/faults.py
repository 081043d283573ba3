"""The faults of a run: a list drawn before it begins, so that a failing seed can be shrunk by taking entries away.

Owns what each kind of fault does. Invariant: every fault but a machine's death ends by itself, before the run is asked
to come to rest.
"""

import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from ...agent.local_state import LANE
from ...store.sqlite import MemoryDisk
from .disks import ZoneHistory
from .hosts import Machine, RealMachine
from .light import LightMachine
from .net import DOWN, UP, Net
from .region import SERVER
from .sim import Sim
from .world import Process


class Fault(Struct, frozen=True, kw_only=True):
    """`at`, `duration_s`: virtual seconds. `count`: steps or effects. `strength`: what the kind makes of it, 0 to 1."""

    at: float
    kind: str
    target: str
    count: int = 0
    duration_s: float = 0.0
    strength: float = 0.0


_SERVER_KINDS = (
    *("kill-step", "kill-effect", "pause", "slow-disk", "lost-commit", "failed-disk", "full-disk", "clock"),
    *("power-cut", "stall", "clock-jump"),
)
_HOST_KINDS = (
    *("kill-step", "kill-effect", "pause", "cut", "freeze", "delay", "hostile", "clock"),
    *("up", "down", "half-open", "reboot", "death", "clock-jump"),
)
_UNHEARD = ("up", "freeze", "half-open")  # the server hears nothing of the host
_REAL_KINDS = ("engine", "engine", "stall")  # of hosts with a real agent: the engine is killed, its own disk hangs
_DEATHS_MAX = 0.25  # of the hosts
_JUMPS_S = (-36_000.0, -7200.0, -600.0, 600.0, 7200.0, 36_000.0)
_COMMITS_LOST_MAX = 40
_RECORDS_LOST_S = 10.0
_LATE_MAX_S = 5.0  # of what a slow disk does, beyond the time in which it is slow


def draw_faults(rng: random.Random, hosts: Sequence[str], *, until_s: float, real: bool) -> list[Fault]:
    """About a fault each five seconds, of all kinds or (in half of the runs) of one to four."""
    everything = [(SERVER, kind) for kind in _SERVER_KINDS] + [("", kind) for kind in _HOST_KINDS + _REAL_KINDS * real]
    allowed = everything if rng.random() < 0.5 else rng.sample(everything, rng.randint(1, 4))
    faults: list[Fault] = []
    dead: set[str] = set()
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
        if kind == "death":
            if len(dead) >= max(1, _DEATHS_MAX * len(hosts)):
                continue
            dead.add(fault.target)
        faults.append(fault)
    return sorted(faults, key=lambda fault: fault.at)


def noticed_from(deaf: Fault, faults: Sequence[Fault]) -> float:
    """From when on, at the latest, either end finds silence while a host hears nothing. By then the host may have given
    its link up where the server cannot hear that either: it has to count the silence itself, from its beginning on, or
    from when it runs again.
    """
    starts = [deaf.at]
    for fault in faults:
        if fault.kind in _UNHEARD and fault.target == deaf.target:
            starts.append(fault.at)
        elif fault.kind == "pause" and fault.target in (SERVER, deaf.target):
            starts.append(fault.at + fault.duration_s)
    return max(start for start in starts if start <= deaf.at + deaf.duration_s)


class Injector:
    """Arms faults, and is the weather in which blocking calls happen."""

    def __init__(self, sim: Sim, net: Net, disk: MemoryDisk, machines: Mapping[str, Machine]) -> None:
        """`machines`: by host id; they may be put there later, before the first fault strikes."""
        self.dead: set[str] = set()  # hosts whose machine is gone for good
        self._sim = sim
        self._net = net
        self._disk = disk
        self._machines = machines
        self._history = ZoneHistory()
        self._rng = sim.stream("disks")
        self._slow_until = 0.0
        self._slowness = 0.0
        self._stalled_until: dict[str, float] = {}
        self._failing: str | None = None
        self._boots = 1
        self._acts: Mapping[str, Callable[[Fault], None]] = {
            "kill-step": self._kill_step,
            "kill-effect": self._kill_effect,
            "pause": lambda fault: sim.pause(fault.target, fault.duration_s),
            "clock": self._clock,
            "clock-jump": self._clock_jump,
            "slow-disk": self._slow_disk,
            "stall": self._stall,
            "lost-commit": self._fail_disk,
            "failed-disk": self._fail_disk,
            "full-disk": self._full_disk,
            "power-cut": self._power_cut,
            "cut": lambda fault: net.cut(fault.target),
            "freeze": lambda fault: net.freeze(fault.target, fault.duration_s),
            "up": lambda fault: net.freeze(fault.target, fault.duration_s, (UP,)),
            "down": lambda fault: net.freeze(fault.target, fault.duration_s, (DOWN,)),
            "half-open": lambda fault: net.half_open(fault.target),
            "delay": self._delay,
            "hostile": self._hostile,
            "engine": self._restart_engine,
            "reboot": self._reboot,
            "second-agent": self._second_agent,
            "impostor": self._impostor,
            "death": self._death,
        }

    def arm(self, faults: Sequence[Fault]) -> None:
        self._history.is_kept = any(fault.kind == "power-cut" for fault in faults)
        for fault in faults:
            machine = self._machines.get(fault.target)
            if fault.kind == "reboot" and isinstance(machine, RealMachine):
                machine.files.is_kept = True
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

    def _clock_jump(self, fault: Fault) -> None:
        """The wall clock is set wrong by minutes or hours, and stays so until it is set again; monotonic time goes on.

        Two jumps together stay below a day, which is how long stopped tasks are kept.
        """
        jump_s = _JUMPS_S[int(fault.strength * len(_JUMPS_S)) % len(_JUMPS_S)]
        self._sim.set_clock(fault.target, jump_s, 1.0)
        if fault.count % 2:
            self._sim.at(fault.duration_s, lambda: self._sim.set_clock(fault.target, 0.0, 1.0))

    def _power_cut(self, fault: Fault) -> None:
        """The server's machine: what was synced stays, of each zone's shard some of the last commits are gone."""
        self._sim.kill(SERVER, fault.duration_s, "its machine lost power")
        for shard in sorted(self._disk.databases):
            if shard.startswith("zone"):
                wanted = int(self._rng.random() ** 2 * _COMMITS_LOST_MAX * fault.strength)
                if self._history.lose(shard, wanted, self._disk.databases[shard]):
                    self._sim.count("commits-lost")

    def _reboot(self, fault: Fault) -> None:
        if fault.target in self.dead:
            return
        self._machine_ends(fault.target, "its machine restarts")
        self._boots += 1
        self._machines[fault.target].rebooted(f"boot-{self._boots}", _RECORDS_LOST_S * fault.strength)
        self._sim.at(fault.duration_s, lambda: self._begins_again(fault.target))

    def _death(self, fault: Fault) -> None:
        self.dead.add(fault.target)
        self._machine_ends(fault.target, "its machine is gone for good")

    def _machine_ends(self, host_id: str, why: str) -> None:
        """Its kernel closes nothing: whoever spoke with it hears no more."""
        self._net.half_open(host_id)
        self._sim.hold(host_id)
        self._sim.kill(host_id, 0.0, why)

    def _begins_again(self, host_id: str) -> None:
        if host_id not in self.dead:
            self._sim.release(host_id)

    def _second_agent(self, fault: Fault) -> None:
        """Not among those drawn: who comes while the first agent is away is taken for it, since it has all it has."""
        machine = self._machines[fault.target]
        if isinstance(machine, LightMachine) and fault.target in self._sim.living:
            program = machine.copied()
            self._sim.release(program.name)
            self._sim.add(program)
            self._sim.at(fault.duration_s, lambda: self._taken_away(program.name))

    def _impostor(self, fault: Fault) -> None:
        """Not among those drawn: the host's next agent says that it runs what another host runs."""
        impostor = self._machines[fault.target]
        lights = (one for one in self._machines.values() if isinstance(one, LightMachine) and one is not impostor)
        running = [task for one in lights for task in one.memory.tasks.values() if task.status == "RUNNING"]
        if isinstance(impostor, LightMachine) and running:
            impostor.claims(running[0])
            self._sim.count("impostors")
            self._sim.kill(fault.target, fault.duration_s, "begins again as another one")

    def _taken_away(self, name: str) -> None:
        self._sim.hold(name)
        self._sim.kill(name, 0.0, "is taken away")

    def _restart_engine(self, fault: Fault) -> None:
        machine = self._machines[fault.target]
        if isinstance(machine, RealMachine):
            machine.restart_engine(fault.duration_s)

    def _stall(self, fault: Fault) -> None:
        """A sync that hangs: calls that begin meanwhile take until its end."""
        self._stalled_until[fault.target] = self._sim.now + fault.duration_s

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

    def hinders(self, host_id: str) -> bool:
        """Whether what this host asks of the server may have to wait, or to be said again."""
        path = self._net.path(host_id)
        stalled_until = max(self._stalled_until.get(name, 0.0) for name in (SERVER, host_id))
        return bool(path.extra_s or path.hostile) or self._sim.now < max(stalled_until, self._slow_until + _LATE_MAX_S)

    # -- the weather

    def latencies(self, process: Process, lane: str) -> tuple[float, float]:
        on_disk = lane.startswith("store-") or lane == LANE
        slow = self._slowness if process.name == SERVER and on_disk and self._sim.now < self._slow_until else 0.0
        stalled_s = max(self._stalled_until.get(process.name, 0.0) - self._sim.now, 0.0) if on_disk else 0.0
        return (
            0.0001 + (0.001 + 2.0 * slow) * self._rng.random() + stalled_s,
            0.00005 + (0.0005 + 2.0 * slow) * self._rng.random(),
        )

    def fails(self, process: Process, lane: str, *, after: bool) -> Exception | None:
        """An I/O error of SQLite's: before the commit, or once it was made and nobody can know."""
        if after:
            self._happened(process, lane)
        if self._failing is None or process.name != SERVER or not lane.startswith("store-"):
            return None
        if after is not (self._failing == "lost-commit"):
            return None
        self._failing = None
        self._sim.expected_deaths += 1
        return sqlite3.OperationalError("disk I/O error")

    def _happened(self, process: Process, lane: str) -> None:
        """For what a power cut takes away: the state after each call."""
        if lane == LANE:
            machine = self._machines.get(process.name)
            if isinstance(machine, RealMachine):
                machine.files.committed(self._sim.now)
        elif lane.startswith("store-zone"):
            shard = lane.removeprefix("store-")
            self._history.committed(shard, self._disk.databases[shard])
