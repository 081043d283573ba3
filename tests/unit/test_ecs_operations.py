"""ECS operations called as functions, over the real cell, capacity, network and registry in memory."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from neargate.capacity.manager import open_capacity
from neargate.clusters.cell import open_cell
from neargate.frontend.call import Call, Principal
from neargate.frontend.envelope import Envelope
from neargate.frontend.identity import registry as identity_registry
from neargate.frontend.network import registry as regional_network
from neargate.frontend.operations.ecs.table import OPERATIONS
from neargate.frontend.pages import token_of
from neargate.frontend.regional import account_settings
from neargate.frontend.regional import task_definitions as regional_definitions
from neargate.frontend.regional.shelves import Change
from neargate.frontend.services import Services
from neargate.iam.policy import Grants
from neargate.interfaces.roles import LogStore
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.errors import AccessDenied, AwsError
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.testing.examples import minimal
from neargate.testing.execution_role import make_execution_role
from neargate.wire.shapes import Models
from neargate.world import OsWorld

ACCOUNT, OTHER_ACCOUNT, REGION = "123456789012", "210987654321", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"))
ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
TASK_ID = "0123456789abcdef0123456789abcdef"


class Region:
    """One region's parts, and a way to call its operations."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.network = services.network
        self.last: Call | None = None

    async def __call__(self, operation: str, *, administrator: bool = True, **params: Any) -> dict[str, Any]:
        principal = Principal(
            account=ACCOUNT,
            arn=f"arn:aws:iam::{ACCOUNT}:root",
            user_id=ACCOUNT,
            access_key_id="AKIA",
            is_administrator=administrator,
            grants=None if administrator else Grants(),
        )
        self.last = call = Call(
            service="ecs",
            operation=operation,
            protocol="json",
            region=REGION,
            principal=principal,
            request_id="r",
            now=1.0,
        )
        answer = await OPERATIONS[operation](call, self.services, params)
        assert call.authorised_actions
        return cast("dict[str, Any]", msgspec.json.decode(answer) if isinstance(answer, bytes) else answer)

    async def refused(self, operation: str, **params: Any) -> tuple[str, str]:
        with pytest.raises(AwsError) as refused:
            await self(operation, **params)
        return refused.value.code, refused.value.message

    @property
    def subnets(self) -> list[str]:
        return [record.view.subnet_id for record in self.network.subnets(ACCOUNT)]

    async def ready(self) -> None:
        """The default cluster and a definition to run."""
        await self("CreateCluster")
        await self("RegisterTaskDefinition", **definition())

    def run(self, **changes: Any) -> dict[str, Any]:
        """RunTask's parameters; None takes one away."""
        params = {
            "taskDefinition": "web",
            "launchType": "FARGATE",
            "networkConfiguration": self.awsvpc(),
        } | changes
        return {name: value for name, value in params.items() if value is not None}

    def awsvpc(self, **changes: Any) -> dict[str, Any]:
        return {"awsvpcConfiguration": {"subnets": self.subnets} | changes}


def definition(**changes: Any) -> dict[str, Any]:
    return {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "web", "image": "web:1"}],
    } | changes


async def open_region() -> Region:
    world, knobs = OsWorld(), Knobs()
    stores = MemoryStores(world, knobs)
    parts = (regional_network, regional_definitions, identity_registry, account_settings)
    migrations = tuple(migration for part in parts for migration in part.MIGRATIONS)
    shard = await stores.open("region", migrations)
    identity = await identity_registry.open_identity(world, shard, Envelope(bytes(32), world))
    await identity.ensure_account(ACCOUNT, "main")
    await make_execution_role(identity, world, ACCOUNT)
    names = tuple(name for name, _ in ZONES)
    capacity = await open_capacity(
        world, stores, shard="zone-a", region=REGION, zones=names, public_pool="198.18.0.0/24", knobs=knobs
    )
    await capacity.register_host(
        HostFacts(host_id="h1", boot_id="b", capacity=HostCapacity(cpu_units=8192, memory_mib=16384, disk_gib=100))
    )
    await capacity.host_seen("h1", True)
    capacities = dict.fromkeys(names, capacity)
    cell = await open_cell(world, stores, region=REGION, capacities=capacities, knobs=knobs)
    return Region(
        Services(
            world=world,
            region=REGION,
            zones=ZONES,
            cells={"cell-0": cell},
            service_managers={"cell-0": cell.services},
            capacities=capacities,
            identity=identity,
            sessions=cast(Any, None),
            network=await regional_network.open_network(world, shard, region=REGION, account=ACCOUNT, zones=ZONES),
            task_definitions=await regional_definitions.open_task_definitions(world, shard),
            logs=cast("LogStore", None),
            account_settings=await account_settings.open_account_settings(world, shard),
        )
    )


