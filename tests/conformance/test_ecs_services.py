"""Services as boto3, its waiters, the aws CLI and deployment tools see them: simulated hosts behind a real socket.

Every answer's bytes are held against botocore's model. AWS's fixed waits are shortened.
"""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError, WaiterError

from neargate.frontend.operations.ecs.table import OPERATIONS
from neargate.model.knobs import Knobs
from neargate.region import Region

from .served import KEY, REGION, SECRET
from .test_ecs_clients import ARN, OF_SERVICES, Clients, connected, register, serving

KNOBS = Knobs(
    service_healthy_after_s=0.3,
    service_failed_shown_s=0.3,
    service_gather_s=0.01,
    service_retry_s=0.05,
    service_back_off_first_s=0.05,
    service_back_off_max_s=0.2,
    service_place_retry_min_s=0.05,
    service_place_retry_max_s=0.2,
)
WAIT = {"Delay": 0.1, "MaxAttempts": 400}
BOUND_S = 40.0
FAILING = [{"name": "web", "image": "web:1", "command": ["exit", "1"]}]
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@asynccontextmanager
async def keeping(directory: Path, opened: list[Region]) -> AsyncIterator[int]:
    """A region that keeps its services."""
    async with serving(directory, opened, KNOBS) as port:
        opened[0].cell.start_services()
        yield port


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with connected(lambda opened: keeping(tmp_path_factory.mktemp("region"), opened)) as made:
        yield made


class Service:
    """A cluster and a definition of its own name, and a service of one more."""

    def __init__(self, clients: Clients, name: str) -> None:
        self.clients, self.name = clients, name
        self.ecs = clients.ecs
        self.ecs.create_cluster(clusterName=name)
        self.definition = register(clients, name)
        self.arn = f"{ARN}:service/{name}/web"

    def create(self, **changes: Any) -> dict[str, Any]:
        given = {
            "cluster": self.name,
            "serviceName": "web",
            "taskDefinition": self.name,
            "desiredCount": 2,
            "launchType": "FARGATE",
            "networkConfiguration": self.clients.awsvpc,
        } | changes
        made: dict[str, Any] = self.ecs.create_service(**{k: v for k, v in given.items() if v is not None})["service"]
        return made

    def update(self, **changes: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.ecs.update_service(cluster=self.name, service="web", **changes)["service"]
        return changed

    def delete(self, **params: Any) -> dict[str, Any]:
        deleted: dict[str, Any] = self.ecs.delete_service(cluster=self.name, service="web", **params)["service"]
        return deleted

    def shown(self, **params: Any) -> dict[str, Any]:
        [found] = self.ecs.describe_services(cluster=self.name, services=["web"], **params)["services"]
        shown: dict[str, Any] = found
        return shown

    def stable(self) -> dict[str, Any]:
        self.ecs.get_waiter("services_stable").wait(cluster=self.name, services=["web"], WaiterConfig=WAIT)
        return self.shown()

    def tasks(self, **params: Any) -> list[str]:
        arns: list[str] = self.ecs.list_tasks(cluster=self.name, serviceName="web", **params)["taskArns"]
        return arns

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + BOUND_S
        while not holds(shown := self.shown()):
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)
        return shown

    def steady(self) -> dict[str, Any]:
        return self.until(lambda one: one["deployments"][0]["rolloutState"] == "COMPLETED" and _stable(one))

    def deployment(self) -> dict[str, Any]:
        arn = self.shown()["currentServiceDeployment"]
        [found] = self.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
        deployment: dict[str, Any] = found
        return deployment

    def gone(self) -> None:
        self.delete(force=True)
        self.ecs.get_waiter("services_inactive").wait(cluster=self.name, services=["web"], WaiterConfig=WAIT)


def _stable(service: dict[str, Any]) -> bool:
    return len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]


