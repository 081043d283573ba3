"""IAM as boto3 sees it: signed requests in, parsed answers out, through the front end of a simulated region.

Every answer is also checked against the service model: no member that IAM does not have,
none missing that it must have.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.frontend.app import FrontEnd
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.operations.table import OPERATIONS
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import Keys
from neargate.testing.region import open_region
from neargate.wire.shapes import Models
from neargate.world import OsWorld

from .door_clients import boto, sender
from .modelled import modelled

ACCOUNT, OTHER, REGION = "123456789012", "210987654321", "us-east-1"
MODELS = Models()
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ECS_EXECUTION = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


RUN = policy({"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"})
STOP = policy({"Effect": "Allow", "Action": "ecs:StopTask", "Resource": "*"})
TRUST = policy({"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"})


class Region:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.region = runner.run(open_region(OsWorld(), region=REGION, account=ACCOUNT))
        runner.run(self.region.identity.ensure_account(OTHER, "other"))
        self.iam = self.client(ACCOUNT)
        self.other = self.client(OTHER)

    def client(self, account: str) -> Any:
        """boto3 as the account's administrator, its requests handed to a front end in this process."""
        front = FrontEnd(
            world=OsWorld(),
            region=REGION,
            knobs=DEFAULT_KNOBS,
            models=MODELS,
            services=self.region.services,
            operations={"iam": modelled("iam", OPERATIONS["iam"], moments=int)},
            credentials=Credentials(account=account, access_key_id="AKIATEST", secret_access_key="secret"),
        )
        keys = Keys(key="AKIATEST", secret="secret")
        return boto("iam", keys, sender(self._runner.run, front), parameter_validation=False)


@pytest.fixture
def region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


@pytest.fixture
def iam(region: Region) -> Any:
    return region.iam


