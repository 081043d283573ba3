"""`neargate sample`: a definition, a task, its page over its public address, its log lines: all for real."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from . import config as configs
from .admin import ask
from .config import RegionConfig
from .environment import aws_json, before_typing
from .images.load import Registry
from .paths import RegionPaths
from .problems import Problem
from .stories.task import folded

FAMILY = "neargate-sample"
REPOSITORY, TAG = "neargate/sample", "1"
LOG_GROUP = "/neargate/sample"
ROLE = "neargateSampleExecution"  # not the name that tutorials and Terraform give to theirs
ROLE_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
TASKS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
START_S = 120.0
PAGE_S = 20.0
LOG_S = 20.0
LOOK_S = 0.3


def run(paths: RegionPaths, say: Callable[[str], None]) -> None:
    """Returns only when everything really happened; Problem otherwise."""
    config = configs.load(paths)
    if not config.runs_tasks:
        raise Problem("a simulated region runs no containers and has no registry: the sample needs a real one")
    ask(paths, "ready")  # else the first step would fail, in words of its own
    image, digest = push_image(paths, config)
    say(f"1. image      {image} {digest[:19]}")
    aws_json(paths, "ecs", "create-cluster", "--cluster-name", "default")
    definition = _register(paths, image, config.region)
    say(f"2. definition {definition.rpartition('/')[2]}, pulled by the execution role {ROLE}")
    earlier = aws_json(paths, "ecs", "list-tasks", "--started-by", FAMILY).get("taskArns", [])
    task = _run_task(paths, definition)
    identity = task.rpartition("/")[2]
    say(f"3. task       {identity}")
    address = _wait_running(paths, task, say)
    page = _fetch(f"http://{address}/")
    say(f"4. page       http://{address}/ says: {page.splitlines()[0]}")
    say("5. log        its last lines:")
    for line in _last_lines(paths, identity):
        say(f"              {line}")
    for arn in earlier:
        aws_json(paths, "ecs", "stop-task", "--task", arn, "--reason", "Replaced by a newer sample.")
    if earlier:
        say(f"   (stopped {len(earlier)} earlier sample task{'s' if len(earlier) != 1 else ''})")
    say("")
    data = paths.as_option
    say("The sample works. What next:")
    for line in before_typing():
        say(f"  {line}")
    say(f"  curl http://{address}/")
    say(f"  neargate aws{data} ecs describe-tasks --tasks {identity}")
    say(f"  neargate logs {identity[:8]}{data} --follow")
    say(f"  neargate exec {identity[:8]}{data}")
    say(f"  neargate why {identity[:8]}{data}")
    say(f"  neargate status{data}")


def push_image(paths: RegionPaths, config: RegionConfig) -> tuple[str, str]:
    """Build the image on the spot, push it to the first account's registry: its name and digest. Repeatable."""
    from ..testing.oci_image import push, sample_image

    registry = Registry(paths, config.port, config.region, config.account)
    uri, place = registry.need(REPOSITORY), registry.path_of(REPOSITORY)
    digest = push(registry.address, place, TAG, sample_image(), username="AWS", password=registry.password)
    return f"{uri}:{TAG}", digest


def _register(paths: RegionPaths, image: str, region: str) -> str:
    container = {
        "name": "web",
        "image": image,
        "portMappings": [{"containerPort": 80}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": LOG_GROUP,
                "awslogs-region": region,
                "awslogs-stream-prefix": "sample",
            },
        },
    }
    _log_group(paths)
    request = {
        "family": FAMILY,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": execution_role(paths),
        "containerDefinitions": [container],
    }
    answer = aws_json(paths, "ecs", "register-task-definition", "--cli-input-json", json.dumps(request))
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def _log_group(paths: RegionPaths) -> None:
    """Made once, by the operator: AWS's policy for execution roles does not let them make groups."""
    found = aws_json(paths, "logs", "describe-log-groups", "--log-group-name-prefix", LOG_GROUP)["logGroups"]
    if not found:
        aws_json(paths, "logs", "create-log-group", "--log-group-name", LOG_GROUP)


def execution_role(paths: RegionPaths) -> str:
    """Its ARN. Made once: an account begins without roles, as on AWS."""
    details = aws_json(paths, "iam", "get-account-authorization-details", "--filter", "Role")["RoleDetailList"]
    role = next((one for one in details if one["RoleName"] == ROLE), None)
    named = ("--role-name", ROLE)
    if role is None:
        trust = ("--assume-role-policy-document", json.dumps(TASKS_TRUST))
        role = aws_json(paths, "iam", "create-role", *named, *trust)["Role"]
    if not role.get("AttachedManagedPolicies"):
        aws_json(paths, "iam", "attach-role-policy", *named, "--policy-arn", ROLE_POLICY)
    return str(role["Arn"])


