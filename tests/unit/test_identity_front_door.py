"""Identities at work: what policies say holds at once, for each caller and each entity, through signed calls."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, OTHER, ROOT, FrontDoor, Keys, open_front_door


def story(body: Callable[[FrontDoor], Awaitable[None]]) -> None:
    async def main() -> None:
        await body(await open_front_door())

    asyncio.run(main())


def allow(*actions: str, resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


async def made(door: FrontDoor, who: Keys, operation: str, **params: Any) -> Any:
    said = await door.call(who, "iam", operation, params)
    assert said.status == 200, (operation, said.code, said.message)
    return said.body


async def refused(door: FrontDoor, who: Keys, operation: str, **params: Any) -> tuple[str, str]:
    said = await door.call(who, "iam", operation, params)
    assert said.status in (400, 403, 404, 409), (operation, said.status, said.body)
    return said.code, said.message


def test_what_a_policy_says_holds_from_the_next_call_on() -> None:
    async def body(door: FrontDoor) -> None:
        ann = await door.user("ann")
        assert await refused(door, ann, "ListUsers") == (
            "AccessDenied",
            f"User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: iam:ListUsers on resource: "
            f"arn:aws:iam::{ACCOUNT}:user/ "
            "because no identity-based policy allows the iam:ListUsers action",
        )
        policy = json.dumps(allow("iam:ListUsers"))
        await made(door, ROOT, "CreateGroup", GroupName="readers")
        await made(door, ROOT, "PutGroupPolicy", GroupName="readers", PolicyName="p", PolicyDocument=policy)
        await made(door, ROOT, "AddUserToGroup", GroupName="readers", UserName="ann")
        await made(door, ann, "ListUsers")
        await made(door, ROOT, "RemoveUserFromGroup", GroupName="readers", UserName="ann")
        assert (await refused(door, ann, "ListUsers"))[0] == "AccessDenied"
        arn = f"arn:aws:iam::{ACCOUNT}:policy/p"
        await made(door, ROOT, "CreatePolicy", PolicyName="p", PolicyDocument=policy)
        await made(door, ROOT, "AttachUserPolicy", UserName="ann", PolicyArn=arn)
        await made(door, ann, "ListUsers")
        nothing = json.dumps(allow("iam:ListRoles"))
        await made(door, ROOT, "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=nothing, SetAsDefault="true")
        assert (await refused(door, ann, "ListUsers"))[0] == "AccessDenied"
        await made(door, ROOT, "SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
        await made(door, ann, "ListUsers")
        boundary = "arn:aws:iam::aws:policy/AmazonECS_FullAccess"
        await made(door, ROOT, "PutUserPermissionsBoundary", UserName="ann", PermissionsBoundary=boundary)
        said = await refused(door, ann, "ListUsers")
        assert said[1].endswith("because no permissions boundary allows the iam:ListUsers action")
        await made(door, ROOT, "DeleteUserPermissionsBoundary", UserName="ann")
        await made(door, ROOT, "UpdateAccessKey", UserName="ann", AccessKeyId=ann.key, Status="Inactive")
        assert (await refused(door, ann, "ListUsers"))[0] == "InvalidClientTokenId"
        await made(door, ROOT, "UpdateAccessKey", UserName="ann", AccessKeyId=ann.key, Status="Active")
        await made(door, ann, "ListUsers")
        await made(door, ROOT, "DeleteAccessKey", UserName="ann", AccessKeyId=ann.key)
        assert (await refused(door, ann, "ListUsers"))[0] == "InvalidClientTokenId"

    story(body)


def arn(resource: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:{resource}"


def test_a_refusal_names_the_resource_as_iam_does() -> None:
    """As messages have it that people got from AWS: a new entity's ARN, a name of one that is there, a path to list."""
    document = "{}"

    async def body(door: FrontDoor) -> None:
        ann = await door.user("ann")
        for operation, params, shown in [
            ("ListUsers", {}, arn("user/")),
            (
                "ListRoles",
                {"PathPrefix": "/aws-service-role/ecs.amazonaws.com/"},
                arn("role/aws-service-role/ecs.amazonaws.com/"),
            ),
            ("ListGroups", {}, arn("group/")),
            ("ListInstanceProfiles", {}, arn("instance-profile/")),
            ("ListPolicies", {}, "policy path /"),
            ("ListAccountAliases", {}, "*"),
            ("GetAccountSummary", {}, "*"),
            ("CreateUser", {"UserName": "bob", "Path": "/a/"}, arn("user/a/bob")),
            ("CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": document}, arn("role/r")),
            ("CreateGroup", {"GroupName": "g"}, arn("group/g")),
            ("CreateInstanceProfile", {"InstanceProfileName": "i"}, arn("instance-profile/i")),
            ("CreatePolicy", {"PolicyName": "p", "PolicyDocument": document}, "policy p"),
            ("GetUser", {"UserName": "ann"}, "user ann"),
            ("CreateAccessKey", {"UserName": "nobody"}, "user nobody"),
            ("GetRole", {"RoleName": "ecsTaskExecutionRole"}, "role ecsTaskExecutionRole"),
            ("AttachRolePolicy", {"RoleName": "r", "PolicyArn": arn("policy/p")}, "role r"),
            ("GetGroup", {"GroupName": "g"}, "group g"),
            ("GetInstanceProfile", {"InstanceProfileName": "i"}, "instance profile i"),
            (
                "GetPolicy",
                {"PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
                "policy arn:aws:iam::aws:policy/ReadOnlyAccess",
            ),
            (
                "CreatePolicyVersion",
                {"PolicyArn": arn("policy/p"), "PolicyDocument": document},
                f"policy {arn('policy/p')}",
            ),
            (
                "SimulatePrincipalPolicy",
                {"PolicySourceArn": arn("user/ann"), "ActionNames.member.1": "ecs:RunTask"},
                arn("user/ann"),
            ),
            (
                "GetOpenIDConnectProvider",
                {"OpenIDConnectProviderArn": arn("oidc-provider/x.example")},
                arn("oidc-provider/x.example"),
            ),
        ]:
            assert await refused(door, ann, operation, **params) == (
                "AccessDenied",
                f"User: {arn('user/ann')} is not authorized to perform: iam:{operation} on resource: {shown} because no"
                f" identity-based policy allows the iam:{operation} action",
            )

    story(body)


