"""Pools of IPv6 of the operator's: taken in, given to VPCs, named in plans, and each rule text of the host's."""

import asyncio
from collections.abc import Awaitable
from ipaddress import IPv6Network
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.judging import Refused
from neargate.agent.arrivals.network import check_plan
from neargate.cli import config as configs
from neargate.cli import ip_pool
from neargate.cli.config import RegionConfig
from neargate.cli.desks.ip_pool import IpPoolDesk
from neargate.cli.paths import region_paths
from neargate.frontend.network.errors.common import InvalidParameterValue
from neargate.frontend.network.pools import ipv6 as ipv6_pools
from neargate.frontend.network.pools import operator as operator_pools
from neargate.frontend.network.pools.ipv6 import Ipv6BlockInUse, Ipv6PoolNotFound, PoolHasNoBlock, new_block, pool_id
from neargate.frontend.network.pools.operator import OperatorPool, PoolRefused
from neargate.frontend.network.pools.public import POOL
from neargate.frontend.network.vpcs.networks import associate_ipv6, disassociate
from neargate.frontend.regional.shelves import Shelf
from neargate.model.network import POOL_ANNOUNCED, POOL_LOCAL, POOL_ROUTED, PublicPool
from neargate.region import Region
from neargate.testing.netlab import plan
from neargate.uplink import firewalls, texts
from neargate.uplink.pools import HostRoute, Outside, announcing_link, objection
from neargate.vpc.ruleset import render

from .test_cli_hosts import ACCOUNT
from .test_cli_ip_pool import elastic, given, pools, region_on, story

BIG = "2001:db8:1::/48"
ROUTES = (
    HostRoute(destination="::/0", link="eth0", gateway="2001:db8:ff::1"),
    HostRoute(destination="2001:db8:ff::/64", link="eth0"),
    HostRoute(destination="2001:db8:1::/48", link="eth1"),
    HostRoute(destination="2001:db8:9::/48", link="wg0", gateway="2001:db8:ff::9"),
)
OWN = ("::1/128", "2001:db8:ff::2/128", "192.0.2.10/32")


def no_chance(_: int) -> int:
    return 0


def shelf_with(*networks: str, closed: bool = False) -> Shelf:
    shelf = Shelf(POOL)
    shelf.apply(
        [OperatorPool(account=POOL, name=one, added_at=float(n), is_closed=closed) for n, one in enumerate(networks)],
        (),
    )
    return shelf


def test_the_next_free_network_of_a_pool_is_given() -> None:
    shelf, taken = shelf_with(BIG, "2001:db8:2::/60"), list[str]()
    for _ in range(3):
        taken.append(new_block(shelf, pool_id(BIG), None, taken, no_chance).cidr)
    assert taken == ["2001:db8:1::/56", "2001:db8:1:100::/56", "2001:db8:1:200::/56"]
    assert new_block(shelf, pool_id(BIG), None, ["2001:db8:1::/52"], no_chance).cidr == "2001:db8:1:1000::/56"
    assert new_block(shelf, pool_id(BIG), None, taken, lambda bits: (1 << bits) - 1).cidr == "2001:db8:1:ff00::/56"
    small = new_block(shelf, pool_id("2001:db8:2::/60"), None, taken, no_chance)
    assert (small.cidr, small.pool) == ("2001:db8:2::/60", pool_id("2001:db8:2::/60"))