def refused(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**params)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_service_lives_as_on_aws(clients: Clients) -> None:
    service = Service(clients, "live")
    made = service.create(tags=[{"key": "a", "value": "b"}], propagateTags="SERVICE", enableECSManagedTags=True)
    assert (made["serviceArn"], made["status"], made["desiredCount"]) == (service.arn, "ACTIVE", 2)
    assert (made["runningCount"], made["pendingCount"], made["events"]) == (0, 0, [])
    [deployment] = made["deployments"]
    assert (deployment["status"], deployment["rolloutState"]) == ("PRIMARY", "IN_PROGRESS")
    assert deployment["id"] in deployment["rolloutStateReason"]
    assert made["platformVersion"] == "LATEST" and deployment["platformVersion"] == "1.4.0"
    stable = service.stable()
    assert (stable["runningCount"], len(stable["deployments"])) == (2, 1)
    arns = service.tasks()
    assert len(arns) == 2
    tasks = clients.ecs.describe_tasks(cluster="live", tasks=arns, include=["TAGS"])["tasks"]
    assert {task["startedBy"] for task in tasks} == {deployment["id"]}
    assert {task["group"] for task in tasks} == {"service:web"}
    tags = {tag["key"]: tag["value"] for tag in tasks[0]["tags"]}
    assert tags == {"a": "b", "aws:ecs:clusterName": "live", "aws:ecs:serviceName": "web"}
    assert service.update(desiredCount=3)["desiredCount"] == 3
    assert service.stable()["runningCount"] == 3
    service.update(desiredCount=0)
    service.until(lambda one: one["runningCount"] == 0)
    stopped = clients.ecs.describe_tasks(cluster="live", tasks=arns)["tasks"]
    assert {task["stopCode"] for task in stopped} == {"ServiceSchedulerInitiated"}
    assert {task["stoppedReason"] for task in stopped} == {
        f"Scaling activity initiated by (deployment {deployment['id']})"
    }
    deleted = service.delete()
    assert deleted["status"] in ("DRAINING", "INACTIVE")
    clients.ecs.get_waiter("services_inactive").wait(cluster="live", services=["web"], WaiterConfig=WAIT)
    assert clients.ecs.list_services(cluster="live")["serviceArns"] == []
    assert refused(service.update, desiredCount=1) == ("ServiceNotActiveException", "Service was not ACTIVE.")


def test_the_waiters_fail_where_they_fail_on_aws(clients: Clients) -> None:
    clients.ecs.create_cluster(clusterName="waiting")
    with pytest.raises(WaiterError, match="MISSING"):
        clients.ecs.get_waiter("services_stable").wait(cluster="waiting", services=["web"], WaiterConfig=WAIT)
    with pytest.raises(WaiterError, match="MISSING"):
        clients.ecs.get_waiter("services_inactive").wait(cluster="waiting", services=["web"], WaiterConfig=WAIT)
    service = Service(clients, "waits")
    service.create(desiredCount=1)
    service.stable()
    service.gone()
    with pytest.raises(WaiterError, match="INACTIVE"):
        service.stable()


def test_a_rollout_replaces_each_task_and_leaves_its_records(clients: Clients) -> None:
    service = Service(clients, "roll")
    service.create()
    service.steady()
    first = service.shown()["deployments"][0]["id"]
    second = register(clients, "roll", containerDefinitions=[{"name": "web", "image": "web:2"}])
    changed = service.update(taskDefinition="roll")
    assert changed["taskDefinition"] == second
    assert [one["status"] for one in changed["deployments"]] == ["PRIMARY", "ACTIVE"]
    steady = service.steady()
    assert steady["deployments"][0]["taskDefinition"] == second
    tasks = clients.ecs.describe_tasks(cluster="roll", tasks=service.tasks())["tasks"]
    assert {task["taskDefinitionArn"] for task in tasks} == {second}
    old = clients.ecs.list_tasks(cluster="roll", desiredStatus="STOPPED")["taskArns"]
    reasons = {task["stoppedReason"] for task in clients.ecs.describe_tasks(cluster="roll", tasks=old)["tasks"]}
    assert reasons == {f"Scaling activity initiated by (deployment {first})"}
    briefs = clients.ecs.list_service_deployments(cluster="roll", service="web")["serviceDeployments"]
    assert [one["status"] for one in briefs] == ["SUCCESSFUL", "SUCCESSFUL"]
    assert service.deployment()["serviceDeploymentArn"] == briefs[0]["serviceDeploymentArn"]
    revisions = [one["targetServiceRevisionArn"] for one in briefs]
    found = clients.ecs.describe_service_revisions(serviceRevisionArns=revisions)["serviceRevisions"]
    assert [one["taskDefinition"] for one in found] == [second, service.definition]
    messages = [event["message"] for event in steady["events"]]
    assert messages[0] == "(service web) has reached a steady state."
    before = service.shown()["deployments"][0]["id"]
    service.update(taskDefinition=second)
    assert service.shown()["deployments"][0]["id"] == before, "it is that already"
    service.update(forceNewDeployment=True)
    assert service.steady()["deployments"][0]["id"] != before
    service.gone()


