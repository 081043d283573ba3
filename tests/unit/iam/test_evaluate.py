"""Decisions as AWS's user guide documents them, and the sentences that refuse."""

from typing import Any

import pytest

from neargate.iam.document import Policy, PolicyKind, compile_policy
from neargate.iam.evaluate import decide
from neargate.iam.managed import MANAGED_POLICIES, compiled
from neargate.iam.policy import Attached, Grants
from neargate.iam.principals import caller_keys
from neargate.iam.request import Caller, Decision, Keys, Layer, Request
from neargate.iam.words import denial

HOME, AWAY = "123456789012", "210987654321"
ROOT = f"arn:aws:iam::{HOME}:root"
ROLE = f"arn:aws:iam::{HOME}:role/ops/deployer"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/deployer/ci"
SECRET = f"arn:aws:secretsmanager:us-east-1:{HOME}:secret:db-AbCdEf"
READ = "secretsmanager:GetSecretValue"

AL = Caller(account=HOME, arn=f"arn:aws:iam::{HOME}:user/team/al", user_id="AIDAEXAMPLEAL0000000")
DEPLOYER = Caller(account=HOME, arn=SESSION, user_id="AROAEXAMPLEDEP000000:ci", role_arn=ROLE)
ADMIN = Caller(account=HOME, arn=ROOT, user_id=HOME)
STRANGER = Caller(account=AWAY, arn=f"arn:aws:iam::{AWAY}:user/eve", user_id="AIDAEXAMPLEEVE000000")
TASKS = Caller(account="", arn="", user_id="", service="ecs-tasks.amazonaws.com")

ALLOW: dict[str, Any] = {"Sid": "Yes", "Effect": "Allow", "Action": "*", "Resource": "*"}
DENY: dict[str, Any] = {"Sid": "No", "Effect": "Deny", "Action": "*", "Resource": "*"}
OTHER: dict[str, Any] = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}


def policy(*statements: dict[str, Any], kind: PolicyKind = PolicyKind.IDENTITY) -> Policy:
    return compile_policy({"Version": "2012-10-17", "Statement": list(statements)}, kind=kind)


def attached(*statements: dict[str, Any]) -> tuple[Attached, ...]:
    return (Attached(name="p", policy=policy(*statements)),) if statements else ()


def grants(
    *identity: dict[str, Any], boundary: dict[str, Any] | None = None, session: dict[str, Any] | None = None
) -> Grants:
    return Grants(
        identity=attached(*identity),
        boundary=attached(boundary)[0] if boundary else None,
        session=attached(session) if session else None,
    )


def resource_policy(principal: Any, effect: str = "Allow", **members: Any) -> Policy:
    statement = {"Effect": effect, "Action": READ, "Resource": "*", "Principal": principal} | members
    return policy({k: v for k, v in statement.items() if v is not None}, kind=PolicyKind.RESOURCE)


def trust(principal: Any, **members: Any) -> Policy:
    return policy(
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal} | members, kind=PolicyKind.TRUST
    )


def ask(
    caller: Caller,
    own: Grants | None,
    theirs: Policy | None = None,
    *,
    action: str = READ,
    resource: str = SECRET,
    keys: Keys | None = None,
) -> Decision:
    return decide(Request(action=action, resource=resource, keys=keys or {}), caller, own, theirs)


def test_nothing_is_allowed_by_default() -> None:
    assert ask(AL, grants()) == Decision(allowed=False, layer=Layer.IDENTITY)
    assert ask(AL, grants(ALLOW)) == Decision(allowed=True, policy="p", statement="Yes")


@pytest.mark.parametrize(
    ("own", "theirs", "layer"),
    [
        (grants(ALLOW, DENY), None, Layer.IDENTITY),
        (grants(ALLOW, boundary=DENY), None, Layer.BOUNDARY),
        (grants(ALLOW, session=DENY), None, Layer.SESSION),
        (grants(ALLOW), resource_policy("*", "Deny"), Layer.RESOURCE),
        (grants(ALLOW), resource_policy({"AWS": HOME}, "Deny"), Layer.RESOURCE),
        (grants(ALLOW), resource_policy({"AWS": ROLE}, "Deny"), Layer.RESOURCE),
    ],
)
def test_a_deny_anywhere_wins(own: Grants, theirs: Policy | None, layer: Layer) -> None:
    decision = ask(DEPLOYER, own, theirs)
    assert not decision.allowed and decision.explicit and decision.layer is layer


