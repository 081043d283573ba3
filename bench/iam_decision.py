"""What deciding costs a request: two policies of eight statements, with conditions, variables and a Deny to look at.

Pure computing, one thread. The policies are compiled once, as the registry does; a statement that allows comes last.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from neargate.frontend.authorize import authorize
from neargate.frontend.call import Call
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.callers.principals import Principals
from neargate.frontend.operations.ecs.asking import authorize_tagging, definition_resource, running_keys
from neargate.frontend.operations.ecs.passing import authorize_roles
from neargate.iam.document import Policy, PolicyKind, compile_policy
from neargate.iam.evaluate import decide
from neargate.iam.policy import Attached, Grants
from neargate.iam.principals import caller_keys
from neargate.iam.request import Caller, Request
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.testing.execution_role import make_execution_role
from neargate.testing.front_door import ACCOUNT, REGION, ROOT, ZONES, FrontDoor, allowing, open_front_door
from neargate.testing.signing import json_headers, signed
from neargate.wire.sigv4 import SignedRequest

from .figures import Figure, Load, quantile

ROUNDS = 5
DECISIONS = 4_000
COMPILATIONS = 200
COMMAND = "python -m bench iam_decision"
CALLER_ADDRESS = "10.1.2.3"
REQUESTS = 80  # within the burst of the account's buckets
DEFINITION: dict[str, Any] = {
    "family": "web",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "web", "image": "web:1"}],
}
RUN_TASK: dict[str, Any] = {
    "cluster": "production",
    "taskDefinition": "web:1",
    "launchType": "FARGATE",
    "tags": [{"key": "team", "value": "none"}, {"key": "stage", "value": "test"}],
}
CALLER = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/al", user_id="AIDAEXAMPLEAL0000000")
KEYS = {
    **caller_keys(CALLER),
    "aws:sourceip": ("10.1.2.3",),
    "aws:principaltag/team": ("al-team",),
    "aws:requesttag/team": ("none",),
    "aws:tagkeys": ("team", "stage"),
    "ecs:cluster": (f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/production",),
}
TASK_DEFINITION = f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/web:1"


def measure() -> list[Figure]:
    first, second = (_document(end) for end in ("nothing-*", "prod*"))
    grants = Grants(identity=(_attached("first", first), _attached("second", second)))
    asked = {
        "allowed": Request(action="ecs:RunTask", resource=TASK_DEFINITION, keys=KEYS),
        "denied": Request(
            action="ecs:RunTask", resource=TASK_DEFINITION, keys={**KEYS, "aws:sourceip": ("192.0.2.1",)}
        ),
        "nothing_allows": Request(action="iam:CreateUser", resource=f"arn:aws:iam::{ACCOUNT}:user/x", keys=KEYS),
    }
    assert [decide(request, CALLER, grants).allowed for request in asked.values()] == [True, False, False]
    with Load() as load:
        rounds = {name: [_decisions_us(request, grants) for _ in range(ROUNDS)] for name, request in asked.items()}
        compiling = [_compiling_us(first) for _ in range(ROUNDS)]
    p50 = {name: [quantile(taken, 0.5) for taken in series] for name, series in rounds.items()}
    p99 = median(quantile(taken, 0.99) for taken in rounds["allowed"])
    return [
        _share(first, second),
        Figure(
            name="iam_decision_p50",
            value=median(p50["allowed"]),
            unit="us",
            against="nothing: an absolute bound; 2 policies of 8 statements, the last one allows",
            goal="<= 50",
            samples=p50,
            notes=(
                f"p99 {p99:.1f} us; denied p50 {median(p50['denied']):.1f} us,"
                f" where nothing allows {median(p50['nothing_allows']):.1f} us",
                f"compiling one of the policies: {median(compiling):.0f} us, once per version",
            ),
            load=load.busy,
            command=COMMAND,
        ),
    ]


def _share(*documents: str) -> Figure:
    """What leave costs a RunTask with tags and a role to pass: three actions, each decided by both policies."""
    with asyncio.Runner() as runner:
        door = runner.run(open_front_door())
        with Load() as load:
            requests, leaves = runner.run(_requests_and_leaves_us(door, documents))
    share = 100 * median(leaves) / median(requests)
    return Figure(
        name="iam_run_task_leave_p50",
        value=median(leaves),
        unit="us",
        against="the whole request: signature, parser, leave, the launch recorded in memory, answer",
        samples={"request_us": requests, "leave_us": leaves},
        notes=(
            f"request p50 {median(requests):.0f} us; leave is {share:.1f} % of it"
            " (RunTask, TagResource, PassRole; 2 policies of 8 statements)",
        ),
        load=load.busy,
        command=COMMAND,
    )


async def _requests_and_leaves_us(door: FrontDoor, documents: Sequence[str]) -> tuple[list[float], list[float]]:
    """In turns: the request as it comes, then the same questions alone, asked as the operation asks them."""
    zone, room = ZONES[0][0], HostCapacity(cpu_units=1 << 20, memory_mib=1 << 22, disk_gib=1 << 20)
    capacity = door.region.capacities[zone]
    await capacity.register_host(HostFacts(host_id="h", boot_id="b", capacity=room, sandbox="simulated", zone=zone))
    await capacity.host_seen("h", True)
    await door.call(ROOT, "ecs", "CreateCluster", {"clusterName": "production"})
    await make_execution_role(door.identity, door.world, ACCOUNT)
    role = f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"
    await door.call(ROOT, "ecs", "RegisterTaskDefinition", {**DEFINITION, "executionRoleArn": role})
    al = await door.user("al", allowing("ecs:TagResource", "iam:PassRole"), tags={"team": "al-team"})
    for number, document in enumerate(documents):
        named = {"PolicyName": f"p{number}", "PolicyDocument": document}
        policy = (await door.call(ROOT, "iam", "CreatePolicy", named)).body["Policy"]["Arn"]
        await door.call(ROOT, "iam", "AttachUserPolicy", {"UserName": "al", "PolicyArn": policy})
    services = door.region.services
    root = Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret)
    keys = Principals(root, services.identity, services.sessions)
    principal = keys.principal(al.key, None, door.world.now())
    subnet = services.network.subnets(ACCOUNT)[0].view.subnet_id
    params = RUN_TASK | {"networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}}}
    body = json.dumps(params).encode()
    request = SignedRequest(method="POST", path=b"/", query=b"", headers=json_headers("ecs", "RunTask"), body=body)
    headers = signed(request, key=al.key, secret=al.secret, region=REGION, service="ecs", now=door.world.now())
    requests, leaves = [], []
    for _ in range(REQUESTS):
        begun = time.perf_counter_ns()
        answer = await door.region.frontend.handle("POST", b"/", b"", headers, body, CALLER_ADDRESS)
        requests.append((time.perf_counter_ns() - begun) / 1000)
        assert answer.status == 200 and b"PROVISIONING" in answer.body, answer
        begun = time.perf_counter_ns()
        call = Call(
            service="ecs",
            operation="RunTask",
            protocol="json",
            region=REGION,
            principal=principal,
            request_id="r",
            now=door.world.now(),
            source_ip=CALLER_ADDRESS,
        )
        revision = services.task_definitions.find(ACCOUNT, "web", 1)
        resource = definition_resource(call, "web", 1, revision)
        authorize(call, "ecs:RunTask", [resource], running_keys(call, "production", params))
        authorize_tagging(call, params, call.arn("ecs", "task/production/*"))
        authorize_roles(call, services, [role])
        leaves.append((time.perf_counter_ns() - begun) / 1000)
    return requests, leaves


def _decisions_us(request: Request, grants: Grants) -> list[float]:
    taken = []
    for _ in range(DECISIONS):
        begun = time.perf_counter_ns()
        decide(request, CALLER, grants)
        taken.append((time.perf_counter_ns() - begun) / 1000)
    return taken


def _compiling_us(document: str) -> float:
    begun = time.perf_counter_ns()
    for _ in range(COMPILATIONS):
        compile_policy(document, kind=PolicyKind.IDENTITY)
    return (time.perf_counter_ns() - begun) / 1000 / COMPILATIONS


def _attached(name: str, document: str) -> Attached:
    policy: Policy = compile_policy(document, kind=PolicyKind.IDENTITY)
    return Attached(name=name, policy=policy)


def _document(cluster: str) -> str:
    """Six statements that concern the action and fail late, a Deny with a condition, and one that may allow."""
    statements: list[dict[str, Any]] = [
        {
            "Sid": f"team{number}",
            "Effect": "Allow",
            "Action": ["ecs:Run*", "ecs:Describe*", f"ecr:BatchGet{number}"],
            "Resource": [
                f"arn:aws:ecs:*:{ACCOUNT}:task-definition/*",
                f"arn:aws:ecs:*:{ACCOUNT}:task/${{aws:username}}/*",
            ],
            "Condition": {
                "StringLike": {"aws:PrincipalTag/team": "${aws:username}-*"},
                "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "stage"]},
                "StringEquals": {"aws:RequestTag/team": [f"a{number}", f"b{number}"]},
            },
        }
        for number in range(6)
    ]
    statements.append(
        {
            "Sid": "inside",
            "Effect": "Deny",
            "Action": "ecs:*",
            "Resource": "*",
            "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}},
        }
    )
    statements.append(
        {
            "Sid": "cluster",
            "Effect": "Allow",
            "Action": "ecs:RunTask",
            "Resource": "*",
            "Condition": {"ArnLike": {"ecs:cluster": f"arn:aws:ecs:*:{ACCOUNT}:cluster/{cluster}"}},
        }
    )
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