def test_a_search_that_begins_at_the_end_finds_what_is_before() -> None:
    last = [str(one) for one in IPv6Network("2001:db8:1::/53").subnets(new_prefix=56)]
    found = new_block(shelf_with("2001:db8:1::/53"), pool_id("2001:db8:1::/53"), None, last[1:], lambda bits: 7)
    assert found.cidr == "2001:db8:1::/56"
    with pytest.raises(PoolHasNoBlock, match="does not have a free /56"):
        new_block(shelf_with("2001:db8:1::/53"), pool_id("2001:db8:1::/53"), None, last, lambda bits: 3)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("2001:db8:1:100::/56", None),
        ("2001:db8:1:ff00::/60", None),
        ("2001:db8:1:100::1/56", None),  # made canonical
        ("2001:db8:1:200::/56", Ipv6BlockInUse),
        ("2001:db8:1::/48", Ipv6BlockInUse),
        ("2001:db8:2::/56", InvalidParameterValue),
        ("2001:db8::/44", InvalidParameterValue),
        ("2001:db8:1:100::/57", InvalidParameterValue),
        ("2001:db8:1:100::/64", InvalidParameterValue),
        ("10.0.0.0/16", InvalidParameterValue),
        ("here", InvalidParameterValue),
    ],
)
def test_a_network_that_is_asked_for(asked: str, error: type[Exception] | None) -> None:
    def ask() -> str:
        return new_block(shelf_with(BIG), pool_id(BIG), asked, ["2001:db8:1:200::/60"], no_chance).cidr

    if error is None:
        assert ask() == str(IPv6Network(asked, strict=False))
    else:
        with pytest.raises(error):
            ask()


def test_a_pool_that_is_closed_or_nobodys_gives_nothing() -> None:
    with pytest.raises(PoolHasNoBlock):
        new_block(shelf_with(BIG, closed=True), pool_id(BIG), None, (), no_chance)
    with pytest.raises(Ipv6BlockInUse):
        new_block(shelf_with(BIG, closed=True), pool_id(BIG), "2001:db8:1:100::/56", (), no_chance)
    for wrong in ("", "Amazon", "ipv6pool-ec2-0", "x" * 10_000):
        with pytest.raises(Ipv6PoolNotFound) as refused:
            new_block(shelf_with(BIG, "203.0.113.0/28"), wrong, None, (), no_chance)
        assert len(str(refused.value)) < 200
    with pytest.raises(Ipv6PoolNotFound):
        ipv6_pools.named(shelf_with("203.0.113.0/28"), pool_id("203.0.113.0/28"))


@pytest.mark.parametrize(
    ("cidr", "sentence"),
    [
        ("2001:db8::/31", "is too large"),
        ("2001:db8::/61", "is too small"),
        ("fd00::/48", "other addresses than global"),
        ("fe80::/48", "other addresses than global"),
        ("::/48", "other addresses than global"),
        ("2001:db8:1::1/48", "has host bits set"),
        ("2001:db8:1:100::/56", "overlaps 2001:db8:1::/48, a pool of this region"),
        ("2001:db8:1::/48", "is a pool of this region already"),
    ],
)
def test_ipv6_pools_that_cannot_be(cidr: str, sentence: str) -> None:
    async def body(region: Region, _: Any) -> None:
        desk = IpPoolDesk(region)
        await desk.add({"cidr": BIG})
        with pytest.raises(PoolRefused, match=sentence):
            await desk.add({"cidr": cidr})

    story(body)


async def associate(region: Region, account: str = ACCOUNT) -> tuple[str, str]:
    """A network of the pool for the account's default VPC, as the operation does it: (association, network)."""
    network = region.services.network
    (vpc,) = network.vpcs(account)
    async with network.ipv6_turn:
        taken = [block.cidr for number in network.accounts() for one in network.vpcs(number) for block in one.ipv6]
        block = new_block(network.shelf(POOL), pool_id(BIG), None, taken, network.bits)
        made = await network.change(
            account, lambda shelf: associate_ipv6(shelf, vpc.vpc_id, network.region, 5, network.bits, block)
        )
    return made.block.association_id, made.block.cidr


def test_ipv4_addresses_know_nothing_of_a_pool_of_ipv6() -> None:
    async def body(region: Region, disk: Any) -> None:
        told: list[Any] = []
        region.services.network.on_pools(told.append)
        shown = await IpPoolDesk(region).add({"cidr": BIG, "way": "announced"})
        assert shown == {"cidr": BIG, "way": "announced", "gives": True, "vpcs": 0, "id": pool_id(BIG)}
        assert await given(region, "one") == "198.18.0.1"
        assert (await elastic(region, "eipalloc-1")).startswith("198.18.0.")
        assert told == [[], []] and (await pools(region))["198.18.0.0/24"]["gives"]
        network = region.services.network
        (vpc,) = network.vpcs(ACCOUNT)
        made = network.plan(vpc.vpc_id)
        assert made.pools == (PublicPool(cidr=BIG, way="announced"),)
        assert made.dns is not None and made.dns.pools == ("198.18.0.0/24",)
        check_plan(made)
        assert (await region_on(disk)).services.network.plan(vpc.vpc_id).pools == made.pools

    story(body)


