"""Every wording of ECS that clients are known to match: said here to boto3, told where it is tested, or not there yet.

HERE drives a whole region in memory. ELSEWHERE are sentences of tasks that have stopped, which need an agent: the file
that is named asserts them. LATER belongs to operations that are not built; the day one is, its row must move up.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neargate.frontend.limits.token_bucket import Rate
from neargate.frontend.operations.table import OPERATIONS
from neargate.model.quotas import FARGATE_ON_DEMAND_VCPU
from neargate.testing.front_door import ACCOUNT, REGION

from .test_authorization import Region, refused, region

__all__ = ["region"]  # the fixture

TESTS = Path(__file__).parent.parent
CLIENT, INVALID = "ClientException", "InvalidParameterException"
IAM = f"arn:aws:iam::{ACCOUNT}"
LOGS = {"awslogs-group": "/g", "awslogs-region": REGION, "awslogs-stream-prefix": "p"}
CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
VCPUS = "You've reached the limit on the number of vCPUs you can run concurrently"
TROUBLESHOOTING = " For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
Do = Callable[[Region], tuple[str, int, str]]


def _web(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "web", "image": "web:1", **more}]


def registering(**changes: Any) -> Do:
    """None takes a member away."""

    def do(region: Region) -> tuple[str, int, str]:
        given = {
            "family": "web",
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": _web(),
        } | changes
        return refused(
            region.ecs.register_task_definition, **{name: one for name, one in given.items() if one is not None}
        )

    return do


def running(before: Callable[[Region], object] = lambda _: None, without: tuple[str, ...] = (), **changes: Any) -> Do:
    def do(region: Region) -> tuple[str, int, str]:
        before(region)
        given = request(region) | changes
        return refused(region.ecs.run_task, **{name: one for name, one in given.items() if name not in without})

    return do


def request(region: Region) -> dict[str, Any]:
    subnets = [subnet["SubnetId"] for subnet in region.ec2.describe_subnets()["Subnets"]]
    network = {"awsvpcConfiguration": {"subnets": subnets}}
    return {"taskDefinition": "web", "launchType": "FARGATE", "networkConfiguration": network}


def asking(operation: str, before: Callable[[Region], object] = lambda _: None, **params: Any) -> Do:
    def do(region: Region) -> tuple[str, int, str]:
        before(region)
        return refused(getattr(region.ecs, operation), **params)

    return do


def for_ec2(region: Region) -> None:
    region.ecs.register_task_definition(family="bridge", containerDefinitions=_web(memory=128))


def gone(region: Region) -> None:
    region.ecs.create_cluster(clusterName="gone")
    region.ecs.delete_cluster(cluster="gone")


def retired(region: Region) -> None:
    region.ecs.deregister_task_definition(taskDefinition="web:1")


def one_runs(region: Region) -> None:
    region.run(region.ecs)


def token_used(region: Region) -> None:
    region.run(region.ecs, clientToken="token")


def one_serves(region: Region) -> None:
    region.ecs.create_service(**serving(region))


def serving(region: Region, **changes: Any) -> dict[str, Any]:
    return request(region) | {"serviceName": "web", "desiredCount": 1} | changes


def creating(before: Callable[[Region], object] = lambda _: None, **changes: Any) -> Do:
    def do(region: Region) -> tuple[str, int, str]:
        before(region)
        return refused(region.ecs.create_service, **serving(region, **changes))

    return do


def two_deployments(region: Region) -> None:
    one_serves(region)
    region.ecs.update_service(service="web", forceNewDeployment=True, desiredCount=0)


def one_drains(region: Region) -> None:
    one_serves(region)
    region.ecs.delete_service(service="web", force=True)


def served_by_what_is_retired(region: Region) -> None:
    one_serves(region)
    retired(region)


def throttled(region: Region) -> None:
    region._runner.run(region.door.region.quotas.set_rate(ACCOUNT, "ecs/cluster-read", Rate(1, 0.001)))
    region.ecs.list_clusters()


HERE: list[tuple[str, str, Do]] = [
    (CLIENT, "No Fargate configuration exists for given values.", registering(cpu="4096", memory="4096")),
    (CLIENT, "Fargate requires that 'cpu' be defined at the task level.", registering(cpu=None)),
    (
        CLIENT,
        "Fargate requires that 'memory' be defined at the task level.",
        registering(memory=None, containerDefinitions=_web(memory=128)),
    ),
    (CLIENT, "Fargate only supports network mode ‘awsvpc’.", registering(networkMode="bridge")),
    (CLIENT, "Invalid 'cpu' setting for task.", registering(cpu="")),
    (CLIENT, "Invalid 'cpu' setting for task.", registering(cpu="a lot")),
    (
        CLIENT,
        "The 'memory' setting for container 'web' is greater than for the task.",
        registering(containerDefinitions=_web(memory=1024)),
    ),
    (
        CLIENT,
        "host.sourcePath should not be set for volumes in Fargate.",
        registering(volumes=[{"name": "v", "host": {"sourcePath": "/etc"}}]),
    ),
    (
        CLIENT,
        "Fargate does not support task placement constraints.",
        registering(placementConstraints=[{"type": "memberOf", "expression": "x"}]),
    ),
    (CLIENT, "Tasks using the Fargate launch type do not support ipcMode.", registering(ipcMode="host")),
    (
        CLIENT,
        "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        registering(containerDefinitions=_web(logConfiguration={"logDriver": "awslogs", "options": LOGS})),
    ),
    (
        INVALID,
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        running(without=("networkConfiguration",)),
    ),
    (INVALID, "Task definition does not support launch_type FARGATE.", running(for_ec2, taskDefinition="bridge")),
    (INVALID, "TaskDefinition is inactive", running(retired, taskDefinition="web:1")),
    (CLIENT, "TaskDefinition not found.", running(taskDefinition="ghost")),
    (CLIENT, "The referenced cluster was inactive.", running(gone, cluster="gone")),
    ("ClusterNotFoundException", "Cluster not found.", running(cluster="ghost")),
    ("ClusterNotFoundException", "Cluster not found.", asking("delete_cluster", cluster="ghost")),
    (
        "ClusterContainsTasksException",
        "The Cluster cannot be deleted while Tasks are active.",
        asking("delete_cluster", one_runs, cluster="default"),
    ),
    (
        CLIENT,
        "Unable to describe task definition.",
        asking("describe_task_definition", taskDefinition="ghost"),
    ),
    ("ThrottlingException", "Rate exceeded", asking("list_clusters", throttled)),
    (INVALID, "No Container Instances were found in your cluster.", running(without=("launchType",))),
    (INVALID, "No Container Instances were found in your cluster.", running(launchType="EC2")),
    ("PlatformUnknownException", "The specified platform does not exist.", running(platformVersion="1.3.0")),
    (
        CLIENT,
        f"ECS was unable to assume the role '{IAM}:role/ghost' that was provided for this task. Please verify that the "
        "role being passed has the proper trust relationship and permissions and that your IAM user has permissions "
        "to pass this role.",
        running(overrides={"taskRoleArn": f"{IAM}:role/ghost"}),
    ),
    (
        "ConflictException",
        "The RunTask request could not be processed due to conflicts. The provided clientToken is already in use with "
        "a different RunTask request.",
        running(token_used, clientToken="token", count=2),
    ),
    (
        INVALID,
        "You can no longer disable Long Arn settings.",
        asking("put_account_setting_default", name="taskLongArnFormat", value="disabled"),
    ),
    (INVALID, "Invalid setting 'value'", asking("put_account_setting", name="taskLongArnFormat", value="ENABLED")),
    (
        INVALID,
        "Long arn format must be used for tagging operations",
        asking("list_tags_for_resource", resourceArn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/web"),
    ),
    (
        INVALID,
        "The specified cluster is inactive. Specify an active cluster and try again.",
        asking("list_tags_for_resource", gone, resourceArn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/gone"),
    ),
    (INVALID, "Creation of service was not idempotent.", creating(one_serves, desiredCount=2)),
    (INVALID, "Desired count exceeds limit.", creating(desiredCount=5001)),
    (CLIENT, "TaskDefinition is inactive", creating(retired, taskDefinition="web:1")),
    (
        CLIENT,
        "TaskDefinition is inactive",
        asking("update_service", served_by_what_is_retired, service="web", forceNewDeployment=True),
    ),
    (
        INVALID,
        "The service cannot be stopped while it is scaled above 0.",
        asking("delete_service", one_serves, service="web"),
    ),
    ("ServiceNotFoundException", "Service not found.", asking("update_service", service="web")),
    (
        "ClusterContainsServicesException",
        "The Cluster cannot be deleted while Services are active.",
        asking("delete_cluster", one_serves, cluster="default"),
    ),
    (
        INVALID,
        "The service cannot be stopped while deployments are active.",
        asking("delete_service", two_deployments, service="web"),
    ),
    (INVALID, "Unable to Start a service that is still Draining.", creating(one_drains)),
    (
        INVALID,
        "You must set logging to 'OVERRIDE' when you supply a log configuration",
        asking(
            "update_cluster",
            cluster="default",
            configuration={"executeCommandConfiguration": {"logConfiguration": {"cloudWatchLogGroupName": "g"}}},
        ),
    ),
]

# (sentence, test file that asserts it)
ELSEWHERE = [
    ("has target type instance, which is incompatible with ", "unit/test_ecs_operations_load_balancers.py"),
    ("does not have an associated load balancer.", "unit/test_ecs_operations_load_balancers.py"),
    ("InsufficientFreeAddressesInSubnet", "unit/test_cell_launching.py"),
    ("ResourceInitializationError: unable to pull secrets or registry auth: ", "unit/test_agent_secrets.py"),
    ("ResourceInitializationError: failed to validate logger args: ", "unit/test_agent_logs.py"),
    ("CannotPullContainerError", "acceptance/test_failures.py"),
    ("We couldn't start the session because encryption is not set up on ", "unit/test_session_log.py"),
    ("Encountered error while initiating handshake. ", "unit/test_session_log.py"),
]

# (sentence, an operation that would say it and is not there, its service first)
LATER = [
    (
        "The Cluster cannot be deleted while Container Instances are active or draining.",
        "ecs",
        "RegisterContainerInstance",
    ),
    ("INACTIVE (of an instance's failure)", "ecs", "RegisterContainerInstance"),
    ("RESOURCE:*, AGENT, LOCATION, ATTRIBUTE: reasons of EC2's placement", "ecs", "RegisterContainerInstance"),
]


@pytest.mark.parametrize(("code", "text", "do"), HERE, ids=[text[:60] for _, text, _ in HERE])
def test_it_is_said(region: Region, code: str, text: str, do: Do) -> None:
    said = do(region)
    assert said[:2] == (code, 400)
    assert said[2].removesuffix(TROUBLESHOOTING) == text


def test_failures_are_reasons_of_an_answer_that_is_fine(region: Region) -> None:
    ghost = "0" * 32
    [failure] = region.ecs.describe_clusters(clusters=["ghost"])["failures"]
    assert failure == {"arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/ghost", "reason": "MISSING"}
    [failure] = region.ecs.describe_tasks(tasks=[ghost])["failures"]
    assert failure == {"arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/default/{ghost}", "reason": "MISSING"}
    region.register(region.ecs, family="big", cpu="16384", memory="122880")
    assert reasons(region, taskDefinition="big") == [CAPACITY]


def test_vcpus_are_limited_for_one_task_and_for_all(region: Region) -> None:
    quotas = region.door.region.quotas
    region._runner.run(quotas.set_value(ACCOUNT, FARGATE_ON_DEMAND_VCPU.key, 0.5))
    region.register(region.ecs, family="one-vcpu", cpu="1024", memory="2048")
    assert reasons(region, taskDefinition="one-vcpu") == ["The requested CPU configuration is above your limit."]
    assert reasons(region, taskDefinition="web", count=3) == [VCPUS]


@pytest.mark.parametrize(
    ("vcpus", "text"), [(0.5, VCPUS), (0.25, "The requested CPU configuration is above your limit")]
)
def test_a_service_beyond_the_limit_of_vcpus_says_so_once_in_an_event(region: Region, vcpus: float, text: str) -> None:
    region._runner.run(region.door.region.quotas.set_value(ACCOUNT, FARGATE_ON_DEMAND_VCPU.key, vcpus))
    region.register(region.ecs, family="half", cpu="512", memory="1024")
    region.ecs.create_service(**serving(region, taskDefinition="half", desiredCount=2))
    said = f"(service web) was unable to place a task. Reason: {text}."
    services = region.door.region.cell.services
    for _ in range(4):
        region._runner.run(services.turn(ACCOUNT, "default", "web"))
    [service] = region.ecs.describe_services(services=["web"])["services"]
    assert [event["message"] for event in service["events"]].count(said) == 1


def reasons(region: Region, **changes: Any) -> list[str]:
    return [failure["reason"] for failure in region.ecs.run_task(**request(region) | changes)["failures"]]


@pytest.mark.parametrize(("text", "path"), ELSEWHERE)
def test_it_is_asserted_where_an_agent_is(text: str, path: str) -> None:
    assert text in (TESTS / path).read_text()


def test_what_comes_later_is_not_there_yet() -> None:
    assert len(LATER) == 3
    assert [text for text, service, operation in LATER if operation in OPERATIONS.get(service, {})] == []
