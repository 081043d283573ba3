"""Waiters of AWS's JavaScript clients end as they do on AWS: simulated hosts behind a real socket.

What each waiter takes for success and failure is the client's own business and is not said again here: these tests say
what a region was brought to, and how its user is told. AWS's fixed waits are shortened.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config

from neargate.region import Region

from .js_clients import Script, ScriptError, needs_clients
from .served import KEY, REGION, SECRET
from .test_ecs_clients import Clients, connected, register, serving
from .test_ecs_services import Service
from .test_ecs_services_behind_balancers import keeping
from .test_elbv2_nodes import PLACES, until
from .test_elbv2_nodes import Clients as Balancers

pytestmark = needs_clients

QUICK = {"minDelay": 0.05, "maxDelay": 0.2, "maxWaitTime": 40}
# Time for a look or two: what is not there then is not waited for.
LOOK = {"minDelay": 0.05, "maxDelay": 0.05, "maxWaitTime": 0.1}


class Rig:
    def __init__(self, script: Script, clients: Clients, balancers: Balancers) -> None:
        self.script, self.clients, self.balancers = script, clients, balancers

    def wait(self, service: str, name: str, **params: Any) -> dict[str, Any]:
        return self.script.wait(service, name, QUICK, **params)

    def fails(self, service: str, name: str, **params: Any) -> tuple[str, dict[str, Any]]:
        """The name of what waitUntil... throws, and the end that its message tells as JSON."""
        with pytest.raises(ScriptError) as error:
            self.script.wait(service, name, QUICK, **params)
        told = error.value.told
        return told["name"], msgspec.json.decode(told["message"])

    def times_out(self, service: str, name: str, **params: Any) -> dict[str, Any]:
        ended = self.script.state(service, name, LOOK, **params)
        assert ended["state"] == "TIMEOUT"
        with pytest.raises(ScriptError) as error:
            self.script.wait(service, name, LOOK, **params)
        assert error.value.told["name"] == "TimeoutError"
        return ended


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    directory, home = tmp_path_factory.mktemp("region"), tmp_path_factory.mktemp("home")
    opening: Callable[[list[Region]], Any] = lambda opened: keeping(directory, opened)  # noqa: E731
    with connected(opening) as clients, ExitStack() as stack:
        elb = session.client("elbv2", endpoint_url=clients.endpoint, config=Config(retries={"max_attempts": 0}))
        stack.callback(elb.close)
        script = stack.enter_context(Script(clients.endpoint, home))
        yield Rig(script, clients, Balancers(elb, clients.ec2, clients.region))


def reasons(ended: dict[str, Any]) -> list[str]:
    return [failure["reason"] for failure in ended["reason"]["failures"]]


def statuses(ended: dict[str, Any]) -> list[str]:
    return [service["status"] for service in ended["reason"]["services"]]


def test_a_service_becomes_stable_and_inactive(rig: Rig) -> None:
    service = Service(rig.clients, "js-lives")
    service.create()
    asked = {"cluster": "js-lives", "services": ["web"]}
    stable = rig.wait("ecs", "ServicesStable", **asked)
    assert stable["state"] == "SUCCESS"
    [shown] = stable["reason"]["services"]
    assert (shown["runningCount"], shown["desiredCount"], len(shown["deployments"])) == (2, 2, 1)
    service.delete(force=True)
    inactive = rig.wait("ecs", "ServicesInactive", **asked)
    assert (inactive["state"], statuses(inactive)) == ("SUCCESS", ["INACTIVE"])
    name, ended = rig.fails("ecs", "ServicesStable", **asked)
    assert (name, ended["state"], statuses(ended)) == ("Error", "FAILURE", ["INACTIVE"])


def test_times_are_told_and_asked_for_to_the_millisecond(rig: Rig) -> None:
    """By them a deployment is told from the one before it."""
    service = Service(rig.clients, "js-times")
    service.create(desiredCount=1)
    service.stable()
    found = rig.script.send("ecs", "DescribeServices", cluster="js-times", services=["web"])["services"][0]
    made_ms = int(datetime.fromisoformat(found["deployments"][0]["createdAt"]).timestamp() * 1000)

    def listed(after_ms: int) -> int:
        asked = {"cluster": "js-times", "service": "web", "createdAt": {"after": {"date": after_ms}}}
        return len(rig.script.ask("ecs", "send", "ListServiceDeployments", asked)["serviceDeployments"])

    assert (listed(made_ms - 1), listed(made_ms + 1)) == (1, 0)
    service.gone()


def test_a_service_that_is_not_there_is_missing_to_both(rig: Rig) -> None:
    rig.clients.ecs.create_cluster(clusterName="js-empty")
    for waiter in ("ServicesStable", "ServicesInactive"):
        _, ended = rig.fails("ecs", waiter, cluster="js-empty", services=["web"])
        assert (ended["state"], reasons(ended)) == ("FAILURE", ["MISSING"])


def test_a_service_that_drains_is_not_waited_for_as_stable(tmp_path: Path) -> None:
    """Nobody keeps this region's services, so that one that is deleted stays as DeleteService leaves it."""
    opening: Callable[[list[Region]], Any] = lambda opened: serving(tmp_path, opened)  # noqa: E731
    with connected(opening) as clients, Script(clients.endpoint, tmp_path) as script:
        service = Service(clients, "js-drains")
        service.create(desiredCount=1)
        service.delete(force=True)
        asked = {"cluster": "js-drains", "services": ["web"]}
        ended = script.state("ecs", "ServicesStable", QUICK, **asked)
        assert (ended["state"], statuses(ended)) == ("FAILURE", ["DRAINING"])
        ended = script.state("ecs", "ServicesInactive", LOOK, **asked)
        assert ended["state"] == "TIMEOUT"


