"""ECS as boto3 and the aws CLI see it: a region in memory behind real HTTP, simulated hosts behind a real socket.

Every answer's bytes are held against botocore's model: no member that AWS does not have, and each of the right type.
"""

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from neargate.agent.simulated import SimulatedFleet, SimulatedTimes
from neargate.frontend.operations.ecs.table import OPERATIONS
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import DEFAULT_KNOBS, Knobs
from neargate.region import Region
from neargate.world import OsWorld

from .served import ACCOUNT, KEY, REGION, SECRET, InThread, listening, region_in_memory

ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az3"))
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
EMPTY_WITHIN_S = 60.0
WAIT = {"Delay": 0.05, "MaxAttempts": 400}


@asynccontextmanager
async def serving(directory: Path, opened: list[Region], knobs: Knobs = DEFAULT_KNOBS) -> AsyncIterator[int]:
    """The port of a region with a simulated host in each zone, which is left in `opened`."""
    world = OsWorld()
    region = await region_in_memory(world, ZONES, knobs=knobs)
    opened.append(region)
    socket_path = str(directory / "link.sock")
    hosts = [_host(zone) for zone, _ in ZONES]
    times = SimulatedTimes(attach_s=0.01, start_s=0.01, run_s=0.01, stop_s=0.01)
    fleet = SimulatedFleet(world, hosts, socket_path=socket_path, knobs=knobs, times=times)
    async with region.gateway.listening(socket_path), listening(region.frontend) as port:
        machines = asyncio.ensure_future(fleet.run())
        await _all_connected(region, len(hosts))
        yield port
        machines.cancel()
        await asyncio.gather(machines, return_exceptions=True)


def _host(zone: str) -> HostFacts:
    return HostFacts(
        host_id=f"h-{zone}",
        boot_id="b",
        capacity=HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=10_000),
        sandbox="simulated",
        zone=zone,
    )


async def _all_connected(region: Region, count: int) -> None:
    for _ in range(3000):
        hosts = [host for manager in set(region.capacities.values()) for host in await manager.hosts()]
        if sum(1 for host in hosts if host["connected"]) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the region did not come up")


@dataclass(frozen=True)
class Clients:
    ecs: Any
    ec2: Any
    endpoint: str
    answers: list[str]  # operations whose answers were held against the model
    region: Region  # lives in another thread: only what is read from memory at once may be asked

    def wait_empty(self) -> None:
        """Until what ended before has given its room back: a task shows STOPPED a little sooner."""
        deadline = time.monotonic() + EMPTY_WITHIN_S
        while any(manager.cpu_units_held(ACCOUNT) for manager in self.region.capacities.values()):
            assert time.monotonic() < deadline, "room is not given back"
            time.sleep(0.01)

    @property
    def awsvpc(self) -> dict[str, Any]:
        subnets = [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]
        return {"awsvpcConfiguration": {"subnets": subnets}}

    def run(self, cluster: str, definition: str, **params: Any) -> dict[str, Any]:
        given = {"launchType": "FARGATE", "networkConfiguration": self.awsvpc} | params
        answer: dict[str, Any] = self.ecs.run_task(cluster=cluster, taskDefinition=definition, **given)
        return answer

    def describe(self, cluster: str, arn: str, **params: Any) -> dict[str, Any]:
        tasks = self.ecs.describe_tasks(cluster=cluster, tasks=[arn], **params)["tasks"]
        task: dict[str, Any] = tasks[0]
        return task


@contextmanager
def connected(opening: Callable[[list[Region]], AbstractAsyncContextManager[int]]) -> Iterator[Clients]:
    """boto3's clients of a region, which `opening` leaves in the list that it is given."""
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    settings = Config(retries={"max_attempts": 0}, read_timeout=30)
    answers: list[str] = []
    opened: list[Region] = []
    with InThread(lambda: opening(opened)) as port, ExitStack() as stack:
        endpoint = f"http://127.0.0.1:{port}"
        made = [session.client(name, endpoint_url=endpoint, config=settings) for name in ("ecs", "ec2")]
        for client in made:
            stack.callback(client.close)
        made[0].meta.events.register("before-parse.ecs.*", lambda **event: _check_answer(answers, **event))
        yield Clients(ecs=made[0], ec2=made[1], endpoint=endpoint, answers=answers, region=opened[0])


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with connected(lambda opened: serving(tmp_path_factory.mktemp("region"), opened)) as made:
        yield made