def test_a_pool_that_a_vpc_has_a_network_of_stays() -> None:
    async def body(region: Region, disk: Any) -> None:
        desk = IpPoolDesk(region)
        await desk.add({"cidr": BIG})
        association, cidr = await associate(region)
        with pytest.raises(PoolRefused, match=rf"{BIG} is in use: {cidr} \(of vpc-.* of account {ACCOUNT}\)"):
            await desk.remove({"cidr": BIG})
        assert (await pools(region))[BIG]["gives"]
        assert cidr in (await desk.remove({"cidr": BIG, "drain": True}))["kept"]
        with pytest.raises(PoolHasNoBlock):
            await associate(region)
        region = await region_on(disk)
        assert not (await pools(region))[BIG]["gives"] and (await pools(region))[BIG]["vpcs"] == 1
        await region.services.network.change(ACCOUNT, lambda shelf: disassociate(shelf, association))
        assert (await IpPoolDesk(region).remove({"cidr": BIG}))["kept"] == ""
        assert list(await pools(region)) == ["198.18.0.0/24"]

    story(body)


def test_whoever_takes_a_network_and_whoever_takes_the_pool_away_meet_nowhere() -> None:
    async def body(region: Region, _: Any) -> None:
        desk = IpPoolDesk(region)
        for turn in range(6):
            await desk.add({"cidr": BIG})
            removal = asyncio.ensure_future(desk.remove({"cidr": BIG}))
            for _n in range(turn):
                await asyncio.sleep(0)
            taking: Awaitable[tuple[str, str]] = asyncio.ensure_future(associate(region))
            removed, taken = await asyncio.gather(removal, taking, return_exceptions=True)
            assert isinstance(removed, PoolRefused) != isinstance(taken, Ipv6PoolNotFound), (removed, taken)
            if isinstance(taken, tuple):
                association = taken[0]
                await region.services.network.change(ACCOUNT, lambda shelf, it=association: disassociate(shelf, it))
                await desk.remove({"cidr": BIG})

    story(body)


def test_the_commands_tell_of_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"cidr": BIG, "way": "routed", "gives": True, "vpcs": 2, "id": pool_id(BIG)}
    monkeypatch.setattr(ip_pool, "ask", lambda *_, **__: {"pools": [answer]})
    paths = region_paths(str(tmp_path))
    configs.save(paths, RegionConfig())
    row = ip_pool.listed(paths).splitlines()[1].split()
    assert row[:5] == [BIG, "of", "2", "VPCs", "-"]


@pytest.mark.parametrize(
    ("cidr", "way", "sentence"),
    [
        ("2001:db8:7::/48", POOL_ROUTED, ""),
        ("2001:db8:1:100::/56", POOL_ANNOUNCED, ""),
        ("2001:db8:1:100::/56", POOL_ROUTED, "is a part of 2001:db8:1::/48"),
        ("2001:db8:1::/48", POOL_ANNOUNCED, "overlaps 2001:db8:1::/48"),
        ("2001:db8:ff::/56", POOL_LOCAL, "2001:db8:ff::2, which is this machine's own"),
        ("2001:db8:9:100::/56", POOL_LOCAL, "overlaps 2001:db8:9::/48"),
    ],
)
def test_what_a_machine_has_against_a_pool_of_ipv6(cidr: str, way: str, sentence: str) -> None:
    found = objection(cidr, way, ROUTES, OWN, "ng0a")
    assert sentence in found and bool(sentence) == bool(found)
    gateway = (HostRoute(destination="::/0", link="eth0", gateway="2001:db8:5::1"),)
    assert "this machine's gateway" in objection("2001:db8:5::/48", POOL_LOCAL, gateway, (), "ng0a")


