"""What Neargate itself keeps in memory: idle, and for each idle task beyond the task's own container."""

import time
from pathlib import Path
from statistics import median

from .figures import Figure, Load
from .region import IDLE_COMMAND, BenchRegion, container_region

TASKS = 12
SETTLE_S = 3.0
COMMAND = "python -m bench memory"
OWN = ("server", "agent")


def measure() -> list[Figure]:
    with Load() as load, container_region() as region:
        # One task first: what is loaded on first use is no cost of the second.
        definition = region.register(command=IDLE_COMMAND, log_options={})
        first = region.run(definition)
        region.wait(first, "RUNNING")
        region.stop(first)
        time.sleep(SETTLE_S)
        rss = {name: _resident_mib(region.pid(name)) for name in OWN}
        rss["what its writing process does not share"] = sum(map(_unshared_mib, region.pids("server")[1:]))
        waiting = {"waiting shim": sum(map(_resident_mib, _shims(region)))}  # no task is there: it waits for the next
        before = {name: _pss_mib(region.pid(name)) for name in OWN}
        shims_before = {pid: _pss_mib(pid) for pid in _shims(region)}
        arns = [region.run(definition) for _ in range(TASKS)]
        for arn in arns:
            region.wait(arn, "RUNNING")
        time.sleep(SETTLE_S)
        after = {name: _pss_mib(region.pid(name)) for name in OWN}
        shims = [_pss_mib(pid) for pid in _shims(region) if pid not in shims_before]
        region.stop(*arns)
    return _figures(rss, waiting, before, after, shims, load.busy)


def _figures(
    rss: dict[str, float],
    waiting: dict[str, float],
    before: dict[str, float],
    after: dict[str, float],
    shims: list[float],
    busy: float,
) -> list[Figure]:
    growth = {name: (after[name] - before[name]) / TASKS for name in OWN}
    return [
        Figure(
            name="memory: control plane and agent, idle, RSS",
            value=sum(rss.values()),
            unit="MiB",
            goal="<= 143.05",
            against="150 MB; without containerd, its shim that waits for the next task, and the registry",
            samples={name: [value] for name, value in (rss | waiting).items()},
            notes=[
                ", ".join(f"{name} {value:.1f} MiB" for name, value in (rss | waiting).items()),
                f"with the shim that waits {sum((rss | waiting).values()):.1f} MiB",
            ],
            load=busy,
            command=COMMAND,
        ),
        Figure(
            name="memory: one idle task beyond its container, PSS",
            value=sum(shims) / TASKS + sum(growth.values()),
            unit="MiB",
            goal="<= 15",
            against=f"the same region before {TASKS} tasks of one container each with awslogs",
            samples={"shim": shims, **{f"{name}_growth": [value] for name, value in growth.items()}},
            notes=[
                f"shim {median(shims):.1f} MiB ({len(shims)} of them), "
                + ", ".join(f"{name} grew {value:.2f} MiB a task" for name, value in growth.items())
            ],
            load=busy,
            command=COMMAND,
        ),
    ]


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def _unshared_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def _shims(region: BenchRegion) -> list[int]:
    """Processes of containerd's shim that belong to this region's containerd."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended while we looked
        if b"containerd-shim" in words[0] and region.containerd_address.encode() in words:
            found.append(int(process.name))
    return sorted(found)
