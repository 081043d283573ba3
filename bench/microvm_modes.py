"""One workload wherever a task may come from: containers, machines that boot, saved ones, and pools of two sizes.

Some tasks of 0.25 vCPU and 512 MiB at once, again and again: each says a word and uses 48 MiB. A region for each mode,
all on this machine at once and taking turns. Told of each, besides how long a task's first word takes:

- waste on the host (what is reserved for a task, its machine's own memory with it, less what the kernel charges to it);
- what waits for nobody: memory of saved and waiting machines and their monitors, processor time of those and the agent;
- what a task costs its host beside itself: the agent's processor time (one agent for all), its interface's making.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from neargate.cli.admin import ask
from neargate.cli.paths import RegionPaths

from . import machines
from .figures import Figure, Load, foreign_load, spread
from .microvm_memory import parsed
from .region import TICKS_PER_S, BenchRegion, container_region

COMMAND = "python -m bench microvm_modes"
ROUNDS, AT_ONCE = 3, 2
USES_MIB = 48
WORKS = (
    f"echo here; dd if=/dev/zero of=/dev/shm/x bs=1M count={USES_MIB} 2>/dev/null; echo done; "
    "trap 'exit 0' TERM; sleep 100000 & wait"
)
DONE_BYTES = len("here\ndone\n")
IDLE_S = 3.0
STILL_S = 0.5
WAIT_S = 90.0
POOLS_MIB = (280, 600)  # room for one machine of 0.5 GB, and for two; emulated
MIB = 1 << 20
_USAGE = ("/sys/fs/cgroup/memory/*/{}/memory.usage_in_bytes", "/sys/fs/cgroup/*/{}/memory.current")


@dataclass
class Mode:
    """`waiting`: how many machines wait when its pool is full. Samples are by task, but the idle ones."""

    name: str
    options: tuple[str, ...] = ()
    before: Callable[[RegionPaths], None] | None = None
    saves: bool = False
    waiting: int = 0
    samples: dict[str, list[float]] = field(default_factory=dict)
    region: BenchRegion = field(init=False)
    definition: str = field(init=False)

    def add(self, name: str, value: float) -> None:
        self.samples.setdefault(name, []).append(value)


def modes() -> list[Mode]:
    options = machines.region_options()
    small, large = (("--warm-memory", str(mib)) for mib in POOLS_MIB)
    return [
        Mode("containers"),
        Mode("machines, no pool", options, machines.without_saved),
        Mode("machines, saved only", options, saves=True),
        Mode(f"machines, pool of {POOLS_MIB[0]} MiB", (*options, *small), saves=True, waiting=1),
        Mode(f"machines, pool of {POOLS_MIB[1]} MiB", (*options, *large), saves=True, waiting=2),
    ]


def measure() -> list[Figure]:
    machines.check_guest()
    others, found = foreign_load(), modes()
    with ExitStack() as stack:
        for mode in found:
            mode.region = stack.enter_context(container_region(*mode.options, before=mode.before))
            mode.definition = mode.region.register(command=["sh", "-c", WORKS], log_options={})
            _burst(mode)  # of which nothing is counted: disks are made, machines saved
            mode.samples.clear()
        with Load() as load:
            for _ in range(ROUNDS):
                for mode in found:
                    _filled(mode)
                    _burst(mode)
            for mode in found:
                _filled(mode)
                _idle(mode)
    return [_figure(mode, found[0], others, load.busy) for mode in found]


# -- one burst


def _burst(mode: Mode) -> None:
    region = mode.region
    agent = region.pid("agent")
    cpu_s, pss = _cpu_s(agent), _pss_mib(agent)
    arns, sent = [], []
    for _ in range(AT_ONCE):
        sent.append(time.time())
        arns.append(region.run(mode.definition))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(pool.map(region.first_output, arns))
    for arn in arns:
        region.wait(arn, "RUNNING")
        _worked(region, arn)
    reserved = sum(host["reserved"]["memory_mib"] for host in ask(region.paths, "hosts-list")["hosts"])
    for arn, begun, spoke in zip(arns, sent, said, strict=True):
        mode.add("first_word_s", spoke - begun)
        mode.add("reserved_mib", reserved / AT_ONCE)
        mode.add("used_mib", _charged_mib(arn.rpartition("/")[2]))
        stages = ask(region.paths, "why", task=arn)["stages_ms"]
        mode.add("interface_ms", stages.get("stage.network", 0.0) + stages.get("stage.namespace", 0.0))
    mode.add("agent_pss_mib", (_pss_mib(agent) - pss) / AT_ONCE)
    region.stop(*arns)
    mode.add("agent_cpu_s", (_cpu_s(agent) - cpu_s) / AT_ONCE)


def _worked(region: BenchRegion, arn: str) -> None:
    _until(lambda: region.output_bytes(arn) >= DONE_BYTES, "a task does not do its work")


def _charged_mib(task_id: str) -> float:
    """What the kernel has against the task's cgroup."""
    paths = [path for pattern in _USAGE for path in Path("/").glob(pattern.format(task_id).lstrip("/"))]
    return int(paths[0].read_text()) / MIB


