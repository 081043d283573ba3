"""A task's program is its role: an unmodified boto3 in a real container finds the role's credentials and uses them."""

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.cli import processes
from neargate.testing import oci_image
from neargate.testing.python_image import python_image

from .conftest import end_region, start_region
from .region import LiveRegion, insist, wait_for

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
STRANGER = TRUST.replace("ecs-tasks.", "lambda.")
PROGRAM = """
import boto3, botocore.exceptions
print(boto3.client("sts").get_caller_identity()["Arn"])
ecs = boto3.client("ecs")
print([arn for arn in ecs.list_clusters()["clusterArns"] if arn.endswith("/default")])
try:
    ecs.create_cluster(clusterName="theirs")
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Message"])
"""


@pytest.fixture(scope="module")
def roles(region: LiveRegion) -> Iterator[LiveRegion]:
    """Roles `lister` (may list clusters) and `stranger` (trusts another service), and an image with boto3."""
    iam = region.client("iam")
    iam.create_role(RoleName="lister", AssumeRolePolicyDocument=TRUST)
    statement = {"Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="lister", PolicyName="list", PolicyDocument=document)
    iam.create_role(RoleName="stranger", AssumeRolePolicyDocument=STRANGER)
    oci_image.push(region.registry, "python", "1", python_image())
    yield region
    iam.delete_role_policy(RoleName="lister", PolicyName="list")
    for name in ("lister", "stranger"):
        iam.delete_role(RoleName=name)


def kill(region: LiveRegion, process: str) -> None:
    """SIGKILL; `up` starts another."""
    running = processes.find(region.paths.pid_file(process))
    assert running is not None, f"{process} does not run"
    os.kill(running.pid, signal.SIGKILL)
    assert processes.wait_gone(running, 10.0)


def role(name: str) -> str:
    return f"arn:aws:iam::123456789012:role/{name}"


def python(region: LiveRegion, program: str) -> dict[str, Any]:
    return {"image": f"{region.registry}/python:1", "command": ["-c", program]}


def test_boto3_in_a_container_is_the_tasks_role(roles: LiveRegion) -> None:
    task = roles.run_to_end(python(roles, PROGRAM), taskRoleArn=role("lister"), cpu="512", memory="1024")
    task_id = task["taskArn"].rpartition("/")[2]
    session = f"arn:aws:sts::123456789012:assumed-role/lister/{task_id}"
    assert roles.output_of(task["taskArn"]) == [
        session,
        "['arn:aws:ecs:us-east-1:123456789012:cluster/default']",
        f"User: {session} is not authorized to perform: ecs:CreateCluster on resource: "
        "arn:aws:ecs:us-east-1:123456789012:cluster/theirs because no identity-based policy allows the "
        "ecs:CreateCluster action",
    ]


def test_a_call_of_a_task_is_known_by_the_tasks_address(roles: LiveRegion) -> None:
    """In the record of calls and in policies, whatever its program says in its request."""
    program = """
import boto3, botocore.exceptions
ecs = boto3.client("ecs")
for name, value in {"X-Forwarded-For": "10.9.9.9", "Forwarded": "for=10.9.9.9", "X-Real-Ip": "10.9.9.9"}.items():
    def add(request, n=name, v=value, **_):
        request.headers[n] = v
    ecs.meta.events.register("before-send.ecs.*", add)
print([arn for arn in ecs.list_clusters()["clusterArns"] if arn.endswith("/default")])
try:
    ecs.list_task_definition_families()
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
"""
    inside = {"IpAddress": {"aws:SourceIp": "172.31.0.0/16"}}
    outside = {"NotIpAddress": {"aws:SourceIp": "172.31.0.0/16"}}
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "ecs:ListClusters", "Resource": "*", "Condition": inside},
            {"Effect": "Allow", "Action": "ecs:ListTaskDefinitionFamilies", "Resource": "*", "Condition": outside},
        ],
    }
    iam = roles.client("iam")
    iam.create_role(RoleName="inside", AssumeRolePolicyDocument=TRUST)
    iam.put_role_policy(RoleName="inside", PolicyName="inside", PolicyDocument=json.dumps(document))
    try:
        task = roles.run_to_end(python(roles, program), taskRoleArn=role("inside"), cpu="512", memory="1024")
        assert roles.output_of(task["taskArn"]) == [
            "['arn:aws:ecs:us-east-1:123456789012:cluster/default']",
            "AccessDeniedException",
        ]
    finally:
        iam.delete_role_policy(RoleName="inside", PolicyName="inside")
        iam.delete_role(RoleName="inside")
    task_id = task["taskArn"].rpartition("/")[2]
    address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    calls = [json.loads(line) for line in roles.command("audit").stdout.splitlines()]
    theirs = [call for call in calls if call["userIdentity"].get("arn", "").endswith(f"/inside/{task_id}")]
    assert {call["eventName"] for call in theirs} == {"ListClusters", "ListTaskDefinitionFamilies"}
    assert {call["sourceIPAddress"] for call in theirs} == {address}
    assert "127.0.0.1" in {call["sourceIPAddress"] for call in calls}, "this machine's own calls are its own"