def _run_task(paths: RegionPaths, definition: str) -> str:
    default = ["--filters", "Name=default-for-az,Values=true"]
    subnets = aws_json(paths, "ec2", "describe-subnets", *default)["Subnets"]
    if not subnets:
        raise Problem("the account has no default VPC, which the sample runs in: aws ec2 create-default-vpc makes one")
    vpc = str(subnets[0]["VpcId"])
    names = ",".join(sorted(str(subnet["SubnetId"]) for subnet in subnets))
    group = _web_group(paths, vpc)
    network = f"awsvpcConfiguration={{subnets=[{names}],securityGroups=[{group}],assignPublicIp=ENABLED}}"
    answer = aws_json(
        paths,
        *("ecs", "run-task", "--launch-type", "FARGATE", "--task-definition", definition),
        *("--network-configuration", network, "--started-by", FAMILY, "--enable-execute-command"),
    )
    if answer["failures"]:
        raise Problem(f"the sample was not placed: {answer['failures'][0]['reason']}")
    return str(answer["tasks"][0]["taskArn"])


def _web_group(paths: RegionPaths, vpc: str) -> str:
    """A security group that lets port 80 in, made once."""
    found = aws_json(
        paths,
        *("ec2", "describe-security-groups", "--filters"),
        *(f"Name=group-name,Values={FAMILY}", f"Name=vpc-id,Values={vpc}"),
    )["SecurityGroups"]
    if found:
        return str(found[0]["GroupId"])
    made = aws_json(
        paths,
        *("ec2", "create-security-group", "--group-name", FAMILY, "--vpc-id", vpc),
        *("--description", "HTTP for the sample task"),
    )
    group = str(made["GroupId"])
    aws_json(
        paths,
        *("ec2", "authorize-security-group-ingress", "--group-id", group),
        *("--protocol", "tcp", "--port", "80", "--cidr", "0.0.0.0/0"),
    )
    return group


def _wait_running(paths: RegionPaths, task: str, say: Callable[[str], None]) -> str:
    """Follow the task to RUNNING, saying each status; returns its public address."""
    began = time.monotonic()
    shown: list[str] = []
    while time.monotonic() < began + START_S:
        facts = ask(paths, "why", task=task)
        document = facts["task"]
        for event in folded(facts["events"])[len(shown) :]:
            shown.append(str(event["lastStatus"]))
            say(f"              {event['at'] - document['createdAt']:6.2f} s  {shown[-1]}")
        status = document["lastStatus"]
        if status == "STOPPED":
            raise Problem(f"the sample stopped: {document.get('stopCode')}: {document.get('stoppedReason')}")
        if status == "RUNNING":
            return _public_address(paths, task)
        time.sleep(LOOK_S)
    raise Problem(f"the sample did not reach RUNNING within {START_S:.0f} s; see: neargate why {task}")


def _public_address(paths: RegionPaths, task: str) -> str:
    document = aws_json(paths, "ecs", "describe-tasks", "--tasks", task)["tasks"][0]
    details = {item["name"]: item["value"] for item in document["attachments"][0]["details"]}
    eni = aws_json(
        paths, "ec2", "describe-network-interfaces", "--network-interface-ids", details["networkInterfaceId"]
    )
    return str(eni["NetworkInterfaces"][0]["Association"]["PublicIp"])


def _fetch(url: str) -> str:
    """The page; its server may need a moment after RUNNING."""
    deadline = time.monotonic() + PAGE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2.0) as answer:
                return str(answer.read(65536).decode())
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise Problem(f"{url} did not answer within {PAGE_S:.0f} s: {error}") from None
            time.sleep(LOOK_S)


def _last_lines(paths: RegionPaths, task: str) -> list[str]:
    deadline = time.monotonic() + LOG_S
    while time.monotonic() < deadline:
        lines = ask(paths, "logs", task=task, lines=5, tokens={})["lines"]
        if lines:
            return [str(line["message"]) for line in lines]
        time.sleep(LOOK_S)
    raise Problem(f"no log line of the sample arrived within {LOG_S:.0f} s; see: neargate why {task}")