# -- what waits


def _filled(mode: Mode) -> None:
    """Everything waits that is going to."""
    paths = mode.region.paths
    _until(lambda: mode.saves == bool(_saved(paths)), f"{mode.name}: nothing is saved")
    _until(lambda: _stand_still(paths, mode.waiting), f"{mode.name}: its pool does not fill")


def _saved(paths: RegionPaths) -> list[Path]:
    place = paths.agent / "snapshots"
    return [one for one in place.iterdir() if one.suffix != ".new"] if place.is_dir() else []


def _stand_still(paths: RegionPaths, count: int) -> bool:
    """So many wait. They are made with their processors running, and rehearse."""
    pids = list(_waiting(paths))
    before = [_cpu_s(pid) for pid in pids]
    time.sleep(STILL_S)
    return len(pids) == count and before == [_cpu_s(pid) for pid in pids]


def _waiting(paths: RegionPaths) -> Iterator[int]:
    """Monitors of machines that are no task's."""
    for record in (paths.run / "machines").glob("spare-*/machine.json"):
        try:
            known = json.loads(record.read_text())
        except (OSError, ValueError):
            continue
        if known["is_ready"] and not known["monitor"]:
            yield known["pid"]


def _idle(mode: Mode) -> None:
    paths, agent = mode.region.paths, mode.region.pid("agent")
    time.sleep(IDLE_S)  # the last of them stands still by now
    pids = list(_waiting(paths))
    begun, before = time.monotonic(), [_cpu_s(pid) for pid in (agent, *pids)]
    time.sleep(IDLE_S)
    took = time.monotonic() - begun
    used = [_cpu_s(pid) - since for pid, since in zip((agent, *pids), before, strict=True)]
    mode.add("idle_agent_cpu", used[0] / took)
    mode.add("idle_machines_cpu", sum(used[1:]) / took)
    mode.add("idle_memory_mib", _sealed_mib(agent) + sum(map(_own_mib, pids)))
    mode.add("agent_mib", _pss_mib(agent))


def _sealed_mib(agent: int) -> float:
    """Saved machines' memory, which the agent holds, and all that go on from one share."""
    total = 0
    for link in Path(f"/proc/{agent}/fd").iterdir():
        try:
            if str(link.readlink()).startswith("/memfd:"):
                total += link.stat().st_blocks * 512
        except OSError:
            continue  # it was closed meanwhile
    return total / MIB


def _own_mib(pid: int) -> float:
    """Of a monitor: all but what it has of a saved machine's memory and did not change."""
    mappings = parsed(Path(f"/proc/{pid}/smaps").read_text())
    return sum(one.anonymous_kib if "memfd:" in one.file else one.pss_kib for one in mappings) / 1024


# -- plumbing


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _pss_mib(pid: int) -> float:
    return sum(one.pss_kib for one in parsed(Path(f"/proc/{pid}/smaps").read_text())) / 1024


def _until(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.02)


def _figure(mode: Mode, containers: Mode, others: float, busy: float) -> Figure:
    seen = {name: median(values) for name, values in mode.samples.items()}
    times = seen["first_word_s"] / median(containers.samples["first_word_s"])
    waste = seen["reserved_mib"] - seen["used_mib"]
    return Figure(
        name=f"microvm: workload, {mode.name}",
        value=seen["first_word_s"] * 1000,
        unit="ms",
        against=f"nothing; {AT_ONCE} tasks at once of 0.25 vCPU, 512 MiB, {ROUNDS} rounds of all modes in turn, "
        f"{machines.words()}",
        samples=mode.samples,
        notes=[
            f"others used {others:.0%} of the processors before; first word {times:.2f} times the containers', "
            f"{spread([value * 1000 for value in mode.samples['first_word_s']])} ms",
            f"a task: reserved {seen['reserved_mib']:.0f} MiB, used {seen['used_mib']:.0f}, waste {waste:.0f} "
            f"({waste / seen['reserved_mib']:.0%}); {USES_MIB} of it are its work",
            f"idle: {seen['idle_memory_mib']:.0f} MiB and {seen['idle_machines_cpu']:.1%} of a processor for "
            f"{mode.waiting} waiting machines and what is saved; agent {seen['idle_agent_cpu']:.1%}, "
            f"{seen['agent_mib']:.0f} MiB",
            f"a task costs the host's one agent {seen['agent_cpu_s'] * 1000:.0f} ms of processor time and "
            f"{seen['agent_pss_mib']:.1f} MiB, its interface {seen['interface_ms']:.1f} ms",
        ],
        load=busy,
        command=COMMAND,
    )