def error_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def status_of(call: Any, **params: Any) -> int:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_the_life_of_a_user(iam: Any) -> None:
    made = iam.create_user(UserName="ann", Path="/team/", Tags=[{"Key": "k", "Value": "v"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/ann"
    assert made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21
    got = iam.get_user(UserName="ann")["User"]
    assert (got["Path"], got["Tags"], got["CreateDate"]) == (
        "/team/",
        [{"Key": "k", "Value": "v"}],
        made["CreateDate"],
    )
    assert error_of(iam.create_user, UserName="ANN") == (
        "EntityAlreadyExists",
        "User with name ANN already exists.",
    )
    iam.update_user(UserName="ann", NewUserName="anna", NewPath="/")
    assert error_of(iam.get_user, UserName="ann") == ("NoSuchEntity", "The user with name ann cannot be found.")
    assert status_of(iam.get_user, UserName="ann") == 404
    assert iam.get_user(UserName="anna")["User"]["UserId"] == made["UserId"]
    iam.tag_user(UserName="anna", Tags=[{"Key": "K", "Value": "w"}, {"Key": "x", "Value": ""}])
    assert iam.list_user_tags(UserName="anna")["Tags"] == [{"Key": "K", "Value": "w"}, {"Key": "x", "Value": ""}]
    iam.untag_user(UserName="anna", TagKeys=["k"])
    assert iam.list_user_tags(UserName="anna")["Tags"] == [{"Key": "x", "Value": ""}]
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["anna"]
    assert iam.list_users(PathPrefix="/none/")["Users"] == []
    iam.delete_user(UserName="anna")
    assert iam.list_users()["Users"] == []


def test_access_keys_prove_and_are_listed_without_their_secrets(region: Region) -> None:
    iam = region.iam
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA") and len(key["AccessKeyId"]) == 20
    assert len(key["SecretAccessKey"]) == 40
    record = region.region.identity.key(key["AccessKeyId"])
    assert record is not None and (record.secret, record.user, record.active) == (
        key["SecretAccessKey"],
        "ann",
        True,
    )
    listed = iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert [(one["AccessKeyId"], one["Status"], "SecretAccessKey" in one) for one in listed] == [
        (key["AccessKeyId"], "Active", False)
    ]
    iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    record = region.region.identity.key(key["AccessKeyId"])
    assert record is not None and not record.active
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert (used["UserName"], used["AccessKeyLastUsed"]["ServiceName"]) == ("ann", "N/A")
    region.region.identity.note_use(key["AccessKeyId"], service="ecs", region=REGION)
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
    assert (used["ServiceName"], used["Region"]) == ("ecs", REGION) and "LastUsedDate" in used
    iam.create_access_key(UserName="ann")
    assert error_of(iam.create_access_key, UserName="ann") == (
        "LimitExceeded",
        "Cannot exceed quota for AccessKeysPerUser: 2",
    )
    assert error_of(iam.delete_user, UserName="ann") == (
        "DeleteConflict",
        "Cannot delete entity, must delete access keys first.",
    )
    assert error_of(region.other.get_access_key_last_used, AccessKeyId=key["AccessKeyId"])[0] == "NoSuchEntity"
    assert error_of(region.other.delete_access_key, AccessKeyId=key["AccessKeyId"])[0] == "NoSuchEntity"
    iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
    assert region.region.identity.key(key["AccessKeyId"]) is None


def test_the_administrator_is_no_user_but_has_keys(iam: Any) -> None:
    assert iam.get_user()["User"]["UserName"] == "administrator"
    assert error_of(iam.create_user, UserName="administrator")[0] == "EntityAlreadyExists"
    key = iam.create_access_key()["AccessKey"]
    assert [one["AccessKeyId"] for one in iam.list_access_keys()["AccessKeyMetadata"]] == [key["AccessKeyId"]]
    assert iam.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 1


def test_groups_and_their_members(iam: Any) -> None:
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="team")
    iam.add_user_to_group(GroupName="team", UserName="ann")
    iam.add_user_to_group(GroupName="team", UserName="ann")
    assert [user["UserName"] for user in iam.get_group(GroupName="team")["Users"]] == ["ann"]
    iam.update_group(GroupName="team", NewGroupName="crew")
    assert [group["GroupName"] for group in iam.list_groups_for_user(UserName="ann")["Groups"]] == ["crew"]
    iam.put_group_policy(GroupName="crew", PolicyName="run", PolicyDocument=RUN)
    iam.attach_group_policy(GroupName="crew", PolicyArn=READ_ONLY)
    conflict = "Cannot delete entity, must remove users from group first."
    assert error_of(iam.delete_group, GroupName="crew") == ("DeleteConflict", conflict)
    assert error_of(iam.delete_user, UserName="ann")[0] == "DeleteConflict"
    iam.remove_user_from_group(GroupName="crew", UserName="ann")
    assert error_of(iam.remove_user_from_group, GroupName="crew", UserName="ann")[0] == "NoSuchEntity"
    assert error_of(iam.delete_group, GroupName="crew")[1] == "Cannot delete entity, must detach all policies first."
    iam.detach_group_policy(GroupName="crew", PolicyArn=READ_ONLY)
    assert error_of(iam.delete_group, GroupName="crew")[1] == "Cannot delete entity, must delete policies first."
    iam.delete_group_policy(GroupName="crew", PolicyName="run")
    iam.delete_group(GroupName="crew")
    assert iam.list_groups()["Groups"] == []


def test_the_life_of_a_role(iam: Any) -> None:
    made = iam.create_role(
        RoleName="task", AssumeRolePolicyDocument=TRUST, Description="d", MaxSessionDuration=7200, Path="/app/"
    )["Role"]
    assert made["RoleId"].startswith("AROA")
    got = iam.get_role(RoleName="task")["Role"]
    assert got["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert (got["Description"], got["MaxSessionDuration"], got["RoleLastUsed"]) == ("d", 7200, {})
    iam.update_role(RoleName="task", MaxSessionDuration=3600)
    assert iam.update_role_description(RoleName="task", Description="e")["Role"]["Description"] == "e"
    assert iam.get_role(RoleName="task")["Role"]["MaxSessionDuration"] == 3600
    iam.put_role_policy(RoleName="task", PolicyName="run", PolicyDocument=RUN)
    assert iam.get_role_policy(RoleName="task", PolicyName="run")["PolicyDocument"] == json.loads(RUN)
    iam.attach_role_policy(RoleName="task", PolicyArn=ECS_EXECUTION)
    attached = iam.list_attached_role_policies(RoleName="task")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonECSTaskExecutionRolePolicy", "PolicyArn": ECS_EXECUTION}]
    assert iam.list_attached_role_policies(RoleName="task", PathPrefix="/x/")["AttachedPolicies"] == []
    assert error_of(iam.delete_role, RoleName="task")[0] == "DeleteConflict"
    iam.detach_role_policy(RoleName="task", PolicyArn=ECS_EXECUTION)
    assert error_of(iam.detach_role_policy, RoleName="task", PolicyArn=ECS_EXECUTION) == (
        "NoSuchEntity",
        f"Policy {ECS_EXECUTION} was not found.",
    )
    iam.delete_role_policy(RoleName="task", PolicyName="run")
    assert error_of(iam.get_role_policy, RoleName="task", PolicyName="run") == (
        "NoSuchEntity",
        "The role policy with name run cannot be found.",
    )
    iam.delete_role(RoleName="task")
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    assert "task" not in roles


def test_documents_are_sent_url_encoded(region: Region) -> None:
    iam = region.iam
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    bodies: list[bytes] = []

    def keep(http_response: Any, **_: Any) -> None:
        bodies.append(http_response.content)

    iam.meta.events.register("after-call.iam.GetRole", keep)
    iam.get_role(RoleName="r")
    assert b"<AssumeRolePolicyDocument>%7B%22Version%22%3A%20%222012-10-17%22%2C%20" in bodies[0]


def test_a_trust_policy_is_pinned_to_who_was_meant(region: Region) -> None:
    iam = region.iam
    ann = iam.create_user(UserName="ann")["User"]
    trust = policy({"Effect": "Allow", "Principal": {"AWS": [ann["Arn"], OTHER]}, "Action": "sts:AssumeRole"})
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)

    def principals() -> list[str]:
        shown = iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]
        return list(shown["Statement"][0]["Principal"]["AWS"])

    root = f"arn:aws:iam::{OTHER}:root"
    assert principals() == [ann["Arn"], root]
    iam.delete_user(UserName="ann")
    again = iam.create_user(UserName="ann")["User"]
    assert principals() == [ann["UserId"], root]
    assert again["UserId"] != ann["UserId"]
    nobody = f"arn:aws:iam::{ACCOUNT}:user/bob"
    for arn in (nobody, "arn:aws:iam::999999999999:root", "999999999999", ann["UserId"]):
        wrong = policy({"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"})
        assert error_of(iam.update_assume_role_policy, RoleName="r", PolicyDocument=wrong) == (
            "MalformedPolicyDocument",
            f'Invalid principal in policy: "AWS":"{arn}"',
        )
    me = iam.get_user()["User"]["Arn"]
    iam.update_assume_role_policy(
        RoleName="r",
        PolicyDocument=policy({"Effect": "Allow", "Principal": {"AWS": me}, "Action": "sts:AssumeRole"}),
    )


def test_managed_policies_and_their_versions(iam: Any) -> None:
    made = iam.create_policy(PolicyName="p", PolicyDocument=RUN, Description="d")["Policy"]
    arn = made["Arn"]
    assert (arn, made["DefaultVersionId"], made["AttachmentCount"]) == (f"arn:aws:iam::{ACCOUNT}:policy/p", "v1", 0)
    assert error_of(iam.create_policy, PolicyName="P", PolicyDocument=RUN) == (
        "EntityAlreadyExists",
        "A policy called P already exists. Duplicate names are not allowed.",
    )
    for number in range(2, 6):
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=STOP, SetAsDefault=number == 3)
        assert made["PolicyVersion"]["VersionId"] == f"v{number}"
    code, text = error_of(iam.create_policy_version, PolicyArn=arn, PolicyDocument=RUN)
    assert code == "LimitExceeded" and text.startswith("A managed policy can have up to 5 versions.")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [(one["VersionId"], one["IsDefaultVersion"]) for one in versions] == [
        ("v5", False),
        ("v4", False),
        ("v3", True),
        ("v2", False),
        ("v1", False),
    ]
    assert error_of(iam.delete_policy_version, PolicyArn=arn, VersionId="v3") == (
        "DeleteConflict",
        "Cannot delete the default version of a policy.",
    )
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    assert error_of(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    for number in range(2, 6):
        iam.delete_policy_version(PolicyArn=arn, VersionId=f"v{number}")
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=STOP)
    assert made["PolicyVersion"]["VersionId"] == "v6"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v6")
    assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == json.loads(RUN)
    iam.create_user(UserName="ann", PermissionsBoundary=arn)
    iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    policy_shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy_shown["AttachmentCount"], policy_shown["PermissionsBoundaryUsageCount"]) == (1, 1)
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    assert [one["UserName"] for one in entities["PolicyUsers"]] == ["ann"]
    conflict = ("DeleteConflict", "Cannot delete a policy attached to entities.")
    assert error_of(iam.delete_policy, PolicyArn=arn) == conflict
    iam.detach_user_policy(UserName="ann", PolicyArn=arn)
    assert error_of(iam.delete_policy, PolicyArn=arn) == conflict
    iam.delete_user_permissions_boundary(UserName="ann")
    iam.delete_policy(PolicyArn=arn)
    assert error_of(iam.get_policy, PolicyArn=arn) == ("NoSuchEntity", f"Policy {arn} was not found.")


