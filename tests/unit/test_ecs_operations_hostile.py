"""Requests with any values in them, through the codec and the operations: answered or refused, never broken."""

import asyncio
import json
import random
from typing import Any, cast

import pytest

from neargate.capacity.manager import open_capacity
from neargate.clusters.cell import open_cell
from neargate.frontend.call import Call, Principal
from neargate.frontend.envelope import Envelope
from neargate.frontend.errors import RequestRefused
from neargate.frontend.identity import registry as identity_registry
from neargate.frontend.network import registry as regional_network
from neargate.frontend.operations.ecs.table import OPERATIONS
from neargate.frontend.protocols import Protocols
from neargate.frontend.regional import account_settings
from neargate.frontend.regional import task_definitions as regional_definitions
from neargate.frontend.services import Services
from neargate.interfaces.roles import LogStore
from neargate.model.errors import AwsError
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.testing.examples import minimal, whole
from neargate.testing.execution_role import make_execution_role
from neargate.wire.shapes import Models
from neargate.world import OsWorld

MODELS = Models()
MODEL = MODELS.service("ecs")
PROTOCOLS = Protocols(MODELS)
ACCOUNT, REGION, ZONE = "123456789012", "us-east-1", ("us-east-1a", "use1-az1")
ROUNDS = 60
ODD: tuple[Any, ...] = (
    *(None, "", " ", "a", "arn:", "arn:aws:ecs:::", "\x00", "\udc00", "x" * 300, "aws:", "1e400", "..", "/../", "::"),
    *(0, -1, 1, 2**31 - 1, -(2**31), 65536, 1.5, True, [], {}, [None], {"name": None}),
)


def mangled(value: Any, rng: random.Random) -> Any:
    """The same document with odd values here and there, and parts gone."""
    if rng.random() < 0.04:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {name: mangled(item, rng) for name, item in value.items() if rng.random() > 0.15}
    return [mangled(item, rng) for item in value] if isinstance(value, list) else value


CONTAINER: dict[str, Any] = {
    "name": "web",
    "image": "web:1",
    "cpu": 64,
    "memory": 128,
    "memoryReservation": 64,
    "essential": True,
    "command": ["a"],
    "environment": [{"name": "A", "value": "1"}],
    "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp", "name": "web"}],
    "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}],
    "volumesFrom": [],
    "dependsOn": [],
    "dockerLabels": {"a": "b"},
    "ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
    "healthCheck": {"command": ["CMD", "a"], "interval": 5},
    "linuxParameters": {
        "initProcessEnabled": True,
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]},
        "tmpfs": [{"containerPath": "/run", "size": 1, "mountOptions": ["ro"]}],
    },
    "logConfiguration": {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "a", "awslogs-region": REGION, "awslogs-stream-prefix": "p"},
    },
}
TAGS = [{"key": "a", "value": "b"}]
DEFINITION: dict[str, Any] = {
    "family": "odd",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "executionRoleArn": "ecsTaskExecutionRole",
    "taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole",
    "ephemeralStorage": {"sizeInGiB": 21},
    "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    "volumes": [{"name": "data", "host": {}}],
    "containerDefinitions": [
        CONTAINER,
        {"name": "b", "image": "b", "dependsOn": [{"containerName": "web", "condition": "HEALTHY"}]},
    ],
    "tags": TAGS,
}
OVERRIDES: dict[str, Any] = {
    "cpu": "512",
    "memory": "1024",
    "containerOverrides": [
        {"name": "web", "command": ["a"], "environment": [{"name": "A", "value": "1"}], "memory": 100}
    ],
}
DEPLOYMENT: dict[str, Any] = {
    "maximumPercent": 200,
    "minimumHealthyPercent": 50,
    "strategy": "ROLLING",
    "deploymentCircuitBreaker": {
        "enable": True,
        "rollback": True,
        "resetOnHealthyTask": True,
        "thresholdConfiguration": {"type": "COUNT", "value": 3},
    },
}