def test_an_address_of_ipv6_is_announced_where_its_network_is() -> None:
    assert announcing_link("2001:db8:1:100::5", ROUTES, "eth9") == "eth1"
    assert announcing_link("2001:db8:7::5", ROUTES, "eth9") == "eth9"


def test_both_families_are_told_apart() -> None:
    made = (PublicPool(cidr=BIG, way=POOL_ANNOUNCED), PublicPool(cidr="203.0.113.0/28", way=POOL_ROUTED))
    outside = Outside(pools=made, addresses=frozenset({"2001:db8:1::5", "203.0.113.5", "2001:db8:2::5"}))
    assert outside.announced == {"2001:db8:1::5"}
    assert outside.open_cidrs6 == (BIG,)


def test_the_hosts_table_lets_in_what_is_found_and_hides_the_rest() -> None:
    made = (PublicPool(cidr=BIG, way=POOL_ROUTED), PublicPool(cidr="2001:db8:2::/48", way=POOL_LOCAL))
    text = texts.host_table("0a", "ng0a", "198.18.7.0/24", ["eth0"], shut=True, outside=Outside(pools=made))
    lines = [line.strip() for line in text.splitlines()]
    welcome = lines.index(f'oifname "ng0a" ip6 daddr {{ {BIG} }} accept')
    assert welcome < lines.index('oifname "ng0a" meta nfproto ipv6 drop')
    edge6 = texts.edge_address6("198.18.7.0/24")
    assert f'iifname "ng0a" ip6 saddr != {{ {edge6}, {BIG} }} goto strays' in lines
    assert "2001:db8:2::" not in text and "{  }" not in text
    plain = texts.host_table("0a", "ng0a", "198.18.7.0/24", ["eth0"], shut=False)
    assert not [line for line in plain.splitlines() if "ip6 daddr {" in line]


def test_the_edge_translates_all_but_what_is_found() -> None:
    text = texts.edge_table([], "198.18.7.0/24", to_host=True, found6=(BIG,))
    lines = [line.strip() for line in text.splitlines()]
    plain = lines.index(f'oifname "host0" ip6 saddr {{ {BIG} }} accept')
    assert plain < next(n for n, line in enumerate(lines) if "snat ip6 to" in line)
    assert "ip6 saddr" not in texts.edge_table([], "198.18.7.0/24", to_host=True)


def test_a_firewall_that_takes_only_answers_is_passed_for_new_connections_by_ipv6() -> None:
    answers = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
    listing = [
        {"chain": {"family": "ip6", "table": "f", "name": "c", "type": "filter", "hook": "forward", "policy": "drop"}},
        {"rule": {"family": "ip6", "table": "f", "chain": "c", "handle": 1, "expr": [answers, {"accept": None}]}},
    ]
    asked = {"link": "ng0a", "pool": "198.18.7.0/24", "outer": "eth0", "mark": "neargate_0a", "outer6": "eth0"}
    assert [match for _, match in firewalls.passage(listing, **asked).needed] == ['iifname "ng0a"']
    both = firewalls.passage(listing, **asked, found6=BIG)
    assert [match for _, match in both.needed] == ['iifname "ng0a"', 'oifname "ng0a"']


def test_a_routers_rules_know_nothing_of_pools_of_ipv6() -> None:
    with_pool = replace(plan(1), pools=(PublicPool(cidr=BIG, way=POOL_ROUTED),))
    assert render(with_pool, (), endpoint_port=4566).sets == render(plan(1), (), endpoint_port=4566).sets


@pytest.mark.parametrize("cidr", ["2001:db8::/31", "fe80::/64", "ff02::/64", "::/0", "::1/128"])
def test_a_host_believes_no_pool_of_ipv6_that_could_hurt_it(cidr: str) -> None:
    check_plan(replace(plan(1), pools=(PublicPool(cidr=BIG),)))
    with pytest.raises(Refused):
        check_plan(replace(plan(1), pools=(PublicPool(cidr=cidr),)))


def test_names_of_pools_are_of_ipv4() -> None:
    known = (PublicPool(cidr=BIG), PublicPool(cidr="203.0.113.0/28"))
    assert operator_pools.public_cidrs(known) == ["203.0.113.0/28"]