def test_awss_policies_are_read_and_attached_but_never_changed(iam: Any) -> None:
    got = iam.get_policy(PolicyArn=READ_ONLY)["Policy"]
    document = iam.get_policy_version(PolicyArn=READ_ONLY, VersionId=got["DefaultVersionId"])
    assert document["PolicyVersion"]["Document"]["Statement"]
    outside = ("AccessDenied", "Policy is outside your own account.")
    assert error_of(iam.create_policy_version, PolicyArn=READ_ONLY, PolicyDocument=RUN) == outside
    assert error_of(iam.delete_policy, PolicyArn=READ_ONLY) == outside
    assert error_of(iam.tag_policy, PolicyArn=READ_ONLY, Tags=[{"Key": "a", "Value": "b"}]) == outside
    names = [one["PolicyName"] for one in iam.list_policies(Scope="AWS")["Policies"]]
    assert "AmazonECS_FullAccess" in names
    assert iam.list_policies(Scope="Local")["Policies"] == []
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="r", PolicyArn=READ_ONLY)
    attached = iam.list_policies(OnlyAttached=True, Scope="AWS", PolicyUsageFilter="PermissionsPolicy")["Policies"]
    assert [one["Arn"] for one in attached] == [READ_ONLY]
    linked = "arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy"
    assert error_of(iam.attach_role_policy, RoleName="r", PolicyArn=linked)[0] == "PolicyNotAttachable"
    assert error_of(iam.attach_role_policy, RoleName="r", PolicyArn="arn:aws:iam::aws:policy/None")[0] == "NoSuchEntity"
    for malformed in ('{"Version": "2012-10-17"}', "arn:aws:s3:::policy/ReadOnlyAccess", f"{READ_ONLY} "):
        wrong = ("InvalidInput", f"ARN {malformed} is not valid.")
        assert error_of(iam.attach_role_policy, RoleName="r", PolicyArn=malformed) == wrong


