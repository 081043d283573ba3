"""A KMS key's policy decides like a role's trust: who is not let in is kept out, whatever else allows."""

import json
from typing import Any

import pytest

from neargate.frontend.keys.key_policies import default_policy, service_policy, via_service
from neargate.iam.document import PolicyKind, compile_policy
from neargate.iam.evaluate import decide
from neargate.iam.policy import Attached, Grants
from neargate.iam.request import Caller, Decision, Layer, Request

ACCOUNT, OTHER, REGION = "123456789012", "210987654321", "us-east-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"
AL = f"arn:aws:iam::{ACCOUNT}:user/al"


def grants(*actions: str, effect: str = "Allow") -> Grants:
    if not actions:
        return Grants()
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return Grants(identity=(Attached(name="own", policy=compile_policy(document, kind=PolicyKind.IDENTITY)),))


def asked(
    policy: str, own: Grants | None, account: str = ACCOUNT, action: str = "kms:Encrypt", **keys: str
) -> Decision:
    caller = Caller(account=account, arn=f"arn:aws:iam::{account}:user/al", user_id="AIDAAL")
    known = {"kms:calleraccount": (account,)} | {f"kms:{name}": (value,) for name, value in keys.items()}
    compiled = compile_policy(policy, kind=PolicyKind.KEY)
    return decide(Request(action=action, resource=KEY, keys=known), caller, own, compiled)


def letting(principal: Any, *actions: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": list(actions or ("kms:*",)), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(
    ("policy", "own", "account", "allowed", "layer"),
    [
        (default_policy(ACCOUNT), grants("kms:Encrypt"), ACCOUNT, True, Layer.IDENTITY),
        (default_policy(ACCOUNT), grants(), ACCOUNT, False, Layer.IDENTITY),
        (default_policy(ACCOUNT), None, ACCOUNT, True, Layer.IDENTITY),
        (default_policy(ACCOUNT), grants("kms:*"), OTHER, False, Layer.RESOURCE),
        (letting({"AWS": AL}), grants(), ACCOUNT, True, Layer.RESOURCE),
        (letting({"AWS": AL}), grants("kms:*", effect="Deny"), ACCOUNT, False, Layer.IDENTITY),
        (letting({"AWS": f"{AL}x"}), grants("kms:*"), ACCOUNT, False, Layer.RESOURCE),
        (letting({"AWS": f"{AL}x"}), None, ACCOUNT, False, Layer.RESOURCE),
        (letting({"AWS": OTHER}), grants(), OTHER, False, Layer.IDENTITY),
        (letting({"AWS": OTHER}), grants("kms:Encrypt"), OTHER, True, Layer.IDENTITY),
        (letting({"AWS": OTHER}, "kms:Decrypt"), grants("kms:*"), OTHER, False, Layer.RESOURCE),
    ],
)
def test_who_is_let_in(policy: str, own: Grants | None, account: str, allowed: bool, layer: Layer) -> None:
    found = asked(policy, own, account)
    assert (found.allowed, found.layer) == (allowed, layer)


def test_a_default_key_of_a_service_is_used_through_it_only() -> None:
    policy = service_policy("ssm", REGION, ACCOUNT)
    assert asked(policy, grants(), viaservice=via_service("ssm", REGION)).allowed
    assert asked(policy, grants("kms:*"), action="kms:DescribeKey").allowed
    for own in (grants("kms:*"), None):
        assert not asked(policy, own).allowed
        assert not asked(policy, own, viaservice=via_service("secretsmanager", REGION)).allowed
        assert not asked(policy, own, OTHER, viaservice=via_service("ssm", REGION)).allowed
        assert not asked(policy, own, action="kms:ScheduleKeyDeletion", viaservice=via_service("ssm", REGION)).allowed
    refused = grants("kms:Encrypt", effect="Deny")
    assert not asked(policy, refused, viaservice=via_service("ssm", REGION)).allowed
