"""Two evaluators, written apart from each other, give the same answer to random questions about random policies."""

import importlib.util
import json
import os
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neargate.iam.document import Policy, PolicyKind, compile_policy
from neargate.iam.evaluate import decide
from neargate.iam.policy import Attached, Grants
from neargate.iam.request import Caller, Request

_spec = importlib.util.spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
assert _spec is not None and _spec.loader is not None
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)

HOME, AWAY = "123456789012", "210987654321"
ROLE = f"arn:aws:iam::{HOME}:role/ops/deployer"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/deployer/ci"
USER = f"arn:aws:iam::{HOME}:user/al"
OIDC = f"arn:aws:iam::{HOME}:oidc-provider/tokens.example.com"

CALLERS = (
    Caller(account=HOME, arn=USER, user_id="AIDAEXAMPLEAL0000000"),
    Caller(account=HOME, arn=SESSION, user_id="AROAEXAMPLEDEP000000:ci", role_arn=ROLE),
    Caller(account=AWAY, arn=f"arn:aws:iam::{AWAY}:user/al", user_id="AIDAEXAMPLEAWAY00000"),
    Caller(account="", arn="", user_id="", service="ecs-tasks.amazonaws.com"),
    Caller(account="", arn="", user_id="", federated=OIDC),
)
ACTIONS = ["ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks", "iam:PassRole", "sts:AssumeRole"]
ACTION_PATTERNS = [
    "*",
    "ecs:*",
    "ECS:run*",
    "ecs:*Task*",
    "ecs:?topTask",
    "iam:PassRole",
    "*:*",
    "ecs:Describe*",
    "sts:*",
]
RESOURCES = [
    f"arn:aws:ecs:us-east-1:{HOME}:task/prod/1",
    f"arn:aws:ecs:us-east-1:{HOME}:task/al/2",
    f"arn:aws:ecs:us-east-1:{AWAY}:task/prod/1",
    ROLE,
    "*",
]
RESOURCE_PATTERNS = [
    "*",
    "arn:aws:ecs:*:*:task/*",
    f"arn:aws:ecs:us-east-1:{HOME}:task/prod/?",
    "arn:aws:ecs:*/1",
    "arn:aws:ecs:*:*:task/${aws:username}/*",
    "arn:aws:ecs:*:*:task/${aws:PrincipalTag/team, 'prod'}/*",
    "arn:aws:ecs:*:*:task/${*}/*",
    ROLE,
]
# Small alphabets: values have to meet often.
TEXTS = st.sampled_from(["", "a", "A", "prod", "proud", "al", "p*d", "${", "*"]).filter(lambda text: text != "${")
STRING_PATTERNS = st.sampled_from(
    [
        "a",
        "A",
        "p*",
        "p?od",
        "",
        "*",
        "${aws:username}",
        "x${aws:username}",
        "${*}",
        "${aws:PrincipalTag/team, 'a'}",
        "p*d",
    ]
)
ARNS = st.sampled_from([*RESOURCES, "no arn"])
ARN_PATTERNS = st.sampled_from([*RESOURCE_PATTERNS, "arn:*:ecs:*:*:*", "arn:aws:ecs:us-*:*", "${aws:SourceArn}"])
NUMBERS = st.sampled_from(["1", "2", "2.0", "10", "-3", "1.5"])
DATES = st.sampled_from(
    ["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "1767225600", "2025-06-30", "2026-01-01T00:00:00.5Z"]
)
DATES_ZONED = DATES.map(lambda text: text + "T00:00:00Z" if len(text) == 10 and "-" in text else text)
ADDRESSES = st.sampled_from(["10.0.0.1", "10.1.2.3", "192.0.2.7", "2001:db8::1", "2001:db8:1::1"])
NETWORKS = st.sampled_from(["10.0.0.0/8", "10.0.0.1", "192.0.2.0/24", "2001:db8::/48", "0.0.0.0/0"])
BOOLS = st.sampled_from(["true", "false", "True"])
BINARIES = st.sampled_from(["YQ==", "Yg=="])

# key: (values in requests, names of operators, values in policies)
FAMILIES: dict[str, tuple[Any, list[str], Any]] = {
    "aws:RequestTag/team": (
        TEXTS,
        [
            *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
            *("StringLike", "StringNotLike"),
        ],
        STRING_PATTERNS,
    ),
    "aws:SourceArn": (ARNS, ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"], ARN_PATTERNS),
    "ecs:task-cpu": (
        NUMBERS,
        [
            f"Numeric{name}"
            for name in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
        ],
        NUMBERS,
    ),
    "aws:CurrentTime": (
        DATES_ZONED,
        [
            f"Date{name}"
            for name in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
        ],
        DATES_ZONED,
    ),
    "aws:SourceIp": (ADDRESSES, ["IpAddress", "NotIpAddress"], NETWORKS),
    "aws:SecureTransport": (BOOLS, ["Bool"], BOOLS),
    "ecs:blob": (BINARIES, ["BinaryEquals"], BINARIES),
}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        key = draw(st.sampled_from(sorted(FAMILIES)))
        _, operators, values = FAMILIES[key]
        if draw(st.integers(0, 7)) == 0:
            operator, wanted = "Null", draw(st.lists(st.sampled_from(["true", "false"]), min_size=1, max_size=2))
        else:
            operator = (
                draw(st.sampled_from(["", "", "ForAnyValue:", "ForAllValues:"]))
                + draw(st.sampled_from(operators))
                + draw(st.sampled_from(["", "", "IfExists"]))
            )
            wanted = draw(st.lists(values, min_size=0, max_size=3))
        found.setdefault(operator, {})[key] = wanted
    return found


PRINCIPALS = st.one_of(
    st.just("*"),
    st.dictionaries(
        st.just("AWS"),
        st.lists(
            st.sampled_from(
                [
                    USER,
                    SESSION,
                    SESSION + "2",
                    ROLE,
                    HOME,
                    AWAY,
                    f"arn:aws:iam::{HOME}:root",
                    f"arn:aws:iam::{AWAY}:user/al",
                ]
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
    ),
    st.just({"Service": "ecs-tasks.amazonaws.com", "AWS": USER}),
    st.just({"Federated": OIDC}),
)


@st.composite
def documents(draw: st.DrawFn, kind: PolicyKind) -> dict[str, Any]:
    statements = []
    for number in range(draw(st.integers(1, 3))):
        effect = draw(st.sampled_from(["Allow", "Allow", "Allow", "Deny"]))
        statement: dict[str, Any] = {"Sid": f"s{number}", "Effect": effect}
        if kind is PolicyKind.TRUST:
            statement["Action"] = "sts:AssumeRole"
            statement["Principal"] = draw(PRINCIPALS)
        else:
            statement[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(
                st.lists(st.sampled_from(ACTION_PATTERNS), min_size=1, max_size=2)
            )
            statement[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(
                st.lists(st.sampled_from(RESOURCE_PATTERNS), min_size=1, max_size=2)
            )
        if kind is PolicyKind.RESOURCE:
            negated = effect == "Deny" and draw(st.booleans())
            statement["NotPrincipal" if negated else "Principal"] = draw(PRINCIPALS)
        statement["Condition"] = draw(conditions())
        statements.append(statement)
    old = kind in (PolicyKind.RESOURCE, PolicyKind.TRUST) and draw(st.booleans())
    return {"Version": "2008-10-17" if old else "2012-10-17", "Statement": statements}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    keys = {}
    for key in draw(st.lists(st.sampled_from(sorted(FAMILIES)), unique=True, max_size=5)):
        keys[key.lower()] = tuple(draw(st.lists(FAMILIES[key][0], min_size=0, max_size=2)))
    for key, value in (("aws:username", "al"), ("aws:username", "a*"), ("aws:principaltag/team", "prod")):
        if draw(st.booleans()):
            keys[key] = (value,) if draw(st.integers(0, 5)) else (value, value)
    return Request(action=draw(st.sampled_from(ACTIONS)), resource=draw(st.sampled_from(RESOURCES)), keys=keys)


def compiled(document: dict[str, Any], kind: PolicyKind) -> Policy:
    return compile_policy(json.dumps(document), kind=kind)


def attached(name: str, documents: list[dict[str, Any]], kind: PolicyKind) -> tuple[Attached, ...]:
    return tuple(Attached(name=name, policy=compiled(document, kind)) for document in documents)


def maybe(strategy: Any) -> Any:
    return st.one_of(st.none(), strategy)


QUESTIONS_A_POLICY = 4  # requests, each by all callers: drawing policies is what takes time


@settings(
    # A few thousand questions; more where somebody has time for them.
    max_examples=int(os.environ.get("NEARGATE_IAM_EXAMPLES", "300")),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    asked=st.lists(requests(), min_size=1, max_size=QUESTIONS_A_POLICY),
    identity=st.lists(documents(PolicyKind.IDENTITY), max_size=2),
    boundary=maybe(documents(PolicyKind.BOUNDARY)),
    session=maybe(st.lists(documents(PolicyKind.SESSION), max_size=1)),
    resource=maybe(
        st.sampled_from([PolicyKind.RESOURCE, PolicyKind.TRUST]).flatmap(
            lambda kind: st.tuples(st.just(kind), documents(kind))
        )
    ),
)
def test_the_two_evaluators_agree(
    asked: list[Request],
    identity: list[dict[str, Any]],
    boundary: dict[str, Any] | None,
    session: list[dict[str, Any]] | None,
    resource: tuple[PolicyKind, dict[str, Any]] | None,
) -> None:
    grants = Grants(
        identity=attached("identity", identity, PolicyKind.IDENTITY),
        boundary=attached("boundary", [boundary], PolicyKind.BOUNDARY)[0] if boundary else None,
        session=attached("session", session, PolicyKind.SESSION) if session is not None else None,
    )
    resource_policy = compiled(resource[1], resource[0]) if resource else None
    for request, caller in product(asked, CALLERS):
        decision = decide(request, caller, grants, resource_policy)
        answer = naive.ask(
            request,
            caller,
            identity=identity,
            boundary=boundary,
            session=session,
            resource_policy=resource[1] if resource else None,
            trust=resource is not None and resource[0] is PolicyKind.TRUST,
        )
        first = "Allow" if decision.allowed else "ExplicitDeny" if decision.explicit else "ImplicitDeny"
        assert (first, "" if decision.allowed else decision.layer.value) == answer, (request, caller)
