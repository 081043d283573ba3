"""No operation can act without leave: each one is called by somebody who has none, and nothing may be touched.

A new operation is swept as soon as it is in the table. Where the smallest valid request does not get as far as
`authorize`, give one that does in REQUESTS.
"""

import asyncio
import random
from typing import Any

import pytest

from neargate.frontend.call import Call, Principal
from neargate.frontend.operations.table import OPERATIONS
from neargate.model.errors import AccessDenied, AwsError
from neargate.testing.examples import minimal, whole
from neargate.testing.region import open_region
from neargate.wire.shapes import Models
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
MODELS = Models()

# On AWS these need no permission: they tell callers who they are.
FREE = {
    ("sts", "GetCallerIdentity"),
    ("sts", "GetSessionToken"),  # a session of the caller's own rights
    ("sts", "AssumeRoleWithWebIdentity"),  # nobody calls: the trust policy alone decides (test_sts_web_identity.py)
}

REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("ecs", "RunTask"): {"taskDefinition": "web:1", "launchType": "FARGATE"},
    ("ecs", "StopTask"): {"task": "0" * 32},
    ("ecs", "DescribeTasks"): {"tasks": ["0" * 32]},
    ("ecs", "DescribeTaskDefinition"): {"taskDefinition": "web:1"},
    ("ecs", "DeregisterTaskDefinition"): {"taskDefinition": "web:1"},
    ("ecs", "DeleteTaskDefinitions"): {"taskDefinitions": ["web:1"]},
    ("logs", "DescribeLogStreams"): {"logGroupName": "a"},
    ("logs", "FilterLogEvents"): {"logGroupName": "a"},
    ("logs", "GetLogEvents"): {"logGroupName": "a"},
    ("sts", "AssumeRole"): {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/missing"},
    ("ec2", "CreateSecurityGroup"): {"GroupName": "a", "Description": "b"},
}
SWEPT = [(service, name) for service in sorted(OPERATIONS) for name in sorted(OPERATIONS[service])]


def call(service: str, operation: str) -> Call:
    principal = Principal(
        account=ACCOUNT,
        arn=f"arn:aws:iam::{ACCOUNT}:user/nobody",
        user_id="AIDANOBODY",
        access_key_id="AKIANOBODY",
        is_administrator=False,
    )
    return Call(
        service=service,
        operation=operation,
        protocol=MODELS.service(service).metadata.protocol,
        region=REGION,
        principal=principal,
        request_id="request",
        now=1_795_300_000.0,
    )


def attempt(service: str, operation: str, params: dict[str, Any]) -> tuple[BaseException | None, list[str], Call]:
    """What it raised, what it touched."""

    async def story() -> tuple[BaseException | None, list[str], Call]:
        region = await open_region(OsWorld(), region=REGION, account=ACCOUNT)
        made = call(service, operation)
        try:
            await OPERATIONS[service][operation](made, region.services, params)
        except Exception as error:
            return error, region.effects.seen, made
        return None, region.effects.seen, made

    return asyncio.run(story())


def request_of(service: str, operation: str) -> dict[str, Any]:
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None, f"{service} has no {operation}"
    least = {} if described.input is None else minimal(model, model.shape(described.input))
    return least | REQUESTS.get((service, operation), {})


@pytest.mark.parametrize(("service", "operation"), [pair for pair in SWEPT if pair not in FREE])
def test_without_leave_nothing_happens(service: str, operation: str) -> None:
    error, touched, made = attempt(service, operation, request_of(service, operation))
    assert isinstance(error, AccessDenied), f"not refused for want of leave: {error!r}"
    assert not touched
    assert made.authorised_actions[0].partition(":")[0] in {service, "iam"}
    assert error.message.startswith(f"User: arn:aws:iam::{ACCOUNT}:user/nobody is not authorized to perform: ")


@pytest.mark.parametrize(("service", "operation"), [pair for pair in SWEPT if pair not in FREE])
def test_no_form_of_the_request_slips_past(service: str, operation: str) -> None:
    """Whole random requests may be refused for anything, but nothing is touched and nothing is answered."""
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None
    if described.input is None:
        return
    for seed in range(4):
        params = whole(model, model.shape(described.input), random.Random(seed)) | REQUESTS.get(
            (service, operation), {}
        )
        error, touched, _ = attempt(service, operation, params)
        assert isinstance(error, AwsError), f"seed {seed}: {error!r}"
        assert not touched


def test_the_sweep_would_notice_an_effect() -> None:
    """The catching roles do catch: reading a cell directly is noted."""

    async def story() -> list[str]:
        region = await open_region(OsWorld(), region=REGION, account=ACCOUNT)
        with pytest.raises(AwsError):
            await region.services.cell_of(ACCOUNT, "x").delete_cluster(ACCOUNT, "x")
        vpc = region.network.vpcs(ACCOUNT)[0]
        await region.network.create_group(ACCOUNT, vpc.vpc_id, "name", "description", ())
        return region.effects.seen

    assert asyncio.run(story()) == ["cell.delete_cluster", "network.write"]
