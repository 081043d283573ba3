"""Services at size: what a control plane that begins again spends until it has looked at all of them, and when idle.

1,000 services of 10 tasks each on simulated hosts. The server is killed, and the processor time of the one that follows
is counted (its writing process too) until it rests; then it is left alone.
"""

import os
import signal
import time
from collections.abc import Callable

from .figures import Figure, Load, foreign_load
from .region import BenchRegion, region, task_definition

SERVICES, TASKS = 1000, 10
COMMAND = "python -m bench services"
# 10,000 addresses in default subnets of 4,091 each.
CAPACITY = "--sandbox simulated --zones a,b,c,d --hosts 2 --host-cpu 4000000 --host-memory 16000000"
STEADY_S, READY_S = 600.0, 60.0
RESTING, RESTS_FOR_S = 0.25, 3  # of a core, for so many seconds on end
IDLE_S = 30


def measure() -> list[Figure]:
    others = foreign_load()
    with Load() as load, region(*CAPACITY.split()) as live:
        made_s = _make(live)
        restarts = [_restart(live) for _ in range(3)]
        idle = [_idle(live) for _ in range(3)]
    notes = [
        f"capacity: neargate up {CAPACITY}",
        f"others used {others:.0%} of the processors before",
        f"all were steady {made_s:.0f} s after the first CreateService",
    ]
    return [
        Figure(
            name=f"services: CPU time of a restart with {SERVICES} of {TASKS} tasks",
            value=sorted(restarts)[1],
            unit="s",
            against="nothing; from the new server's first instruction until it rests",
            goal="<= 30",
            samples={"restart_cpu_s": restarts},
            notes=notes,
            load=load.busy,
            command=COMMAND,
        ),
        Figure(
            name=f"services: {SERVICES} of {TASKS} tasks, idle",
            value=sorted(idle)[1],
            unit="of a core",
            against=f"nothing; {IDLE_S} s",
            goal="<= 0.05",
            samples={"cores": idle},
            notes=notes,
            load=load.busy,
            command=COMMAND,
        ),
    ]


def _make(live: BenchRegion) -> float:
    container = {"name": "c", "image": "busybox", "command": ["sleep", "60"]}
    live.client.call("ecs", "RegisterTaskDefinition", **task_definition(1, container))
    network = {"awsvpcConfiguration": {"subnets": live.subnets}}
    begun = time.monotonic()
    for number in range(SERVICES):
        live.client.call(
            "ecs",
            "CreateService",
            serviceName=f"s{number}",
            taskDefinition="bench-1",
            desiredCount=TASKS,
            launchType="FARGATE",
            networkConfiguration=network,
        )
    _wait("all tasks to run", lambda: _running(live) == SERVICES * TASKS, STEADY_S)
    _rest(live)
    return time.monotonic() - begun


def _running(live: BenchRegion) -> int:
    return int(live.client.call("ecs", "DescribeClusters", clusters=["default"])["clusters"][0]["runningTasksCount"])


def _restart(live: BenchRegion) -> float:
    before = live.pid("server")
    os.kill(before, signal.SIGKILL)
    _wait("another server", lambda: live.pid("server") != before, READY_S)
    return _rest(live)


def _rest(live: BenchRegion) -> float:
    """The server's processor time so far, as soon as it rests."""
    resting, spent = 0, live.cpu_seconds("server")
    deadline = time.monotonic() + STEADY_S
    while resting < RESTS_FOR_S:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server does not rest: {spent:.1f} s")
        time.sleep(1.0)
        now = live.cpu_seconds("server")
        resting = resting + 1 if now - spent < RESTING else 0
        spent = now
    return spent


def _idle(live: BenchRegion) -> float:
    begun, spent = time.monotonic(), live.cpu_seconds("server")
    time.sleep(IDLE_S)
    return (live.cpu_seconds("server") - spent) / (time.monotonic() - begun)


def _wait(what: str, holds: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {within_s:.0f} s for {what}")
        time.sleep(0.5)