def test_a_service_without_room_for_its_tasks_is_waited_for_until_the_time_is_over(rig: Rig) -> None:
    service = Service(rig.clients, "js-fails")
    register(rig.clients, "js-fails", cpu="8 vCPU", memory="16 GB")  # more than any host has
    service.create(desiredCount=1)
    ended = rig.times_out("ecs", "ServicesStable", cluster="js-fails", services=["web"])
    assert list(ended["observedResponses"]) == ["200: OK"]
    rig.times_out("ecs", "ServicesInactive", cluster="js-fails", services=["web"])
    service.gone()


def test_tasks_run_and_stop(rig: Rig) -> None:
    rig.clients.ecs.create_cluster(clusterName="js-tasks")
    register(rig.clients, "js-tasks")
    task = rig.clients.run("js-tasks", "js-tasks")["tasks"][0]["taskArn"]
    asked = {"cluster": "js-tasks", "tasks": [task]}
    running = rig.wait("ecs", "TasksRunning", **asked)
    assert [one["lastStatus"] for one in running["reason"]["tasks"]] == ["RUNNING"]
    rig.times_out("ecs", "TasksStopped", **asked)
    rig.script.send("ecs", "StopTask", cluster="js-tasks", task=task, reason="enough")
    stopped = rig.wait("ecs", "TasksStopped", **asked)
    [one] = stopped["reason"]["tasks"]
    assert (one["stopCode"], one["stoppedReason"]) == ("UserInitiated", "enough")
    _, ended = rig.fails("ecs", "TasksRunning", **asked)
    assert [one["lastStatus"] for one in ended["reason"]["tasks"]] == ["STOPPED"]
    _, ended = rig.fails("ecs", "TasksRunning", cluster="js-tasks", tasks=["0" * 32])
    assert (ended["state"], reasons(ended)) == ("FAILURE", ["MISSING"])


def test_what_the_region_refuses_is_seen_by_the_waiter_each_time(rig: Rig) -> None:
    ended = rig.times_out("ecs", "TasksRunning", cluster="js-nowhere", tasks=["0" * 32])
    assert list(ended["observedResponses"]) == ["400: Cluster not found."]


def test_a_load_balancer_exists_is_available_and_is_deleted(rig: Rig) -> None:
    ghost = rig.balancers.create("js-ghost")
    rig.balancers.delete(ghost, "js-ghost")
    gone = {"LoadBalancerArns": [ghost]}
    assert rig.wait("elbv2", "LoadBalancersDeleted", **gone)["state"] == "SUCCESS"
    ended = rig.times_out("elbv2", "LoadBalancerExists", **gone)
    assert list(ended["observedResponses"]) == ["400: One or more load balancers not found"]
    rig.times_out("elbv2", "LoadBalancerAvailable", **gone)
    arn = rig.balancers.create("js-front")
    asked = {"LoadBalancerArns": [arn]}
    assert rig.wait("elbv2", "LoadBalancerExists", **asked)["state"] == "SUCCESS"
    available = rig.wait("elbv2", "LoadBalancerAvailable", **asked)
    assert [one["State"]["Code"] for one in available["reason"]["LoadBalancers"]] == ["active"]
    rig.times_out("elbv2", "LoadBalancersDeleted", **asked)
    rig.script.send("elbv2", "DeleteLoadBalancer", LoadBalancerArn=arn)
    deleted = rig.wait("elbv2", "LoadBalancersDeleted", **asked)
    assert deleted["reason"]["name"] == "LoadBalancerNotFoundException"


def test_a_target_comes_into_service_and_is_deregistered(rig: Rig) -> None:
    arn = rig.balancers.active("js-targets")["LoadBalancerArn"]
    group = rig.balancers.group("js-targets")
    subnet = rig.clients.ec2.describe_subnets(SubnetIds=[rig.balancers.subnets[PLACES[0]]])["Subnets"][0]["CidrBlock"]
    target = {"Id": subnet.rsplit(".", 1)[0] + ".210", "Port": 80}
    asked = {"TargetGroupArn": group, "Targets": [target]}
    # Never registered: all of what is asked for is unused, which is what deregistered is.
    assert rig.wait("elbv2", "TargetDeregistered", **asked)["state"] == "SUCCESS"
    rig.script.send("elbv2", "RegisterTargets", **asked)
    rig.times_out("elbv2", "TargetInService", **asked)
    rig.balancers.listen(arn, group)
    healthy = rig.wait("elbv2", "TargetInService", **asked)
    [one] = healthy["reason"]["TargetHealthDescriptions"]
    assert (one["Target"], one["TargetHealth"]) == (target | {"AvailabilityZone": PLACES[0]}, {"State": "healthy"})
    rig.times_out("elbv2", "TargetDeregistered", **asked)
    rig.script.send("elbv2", "DeregisterTargets", **asked)
    assert rig.wait("elbv2", "TargetDeregistered", **asked)["state"] == "SUCCESS"
    until(lambda: rig.balancers.health(group) == {})
    rig.balancers.delete(arn, "js-targets")