def test_service_linked_roles_belong_to_their_service(iam: Any) -> None:
    name = "AWSServiceRoleForECS"
    assert error_of(iam.get_role, RoleName=name)[0] == "NoSuchEntity"  # a new account has it not yet, as on AWS
    role = iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/{name}"
    for call, params in (
        (iam.put_role_policy, {"PolicyName": "p", "PolicyDocument": RUN}),
        (iam.attach_role_policy, {"PolicyArn": READ_ONLY}),
        (iam.update_assume_role_policy, {"PolicyDocument": TRUST}),
        (iam.delete_role, {}),
        (iam.update_role, {"MaxSessionDuration": 7200}),
    ):
        assert error_of(call, RoleName=name, **params) == (
            "UnmodifiableEntity",
            f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
        )
    assert error_of(iam.create_service_linked_role, AWSServiceName="ecs.amazonaws.com") == (
        "InvalidInput",
        f"Service role name {name} has been taken in this account, please try a different suffix.",
    )
    iam.tag_role(RoleName=name, Tags=[{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}])
    iam.untag_role(RoleName=name, TagKeys=["c"])
    iam.update_role(RoleName=name, Description="ours")
    shown = iam.get_role(RoleName=name)["Role"]
    assert (shown["Tags"], shown["Description"]) == ([{"Key": "a", "Value": "b"}], "ours")
    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    made = iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")["Role"]
    assert made["RoleId"] != role["RoleId"]
    assert error_of(iam.create_service_linked_role, AWSServiceName="x.example.com")[0] == "InvalidInput"
    assert (
        error_of(
            iam.create_role, RoleName="r", Path="/aws-service-role/ecs.amazonaws.com/", AssumeRolePolicyDocument=TRUST
        )[0]
        == "ValidationError"
    )


