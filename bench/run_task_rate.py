"""RunTask calls accepted durably per second: Neargate with simulated hosts against moto's server, same client for both.

16 callers for 30 s in three turns each, in the order A,B,A,B,A,B. Every call starts one task of a Fargate size. Each of
our turns has a region of its own: a default VPC's addresses would not last for three. The peer's turn begins when all
that was accepted runs.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from .client import Client
from .figures import Figure, Load, foreign_load
from .peers import moto
from .region import BenchRegion, cpu_seconds, ec2, region, task_definition

CALLERS = 16
TURNS = 3
TURN_S = 10.0
BACKLOG_S = 60.0
COMMAND = "python -m bench run_task_rate"
# us-east-1's six zones: their default subnets have 24 546 addresses together, a turn's tasks and more.
CAPACITY = "--sandbox simulated --zones a,b,c,d,e,f --hosts 2 --host-cpu 4000000 --host-memory 16000000"
MOTO_KEYS = ("AKIAIOSFODNN7EXAMPLE", "secret")


def measure() -> list[Figure]:
    others = foreign_load()
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    backlogs: list[tuple[int, float]] = []
    with Load() as load, ExitStack() as stack:
        port, pid = stack.enter_context(moto())
        peer = _prepare_moto(port)
        for _ in range(TURNS):
            live = stack.enter_context(region(*CAPACITY.split()))
            request = _prepare_ours(live)
            ours.append(_turn(live.port, live.keys, request, [*live.pids("server"), live.pid("agent")]))
            backlogs.append(_backlog(live))
            theirs.append(_turn(port, MOTO_KEYS, peer, [pid]))
    return _figures(ours, theirs, backlogs, load.busy, others)


def _prepare_ours(live: BenchRegion) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox", "command": ["sleep", "60"]}
    live.client.call("ecs", "RegisterTaskDefinition", **task_definition(1, container))
    return live.run_request("bench-1")


def _prepare_moto(port: int) -> dict[str, Any]:
    """The same call. moto answers HTTP 500 for a container without memory and a network without a group."""
    client = Client(port, *MOTO_KEYS)
    client.call("ecs", "CreateCluster", clusterName="default")
    container = {"name": "c", "image": "busybox", "command": ["sleep", "60"], "memory": 512, "cpu": 256}
    client.call("ecs", "RegisterTaskDefinition", **task_definition(1, container))
    client.close()
    subnets, group = _moto_network(port)
    network = {"subnets": subnets, "securityGroups": [group]}
    return {
        "taskDefinition": "bench-1",
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": network},
    }


def _moto_network(port: int) -> tuple[list[str], str]:
    client = ec2(port, MOTO_KEYS)
    subnets = sorted(subnet["SubnetId"] for subnet in client.describe_subnets()["Subnets"])
    return subnets, client.describe_security_groups()["SecurityGroups"][0]["GroupId"]


def _turn(port: int, keys: tuple[str, str], request: dict[str, Any], pids: list[int]) -> dict[str, Any]:
    """One run of the load generator, a process of its own. Adds the servers' CPU seconds."""
    before = sum(cpu_seconds(pid) for pid in pids)
    order = {"port": port, "keys": keys, "request": request, "callers": CALLERS, "seconds": TURN_S}
    done = subprocess.run(
        [sys.executable, "-m", "bench.load_generator"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    answer["server_cpu_s"] = sum(cpu_seconds(pid) for pid in pids) - before
    return answer


def _backlog(live: BenchRegion) -> tuple[int, float]:
    """Tasks not RUNNING yet when the turn ended, and how long they took."""
    begun = time.monotonic()
    first = None
    while time.monotonic() - begun < BACKLOG_S:
        cluster = live.client.call("ecs", "DescribeClusters", clusters=["default"])["clusters"][0]
        pending = int(cluster["pendingTasksCount"])
        first = pending if first is None else first
        if pending == 0:
            break
        time.sleep(0.2)
    return first or 0, time.monotonic() - begun


def _figures(
    ours: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
    backlogs: list[tuple[int, float]],
    busy: float,
    others: float,
) -> list[Figure]:
    our_rates = [turn["accepted"] / turn["seconds"] for turn in ours]
    their_rates = [turn["accepted"] / turn["seconds"] for turn in theirs]
    samples: dict[str, Sequence[float]] = {
        "neargate_per_s": our_rates,
        "moto_per_s": their_rates,
        "neargate_p50_ms": [turn["p50_ms"] for turn in ours],
        "neargate_p99_ms": [turn["p99_ms"] for turn in ours],
        "moto_p50_ms": [turn["p50_ms"] for turn in theirs],
        "moto_p99_ms": [turn["p99_ms"] for turn in theirs],
    }
    notes = [
        f"capacity: neargate up {CAPACITY}",
        f"others used {others:.0%} of the processors before; {sum(t['refused'] for t in ours + theirs)} refused calls",
        *(_story("neargate", turn) for turn in ours),
        *(_story("moto", turn) for turn in theirs),
        *(
            f"turn {n}: {count} accepted tasks had not reached RUNNING at its end; none was left {seconds:.1f} s later"
            for n, (count, seconds) in enumerate(backlogs, 1)
        ),
    ]
    return [
        Figure(
            name="RunTask accepted durably",
            value=median(our_rates),
            unit="calls/s",
            against=f"nothing; {CALLERS} callers, {TURNS} turns of {TURN_S:.0f} s, one task a call, simulated agent",
            samples=samples,
            load=busy,
            command=COMMAND,
        ),
        Figure(
            name="RunTask rate over moto",
            value=median(our_rates) / median(their_rates),
            unit="x",
            goal=">= 10",
            against="moto 5.2.5's server (no signature check, no durability), same client, turns interleaved",
            samples=samples,
            notes=notes,
            load=busy,
            command=COMMAND,
        ),
    ]


def _story(name: str, turn: dict[str, Any]) -> str:
    seconds = turn["seconds"]
    return (
        f"{name:<9} {turn['accepted'] / seconds:7.1f}/s  p50 {turn['p50_ms']:.1f} ms  p99 {turn['p99_ms']:.1f} ms  "
        f"client {turn['client_cpu_s'] / seconds:.0%} of a core, server {turn['server_cpu_s'] / seconds:.0%}, "
        f"{turn['accepted'] / turn['server_cpu_s']:.0f} calls per CPU-second"
    )