def test_lists_are_allowed_below_a_path() -> None:
    async def body(door: FrontDoor) -> None:
        ann = await door.user("ann", allow("iam:ListRoles", resource=arn("role/team/*")))
        await made(door, ann, "ListRoles", PathPrefix="/team/")
        for prefix in ("/", "/team", "/other/"):
            assert (await refused(door, ann, "ListRoles", PathPrefix=prefix))[0] == "AccessDenied"

    story(body)


def test_a_user_made_again_has_nothing_of_the_one_before() -> None:
    async def body(door: FrontDoor) -> None:
        ann = await door.user("ann")
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        await made(door, ROOT, "CreateRole", RoleName="r", AssumeRolePolicyDocument=json.dumps(trust), Path="/")
        role = f"arn:aws:iam::{ACCOUNT}:role/r"
        said = await door.call(ann, "sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "session"})
        assert said.status == 200, said.message
        await made(door, ROOT, "DeleteAccessKey", UserName="ann", AccessKeyId=ann.key)
        await made(door, ROOT, "DeleteUser", UserName="ann")
        again = await door.user("ann")
        said = await door.call(again, "sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "session"})
        assert (said.status, said.code) == (403, "AccessDenied")

    story(body)


def test_leave_is_asked_on_the_entity_its_tags_and_what_the_request_brings() -> None:
    async def body(door: FrontDoor) -> None:
        own = f"arn:aws:iam::{ACCOUNT}:user/team/*"
        tagged = {"StringEquals": {"aws:ResourceTag/team": "a"}}
        bounded = {"StringEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/ReadOnlyAccess"}}
        ann = await door.user(
            "ann",
            allow("iam:CreateUser", "iam:UpdateUser", resource=own),
            allow("iam:DeleteUser", Condition=tagged),
            allow("iam:AttachUserPolicy", Condition=bounded),
        )
        await made(door, ann, "CreateUser", UserName="bob", Path="/team/")
        assert (await refused(door, ann, "CreateUser", UserName="cid"))[0] == "AccessDenied"
        tags = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "a"}
        code, text = await refused(door, ann, "CreateUser", UserName="dan", Path="/team/", **tags)
        assert code == "AccessDenied" and "iam:TagUser" in text
        assert (await refused(door, ann, "UpdateUser", UserName="bob", NewPath="/other/"))[0] == "AccessDenied"
        await made(door, ann, "UpdateUser", UserName="bob", NewUserName="rob")
        assert (await refused(door, ann, "DeleteUser", UserName="rob"))[0] == "AccessDenied"
        assert (await refused(door, ann, "DeleteUser", UserName="none"))[0] == "AccessDenied"
        read, everything = "ReadOnlyAccess", "AdministratorAccess"
        await made(door, ann, "AttachUserPolicy", UserName="rob", PolicyArn=f"arn:aws:iam::aws:policy/{read}")
        arn = f"arn:aws:iam::aws:policy/{everything}"
        assert (await refused(door, ann, "AttachUserPolicy", UserName="ann", PolicyArn=arn))[0] == "AccessDenied"
        await made(door, ROOT, "DetachUserPolicy", UserName="rob", PolicyArn=f"arn:aws:iam::aws:policy/{read}")
        await made(door, ROOT, "TagUser", UserName="rob", **tags)
        await made(door, ann, "DeleteUser", UserName="rob")

    story(body)


