"""A task of a service protects itself by the endpoint that ECS_AGENT_URI names, and scale-in leaves it alone."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .region import LiveRegion, wait_for

# The answer's body is its last line.
STORY = """
path=${ECS_AGENT_URI#http://169.254.170.2}/task-protection/v1/state
put() {
  printf 'PUT %s HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: %d\\r\\n\\r\\n%s' $path ${#1} "$1" |
    nc 169.254.170.2 80 | tail -n 1
  echo
}
put '{"ProtectionEnabled":true,"ExpiresInMinutes":5}'
"""
KEPT = f"""{STORY}
wget -qO- $ECS_AGENT_URI/task-protection/v1/state; echo
trap 'exit 0' TERM; while :; do sleep 1; done
"""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
MAY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"], "Resource": "*"}
    ],
}


def role(region: LiveRegion, name: str, may: dict[str, Any] | None) -> str:
    iam = region.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    if may is not None:
        iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=json.dumps(may))
    return str(made["Arn"])


def test_a_task_alone_cannot_be_protected_and_a_role_without_leave_may_not_ask(region: LiveRegion) -> None:
    story = {"command": ["sh", "-c", STORY]}
    [line] = region.output(story, taskRoleArn=role(region, "protecting", MAY))
    failure = json.loads(line)["failure"]
    assert failure["Reason"] == "TASK_NOT_VALID" and ":task/default/" in failure["Arn"]
    [line] = region.output(story, taskRoleArn=role(region, "not-protecting", None))
    error = json.loads(line)["error"]
    assert error["Code"] == "AccessDeniedException" and "ecs:UpdateTaskProtection" in error["Message"]
    [line] = region.output(story)
    assert json.loads(line)["error"]["Message"].endswith("no task IAM role credentials available for task")


def answers(region: LiveRegion, arn: str) -> list[Any] | None:
    """What the task was told, of its PUT and of its GET."""
    found = region.logs.get_log_events(
        logGroupName="/test/protection", logStreamName=f"t/c0/{arn.rpartition('/')[2]}", startFromHead=True
    )
    told = [json.loads(event["message"])["protection"] for event in found["events"] if event["message"].strip()]
    return told if len(told) == 2 else None


@pytest.fixture
def serving(region: LiveRegion) -> Iterator[LiveRegion]:
    """The shared region, in which the service `kept` is no more afterwards."""
    yield region

    def is_over() -> bool:
        found = region.ecs.describe_services(services=["kept"])["services"]
        return not found or found[0]["status"] == "INACTIVE"

    if not is_over():
        region.ecs.delete_service(service="kept", force=True)
    wait_for("the service ends", is_over)


def test_a_task_that_protects_itself_is_the_one_that_stays(serving: LiveRegion) -> None:
    region = serving
    logs = region.log_config("/test/protection")
    keeping = {"command": ["sh", "-c", KEPT], "logConfiguration": logs, "stopTimeout": 2}
    definition = region.register(keeping, taskRoleArn=role(region, "kept", MAY))
    region.ecs.create_service(
        serviceName="kept",
        taskDefinition=definition,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=region.network(),
    )

    def protected() -> list[str]:
        found = region.ecs.get_task_protection(cluster="default", tasks=[])["protectedTasks"]
        return [one["taskArn"] for one in found if one["protectionEnabled"]]

    def running() -> int:
        [service] = region.ecs.describe_services(services=["kept"])["services"]
        return int(service["runningCount"])

    [arn] = wait_for("a task protects itself", lambda: protected() or None)
    region.ecs.update_service(service="kept", desiredCount=0)

    def blocked() -> bool:
        [service] = region.ecs.describe_services(services=["kept"])["services"]
        return any("under protection" in event["message"] for event in service["events"])

    wait_for("the service says that it is protected", blocked)
    assert running() == 1 and region.task(arn)["desiredStatus"] == "RUNNING"
    put, got = wait_for("both answers are logged", lambda: answers(region, arn))
    assert put == got and put["TaskArn"] == arn and put["ProtectionEnabled"] and put["ExpirationDate"].endswith("Z")
    region.ecs.update_task_protection(cluster="default", tasks=[arn], protectionEnabled=False)
    wait_for("the task goes", lambda: running() == 0)
