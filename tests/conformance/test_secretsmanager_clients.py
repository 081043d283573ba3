"""Secrets Manager as boto3 sees it, in AWS's words: secrets, their versions and labels, and who may read them."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT

from .door_clients import Door, allow, document, refused

ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret"
TOKENS = [f"{number:032d}" for number in range(200)]
NOT_FOUND = ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
MARKED = (
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
)
_NAMES = (f"s{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


@pytest.fixture
def sm(door: Door) -> Any:
    return door.client("secretsmanager")


async def rows(door: Door, beginning: str) -> list[Any]:
    """Of values."""
    store: Any = door.door.region.services.secrets._shelves._store
    found: list[Any] = await store.read(
        "SELECT name FROM secrets WHERE kind = 'value' AND name LIKE ?", (f"{beginning}%",)
    )
    return found


@pytest.fixture
def name() -> str:
    return next(_NAMES)


def test_a_secret_is_made_read_and_described(sm: Any, name: str) -> None:
    made = sm.create_secret(Name=name, SecretString="hunter2", Tags=[{"Key": "team", "Value": "x"}])
    assert made["ARN"].startswith(f"{ARN}:{name}-") and len(made["ARN"]) == len(f"{ARN}:{name}-") + 6
    read = sm.get_secret_value(SecretId=name)
    assert (read["SecretString"], read["VersionStages"], read["VersionId"]) == (
        "hunter2",
        ["AWSCURRENT"],
        made["VersionId"],
    )
    assert "SecretBinary" not in read
    shown = sm.describe_secret(SecretId=name)
    assert shown["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    assert shown["Tags"] == [{"Key": "team", "Value": "x"}]
    assert shown["LastAccessedDate"] and "KmsKeyId" not in shown and "DeletedDate" not in shown
    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId=name)


def test_a_secret_is_named_by_name_arn_and_arn_without_its_end(sm: Any, name: str) -> None:
    arn = sm.create_secret(Name=name, SecretBinary=b"\x00\x01")["ARN"]
    for named in (name, arn, arn[:-7]):
        assert sm.get_secret_value(SecretId=named)["SecretBinary"] == b"\x00\x01"
    for named in (
        f"{name}x",
        f"{arn[:-6]}AAAAAA",
        f"{arn[:-7]}/{arn[-6:]}",
        arn.replace(REGION, "eu-west-1"),
        arn[:-1],
        "arn:nonsense",
        arn.replace(":secret:", ":"),
    ):
        assert refused(sm.get_secret_value, SecretId=named) == NOT_FOUND
        assert refused(sm.delete_secret, SecretId=named) == NOT_FOUND


def test_a_name_that_looks_like_an_end_is_its_own_secret(sm: Any, name: str) -> None:
    """`db` with the end `-abcdef` and a secret that is called `db-abcdef` are two."""
    first = sm.create_secret(Name=name, SecretString="one")["ARN"]
    sm.create_secret(Name=first.rpartition(":")[2], SecretString="two")
    assert sm.get_secret_value(SecretId=first)["SecretString"] == "one"
    assert sm.get_secret_value(SecretId=first.rpartition(":")[2])["SecretString"] == "two"


def test_versions_and_their_labels_move(sm: Any, name: str) -> None:
    first = sm.create_secret(Name=name, SecretString="one")["VersionId"]
    put = sm.put_secret_value(SecretId=name, SecretString="two")
    assert put["VersionStages"] == ["AWSCURRENT"]
    second = put["VersionId"]
    third = sm.put_secret_value(SecretId=name, SecretString="three")["VersionId"]
    stages = sm.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert stages == {third: ["AWSCURRENT"], second: ["AWSPREVIOUS"]}
    assert sm.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "two"
    assert sm.get_secret_value(SecretId=name, VersionId=first)["SecretString"] == "one"
    listed = sm.list_secret_version_ids(SecretId=name)["Versions"]
    assert {one["VersionId"] for one in listed} == {second, third}
    assert listed[0]["KmsKeyIds"] == ["DefaultEncryptionKey"]
    every = sm.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    assert {one["VersionId"] for one in every} == {first, second, third}
    pending = sm.put_secret_value(SecretId=name, SecretString="four", VersionStages=["AWSPENDING"])["VersionId"]
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "three"
    sm.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=third, MoveToVersionId=pending
    )
    stages = sm.describe_secret(SecretId=name)["VersionIdsToStages"]
    assert {key: sorted(value) for key, value in stages.items()} == {
        pending: ["AWSCURRENT", "AWSPENDING"],
        third: ["AWSPREVIOUS"],
    }


def test_labels_are_moved_as_aws_wants_it_said(sm: Any, name: str) -> None:
    first = sm.create_secret(Name=name, SecretString="one")["VersionId"]
    second = sm.put_secret_value(SecretId=name, SecretString="two", VersionStages=["mine"])["VersionId"]
    move = sm.update_secret_version_stage
    assert refused(move, SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=second) == (
        "InvalidParameterException",
        f"The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "
        f"{first}, so you must explicitly reference that version in RemoveFromVersionId.",
    )
    assert refused(move, SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=first) == (
        "InvalidParameterException",
        "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
    )
    assert refused(move, SecretId=name, VersionStage="mine", RemoveFromVersionId=first)[0] == (
        "InvalidParameterException"
    )
    assert refused(move, SecretId=name, VersionStage="mine", MoveToVersionId=TOKENS[0])[0] == (
        "ResourceNotFoundException"
    )
    move(SecretId=name, VersionStage="mine", RemoveFromVersionId=second)
    assert sm.describe_secret(SecretId=name)["VersionIdsToStages"] == {first: ["AWSCURRENT"]}


def test_the_same_token_is_the_same_version(sm: Any, name: str) -> None:
    made = sm.create_secret(Name=name, SecretString="one", ClientRequestToken=TOKENS[0])
    assert sm.create_secret(Name=name, SecretString="one", ClientRequestToken=TOKENS[0])["ARN"] == made["ARN"]
    in_use = (
        "ResourceExistsException",
        f"You can't use ClientRequestToken {TOKENS[0]} because that value is already in use for a version of secret "
        f"{made['ARN']}.",
    )
    assert refused(sm.create_secret, Name=name, SecretString="two", ClientRequestToken=TOKENS[0]) == in_use
    assert refused(sm.put_secret_value, SecretId=name, SecretString="two", ClientRequestToken=TOKENS[0]) == in_use
    assert refused(sm.create_secret, Name=name, SecretString="one") == (
        "ResourceExistsException",
        f"The operation failed because the secret {name} already exists.",
    )
    sm.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=TOKENS[1])
    again = sm.put_secret_value(SecretId=name, SecretString="one", ClientRequestToken=TOKENS[0])
    assert again["VersionStages"] == ["AWSPREVIOUS"]
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "two"


def test_old_deprecated_versions_make_room(sm: Any, name: str) -> None:
    sm.create_secret(Name=name, SecretString="0", ClientRequestToken=TOKENS[0])
    for number in range(1, 103):
        sm.put_secret_value(SecretId=name, SecretString=str(number), ClientRequestToken=TOKENS[number])
    first = sm.list_secret_version_ids(SecretId=name, IncludeDeprecated=True, MaxResults=60)
    rest = sm.list_secret_version_ids(SecretId=name, IncludeDeprecated=True, NextToken=first["NextToken"])
    ids = [one["VersionId"] for one in first["Versions"] + rest["Versions"]]
    assert ids == TOKENS[3:103]
    assert refused(sm.get_secret_value, SecretId=name, VersionId=TOKENS[0]) == (
        "ResourceNotFoundException",
        f"Secrets Manager can't find the specified secret value for VersionId: {TOKENS[0]}",
    )


def test_a_secret_without_a_value(sm: Any, name: str) -> None:
    assert "VersionId" not in sm.create_secret(Name=name)
    assert refused(sm.get_secret_value, SecretId=name) == (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    )
    put = sm.put_secret_value(SecretId=name, SecretString="x", VersionStages=["AWSPENDING"])
    assert sorted(put["VersionStages"]) == ["AWSCURRENT", "AWSPENDING"]


@pytest.mark.parametrize(
    ("params", "code", "said"),
    [
        (
            {"SecretString": "a", "SecretBinary": b"a"},
            "InvalidParameterException",
            "You can't specify both a binary secret value and a string secret value in the same secret.",
        ),
        (
            {"Name": "a b"},
            "ValidationException",
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        ),
        ({"AddReplicaRegions": [{"Region": "eu-west-1"}]}, "InvalidParameterException", None),
        ({"SecretString": "é" * 32_769}, "InvalidParameterException", "The secret value has more than 65536 bytes."),
        ({"SecretString": "x", "KmsKeyId": "alias/no"}, "EncryptionFailure", None),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidParameterException", None),
    ],
)
def test_what_cannot_be_made(sm: Any, name: str, params: dict[str, Any], code: str, said: str | None) -> None:
    found = refused(sm.create_secret, **({"Name": name} | params))
    assert found[0] == code
    assert said is None or found[1] == said
    assert refused(sm.describe_secret, SecretId=name) == NOT_FOUND


def test_a_value_that_is_too_long_is_not_repeated_to_its_sender(sm: Any, name: str) -> None:
    code, message = refused(sm.create_secret, Name=name, SecretString="hunter2" * 10_000)
    assert code == "InvalidParameterException" and "hunter2" not in message


def test_deleting_and_restoring(sm: Any, name: str) -> None:
    arn = sm.create_secret(Name=name, SecretString="x")["ARN"]
    assert refused(sm.delete_secret, SecretId=name, RecoveryWindowInDays=6) == (
        "InvalidParameterException",
        "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
    )
    assert refused(sm.delete_secret, SecretId=name, RecoveryWindowInDays=7, ForceDeleteWithoutRecovery=True) == (
        "InvalidParameterException",
        "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
    )
    gone = sm.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    assert sm.describe_secret(SecretId=name)["DeletedDate"] == gone["DeletionDate"]
    assert refused(sm.get_secret_value, SecretId=name) == MARKED
    assert refused(sm.put_secret_value, SecretId=name, SecretString="y") == MARKED
    assert refused(sm.create_secret, Name=name) == (
        "InvalidRequestException",
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
    )
    assert arn not in [one["ARN"] for one in sm.list_secrets()["SecretList"]]
    every = sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert arn in [one["ARN"] for one in every]
    restored = sm.restore_secret(SecretId=name)
    assert (restored["ARN"], restored["Name"]) == (arn, name)
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "x"
    sm.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert refused(sm.describe_secret, SecretId=name) == NOT_FOUND
    assert sm.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)["Name"] == name
    assert sm.create_secret(Name=name)["ARN"] != arn


def test_a_secret_is_gone_after_its_recovery_window_and_its_name_is_free() -> None:
    with asyncio.Runner() as runner:
        door = Door(runner)
        call = door.door.call
        runner.run(call(ROOT, "secretsmanager", "CreateSecret", Name="a", SecretString="old"))
        runner.run(call(ROOT, "secretsmanager", "CreateSecret", Name="b", SecretString="old"))
        for name in ("a", "b"):
            runner.run(call(ROOT, "secretsmanager", "DeleteSecret", SecretId=name, RecoveryWindowInDays=7))
        door.door.world.moved_s = 7 * 86_400 + 1  # boto3 would sign for now
        said = runner.run(call(ROOT, "secretsmanager", "DescribeSecret", SecretId="a"))
        assert said.message == "Secrets Manager can't find the specified secret."
        made = runner.run(call(ROOT, "secretsmanager", "CreateSecret", Name="a", SecretString="new"))
        assert made.status == 200
        read = runner.run(call(ROOT, "secretsmanager", "GetSecretValue", SecretId="a"))
        assert read.body["SecretString"] == "new"
        assert not runner.run(rows(door, "b-")), "its rows are gone, too"
        assert runner.run(rows(door, "a-"))


def test_a_secret_is_updated_and_sealed_under_another_key(door: Door, sm: Any, name: str) -> None:
    kms = door.client("kms")
    key = kms.create_key()["KeyMetadata"]
    arn = sm.create_secret(Name=name, SecretString="one")["ARN"]
    sm.put_secret_value(SecretId=name, SecretString="two")
    sm.update_secret(SecretId=name, KmsKeyId=key["KeyId"], Description="the database's")
    shown = sm.describe_secret(SecretId=name)
    assert (shown["KmsKeyId"], shown["Description"]) == (key["KeyId"], "the database's")
    keys = [one["KmsKeyIds"] for one in sm.list_secret_version_ids(SecretId=name)["Versions"]]
    assert keys == [[key["Arn"]], [key["Arn"]]]
    for stage, value in (("AWSCURRENT", "two"), ("AWSPREVIOUS", "one")):
        assert sm.get_secret_value(SecretId=name, VersionStage=stage)["SecretString"] == value
    kms.disable_key(KeyId=key["KeyId"])
    assert refused(sm.get_secret_value, SecretId=name)[0] == "DecryptionFailure"
    assert refused(sm.put_secret_value, SecretId=name, SecretString="x")[0] == "EncryptionFailure"
    kms.enable_key(KeyId=key["KeyId"])
    updated = sm.update_secret(SecretId=name, SecretString="three", KmsKeyId="")
    assert updated["ARN"] == arn and sm.get_secret_value(SecretId=name)["VersionId"] == updated["VersionId"]
    assert "KmsKeyId" not in sm.describe_secret(SecretId=name)


def test_lists_are_filtered_ordered_and_paged() -> None:
    with asyncio.Runner() as runner:
        sm = Door(runner).client("secretsmanager")
        for name, description, tags in (
            ("prod/db", "The production database", [{"Key": "stage", "Value": "prod"}]),
            ("prod/api", "Key of an API", [{"Key": "stage", "Value": "prod"}, {"Key": "team", "Value": "web"}]),
            ("test/db", "A Database for tests", [{"Key": "stage", "Value": "test"}]),
        ):
            sm.create_secret(Name=name, Description=description, Tags=tags, SecretString="x")

        def names(*filters: tuple[str, list[str]], **params: Any) -> list[str]:
            given = [{"Key": key, "Values": values} for key, values in filters]
            return [one["Name"] for one in sm.list_secrets(Filters=given, SortBy="name", **params)["SecretList"]]

        assert names() == ["prod/api", "prod/db", "test/db"]
        assert names(SortOrder="desc") == ["test/db", "prod/db", "prod/api"]
        assert names(("name", ["prod/"])) == ["prod/api", "prod/db"]
        assert names(("name", ["!prod/"])) == ["test/db"]
        assert names(("name", ["test/", "prod/d"])) == ["prod/db", "test/db"]
        assert names(("description", ["database"])) == ["prod/db", "test/db"]
        assert names(("tag-key", ["team"])) == ["prod/api"]
        assert names(("tag-value", ["prod"]), ("description", ["key"])) == ["prod/api"]
        assert names(("all", ["web"])) == ["prod/api"]
        assert names(("owning-service", ["rds"])) == []
        pages = sm.get_paginator("list_secrets").paginate(SortBy="name", PaginationConfig={"PageSize": 1})
        assert [one["Name"] for page in pages for one in page["SecretList"]] == ["prod/api", "prod/db", "test/db"]
        assert refused(sm.list_secrets, NextToken="x")[0] == "InvalidNextTokenException"


def test_several_values_at_once(door: Door, sm: Any, name: str) -> None:
    sm.create_secret(Name=f"{name}-a", SecretString="one")
    sm.create_secret(Name=f"{name}-b", SecretString="two")
    found = sm.batch_get_secret_value(SecretIdList=[f"{name}-a", f"{name}-b", "nobodys"])
    assert [one["SecretString"] for one in found["SecretValues"]] == ["one", "two"]
    assert found["Errors"] == [
        {
            "SecretId": "nobodys",
            "ErrorCode": "ResourceNotFoundException",
            "Message": "Secrets Manager can't find the specified secret.",
        }
    ]
    chosen = sm.batch_get_secret_value(Filters=[{"Key": "name", "Values": [name]}])
    assert [one["SecretString"] for one in chosen["SecretValues"]] == ["one", "two"]
    assert refused(sm.batch_get_secret_value) == (
        "InvalidParameterException",
        "Either 'SecretIdList' or 'Filters' must be provided, but not both.",
    )
    only = allow("secretsmanager:GetSecretValue", resource=f"{ARN}:{name}-a-??????")
    al = door.client("secretsmanager", door.user("batch", allow("secretsmanager:BatchGetSecretValue"), only))
    partly = al.batch_get_secret_value(SecretIdList=[f"{name}-a", f"{name}-b"])
    assert [one["SecretString"] for one in partly["SecretValues"]] == ["one"]
    assert [one["ErrorCode"] for one in partly["Errors"]] == ["AccessDeniedException"]


def test_who_may_read(door: Door, sm: Any, name: str) -> None:
    arn = sm.create_secret(Name=name, SecretString="x")["ARN"]
    al = door.client("secretsmanager", door.user("reader", allow("secretsmanager:GetSecretValue", resource=arn)))
    who = f"User: arn:aws:iam::{ACCOUNT}:user/reader is not authorized to perform:"
    assert al.get_secret_value(SecretId=name)["SecretString"] == "x"
    for called in (name, arn, arn[:-7]):  # as it was called: the end of an ARN is not told
        assert refused(al.describe_secret, SecretId=called) == (
            "AccessDeniedException",
            f"{who} secretsmanager:DescribeSecret on resource: {called} because no identity-based policy allows the "
            "secretsmanager:DescribeSecret action",
        )
    assert refused(al.get_secret_value, SecretId="nobodys") == (
        "AccessDeniedException",
        f"{who} secretsmanager:GetSecretValue on resource: nobodys because no identity-based policy allows the "
        "secretsmanager:GetSecretValue action",
    )


def test_the_key_must_let_in_too(door: Door, sm: Any, name: str) -> None:
    key = door.client("kms").create_key()["KeyMetadata"]["Arn"]
    sm.create_secret(Name=name, SecretString="x", KmsKeyId=key)
    read = allow("secretsmanager:*")
    blind = door.client("secretsmanager", door.user("blind", read))
    assert refused(blind.get_secret_value, SecretId=name) == (
        "AccessDeniedException",
        "Access to KMS is not allowed",
    )
    assert refused(blind.put_secret_value, SecretId=name, SecretString="y")[1] == "Access to KMS is not allowed"
    via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    uses = allow("kms:Decrypt", "kms:GenerateDataKey", resource=key, StringEquals=via)
    seeing = door.client("secretsmanager", door.user("seeing", read, uses))
    assert seeing.get_secret_value(SecretId=name)["SecretString"] == "x"
    seeing.put_secret_value(SecretId=name, SecretString="y")


def test_who_may_not_open_a_value_learns_of_no_guess_whether_it_is_right(door: Door, sm: Any, name: str) -> None:
    """A repeated token is compared with what is there. A version without a label stays under its own key."""
    first, second = (door.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    sm.create_secret(Name=name, SecretString="hunter2", KmsKeyId=first, ClientRequestToken=TOKENS[0])
    for value in ("two", "three"):
        sm.put_secret_value(SecretId=name, SecretString=value)
    sm.update_secret(SecretId=name, KmsKeyId=second)
    writes = allow(*(f"secretsmanager:{one}" for one in ("CreateSecret", "PutSecretValue", "UpdateSecret")))
    uses = allow("kms:GenerateDataKey", "kms:Decrypt", resource=second)
    al = door.client("secretsmanager", door.user("guesser", writes, uses))
    denied = ("AccessDeniedException", "Access to KMS is not allowed")
    for guess in ("hunter2", "hunter3"):
        given = {"SecretString": guess, "ClientRequestToken": TOKENS[0]}
        assert refused(al.create_secret, Name=name, **given) == denied
        assert refused(al.put_secret_value, SecretId=name, **given) == denied
        assert refused(al.update_secret, SecretId=name, **given) == denied
    repeated = sm.put_secret_value(SecretId=name, SecretString="hunter2", ClientRequestToken=TOKENS[0])
    assert repeated["VersionStages"] == []
    al.put_secret_value(SecretId=name, SecretString="four", ClientRequestToken=TOKENS[1])
    al.put_secret_value(SecretId=name, SecretString="four", ClientRequestToken=TOKENS[1])


def test_condition_keys(door: Door, sm: Any, name: str) -> None:
    arn = sm.create_secret(Name=name, SecretString="one", Tags=[{"Key": "team", "Value": "x"}])["ARN"]
    sm.put_secret_value(SecretId=name, SecretString="two")
    current = allow("secretsmanager:GetSecretValue", StringEquals={"secretsmanager:VersionStage": "AWSCURRENT"})
    tagged = allow("secretsmanager:DescribeSecret", StringEquals={"secretsmanager:ResourceTag/team": "x"})
    made = allow("secretsmanager:CreateSecret", StringLike={"secretsmanager:Name": "mine/*"})
    named = allow("secretsmanager:DeleteSecret", StringEquals={"secretsmanager:SecretId": arn})
    al = door.client("secretsmanager", door.user("keyed", current, tagged, made, named))
    assert al.get_secret_value(SecretId=name)["SecretString"] == "two"
    assert refused(al.get_secret_value, SecretId=name, VersionStage="AWSPREVIOUS")[0] == "AccessDeniedException"
    assert al.describe_secret(SecretId=name)["ARN"] == arn
    al.create_secret(Name=f"mine/{name}", SecretString="x")
    assert refused(al.create_secret, Name=f"other/{name}")[0] == "AccessDeniedException"
    assert refused(al.delete_secret, SecretId=f"mine/{name}")[0] == "AccessDeniedException"
    al.delete_secret(SecretId=name)


def test_a_resource_policy_lets_in_and_keeps_out(door: Door, sm: Any, name: str) -> None:
    arn = sm.create_secret(Name=name, SecretString="x")["ARN"]
    guest = door.client("secretsmanager", door.user("guest"))
    me = f"arn:aws:iam::{ACCOUNT}:user/guest"
    read = {"Effect": "Allow", "Principal": {"AWS": me}, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    sm.put_resource_policy(SecretId=name, ResourcePolicy=document(read), BlockPublicPolicy=True)
    assert guest.get_secret_value(SecretId=arn)["SecretString"] == "x"
    assert me in sm.get_resource_policy(SecretId=name)["ResourcePolicy"]
    deny = {**read, "Effect": "Deny", "Principal": "*"}
    sm.put_resource_policy(SecretId=name, ResourcePolicy=document(deny))
    code, message = refused(sm.get_secret_value, SecretId=name)
    assert code == "AccessDeniedException" and message.endswith("with an explicit deny in a resource-based policy")
    sm.delete_resource_policy(SecretId=name)
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "x"
    everybody = document({**read, "Principal": "*"})
    assert refused(sm.put_resource_policy, SecretId=name, ResourcePolicy=everybody, BlockPublicPolicy=True)[0] == (
        "PublicPolicyException"
    )
    assert refused(sm.put_resource_policy, SecretId=name, ResourcePolicy="{}")[0] == "MalformedPolicyDocumentException"
    assert sm.validate_resource_policy(ResourcePolicy=document(read))["PolicyValidationPassed"] is True
    for bad in (everybody, "{}"):
        checked = sm.validate_resource_policy(SecretId=name, ResourcePolicy=bad)
        assert checked["PolicyValidationPassed"] is False and checked["ValidationErrors"]


def test_another_account_reads_what_names_it_under_a_key_that_names_it(door: Door, sm: Any, name: str) -> None:
    door.run(door.door.identity.ensure_account(OTHER, "other"))
    other = door.client("secretsmanager", door.run(door.door.key(None, account=OTHER)))
    arn = sm.create_secret(Name=name, SecretString="x")["ARN"]
    code, message = refused(other.get_secret_value, SecretId=arn)
    assert code == "AccessDeniedException" and "no resource-based policy allows" in message
    assert refused(other.get_secret_value, SecretId=arn[:-7]) == (code, message.replace(arn, arn[:-7]))
    missing = arn.replace(name, f"{name}-none")[:-7]
    assert refused(other.get_secret_value, SecretId=missing) == (code, message.replace(arn, missing))
    assert refused(other.get_secret_value, SecretId=name) == NOT_FOUND
    read = {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "secretsmanager:*", "Resource": "*"}
    sm.put_resource_policy(SecretId=name, ResourcePolicy=document(read))
    assert refused(other.get_secret_value, SecretId=arn) == (
        "InvalidRequestException",
        "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS "
        "service key.",
    )
    mine = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    policy = [
        {"Effect": "Allow", "Principal": one, "Action": "kms:*", "Resource": "*"} for one in (mine, {"AWS": OTHER})
    ]
    key = door.client("kms").create_key(Policy=document(*policy))["KeyMetadata"]["Arn"]
    sm.update_secret(SecretId=name, KmsKeyId=key)
    assert other.get_secret_value(SecretId=arn)["SecretString"] == "x"


def test_tags_are_changed(sm: Any, name: str) -> None:
    sm.create_secret(Name=name)
    sm.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    sm.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "3"}])
    sm.untag_resource(SecretId=name, TagKeys=["b", "never"])
    assert sm.describe_secret(SecretId=name)["Tags"] == [{"Key": "a", "Value": "3"}]
    many = [{"Key": str(number), "Value": ""} for number in range(51)]
    assert refused(sm.tag_resource, SecretId=name, Tags=many)[0] == "InvalidParameterException"


def test_random_passwords(sm: Any) -> None:
    made = sm.get_random_password()["RandomPassword"]
    assert len(made) == 32 and made != sm.get_random_password()["RandomPassword"]
    digits = sm.get_random_password(
        PasswordLength=8, ExcludeLowercase=True, ExcludeUppercase=True, ExcludePunctuation=True, ExcludeCharacters="01"
    )["RandomPassword"]
    assert len(digits) == 8 and set(digits) <= set("23456789")
    each = sm.get_random_password(PasswordLength=4)["RandomPassword"]
    assert any(one.islower() for one in each) and any(one.isupper() for one in each)
    assert any(one.isdigit() for one in each) and not each.isalnum()
    assert refused(sm.get_random_password, PasswordLength=3)[0] == "InvalidParameterException"


@pytest.mark.parametrize(
    ("operation", "params", "said"),
    [
        ("rotate_secret", {}, "does not rotate secrets"),
        ("cancel_rotate_secret", {}, "does not rotate secrets"),
        ("replicate_secret_to_regions", {"AddReplicaRegions": [{"Region": "eu-west-1"}]}, "does not replicate"),
        ("remove_regions_from_replication", {"RemoveReplicaRegions": ["eu-west-1"]}, "does not replicate"),
        ("stop_replication_to_replica", {}, "does not replicate"),
    ],
)
def test_rotation_and_replication_are_refused(
    sm: Any, name: str, operation: str, params: dict[str, Any], said: str
) -> None:
    sm.create_secret(Name=name)
    code, message = refused(getattr(sm, operation), SecretId=name, **params)
    assert code == "InvalidRequestException" and said in message


def test_a_token_that_is_repeated_with_a_new_key_moves_the_value_under_it(door: Door, sm: Any, name: str) -> None:
    """The value of a version without a label stays under the key that it was sealed under, and asks for that one."""
    kms = door.client("kms")
    first, second = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    sm.create_secret(Name=name, SecretString="one", KmsKeyId=first, ClientRequestToken=TOKENS[0])
    for number in (1, 2):
        sm.put_secret_value(SecretId=name, SecretString="more", ClientRequestToken=TOKENS[number])
    sm.update_secret(SecretId=name, SecretString="one", KmsKeyId=second, ClientRequestToken=TOKENS[0])
    listed = sm.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    assert [one["KmsKeyIds"] for one in listed] == [[first], [second], [second]]
    uses = allow("kms:Decrypt", resource=second)
    al = door.client("secretsmanager", door.user("second-only", allow("secretsmanager:GetSecretValue"), uses))
    assert al.get_secret_value(SecretId=name)["SecretString"] == "more"
    assert refused(al.get_secret_value, SecretId=name, VersionId=TOKENS[0])[1] == "Access to KMS is not allowed"