# The guide's table: who is granted by the resource's policy, what boundary and session policy leave out, the outcome.
@pytest.mark.parametrize(
    ("caller", "principal", "own", "refused_by"),
    [
        (AL, AL.arn, grants(), None),
        (AL, AL.arn, grants(boundary=OTHER), None),
        (AL, AL.user_id, grants(boundary=OTHER), None),
        (AL, HOME, grants(), Layer.IDENTITY),
        (AL, HOME, grants(ALLOW, boundary=OTHER), Layer.BOUNDARY),
        (AL, STRANGER.arn, grants(), Layer.IDENTITY),
        (DEPLOYER, SESSION, grants(boundary=OTHER, session=OTHER), None),
        (DEPLOYER, ROLE, grants(), None),
        (DEPLOYER, "AROAEXAMPLEDEP000000", grants(boundary=ALLOW), None),
        (DEPLOYER, ROLE, grants(boundary=OTHER), Layer.BOUNDARY),
        (DEPLOYER, ROLE, grants(session=OTHER), Layer.SESSION),
        (DEPLOYER, ROLE, grants(boundary=ALLOW, session=ALLOW), None),
        (DEPLOYER, SESSION + "2", grants(), Layer.IDENTITY),
        (DEPLOYER, "*", grants(boundary=OTHER, session=OTHER), None),
        (STRANGER, "*", grants(), Layer.IDENTITY),
        (STRANGER, STRANGER.arn, grants(), Layer.IDENTITY),
        (STRANGER, STRANGER.arn, grants(ALLOW), None),
        (STRANGER, AWAY, grants(ALLOW), None),
        (STRANGER, AWAY, grants(ALLOW, boundary=OTHER), Layer.BOUNDARY),
        (STRANGER, HOME, grants(ALLOW), Layer.RESOURCE),
    ],
)
def test_grants_of_the_resource(caller: Caller, principal: str, own: Grants, refused_by: Layer | None) -> None:
    decision = ask(caller, own, resource_policy({"AWS": principal}))
    assert decision.allowed is (refused_by is None)
    assert decision.explicit is False
    if refused_by is not None:
        assert decision.layer is refused_by


def test_another_accounts_resource_without_a_policy_is_out_of_reach() -> None:
    assert ask(STRANGER, grants(ALLOW)) == Decision(allowed=False, layer=Layer.RESOURCE)
    assert ask(STRANGER, None) == Decision(allowed=False, layer=Layer.RESOURCE)
    bucket = Request(action="s3:GetObject", resource="arn:aws:s3:::b/x", resource_account=HOME)
    assert not decide(bucket, STRANGER, grants(ALLOW)).allowed
    assert decide(bucket, AL, grants(ALLOW)).allowed


def test_the_accounts_administrator_is_limited_by_resource_policies_only() -> None:
    assert ask(ADMIN, None).allowed
    assert ask(ADMIN, None, resource_policy({"AWS": HOME}, "Deny")).explicit
    assert not ask(ADMIN, None, action="sts:AssumeRole", resource=ROLE, theirs=trust({"AWS": AL.arn})).allowed


def test_a_boundary_and_a_session_policy_only_limit() -> None:
    assert not ask(AL, grants(boundary=ALLOW)).allowed
    assert not ask(DEPLOYER, grants(session=ALLOW)).allowed
    assert not ask(DEPLOYER, Grants(identity=attached(ALLOW), session=())).allowed
    assert ask(DEPLOYER, grants(ALLOW, boundary=ALLOW, session=ALLOW)).allowed


@pytest.mark.parametrize(
    ("caller", "principal", "own", "allowed"),
    [
        (AL, {"AWS": AL.arn}, grants(), True),
        (AL, {"AWS": ROOT}, grants(), False),
        (AL, {"AWS": ROOT}, grants(ALLOW), True),
        (AL, {"AWS": STRANGER.arn}, grants(ALLOW), False),
        (DEPLOYER, {"AWS": ROLE}, grants(), True),
        (DEPLOYER, {"AWS": ROLE}, grants(session=OTHER), False),
        (STRANGER, {"AWS": AWAY}, grants(), False),
        (STRANGER, {"AWS": AWAY}, grants(ALLOW), True),
        (TASKS, {"Service": "ecs-tasks.amazonaws.com"}, grants(), True),
        (TASKS, {"Service": "ecs.amazonaws.com"}, grants(), False),
        (TASKS, "*", grants(), False),
    ],
)
def test_a_trust_policy_has_to_allow_by_itself(caller: Caller, principal: Any, own: Grants, allowed: bool) -> None:
    assert ask(caller, own, trust(principal), action="sts:AssumeRole", resource=ROLE).allowed is allowed


