"""The official GitHub action deploys: the calls of amazon-ecs-deploy-task-definition by the client that it uses.

Simulated hosts behind a real socket; AWS's fixed waits are shortened. `js/deploy.mjs` says what the calls are.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .js_clients import deploys, needs_clients
from .test_ecs_clients import ARN, Clients, register
from .test_ecs_services import BREAKER, FAILING, Service, clients

__all__ = ["clients"]  # the fixture
pytestmark = needs_clients

SHORT = {"minDelay": 0.1, "maxDelay": 0.2}


def definition(clients: Clients, family: str, **changes: Any) -> dict[str, Any]:
    """As a workflow keeps it: what DescribeTaskDefinition says, with another image rendered in."""
    described = clients.ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
    described["registeredAt"] = str(described["registeredAt"])
    [container] = described["containerDefinitions"]
    container |= {"environment": [{"name": "EMPTY", "value": ""}, {}], "command": None} | changes
    found: dict[str, Any] = described
    return found


class Deploying:
    """A service of a name of its own that a workflow deploys to."""

    def __init__(self, clients: Clients, home: Path, name: str) -> None:
        self.clients, self.home, self.name = clients, home, name
        self.service = Service(clients, name)

    def definition(self, **changes: Any) -> dict[str, Any]:
        return definition(self.clients, self.name, **changes)

    def deploy(self, **inputs: Any) -> dict[str, Any]:
        given = {"cluster": self.name, "service": "web", "waitForServiceStability": True, **SHORT}
        return deploys(self.clients.endpoint, self.home, **given | inputs)


@pytest.fixture
def deploying(request: pytest.FixtureRequest, clients: Clients, tmp_path: Path) -> Iterator[Deploying]:
    made = Deploying(clients, tmp_path, request.node.name.replace("_", "-")[:60])
    made.service.create(deploymentConfiguration=BREAKER)
    made.service.steady()
    yield made
    if made.service.shown()["status"] == "ACTIVE":
        made.service.gone()


def test_a_new_image_is_deployed(deploying: Deploying) -> None:
    done = deploying.deploy(taskDefinition=deploying.definition(image="web:2"))
    made = f"{deploying.service.definition.rpartition(':')[0]}:2"
    assert done == {"outputs": {"task-definition-arn": made, "rolloutState": "COMPLETED"}} or (
        done == {"outputs": {"task-definition-arn": made, "rolloutState": "IN_PROGRESS"}}
    )
    shown = deploying.service.steady()
    assert shown["taskDefinition"] == made
    registered = deploying.clients.ecs.describe_task_definition(taskDefinition=made)["taskDefinition"]
    [container] = registered["containerDefinitions"]
    assert container["image"] == "web:2" and container["environment"] == [{"name": "EMPTY", "value": ""}]


def test_inputs_of_a_deployment_reach_the_service(deploying: Deploying) -> None:
    inputs = {"desiredCount": 3, "forceNewDeployment": True, "enableECSManagedTags": True, "propagateTags": "SERVICE"}
    done = deploying.deploy(taskDefinition=deploying.definition(image="web:2"), **inputs)
    assert "failed" not in done
    shown = deploying.service.shown()
    assert (shown["desiredCount"], shown["runningCount"]) == (3, 3)
    assert (shown["enableECSManagedTags"], shown["propagateTags"]) == (True, "SERVICE")


def test_a_deployment_that_is_rolled_back_fails_the_workflow(deploying: Deploying) -> None:
    good = deploying.service.shown()["taskDefinition"]
    done = deploying.deploy(taskDefinition=deploying.definition(command=FAILING[0]["command"]))
    assert re.match(r"Deployment ecs-svc/\d+ (not found after stabilization|FAILED: )", done["failed"])
    shown = deploying.service.steady()
    assert shown["taskDefinition"] == good != done["outputs"]["task-definition-arn"]


def test_a_failed_deployment_that_nothing_rolls_back_is_waited_for_in_vain(deploying: Deploying) -> None:
    """As on AWS: the service never becomes stable, and the waiter's time ends the workflow."""
    without = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    deploying.service.update(deploymentConfiguration=without, desiredCount=1)
    deploying.service.steady()
    failing = deploying.definition(command=FAILING[0]["command"])
    done = deploying.deploy(taskDefinition=failing, waitForMinutes=0.02)
    assert '"state":"TIMEOUT"' in done["failed"] and "Waiter has timed out" in done["failed"]


def test_a_service_that_is_gone_is_said_before_anything_is_waited_for(deploying: Deploying) -> None:
    given = deploying.definition()
    assert deploying.deploy(taskDefinition=given, service="ghost")["failed"] == f"{ARN}:service/ghost is MISSING"
    deploying.service.gone()
    assert deploying.deploy(taskDefinition=given)["failed"] == "Service is INACTIVE"


def test_a_definition_that_is_refused_fails_the_workflow(deploying: Deploying) -> None:
    done = deploying.deploy(taskDefinition=deploying.definition() | {"cpu": "7"})
    assert done["outputs"] == {} and "cpu" in done["failed"]


@pytest.mark.parametrize(("code", "failed"), [(0, None), (3, "Run task failed: [null]")])
def test_a_task_of_its_own_is_run_and_its_end_awaited(
    clients: Clients, tmp_path: Path, code: int, failed: str | None
) -> None:
    """A migration before the deployment."""
    name = f"action-runs-{code}"
    clients.ecs.create_cluster(clusterName=name)
    register(clients, name)
    done = deploys(
        clients.endpoint,
        tmp_path,
        cluster=name,
        taskDefinition=definition(clients, name, command=["exit", str(code)]),
        runTask=True,
        waitForTaskStopped=True,
        runTaskTags=[{"key": "why", "value": "migration"}],
        containerOverrides=[{"name": "web", "environment": [{"name": "A", "value": "b"}]}],
        subnets=clients.awsvpc["awsvpcConfiguration"]["subnets"],
        **SHORT,
    )
    assert done.get("failed") == failed
    [arn] = done["outputs"]["run-task-arn"]
    task = clients.describe(name, arn, include=["TAGS"])
    assert (task["lastStatus"], task["startedBy"]) == ("STOPPED", "GitHub-Actions")
    assert [container["exitCode"] for container in task["containers"]] == [code]
    assert task["tags"] == [{"key": "why", "value": "migration"}]
