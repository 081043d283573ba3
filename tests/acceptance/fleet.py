"""Many short tasks at once: register and run each, watch all of them with one DescribeTasks, keep what was seen.

Owns the sliding window over the region's one host and the collecting of outcomes. Must not know what a test expects.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .region import LOOK_S, LiveRegion, wait_for

CLUSTER = "fleet"
GROUP = "/test/fleet"
IN_FLIGHT_MAX = 16
WAVE_MAX_S = 110.0
READY = "READY"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One task. Containers without logConfiguration get one.

    `stop`: StopTask is called once this is seen of the first container: READY (a line that it logged), or a health
    status. Empty: the task ends by itself.
    """

    id: str
    containers: Sequence[dict[str, Any]]
    task: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    stop: str = ""


@dataclass(kw_only=True)
class Outcome:
    """A stopped task. `health`: every health status a container was seen with, in order. `statuses`: the task's."""

    document: dict[str, Any]
    logs: dict[str, list[str]]
    health: dict[str, list[str]]
    statuses: list[str]

    @property
    def lines(self) -> list[str]:
        return self.logs["c0"]

    @property
    def json(self) -> Any:
        """What the first container printed, as one JSON value."""
        return json.loads("".join(self.lines))

    @property
    def reason(self) -> str:
        return str(self.document.get("stoppedReason", ""))

    def container(self, name: str = "c0") -> dict[str, Any]:
        found: dict[str, Any] = next(item for item in self.document["containers"] if item["name"] == name)
        return found

    def exit_code(self, name: str = "c0") -> int | None:
        code: int | None = self.container(name).get("exitCode")
        return code


@dataclass(kw_only=True)
class _Running:
    order: Order
    options: dict[str, dict[str, str]]  # of each container's awslogs driver
    stopped: bool = False
    health: dict[str, list[str]] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)


def run_all(region: LiveRegion, orders: Sequence[Order]) -> dict[str, Outcome]:
    """Every order to its end, at most IN_FLIGHT_MAX at a time. Registration and RunTask must succeed."""
    waiting, running, done = list(orders), dict[str, _Running](), dict[str, Outcome]()
    deadline = time.monotonic() + WAVE_MAX_S
    network = region.network()
    region.ecs.create_cluster(clusterName=CLUSTER, capacityProviders=["FARGATE"])
    while waiting or running:
        while waiting and len(running) < IN_FLIGHT_MAX:
            order = waiting.pop(0)
            arn, options = _start(region, order, network)
            running[arn] = _Running(order=order, options=options)
        for document in region.ecs.describe_tasks(cluster=CLUSTER, tasks=list(running), include=["TAGS"])["tasks"]:
            arn = document["taskArn"]
            _note(region, running[arn], document)
            if document["lastStatus"] == "STOPPED":
                known = running.pop(arn)
                done[known.order.id] = _outcome(region, known, document)
        late = [known.order.id for known in running.values()]
        assert time.monotonic() < deadline, f"not stopped within {WAVE_MAX_S:.0f} s: {late}"
        time.sleep(LOOK_S)
    return done


def _start(region: LiveRegion, order: Order, network: dict[str, Any]) -> tuple[str, dict[str, dict[str, str]]]:
    logged = [
        {"name": f"c{n}", "logConfiguration": region.log_config(GROUP), **item}
        for n, item in enumerate(order.containers)
    ]
    definition = region.register(*logged, **order.task)
    given = {"cluster": CLUSTER, "launchType": "FARGATE", "networkConfiguration": network, **order.run}
    request = {name: value for name, value in given.items() if value is not None}
    answer = region.ecs.run_task(taskDefinition=definition, **request)
    assert not answer["failures"], (order.id, answer["failures"])
    return str(answer["tasks"][0]["taskArn"]), {item["name"]: item["logConfiguration"]["options"] for item in logged}


def _note(region: LiveRegion, known: _Running, document: dict[str, Any]) -> None:
    if document["lastStatus"] not in known.statuses[-1:]:
        known.statuses.append(document["lastStatus"])
    for container in document["containers"]:
        seen = known.health.setdefault(container["name"], [])
        if container["healthStatus"] not in seen[-1:]:
            seen.append(container["healthStatus"])
    if known.order.stop and not known.stopped and _is_seen(region, known, document):
        region.ecs.stop_task(cluster=CLUSTER, task=document["taskArn"])
        known.stopped = True


def _is_seen(region: LiveRegion, known: _Running, document: dict[str, Any]) -> bool:
    if known.order.stop != READY:
        return known.order.stop in known.health["c0"]
    options, task_id = known.options["c0"], document["taskArn"].rpartition("/")[2]
    return READY in log_lines(region, options["awslogs-group"], f"{options['awslogs-stream-prefix']}/c0/{task_id}")


def _outcome(region: LiveRegion, known: _Running, document: dict[str, Any]) -> Outcome:
    task_id = document["taskArn"].rpartition("/")[2]
    # On a busy machine the last lines follow after the end; the agent removes the file once they are stored.
    left = region.paths.data / "agent" / "logs" / task_id
    wait_for(f"the last lines of {known.order.id}", lambda: not left.exists())
    logs = {
        name: log_lines(region, options["awslogs-group"], f"{options['awslogs-stream-prefix']}/{name}/{task_id}")
        for name, options in known.options.items()
    }
    return Outcome(document=document, logs=logs, health=known.health, statuses=known.statuses)


def log_lines(region: LiveRegion, group: str, stream: str) -> list[str]:
    """All lines of one stream; none when the task did not come far enough to have it."""
    lines: list[str] = []
    token: dict[str, str] = {}
    while True:
        try:
            answer = region.logs.get_log_events(
                logGroupName=group, logStreamName=stream, startFromHead=True, limit=10_000, **token
            )
        except region.logs.exceptions.ResourceNotFoundException:
            return lines
        lines += [event["message"] for event in answer["events"]]
        if not answer["events"] or token.get("nextToken") == answer["nextForwardToken"]:
            return lines
        token = {"nextToken": answer["nextForwardToken"]}
