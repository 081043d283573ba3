"""STS as boto3 sees it: answers hold only what AWS's model has, errors are the modelled classes, and the credentials
that it hands out are taken by an unmodified SDK, as a profile that assumes a role takes them.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, Credentials, DeferredRefreshableCredentials
from botocore.exceptions import ClientError
from botocore.session import Session

from neargate.testing.front_door import ACCOUNT, REGION, ROOT, FrontDoor, Keys, allowing, open_front_door, trusting

from .door_clients import ENDPOINT, sender

OPEN = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


class Sdk:
    """boto3 whose requests go to the front door of a region in this process."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.door: FrontDoor = runner.run(open_front_door())

    def session(self, keys: Keys | None = None) -> Any:
        """Without keys: who must find them otherwise."""
        core: Any = Session()
        if keys is not None:
            core.set_credentials(keys.key, keys.secret, keys.token)
        core.register("before-send", sender(self._runner.run, self.door.region.frontend))
        return core

    def client(self, service: str, keys: Keys | None = None, core: Any = None) -> Any:
        made: Any = boto3.Session(botocore_session=core or self.session(keys), region_name=REGION)
        return made.client(service, endpoint_url=ENDPOINT, config=Config(retries={"total_max_attempts": 1}))

    def role(self, *arguments: Any, **options: Any) -> str:
        made: str = self._runner.run(self.door.role(*arguments, **options))
        return made


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    with asyncio.Runner() as runner:
        yield Sdk(runner)


def modelled(client: Any, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Held against the model: every member known, the required ones there."""
    shape = client.meta.service_model.operation_model(operation).output_shape
    answer = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    _check(shape, answer)
    return answer


def _check(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), shape.name
        assert set(shape.required_members) <= set(value), shape.name
        for name, member in value.items():
            _check(shape.members[name], member)


def test_answers_are_modelled(sdk: Sdk) -> None:
    role = sdk.role("reader", trusting(OPEN, "sts:AssumeRole", "sts:TagSession"), allowing("ec2:*"))
    sts = sdk.client("sts", ROOT)
    made = sts.assume_role(
        RoleArn=role,
        RoleSessionName="me",
        Policy=json.dumps(allowing("ec2:DescribeVpcs")),
        Tags=[{"Key": "team", "Value": "red"}],
        TransitiveTagKeys=["team"],
        DurationSeconds=900,
    )
    answer = modelled(sts, "AssumeRole", made)
    assert answer["PackedPolicySize"] > 0
    given = answer["Credentials"]
    keys = Keys(key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"])
    left_s = given["Expiration"].timestamp() - sdk.door.world.now()
    assert 0 < left_s <= 900
    known = sdk.client("sts", keys).get_caller_identity()
    assert known["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"
    assert len(sdk.client("ec2", keys).describe_vpcs()["Vpcs"]) == 1
    with pytest.raises(ClientError, match="because no session policy allows the ec2:DescribeSubnets action"):
        sdk.client("ec2", keys).describe_subnets()
    modelled(sts, "GetSessionToken", sts.get_session_token())
    federated = modelled(sts, "GetFederationToken", sts.get_federation_token(Name="guest"))
    assert federated["FederatedUser"]["FederatedUserId"] == f"{ACCOUNT}:guest"
    assert modelled(sts, "GetAccessKeyInfo", sts.get_access_key_info(AccessKeyId=keys.key)) == {"Account": ACCOUNT}


def test_errors_are_the_modelled_classes(sdk: Sdk) -> None:
    role = sdk.role("reader", trusting(OPEN))
    sts = sdk.client("sts", ROOT)
    with pytest.raises(sts.exceptions.MalformedPolicyDocumentException):
        sts.assume_role(RoleArn=role, RoleSessionName="me", Policy="{}")
    with pytest.raises(sts.exceptions.PackedPolicyTooLargeException):
        sts.assume_role(RoleArn=role, RoleSessionName="me", Policy=json.dumps(allowing("*")) + " " * 2100)
    with pytest.raises(sts.exceptions.InvalidAuthorizationMessageException):
        sts.decode_authorization_message(EncodedMessage="x")
    for token in ("x.y.z", "not a token"):
        with pytest.raises(sts.exceptions.InvalidIdentityTokenException):
            sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="me", WebIdentityToken=token)


def test_an_sdk_assumes_a_role_by_itself(sdk: Sdk) -> None:
    role = sdk.role("reader", trusting(OPEN), allowing("ec2:DescribeVpcs"))
    core = sdk.session()

    def creator(*names: Any, **options: Any) -> Any:
        del options
        return sdk.client(names[0], ROOT)

    fetcher = AssumeRoleCredentialFetcher(
        creator, Credentials(ROOT.key, ROOT.secret), role, extra_args={"RoleSessionName": "by-sdk"}
    )
    held = DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)
    core._credentials = held
    ec2 = sdk.client("ec2", core=core)
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1
    first = held.get_frozen_credentials().token
    assert first
    assert sdk.door.identity.last_used(sdk.door.identity.role(ACCOUNT, "reader").unique_id).service == "ec2"
