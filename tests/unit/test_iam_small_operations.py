"""IAM where no other test calls it: inline policies, tags and boundaries of each kind, and what nobody has."""

import asyncio
import json
from typing import Any
from urllib.parse import unquote

from neargate.testing.front_door import ACCOUNT, ROOT, FrontDoor, allowing, open_front_door, trusting

DOCUMENT = json.dumps(allowing("ecs:RunTask", resource="arn:aws:ecs:*:*:task-definition/${aws:username}"))
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
TAG = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "red"}
UNTAG = {"TagKeys.member.1": "team"}


class Iam:
    def __init__(self, door: FrontDoor) -> None:
        self._door = door

    async def said(self, operation: str, **params: str) -> Any:
        answer = await self._door.call(ROOT, "iam", operation, params)
        assert answer.status == 200, answer
        return answer.body

    async def refused(self, operation: str, **params: str) -> str:
        answer = await self._door.call(ROOT, "iam", operation, params)
        assert answer.status == 404, answer
        return answer.code


async def opened() -> Iam:
    door = await open_front_door()
    await door.user("ann")
    await door.role("deploy", trusting({"Service": "ecs-tasks.amazonaws.com"}))
    iam = Iam(door)
    await iam.said("CreateGroup", GroupName="ops")
    return iam


def test_inline_policies_of_users_groups_and_roles() -> None:
    async def story() -> None:
        iam = await opened()
        holders = [
            ({"UserName": "ann"}, "PutUserPolicy", "GetUserPolicy", "ListUserPolicies", "DeleteUserPolicy"),
            ({"GroupName": "ops"}, "PutGroupPolicy", "GetGroupPolicy", "ListGroupPolicies", "DeleteGroupPolicy"),
            ({"RoleName": "deploy"}, "PutRolePolicy", "GetRolePolicy", "ListRolePolicies", "DeleteRolePolicy"),
        ]
        for holder, put, get, listing, delete in holders:
            await iam.said(put, **holder, PolicyName="p", PolicyDocument=DOCUMENT)
            found = await iam.said(get, **holder, PolicyName="p")
            assert (found["PolicyName"], unquote(found["PolicyDocument"])) == ("p", DOCUMENT)
            assert (await iam.said(listing, **holder))["PolicyNames"] == ["p"]
            await iam.said(delete, **holder, PolicyName="p")
            assert await iam.refused(get, **holder, PolicyName="p") == "NoSuchEntity"
            assert (await iam.said(listing, **holder))["PolicyNames"] == ""

    asyncio.run(story())


def test_attached_policies_are_listed() -> None:
    async def story() -> None:
        iam = await opened()
        for kind, holder, attach, listing in [
            ("UserName", "ann", "AttachUserPolicy", "ListAttachedUserPolicies"),
            ("GroupName", "ops", "AttachGroupPolicy", "ListAttachedGroupPolicies"),
        ]:
            await iam.said(attach, **{kind: holder}, PolicyArn=READ_ONLY)
            found = await iam.said(listing, **{kind: holder})
            assert found["AttachedPolicies"] == [{"PolicyName": "ReadOnlyAccess", "PolicyArn": READ_ONLY}]

    asyncio.run(story())


def test_a_roles_boundary() -> None:
    async def story() -> None:
        iam = await opened()
        await iam.said("PutRolePermissionsBoundary", RoleName="deploy", PermissionsBoundary=READ_ONLY)
        role = (await iam.said("GetRole", RoleName="deploy"))["Role"]
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
        await iam.said("DeleteRolePermissionsBoundary", RoleName="deploy")
        assert "PermissionsBoundary" not in (await iam.said("GetRole", RoleName="deploy"))["Role"]

    asyncio.run(story())


