"""STS through the front door: sessions are got as trust allows, limited as asked for, and end when they should."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.frontend.identity import holders, roles, users
from neargate.frontend.identity.records import Role
from neargate.testing.front_door import (
    ACCOUNT,
    OTHER,
    ROOT,
    FrontDoor,
    Keys,
    Said,
    allowing,
    keys_of,
    open_front_door,
    trusting,
)

HOME = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
Story = Callable[[FrontDoor], Awaitable[None]]


def run(story: Story) -> None:
    async def whole() -> None:
        await story(await open_front_door())

    asyncio.run(whole())


async def assume(door: FrontDoor, who: Keys, role: str, **params: Any) -> Said:
    return await door.call(who, "sts", "AssumeRole", {"RoleArn": role, "RoleSessionName": "me"} | params)


async def whoami(door: FrontDoor, who: Keys) -> Said:
    return await door.call(who, "sts", "GetCallerIdentity")


def test_a_users_key_signs_and_is_refused_when_inactive() -> None:
    async def story(door: FrontDoor) -> None:
        ann = await door.user("ann")
        said = await whoami(door, ann)
        assert said.body["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
        assert said.body["UserId"].startswith("AIDA")
        await door.identity.change(ACCOUNT, lambda book: users.set_key_active(book, "ann", ann.key, is_active=False))
        said = await whoami(door, ann)
        assert (said.status, said.code) == (403, "InvalidClientTokenId")
        assert said.message == "The security token included in the request is invalid."
        said = await door.call(ann, "ecs", "ListClusters")
        assert said.code == "UnrecognizedClientException"

    run(story)


def test_a_role_is_assumed_by_whom_it_trusts() -> None:
    async def story(door: FrontDoor) -> None:
        ann = await door.user("ann", allowing("sts:AssumeRole"))
        bob = await door.user("bob")
        role = await door.role("reader", trusting(HOME))
        said = await assume(door, ann, role)
        assert said.status == 200, said
        assert said.body["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"
        assert said.body["AssumedRoleUser"]["AssumedRoleId"].endswith(":me")
        assert "PackedPolicySize" not in said.body
        session = keys_of(said)
        assert session.key.startswith("ASIA") and len(session.key) == 20
        known = await whoami(door, session)
        assert known.body["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"
        assert known.body["UserId"] == said.body["AssumedRoleUser"]["AssumedRoleId"]
        refused = await assume(door, bob, role)
        assert (refused.status, refused.code) == (403, "AccessDenied")
        assert refused.message == (
            f"User: arn:aws:iam::{ACCOUNT}:user/bob is not authorized to perform: sts:AssumeRole on resource: {role}"
        )

    run(story)


def test_a_role_that_is_missing_says_what_one_that_does_not_trust_says() -> None:
    async def story(door: FrontDoor) -> None:
        ann = await door.user("ann", allowing("sts:AssumeRole"))
        there = await door.role("there", trusting({"Service": "ecs-tasks.amazonaws.com"}))
        refused = await assume(door, ann, there)
        assert refused.code == "AccessDenied"
        for arn in (there.replace("there", "else"), there.replace(ACCOUNT, OTHER)):
            missing = await assume(door, ann, arn)
            assert (missing.message, missing.code) == (refused.message.replace(there, arn), refused.code)
        assert (await assume(door, ann, "x" * 30)).code == "ValidationError"

    run(story)


def test_the_tokens_holder_needs_all_three_parts() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        one, two = keys_of(await assume(door, ROOT, role)), keys_of(await assume(door, ROOT, role))
        wrong = [
            Keys(key=one.key, secret=one.secret),
            Keys(key=one.key, secret=one.secret, token=two.token),
            Keys(key=two.key, secret=one.secret, token=one.token),
            Keys(key=one.key, secret=one.secret, token="AAAA" + (one.token or "")[4:]),
            Keys(key=one.key, secret=one.secret, token="no base64 at all: \u00e4"),
            Keys(key=ROOT.key, secret=ROOT.secret, token=one.token),
        ]
        for keys in wrong:
            said = await whoami(door, keys)
            assert (said.status, said.code) == (403, "InvalidClientTokenId"), keys
        said = await whoami(door, Keys(key=one.key, secret=two.secret, token=one.token))
        assert said.code == "SignatureDoesNotMatch"
        said = await door.call(wrong[1], "ecs", "ListClusters")
        assert said.code == "UnrecognizedClientException"

    run(story)


def test_sessions_expire() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        session = keys_of(await assume(door, ROOT, role, DurationSeconds=900))
        door.world.moved_s = 898
        assert (await whoami(door, session)).status == 200
        door.world.moved_s = 901
        said = await whoami(door, session)
        assert (said.status, said.code) == (403, "ExpiredToken")
        assert said.message == "The security token included in the request is expired"
        assert (await door.call(session, "ecs", "ListClusters")).code == "ExpiredTokenException"
        assert (await door.call(session, "ec2", "DescribeVpcs")).code == "RequestExpired"

    run(story)


def test_a_role_made_anew_under_the_same_name_does_not_know_the_old_sessions() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        session = keys_of(await assume(door, ROOT, role))
        await door.identity.change(ACCOUNT, lambda book: roles.delete_role(book, "reader"))
        assert (await whoami(door, session)).code == "InvalidClientTokenId"
        await door.role("reader", trusting(HOME))
        assert (await whoami(door, session)).code == "InvalidClientTokenId"
        assert (await whoami(door, keys_of(await assume(door, ROOT, role)))).status == 200

    run(story)


def test_external_id_and_source_identity_are_asked_for() -> None:
    async def story(door: FrontDoor) -> None:
        condition = {"StringEquals": {"sts:ExternalId": "e-1"}}
        role = await door.role("partner", trusting(HOME, condition=condition))
        assert (await assume(door, ROOT, role)).code == "AccessDenied"
        assert (await assume(door, ROOT, role, ExternalId="e-2")).code == "AccessDenied"
        assert (await assume(door, ROOT, role, ExternalId="e-1")).status == 200
        said = await assume(door, ROOT, role, ExternalId="e-1", SourceIdentity="ann")
        assert said.code == "AccessDenied" and "sts:SetSourceIdentity" in said.message
        both = trusting(HOME, "sts:AssumeRole", "sts:SetSourceIdentity")
        first, second = await door.role("first", both, allowing("sts:*")), await door.role("second", both)
        said = await assume(door, ROOT, first, SourceIdentity="ann")
        assert said.body["SourceIdentity"] == "ann"
        session = keys_of(said)
        assert (await assume(door, session, second)).body["SourceIdentity"] == "ann", "it stays"
        assert (await assume(door, session, second, SourceIdentity="bob")).code == "AccessDenied"

    run(story)


def test_tags_need_leave_and_transitive_ones_go_on() -> None:
    async def story(door: FrontDoor) -> None:
        plain = await door.role("plain", trusting(HOME))
        tags = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "red", "TransitiveTagKeys.member.1": "Team"}
        assert "sts:TagSession" in (await assume(door, ROOT, plain, **tags)).message
        both = trusting(HOME, "sts:AssumeRole", "sts:TagSession")
        first = await door.role("first", both, allowing("sts:*"))
        wanted = {"StringEquals": {"aws:PrincipalTag/team": "red", "aws:RequestTag/team": "red"}}
        second = await door.role("second", trusting(HOME, "sts:AssumeRole", "sts:TagSession", condition=wanted))
        said = await assume(door, ROOT, first, **tags)
        assert int(said.body["PackedPolicySize"]) > 0
        session = keys_of(said)
        assert (await assume(door, session, second)).status == 200
        changed = await assume(door, session, second, **{"Tags.member.1.Key": "TEAM", "Tags.member.1.Value": "blue"})
        assert changed.code == "InvalidParameterValue" and "transitive" in changed.message
        assert (await assume(door, ROOT, second, **tags)).code == "AccessDenied", "the caller's own tag is asked for"
        twice = tags | {"Tags.member.2.Key": "TEAM", "Tags.member.2.Value": "blue"}
        assert "Duplicate tag keys" in (await assume(door, ROOT, first, **twice)).message
        unknown = tags | {"TransitiveTagKeys.member.1": "other"}
        assert (await assume(door, ROOT, first, **unknown)).code == "InvalidParameterValue"

    run(story)


def test_a_sessions_tag_replaces_the_roles_of_that_name_in_any_case() -> None:
    async def story(door: FrontDoor) -> None:
        both = trusting(HOME, "sts:AssumeRole", "sts:TagSession")
        first = await door.role("first", both, allowing("sts:*"), tags={"Team": "blue"})
        red = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
        second = await door.role("second", trusting(HOME, condition=red))
        assert (await assume(door, keys_of(await assume(door, ROOT, first)), second)).code == "AccessDenied"
        tags = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "red"}
        session = keys_of(await assume(door, ROOT, first, **tags))
        assert (await assume(door, session, second)).status == 200

    run(story)


def test_how_long_a_session_may_last() -> None:
    async def story(door: FrontDoor) -> None:
        short = await door.role("short", trusting(HOME), allowing("sts:*"))
        long = await door.role("long", trusting(HOME), allowing("sts:*"), max_session_s=43200)
        said = await assume(door, ROOT, short, DurationSeconds=3601)
        assert said.code == "ValidationError"
        assert said.message == "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        assert (await assume(door, ROOT, long, DurationSeconds=43200)).status == 200
        assert (await assume(door, ROOT, long, DurationSeconds=43201)).code == "ValidationError"
        assert (await assume(door, ROOT, long, DurationSeconds=899)).code == "ValidationError"
        chained = keys_of(await assume(door, ROOT, long))
        said = await assume(door, chained, long, DurationSeconds=3601)
        assert said.message == (
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
        assert (await assume(door, chained, long, DurationSeconds=3600)).status == 200

    run(story)


def test_session_policies_limit_and_are_bounded() -> None:
    async def story(door: FrontDoor) -> None:
        inner = await door.role("inner", trusting(HOME))
        outer = await door.role("outer", trusting(HOME), allowing("sts:*"))
        only = json.dumps(allowing("ecs:ListClusters"))
        said = await assume(door, ROOT, outer, Policy=only)
        assert int(said.body["PackedPolicySize"]) > 0
        refused = await assume(door, keys_of(said), inner)
        assert refused.code == "AccessDenied" and refused.message.endswith(f"sts:AssumeRole on resource: {inner}")
        wide = json.dumps(allowing("sts:AssumeRole"))
        assert (await assume(door, keys_of(await assume(door, ROOT, outer, Policy=wide)), inner)).status == 200
        arn = {"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
        assert (await assume(door, keys_of(await assume(door, ROOT, outer, **arn)), inner)).code == "AccessDenied"
        gone = {"PolicyArns.member.1.arn": f"arn:aws:iam::{ACCOUNT}:policy/none"}
        assert "does not exist or is not attachable" in (await assume(door, ROOT, outer, **gone)).message
        assert (await assume(door, ROOT, outer, Policy="{")).code == "MalformedPolicyDocument"
        assert (await assume(door, ROOT, outer, Policy=wide + " " * 2048)).code == "PackedPolicyTooLarge"

    run(story)


def test_too_many_tags_do_not_fit() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("tagged", trusting(HOME, "sts:AssumeRole", "sts:TagSession"))
        tags: dict[str, str] = {}
        for number in range(50):
            key = door.world.random.randbytes(60).hex()
            tags |= {f"Tags.member.{number + 1}.Key": key, f"Tags.member.{number + 1}.Value": key}
        said = await assume(door, ROOT, role, **tags)
        assert said.code == "PackedPolicyTooLarge"
        assert said.message.startswith("Packed size of session tags consumes ")

    run(story)


def test_there_is_no_mfa() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        said = await assume(door, ROOT, role, SerialNumber=f"arn:aws:iam::{ACCOUNT}:mfa/x", TokenCode="123456")
        assert said.code == "AccessDenied" and said.message.startswith("MultiFactorAuthentication failed")
        strict = await door.role("strict", trusting(HOME, condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
        assert (await assume(door, ROOT, strict)).code == "AccessDenied"

    run(story)


def test_sessions_older_than_a_moment_can_be_revoked() -> None:
    async def story(door: FrontDoor) -> None:
        inner = await door.role("inner", trusting(HOME))
        outer = await door.role("outer", trusting(HOME), allowing("sts:*"))
        session = keys_of(await assume(door, ROOT, outer))
        assert (await assume(door, session, inner)).status == 200
        revoked = allowing("*", effect="Deny")
        revoked["Statement"][0]["Condition"] = {"DateLessThan": {"aws:TokenIssueTime": "2999-01-01T00:00:00Z"}}
        await door.identity.change(
            ACCOUNT,
            lambda book: holders.put_inline(book, Role, "outer", "AWSRevokeOlderSessions", json.dumps(revoked)),
        )
        said = await assume(door, session, inner)
        assert said.code == "AccessDenied" and "with an explicit deny in an identity-based policy" in said.message

    run(story)


def test_get_session_token_gives_a_user_a_session_of_the_same_rights() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        ann = await door.user("ann", allowing("sts:AssumeRole"))
        said = await door.call(ann, "sts", "GetSessionToken")
        session = keys_of(said)
        assert (await whoami(door, session)).body["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
        assert (await assume(door, session, role)).status == 200
        assert (await door.call(ann, "iam", "GetUser")).code == "AccessDenied"
        assert (await door.call(session, "iam", "GetUser")).code == "InvalidClientTokenId", "not without MFA, as on AWS"
        again = await door.call(session, "sts", "GetSessionToken")
        assert (again.code, again.message) == ("AccessDenied", "Cannot call GetSessionToken with session credentials")
        root = keys_of(await door.call(ROOT, "sts", "GetSessionToken"))
        assert (await door.call(root, "ec2", "DescribeVpcs")).status == 200
        door.world.moved_s = 3601
        assert (await whoami(door, root)).code == "ExpiredToken", "an hour at most for the administrator"
        assert (await whoami(door, session)).status == 200, "twelve for a user"

    run(story)


def test_a_federated_user_may_what_both_allow() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        ann = await door.user("ann", allowing("sts:*"))
        bare = keys_of(await door.call(ann, "sts", "GetFederationToken", Name="guest"))
        known = (await whoami(door, bare)).body
        assert known["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/guest"
        assert known["UserId"] == f"{ACCOUNT}:guest"
        assert (await assume(door, bare, role)).code == "AccessDenied"
        policy = json.dumps(allowing("sts:AssumeRole"))
        for who in (ann, ROOT):
            said = await door.call(who, "sts", "GetFederationToken", Name="guest", Policy=policy)
            assert (await assume(door, keys_of(said), role)).status == 200
            assert (await door.call(keys_of(said), "sts", "GetAccessKeyInfo", AccessKeyId=ROOT.key)).status == 403

    run(story)


def test_whose_a_key_is() -> None:
    async def story(door: FrontDoor) -> None:
        ann = await door.user("ann")
        session = keys_of(await door.call(ROOT, "sts", "GetSessionToken"))
        for key in (ROOT.key, ann.key, session.key):
            said = await door.call(ROOT, "sts", "GetAccessKeyInfo", AccessKeyId=key)
            assert said.body == {"Account": ACCOUNT}, key
        for key in ("AKIAAAAAAAAAAAAAAAAA", "ASIAAAAAAAAAAAAAAAAA"):
            said = await door.call(ROOT, "sts", "GetAccessKeyInfo", AccessKeyId=key)
            assert said.code == "ValidationError", key
        said = await door.call(ROOT, "sts", "DecodeAuthorizationMessage", EncodedMessage="abc")
        assert said.code == "InvalidAuthorizationMessageException"

    run(story)


def test_into_another_account_both_sides_must_let() -> None:
    async def story(door: FrontDoor) -> None:
        await door.identity.ensure_account(OTHER, "other")
        guest = await door.user("guest", allowing("sts:AssumeRole"), account=OTHER)
        poor = await door.user("poor", account=OTHER)
        closed = await door.role("closed", trusting(HOME))
        account = await door.role("account", trusting({"AWS": OTHER}))
        person = await door.role("person", trusting({"AWS": f"arn:aws:iam::{OTHER}:user/poor"}))
        assert (await assume(door, guest, closed)).code == "AccessDenied"
        said = await assume(door, guest, account)
        assert (await whoami(door, keys_of(said))).body["Account"] == ACCOUNT
        assert (await assume(door, poor, account)).code == "AccessDenied", "its own account does not let it"
        assert (await assume(door, poor, person)).code == "AccessDenied", "also when the role names it"
        mine = await door.key(None, account=OTHER)
        assert (await assume(door, mine, account)).status == 200
        clusters = await door.call(keys_of(said), "ecs", "ListClusters")
        assert clusters.code == "AccessDeniedException"

    run(story)


def test_sessions_of_a_user_who_is_gone_end() -> None:
    async def story(door: FrontDoor) -> None:
        ann = await door.user("ann")
        session = keys_of(await door.call(ann, "sts", "GetSessionToken"))
        await door.identity.change(ACCOUNT, lambda book: users.delete_key(book, "ann", ann.key))
        assert (await whoami(door, session)).status == 200, "the session outlives the key that began it"
        assert (await whoami(door, ann)).code == "InvalidClientTokenId"
        await door.identity.change(ACCOUNT, lambda book: users.delete_user(book, "ann"))
        assert (await whoami(door, session)).code == "InvalidClientTokenId"
        await door.user("ann")
        assert (await whoami(door, session)).code == "InvalidClientTokenId"

    run(story)


def test_a_session_policy_that_is_gone_ends_the_session() -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME), allowing("ec2:DescribeVpcs"))
        made = await door.call(
            ROOT, "iam", "CreatePolicy", PolicyName="limit", PolicyDocument=json.dumps(allowing("ec2:DescribeVpcs"))
        )
        arn = made.body["Policy"]["Arn"]
        session = keys_of(await assume(door, ROOT, role, **{"PolicyArns.member.1.arn": arn}))
        assert (await door.call(session, "ec2", "DescribeVpcs")).status == 200
        changed = json.dumps(allowing("ec2:DescribeSubnets"))
        await door.call(ROOT, "iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=changed, SetAsDefault="true")
        assert (await door.call(session, "ec2", "DescribeVpcs")).code == "UnauthorizedOperation", "its limit follows"
        await door.call(ROOT, "iam", "DeletePolicyVersion", PolicyArn=arn, VersionId="v1")
        assert (await door.call(ROOT, "iam", "DeletePolicy", PolicyArn=arn)).status == 200
        assert (await whoami(door, session)).code == "InvalidClientTokenId"

    run(story)


@pytest.mark.parametrize("name", ["a", "b" * 65, "white space", "sl/ash"])
def test_session_names_are_checked(name: str) -> None:
    async def story(door: FrontDoor) -> None:
        role = await door.role("reader", trusting(HOME))
        said = await assume(door, ROOT, role, RoleSessionName=name)
        assert said.code == "ValidationError" and "roleSessionName" in said.message

    run(story)
