"""Tasks with images of the region's own registry: pulled in the task's network with a token of the execution role."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.testing import oci_image

from .conftest import end_region, start_region
from .region import LiveRegion

ACCOUNT = "123456789012"
REPOSITORY = "team/tool"
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]


@pytest.fixture(scope="module")
def image(region: LiveRegion) -> Iterator[str]:
    """The reference of an image that was pushed with the administrator's token, and its digest."""
    ecr = region.client("ecr")
    uri = ecr.create_repository(repositoryName=REPOSITORY)["repository"]["repositoryUri"]
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    username, _, password = base64.b64decode(token).decode().partition(":")
    config: dict[str, object] = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]}
    built = oci_image.build_image([oci_image.busybox_layer()], config=config)
    door = f"127.0.0.1:{region.port}"  # the repository's name means this machine only to container tools
    oci_image.push(door, f"{ACCOUNT}/{REPOSITORY}", "1", built, username=username, password=password)
    yield f"{uri}:1"
    ecr.delete_repository(repositoryName=REPOSITORY, force=True)


def role(region: LiveRegion, name: str, *actions: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = region.client("iam")
    made: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": [*actions, "logs:*"], "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="pull", PolicyDocument=_policy(allowed))
    return made


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_task_runs_an_image_of_the_regions_registry(region: LiveRegion, image: str) -> None:
    puller = role(region, "puller", "ecr:GetAuthorizationToken", *PULL)
    task = region.run_to_end({"image": image, "command": ["echo", "mine"]}, executionRoleArn=puller)
    assert region.output_of(task["taskArn"]) == ["mine"], task
    digest = region.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"][0]["imageDigest"]
    assert task["containers"][0]["imageDigest"] == digest


@pytest.mark.parametrize(
    ("name", "actions", "words"),
    [
        ("tokenless", PULL, "unable to retrieve ecr registry auth: service call has been retried 1 time(s): "),
        ("blind", ["ecr:GetAuthorizationToken"], "unexpected status code [manifests 1]: 403 Forbidden"),
    ],
)
def test_what_is_cached_is_not_for_a_role_that_may_not(
    region: LiveRegion, image: str, name: str, actions: list[str], words: str
) -> None:
    """The image is on this machine already (the test before ran it), by the digest too."""
    denied = role(region, name, *actions)
    task = region.run_to_end({"image": image, "command": ["echo", "theirs"]}, executionRoleArn=denied)
    assert task["stopCode"] == "TaskFailedToStart" and words in task["stoppedReason"], task["stoppedReason"]


def test_an_open_region_takes_images_without_a_login_and_runs_them() -> None:
    """For CI with dummy keys: `docker push` finds its way in, and the host with the execution role's too."""
    open_region = start_region("--auth", "open")
    try:
        door = f"127.0.0.1:{open_region.port}"
        open_region.client("ecr").create_repository(repositoryName=REPOSITORY)
        built = oci_image.build_image([oci_image.busybox_layer()], config={"Env": ["PATH=/bin"]})
        oci_image.push(door, f"{ACCOUNT}/{REPOSITORY}", "1", built)
        open_region.push_images()
        image = f"{ACCOUNT}.dkr.ecr.us-east-1.localhost:{open_region.port}/{REPOSITORY}:1"
        assert open_region.output({"image": image, "command": ["echo", "pushed by nobody"]}) == ["pushed by nobody"]
        assert "The sample works" in open_region.command("sample").stdout
    finally:
        end_region(open_region)


def test_without_an_execution_role_nothing_is_registered(region: LiveRegion, image: str) -> None:
    with pytest.raises(ClientError, match="execution role ARN to support ECR images"):
        region.ecs.register_task_definition(
            family="roleless",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "c", "image": image}],
        )