def _check_answer(answers: list[str], *, operation_model: Any, response_dict: Any, **_: Any) -> None:
    if response_dict["status_code"] != 200:
        return
    body = msgspec.json.decode(response_dict["body"])
    assert list(_strangers(operation_model.output_shape, body, operation_model.name)) == []
    answers.append(operation_model.name)


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "timestamp": (int, float),
    "double": (int, float),
    "float": (int, float),
}


def _strangers(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Where a document differs from the shape."""
    kind: type[Any] | None = {"structure": dict, "map": dict, "list": list}.get(shape.type_name)
    if kind is None:
        if not isinstance(value, TYPES[shape.type_name]) or (isinstance(value, bool) != (shape.type_name == "boolean")):
            yield f"{path}: {value!r} is no {shape.type_name}"
        elif getattr(shape, "enum", None) and value not in shape.enum:
            yield f"{path}: {value!r} is not in the enum"
    elif not isinstance(value, kind):
        yield f"{path}: {value!r} is no {shape.type_name}"
    elif shape.type_name == "list":
        for place, item in enumerate(value):
            yield from _strangers(shape.member, item, f"{path}[{place}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from _strangers(shape.value, item, f"{path}.{name}")
    else:
        for name, item in value.items():
            if name in shape.members:
                yield from _strangers(shape.members[name], item, f"{path}.{name}")
            else:
                yield f"{path}: AWS has no member {name}"


def register(clients: Clients, family: str, **members: Any) -> str:
    """The new revision's ARN."""
    given = {
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": ".25 vCPU",
        "memory": "0.5 GB",
        "containerDefinitions": [{"name": "web", "image": "web:1", "portMappings": [{"containerPort": 80}]}],
    } | members
    made = clients.ecs.register_task_definition(**given)
    arn: str = made["taskDefinition"]["taskDefinitionArn"]
    return arn


def refused(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**params)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_task_lives_as_on_aws(clients: Clients) -> None:
    clients.ecs.create_cluster(clusterName="life")
    definition = register(clients, "life")
    answer = clients.run("life", "life", startedBy="me", tags=[{"key": "a", "value": "b"}], enableECSManagedTags=True)
    assert answer["failures"] == []
    task = answer["tasks"][0]
    arn = task["taskArn"]
    assert re.fullmatch(re.escape(f"{ARN}:task/life/") + "[0-9a-f]{32}", arn)
    assert task["lastStatus"] == "PROVISIONING" and task["desiredStatus"] == "RUNNING"
    assert task["attachments"][0]["status"] == "PRECREATED"
    assert task["attachments"][0]["type"] == "ElasticNetworkInterface"
    assert [detail["name"] for detail in task["attachments"][0]["details"]] == ["subnetId"]

    clients.ecs.get_waiter("tasks_running").wait(cluster="life", tasks=[arn], WaiterConfig=WAIT)
    running = clients.describe("life", arn, include=["TAGS"])
    assert running["lastStatus"] == "RUNNING" and running["startedAt"] >= running["createdAt"]
    assert running["taskDefinitionArn"] == definition and running["platformVersion"] == "1.4.0"
    assert (running["cpu"], running["memory"], running["launchType"]) == ("256", "512", "FARGATE")
    assert running["group"] == "family:life" and running["startedBy"] == "me"
    assert {tag["key"]: tag["value"] for tag in running["tags"]} == {"a": "b", "aws:ecs:clusterName": "life"}
    details = {detail["name"]: detail["value"] for detail in running["attachments"][0]["details"]}
    assert {"subnetId", "networkInterfaceId", "macAddress", "privateIPv4Address"} <= details.keys()
    container = running["containers"][0]
    assert (container["name"], container["image"], container["lastStatus"]) == ("web", "web:1", "RUNNING")
    assert container["networkInterfaces"][0]["privateIpv4Address"] == details["privateIPv4Address"]
    assert container["containerArn"].startswith(f"{ARN}:container/life/")
    cluster = clients.ecs.describe_clusters(clusters=["life"], include=["STATISTICS", "SETTINGS", "TAGS"])["clusters"][
        0
    ]
    assert cluster["runningTasksCount"] == 1

    stopping = clients.ecs.stop_task(cluster="life", task=arn, reason="enough")["task"]
    assert stopping["desiredStatus"] == "STOPPED"
    clients.ecs.get_waiter("tasks_stopped").wait(cluster="life", tasks=[arn], WaiterConfig=WAIT)
    stopped = clients.describe("life", arn)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
    assert stopped["version"] > running["version"] and stopped["stoppedAt"] >= stopped["stoppingAt"]
    assert clients.ecs.list_tasks(cluster="life")["taskArns"] == []
    assert clients.ecs.list_tasks(cluster="life", desiredStatus="STOPPED")["taskArns"] == [arn]
    assert clients.ecs.delete_cluster(cluster="life")["cluster"]["status"] == "INACTIVE"
    assert refused(clients.run, cluster="life", definition="life") == (
        "ClientException",
        "The referenced cluster was inactive.",
    )


def test_a_container_that_exits_ends_its_task(clients: Clients) -> None:
    clients.ecs.create_cluster(clusterName="exits")
    register(clients, "exits", containerDefinitions=[{"name": "job", "image": "job:1", "command": ["exit", "3"]}])
    arn = clients.run("exits", "exits")["tasks"][0]["taskArn"]
    with pytest.raises(WaiterError):  # AWS's waiter fails for a task that stopped
        clients.ecs.get_waiter("tasks_running").wait(cluster="exits", tasks=[arn], WaiterConfig={"Delay": 0.5})
    clients.ecs.get_waiter("tasks_stopped").wait(cluster="exits", tasks=[arn], WaiterConfig=WAIT)
    task = clients.describe("exits", arn)
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert task["containers"][0]["exitCode"] == 3


def test_ten_tasks_are_spread_and_listed_in_pages(clients: Clients) -> None:
    clients.ecs.create_cluster(clusterName="many")
    register(clients, "many")
    made = clients.run("many", "many", count=9)["tasks"]
    zones = [task["availabilityZone"] for task in made]
    assert sorted(zones.count(zone) for zone, _ in ZONES) == [3, 3, 3]
    pages = clients.ecs.get_paginator("list_tasks").paginate(cluster="many", PaginationConfig={"PageSize": 4})
    listed = [page["taskArns"] for page in pages]
    assert [len(page) for page in listed] == [4, 4, 1]
    arns = [arn for page in listed for arn in page]
    assert sorted(arns) == sorted(task["taskArn"] for task in made)
    assert refused(clients.ecs.delete_cluster, cluster="many")[0] == "ClusterContainsTasksException"
    for arn in arns:
        clients.ecs.stop_task(cluster="many", task=arn)
    clients.ecs.get_waiter("tasks_stopped").wait(cluster="many", tasks=arns, WaiterConfig=WAIT)


def test_spot_gives_way_to_a_task_on_demand(clients: Clients) -> None:
    both = ["FARGATE", "FARGATE_SPOT"]
    shown = clients.ecs.describe_capacity_providers()["capacityProviders"]
    assert [(provider["name"], provider["status"]) for provider in shown] == [(name, "ACTIVE") for name in both]
    clients.ecs.create_cluster(clusterName="spare")
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
    cluster = clients.ecs.put_cluster_capacity_providers(
        cluster="spare", capacityProviders=both, defaultCapacityProviderStrategy=spot
    )["cluster"]
    assert (cluster["capacityProviders"], cluster["defaultCapacityProviderStrategy"]) == (both, spot)
    register(clients, "spare", cpu="1 vCPU", memory="8 GB")  # all of a host
    clients.wait_empty()
    given = {"cluster": "spare", "taskDefinition": "spare", "networkConfiguration": clients.awsvpc, "count": 10}
    answer = clients.ecs.run_task(**given)
    arns = [task["taskArn"] for task in answer["tasks"]]
    assert {(task["capacityProviderName"], task["launchType"]) for task in answer["tasks"]} == {
        ("FARGATE_SPOT", "FARGATE")
    }
    assert len(arns) == 3 and len(answer["failures"]) == 7
    [mine] = clients.run("spare", "spare")["tasks"]
    clients.ecs.get_waiter("tasks_running").wait(cluster="spare", tasks=[mine["taskArn"]], WaiterConfig=WAIT)
    tasks = clients.ecs.describe_tasks(cluster="spare", tasks=arns)["tasks"]
    interrupted = [task for task in tasks if task["desiredStatus"] == "STOPPED"]
    assert [(task["stopCode"], task["stoppedReason"]) for task in interrupted] == [
        ("SpotInterruption", "Your Spot Task was interrupted.")
    ]
    arns.append(mine["taskArn"])
    for arn in arns:
        clients.ecs.stop_task(cluster="spare", task=arn)
    clients.ecs.get_waiter("tasks_stopped").wait(cluster="spare", tasks=arns, WaiterConfig=WAIT)


def test_no_room_is_a_failure_and_not_an_error(clients: Clients) -> None:
    clients.ecs.create_cluster(clusterName="full")
    register(clients, "full", cpu="16 vCPU", memory="120 GB")
    answer = clients.run("full", "full")
    assert answer["tasks"] == []
    assert [failure["reason"] for failure in answer["failures"]] == [
        "Capacity is unavailable at this time. Please try again later or in a different availability zone"
    ]


def test_definitions_through_the_client(clients: Clients) -> None:
    arn = register(clients, "defs", tags=[{"key": "a", "value": "b"}])
    shown = clients.ecs.describe_task_definition(taskDefinition="defs", include=["TAGS"])
    assert shown["tags"] == [{"key": "a", "value": "b"}]
    assert shown["taskDefinition"]["registeredAt"].year > 2000
    second = register(clients, "defs")
    assert clients.ecs.list_task_definitions(familyPrefix="defs")["taskDefinitionArns"] == [arn, second]
    assert "defs" in clients.ecs.list_task_definition_families(familyPrefix="de")["families"]
    gone = clients.ecs.deregister_task_definition(taskDefinition=second)["taskDefinition"]
    assert gone["status"] == "INACTIVE" and gone["deregisteredAt"]
    deleted = clients.ecs.delete_task_definitions(taskDefinitions=[second, arn])
    assert [item["status"] for item in deleted["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]
    assert [failure["arn"] for failure in deleted["failures"]] == [arn]
    assert refused(clients.ecs.describe_task_definition, taskDefinition="nothing") == (
        "ClientException",
        "Unable to describe task definition.",
    )


def test_what_was_described_can_be_registered_again(clients: Clients) -> None:
    """Deployment tools do this: describe, change the image, register."""
    register(
        clients,
        "again",
        executionRoleArn="run",
        volumes=[{"name": "data"}],
        containerDefinitions=[
            {
                "name": "web",
                "image": "web:1",
                "healthCheck": {"command": ["CMD", "true"]},
                "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "/x", "awslogs-region": REGION, "awslogs-stream-prefix": "p"},
                },
            }
        ],
    )
    shown = clients.ecs.describe_task_definition(taskDefinition="again")["taskDefinition"]
    known = set(clients.ecs.meta.service_model.operation_model("RegisterTaskDefinition").input_shape.members)
    copied = {name: value for name, value in shown.items() if name in known}
    made = clients.ecs.register_task_definition(**copied)["taskDefinition"]
    changing = {"revision", "taskDefinitionArn", "registeredAt"}
    assert {k: v for k, v in made.items() if k not in changing} == {k: v for k, v in shown.items() if k not in changing}


@pytest.mark.parametrize(
    ("operation", "params", "code", "text"),
    [
        (
            "register_task_definition",
            {"family": "x", "containerDefinitions": [], "requiresCompatibilities": ["FARGATE"]},
            "ClientException",
            "Container list cannot be empty.",
        ),
        (
            "describe_tasks",
            {"cluster": "nowhere", "tasks": ["0" * 32]},
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        ("delete_cluster", {"cluster": "nowhere"}, "ClusterNotFoundException", "Cluster not found."),
        ("list_tasks", {"cluster": "nowhere"}, "ClusterNotFoundException", "Cluster not found."),
        ("run_task", {"taskDefinition": "nothing"}, "ClientException", "TaskDefinition not found."),
        ("list_clusters", {"nextToken": "x"}, "InvalidParameterException", "Invalid token."),
    ],
)
def test_refusals_have_modelled_codes(
    clients: Clients, operation: str, params: dict[str, Any], code: str, text: str
) -> None:
    assert refused(getattr(clients.ecs, operation), **params) == (code, text)


@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_command_line_runs_a_task(clients: Clients, tmp_path: Path) -> None:
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
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return msgspec.json.decode(done.stdout) if done.stdout.strip() else None

    aws("create-cluster", "--cluster-name", "cli")
    containers = '[{"name":"web","image":"web:1"}]'
    size = ("--cpu", "256", "--memory", "512", "--network-mode", "awsvpc", "--requires-compatibilities", "FARGATE")
    made = aws("register-task-definition", "--family", "cli", "--container-definitions", containers, *size)
    assert made["taskDefinition"]["revision"] == 1
    subnets = ",".join(clients.awsvpc["awsvpcConfiguration"]["subnets"])
    place = ("--launch-type", "FARGATE", "--network-configuration", f"awsvpcConfiguration={{subnets=[{subnets}]}}")
    arn = aws("run-task", "--cluster", "cli", "--task-definition", "cli", *place)["tasks"][0]["taskArn"]
    aws("wait", "tasks-running", "--cluster", "cli", "--tasks", arn)
    assert aws("describe-tasks", "--cluster", "cli", "--tasks", arn)["tasks"][0]["lastStatus"] == "RUNNING"
    aws("stop-task", "--cluster", "cli", "--task", arn)
    aws("wait", "tasks-stopped", "--cluster", "cli", "--tasks", arn)
    assert aws("list-tasks", "--cluster", "cli")["taskArns"] == []


def test_tags_settings_and_what_nobody_has(clients: Clients) -> None:
    ecs = clients.ecs
    arn = ecs.create_cluster(clusterName="tagged")["cluster"]["clusterArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "b"}, {"key": "c", "value": "d"}])
    ecs.untag_resource(resourceArn=arn, tagKeys=["c"])
    assert ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "a", "value": "b"}]
    settings = [{"name": "containerInsights", "value": "disabled"}]
    assert ecs.update_cluster(cluster="tagged", settings=settings)["cluster"]["settings"] == settings
    assert ecs.update_cluster_settings(cluster=arn, settings=settings)["cluster"]["settings"] == settings
    given = {"name": "awsvpcTrunking", "value": "enabled"}
    assert ecs.put_account_setting(**given)["setting"] == ecs.put_account_setting_default(**given)["setting"]
    assert len(ecs.list_account_settings()["settings"]) == 1
    assert ecs.delete_account_setting(name="awsvpcTrunking")["setting"]["value"] == "disabled"
    assert ecs.list_container_instances(cluster="tagged")["containerInstanceArns"] == []
    assert ecs.list_attributes(cluster="tagged", targetType="container-instance")["attributes"] == []
    assert ecs.list_services(cluster="tagged")["serviceArns"] == []
    service = f"{ARN}:service/web"  # ECS calls one that it does not know by an ARN without its cluster
    told = ecs.describe_services(cluster="tagged", services=["web"])
    assert (told["services"], told["failures"]) == ([], [{"arn": service, "reason": "MISSING"}])
    containers = [{"name": "web", "image": "web:1", "memory": 128}]
    ecs.register_task_definition(family="for-ec2", containerDefinitions=containers)
    here = {"cluster": "tagged", "containerInstances": ["i-1"]}
    missing = [{"arn": arn.replace(":cluster/", ":container-instance/") + "/i-1", "reason": "MISSING"}]
    assert ecs.describe_container_instances(**here)["failures"] == missing
    assert ecs.update_container_instances_state(status="DRAINING", **here)["failures"] == missing
    assert ecs.start_task(taskDefinition="for-ec2", **here)["failures"] == missing


# Nothing here makes what they would change; and a session needs a container that runs.
NEVER_ANSWERED = {
    *("DeleteAttributes", "DeregisterContainerInstance", "ExecuteCommand", "PutAttributes", "UpdateContainerAgent"),
    *("ContinueServiceDeployment", "CreateTaskSet", "DeleteTaskSet", "DescribeTaskSets"),
    *("UpdateServicePrimaryTaskSet", "UpdateTaskSet"),
}
# Held in test_ecs_services.py.
OF_SERVICES = {
    *("CreateService", "DeleteService", "UpdateService", "ListServiceDeployments", "ListServicesByNamespace"),
    *("DescribeServiceDeployments", "DescribeServiceRevisions", "StopServiceDeployment"),
    *("GetTaskProtection", "UpdateTaskProtection"),
}


def test_every_operation_was_held_against_the_model(clients: Clients) -> None:
    """Runs last: what the tests above called covers the table."""
    clients.ecs.list_clusters()
    assert set(clients.answers) == set(OPERATIONS) - NEVER_ANSWERED - OF_SERVICES
