"""docs/spot.md is true; and a machine full of Spot tasks takes a task on demand."""

from pathlib import Path
from typing import Any

import pytest

from neargate.cli.admin import ask
from neargate.testing.walkthrough import assert_true, steps

from .machines import ALL_ARE_MACHINES
from .region import LiveRegion, wait_for
from .walking import document_for, walk

# Sizes of Fargate, large to small: CPU units, MiB.
SIZES = (("4096", "30720"), ("4096", "8192"), ("1024", "8192"), ("1024", "2048"), ("256", "2048"), ("256", "512"))
WAIT_S = 180.0


@pytest.mark.timeout(420)
def test_the_walk_through_spot(sampled_region: LiveRegion, tmp_path: Path) -> None:
    document = document_for("docs/spot.md", sampled_region)
    if ALL_ARE_MACHINES:  # what a machine takes beside its task counts
        document = document.replace("512 MiB and", f"{512 + 256 + 512 // 50} MiB and")
    blocks = steps(document)
    try:
        printed = walk(blocks, sampled_region, tmp_path, strict=False)
    finally:
        sampled_region.command("spot", "share", "100")
    assert_true(blocks, printed)
    assert len([block for block in blocks if block.printed]) == 5


@pytest.mark.timeout(420)
def test_a_machine_full_of_spot_tasks_takes_a_task_on_demand(region: LiveRegion) -> None:
    ecs = region.client("ecs")
    ecs.create_cluster(clusterName="full", capacityProviders=["FARGATE", "FARGATE_SPOT"])
    family = region.register({"name": "web", "command": ["sleep", "1000"], "stopTimeout": 2})
    network = region.network()

    def run(cpu: str, memory: str, **where: Any) -> dict[str, Any]:
        answer: dict[str, Any] = ecs.run_task(
            cluster="full",
            taskDefinition=family,
            networkConfiguration=network,
            overrides={"cpu": cpu, "memory": memory},
            **where,
        )
        return answer

    stop_what_runs(ecs)
    wait_for("the room of tasks that ended before", lambda: is_empty(region), WAIT_S)
    spot = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
    held = []
    for size in SIZES:
        while found := run(*size, **spot)["tasks"]:
            held += found
    try:
        newest = held[-1]["taskArn"]
        [mine] = run("256", "512", launchType="FARGATE")["tasks"]
        held.append(mine)
        told = wait_for("the interruption", lambda: interrupted(ecs, newest), WAIT_S)
        assert (told["stopCode"], told["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
        wait_for("the task's start", lambda: is_in(ecs, mine["taskArn"], "RUNNING"), WAIT_S)
        assert described(ecs, newest)["lastStatus"] == "STOPPED"
    finally:
        for task in held:
            ecs.stop_task(cluster="full", task=task["taskArn"])
        for task in held:
            wait_for("the end of all", lambda arn=task["taskArn"]: is_in(ecs, arn, "STOPPED"), WAIT_S)  # type: ignore[misc]


def stop_what_runs(ecs: Any) -> None:
    """Of other files, which share the region and may leave theirs running."""
    for cluster in ecs.list_clusters()["clusterArns"]:
        for task in ecs.list_tasks(cluster=cluster)["taskArns"]:
            ecs.stop_task(cluster=cluster, task=task)


def is_empty(region: LiveRegion) -> bool:
    """Else room that is given back after the last refusal would be found free."""
    return not any(host["tasks"] for host in ask(region.paths, "status")["hosts"])


def described(ecs: Any, arn: str) -> dict[str, Any]:
    [task] = ecs.describe_tasks(cluster="full", tasks=[arn])["tasks"]
    document: dict[str, Any] = task
    return document


def interrupted(ecs: Any, arn: str) -> dict[str, Any] | None:
    task = described(ecs, arn)
    return task if task["desiredStatus"] == "STOPPED" else None


def is_in(ecs: Any, arn: str, status: str) -> bool:
    return bool(described(ecs, arn)["lastStatus"] == status)