def test_a_deployment_that_fails_is_rolled_back(clients: Clients) -> None:
    service = Service(clients, "back")
    service.create(deploymentConfiguration=BREAKER)
    service.steady()
    good = service.shown()["currentServiceDeployment"]
    bad = register(clients, "back", containerDefinitions=FAILING)
    service.update(taskDefinition=bad)
    shown = service.until(lambda one: one["taskDefinition"] == service.definition and _stable(one))
    assert shown["deployments"][0]["rolloutState"] in ("COMPLETED", "IN_PROGRESS")
    service.steady()
    briefs = clients.ecs.list_service_deployments(cluster="back", service="web")["serviceDeployments"]
    statuses = {one["status"] for one in briefs}
    assert "ROLLBACK_SUCCESSFUL" in statuses, briefs
    assert {"SUCCESSFUL", "ROLLBACK_SUCCESSFUL"} >= statuses
    assert good in {one["serviceDeploymentArn"] for one in briefs}
    messages = [event["message"] for event in service.shown()["events"]]
    assert any("deployment failed: tasks failed to start." in message for message in messages), messages
    service.gone()


def test_a_deployment_is_stopped_by_its_user(clients: Clients) -> None:
    """As Terraform's provider does when it is interrupted."""
    service = Service(clients, "halt")
    service.create()
    service.steady()
    register(clients, "halt", containerDefinitions=FAILING)
    service.update(taskDefinition="halt")
    arn = service.shown()["currentServiceDeployment"]
    stopped = clients.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    assert stopped["serviceDeploymentArn"] == arn
    deadline = time.monotonic() + BOUND_S
    while True:
        [found] = clients.ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
        if found["status"] == "ROLLBACK_SUCCESSFUL":
            break
        assert found["status"] in ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS") and time.monotonic() < deadline, found
        time.sleep(0.05)
    assert "user" in found["statusReason"]
    assert service.steady()["taskDefinition"] == service.definition
    assert refused(clients.ecs.stop_service_deployment, serviceDeploymentArn=arn)[0] in (
        "ConflictException",
        "InvalidParameterException",
    )
    service.gone()


def test_a_capacity_provider_stays_with_the_cluster_whose_services_have_it(clients: Clients) -> None:
    service = Service(clients, "spot")

    def put(*names: str) -> Any:
        return clients.ecs.put_cluster_capacity_providers(
            cluster="spot", capacityProviders=[*names], defaultCapacityProviderStrategy=[]
        )

    put("FARGATE", "FARGATE_SPOT")
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 0},
        {"capacityProvider": "FARGATE_SPOT", "weight": 1},
    ]
    service.create(launchType=None, capacityProviderStrategy=strategy, desiredCount=3)
    service.steady()
    tasks = clients.ecs.describe_tasks(cluster="spot", tasks=service.tasks())["tasks"]
    assert sorted(task["capacityProviderName"] for task in tasks) == ["FARGATE", "FARGATE_SPOT", "FARGATE_SPOT"]
    service.update(desiredCount=0)
    service.until(lambda one: one["runningCount"] == 0)
    in_use = ("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
    assert refused(lambda: put("FARGATE")) == in_use
    service.update(capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}], forceNewDeployment=True)
    service.steady()
    put("FARGATE")
    service.gone()
    assert put()["cluster"]["capacityProviders"] == []


def test_a_protected_task_stays_while_others_go(clients: Clients) -> None:
    service = Service(clients, "keep")
    service.create(desiredCount=3)
    service.steady()
    kept, *_ = service.tasks()
    answer = clients.ecs.update_task_protection(
        cluster="keep", tasks=[kept], protectionEnabled=True, expiresInMinutes=60
    )
    assert answer["failures"] == [] and answer["protectedTasks"][0]["protectionEnabled"]
    service.update(desiredCount=1)
    service.until(lambda one: one["runningCount"] == 1)
    assert service.tasks() == [kept]
    [found] = clients.ecs.get_task_protection(cluster="keep", tasks=[kept])["protectedTasks"]
    assert found["expirationDate"].timestamp() > time.time() + 3000
    clients.ecs.update_task_protection(cluster="keep", tasks=[kept], protectionEnabled=False)
    alone = clients.run("keep", "keep")["tasks"][0]["taskArn"]
    failures = clients.ecs.update_task_protection(cluster="keep", tasks=[alone], protectionEnabled=True)["failures"]
    assert failures == [{"arn": alone, "reason": "TASK_NOT_VALID"}]
    clients.ecs.stop_task(cluster="keep", task=alone)
    service.gone()