def test_web_identities_are_trusted_by_provider_and_claims() -> None:
    provider = f"arn:aws:iam::{HOME}:oidc-provider/token.actions.githubusercontent.com"
    sub = "token.actions.githubusercontent.com:sub"
    trusting = trust(
        {"Federated": provider},
        Action="sts:AssumeRoleWithWebIdentity",
        Condition={"StringLike": {sub: "repo:acme/web:*"}},
    )
    caller = Caller(account="", arn="", user_id="", federated=provider)
    action = "sts:AssumeRoleWithWebIdentity"
    allowed = ask(caller, grants(), trusting, action=action, resource=ROLE, keys={sub: ("repo:acme/web:ref:x",)})
    refused = ask(caller, grants(), trusting, action=action, resource=ROLE, keys={sub: ("repo:evil/web:ref:x",)})
    assert allowed.allowed
    assert refused == Decision(allowed=False, layer=Layer.TRUST)


@pytest.mark.parametrize(
    ("caller", "listed", "own", "spared"),
    [
        (AL, [AL.arn, ROOT], grants(ALLOW), True),
        (AL, [AL.arn], grants(ALLOW), False),
        (AL, [ROOT], grants(ALLOW), False),
        (AL, [AL.arn, ROOT], grants(ALLOW, boundary=ALLOW), False),
        (DEPLOYER, [ROLE, ROOT], grants(ALLOW), True),
        (DEPLOYER, [SESSION, ROLE, ROOT], grants(ALLOW), True),
        (DEPLOYER, [SESSION + "2", ROLE, ROOT], grants(ALLOW), False),
        (DEPLOYER, [SESSION, ROOT], grants(ALLOW), False),
        (DEPLOYER, [ROLE], grants(ALLOW), False),
    ],
)
def test_not_principal_spares_those_listed_with_their_account(
    caller: Caller, listed: list[str], own: Grants, spared: bool
) -> None:
    theirs = resource_policy(None, "Deny", NotPrincipal={"AWS": listed})
    assert ask(caller, own, theirs).allowed is spared


def test_services_are_denied_with_everybody_and_spared_by_name() -> None:
    yes = {"Effect": "Allow", "Action": READ, "Principal": {"Service": TASKS.service}}
    for deny, spared in (
        ({"Principal": "*"}, False),
        ({"NotPrincipal": {"Service": TASKS.service}}, True),
        ({"NotPrincipal": {"Service": "ec2.amazonaws.com"}}, False),
    ):
        theirs = policy(yes, {"Effect": "Deny", "Action": READ} | deny, kind=PolicyKind.RESOURCE)
        assert ask(TASKS, grants(), theirs).allowed is spared


@pytest.mark.parametrize(
    ("members", "action", "resource", "allowed"),
    [
        ({"Action": "ecs:Describe*"}, "ecs:DescribeTasks", "*", True),
        ({"Action": "ECS:describetasks"}, "ecs:DescribeTasks", "*", True),
        ({"Action": "ecs:?escribeTasks"}, "ecs:DescribeTasks", "*", True),
        ({"Action": "ecs:Describe*"}, "ecs:RunTask", "*", False),
        ({"NotAction": "iam:*"}, "ecs:RunTask", "*", True),
        ({"NotAction": ["iam:*", "ecs:Run*"]}, "ecs:RunTask", "*", False),
        ({"Resource": "arn:aws:ecs:*:*:task/prod/*"}, "ecs:StopTask", "arn:aws:ecs:eu-west-1:1:task/prod/a/b", True),
        ({"Resource": "arn:aws:ecs:*/prod/*"}, "ecs:StopTask", "arn:aws:ecs:eu-west-1:1:task/prod/a", True),
        ({"Resource": "arn:aws:ecs:*:*:task/Prod/*"}, "ecs:StopTask", "arn:aws:ecs:eu-west-1:1:task/prod/a", False),
        ({"Resource": "arn:aws:ecs:*:*:task/*"}, "ecs:ListTasks", "*", False),
        (
            {"Resource": None, "NotResource": "arn:aws:ecs:*:*:task/prod/*"},
            "ecs:StopTask",
            "arn:aws:ecs:e:1:task/x/1",
            True,
        ),
        (
            {"Resource": None, "NotResource": "arn:aws:ecs:*:*:task/prod/*"},
            "ecs:StopTask",
            "arn:aws:ecs:e:1:task/prod/1",
            False,
        ),
    ],
)
def test_actions_and_resources(members: dict[str, Any], action: str, resource: str, allowed: bool) -> None:
    statement = {"Effect": "Allow", "Resource": "*"} | ({} if "NotAction" in members else {"Action": "*"}) | members
    own = grants({name: value for name, value in statement.items() if value is not None})
    assert ask(AL, own, action=action, resource=resource).allowed is allowed


