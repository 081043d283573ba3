"""Several accounts in a region: made by the operator, complete from the start, each with keys of its own."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from neargate.cli.desks.account import AccountDesk, Refused
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.front_door import (
    ACCOUNT,
    MODELS,
    OTHER,
    REGION,
    ROOT,
    ZONES,
    FrontDoor,
    Keys,
    MovedWorld,
    open_front_door,
)


def run(story: Callable[[FrontDoor, AccountDesk], Awaitable[None]]) -> None:
    async def whole() -> None:
        door = await open_front_door()
        await story(door, AccountDesk(door.region))

    asyncio.run(whole())


def given(answer: dict[str, str]) -> Keys:
    return Keys(key=answer["access_key_id"], secret=answer["secret_access_key"])


def test_an_account_is_complete_from_the_start() -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        made = await desk.create({"name": "second"})
        number = made["id"]
        assert len(number) == 12 and number.isdigit() and number != ACCOUNT
        root = given(made)
        known = await door.call(root, "sts", "GetCallerIdentity")
        assert known.body["Account"] == number
        vpcs = await door.call(root, "ec2", "DescribeVpcs")
        mine = await door.call(ROOT, "ec2", "DescribeVpcs")
        assert len(vpcs.body["vpcSet"]) == 1 and vpcs.body["vpcSet"][0]["isDefault"] == "true"
        assert vpcs.body["vpcSet"][0]["cidrBlock"] == mine.body["vpcSet"][0]["cidrBlock"]
        assert vpcs.body["vpcSet"][0]["vpcId"] != mine.body["vpcSet"][0]["vpcId"]
        assert len((await door.call(root, "ec2", "DescribeSubnets")).body["subnetSet"]) == len(ZONES)
        assert (await door.call(root, "ecs", "CreateCluster", clusterName="c")).status == 200
        assert (await door.call(ROOT, "ecs", "ListClusters")).body["clusterArns"] == []
        listed = (await desk.listed({}))["accounts"]
        assert {one["id"]: one["name"] for one in listed} == {ACCOUNT: "main", number: "second"}
        assert made["secret_access_key"] not in str(listed)

    run(story)


def test_what_cannot_be_made_is_said() -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        await desk.create({"name": "second", "id": OTHER})
        for request, words in (
            ({"name": "second", "id": OTHER}, "is there"),
            ({"name": "third", "id": OTHER}, "is there"),
            ({"name": "x", "id": "12"}, "12 digits"),
            ({"name": ""}, "characters"),
            ({"name": "x" * 51}, "characters"),
            ({"name": "a\nb"}, "characters"),
        ):
            with pytest.raises(Refused, match=words):
                await desk.create(request)
        with pytest.raises(Refused, match="no account"):
            await desk.keys({"id": "999999999999"})
        assert len(door.identity.accounts()) == 2

    run(story)


def test_keys_of_the_administrator_are_made_and_replaced() -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        first = given(await desk.create({"name": "second", "id": OTHER}))
        second = given(await desk.keys({"id": OTHER}))
        for keys in (first, second):
            assert (await door.call(keys, "sts", "GetCallerIdentity")).body["Account"] == OTHER
        with pytest.raises(Refused, match="--replace"):
            await desk.keys({"id": OTHER})
        third = given(await desk.keys({"id": OTHER, "replace": True}))
        assert (await door.call(third, "sts", "GetCallerIdentity")).status == 200
        for keys in (first, second):
            assert (await door.call(keys, "sts", "GetCallerIdentity")).code == "InvalidClientTokenId"
        own = given(await desk.keys({"id": ACCOUNT}))
        assert (await door.call(own, "sts", "GetCallerIdentity")).body["Account"] == ACCOUNT
        assert (await door.call(ROOT, "sts", "GetCallerIdentity")).status == 200, "the file's key is the operator's"

    run(story)


def test_an_account_cut_short_is_completed_by_the_next_start_or_the_same_command() -> None:
    async def story() -> None:
        world, disk = MovedWorld(), MemoryDisk()
        plan = RegionPlan(region=REGION, account=ACCOUNT, zones=ZONES, public_pool="198.18.0.0/24", one_machine=True)

        async def start() -> FrontDoor:
            region = await open_region(
                world,
                MemoryStores(world, DEFAULT_KNOBS, disk),
                plan,
                models=MODELS,
                credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
                envelope=Envelope(bytes(32), world),
                knobs=DEFAULT_KNOBS,
            )
            return FrontDoor(world, region)

        door = await start()
        await door.identity.ensure_account(OTHER, "second")
        disk.crash()
        door = await start()
        assert door.region.services.network.default_vpc(OTHER) is not None
        made = await AccountDesk(door.region).create({"name": "second", "id": OTHER})
        assert (await door.call(given(made), "ec2", "DescribeVpcs")).status == 200

    asyncio.run(story())