def test_the_github_deploy_action_deploys_and_sees_a_failure(clients: Clients) -> None:
    """amazon-ecs-deploy-task-definition: register, describe, update, wait; and what a rollback leaves."""
    service = Service(clients, "action")
    service.create(deploymentConfiguration=BREAKER)
    service.steady()

    def deploy(containers: list[dict[str, Any]]) -> str:
        made = register(clients, "action", containerDefinitions=containers)
        answer = clients.ecs.describe_services(services=["web"], cluster="action")
        assert answer["failures"] == []
        [found] = answer["services"]
        assert found["status"] == "ACTIVE"
        controller = found.get("deploymentController")
        assert controller is None or controller["type"] == "ECS"
        service.update(taskDefinition=made, forceNewDeployment=False)
        service.stable()
        return made

    made = deploy([{"name": "web", "image": "web:2"}])
    assert service.shown()["taskDefinition"] == made
    deploy(FAILING)
    # The waiter is content: the service is stable again, with what ran before.
    primary = next(one for one in service.shown()["deployments"] if one["status"] == "PRIMARY")
    assert primary["taskDefinition"] == made
    service.gone()


def test_terraforms_provider_makes_changes_and_deletes_a_service(clients: Clients) -> None:
    service = Service(clients, "tf")
    tags = [{"key": "team", "value": "x"}]
    service.create(
        clientToken="terraform-20260101000000000000000001",
        deploymentConfiguration={
            "maximumPercent": 200,
            "minimumHealthyPercent": 100,
            "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        },
        deploymentController={"type": "ECS"},
        schedulingStrategy="REPLICA",
        enableECSManagedTags=False,
        enableExecuteCommand=False,
        tags=tags,
    )
    stable = service.stable()
    read = service.shown(include=["TAGS"])
    assert read["tags"] == tags and read["launchType"] == "FARGATE" and read["platformVersion"] == "LATEST"
    assert stable["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
    assert service.deployment()["status"] == "SUCCESSFUL" or service.steady()
    [brief] = clients.ecs.list_service_deployments(cluster="tf", service=service.arn, status=["SUCCESSFUL"])[
        "serviceDeployments"
    ]
    assert brief["serviceArn"] == service.arn
    clients.ecs.tag_resource(resourceArn=service.arn, tags=[{"key": "env", "value": "y"}])
    clients.ecs.untag_resource(resourceArn=service.arn, tagKeys=["team"])
    assert clients.ecs.list_tags_for_resource(resourceArn=service.arn)["tags"] == [{"key": "env", "value": "y"}]
    code = refused(clients.ecs.delete_cluster, cluster="tf")[0]
    assert code == "ClusterContainsServicesException"
    service.update(desiredCount=0)
    service.delete()
    clients.ecs.get_waiter("services_inactive").wait(cluster="tf", services=["web"], WaiterConfig=WAIT)
    deadline = time.monotonic() + BOUND_S
    while True:
        try:
            deleted = clients.ecs.delete_cluster(cluster="tf")["cluster"]
            break
        except clients.ecs.exceptions.ClusterContainsTasksException:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert deleted["status"] == "INACTIVE"


@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_command_line_keeps_a_service(clients: Clients, tmp_path: Path) -> None:
    service = Service(clients, "cli-web")

    def aws(*words: str) -> Any:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = ["aws", "--endpoint-url", clients.endpoint, "--output", "json", "ecs", *words]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return msgspec.json.decode(done.stdout) if done.stdout.strip() else None

    subnets = ",".join(clients.awsvpc["awsvpcConfiguration"]["subnets"])
    made = aws(
        *("create-service", "--cluster", "cli-web", "--service-name", "web", "--task-definition", "cli-web"),
        *("--desired-count", "1", "--launch-type", "FARGATE"),
        *("--network-configuration", f"awsvpcConfiguration={{subnets=[{subnets}]}}"),
    )
    assert made["service"]["serviceArn"] == service.arn
    service.steady()
    aws("wait", "services-stable", "--cluster", "cli-web", "--services", "web")
    assert aws("list-services", "--cluster", "cli-web")["serviceArns"] == [service.arn]
    aws("delete-service", "--cluster", "cli-web", "--service", "web", "--force")
    service.until(lambda one: one["status"] == "INACTIVE")
    aws("wait", "services-inactive", "--cluster", "cli-web", "--services", "web")


def test_a_namespace_that_is_not_there_is_told_apart(clients: Clients) -> None:
    missing = ("NamespaceNotFoundException", "The specified namespace wasn't found.")
    assert refused(clients.ecs.list_services_by_namespace, namespace="nowhere") == missing


# Nothing can be answered but a refusal: no namespace is made here.
REFUSED = {"ListServicesByNamespace"}


def test_every_operation_of_services_was_held_against_the_model(clients: Clients) -> None:
    """Runs last: what the tests above called covers them."""
    clients.ecs.list_clusters()
    assert set(clients.answers) & OF_SERVICES == OF_SERVICES - REFUSED
    assert set(OPERATIONS) >= OF_SERVICES