def test_keys_of_two_accounts_open_two_rooms() -> None:
    async def body(door: FrontDoor) -> None:
        await door.identity.ensure_account(OTHER, "other")
        other = await door.key(None, account=OTHER)
        await door.user("ann")
        assert (await refused(door, other, "GetUser", UserName="ann"))[0] == "NoSuchEntity"
        await made(door, other, "CreateUser", UserName="ann")
        mine = await made(door, ROOT, "GetUser", UserName="ann")
        theirs = await made(door, other, "GetUser", UserName="ann")
        assert f"::{ACCOUNT}:" in mine["User"]["Arn"] and f"::{OTHER}:" in theirs["User"]["Arn"]

    story(body)


def test_the_last_use_follows_the_calls() -> None:
    async def body(door: FrontDoor) -> None:
        ann = await door.user("ann", allow("iam:ListUsers"))
        used = await made(door, ROOT, "GetAccessKeyLastUsed", AccessKeyId=ann.key)
        assert used["AccessKeyLastUsed"]["ServiceName"] == "N/A"
        await made(door, ann, "ListUsers")
        used = await made(door, ROOT, "GetAccessKeyLastUsed", AccessKeyId=ann.key)
        assert (used["UserName"], used["AccessKeyLastUsed"]["ServiceName"]) == ("ann", "iam")

    story(body)


def test_the_token_of_a_user_makes_no_keys() -> None:
    async def body(door: FrontDoor) -> None:
        ann = await door.user("ann", allow("iam:*", "sts:*"))
        said = await door.call(ann, "sts", "GetSessionToken")
        given = said.body["Credentials"]
        token = Keys(key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"])
        assert (await door.call(token, "sts", "GetCallerIdentity")).status == 200
        assert await refused(door, token, "CreateAccessKey") == (
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        )
        keys = await made(door, ann, "ListAccessKeys")
        assert ann.key in str(keys) and str(keys).count("AKIA") == 1

    story(body)


@pytest.mark.parametrize("operation", ["CreateLoginProfile", "CreateVirtualMFADevice", "GenerateCredentialReport"])
def test_what_is_not_built_is_unknown(operation: str) -> None:
    async def body(door: FrontDoor) -> None:
        said = await door.call(ROOT, "iam", operation, {"UserName": "ann"})
        assert (said.status, said.code) == (400, "InvalidAction")

    story(body)