def test_oidc_providers(iam: Any) -> None:
    url = "https://token.actions.githubusercontent.com"
    made = iam.create_open_id_connect_provider(
        Url=url, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["A" * 40], Tags=[{"Key": "a", "Value": "b"}]
    )
    arn = made["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    assert error_of(iam.create_open_id_connect_provider, Url=url)[0] == "EntityAlreadyExists"
    for wrong in ("http://a.example", "https://a b", "https://a.example/?q=1", "https://u@a.example"):
        assert error_of(iam.create_open_id_connect_provider, Url=wrong)[0] == "InvalidInput", wrong
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="other")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="sts.amazonaws.com")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["b" * 40])
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (got["Url"], got["ClientIDList"], got["ThumbprintList"]) == (
        "token.actions.githubusercontent.com",
        ["other"],
        ["b" * 40],
    )
    assert [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]] == [arn]
    assert iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert error_of(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn) == (
        "NoSuchEntity",
        f"OpenIDConnect Provider not found for arn {arn}",
    )


def test_instance_profiles_hold_a_role(iam: Any) -> None:
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="ip")
    iam.add_role_to_instance_profile(InstanceProfileName="ip", RoleName="r")
    profile = iam.get_instance_profile(InstanceProfileName="ip")["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == ["r"]
    assert len(iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"]) == 1
    text = "Cannot delete entity, must remove roles from instance profile first."
    assert error_of(iam.delete_role, RoleName="r") == ("DeleteConflict", text)
    assert error_of(iam.delete_instance_profile, InstanceProfileName="ip") == ("DeleteConflict", text)
    iam.remove_role_from_instance_profile(InstanceProfileName="ip", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="ip")
    iam.delete_role(RoleName="r")
    assert error_of(iam.get_instance_profile, InstanceProfileName="ip") == (
        "NoSuchEntity",
        "Instance Profile ip cannot be found.",
    )


def test_paginators_reach_the_end_and_markers_are_bound(iam: Any) -> None:
    names = [f"u{number:02d}" for number in range(7)]
    for name in names:
        iam.create_user(UserName=name)
    pages = list(iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(one["Users"]) for one in pages] == [3, 3, 1]
    assert [user["UserName"] for one in pages for user in one["Users"]] == names
    details = iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 2})
    assert [user["UserName"] for one in details for user in one["UserDetailList"]] == names
    marker = iam.list_users(MaxItems=2)["Marker"]
    for wrong in (marker[:-4], "made up", "AAAA"):
        assert error_of(iam.list_users, Marker=wrong) == ("ValidationError", "Invalid Marker.")
    assert error_of(iam.list_groups, Marker=marker) == ("ValidationError", "Invalid Marker.")


def test_one_account_never_sees_the_other(region: Region) -> None:
    iam, other = region.iam, region.other
    iam.create_user(UserName="ann")
    arn = iam.create_policy(PolicyName="p", PolicyDocument=RUN)["Policy"]["Arn"]
    assert other.list_users()["Users"] == []
    assert other.list_policies(Scope="Local")["Policies"] == []
    assert error_of(other.get_user, UserName="ann")[0] == "NoSuchEntity"
    assert error_of(other.get_policy, PolicyArn=arn)[0] == "AccessDenied"
    other.create_user(UserName="ann")
    assert error_of(other.attach_user_policy, UserName="ann", PolicyArn=arn)[0] == "NoSuchEntity"
    assert error_of(other.delete_policy, PolicyArn=arn)[0] == "AccessDenied"
    iam.create_account_alias(AccountAlias="mine")
    assert error_of(other.create_account_alias, AccountAlias="mine")[0] == "EntityAlreadyExists"
    assert iam.list_account_aliases()["AccountAliases"] == ["mine"]
    assert other.list_account_aliases()["AccountAliases"] == []
    assert error_of(other.delete_account_alias, AccountAlias="mine")[0] == "NoSuchEntity"
    iam.delete_account_alias(AccountAlias="mine")
    assert other.get_account_summary()["SummaryMap"]["Users"] == 1


