"""What deciding costs a request: two policies of eight statements, with conditions, variables and a Deny to look at.

Pure computing, one thread. The policies are compiled once, as the registry does; a statement that allows comes last.
"""

import json
import time
from statistics import median
from typing import Any

from neargate.iam.document import Policy, PolicyKind, compile_policy
from neargate.iam.evaluate import decide
from neargate.iam.principals import caller_keys
from neargate.iam.request import Attached, Caller, Grants, Request

from .figures import Figure, Load, quantile

ROUNDS = 5
DECISIONS = 4_000
COMPILATIONS = 200
COMMAND = "python -m bench iam_decision"
ACCOUNT = "123456789012"
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
        )
    ]


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
