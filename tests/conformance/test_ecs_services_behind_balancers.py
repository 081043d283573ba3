"""Services behind load balancers as boto3 and its waiters see them: simulated hosts behind a real socket.

Simulated nodes of load balancers say that every target is healthy. AWS's fixed waits are shortened.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.model.knobs import Knobs
from neargate.region import Region

from .served import KEY, REGION, SECRET
from .test_ecs_clients import ARN, Clients, connected, refused, register
from .test_ecs_services import KNOBS as QUICK
from .test_elbv2_nodes import Clients as Balancers
from .test_elbv2_nodes import keeping as placing
from .test_elbv2_nodes import until

KNOBS: Knobs = msgspec.structs.replace(
    QUICK, placing_period_s=0.2, balancer_look_period_s=0.1, service_drain_check_s=0.1
)
WAIT = {"Delay": 0.1, "MaxAttempts": 300}
INVALID = "InvalidParameterException"


@asynccontextmanager
async def keeping(directory: Path, opened: list[Region]) -> AsyncIterator[int]:
    """A region that places what has a place, and keeps its services."""
    async with placing(directory, opened, KNOBS) as port:
        opened[0].cell.start_services()
        yield port


class Both:
    """A load balancer with a listener, and groups that it forwards to."""

    def __init__(self, clients: Clients, balancers: Balancers) -> None:
        self.clients, self.ecs, self.balancers, self.elb = clients, clients.ecs, balancers, balancers.elb
        self.awsvpc = {
            "awsvpcConfiguration": {"subnets": [balancers.subnets[zone] for zone in (f"{REGION}a", f"{REGION}b")]}
        }
        self.balancer = str(balancers.active("front")["LoadBalancerArn"])
        self.group = balancers.group("web")
        self.listener = balancers.listen(self.balancer, self.group)

    def delay(self, group: str, seconds: int) -> None:
        attributes = [{"Key": "deregistration_delay.timeout_seconds", "Value": str(seconds)}]
        self.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=attributes)

    def create(self, name: str, *groups: str, **changes: Any) -> dict[str, Any]:
        self.ecs.create_cluster(clusterName=name)
        register(self.clients, name)
        given = {
            "cluster": name,
            "serviceName": "web",
            "taskDefinition": name,
            "desiredCount": 2,
            "launchType": "FARGATE",
            "networkConfiguration": self.awsvpc,
            "loadBalancers": [
                {"targetGroupArn": group, "containerName": "web", "containerPort": 80} for group in groups
            ],
        } | changes
        made: dict[str, Any] = self.ecs.create_service(**given)["service"]
        return made

    def shown(self, name: str) -> dict[str, Any]:
        [found] = self.ecs.describe_services(cluster=name, services=["web"])["services"]
        shown: dict[str, Any] = found
        return shown

    def messages(self, name: str) -> list[str]:
        return [event["message"] for event in reversed(self.shown(name)["events"])]

    def addresses(self, name: str) -> set[str]:
        arns = self.ecs.list_tasks(cluster=name, desiredStatus="RUNNING")["taskArns"]
        tasks = self.ecs.describe_tasks(cluster=name, tasks=arns)["tasks"]
        return {
            detail["value"]
            for task in tasks
            for detail in task["attachments"][0]["details"]
            if detail["name"] == "privateIPv4Address"
        }

    def completed(self, name: str) -> dict[str, Any]:
        def is_completed() -> bool:
            return [one["rolloutState"] for one in self.shown(name)["deployments"]] == ["COMPLETED"]

        until(is_completed)
        return self.shown(name)

    def end(self, name: str) -> None:
        self.ecs.delete_service(cluster=name, service="web", force=True)
        self.ecs.get_waiter("services_inactive").wait(cluster=name, services=["web"], WaiterConfig=WAIT)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    directory = tmp_path_factory.mktemp("region")
    opening: Callable[[list[Region]], Any] = lambda opened: keeping(directory, opened)  # noqa: E731
    with connected(opening) as clients, ExitStack() as stack:
        elb = session.client("elbv2", endpoint_url=clients.endpoint, config=Config(retries={"max_attempts": 0}))
        stack.callback(elb.close)
        yield Both(clients, Balancers(elb, clients.ec2, clients.region))


def test_a_service_s_tasks_are_targets_while_they_run(both: Both) -> None:
    both.delay(both.group, 0)
    made = both.create("lives", both.group)
    wanted = [{"targetGroupArn": both.group, "containerName": "web", "containerPort": 80}]
    assert made["loadBalancers"] == wanted
    both.ecs.get_waiter("services_stable").wait(cluster="lives", services=["web"], WaiterConfig=WAIT)
    shown = both.completed("lives")
    assert both.balancers.health(both.group) == dict.fromkeys(both.addresses("lives"), "healthy")
    [revision] = both.ecs.describe_service_revisions(serviceRevisionArns=[shown["currentServiceRevisions"][0]["arn"]])[
        "serviceRevisions"
    ]
    assert revision["loadBalancers"] == wanted
    assert revision["resolvedConfiguration"] == {"loadBalancers": [{"targetGroupArn": both.group}]}
    before = both.addresses("lives")
    register(both.clients, "lives")
    both.ecs.update_service(cluster="lives", service="web", taskDefinition="lives")
    both.completed("lives")
    after = both.addresses("lives")
    assert len(after) == 2 and after != before
    assert both.balancers.health(both.group) == dict.fromkeys(after, "healthy")
    both.ecs.update_service(cluster="lives", service="web", loadBalancers=[])
    both.completed("lives")
    until(lambda: both.balancers.health(both.group) == {})
    assert both.shown("lives")["loadBalancers"] == []
    both.end("lives")
    said = [one.replace(both.group, "...") for one in both.messages("lives")]
    assert "(service web) registered 2 targets in (target-group ...)" in said or (
        said.count("(service web) registered 1 targets in (target-group ...)") >= 2
    )
    assert any(one.startswith("(service web) deregistered ") for one in said)
    assert any("has begun draining connections on" in one for one in said)


def test_a_task_that_a_user_stops_drains_as_long_as_its_group_says(both: Both) -> None:
    group = both.balancers.group("drains")
    both.elb.create_rule(
        ListenerArn=both.listener,
        Priority=7,
        Conditions=[{"Field": "path-pattern", "Values": ["/drains"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    both.delay(group, 3600)
    both.create("drains", group, desiredCount=1)
    both.completed("drains")
    [arn] = both.ecs.list_tasks(cluster="drains")["taskArns"]
    both.ecs.stop_task(cluster="drains", task=arn)

    def status() -> str:
        return str(both.clients.describe("drains", arn)["lastStatus"])

    until(lambda: status() in ("DEACTIVATING", "STOPPED"))
    until(lambda: status() == "STOPPED")  # simulated nodes have nothing in flight
    until(lambda: list(both.balancers.health(group).values()) == ["healthy"])
    both.end("drains")
    assert both.balancers.health(group) == {}


def test_a_group_that_is_used_by_no_listener_is_refused(both: Both) -> None:
    idle = both.balancers.group("idle")
    with pytest.raises(ClientError) as error:
        both.create("idle", idle)
    told = error.value.response["Error"]
    assert (told["Code"], told["Message"]) == (
        INVALID,
        f"The target group with targetGroupArn {idle} does not have an associated load balancer.",
    )
    ghost = f"{ARN.replace(':ecs:', ':elasticloadbalancing:')}:targetgroup/ghost/0123456789abcdef"
    code, message = refused(lambda: both.create("idle", ghost))
    assert code == INVALID and "verify that the ECS service role being passed has the proper permissions" in message
    assert refused(
        lambda: both.create(
            "idle",
            both.group,
            taskDefinition="idle",
            loadBalancers=[{"targetGroupArn": both.group, "containerName": "web", "containerPort": 81}],
        )
    ) == (INVALID, "The container web did not have a container port 81 defined.")


def test_tasks_in_a_zone_that_the_load_balancer_lacks_fail_and_say_why(both: Both) -> None:
    subnet = both.balancers.subnets[f"{REGION}c"]
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}, "minimumHealthyPercent": 0}
    both.create(
        "elsewhere",
        both.group,
        desiredCount=1,
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        deploymentConfiguration=breaker,
    )
    until(lambda: both.shown("elsewhere")["deployments"][0]["rolloutState"] == "FAILED")
    why = "Target is in an Availability Zone that is not enabled for the load balancer"
    assert any(one.endswith(f"due to (reason {why}).") for one in both.messages("elsewhere"))
    both.end("elsewhere")
