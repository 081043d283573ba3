"""No operation can act without leave: each one is called by somebody who has none, and nothing may be touched.

A new operation is swept as soon as it is in the table of operations. Where the smallest valid request does not get as
far as `authorize`, give one that does in REQUESTS; what it asks for is its row in frontend/actions.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from neargate.frontend.actions.reviewed import REVIEWED
from neargate.frontend.actions.rules import Rule
from neargate.frontend.authorize import Unreviewed, authorize, confirm_asked, needs_no_leave
from neargate.frontend.call import Call, Principal
from neargate.frontend.operations.table import OPERATIONS
from neargate.iam.document import PolicyKind, compile_policy
from neargate.iam.policy import Attached, Grants
from neargate.iam.principals import caller_keys
from neargate.iam.request import Caller
from neargate.model.errors import AccessDenied, AwsError
from neargate.testing.examples import minimal, whole
from neargate.testing.region import open_region
from neargate.wire.shapes import Models
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
MODELS = Models()
NOBODY = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/nobody", user_id="AIDANOBODY")
NO_GRANTS = Grants()

# The gate of these is a role's trust policy, asked together with the caller's own; test_sts_operations.py opens it.
TRUSTED = {("sts", "AssumeRole"), ("sts", "AssumeRoleWithWebIdentity")}
# Called without a signature: who calls is proven by the token, and one that proves nothing is refused before leave.
UNSIGNED = {("sts", "AssumeRoleWithWebIdentity")}

REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/a1"
LOG_GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:a"
CLOUD_MAP = f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}"
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
BALANCER, TARGET_GROUP = f"{ELB}:loadbalancer/app/a/{'0' * 16}", f"{ELB}:targetgroup/a/{'0' * 16}"
LISTENER, RULE = (
    f"{ELB}:listener/app/a/{'0' * 16}/{'1' * 16}",
    f"{ELB}:listener-rule/app/a/{'0' * 16}/{'1' * 16}/{'2' * 16}",
)
ON_LISTENER, ON_RULE = {"ListenerArn": LISTENER}, {"RuleArn": RULE}
CERTIFICATE = {"CertificateArn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{'0' * 8}-0000-4000-8000-{'0' * 12}"}
ON_BALANCER, ON_GROUP = {"LoadBalancerArn": BALANCER}, {"TargetGroupArn": TARGET_GROUP}
TAGS = [{"key": "team", "value": "a"}]
CAPITAL_TAGS = [{"Key": "team", "Value": "a"}]
ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
SERVICE_DEPLOYMENT = f"{ECS}:service-deployment/a/b/c"
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("ecs", "ContinueServiceDeployment"): {"serviceDeploymentArn": SERVICE_DEPLOYMENT},
    ("ecs", "CreateService"): {"serviceName": "a", "taskDefinition": "web:1", "launchType": "FARGATE", "tags": TAGS},
    ("ecs", "CreateTaskSet"): {"taskDefinition": "web:1", "tags": TAGS},
    ("ecs", "DescribeServiceDeployments"): {"serviceDeploymentArns": [SERVICE_DEPLOYMENT]},
    ("ecs", "DescribeServiceRevisions"): {"serviceRevisionArns": [f"{ECS}:service-revision/a/b/1"]},
    ("ecs", "StopServiceDeployment"): {"serviceDeploymentArn": SERVICE_DEPLOYMENT},
    ("ecs", "UpdateTaskProtection"): {"cluster": "a", "tasks": ["0" * 32], "protectionEnabled": True},
    ("ecs", "CreateCluster"): {"clusterName": "a", "tags": TAGS},
    ("ecs", "RegisterTaskDefinition"): {
        "family": "api",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "api", "image": "api:1"}],
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole",
        "tags": TAGS,
    },
    ("ecs", "RunTask"): {
        "taskDefinition": "web:1",
        "launchType": "FARGATE",
        "overrides": {"taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"},
        "tags": TAGS,
    },
    ("ecs", "ExecuteCommand"): {"task": "0" * 32},
    ("ecs", "StopTask"): {"task": "0" * 32},
    ("ecs", "DescribeTasks"): {"tasks": ["0" * 32]},
    ("ecs", "DescribeTaskDefinition"): {"taskDefinition": "web:1"},
    ("ecs", "DeregisterTaskDefinition"): {"taskDefinition": "web:1"},
    ("ecs", "DeleteTaskDefinitions"): {"taskDefinitions": ["web:1"]},
    ("ecs", "ListTagsForResource"): {"resourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/a"},
    ("ecs", "TagResource"): {"resourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1", "tags": TAGS},
    ("ecs", "UntagResource"): {"resourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/a/{'0' * 32}", "tagKeys": ["a"]},
    ("acm", "AddTagsToCertificate"): {**CERTIFICATE, "Tags": CAPITAL_TAGS},
    ("acm", "DeleteCertificate"): CERTIFICATE,
    ("acm", "DescribeCertificate"): CERTIFICATE,
    ("acm", "GetCertificate"): CERTIFICATE,
    ("acm", "ImportCertificate"): {"Tags": CAPITAL_TAGS},
    ("acm", "ListTagsForCertificate"): CERTIFICATE,
    ("acm", "RemoveTagsFromCertificate"): {**CERTIFICATE, "Tags": CAPITAL_TAGS},
    ("acm", "RequestCertificate"): {"Tags": CAPITAL_TAGS},
    ("elbv2", "AddListenerCertificates"): ON_LISTENER,
    ("elbv2", "CreateListener"): {**ON_BALANCER, "Tags": CAPITAL_TAGS},
    ("elbv2", "CreateRule"): {**ON_LISTENER, "Tags": CAPITAL_TAGS},
    ("elbv2", "DeleteListener"): ON_LISTENER,
    ("elbv2", "DeleteRule"): ON_RULE,
    ("elbv2", "ModifyListener"): ON_LISTENER,
    ("elbv2", "ModifyListenerAttributes"): ON_LISTENER,
    ("elbv2", "ModifyRule"): ON_RULE,
    ("elbv2", "RemoveListenerCertificates"): ON_LISTENER,
    ("elbv2", "SetRulePriorities"): {"RulePriorities": [{**ON_RULE, "Priority": 1}]},
    ("elbv2", "AddTags"): {"ResourceArns": [BALANCER, TARGET_GROUP], "Tags": CAPITAL_TAGS},
    ("elbv2", "CreateLoadBalancer"): {"Name": "a", "Tags": CAPITAL_TAGS},
    ("elbv2", "CreateTargetGroup"): {"Name": "a", "Tags": CAPITAL_TAGS},
    ("elbv2", "DeleteLoadBalancer"): ON_BALANCER,
    ("elbv2", "DeleteTargetGroup"): ON_GROUP,
    ("elbv2", "DeregisterTargets"): ON_GROUP,
    ("elbv2", "ModifyLoadBalancerAttributes"): ON_BALANCER,
    ("elbv2", "ModifyTargetGroup"): ON_GROUP,
    ("elbv2", "ModifyTargetGroupAttributes"): ON_GROUP,
    ("elbv2", "RegisterTargets"): ON_GROUP,
    ("elbv2", "RemoveTags"): {"ResourceArns": [BALANCER, TARGET_GROUP]},
    ("elbv2", "SetIpAddressType"): ON_BALANCER,
    ("elbv2", "SetSecurityGroups"): ON_BALANCER,
    ("elbv2", "SetSubnets"): ON_BALANCER,
    ("kms", "CreateAlias"): {"AliasName": "alias/a"},
    ("kms", "CreateKey"): {"Tags": [{"TagKey": "team", "TagValue": "a"}]},
    ("kms", "DeleteAlias"): {"AliasName": "alias/a"},
    ("kms", "UpdateAlias"): {"AliasName": "alias/a"},
    ("ecr", "CreateRepository"): {"repositoryName": "a1", "tags": [{"Key": "team", "Value": "a"}]},
    ("ecr", "ListTagsForResource"): {"resourceArn": REPOSITORY},
    ("ecr", "TagResource"): {"resourceArn": REPOSITORY, "tags": [{"Key": "team", "Value": "a"}]},
    ("ecr", "UntagResource"): {"resourceArn": REPOSITORY, "tagKeys": ["team"]},
    ("logs", "CreateLogGroup"): {"logGroupName": "a", "tags": {"team": "a"}},
    ("logs", "DescribeLogStreams"): {"logGroupName": "a"},
    ("logs", "FilterLogEvents"): {"logGroupName": "a", "unmask": True},
    ("logs", "GetLogEvents"): {"logGroupName": "a", "unmask": True},
    ("logs", "ListTagsForResource"): {"resourceArn": LOG_GROUP},
    ("logs", "StartLiveTail"): {"logGroupIdentifiers": [LOG_GROUP]},
    ("logs", "TagResource"): {"resourceArn": LOG_GROUP, "tags": {"team": "a"}},
    ("logs", "UntagResource"): {"resourceArn": LOG_GROUP, "tagKeys": ["team"]},
    ("servicediscovery", "CreateHttpNamespace"): {"Name": "a", "Tags": CAPITAL_TAGS},
    ("servicediscovery", "CreatePrivateDnsNamespace"): {"Name": "a", "Tags": CAPITAL_TAGS},
    ("servicediscovery", "CreatePublicDnsNamespace"): {"Name": "a.example", "Tags": CAPITAL_TAGS},
    ("servicediscovery", "CreateService"): {"Name": "a", "NamespaceId": "ns-a", "Tags": CAPITAL_TAGS},
    ("servicediscovery", "ListTagsForResource"): {"ResourceARN": f"{CLOUD_MAP}:service/srv-a"},
    ("servicediscovery", "TagResource"): {"ResourceARN": f"{CLOUD_MAP}:namespace/ns-a", "Tags": CAPITAL_TAGS},
    ("servicediscovery", "UntagResource"): {"ResourceARN": f"{CLOUD_MAP}:namespace/ns-a", "TagKeys": ["team"]},
    ("ssm", "PutParameter"): {"Name": "/a", "Type": "String", "Tags": [{"Key": "team", "Value": "a"}]},
    ("sts", "AssumeRole"): {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"},
    ("ec2", "CreateSecurityGroup"): {
        "GroupName": "a",
        "Description": "b",
        "TagSpecifications": [{"ResourceType": "security-group", "Tags": [{"Key": "team", "Value": "a"}]}],
    },
}
SWEPT = [(service, name) for service in sorted(OPERATIONS) for name in sorted(OPERATIONS[service])]


def signing_name(service: str) -> str:
    return MODELS.service(service).metadata.signing_name


def rules(service: str, operation: str) -> tuple[Rule, ...]:
    return REVIEWED[signing_name(service)][operation]


FREE = {pair for pair in SWEPT if not REVIEWED.get(signing_name(pair[0]), {}).get(pair[1], ("unreviewed",))}
GATED = [pair for pair in SWEPT if pair not in FREE | UNSIGNED]


def allowing(actions: Sequence[str]) -> Grants:
    statements = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}] if actions else []
    if not statements:
        return NO_GRANTS
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return Grants(identity=(Attached(name="given", policy=compile_policy(document, kind=PolicyKind.IDENTITY)),))


def call(service: str, operation: str, grants: Grants = NO_GRANTS) -> Call:
    principal = Principal(
        account=ACCOUNT,
        arn=NOBODY.arn,
        user_id=NOBODY.user_id,
        access_key_id="AKIANOBODY",
        is_administrator=False,
        grants=grants,
        keys=caller_keys(NOBODY),
    )
    return Call(
        service=signing_name(service),
        operation=operation,
        protocol=MODELS.service(service).metadata.protocol,
        region=REGION,
        principal=principal,
        request_id="request",
        now=1_795_300_000.0,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """`touched`: which roles and stores were asked. `changed`: whether anything stored is another now."""

    error: Exception | None
    touched: list[str]
    changed: bool
    asked: list[str]


def attempt(service: str, operation: str, params: dict[str, Any], grants: Grants = NO_GRANTS) -> Outcome:
    async def story() -> Outcome:
        region = await open_region(OsWorld(), region=REGION, account=ACCOUNT)
        made, before, error = call(service, operation, grants), await region.state(), None
        try:
            await OPERATIONS[service][operation](made, region.services, params)
        except Exception as raised:
            error = raised
        return Outcome(
            error=error,
            touched=region.effects.seen,
            changed=await region.state() != before,
            asked=made.authorised_actions,
        )

    return asyncio.run(story())


def request_of(service: str, operation: str) -> dict[str, Any]:
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None, f"{service} has no {operation}"
    least = {} if described.input is None else minimal(model, model.shape(described.input))
    return least | REQUESTS.get((service, operation), {})


@pytest.mark.parametrize(("service", "operation"), SWEPT)
def test_every_operation_has_a_reviewed_row(service: str, operation: str) -> None:
    assert operation in REVIEWED.get(signing_name(service), {})


def test_every_row_is_an_operation_of_its_service() -> None:
    names = {signing_name(service): service for service in OPERATIONS}
    for name in REVIEWED.keys() & names.keys():
        model = MODELS.service(names[name])
        assert [row for row in REVIEWED[name] if model.operation(row) is None] == []


@pytest.mark.parametrize(("service", "operation"), GATED)
def test_without_leave_nothing_happens(service: str, operation: str) -> None:
    found = attempt(service, operation, request_of(service, operation))
    assert isinstance(found.error, AccessDenied), f"not refused for want of leave: {found.error!r}"
    assert not found.touched and not found.changed
    assert found.asked == [rules(service, operation)[0].action]
    assert found.error.message.startswith(f"User: {NOBODY.arn} is not authorized to perform: {found.asked[0]} ")


@pytest.mark.parametrize(("service", "operation"), GATED)
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
        found = attempt(service, operation, params)
        assert isinstance(found.error, AwsError), f"seed {seed}: {found.error!r}"
        assert not found.touched and not found.changed


@pytest.mark.parametrize(("service", "operation"), [pair for pair in GATED if pair not in TRUSTED])
def test_with_the_actions_of_its_row_it_is_allowed(service: str, operation: str) -> None:
    """And with no action less: each one that the request asked for is missed when it is not granted."""
    row = [rule.action for rule in rules(service, operation)]
    params = request_of(service, operation)
    found = attempt(service, operation, params, allowing(row))
    assert not isinstance(found.error, AccessDenied | Unreviewed), f"{found.error!r}"
    needed = [rule.action for rule in rules(service, operation) if not rule.when]
    assert set(needed) <= set(found.asked) <= set(row)
    for missing in dict.fromkeys(found.asked):
        refused = attempt(service, operation, params, allowing([action for action in row if action != missing]))
        if (operation, missing) == ("CreateLogGroup", "logs:TagResource"):  # logs:TagLogGroup will do
            assert not isinstance(refused.error, AccessDenied)
            continue
        assert isinstance(refused.error, AccessDenied), f"allowed without {missing}"
        assert f"is not authorized to perform: {missing} " in refused.error.message
        assert not refused.changed and not [name for name in refused.touched if name.endswith(".write")]


@pytest.mark.parametrize(("service", "operation"), sorted(FREE))
def test_what_needs_no_leave_is_known_by_name(service: str, operation: str) -> None:
    assert (service, operation) in {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")}


def test_what_the_table_does_not_name_is_never_decided() -> None:
    made = call("ecs", "StopTask", allowing(["*"]))
    task = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/a/1"
    authorize(made, "ecs:StopTask", [task], {"ecs:cluster": "x"})
    with pytest.raises(Unreviewed, match="may not ask for ecs:RunTask"):
        authorize(made, "ecs:RunTask", [task])
    with pytest.raises(Unreviewed, match="is not asked for on"):
        authorize(made, "ecs:StopTask", [f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/a"])
    with pytest.raises(Unreviewed, match="has no condition key ecs:subnet"):
        authorize(made, "ecs:StopTask", [task], {"ecs:subnet": "x"})
    with pytest.raises(Unreviewed, match="on no resource"):
        authorize(made, "ecs:StopTask", [])
    with pytest.raises(Unreviewed, match="needs leave"):
        needs_no_leave(made)
    with pytest.raises(Unreviewed, match="in no reviewed table"):
        authorize(call("ecs", "MakeTea"), "ecs:MakeTea", ["*"])


def test_an_answer_needs_that_it_asked_for_what_its_row_names() -> None:
    """Also where an operation decides by itself and only says what it asked for."""
    silent, strange, free = call("ecs", "StopTask"), call("ecs", "StopTask"), call("sts", "GetCallerIdentity")
    strange.authorised_actions.append("ecs:RunTask")
    for made in (silent, strange, free):
        with pytest.raises(Unreviewed, match="asked for"):
            confirm_asked(made)
    needs_no_leave(free)
    confirm_asked(free)
    silent.authorised_actions.append("ecs:StopTask")
    confirm_asked(silent)


def test_the_sweep_would_notice_an_effect() -> None:
    """The catching roles do catch: reading a cell directly is noted, and what is stored shows."""

    async def story() -> tuple[list[str], bool]:
        region = await open_region(OsWorld(), region=REGION, account=ACCOUNT)
        before = await region.state()
        with pytest.raises(AwsError):
            await region.services.cell_of(ACCOUNT, "x").delete_cluster(ACCOUNT, "x")
        vpc = region.network.vpcs(ACCOUNT)[0]
        await region.network.create_group(ACCOUNT, vpc.vpc_id, "name", "description", ())
        return region.effects.seen, await region.state() != before

    assert asyncio.run(story()) == (["cell.delete_cluster", "network.write"], True)
