"""AWS's JavaScript clients before a region: where they look for it, pages, error classes, what throttling is to them.

A region in memory behind real HTTP.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from neargate.frontend.limits.token_bucket import Rate

from .js_clients import Script, ScriptError, needs_clients
from .served import ACCOUNT, KEY, REGION, SECRET
from .test_limits_clients import ECS, Server, client, limited

pytestmark = needs_clients

ELB = "elbv2/read"
NOWHERE = "http://127.0.0.1:1"  # nothing listens there
ARN = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
GHOST_GROUP = f"{ARN}:targetgroup/ghost/0123456789abcdef"
GHOST_BALANCER = f"{ARN}:loadbalancer/app/ghost/0123456789abcdef"
GHOST_LISTENER = f"{ARN}:listener/app/ghost/0123456789abcdef/0123456789abcdef"
DEFINITION: dict[str, Any] = {
    "family": "js",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "web", "image": "web:1"}],
}


class Endpoint(NamedTuple):
    server: Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def at() -> Iterator[Endpoint]:
    made = Server()
    with made as port:
        yield Endpoint(made, port)


@pytest.fixture(scope="module")
def script(at: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Script]:
    vpc = client(at.port, "ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    group = {"TargetType": "ip", "Protocol": "HTTP", "Port": 80, "VpcId": vpc}
    with Script(at.url, tmp_path_factory.mktemp("home")) as made:
        for place in range(5):
            made.send("ecs", "CreateCluster", clusterName=f"js-{place}")
            made.send("ecs", "RegisterTaskDefinition", **DEFINITION)
            made.send("elbv2", "CreateTargetGroup", Name=f"js-{place}", **group)
        yield made


def refused(call: Callable[[], object]) -> dict[str, Any]:
    with pytest.raises(ScriptError) as error:
        call()
    return error.value.told


def test_an_answer_says_its_request_as_aws_s_do(script: Script) -> None:
    for service, name in (("ecs", "ListClusters"), ("elbv2", "DescribeTargetGroups")):
        metadata = script.send(service, name)["$metadata"]
        assert (metadata["httpStatusCode"], metadata["attempts"]) == (200, 1)
        assert len(metadata["requestId"]) == 36


# The paginator's own `pageSize` where the model names the member, the member itself where not.
PAGES: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("ecs", "ListClusters", "clusterArns", {"pageSize": 2}, {}),
    ("ecs", "ListTaskDefinitions", "taskDefinitionArns", {"pageSize": 2}, {}),
    ("elbv2", "DescribeTargetGroups", "TargetGroups", {}, {"PageSize": 2}),
]


@pytest.mark.parametrize(("service", "name", "member", "options", "params"), PAGES)
def test_a_paginator_brings_each_thing_once(
    script: Script, service: str, name: str, member: str, options: dict[str, Any], params: dict[str, Any]
) -> None:
    pages = script.pages(service, name, options, **params)
    found = [one if isinstance(one, str) else one["TargetGroupArn"] for page in pages for one in page[member]]
    assert (len(pages), len(found), len(set(found))) == (3, 5, 5)
    assert len(script.pages(service, name, {})) == 1


CLASSES: list[tuple[str, str, dict[str, Any], str]] = [
    ("ecs", "UpdateService", {"cluster": "js-0", "service": "ghost"}, "ServiceNotFoundException"),
    ("ecs", "UpdateService", {"cluster": "ghost", "service": "ghost"}, "ClusterNotFoundException"),
    ("ecs", "RunTask", {"cluster": "js-0", "taskDefinition": "ghost"}, "ClientException"),
    ("ecs", "DescribeTasks", {"cluster": "js-0", "tasks": []}, "InvalidParameterException"),
    ("elbv2", "DescribeLoadBalancers", {"LoadBalancerArns": [GHOST_BALANCER]}, "LoadBalancerNotFoundException"),
    ("elbv2", "DescribeTargetGroups", {"TargetGroupArns": [GHOST_GROUP]}, "TargetGroupNotFoundException"),
    ("elbv2", "DescribeListeners", {"ListenerArns": [GHOST_LISTENER]}, "ListenerNotFoundException"),
    ("elbv2", "CreateTargetGroup", {"Name": "js-0", "TargetType": "lambda"}, "InvalidConfigurationRequestException"),
]


@pytest.mark.parametrize(("service", "name", "params", "kind"), CLASSES)
def test_an_error_is_an_instance_of_its_class(
    script: Script, service: str, name: str, params: dict[str, Any], kind: str
) -> None:
    told = refused(lambda: script.ask(service, "send", name, params))
    base = {"ecs": "ECSServiceException", "elbv2": "ElasticLoadBalancingV2ServiceException"}[service]
    assert (told["name"], told["classes"], told["fault"]) == (kind, sorted([base, kind]), "client")
    assert told["message"] and told["metadata"]["httpStatusCode"] == 400 and told["metadata"]["requestId"]


def test_a_key_that_nobody_has_is_refused_without_a_class_of_its_own(script: Script) -> None:
    keys = {"accessKeyId": "AKIA0000000000000000", "secretAccessKey": "x"}
    told = refused(lambda: script.send("ecs", "ListClusters", {"credentials": keys}))
    assert (told["name"], told["classes"]) == ("UnrecognizedClientException", ["ECSServiceException"])
    told = refused(lambda: script.send("elbv2", "DescribeTargetGroups", {"credentials": keys}))
    assert told["name"] == "InvalidClientTokenId"


def test_what_is_null_in_a_request_was_not_said(script: Script) -> None:
    """As programs write it that make their parameters from optional inputs."""
    made = script.send("ecs", "CreateCluster", clusterName="js-0", tags=[], settings=None, configuration=None)
    assert made["cluster"]["clusterName"] == "js-0"


THROTTLED = [
    ("ecs", "ListClusters", ECS, "ThrottlingException", ["ECSServiceException"]),
    ("elbv2", "DescribeTargetGroups", ELB, "Throttling", ["ElasticLoadBalancingV2ServiceException"]),
]


@pytest.mark.parametrize(("service", "name", "bucket", "kind", "classes"), THROTTLED)
def test_throttling_is_told_as_such(
    at: Endpoint, script: Script, service: str, name: str, bucket: str, kind: str, classes: list[str]
) -> None:
    with limited(at.server, bucket, Rate(1, 0.001)):
        script.send(service, name, {"maxAttempts": 1})
        told = refused(lambda: script.send(service, name, {"maxAttempts": 1}))
    assert (told["name"], told["classes"]) == (kind, classes)
    assert told["message"] == "Rate exceeded" and told["metadata"]["httpStatusCode"] == 400


@pytest.mark.parametrize("mode", ["standard", "adaptive"])
def test_both_retry_modes_back_off_and_succeed(at: Endpoint, tmp_path: Path, mode: str) -> None:
    """A bucket that gives a token each tenth of a second, and four calls on end: all are answered, some late."""
    with (
        Script(at.url, tmp_path, AWS_RETRY_MODE=mode, AWS_MAX_ATTEMPTS="10") as script,
        limited(at.server, ECS, Rate(1, 10)),
    ):
        answers = [script.send("ecs", "ListClusters")["$metadata"] for _ in range(4)]
    assert [answer["httpStatusCode"] for answer in answers] == [200] * 4
    assert max(answer["attempts"] for answer in answers) > 1, "the client was never throttled"


def test_the_endpoint_of_one_service_is_taken_before_that_of_all(at: Endpoint, tmp_path: Path) -> None:
    with Script(NOWHERE, tmp_path, AWS_ENDPOINT_URL_ECS=at.url, AWS_MAX_ATTEMPTS="1") as script:
        assert script.send("ecs", "ListClusters")["$metadata"]["httpStatusCode"] == 200
        assert "ECONNREFUSED" in refused(lambda: script.send("elbv2", "DescribeTargetGroups"))["message"]


def test_a_profile_may_say_the_endpoint(at: Endpoint, tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    (tmp_path / ".aws" / "config").write_text(f"[profile here]\nendpoint_url = {at.url}\nregion = {REGION}\n{keys}")
    given = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    with Script(NOWHERE, tmp_path, **dict.fromkeys(given), AWS_PROFILE="here") as script:
        assert script.send("ecs", "ListClusters")["$metadata"]["httpStatusCode"] == 200
        assert script.send("elbv2", "DescribeTargetGroups")["$metadata"]["httpStatusCode"] == 200