def story(body: Callable[[Region], Awaitable[None]]) -> None:
    async def told() -> None:
        await body(await open_region())

    asyncio.run(told())


# -- clusters


def test_a_cluster_from_birth_to_death() -> None:
    async def body(region: Region) -> None:
        made = (await region("CreateCluster", clusterName="blue", tags=[{"key": "a", "value": "b"}]))["cluster"]
        assert made["clusterArn"] == f"{ARN}:cluster/blue" and made["status"] == "ACTIVE"
        assert (await region("CreateCluster"))["cluster"]["clusterName"] == "default"
        assert (await region("ListClusters"))["clusterArns"] == [f"{ARN}:cluster/blue", f"{ARN}:cluster/default"]
        found = await region("DescribeClusters", clusters=["blue", f"{ARN}:cluster/blue", "green"], include=["TAGS"])
        assert [cluster["clusterName"] for cluster in found["clusters"]] == ["blue"]
        assert found["clusters"][0]["tags"] == [{"key": "a", "value": "b"}]
        assert found["failures"] == [{"arn": f"{ARN}:cluster/green", "reason": "MISSING"}]
        assert (await region("DeleteCluster", cluster="blue"))["cluster"]["status"] == "INACTIVE"
        assert (await region("ListClusters"))["clusterArns"] == [f"{ARN}:cluster/default"]

    story(body)


def test_clusters_come_in_pages() -> None:
    async def body(region: Region) -> None:
        for name in "abcde":
            await region("CreateCluster", clusterName=name)
        pages: list[list[str]] = []
        token: dict[str, Any] = {}
        while True:
            answer = await region("ListClusters", maxResults=2, **token)
            pages.append([arn[-1] for arn in answer["clusterArns"]])
            if "nextToken" not in answer:
                break
            token = {"nextToken": answer["nextToken"]}
        assert pages == [["a", "b"], ["c", "d"], ["e"]]
        assert await region.refused("ListTaskDefinitions", **token) == ("InvalidParameterException", "Invalid token.")
        assert await region.refused("ListClusters", nextToken="%%%") == ("InvalidParameterException", "Invalid token.")
        assert await region.refused("ListClusters", nextToken="e30=") == ("InvalidParameterException", "Invalid token.")
        no_text = token_of("ListClusters", [base64.b64encode(b"\x92\xa1\xff\x01").decode()])
        assert await region.refused("ListClusters", nextToken=no_text) == ("InvalidParameterException", "Invalid token")
        assert (await region.refused("ListClusters", maxResults=0))[0] == "InvalidParameterException"
        assert (await region.refused("ListClusters", maxResults=101))[0] == "InvalidParameterException"

    story(body)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"clusterName": "a b"},
            "Cluster names have up to 255 letters (uppercase and lowercase), numbers, underscores, and hyphens.",
        ),
        (
            {"capacityProviders": ["mine"]},
            "The specified capacity provider 'mine' was not found. Specify a valid name or ARN and try again.",
        ),
        (
            {"defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
            "The specified default capacity provider strategy cannot contain a capacity provider "
            "that is not associated with the cluster.",
        ),
        (
            {"configuration": {"managedStorageConfiguration": {"kmsKeyId": "k"}}},
            "Neargate does not support managedStorageConfiguration of a cluster yet.",
        ),
        (
            {"serviceConnectDefaults": {"namespace": "x"}},
            "Neargate does not support serviceConnectDefaults of a cluster yet.",
        ),
        (
            {"settings": [{"name": "containerInsights", "value": "enabled"}]},
            "Neargate does not support containerInsights yet: its value must be disabled.",
        ),
        ({"tags": [{"key": "aws:x"}]}, "Tag keys and values cannot start with 'aws:'. It is reserved for AWS use."),
    ],
)
def test_a_cluster_that_cannot_be(params: dict[str, Any], text: str) -> None:
    async def body(region: Region) -> None:
        assert await region.refused("CreateCluster", **params) == ("InvalidParameterException", text)
        assert (await region("ListClusters"))["clusterArns"] == []

    story(body)


