"""What IAM takes as a policy, and its sentence for what it does not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.iam.document import MalformedPolicy, PolicyKind, compile_policy

BUCKET = "arn:aws:s3:::example_bucket"
SYNTAX = "Syntax errors in policy."
LEGACY = "The policy failed legacy parsing"
ARN = 'Resource {} must be in ARN format or "*".'


def statement(**members: Any) -> dict[str, Any]:
    """An allowed statement with members changed (None: left out)."""
    merged = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": BUCKET} | members
    return {name: value for name, value in merged.items() if value is not None}


def document(*statements: Any, **members: Any) -> dict[str, Any]:
    merged = {"Version": "2012-10-17", "Statement": list(statements) or [statement()]} | members
    return {name: value for name, value in merged.items() if value is not None}


def refusal(policy: Any, kind: PolicyKind = PolicyKind.IDENTITY) -> str:
    with pytest.raises(MalformedPolicy) as refused:
        compile_policy(policy, kind=kind)
    return refused.value.message


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("no JSON", SYNTAX),
        ("", SYNTAX),
        ("[]", SYNTAX),
        (b"\xff", SYNTAX),
        (document(Version="2013-10-17"), SYNTAX),
        (document(Version=["2012-10-17"]), SYNTAX),
        (document(Version=None), "Policy document must be version 2012-10-17 or greater."),
        (document(Version="2008-10-17"), "Policy document must be version 2012-10-17 or greater."),
        (document(Statement=None), SYNTAX),
        (document(Statement=[]), SYNTAX),
        (document(Statement=["x"]), SYNTAX),
        (document(Extra="x"), SYNTAX),
        (document(Id=["x"]), SYNTAX),
        (document(statement(Extra="x")), SYNTAX),
        (document(statement(Effect=None)), SYNTAX),
        (document(statement(Effect="maybe")), SYNTAX),
        (document(statement(Effect="allow")), LEGACY),
        (document(statement(Sid={})), SYNTAX),
        (document(statement(Action={})), SYNTAX),
        (document(statement(Action=[[]])), SYNTAX),
        (document(statement(NotAction="s3:Get*")), SYNTAX),
        (document(statement(NotResource="*")), SYNTAX),
        (document(statement(Resource=["x", {}])), SYNTAX),
        (document(statement(Condition=[])), SYNTAX),
        (document(statement(Condition={"StringEquals": "x"})), SYNTAX),
        (document(statement(Condition={"StringEquals": {"a": {}}})), SYNTAX),
        (document(statement(Condition={"StringEqual": {"a": "x"}})), SYNTAX),
        (document(statement(Condition={"ForAnyValue::StringEquals": {"a": "x"}})), SYNTAX),
        (document(statement(Condition={"NullIfExists": {"a": "true"}})), SYNTAX),
        (document(statement(Condition={"DateLessThan": {"a": "soon"}})), LEGACY),
        (document(statement(Condition={"DateLessThan": {"a": "9223372036854775808"}})), LEGACY),
        (document(statement(Condition={"NumericEquals": {"a": "1e9"}})), LEGACY),
        (document(statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}})), LEGACY),
        (document(statement(Resource="arn:aws:s3:::${aws:username")), LEGACY),
        (document(statement(Action=None)), "Policy statement must contain actions."),
        (document(statement(Action=[])), "Policy statement must contain actions."),
        (document(statement(Resource=None)), "Policy statement must contain resources."),
        (document(statement(Resource=[])), "Policy statement must contain resources."),
        (
            document(statement(Action="invalid", Resource=None)),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (document(statement(Action="s3:List:x")), "Actions/Condition can contain only one colon."),
        (document(statement(Action="a a:List")), "Vendor a a is not valid"),
        (document(statement(Resource="nothing")), ARN.format("nothing")),
        (document(statement(Resource="")), ARN.format("")),
        (document(statement(Action="s:3:List", Resource="nothing")), ARN.format("nothing")),
        (
            document(statement(Resource="arn:error:s3:::b")),
            'Partition "error" is not valid for resource "arn:error:s3:::b".',
        ),
        (document(statement(Resource="a:b:c")), 'Partition "b" is not valid for resource "arn:b:c:*:*:*".'),
        (
            document(statement(Resource="arn:aws")),
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (
            document(statement(Resource="arn:aws:iam:us-east-1::user/x")),
            "IAM resource arn:aws:iam:us-east-1::user/x cannot contain region information.",
        ),
        (
            document(statement(Resource="arn:aws:s3:us-east-1::b")),
            "Resource arn:aws:s3:us-east-1::b can not contain region information.",
        ),
        (
            document(statement(Resource="arn:aws:iam:::b")),
            'IAM resource path must either be "*" or start with user/, federated-user/, role/, group/,'
            " instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/,"
            " report/, access-report/.",
        ),
        (document(statement(Resource="arn:aws:s3::b")), LEGACY),
        (document(statement(Resource="arn:aws::::b")), LEGACY),
        (
            document(statement(Sid="a"), statement(Sid="a", Action=None)),
            "Statement IDs (SID) in a single policy must be unique.",
        ),
        (
            document(statement(Sid="a-b")),
            "Statement IDs (SID) must be alpha-numeric."
            " Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ),
        (document(statement(Principal="*")), "Policy document should not specify a principal."),
    ],
)
def test_an_identity_policy_is_refused_in_iams_words(policy: Any, message: str) -> None:
    assert refusal(policy) == message


@pytest.mark.parametrize(
    "policy",
    [
        document(Statement=statement()),
        document(Id="any"),
        document(statement(Action="*", Resource="*")),
        document(statement(Action="iam: any thing ")),
        document(statement(Action=None, NotAction="s3:*", Resource=None, NotResource=["*"])),
        document(statement(Resource="arn:aws:iam::*:user/${aws:username}")),
        document(statement(Resource="arn:aws:iam::123456789012:*")),
        document(statement(Resource="arn:aws:fdsasf")),
        document(statement(Resource="arn:*:ecs:*:*:task/*")),
        document(statement(Condition={})),
        document(statement(Condition={"anything": {}})),
        document(statement(Condition={"StringEquals": {"a": []}})),
        document(statement(Condition={"ForAllValues:StringEqualsIfExists": {"aws:TagKeys": "a"}})),
        document(statement(Condition={"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"a": 5}})),
        document(statement(Condition={"DateLessThan": {"a": ["01T", "-292275054", "2016-12-13t2:00:00.593194+23"]}})),
        document(statement(), statement()),
    ],
)
def test_what_iam_takes_is_taken(policy: Any) -> None:
    assert compile_policy(json.dumps(policy), kind=PolicyKind.IDENTITY).statements


def test_a_name_that_occurs_twice_is_refused() -> None:
    text = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}'
    assert refusal(text) == SYNTAX


def test_hostile_sizes_are_refused_before_they_cost_anything() -> None:
    assert refusal("[" * 100_000) == SYNTAX
    assert refusal(" " * 200_000 + json.dumps(document())) == SYNTAX
    assert refusal(document(statement(Condition={"NumericEquals": {"a": "9" * 5000}}))) == LEGACY
    assert refusal('{"Version":' + "9" * 5000 + "}") == SYNTAX
    assert refusal('{"Version":"2012-10-17","Statement":NaN}') == SYNTAX


def test_the_size_counts_no_white_space() -> None:
    spaced, tight = json.dumps(document(), indent=4), json.dumps(document(), separators=(",", ":"))
    assert compile_policy(spaced, kind=PolicyKind.IDENTITY).size == len(tight)


def test_the_context_keys_of_a_policy() -> None:
    asked = {
        "StringEquals": {"aws:RequestTag/a": "${aws:username}", "AWS:requesttag/A": "x"},
        "Null": {"ecs:cluster": "true"},
    }
    policy = document(statement(Condition=asked, Resource="arn:aws:s3:::${aws:PrincipalTag/b, 'c'}${*}"))
    keys = compile_policy(policy, kind=PolicyKind.IDENTITY).context_keys
    assert keys == ("aws:PrincipalTag/b", "aws:RequestTag/a", "aws:username", "ecs:cluster")


def trust(**members: Any) -> dict[str, Any]:
    service = {"Service": "ecs-tasks.amazonaws.com"}
    return document(statement(**({"Action": "sts:AssumeRole", "Resource": None, "Principal": service} | members)))


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": "123456789012"},
        {"AWS": ["arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:user/path/al"]},
        {"AWS": "arn:aws:sts::123456789012:assumed-role/deployer/ci"},
        {"AWS": "AROAEXAMPLEEXAMPLE000"},
        {"Service": ["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]},
        {"Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
    ],
)
def test_a_trust_policy_names_principals(principal: Any) -> None:
    assert compile_policy(trust(Principal=principal), kind=PolicyKind.TRUST).statements


def test_a_trust_policy_may_be_of_the_old_version() -> None:
    policy = trust() | {"Version": "2008-10-17"}
    assert compile_policy(policy, kind=PolicyKind.TRUST).version == "2008-10-17"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (trust(Resource="*"), "Has prohibited field Resource"),
        (trust(Principal=None), "Missing required field Principal"),
        (trust(Principal=None, NotPrincipal="*", Effect="Deny"), "Has prohibited field NotPrincipal"),
        (
            trust(Action="ecs:RunTask"),
            "Trust Policy statement actions can only be sts:AssumeRole,"
            " sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity",
        ),
        (trust(Principal="al"), SYNTAX),
        (trust(Principal={"AWS": "al"}), 'Invalid principal in policy: "AWS":"al"'),
        (trust(Principal={"AWS": "arn:aws:iam::123456789012:user/*"}), None),
        (trust(Principal={"AWS": "arn:aws:sts::123456789012:assumed-role/deployer/*"}), None),
        (trust(Principal={"Service": "*"}), 'Invalid principal in policy: "SERVICE":"*"'),
        (trust(Principal={"Everyone": "*"}), 'Invalid principal in policy: "Everyone":"*"'),
    ],
)
def test_a_trust_policy_is_refused_in_iams_words(policy: Any, message: str | None) -> None:
    told = refusal(policy, PolicyKind.TRUST)
    assert told == message if message is not None else told.startswith("Invalid principal in policy")


def test_a_resource_policy_denies_but_never_allows_by_exclusion() -> None:
    policy = statement(Principal=None, NotPrincipal={"AWS": "123456789012"})
    assert compile_policy(document(policy | {"Effect": "Deny"}), kind=PolicyKind.RESOURCE).statements
    assert refusal(document(policy), PolicyKind.RESOURCE) == "Allow with NotPrincipal is not allowed."
    assert refusal(document(statement()), PolicyKind.RESOURCE) == "Missing required field Principal"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["*", "Allow", BUCKET]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"]
OPERATORS = ["StringLike", "DateEquals", "NumericLessThan", "IpAddress", "ArnLike", "BinaryEquals", "Null", "Bool", "x"]
CONDITIONS = st.dictionaries(
    st.sampled_from(OPERATORS), st.dictionaries(st.text(max_size=3), JSON, max_size=2), max_size=2
)


@settings(derandomize=True, max_examples=300)
@given(
    members=st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=3),
    conditions=st.none() | CONDITIONS,
    others=st.dictionaries(st.sampled_from(["Version", "Id", "Statement", "x"]), JSON, max_size=1),
    kind=st.sampled_from(PolicyKind),
)
def test_whatever_comes_is_compiled_or_refused(
    members: dict[str, Any], conditions: dict[str, Any] | None, others: dict[str, Any], kind: PolicyKind
) -> None:
    policy = document(statement(**members) | ({"Condition": conditions} if conditions else {})) | others
    try:
        known = compile_policy(json.dumps(policy), kind=kind)
    except MalformedPolicy:
        return
    known.relevant("s3:listbucket")
    assert all(one.holds(BUCKET, {"a": ("1",)}) in (True, False) for one in known.statements)
