"""`neargate ip-pool`: what the desk answers over a region in memory, and how the command shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.cli import config as configs
from neargate.cli import ip_pool
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.desks.ip_pool import IpPoolDesk
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import Problem
from neargate.frontend.network.pools import public as public_pool
from neargate.frontend.network.pools.operator import POOLS_MAX, PoolRefused
from neargate.frontend.network.pools.public import POOL
from neargate.model.capacity import NoCapacity, Reservation, ReservationRequest, SubnetView
from neargate.region import Region
from neargate.store.sqlite import MemoryDisk
from neargate.uplink.pools import HostRoute

from .test_cli_hosts import ACCOUNT, ZONE, opened

SUBNET = SubnetView(subnet_id="subnet-0a", vpc_id="vpc-0a", zone=ZONE, zone_id="use1-az1", cidr="10.0.0.0/24")
LAN = (
    HostRoute(destination="0.0.0.0/0", link="eth0", gateway="192.0.2.1"),
    HostRoute(destination="192.0.2.0/24", link="eth0"),
    HostRoute(destination="100.96.0.0/16", link="wg0", gateway="100.96.0.1"),
)


def story(body: Callable[[Region, MemoryDisk], Awaitable[None]]) -> None:
    async def told() -> None:
        disk = MemoryDisk()
        await body(await region_on(disk), disk)

    asyncio.run(asyncio.wait_for(told(), 60))


async def region_on(disk: MemoryDisk) -> Region:
    return (await opened(disk))._region


def request(name: str) -> ReservationRequest:
    return ReservationRequest(
        task_id=name,
        account=ACCOUNT,
        zone=ZONE,
        subnet=SUBNET,
        security_groups=(),
        assign_public_ip=True,
        cpu_units=256,
        memory_mib=16,
        disk_gib=1,
    )


async def given(region: Region, name: str) -> str | None:
    """The public address that a launch gets, or nothing."""
    found = await region.capacities[ZONE].reserve(request(name))
    assert isinstance(found, Reservation), found
    return found.eni.public_ipv4 if found.eni is not None else found.eni_error


async def elastic(region: Region, name: str) -> str:
    network = region.services.network
    return await network.change(
        POOL, lambda pool: public_pool.give(pool, network.elastic_ranges(pool), (), ACCOUNT, name, 0.0)
    )


async def pools(region: Region) -> dict[str, dict[str, Any]]:
    return {pool["cidr"]: pool for pool in (await IpPoolDesk(region).listed({}))["pools"]}


def test_addresses_come_from_a_pool_as_soon_as_it_is_there_and_a_restart_knows_it() -> None:
    async def body(region: Region, disk: MemoryDisk) -> None:
        assert await given(region, "before") == "198.18.0.1"
        await IpPoolDesk(region).add({"cidr": "203.0.113.16/29"})
        assert await given(region, "one") == "203.0.113.16"
        assert await elastic(region, "eipalloc-1") == "203.0.113.22"
        again = await region_on(disk)
        assert await given(again, "two") == "203.0.113.17"
        assert await elastic(again, "eipalloc-2") == "203.0.113.23"
        shown = await pools(again)
        assert shown["203.0.113.16/29"] == {
            "cidr": "203.0.113.16/29",
            "way": "local",
            "gives": True,
            "tasks": 2,
            "tasks_max": 6,
            "elastic": 2,
            "elastic_max": 2,
        }
        assert (shown["198.18.0.0/24"]["gives"], shown["198.18.0.0/24"]["tasks"]) == (False, 1)

    story(body)


def test_a_pool_that_is_used_up_is_not_helped_out_by_the_regions_own_block() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        await IpPoolDesk(region).add({"cidr": "203.0.113.16/32"})
        assert await given(region, "one") == "203.0.113.16"
        assert str(await given(region, "two")).endswith("InsufficientAddressCapacity")
        await IpPoolDesk(region).add({"cidr": "203.0.113.40/32"})
        assert await given(region, "three") == "203.0.113.40"

    story(body)


def test_plans_name_the_pools_and_are_new_ones() -> None:
    async def body(region: Region, disk: MemoryDisk) -> None:
        network = region.services.network
        (vpc,) = network.vpcs(ACCOUNT)
        before = network.plan(vpc.vpc_id)
        await IpPoolDesk(region).add({"cidr": "203.0.113.16/29", "way": "announced"})
        plan = network.plan(vpc.vpc_id)
        assert [(pool.cidr, pool.way) for pool in plan.pools] == [("203.0.113.16/29", "announced")]
        assert plan.dns is not None and plan.dns.pools == ("198.18.0.0/24", "203.0.113.16/29")
        assert plan.generation > before.generation
        await elastic(region, "eipalloc-1")
        assert (await region_on(disk)).services.network.plan(vpc.vpc_id).generation >= plan.generation
        await network.change(POOL, lambda pool: public_pool.take_back(pool, "203.0.113.22", "eipalloc-1"))
        await IpPoolDesk(region).remove({"cidr": "203.0.113.16/29"})
        last = network.plan(vpc.vpc_id)
        assert last.pools == () and last.generation > plan.generation
        # What hosts were told last is not more than what a restart tells them.
        assert (await region_on(disk)).services.network.plan(vpc.vpc_id).generation >= last.generation

    story(body)


def test_a_pool_in_use_is_not_removed_and_gives_on() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        desk = IpPoolDesk(region)
        await desk.add({"cidr": "203.0.113.16/29"})
        await given(region, "one")
        await elastic(region, "eipalloc-1")
        shelf = region.services.network.shelf(POOL)
        before = shelf.generation
        with pytest.raises(PoolRefused) as refused:
            await desk.remove({"cidr": "203.0.113.16/29"})
        assert shelf.generation == before, "whatever ends the server then, the pool gives on"
        assert str(refused.value) == (
            "203.0.113.16/29 is in use: 203.0.113.16 (task one), "
            f"203.0.113.22 (elastic address eipalloc-1 of account {ACCOUNT})"
        )
        assert await given(region, "two") == "203.0.113.17"
        await region.capacities[ZONE].release("one", ZONE)
        await region.capacities[ZONE].release("two", ZONE)
        with pytest.raises(PoolRefused, match=r"is in use: 203\.0\.113\.22"):
            await desk.remove({"cidr": "203.0.113.16/29"})
        await region.services.network.change(
            POOL, lambda pool: public_pool.take_back(pool, "203.0.113.22", "eipalloc-1")
        )
        assert await desk.remove({"cidr": "203.0.113.16/29"}) == {"cidr": "203.0.113.16/29", "kept": ""}
        assert list(await pools(region)) == ["198.18.0.0/24"]
        assert await given(region, "three") == "198.18.0.1"

    story(body)


def test_a_pool_that_is_drained_gives_nothing_and_goes_when_it_is_empty() -> None:
    async def body(region: Region, disk: MemoryDisk) -> None:
        desk = IpPoolDesk(region)
        await desk.add({"cidr": "203.0.113.16/29", "way": "routed"})
        await given(region, "one")
        assert "203.0.113.16 (task one)" in (await desk.remove({"cidr": "203.0.113.16/29", "drain": True}))["kept"]
        assert await given(region, "two") == "198.18.0.1"
        region = await region_on(disk)
        assert not (await pools(region))["203.0.113.16/29"]["gives"]
        assert (await IpPoolDesk(region).add({"cidr": "203.0.113.16/29", "way": "routed"}))["gives"]
        assert await given(region, "three") == "203.0.113.17"
        for name in ("one", "three"):
            await region.capacities[ZONE].release(name, ZONE)
        assert (await IpPoolDesk(region).remove({"cidr": "203.0.113.16/29", "drain": True}))["kept"] == ""

    story(body)


def test_a_launch_beside_a_removal_has_its_address_or_another() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        desk = IpPoolDesk(region)
        for turn in range(8):
            await desk.add({"cidr": "203.0.113.16/29"})
            name = f"task-{turn}"
            removal = asyncio.ensure_future(desk.remove({"cidr": "203.0.113.16/29"}))
            for _n in range(turn):
                await asyncio.sleep(0)
            address = str(await given(region, name))
            refused = isinstance((await asyncio.gather(removal, return_exceptions=True))[0], PoolRefused)
            assert refused == address.startswith("203.0.113."), (turn, address)
            await region.capacities[ZONE].release(name, ZONE)
            if refused:
                await desk.remove({"cidr": "203.0.113.16/29"})

    story(body)


@pytest.mark.parametrize(
    ("cidr", "sentence"),
    [
        ("", "is no network"),
        ("203.0.113.1/24", "has host bits set"),
        ("203.0.113.0/33", "is no network"),
        ("::1/128", "has other addresses than global ones"),
        ("0.0.0.0/8", "addresses of this network"),
        ("127.0.0.0/24", "loopback addresses"),
        ("169.254.0.0/24", "link-local addresses"),
        ("224.1.0.0/24", "multicast addresses"),
        ("255.255.255.255/32", "reserved addresses"),
        ("11.0.0.0/8", "is too large"),
        ("198.18.0.128/25", "overlaps 198.18.0.0/24, the block that this region chose for itself"),
        ("172.31.5.0/24", "overlaps 172.31.0.0/16, a network of vpc-"),
        ("203.0.113.24/30", "overlaps 203.0.113.16/28, a pool of this region"),
        ("203.0.113.16/28", "is a pool of this region already"),
        ("x" * 10_000, "is no network"),
    ],
)
def test_pools_that_cannot_be(cidr: str, sentence: str) -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        desk = IpPoolDesk(region)
        await desk.add({"cidr": "203.0.113.16/28"})
        with pytest.raises(PoolRefused) as refused:
            await desk.add({"cidr": cidr})
        assert sentence in str(refused.value) and len(str(refused.value)) < 300
        assert list(await pools(region)) == ["198.18.0.0/24", "203.0.113.16/28"]

    story(body)


def test_pools_are_bounded_and_another_way_needs_a_removal() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        desk = IpPoolDesk(region)
        for number in range(POOLS_MAX):
            await desk.add({"cidr": f"203.0.{number}.1/32"})
        with pytest.raises(PoolRefused, match="at most 32 pools"):
            await desk.add({"cidr": "203.0.113.1/32"})
        with pytest.raises(PoolRefused, match="already, local; remove it first"):
            await desk.add({"cidr": "203.0.1.1/32", "way": "routed"})
        with pytest.raises(PoolRefused, match="is no way to a pool"):
            await desk.add({"cidr": "203.0.1.1/32", "way": "by-pigeon"})
        with pytest.raises(PoolRefused, match=r"198\.18\.0\.0/24 is the region's own and stays"):
            await desk.remove({"cidr": "198.18.0.0/24"})
        with pytest.raises(PoolRefused, match=r"198\.51\.100\.0/24 is no pool of this region"):
            await desk.remove({"cidr": "198.51.100.0/24"})

    story(body)


def test_many_launches_at_once_get_addresses_of_their_own() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        await IpPoolDesk(region).add({"cidr": "203.0.113.0/28"})
        found = await asyncio.gather(*(region.capacities[ZONE].reserve(request(f"t{n}")) for n in range(14)))
        assert not any(isinstance(one, NoCapacity) for one in found)
        public = [one.eni.public_ipv4 for one in found if isinstance(one, Reservation) and one.eni is not None]
        assert len(public) == len(set(public)) == 12

    story(body)


@pytest.fixture
def machine(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[RegionPaths, list[dict[str, Any]]]:
    """A region with `--uplink nat` on a machine in 192.0.2.0/24; what is asked of the server."""
    paths, asked = region_paths(str(tmp_path)), []

    def answer(_: RegionPaths, what: str, **words: Any) -> dict[str, Any]:
        asked.append({"request": what, **words})
        facts = {"cidr": words.get("cidr"), "way": words.get("way"), "gives": True, "kept": ""}
        return facts | dict.fromkeys(("tasks", "tasks_max", "elastic", "elastic_max"), 1) | {"pools": []}

    config = RegionConfig(uplink="nat", public_pool="198.18.0.0/24")
    monkeypatch.setattr(ip_pool, "ask", answer)
    monkeypatch.setattr(configs, "load", lambda _: config)
    monkeypatch.setattr(ip_pool, "host_routes", lambda *_: list(LAN))
    monkeypatch.setattr(ip_pool, "own_networks", lambda _: frozenset({"127.0.0.0/8", "192.0.2.10/32"}))
    monkeypatch.setattr(ip_pool, "of_others", lambda _: ("198.18.1.0/24",))
    return paths, asked


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["192.0.2.8/29", "--announce"], "192.0.2.8/29 holds 192.0.2.10, which is this machine's own"),
        (["192.0.2.0/30", "--announce"], "holds 192.0.2.1, this machine's gateway to 0.0.0.0/0 (eth0)"),
        (["192.0.2.64/28"], "is a part of 192.0.2.0/24, the network on eth0, .* announced; add --announce"),
        (["192.0.2.64/28", "--routed"], "is a part of 192.0.2.0/24"),
        (["100.96.1.0/28"], "overlaps 100.96.0.0/16, to which this machine has a route .wg0."),
        (["100.96.1.0/28", "--announce"], "overlaps 100.96.0.0/16"),
        (["198.18.1.0/28"], "overlaps 198.18.1.0/24, the block of another region on this machine"),
    ],
)
def test_what_the_machine_has_against_a_pool(
    machine: tuple[RegionPaths, list[dict[str, Any]]], words: list[str], sentence: str
) -> None:
    with pytest.raises(Problem, match=sentence.replace("(eth0)", r"\(eth0\)")):
        commands.run(["ip-pool", "add", *words, "--data", str(machine[0].data)])
    assert machine[1] == []


@pytest.mark.parametrize("way", ["--announce", "--routed"])
def test_others_find_a_pool_only_where_the_machine_may_forward(
    machine: tuple[RegionPaths, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    paths, asked = machine
    config = replace(configs.load(paths), uplink="auto")
    monkeypatch.setattr(configs, "load", lambda _: config)
    with pytest.raises(Problem, match=f"{way}: this machine has to forward .*neargate up --uplink nat"):
        commands.run(["ip-pool", "add", "203.0.113.0/28", way, "--data", str(paths.data)])
    assert asked == []


def test_the_commands(
    machine: tuple[RegionPaths, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    paths, asked = machine
    data = ["--data", str(paths.data)]
    for words in (
        ["add", "192.0.2.64/28", "--announce"],
        ["add", "203.0.113.0/28", "--routed"],
        ["add", "203.0.113.64/28"],
        ["remove", "203.0.113.0/28"],
        ["remove", "203.0.113.0/28", "--drain"],
        ["list"],
        [],
    ):
        assert commands.run(["ip-pool", *words, *data]) == 0
    assert [(one["request"], one.get("way"), one.get("drain")) for one in asked] == [
        ("ip-pool-add", "announced", None),
        ("ip-pool-add", "routed", None),
        ("ip-pool-add", "local", None),
        ("ip-pool-remove", None, False),
        ("ip-pool-remove", None, True),
        ("ip-pool-list", None, None),
        ("ip-pool-list", None, None),
    ]
    out = capsys.readouterr().out
    assert "ip neigh show proxy" in out and "is no pool of this region any more" in out
    assert "POOL  TASKS  ELASTIC  STATE  FOUND" in out
