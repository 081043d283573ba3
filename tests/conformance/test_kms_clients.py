"""KMS as boto3 sees it, in AWS's words: keys, aliases, what is sealed under them, and who may."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.frontend.keys.records import KmsKey
from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT

from .door_clients import Door, allow, document, refused

KMS = f"arn:aws:kms:{REGION}:{ACCOUNT}"
NOBODYS = "12345678-1234-1234-1234-123456789012"
AL = f"User: arn:aws:iam::{ACCOUNT}:user/al"
ROOT_PRINCIPAL = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


@pytest.fixture
def kms(door: Door) -> Any:
    return door.client("kms")


def new_key(kms: Any, **params: Any) -> str:
    return str(kms.create_key(**params)["KeyMetadata"]["KeyId"])


def no_identity(action: str, resource: str, who: str = AL) -> tuple[str, str]:
    why = f"because no identity-based policy allows the {action} action"
    return "AccessDeniedException", f"{who} is not authorized to perform: {action} on resource: {resource} {why}"


def test_a_key_is_made_and_described(kms: Any) -> None:
    made = kms.create_key(Description="for tests", Tags=[{"TagKey": "team", "TagValue": "x"}])["KeyMetadata"]
    assert made["Arn"] == f"{KMS}:key/{made['KeyId']}"
    assert kms.describe_key(KeyId=made["Arn"])["KeyMetadata"] == made
    assert {name: made[name] for name in ("KeyState", "Enabled", "KeyManager", "Origin", "KeySpec", "KeyUsage")} == {
        "KeyState": "Enabled",
        "Enabled": True,
        "KeyManager": "CUSTOMER",
        "Origin": "AWS_KMS",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "KeyUsage": "ENCRYPT_DECRYPT",
    }
    assert {"KeyId": made["KeyId"], "KeyArn": made["Arn"]} in kms.list_keys(Limit=1000)["Keys"]
    assert kms.list_resource_tags(KeyId=made["KeyId"])["Tags"] == [{"TagKey": "team", "TagValue": "x"}]
    assert kms.get_key_rotation_status(KeyId=made["KeyId"])["KeyRotationEnabled"] is False
    assert kms.list_key_policies(KeyId=made["KeyId"])["PolicyNames"] == ["default"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"KeySpec": "RSA_2048"}, "UnsupportedOperationException"),
        ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, "UnsupportedOperationException"),
        ({"Origin": "EXTERNAL"}, "UnsupportedOperationException"),
        ({"MultiRegion": True}, "UnsupportedOperationException"),
        ({"CustomKeyStoreId": "cks-1234567890abcdef0"}, "UnsupportedOperationException"),
        ({"KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
        ({"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"}, "ValidationException"),
        ({"Tags": [{"TagKey": "aws:x", "TagValue": ""}]}, "ValidationException"),
        ({"Policy": "{}"}, "MalformedPolicyDocumentException"),
    ],
)
def test_keys_of_other_kinds_are_refused(kms: Any, params: dict[str, Any], code: str) -> None:
    count = len(kms.list_keys(Limit=1000)["Keys"])
    assert refused(kms.create_key, **params)[0] == code
    assert len(kms.list_keys(Limit=1000)["Keys"]) == count


def test_what_is_encrypted_is_decrypted_with_its_context_only(kms: Any) -> None:
    key = new_key(kms)
    context = {"app": "shop", "stage": "live"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"hunter2", EncryptionContext=context)
    assert sealed["KeyId"] == f"{KMS}:key/{key}" and b"hunter2" not in sealed["CiphertextBlob"]
    blob = sealed["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(context.items())))
    assert (opened["Plaintext"], opened["KeyId"]) == (b"hunter2", sealed["KeyId"])
    assert refused(kms.decrypt, CiphertextBlob=blob)[0] == "InvalidCiphertextException"
    assert refused(kms.decrypt, CiphertextBlob=b"nonsense")[0] == "InvalidCiphertextException"
    wrong = refused(kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=new_key(kms))
    assert wrong == (
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)[0] == "ValidationException"
    dry = refused(kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
    assert dry == ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")


def test_data_keys_and_random_bytes(kms: Any) -> None:
    key = new_key(kms)
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"a": "b"})
    assert len(made["Plaintext"]) == 32
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == made["Plaintext"]
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=24)
    assert "Plaintext" not in hidden and len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]) == 24
    for params in ({}, {"KeySpec": "AES_128", "NumberOfBytes": 16}):
        assert refused(kms.generate_data_key, KeyId=key, **params) == (
            "ValidationException",
            "Please specify either number of bytes or key spec.",
        )
    assert len(kms.generate_random(NumberOfBytes=64)["Plaintext"]) == 64


def test_a_ciphertext_moves_to_another_key(kms: Any) -> None:
    first, second = new_key(kms), new_key(kms)
    blob = kms.encrypt(KeyId=first, Plaintext=b"hunter2", EncryptionContext={"a": "b"})["CiphertextBlob"]
    moved = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"a": "b"}, DestinationKeyId=second)
    assert (moved["SourceKeyId"], moved["KeyId"]) == (f"{KMS}:key/{first}", f"{KMS}:key/{second}")
    kms.disable_key(KeyId=first)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"hunter2"
    assert refused(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "b"}) == (
        "DisabledException",
        f"{KMS}:key/{first} is disabled.",
    )


def test_a_disabled_key_and_one_that_is_to_go(kms: Any) -> None:
    key = new_key(kms)
    arn = f"{KMS}:key/{key}"
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x") == ("DisabledException", f"{arn} is disabled.")
    kms.enable_key(KeyId=key)
    assert refused(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)[0] == "ValidationException"
    gone = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert (gone["KeyId"], gone["KeyState"], gone["PendingWindowInDays"]) == (arn, "PendingDeletion", 7)
    shown = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert shown["DeletionDate"] == gone["DeletionDate"] and shown["Enabled"] is False
    pending = ("KMSInvalidStateException", f"{arn} is pending deletion.")
    assert refused(kms.decrypt, CiphertextBlob=blob) == pending
    assert refused(kms.enable_key, KeyId=key) == pending
    assert refused(kms.schedule_key_deletion, KeyId=key) == pending
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == arn
    assert refused(kms.cancel_key_deletion, KeyId=key)[0] == "KMSInvalidStateException"
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_a_key_is_gone_after_its_waiting_time() -> None:
    with asyncio.Runner() as runner:
        door = Door(runner)
        kms = door.client("kms")
        key = new_key(kms)
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        door.door.world.moved_s = 7 * 86_400 + 1  # boto3 would sign for now
        said = runner.run(door.door.call(ROOT, "kms", "DescribeKey", KeyId=key))
        assert (said.code, said.message) == ("NotFoundException", f"Key '{KMS}:key/{key}' does not exist")
        assert runner.run(door.door.call(ROOT, "kms", "ListKeys")).body["Keys"] == []
        runner.run(door.door.call(ROOT, "kms", "CreateKey"))
        assert door.door.region.services.keys.shelf(ACCOUNT).find(KmsKey, key) is None  # its row, too


def test_what_is_not_there_is_said_in_awss_words(kms: Any) -> None:
    assert refused(kms.describe_key, KeyId=NOBODYS) == (
        "NotFoundException",
        f"Key '{KMS}:key/{NOBODYS}' does not exist",
    )
    assert refused(kms.encrypt, KeyId="alias/no", Plaintext=b"x") == (
        "NotFoundException",
        f"Alias {KMS}:alias/no is not found.",
    )
    assert refused(kms.describe_key, KeyId="nonsense") == ("NotFoundException", "Invalid keyId 'nonsense'")


def test_aliases(kms: Any) -> None:
    first, second = new_key(kms), new_key(kms)
    kms.create_alias(AliasName="alias/shop", TargetKeyId=first)
    assert kms.describe_key(KeyId="alias/shop")["KeyMetadata"]["KeyId"] == first
    assert refused(kms.create_alias, AliasName="alias/shop", TargetKeyId=second) == (
        "AlreadyExistsException",
        f"An alias with the name {KMS}:alias/shop already exists",
    )
    kms.update_alias(AliasName="alias/shop", TargetKeyId=second)
    assert kms.describe_key(KeyId=f"{KMS}:alias/shop")["KeyMetadata"]["KeyId"] == second
    assert [alias["AliasName"] for alias in kms.list_aliases(KeyId=second)["Aliases"]] == ["alias/shop"]
    assert kms.list_aliases(KeyId=first)["Aliases"] == []
    pages = kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 1})
    listed = [alias for page in pages for alias in page["Aliases"]]
    assert {"alias/shop", "alias/aws/ssm"} <= {alias["AliasName"] for alias in listed}
    kms.delete_alias(AliasName="alias/shop")
    missing = ("NotFoundException", f"Alias {KMS}:alias/shop is not found.")
    assert refused(kms.delete_alias, AliasName="alias/shop") == missing
    assert refused(kms.update_alias, AliasName="alias/shop", TargetKeyId=first) == missing
    assert refused(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=first)[0] == "NotAuthorizedException"
    assert refused(kms.create_alias, AliasName="shop", TargetKeyId=first) == (
        "ValidationException",
        "Invalid identifier",
    )
    assert refused(kms.create_alias, AliasName="alias/b", TargetKeyId="alias/shop") == (
        "ValidationException",
        "Aliases must refer to keys. Not aliases",
    )


def test_the_default_key_of_a_service_is_made_when_it_is_named_and_used_through_the_service_only(kms: Any) -> None:
    shown = kms.describe_key(KeyId="alias/aws/ssm")["KeyMetadata"]
    assert (shown["KeyManager"], shown["KeyState"]) == ("AWS", "Enabled")
    assert kms.describe_key(KeyId="alias/aws/ssm")["KeyMetadata"] == shown
    for call, params in (
        (kms.encrypt, {"Plaintext": b"x"}),
        (kms.disable_key, {}),
        (kms.schedule_key_deletion, {}),
    ):
        code, message = refused(call, KeyId=shown["KeyId"], **params)
        assert code == "AccessDeniedException" and message.count("no resource-based policy allows") == 1


def test_tags_and_description_are_changed(kms: Any) -> None:
    key = new_key(kms)
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": "2"}])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "3"}])
    kms.untag_resource(KeyId=key, TagKeys=["b", "never"])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "3"}]
    kms.update_key_description(KeyId=key, Description="other")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "other"


def test_the_default_policy_leaves_it_to_the_accounts_iam(door: Door, kms: Any) -> None:
    key = new_key(kms)
    arn = f"{KMS}:key/{key}"
    bo = door.client("kms", door.user("bo", allow("kms:Encrypt", resource=arn)))
    who = f"User: arn:aws:iam::{ACCOUNT}:user/bo"
    blob = bo.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert refused(bo.decrypt, CiphertextBlob=blob) == no_identity("kms:Decrypt", arn, who)
    assert refused(bo.describe_key, KeyId=NOBODYS) == no_identity("kms:DescribeKey", f"{KMS}:key/{NOBODYS}", who)


def test_a_key_policy_decides_also_over_the_administrator(door: Door, kms: Any) -> None:
    cy = door.user("cy", allow("kms:CreateKey"))
    me = f"arn:aws:iam::{ACCOUNT}:user/cy"
    own = {"Effect": "Allow", "Principal": {"AWS": me}, "Action": "kms:*", "Resource": "*"}
    lockout = refused(kms.create_key, Policy=document(own))
    assert lockout == (
        "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
    )
    mine = door.client("kms", cy)
    key = new_key(mine, Policy=document(own))
    assert mine.encrypt(KeyId=key, Plaintext=b"x")["KeyId"] == f"{KMS}:key/{key}"
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x") == (
        "AccessDeniedException",
        f"User: arn:aws:iam::{ACCOUNT}:user/administrator is not authorized to perform: kms:Encrypt on resource: "
        f"{KMS}:key/{key} because no resource-based policy allows the kms:Encrypt action",
    )
    shown = mine.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    assert me in shown


def test_a_policy_of_nobody_is_refused_and_a_deny_holds(kms: Any) -> None:
    key = new_key(kms)
    everything = {"Effect": "Allow", "Principal": ROOT_PRINCIPAL, "Action": "kms:*", "Resource": "*"}
    ghost = {**everything, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ghost"}}
    assert refused(kms.put_key_policy, KeyId=key, Policy=document(everything, ghost)) == (
        "MalformedPolicyDocumentException",
        "Policy contains a statement with one or more invalid principals.",
    )
    no = {**everything, "Effect": "Deny", "Action": "kms:Encrypt"}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(everything, no))
    code, message = refused(kms.encrypt, KeyId=key, Plaintext=b"x")
    assert code == "AccessDeniedException" and message.endswith("with an explicit deny in a resource-based policy")
    assert refused(kms.get_key_policy, KeyId=key, PolicyName="other") == (
        "NotFoundException",
        "No such policy exists",
    )


def test_the_encryption_context_is_a_condition_key(door: Door, kms: Any) -> None:
    key = new_key(kms)
    only = allow("kms:*", StringEquals={"kms:EncryptionContext:app": "shop"})
    di = door.client("kms", door.user("di", only))
    assert di.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"app": "shop", "more": "1"})["KeyId"]
    assert refused(di.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"app": "other"})[0] == (
        "AccessDeniedException"
    )
    assert refused(di.encrypt, KeyId=key, Plaintext=b"x")[0] == "AccessDeniedException"


def test_another_account_uses_a_key_that_names_it_and_learns_nothing_of_others(door: Door, kms: Any) -> None:
    door.run(door.door.identity.ensure_account(OTHER, "other"))
    other = door.client("kms", door.run(door.door.key(None, account=OTHER)))
    everything = {"Effect": "Allow", "Principal": ROOT_PRINCIPAL, "Action": "kms:*", "Resource": "*"}
    let_in = {**everything, "Principal": {"AWS": OTHER}, "Action": ["kms:Encrypt", "kms:Decrypt"]}
    shared, private = new_key(kms, Policy=document(everything, let_in)), new_key(kms)
    blob = other.encrypt(KeyId=f"{KMS}:key/{shared}", Plaintext=b"x")["CiphertextBlob"]
    assert other.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    closed = kms.encrypt(KeyId=private, Plaintext=b"x")["CiphertextBlob"]
    code, message = refused(other.decrypt, CiphertextBlob=closed)
    assert code == "AccessDeniedException" and private not in message
    assert refused(other.disable_key, KeyId=f"{KMS}:key/{shared}")[0] == "AccessDeniedException"
    assert refused(other.describe_key, KeyId=f"{KMS}:key/{private}")[0] == "AccessDeniedException"


def test_grants_are_refused(kms: Any) -> None:
    key = new_key(kms)
    grantee = f"arn:aws:iam::{ACCOUNT}:root"
    assert refused(kms.create_grant, KeyId=key, GranteePrincipal=grantee, Operations=["Decrypt"])[0] == (
        "UnknownOperationException"
    )
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x", GrantTokens=["x"])[0] == "InvalidGrantTokenException"


def test_keys_are_not_rotated(kms: Any) -> None:
    key = new_key(kms)
    code, message = refused(kms.enable_key_rotation, KeyId=key)
    assert code == "UnsupportedOperationException" and "does not rotate keys" in message
    kms.disable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


def test_the_record_names_key_and_context_and_no_plaintext(door: Door, kms: Any) -> None:
    key = new_key(kms)
    kms.encrypt(KeyId=key, Plaintext=b"hunter2", EncryptionContext={"App": "Shop"})
    door.run(door.door.region.trail.flush())
    attributes = [{"AttributeKey": "EventName", "AttributeValue": "Encrypt"}]
    event = door.client("cloudtrail").lookup_events(LookupAttributes=attributes)["Events"][0]
    record = json.loads(event["CloudTrailEvent"])
    assert record["requestParameters"] == {
        "keyId": key,
        "plaintext": "HIDDEN_DUE_TO_SECURITY_REASONS",
        "encryptionContext": {"App": "Shop"},
    }
    assert record["responseElements"] is None and record["readOnly"] is True
    assert record["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": f"{KMS}:key/{key}"}]


def test_who_has_no_leave_makes_no_default_key() -> None:
    with asyncio.Runner() as runner:
        door = Door(runner)
        al = door.client("kms", door.user("al"))
        arn = f"{KMS}:alias/aws/ssm"
        assert refused(al.describe_key, KeyId="alias/aws/ssm") == no_identity("kms:DescribeKey", arn)
        assert refused(al.describe_key, KeyId=arn) == no_identity("kms:DescribeKey", arn)
        assert door.client("kms").list_keys()["Keys"] == []


def test_who_gives_a_key_a_policy_can_change_it_again(door: Door) -> None:
    everything = document({"Effect": "Allow", "Principal": ROOT_PRINCIPAL, "Action": "kms:*", "Resource": "*"})
    maker = door.client("kms", door.user("maker", allow("kms:CreateKey")))
    assert refused(maker.create_key, Policy=everything)[0] == "MalformedPolicyDocumentException"
    new_key(maker)
    new_key(maker, Policy=everything, BypassPolicyLockoutSafetyCheck=True)
    keeper = door.client("kms", door.user("keeper", allow("kms:CreateKey", "kms:PutKeyPolicy")))
    new_key(keeper, Policy=everything)


def test_a_key_has_fifty_aliases_and_no_more(kms: Any) -> None:
    key = new_key(kms)
    for number in range(50):
        kms.create_alias(AliasName=f"alias/many-{number:02}", TargetKeyId=key)
    assert refused(kms.create_alias, AliasName="alias/one-more", TargetKeyId=key)[0] == "LimitExceededException"
    kms.update_alias(AliasName="alias/many-00", TargetKeyId=key)  # its own place is no new one
    pages = kms.get_paginator("list_aliases").paginate(KeyId=key, PaginationConfig={"PageSize": 20})
    listed = [alias["AliasName"] for page in pages for alias in page["Aliases"]]
    assert listed == [f"alias/many-{number:02}" for number in range(50)]


def test_aliases_are_condition_keys(door: Door, kms: Any) -> None:
    first, second = new_key(kms), new_key(kms)
    kms.create_alias(AliasName="alias/live", TargetKeyId=first)
    by_alias = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/live"}}
    ed = door.client("kms", door.user("ed", allow("kms:Encrypt", **by_alias)))
    assert ed.encrypt(KeyId=first, Plaintext=b"x")["KeyId"].endswith(first)
    assert refused(ed.encrypt, KeyId=second, Plaintext=b"x")[0] == "AccessDeniedException"
    kms.update_alias(AliasName="alias/live", TargetKeyId=second)
    assert refused(ed.encrypt, KeyId=first, Plaintext=b"x")[0] == "AccessDeniedException"
    ed.encrypt(KeyId=second, Plaintext=b"x")
    kms.delete_alias(AliasName="alias/live")
    assert refused(ed.encrypt, KeyId=second, Plaintext=b"x")[0] == "AccessDeniedException"
