"""IAM's quotas: AWS's values and sentences, the operator's for one account, and what Service Quotas tells."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.frontend.identity.records import Role
from neargate.model.quotas import IAM_QUOTAS
from neargate.testing.front_door import ACCOUNT, OTHER, ROOT, FrontDoor, Keys, allowing, open_front_door, trusting

TRUST = json.dumps(trusting({"Service": "ecs-tasks.amazonaws.com"}))
DOCUMENT = json.dumps(allowing("ecs:RunTask"))
LONG = json.dumps(allowing("ecs:RunTask", resource=[f"arn:aws:ecs:*:*:task/{n}" for n in range(40)]))
ARN = f"arn:aws:iam::{ACCOUNT}:policy/p"

Params = dict[str, str]


def story(body: Callable[[FrontDoor], Awaitable[None]]) -> None:
    async def told() -> None:
        await body(await open_front_door())

    asyncio.run(asyncio.wait_for(told(), 60))


async def allow(door: FrontDoor, quota: str, value: float, account: str = ACCOUNT) -> None:
    await door.region.quotas.set_value(account, IAM_QUOTAS[quota].key, value)


async def done(door: FrontDoor, operation: str, params: Params, who: Keys = ROOT) -> Any:
    answer = await door.call(who, "iam", operation, params)
    assert answer.status == 200, answer
    return answer.body


async def refused(door: FrontDoor, operation: str, params: Params) -> str:
    answer = await door.call(ROOT, "iam", operation, params)
    assert (answer.status, answer.code) == (409, "LimitExceeded"), answer
    return answer.message


def user(name: str) -> tuple[str, Params]:
    return "CreateUser", {"UserName": name}


def role(name: str, trust: str = TRUST) -> tuple[str, Params]:
    return "CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": trust}


def policy(name: str, document: str = DOCUMENT) -> tuple[str, Params]:
    return "CreatePolicy", {"PolicyName": name, "PolicyDocument": document}


def attach(kind: str, arn: str) -> tuple[str, Params]:
    return f"Attach{kind}Policy", {f"{kind}Name": kind.lower(), "PolicyArn": f"arn:aws:iam::aws:policy/{arn}"}


def provider(name: str, *clients: str) -> tuple[str, Params]:
    listed = {f"ClientIDList.member.{n}": client for n, client in enumerate(clients, start=1)}
    return "CreateOpenIDConnectProvider", {"Url": f"https://{name}", "ThumbprintList.member.1": "a" * 40} | listed


# quota -> (what is there already, what is one more than `limit`, the limit)
CASES: dict[str, tuple[list[tuple[str, Params]], tuple[str, Params], int]] = {
    "UsersPerAccount": ([user("a")], user("b"), 1),
    "GroupsPerAccount": ([("CreateGroup", {"GroupName": "a"})], ("CreateGroup", {"GroupName": "b"}), 1),
    "RolesPerAccount": ([role("a")], role("b"), 1),
    "PoliciesPerAccount": ([policy("a")], policy("b"), 1),
    "InstanceProfilesPerAccount": (
        [("CreateInstanceProfile", {"InstanceProfileName": "a"})],
        ("CreateInstanceProfile", {"InstanceProfileName": "b"}),
        1,
    ),
    "OpenIdConnectProvidersPerAccount": ([provider("a.example")], provider("b.example"), 1),
    "AccessKeysPerUser": ([user("u")], ("CreateAccessKey", {"UserName": "u"}), 0),
    "GroupsPerUser": (
        [user("u"), ("CreateGroup", {"GroupName": "g"})],
        ("AddUserToGroup", {"UserName": "u", "GroupName": "g"}),
        0,
    ),
    "PoliciesPerUser": ([user("user"), attach("User", "ReadOnlyAccess")], attach("User", "AdministratorAccess"), 1),
    "PoliciesPerGroup": (
        [("CreateGroup", {"GroupName": "group"}), attach("Group", "ReadOnlyAccess")],
        attach("Group", "AdministratorAccess"),
        1,
    ),
    "PoliciesPerRole": ([role("role"), attach("Role", "ReadOnlyAccess")], attach("Role", "AdministratorAccess"), 1),
    "PolicySize": ([], policy("p", LONG), 500),
    "ACLSizePerRole": ([], role("a"), 50),
    "ClientIdsPerOpenIdConnectProvider": ([], provider("a.example", "one", "two"), 1),
}


@pytest.mark.parametrize("quota", CASES)
def test_the_operators_value_holds_for_one_account_and_is_named_as_aws_names_it(quota: str) -> None:
    async def body(door: FrontDoor) -> None:
        there, more, limit = CASES[quota]
        limit += door.identity.book(ACCOUNT).count(Role) if quota == "RolesPerAccount" else 0  # from the start
        for operation, params in there:
            await done(door, operation, params)
        await allow(door, quota, limit)
        assert await refused(door, *more) == f"Cannot exceed quota for {quota}: {limit}"
        await door.region.quotas.reset(ACCOUNT, IAM_QUOTAS[quota].key)
        await done(door, *more)

    story(body)


def test_inline_policies_and_versions_have_sentences_of_their_own() -> None:
    async def body(door: FrontDoor) -> None:
        for operation, params in (user("ann"), role("r"), ("CreateGroup", {"GroupName": "g"}), policy("p")):
            await done(door, operation, params)
        for kind, name in (("User", "ann"), ("Role", "r"), ("Group", "g")):
            await allow(door, f"PolicySizePer{kind}", 100)
            put = {f"{kind}Name": name, "PolicyName": "i", "PolicyDocument": LONG}
            said = await refused(door, f"Put{kind}Policy", put)
            assert said == f"Maximum policy size of 100 bytes exceeded for {kind.lower()} {name}"
        await allow(door, "VersionsPerPolicy", 1)
        version = {"PolicyArn": ARN, "PolicyDocument": DOCUMENT}
        assert await refused(door, "CreatePolicyVersion", version) == (
            "A managed policy can have up to 1 versions. Before you create a new version, you must delete an existing"
            " version."
        )
        await allow(door, "VersionsPerPolicy", 6)
        for _ in range(5):
            await done(door, "CreatePolicyVersion", version)

    story(body)


def test_another_account_keeps_what_it_had_and_every_quota_is_enforced_in_a_test() -> None:
    assert set(CASES) | {"PolicySizePerUser", "PolicySizePerGroup", "PolicySizePerRole", "VersionsPerPolicy"} == set(
        IAM_QUOTAS
    )

    async def body(door: FrontDoor) -> None:
        await door.identity.ensure_account(OTHER, "other")
        theirs = await door.key(None, account=OTHER)
        await allow(door, "UsersPerAccount", 0)
        await refused(door, *user("a"))
        await done(door, *user("a"), who=theirs)

    story(body)


def test_the_account_reads_its_quotas_in_both_places_and_asks_for_more() -> None:
    async def body(door: FrontDoor) -> None:
        await allow(door, "RolesPerAccount", 7)
        shown = (await done(door, "GetAccountSummary", {}))["SummaryMap"]
        assert (shown["RolesQuota"], shown["UsersQuota"]) == ("7", "5000")
        wanted = {"ServiceCode": "iam", "QuotaCode": "L-FE177D64"}
        found = (await door.call(ROOT, "service-quotas", "GetServiceQuota", wanted)).body["Quota"]
        assert (found["QuotaName"], found["Value"], found["GlobalQuota"]) == ("Roles per account", 7.0, True)
        asked = await door.call(ROOT, "service-quotas", "RequestServiceQuotaIncrease", wanted | {"DesiredValue": 12})
        assert asked.status == 200, asked
        await allow(door, "RolesPerAccount", 12)
        (request,) = await door.region.quotas.requests(ACCOUNT)
        assert request.status == "APPROVED"

    story(body)