def test_without_a_role_there_are_no_credentials_and_no_address_of_any(roles: LiveRegion) -> None:
    program = """
import boto3, botocore.exceptions, os
print(os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
try:
    boto3.client("sts").get_caller_identity()
except botocore.exceptions.NoCredentialsError as error:
    print(error)
"""
    config = {"environment": [{"name": "AWS_EC2_METADATA_DISABLED", "value": "true"}]}
    lines = roles.output({**python(roles, program), **config}, cpu="512", memory="1024")
    assert lines == ["None", "Unable to locate credentials"]


def test_a_role_that_tasks_may_not_assume_is_refused(roles: LiveRegion) -> None:
    for name in ("stranger", "nobody"):
        definition = roles.register({"command": ["true"]}, taskRoleArn=role(name))
        with pytest.raises(ClientError, match=f"ECS was unable to assume the role '{role(name)}'"):
            roles.run(definition)


def test_what_the_execution_role_may_not_stops_the_task_in_the_words_of_aws(roles: LiveRegion) -> None:
    """The role `lister` is no role for logs."""
    container = {"command": ["true"], "logConfiguration": roles.log_config("/test/output")}
    task = roles.wait_status(roles.run(roles.register(container, executionRoleArn=role("lister"))), "STOPPED")
    stream = f"t/c0/{task['taskArn'].rpartition('/')[2]}"
    session = f"arn:aws:sts::123456789012:assumed-role/lister/{stream.rpartition('/')[2]}"
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(
        "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed "
        f"to create Cloudwatch log stream: AccessDeniedException: User: {session} is not authorized to perform: "
        "logs:CreateLogStream on resource: arn:aws:logs:us-east-1:123456789012:log-group:/test/output:log-stream:"
        f"{stream} because no identity-based policy allows the logs:CreateLogStream action status code: 400, "
        "request id: "
    )


def test_another_tasks_credentials_are_not_given_out(roles: LiveRegion) -> None:
    """The victim shows its path in its log; who has it is told by the source address, not by what it knows."""
    log = {"logConfiguration": roles.log_config("/test/output")}
    shown = "echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; exec sleep 600"
    wait = {"command": ["sh", "-c", shown], "stopTimeout": 2, **log}
    victim = roles.run(roles.register(wait, taskRoleArn=role("lister")))
    roles.wait_status(victim, "RUNNING")
    path = wait_for("the victim's path", lambda: next(iter(roles.output_of(victim)), None))
    assert re.fullmatch(r"/v2/credentials/[0-9a-f-]{36}", path)
    ask = f"wget -qO- http://169.254.170.2{path} 2>&1; wget -qO- http://169.254.170.2/v2/credentials/ 2>&1"
    own = "wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI | grep -c SecretAccessKey"
    lines = roles.output({"command": ["sh", "-c", f"{ask}; {own}"]}, taskRoleArn=role("lister"))
    assert lines == ["wget: server returned error: HTTP/1.1 400 Bad Request"] * 2 + ["1"]
    roles.stop(victim)


def test_credentials_outlive_the_agent_and_an_outage_of_the_server(roles: LiveRegion) -> None:
    """kill -9 of both; what the task is given is the same, and the next server takes it."""
    own = start_region()
    try:
        own.push_images()
        iam = own.client("iam")
        iam.create_role(RoleName="lister", AssumeRolePolicyDocument=TRUST)
        ask = (
            "while :; do wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI 2> /dev/null "
            "> /key.new && mv /key.new /key; md5sum < /key; sleep 0.2; done"
        )
        container = {"command": ["sh", "-c", ask], "stopTimeout": 2, "logConfiguration": own.log_config("/test/output")}
        arn = own.run(own.register(container, taskRoleArn=role("lister")))
        own.wait_status(arn, "RUNNING")
        wait_for("an answer", lambda: own.output_of(arn) or None)
        kept = own.paths.role_credentials / arn.rpartition("/")[2]
        assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
        for process in ("server", "agent"):
            kill(own, process)
        before = len(insist(lambda: own.output_of(arn)))
        wait_for("answers afterwards", lambda: len(insist(lambda: own.output_of(arn))) > before + 5)
        assert len(set(own.output_of(arn))) == 1
        own.stop(arn)
        own.wait_status(arn, "STOPPED")
        assert not kept.exists()
    finally:
        end_region(own)