def test_tags_of_every_kind() -> None:
    async def story() -> None:
        iam = await opened()
        await iam.said("CreateInstanceProfile", InstanceProfileName="web")
        made = await iam.said("CreatePolicy", PolicyName="p", PolicyDocument=json.dumps(allowing("ecs:RunTask")))
        provider = {"Url": "https://ci.example.com", "ClientIDList.member.1": "a"}
        await iam.said("CreateOpenIDConnectProvider", **provider, **{"ThumbprintList.member.1": "a" * 40})
        kinds = [
            ({"RoleName": "deploy"}, "TagRole", "ListRoleTags", "UntagRole"),
            ({"PolicyArn": made["Policy"]["Arn"]}, "TagPolicy", "ListPolicyTags", "UntagPolicy"),
            (
                {"InstanceProfileName": "web"},
                "TagInstanceProfile",
                "ListInstanceProfileTags",
                "UntagInstanceProfile",
            ),
            (
                {"OpenIDConnectProviderArn": f"arn:aws:iam::{ACCOUNT}:oidc-provider/ci.example.com"},
                "TagOpenIDConnectProvider",
                "ListOpenIDConnectProviderTags",
                "UntagOpenIDConnectProvider",
            ),
        ]
        for named, tag, listing, untag in kinds:
            await iam.said(tag, **named, **TAG)
            assert (await iam.said(listing, **named))["Tags"] == [{"Key": "team", "Value": "red"}], tag
            await iam.said(untag, **named, **UNTAG)
            assert (await iam.said(listing, **named))["Tags"] == "", untag

    asyncio.run(story())


def test_only_tags_of_users_and_roles_are_the_same_in_any_case() -> None:
    async def story() -> None:
        iam = await opened()
        made = await iam.said("CreatePolicy", PolicyName="p", PolicyDocument=json.dumps(allowing("ecs:RunTask")))
        policy, role = {"PolicyArn": made["Policy"]["Arn"]}, {"RoleName": "deploy"}
        for named, kind in ((policy, "Policy"), (role, "Role")):
            await iam.said(f"Tag{kind}", **named, **TAG)
            await iam.said(f"Tag{kind}", **named, **TAG | {"Tags.member.1.Key": "Team"})
        both = [{"Key": "Team", "Value": "red"}, {"Key": "team", "Value": "red"}]
        assert (await iam.said("ListPolicyTags", **policy))["Tags"] == both
        assert (await iam.said("ListRoleTags", **role))["Tags"] == both[:1], "the last one's case stays"
        await iam.said("UntagPolicy", **policy, **UNTAG)
        await iam.said("UntagRole", **role, **UNTAG)
        assert (await iam.said("ListPolicyTags", **policy))["Tags"] == both[:1]
        assert (await iam.said("ListRoleTags", **role))["Tags"] == ""

    asyncio.run(story())


def test_a_tag_twice_in_one_request_is_refused_with_the_kinds_own_text() -> None:
    async def story() -> None:
        door = await open_front_door()
        await door.user("ann")
        asked = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "", "Tags.member.2.Value": ""}
        profile, user = {"InstanceProfileName": "web"}, {"UserName": "ann"}
        other, same = asked | {"Tags.member.2.Key": "TEAM"}, asked | {"Tags.member.2.Key": "team"}
        said = await door.call(ROOT, "iam", "CreateInstanceProfile", profile | same)
        assert (said.code, said.message) == ("InvalidInput", "Duplicate tag keys found.")
        assert (await door.call(ROOT, "iam", "CreateInstanceProfile", profile | other)).status == 200
        for tags in (same, other):
            said = await door.call(ROOT, "iam", "TagUser", user | tags)
            text = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
            assert (said.code, said.message) == ("InvalidInput", text)

    asyncio.run(story())


def test_context_keys_that_a_users_policies_ask_for() -> None:
    async def story() -> None:
        iam = await opened()
        await iam.said("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=DOCUMENT)
        arn = f"arn:aws:iam::{ACCOUNT}:user/ann"
        found = await iam.said("GetContextKeysForPrincipalPolicy", PolicySourceArn=arn)
        assert found["ContextKeyNames"] == ["aws:username"]

    asyncio.run(story())


def test_nobody_has_a_password() -> None:
    async def story() -> None:
        iam = await opened()
        assert await iam.refused("DeleteAccountPasswordPolicy") == "NoSuchEntity"
        assert await iam.refused("DeleteLoginProfile", UserName="ann") == "NoSuchEntity"

    asyncio.run(story())