def test_resources_with_variables() -> None:
    mine = {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:iam::*:user/*/${aws:username}"}
    keys = caller_keys(AL)
    assert ask(AL, grants(mine), action="iam:CreateAccessKey", resource=AL.arn, keys=keys).allowed
    bo = AL.arn.replace("/al", "/bo")
    assert not ask(AL, grants(mine), action="iam:CreateAccessKey", resource=bo, keys=keys).allowed
    assert not ask(AL, grants(mine), action="iam:CreateAccessKey", resource=AL.arn).allowed


def test_not_resource_with_a_variable_without_value_never_reaches_further() -> None:
    outside = {"Action": "*", "NotResource": "arn:aws:s3:::home/${aws:username}/*"}
    assert not ask(AL, grants({"Effect": "Allow"} | outside)).allowed
    assert not ask(AL, grants(ALLOW, {"Effect": "Deny"} | outside)).allowed
    keys = caller_keys(AL)
    assert ask(AL, grants({"Effect": "Allow"} | outside), keys=keys).allowed


def test_tags_decide_who_may_stop_what() -> None:
    """The guide's ABAC tutorial: the principal's tag has to equal the resource's."""
    own = grants(
        ALLOW
        | {"Condition": {"StringEquals": {"aws:ResourceTag/project": "${aws:PrincipalTag/project}"}}}
        | {"Action": "ecs:StopTask"}
    )
    for mine, theirs, allowed in (
        ("red", "red", True),
        ("red", "blue", False),
        (None, "red", False),
        (None, None, False),
    ):
        keys: dict[str, tuple[str, ...]] = {"aws:resourcetag/project": (theirs,)} if theirs else {}
        keys |= {"aws:principaltag/project": (mine,)} if mine else {}
        assert ask(AL, own, action="ecs:StopTask", keys=keys).allowed is allowed


def test_keys_that_follow_from_the_caller() -> None:
    assert caller_keys(AL)["aws:username"] == ("al",)
    assert caller_keys(AL)["aws:principalarn"] == (AL.arn,)
    session = caller_keys(DEPLOYER)
    assert session["aws:principalarn"] == (ROLE,) and session["aws:principaltype"] == ("AssumedRole",)
    assert session["aws:userid"] == ("AROAEXAMPLEDEP000000:ci",) and "aws:username" not in session
    assert caller_keys(ADMIN)["aws:principaltype"] == ("Account",)
    assert caller_keys(TASKS)["aws:principalservicename"] == ("ecs-tasks.amazonaws.com",)


@pytest.mark.parametrize(
    ("layer", "explicit", "end"),
    [
        (Layer.IDENTITY, False, f"on resource: {SECRET} because no identity-based policy allows the {READ} action"),
        (Layer.IDENTITY, True, f"on resource: {SECRET} with an explicit deny in an identity-based policy"),
        (Layer.RESOURCE, False, f"on resource: {SECRET} because no resource-based policy allows the {READ} action"),
        (Layer.RESOURCE, True, f"on resource: {SECRET} with an explicit deny in a resource-based policy"),
        (Layer.BOUNDARY, False, f"on resource: {SECRET} because no permissions boundary allows the {READ} action"),
        (Layer.BOUNDARY, True, f"on resource: {SECRET} with an explicit deny in a permissions boundary"),
        (Layer.SESSION, False, f"on resource: {SECRET} because no session policy allows the {READ} action"),
        (Layer.SESSION, True, f"on resource: {SECRET} with an explicit deny in a session policy"),
        (Layer.TRUST, False, f"because no role trust policy allows the {READ} action"),
        (Layer.TRUST, True, "with an explicit deny in the role trust policy"),
    ],
)
def test_the_words_of_a_denial(layer: Layer, explicit: bool, end: str) -> None:
    decision = Decision(allowed=False, explicit=explicit, layer=layer)
    told = f"User: {AL.arn} is not authorized to perform: {READ} {end}"
    assert denial(AL.arn, READ, SECRET, decision) == told


def test_sts_says_less() -> None:
    """Of AssumeRole's refusal neither whose policy it is, of what bears on no role no resource. A deny is told."""
    for layer in (Layer.IDENTITY, Layer.TRUST, Layer.SESSION):
        for action in ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"):
            implicit = Decision(allowed=False, explicit=False, layer=layer)
            told = f"User: {AL.arn} is not authorized to perform: {action} on resource: {SECRET}"
            assert denial(AL.arn, action, SECRET, implicit) == told
    nothing = Decision(allowed=False, explicit=False, layer=Layer.IDENTITY)
    assert denial(AL.arn, "sts:GetAccessKeyInfo", "*", nothing) == (
        f"User: {AL.arn} is not authorized to perform: sts:GetAccessKeyInfo because no identity-based policy allows the"
        " sts:GetAccessKeyInfo action"
    )
    denied = Decision(allowed=False, explicit=True, layer=Layer.IDENTITY)
    assert denial(AL.arn, "sts:AssumeRole", SECRET, denied).endswith(
        f" on resource: {SECRET} with an explicit deny in an identity-based policy"
    )


@pytest.mark.parametrize("arn", sorted(MANAGED_POLICIES))
def test_a_managed_policy_compiles_and_keeps_what_others_may_not(arn: str) -> None:
    assert compiled(arn).statements
    own = Grants(identity=(Attached(name=arn, policy=compiled(arn)),))
    deletes = ask(AL, own, action="iam:DeleteUser", resource=AL.arn).allowed
    assert deletes is (MANAGED_POLICIES[arn].name in ("AdministratorAccess", "IAMFullAccess"))


def managed(name: str) -> Grants:
    policy = next(policy for policy in MANAGED_POLICIES.values() if policy.name == name)
    return Grants(identity=(Attached(name=policy.arn, policy=compiled(policy.arn)),))


@pytest.mark.parametrize(
    ("name", "action", "keys", "allowed"),
    [
        ("ReadOnlyAccess", "ecs:DescribeTasks", {}, True),
        ("ReadOnlyAccess", "ecs:RunTask", {}, False),
        ("ReadOnlyAccess", READ, {}, False),
        ("PowerUserAccess", "ecs:RunTask", {}, True),
        ("PowerUserAccess", "iam:PassRole", {}, False),
        ("AmazonECSTaskExecutionRolePolicy", "logs:CreateLogStream", {}, True),
        ("AmazonECSTaskExecutionRolePolicy", "logs:CreateLogGroup", {}, False),
        ("AmazonECS_FullAccess", "ecs:RunTask", {}, True),
        ("AmazonECS_FullAccess", "iam:PassRole", {"iam:passedtoservice": ("ecs-tasks.amazonaws.com",)}, True),
        ("AmazonECS_FullAccess", "iam:PassRole", {"iam:passedtoservice": ("lambda.amazonaws.com",)}, False),
        ("AmazonECS_FullAccess", "iam:PassRole", {}, False),
    ],
)
def test_what_managed_policies_are_attached_for(name: str, action: str, keys: Keys, allowed: bool) -> None:
    assert ask(AL, managed(name), action=action, keys=keys).allowed is allowed


def test_service_roles_have_their_paths() -> None:
    arns = {policy.name: policy.arn for policy in MANAGED_POLICIES.values()}
    prefix = "arn:aws:iam::aws:policy"
    assert arns["AdministratorAccess"] == f"{prefix}/AdministratorAccess"
    assert arns["AmazonECSTaskExecutionRolePolicy"] == f"{prefix}/service-role/AmazonECSTaskExecutionRolePolicy"
    assert arns["AmazonECSServiceRolePolicy"] == f"{prefix}/aws-service-role/AmazonECSServiceRolePolicy"


def test_the_memory_of_actions_is_bounded() -> None:
    known = policy(ALLOW)
    for number in range(3000):
        known.relevant(f"ecs:{number}")
    assert len(known._by_action) <= 1024