@pytest.mark.parametrize(
    ("operation", "params", "code", "text"),
    [
        (
            "create_user",
            {"UserName": "a", "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/none"},
            "NoSuchEntity",
            None,
        ),
        (
            "create_user",
            {"UserName": "a", "Tags": [{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}]},
            "InvalidInput",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ),
        (
            "create_user",
            {"UserName": "a b"},
            "ValidationError",
            "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the"
            " following: +=,.@_-",
        ),
        ("list_mfa_devices", {"UserName": "a"}, "NoSuchEntity", "The user with name a cannot be found."),
        ("create_user", {}, "ValidationError", None),
        (
            "get_policy",
            {"PolicyArn": "arn:aws:s3:::bucket-of-mine"},
            "InvalidInput",
            "ARN arn:aws:s3:::bucket-of-mine is not valid.",
        ),
        (
            "create_policy",
            {"PolicyName": "p", "PolicyDocument": "{}"},
            "MalformedPolicyDocument",
            "Syntax errors in policy.",
        ),
        (
            "create_policy",
            {
                "PolicyName": "p",
                "PolicyDocument": policy({"Effect": "Allow", "Action": "a:" + "b" * 6200, "Resource": "*"}),
            },
            "LimitExceeded",
            "Cannot exceed quota for PolicySize: 6144",
        ),
        ("create_role", {"RoleName": "r", "AssumeRolePolicyDocument": RUN}, "MalformedPolicyDocument", None),
        (
            "get_account_password_policy",
            {},
            "NoSuchEntity",
            f"The Password Policy with domain name {ACCOUNT} cannot be found.",
        ),
        ("get_login_profile", {"UserName": "a"}, "NoSuchEntity", "Login Profile for User a cannot be found."),
        ("create_login_profile", {"UserName": "a", "Password": "x"}, "InvalidAction", None),
        (
            "simulate_principal_policy",
            {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/none", "ActionNames": ["a:b"]},
            "NoSuchEntity",
            None,
        ),
        (
            "simulate_principal_policy",
            {"PolicySourceArn": "arn:aws:iam::999999999999:user/x", "ActionNames": ["a:b"]},
            "InvalidInput",
            None,
        ),
    ],
)
def test_what_is_wrong_is_refused_in_iams_words(
    iam: Any, operation: str, params: dict[str, Any], code: str, text: str | None
) -> None:
    got = error_of(getattr(iam, operation), **params)
    assert got[0] == code, got
    assert text is None or got[1] == text
    assert iam.list_users()["Users"] == []


def test_inline_policies_have_a_size_in_all(iam: Any) -> None:
    iam.create_user(UserName="ann")
    large = policy({"Effect": "Allow", "Action": "ecs:" + "x" * 1100, "Resource": "*"})
    iam.put_user_policy(UserName="ann", PolicyName="a", PolicyDocument=large)
    iam.put_user_policy(UserName="ann", PolicyName="a", PolicyDocument=large)
    assert error_of(iam.put_user_policy, UserName="ann", PolicyName="b", PolicyDocument=large) == (
        "LimitExceeded",
        "Maximum policy size of 2048 bytes exceeded for user ann",
    )
    assert iam.list_user_policies(UserName="ann")["PolicyNames"] == ["a"]
    blank = RUN.replace(" ", " " * 4000)
    assert error_of(iam.put_user_policy, UserName="ann", PolicyName="b", PolicyDocument=blank)[0] == "LimitExceeded"


def test_what_nobody_can_have_is_listed_as_empty(iam: Any) -> None:
    iam.create_user(UserName="ann")
    assert iam.list_mfa_devices(UserName="ann")["MFADevices"] == []
    assert iam.list_ssh_public_keys(UserName="ann")["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName="ann")["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName="ann")["ServiceSpecificCredentials"] == []
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []
    assert iam.list_server_certificates()["ServerCertificateMetadataList"] == []
    assert iam.list_saml_providers()["SAMLProviderList"] == []


def test_the_details_of_an_account(iam: Any) -> None:
    iam.create_user(UserName="ann", Tags=[{"Key": "a", "Value": "b"}])
    iam.put_user_policy(UserName="ann", PolicyName="run", PolicyDocument=RUN)
    iam.attach_user_policy(UserName="ann", PolicyArn=READ_ONLY)
    iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
    details = iam.get_account_authorization_details()
    user = details["UserDetailList"][0]
    assert user["UserPolicyList"] == [{"PolicyName": "run", "PolicyDocument": json.loads(RUN)}]
    assert user["AttachedManagedPolicies"] == [{"PolicyName": "ReadOnlyAccess", "PolicyArn": READ_ONLY}]
    assert "AWSServiceRoleForECS" in [role["RoleName"] for role in details["RoleDetailList"]]
    assert {"AmazonECSServiceRolePolicy", "ReadOnlyAccess"} <= {one["PolicyName"] for one in details["Policies"]}
    only = iam.get_account_authorization_details(Filter=["Group"])
    assert (only["UserDetailList"], only["RoleDetailList"], only["IsTruncated"]) == ([], [], False)


def test_a_large_simulation_comes_in_pages(iam: Any) -> None:
    many = policy(*({"Effect": "Allow", "Action": "ecs:*", "Resource": "*"} for _ in range(300)))
    actions = [f"ecs:Run{number}" for number in range(150)]
    first = iam.simulate_custom_policy(PolicyInputList=[many], ActionNames=actions, MaxItems=1000)
    assert (len(first["EvaluationResults"]), first["IsTruncated"]) == (100, True)
    assert len(first["EvaluationResults"][0]["MatchedStatements"]) == 100
    second = iam.simulate_custom_policy(PolicyInputList=[many], ActionNames=actions, Marker=first["Marker"])
    names = [one["EvalActionName"] for answer in (first, second) for one in answer["EvaluationResults"]]
    assert names == actions
    pairs = {"ActionNames": actions, "ResourceArns": [f"arn:aws:ecs:::{number}" for number in range(70)]}
    assert error_of(iam.simulate_custom_policy, PolicyInputList=[many], **pairs)[0] == "InvalidInput"


def test_the_simulator_says_what_the_evaluator_would(iam: Any) -> None:
    deny = '{\n  "Version": "2012-10-17",\n  "Statement": [\n'
    deny += '    {"Effect": "Deny", "Action": "ecs:Stop*", "Resource": "*",'
    deny += ' "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}},\n'
    deny += '    {"Effect": "Allow", "Action": "ecs:*", "Resource": "*"}\n  ]\n}'
    answer = iam.simulate_custom_policy(
        PolicyInputList=[deny],
        ActionNames=["ecs:RunTask", "ecs:StopTask", "iam:GetUser"],
        ContextEntries=[
            {"ContextKeyName": "aws:RequestedRegion", "ContextKeyValues": ["eu-west-1"], "ContextKeyType": "string"}
        ],
    )
    results = answer["EvaluationResults"]
    assert [one["EvalDecision"] for one in results] == ["allowed", "explicitDeny", "implicitDeny"]
    assert [(one["StartPosition"], one["EndPosition"]) for one in results[1]["MatchedStatements"]] == [
        ({"Line": 4, "Column": 5}, {"Line": 4, "Column": len(deny.splitlines()[3])})
    ]
    assert results[0]["MatchedStatements"][0]["StartPosition"] == {"Line": 5, "Column": 5}
    missing = iam.simulate_custom_policy(PolicyInputList=[deny], ActionNames=["ecs:StopTask"])["EvaluationResults"][0]
    assert (missing["EvalDecision"], missing["MissingContextValues"]) == ("allowed", ["aws:RequestedRegion"])
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[deny])
    assert keys["ContextKeyNames"] == ["aws:RequestedRegion"]
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="team")
    iam.add_user_to_group(GroupName="team", UserName="ann")
    iam.put_group_policy(GroupName="team", PolicyName="run", PolicyDocument=RUN)
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=READ_ONLY)
    result = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann", ActionNames=["ecs:RunTask"]
    )["EvaluationResults"][0]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    iam.delete_user_permissions_boundary(UserName="ann")
    result = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann", ActionNames=["ecs:RunTask"]
    )["EvaluationResults"][0]
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"][0]["SourcePolicyId"] == "group_team_run"