def right_requests(subnet: str) -> dict[str, dict[str, Any]]:
    """For the operations with the deepest requests: a right one, so that oddities get past the first check."""
    network = {"awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": "ENABLED"}}
    return {
        "RegisterTaskDefinition": DEFINITION,
        "RunTask": {
            "taskDefinition": "web",
            "launchType": "FARGATE",
            "count": 1,
            "startedBy": "me",
            "networkConfiguration": network,
            "overrides": OVERRIDES,
            "tags": TAGS,
        },
        "CreateService": {
            "serviceName": "odd",
            "taskDefinition": "web",
            "desiredCount": 0,
            "launchType": "FARGATE",
            "networkConfiguration": network,
            "deploymentConfiguration": DEPLOYMENT,
            "healthCheckGracePeriodSeconds": 1,
            "clientToken": "t",
            "propagateTags": "SERVICE",
            "tags": TAGS,
        },
        "UpdateService": {
            "service": "web",
            "desiredCount": 1,
            "taskDefinition": "web:1",
            "forceNewDeployment": True,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}},
            "deploymentConfiguration": {"maximumPercent": 150},
            "enableExecuteCommand": True,
        },
        "DescribeServices": {"services": ["web"], "include": ["TAGS"]},
        "ListServiceDeployments": {"service": "web", "status": ["SUCCESSFUL"], "createdAt": {"after": 1.0}},
        "DeleteService": {"service": "web", "force": True},
    }


async def open_services() -> Services:
    world, knobs = OsWorld(), Knobs()
    stores = MemoryStores(world, knobs)
    parts = (regional_network, regional_definitions, identity_registry, account_settings)
    migrations = tuple(migration for part in parts for migration in part.MIGRATIONS)
    shard = await stores.open("region", migrations)
    identity = await identity_registry.open_identity(world, shard, Envelope(bytes(32), world))
    await identity.ensure_account(ACCOUNT, "main")
    await make_execution_role(identity, world, ACCOUNT)
    capacity = await open_capacity(
        world, stores, shard="zone-a", region=REGION, zones=(ZONE[0],), public_pool="198.18.0.0/24", knobs=knobs
    )
    cell = await open_cell(world, stores, region=REGION, capacities={ZONE[0]: capacity}, knobs=knobs)
    return Services(
        world=world,
        region=REGION,
        zones=(ZONE,),
        cells={"cell-0": cell},
        service_managers={"cell-0": cell.services},
        capacities={ZONE[0]: capacity},
        identity=identity,
        sessions=cast(Any, None),
        network=await regional_network.open_network(world, shard, region=REGION, account=ACCOUNT, zones=(ZONE,)),
        task_definitions=await regional_definitions.open_task_definitions(world, shard),
        logs=cast("LogStore", None),
        account_settings=await account_settings.open_account_settings(world, shard),
    )


async def served(services: Services, operation: str, document: Any) -> str:
    """`answered`, or the code of the refusal. Anything else escapes."""
    codec = PROTOCOLS.codec("ecs", operation)
    assert codec is not None
    principal = Principal(
        account=ACCOUNT, arn="arn:aws:iam::1:root", user_id="u", access_key_id="k", is_administrator=True, grants=None
    )
    call = Call(
        service="ecs",
        operation=operation,
        protocol="json",
        region=REGION,
        principal=principal,
        request_id="r",
        now=1.0,
    )
    try:
        params = codec.parse(json.dumps(document).encode())
        codec.respond(await OPERATIONS[operation](call, services, params), "r")
    except AwsError as refused:
        return refused.code
    except RequestRefused as refused:
        return refused.fault.code
    return "answered"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_odd_values_are_answered_or_refused(operation: str) -> None:
    async def body() -> None:
        rng = random.Random(operation)
        services = await open_services()
        right = right_requests(services.network.subnets(ACCOUNT)[0].view.subnet_id)
        registered = right["RegisterTaskDefinition"] | {"family": "web"}
        assert await served(services, "CreateCluster", {}) == "answered"
        assert await served(services, "RegisterTaskDefinition", registered) == "answered"
        made = right["CreateService"] | {"serviceName": "web", "clientToken": ""}
        assert await served(services, "CreateService", made) == "answered"
        if operation in right:
            assert await served(services, operation, right[operation]) == "answered"
        described = MODEL.operation(operation)
        assert described is not None and described.input is not None
        shape = MODEL.shape(described.input)
        for _ in range(ROUNDS):
            await served(services, operation, mangled(whole(MODEL, shape, rng), rng))
            await served(services, operation, mangled(right.get(operation) or minimal(MODEL, shape), rng))

    asyncio.run(body())