# -- task definitions


def test_a_definition_from_birth_to_death() -> None:
    async def body(region: Region) -> None:
        made = await region("RegisterTaskDefinition", **definition(tags=[{"key": "a", "value": "b"}]))
        assert made["taskDefinition"]["taskDefinitionArn"] == f"{ARN}:task-definition/web:1"
        assert made["taskDefinition"]["registeredBy"] == f"arn:aws:iam::{ACCOUNT}:root"
        assert made["tags"] == [{"key": "a", "value": "b"}]
        again = await region("RegisterTaskDefinition", **definition())
        assert again["taskDefinition"]["revision"] == 2 and "tags" not in again
        for name in ("web", "web:2", f"{ARN}:task-definition/web:2"):
            assert (await region("DescribeTaskDefinition", taskDefinition=name))["taskDefinition"]["revision"] == 2
        shown = await region("DescribeTaskDefinition", taskDefinition="web:1", include=["TAGS"])
        assert shown["tags"] == [{"key": "a", "value": "b"}]
        gone = await region("DeregisterTaskDefinition", taskDefinition="web:2")
        assert gone["taskDefinition"]["status"] == "INACTIVE"
        assert (await region("ListTaskDefinitions"))["taskDefinitionArns"] == [f"{ARN}:task-definition/web:1"]
        deleted = await region("DeleteTaskDefinitions", taskDefinitions=["web:2", "web:1", "db:1", "web"])
        assert [item["status"] for item in deleted["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]
        assert [failure["arn"] for failure in deleted["failures"]] == [f"{ARN}:task-definition/web:1", "db:1", "web"]
        assert deleted["failures"][0]["reason"] == (
            "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
        )

    story(body)


@pytest.mark.parametrize(
    ("operation", "params", "answer"),
    [
        (
            "DescribeTaskDefinition",
            {"taskDefinition": "db"},
            ("ClientException", "Unable to describe task definition."),
        ),
        (
            "DescribeTaskDefinition",
            {"taskDefinition": "web:9"},
            ("ClientException", "Unable to describe task definition."),
        ),
        (
            "DescribeTaskDefinition",
            {"taskDefinition": "a b"},
            ("ClientException", "Family contains invalid characters."),
        ),
        (
            "DescribeTaskDefinition",
            {"taskDefinition": "web:x"},
            ("ClientException", "Invalid revision number. Number: x"),
        ),
        (
            "DescribeTaskDefinition",
            {"taskDefinition": f"arn:aws:ecs:{REGION}:{OTHER_ACCOUNT}:task-definition/web:1"},
            ("InvalidParameterException", "AccountIDs mismatch"),
        ),
        (
            "DescribeTaskDefinition",
            {"taskDefinition": f"arn:aws:ecs:eu-west-1:{ACCOUNT}:task-definition/web:1"},
            ("InvalidParameterException", f"Identifier is for region eu-west-1. Your region is {REGION}"),
        ),
        (
            "DescribeTaskDefinition",
            {"taskDefinition": f"{ARN}:task/web"},
            ("InvalidParameterException", "Task Definition Identifier is invalid"),
        ),
        ("DeregisterTaskDefinition", {"taskDefinition": "web"}, ("ClientException", "Revision is missing.")),
        (
            "DeregisterTaskDefinition",
            {"taskDefinition": "web:9"},
            ("ClientException", "The specified task definition does not exist."),
        ),
        (
            "DeleteTaskDefinitions",
            {"taskDefinitions": []},
            ("InvalidParameterException", "taskDefinitions can not be empty."),
        ),
        (
            "DeleteTaskDefinitions",
            {"taskDefinitions": [f"a:{n}" for n in range(1, 12)]},
            ("InvalidParameterException", "taskDefinitions can have at most 10 items."),
        ),
        ("RegisterTaskDefinition", definition(tags=[]), ("ClientException", "Tags can not be empty.")),
        (
            "RegisterTaskDefinition",
            definition(cpu="300"),
            ("ClientException", "No Fargate configuration exists for given values."),
        ),
    ],
)
def test_a_definition_refused(operation: str, params: dict[str, Any], answer: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region("RegisterTaskDefinition", **definition())
        assert await region.refused(operation, **params) == answer
        shown = await region("DescribeTaskDefinition", taskDefinition="web")
        assert shown["taskDefinition"]["revision"] == 1 and shown["taskDefinition"]["status"] == "ACTIVE"

    story(body)


def test_lists_of_definitions_in_pages() -> None:
    async def body(region: Region) -> None:
        for family in ("web", "api", "web"):
            await region("RegisterTaskDefinition", **definition(family=family))
        first = await region("ListTaskDefinitions", sort="DESC", maxResults=2)
        assert [arn.rpartition("/")[2] for arn in first["taskDefinitionArns"]] == ["web:2", "web:1"]
        second = await region("ListTaskDefinitions", sort="DESC", maxResults=2, nextToken=first["nextToken"])
        assert [arn.rpartition("/")[2] for arn in second["taskDefinitionArns"]] == [
            "api:1"
        ] and "nextToken" not in second
        names = await region("ListTaskDefinitionFamilies", maxResults=1)
        assert names["families"] == ["api"]
        assert (await region("ListTaskDefinitionFamilies", nextToken=names["nextToken"]))["families"] == ["web"]
        assert (await region("ListTaskDefinitionFamilies", familyPrefix="w"))["families"] == ["web"]

    story(body)


# -- tasks


def test_a_task_from_birth_to_its_stop() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        answer = await region("RunTask", **region.run(startedBy="me", count=2, tags=[{"key": "a", "value": "b"}]))
        assert answer["failures"] == [] and len(answer["tasks"]) == 2
        task = answer["tasks"][0]
        assert (task["lastStatus"], task["desiredStatus"], task["launchType"]) == ("PROVISIONING", "RUNNING", "FARGATE")
        assert task["taskDefinitionArn"] == f"{ARN}:task-definition/web:1" and task["startedBy"] == "me"
        identifier = task["taskArn"].rpartition("/")[2]
        for name in (identifier, task["taskArn"], f"{ARN}:task/{identifier}"):
            found = await region("DescribeTasks", tasks=[name], include=["TAGS"])
            assert found["tasks"][0]["taskArn"] == task["taskArn"]
            assert found["tasks"][0]["tags"] == [{"key": "a", "value": "b"}]
        missing = await region("DescribeTasks", tasks=[TASK_ID])
        assert missing["failures"] == [{"arn": f"{ARN}:task/default/{TASK_ID}", "reason": "MISSING"}]
        assert sorted((await region("ListTasks"))["taskArns"]) == sorted(item["taskArn"] for item in answer["tasks"])
        assert (await region("ListTasks", family="db"))["taskArns"] == []
        stopped = await region("StopTask", task=identifier, reason="enough")
        assert stopped["task"]["desiredStatus"] == "STOPPED" and stopped["task"]["stoppedReason"] == "enough"
        assert (await region("ListTasks", desiredStatus="STOPPED"))["taskArns"] == [task["taskArn"]]
        assert (await region.refused("DeleteCluster", cluster="default"))[0] == "ClusterContainsTasksException"

    story(body)


def test_the_same_token_gives_the_same_tasks() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        params = region.run(clientToken="once")
        first, second = await region("RunTask", **params), await region("RunTask", **params)
        assert first["tasks"][0]["taskArn"] == second["tasks"][0]["taskArn"]
        code, _ = await region.refused("RunTask", **(params | {"count": 2}))
        assert code == "ConflictException"

    story(body)


def test_overrides_are_shown_with_the_task() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        overrides = {"cpu": "512", "memory": "1024", "containerOverrides": [{"name": "web", "command": ["x"]}]}
        task = (await region("RunTask", **region.run(overrides=overrides)))["tasks"][0]
        assert task["overrides"] == overrides | {"inferenceAcceleratorOverrides": []}
        assert (task["cpu"], task["memory"]) == ("512", "1024")

    story(body)


def network(region: Region, **changes: Any) -> dict[str, Any]:
    return {"networkConfiguration": region.awsvpc(**changes)}


INVALID = "InvalidParameterException"
UNSUPPORTED = "UnsupportedFeatureException"
NO_INSTANCES = "No Container Instances were found in your cluster."
SPOT = {"capacityProvider": "FARGATE_SPOT", "weight": 1}

# Parameters may be a function of the region.
RUN_REFUSED: list[tuple[Any, str, str]] = [
    ({"cluster": "green"}, "ClusterNotFoundException", "Cluster not found."),
    ({"cluster": "green", "launchType": None}, "ClusterNotFoundException", "Cluster not found."),
    ({"cluster": "gone"}, "ClientException", "The referenced cluster was inactive."),
    ({"cluster": "gone", "launchType": None}, "ClientException", "The referenced cluster was inactive."),
    ({"cluster": "a b"}, INVALID, "Cluster Identifier is invalid"),
    ({"cluster": f"arn:aws:ecs:{REGION}:{OTHER_ACCOUNT}:cluster/x"}, INVALID, "AccountIDs mismatch"),
    ({"taskDefinition": "db"}, "ClientException", "TaskDefinition not found."),
    ({"taskDefinition": "old"}, "ClientException", "TaskDefinition not found."),
    ({"taskDefinition": "old:1"}, INVALID, "TaskDefinition is inactive"),
    ({"taskDefinition": "big"}, INVALID, "Task definition does not support launch_type FARGATE."),
    ({"launchType": None}, INVALID, NO_INSTANCES),
    ({"launchType": "EC2"}, INVALID, NO_INSTANCES),
    ({"launchType": "EXTERNAL"}, INVALID, NO_INSTANCES),
    ({"launchType": "MANAGED_INSTANCES"}, UNSUPPORTED, "The launch type MANAGED_INSTANCES is not supported."),
    (
        lambda region: {"launchType": "EC2"} | network(region, assignPublicIp="ENABLED"),
        INVALID,
        "Assign public IP is not supported for this launch type.",
    ),
    (
        {"capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
        INVALID,
        "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
    ),
    (
        {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
        INVALID,
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
        "the cluster. Associate the capacity provider with the cluster and try again.",
    ),
    (
        {"launchType": None, "capacityProviderStrategy": [SPOT]},
        INVALID,
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
        "the cluster. Associate the capacity provider with the cluster and try again.",
    ),
    (
        {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}] * 2},
        INVALID,
        "A capacity provider strategy cannot name a capacity provider more than once.",
    ),
    (
        {"launchType": None, "cluster": "spot", "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
        INVALID,
        "There are no capacity providers with a weight value greater than zero defined in the capacity provider "
        "strategy. At least one capacity provider must have a weight value greater than zero specified. Specify a "
        "valid capacity provider strategy and try again.",
    ),
    ({"platformVersion": "1.3.0"}, "PlatformUnknownException", "The specified platform does not exist."),
    (
        {"networkConfiguration": None},
        INVALID,
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    (
        {"networkConfiguration": {}},
        INVALID,
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    (lambda region: network(region, subnets=[]), INVALID, "subnets can not be empty."),
    (
        lambda region: network(region, subnets=[f"subnet-{n}" for n in range(17)]),
        INVALID,
        "subnets can have at most 16 items.",
    ),
    (
        lambda region: network(region, subnets=["subnet-a", "subnet-b"]),
        INVALID,
        "Error retrieving subnet information for [subnet-a, subnet-b]: "
        "The subnet ID 'subnet-a' does not exist (ErrorCode: InvalidSubnetID.NotFound)",
    ),
    (
        lambda region: network(region, securityGroups=[f"sg-{n}" for n in range(6)]),
        INVALID,
        "securityGroups can have at most 5 items.",
    ),
    (
        lambda region: network(region, securityGroups=["sg-a"]),
        INVALID,
        "Error retrieving security group information for [sg-a]: "
        "The security group 'sg-a' does not exist (ErrorCode: InvalidGroup.NotFound)",
    ),
    ({"count": 0}, INVALID, "count should be between 1 and 10"),
    ({"count": 11}, INVALID, "count should be between 1 and 10"),
    (
        {"startedBy": "a b"},
        INVALID,
        "startedBy can have up to 128 letters (uppercase and lowercase), numbers, hyphens, forward slashes, "
        "and underscores.",
    ),
    ({"clientToken": "x" * 65}, INVALID, "clientToken can have up to 64 characters in the range of ASCII 33-126."),
    ({"group": "service:x"}, INVALID, "Invalid namespace for group."),
    ({"group": "x" * 256}, INVALID, "group can have at most 255 characters."),
    ({"referenceId": "x" * 1025}, INVALID, "referenceId can have at most 1024 characters."),
    ({"propagateTags": "SERVICE"}, INVALID, "propagateTags SERVICE is not supported when running a task."),
    ({"volumeConfigurations": [{"name": "a"}]}, UNSUPPORTED, "volumeConfigurations are not supported yet."),
    (
        {"placementConstraints": [{"type": "distinctInstance"}]},
        INVALID,
        "Placement constraints are not supported with FARGATE launch type.",
    ),
    (
        {"placementStrategy": [{"type": "random"}]},
        INVALID,
        "Placement strategies are not supported with FARGATE launch type.",
    ),
    (
        {"overrides": {"containerOverrides": [{"name": "db"}]}},
        INVALID,
        "Override for container named db is not a container in the TaskDefinition.",
    ),
    (
        {"tags": [{"key": "aws:a"}]},
        INVALID,
        "Tag keys and values cannot start with 'aws:'. It is reserved for AWS use.",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "text"), RUN_REFUSED, ids=[f"{n}-{case[2][:50]}" for n, case in enumerate(RUN_REFUSED)]
)
def test_a_task_that_cannot_be_run(changes: Any, code: str, text: str) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        await region("CreateCluster", clusterName="spot", capacityProviders=["FARGATE", "FARGATE_SPOT"])
        await region("CreateCluster", clusterName="gone")
        await region("DeleteCluster", cluster="gone")
        await region("RegisterTaskDefinition", **definition(family="old"))
        await region("DeregisterTaskDefinition", taskDefinition="old:1")
        await region("RegisterTaskDefinition", **definition(family="big", requiresCompatibilities=["EC2"], cpu="300"))
        given = region.run(**(changes(region) if callable(changes) else changes))
        assert await region.refused("RunTask", **given) == (code, text)
        assert (await region("ListTasks"))["taskArns"] == []

    story(body)


def test_a_group_of_another_vpc_is_refused() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        group = await region.network.create_group(ACCOUNT, region.network.subnets(ACCOUNT)[0].vpc_id, "x", "x")
        moved = replace(group, vpc_id="vpc-elsewhere")
        await region.network.change(ACCOUNT, lambda _: Change(result=None, put=(moved,)))
        given = region.run(**network(region, securityGroups=[group.group_id]))
        assert await region.refused("RunTask", **given) == (
            INVALID,
            f"Security group {group.group_id} does not appear to belong to the same VPC as the input subnets.",
        )

    story(body)


def test_subnets_of_two_vpcs_are_refused() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        record = region.network.subnets(ACCOUNT)[1]
        moved = replace(record, vpc_id="vpc-elsewhere")
        await region.network.change(ACCOUNT, lambda _: Change(result=None, put=(moved,)))
        assert await region.refused("RunTask", **region.run()) == (
            INVALID,
            "The subnets provided do not all belong to the same VPC.",
        )

    story(body)


def test_a_cluster_with_a_default_strategy_needs_no_launch_type() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        fargate = [{"capacityProvider": "FARGATE", "weight": 1}]
        await region(
            "CreateCluster",
            clusterName="own",
            capacityProviders=["FARGATE"],
            defaultCapacityProviderStrategy=fargate,
        )
        for params in ({}, {"capacityProviderStrategy": fargate}):
            answer = await region("RunTask", **region.run(cluster="own", launchType=None, **params))
            assert answer["tasks"][0]["capacityProviderName"] == "FARGATE", params

    story(body)


@pytest.mark.parametrize(
    ("operation", "params", "text"),
    [
        ("DescribeTasks", {"tasks": []}, "Tasks cannot be empty."),
        ("DescribeTasks", {"tasks": [TASK_ID] * 101}, "tasks can have at most 100 items."),
        ("DescribeTasks", {"tasks": ["abc"]}, "taskId length should be one of [32,36]"),
        ("DescribeTasks", {"tasks": ["a b"]}, "Task Identifier is invalid"),
        (
            "DescribeTasks",
            {"tasks": [f"{ARN}:task/blue/{TASK_ID}"]},
            "Invalid identifier: Identifier is for cluster blue. Your cluster is default",
        ),
        ("StopTask", {"task": TASK_ID}, "The referenced task was not found."),
        ("StopTask", {"task": TASK_ID, "reason": "x" * 1025}, "reason can have at most 1024 characters."),
        ("DescribeClusters", {"clusters": ["a"] * 101}, "clusters can have at most 100 items."),
        ("ListTasks", {"startedBy": "a", "family": "b"}, "cannot specify startedBy with other arguments"),
        ("ListTasks", {"daemonName": "a"}, "Daemons are not supported."),
    ],
)
def test_a_question_about_tasks_refused(operation: str, params: dict[str, Any], text: str) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region.refused(operation, **params) == (INVALID, text)

    story(body)


def test_no_service_can_be_found() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        arn = f"{ARN}:service/default/web"
        assert await region.refused("ListTasks", serviceName=arn) == ("ServiceNotFoundException", "Service not found.")

    story(body)


def least_of(operation: str) -> dict[str, Any]:
    """The required members; what names a resource names one of this account."""
    model = Models().service("ecs")
    described = model.operation(operation)
    assert described is not None and described.input is not None
    least = minimal(model, model.shape(described.input))
    return least | ({"resourceArn": f"{ARN}:cluster/default"} if "resourceArn" in least else {})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nobody_acts_without_leave(operation: str) -> None:
    """A caller without policies is refused by each operation, and nothing has changed."""

    async def body(region: Region) -> None:
        await region.ready()
        deployment = {"serviceDeploymentArn": f"{ARN}:service-deployment/default/web/d1"}
        params: dict[str, dict[str, Any]] = {
            "ContinueServiceDeployment": deployment,
            "CreateCluster": {"clusterName": "new"},
            "CreateService": region.run(serviceName="web", desiredCount=1),
            "DescribeServiceDeployments": {"serviceDeploymentArns": [*deployment.values()]},
            "DescribeServiceRevisions": {"serviceRevisionArns": [f"{ARN}:service-revision/default/web/1"]},
            "StopServiceDeployment": deployment,
            "UpdateTaskProtection": {"tasks": [TASK_ID]},
            "DeleteCluster": {"cluster": "default"},
            "PutClusterCapacityProviders": {
                "cluster": "default",
                "capacityProviders": [],
                "defaultCapacityProviderStrategy": [],
            },
            "DeleteTaskDefinitions": {"taskDefinitions": ["web:1"]},
            "DeregisterTaskDefinition": {"taskDefinition": "web:1"},
            "DescribeTaskDefinition": {"taskDefinition": "web:1"},
            "DescribeTasks": {"tasks": [TASK_ID]},
            "RegisterTaskDefinition": definition(),
            "RunTask": region.run(),
            "StopTask": {"task": TASK_ID},
            "ExecuteCommand": {"task": TASK_ID, "command": "sh", "interactive": True},
        }
        least = least_of(operation) | params.get(operation, {})
        with pytest.raises(AccessDenied):
            await region(operation, administrator=False, **least)
        assert (await region("ListClusters"))["clusterArns"] == [f"{ARN}:cluster/default"]
        assert (await region("ListTaskDefinitions"))["taskDefinitionArns"] == [f"{ARN}:task-definition/web:1"]
        assert (await region("ListTasks"))["taskArns"] == []

    story(body)


def test_a_role_is_handed_over_only_with_leave() -> None:
    async def body(region: Region) -> None:
        await region("CreateCluster")
        await region("RegisterTaskDefinition", **definition(taskRoleArn="ecsTaskExecutionRole"))
        assert region.last is not None and "iam:PassRole" in region.last.authorised_actions
        await region(
            "RunTask", **region.run(overrides={"executionRoleArn": "ecsTaskExecutionRole"}, tags=[{"key": "a"}])
        )
        assert {"ecs:RunTask", "iam:PassRole", "ecs:TagResource"} <= set(region.last.authorised_actions)

    story(body)
