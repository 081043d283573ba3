"""RunTask to RUNNING, everything included, against `ctr run -d` and `docker run -d --network none` of the same image.

From the request's first byte to the moment in which a second connection to the cell's database sees RUNNING committed.
The task has its network interface with security groups, its own 20 GiB disk, cgroup limits, metadata, and awslogs.
"""

import json
import time
from dataclasses import replace
from statistics import median
from typing import Any

from neargate.agent.launch_times import WHOLE_LAUNCH
from neargate.cli.admin import ask

from .figures import Figure, Load, foreign_load, quantile, spread
from .peers import Ctr, Docker, private_docker
from .region import IDLE_COMMAND, BenchRegion, CommittedStatus, container_region

COMMAND = "python -m bench launch"
ROUNDS = 20
WARM_UPS = 3
SETTLE_S = 0.15


def measure() -> list[Figure]:
    with container_region() as region:
        runtime = region.oci_runtime()
        ctr = Ctr(region.containerd_address, runtime, region.image)
        with private_docker(region.image, runtime) as docker:
            return _measure(region, ctr, docker, runtime)


def _measure(region: BenchRegion, ctr: Ctr, docker: Docker, runtime: str) -> list[Figure]:
    definition = region.register(command=IDLE_COMMAND, log_options={})
    ctr.pull()
    docker.pull()
    others = foreign_load()
    series: dict[str, list[float]] = {"neargate": [], "ctr": [], "docker": []}
    shares: list[dict[str, float]] = []
    committed = region.committed()
    with Load() as load:
        for turn in range(-WARM_UPS, ROUNDS):
            name = f"bench-{turn + WARM_UPS}"
            wall_ms, stages = _launch(region, committed, definition)
            time.sleep(SETTLE_S)
            took = {"neargate": wall_ms}
            for peer, program in (("ctr", ctr), ("docker", docker)):
                took[peer] = program.start(name)
                program.remove(name)
                time.sleep(SETTLE_S)
            if turn >= 0:
                shares.append(stages)
                for key, value in took.items():
                    series[key].append(value)
    committed.close()
    return _figures(series, shares, load.busy, others, runtime)


def _launch(region: BenchRegion, committed: CommittedStatus, definition: str) -> tuple[float, dict[str, float]]:
    """Milliseconds until RUNNING was committed, and where they went. The task is stopped again."""
    request = region.client.encoded("ecs", "RunTask", **region.run_request(definition))
    sent = time.time()
    status, body = region.client.exchange(request)
    answered = time.time()
    answer = json.loads(body)
    if status != 200 or answer["failures"]:
        raise RuntimeError(f"RunTask: {status} {body[:300]!r}")
    arn = answer["tasks"][0]["taskArn"]
    done = committed.wait(arn.rpartition("/")[2], "RUNNING")
    stages = _stages(ask(region.paths, "why", task=arn), sent, answered, done)
    region.stop(arn)
    return (done - sent) * 1000, stages


def _stages(facts: dict[str, Any], sent: float, answered: float, done: float) -> dict[str, float]:
    """One machine, one clock: the control plane's parts lie between the agent's and the caller's times.

    When the agent had the order and when the task ran are stamps of their own; what the agent's steps do not explain
    between the two is in none of the parts.
    """
    task, agent = facts["task"], dict(facts["stages_ms"])
    own = {name: value for name, value in agent.items() if "." not in name}
    started = float(task["startedAt"])
    running = next(float(event["at"]) for event in facts["events"] if event["lastStatus"] == "RUNNING")
    taken = started - agent.pop(WHOLE_LAUNCH) / 1000
    parts = {
        "front end: verify, parse, resolve": float(task["createdAt"]) - sent,
        "reserve, record, order to the agent": taken - float(task["createdAt"]),
        **{f"agent: {name}": value / 1000 for name, value in own.items()},
        "agent saves, reports": running - started,
        "cell commits RUNNING": done - running,
    }
    details = {f"({name})": value for name, value in agent.items() if "." in name}
    details["(answer to the caller after)"] = (answered - sent) * 1000
    return {name: value * 1000 for name, value in parts.items()} | details


def _figures(
    series: dict[str, list[float]], shares: list[dict[str, float]], busy: float, others: float, runtime: str
) -> list[Figure]:
    ours = series["neargate"]
    names = list(dict.fromkeys(name for share in shares for name in share))
    medians = {name: median(share.get(name, 0.0) for share in shares) for name in names}
    covered = median(
        sum(value for name, value in share.items() if not name.startswith("(")) / wall
        for share, wall in zip(shares, ours, strict=True)
    )
    notes = [f"others used {others:.0%} of the processors before", f"p95 {quantile(ours, 0.95):.0f} ms"]
    notes += [f"{name:<44} {value:7.1f} ms" for name, value in medians.items()]
    figures = [
        Figure(
            name="launch: RunTask to RUNNING, p50",
            value=median(ours),
            unit="ms",
            against=f"nothing; {len(ours)} launches one at a time, awslogs on, runtime {runtime}",
            samples=series,
            notes=notes,
        ),
        Figure(
            name="launch: stages, share of wall time",
            value=covered * 100,
            unit="%",
            goal=">= 95",
            against="the wall time of each launch. The agent's steps are those that each waited for the one before, "
            "timed one by one; what lies between them counts as nothing. Brackets: details",
            samples={name: [share.get(name, 0.0) for share in shares] for name in names},
        ),
    ]
    for peer, what, goal in (
        ("ctr", f"`ctr run -d`, same image, containerd and {runtime}; no network, no disk limit", "<= 0.8"),
        ("docker", f"`docker run -d --network none`, same image, private dockerd, {runtime}", "<= 0.3"),
    ):
        figures.append(
            Figure(
                name=f"launch: p50 over {peer}",
                value=median(ours) / median(series[peer]),
                unit="x",
                goal=goal,
                against=what,
                samples={key: series[key] for key in ("neargate", peer)},
                notes=[f"neargate {spread(ours)} ms, {peer} {spread(series[peer])} ms"],
            )
        )
    return [replace(figure, load=busy, command=COMMAND) for figure in figures]
