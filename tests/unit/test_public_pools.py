"""Pools of public addresses, each decision by itself: ranges, books, what a machine has against one, rules, judging."""

import errno
import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.judging import Refused
from neargate.agent.arrivals.network import check_plan
from neargate.capacity.books import PublicAddresses
from neargate.hostnet import netlink, public_pools
from neargate.hostnet.public_pools import PublicPools
from neargate.model.network import PublicPool
from neargate.testing.netlab import plan
from neargate.testing.vpc_regions.setups import public_tasks
from neargate.tracing.description import described
from neargate.tracing.flows import Flow
from neargate.tracing.model import ask
from neargate.uplink import firewalls, texts
from neargate.uplink.pools import HostRoute, Outside, announcing_link, objection
from neargate.vpc.addresses import AddressRange, operator_elastic, operator_range, pool_share, whole_range
from neargate.vpc.ruleset import render, transaction

ROUTES = (
    HostRoute(destination="0.0.0.0/0", link="eth0", gateway="192.0.2.1"),
    HostRoute(destination="192.0.2.0/24", link="eth0"),
    HostRoute(destination="192.0.2.128/25", link="eth1"),
    HostRoute(destination="10.8.0.0/16", link="tun0", gateway="10.9.0.1"),
    HostRoute(destination="203.0.113.0/28", link="ng0a", gateway="169.254.254.1"),
)
OWN = ("127.0.0.0/8", "192.0.2.10/32")


@pytest.mark.parametrize(
    ("cidr", "tasks", "elastic"),
    [("203.0.113.0/28", 12, 4), ("203.0.113.0/30", 3, 1), ("203.0.113.0/31", 1, 1), ("203.0.113.0/32", 1, 0)],
)
def test_a_pool_is_divided_wholly(cidr: str, tasks: int, elastic: int) -> None:
    own, rest = operator_range(cidr), operator_elastic(cidr)
    assert (own.size, sum(one.size for one in rest)) == (tasks, elastic)
    whole = {number for one in (own, *rest) for number in range(one.first, one.last + 1)}
    assert whole == set(range(whole_range(cidr).first, whole_range(cidr).last + 1))


class _HostWithoutIpv6:
    """A kernel that was begun without it; of the rest it does what it is told."""

    def __enter__(self) -> "_HostWithoutIpv6":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def existing(self, name: str) -> netlink.Link:
        return netlink.Link(index=7, name=name, stats=())

    def run(self, messages: Sequence[netlink.Message]) -> None:
        for message in messages:
            if ":" in message.what:
                raise netlink.NetlinkError(errno.EOPNOTSUPP, message.what)


def test_a_host_without_ipv6_has_its_other_pools_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_pools, "Netlink", _HostWithoutIpv6)
    monkeypatch.setattr(public_pools, "host_routes", lambda *_: [])
    for own in ("own_networks", "own_networks6"):
        monkeypatch.setattr(public_pools, own, lambda _: frozenset[str]())
    four, six = PublicPool(cidr="203.0.113.0/28"), PublicPool(cidr="2001:db8:1::/48")
    pools = PublicPools("0a0a0a", "198.18.7.0/24", lambda: (four, six))
    pools.become([six, four])
    pools.lead({"203.0.113.5"})
    assert pools.outside.pools == (four,)
    assert pools.refused[0].startswith("2001:db8:1::/48 is not led to tasks: ")
    pools.lead(())
    assert pools.outside.pools == ()


def test_zones_shares_meet_nowhere() -> None:
    parts = [operator_range(pool_share("203.0.113.0/28", index, 3)) for index in range(3)]
    parts += operator_elastic("203.0.113.0/28", 3)
    numbers = [number for one in parts for number in range(one.first, one.last + 1)]
    assert len(numbers) == len(set(numbers)) == 12, "of four quarters three are given to zones"


def test_what_is_taken_stays_taken_whoever_gives() -> None:
    public = PublicAddresses(AddressRange(1, 4))
    assert [public.take_next(), public.take_next()] == [1, 2]
    public.become([AddressRange(10, 11)], {1, 2, 11, 99})
    assert (public.take_next(), public.take_next()) == (10, None)
    public.become([], {1, 2, 10, 11})
    assert public.take_next() == 3
    public.discard(1)
    assert public.taken == {2, 3}
    public.set_cursor(3)
    assert [public.take_next(), public.take_next(), public.take_next()] == [4, 1, None]


def test_an_address_that_was_given_back_before_a_restart_is_not_given_at_once() -> None:
    public = PublicAddresses(AddressRange(1, 4))
    public.set_cursor(11)
    public.become([AddressRange(10, 13)], ())
    assert [public.take_next(), public.take_next(), public.take_next()] == [12, 13, 10]


@pytest.mark.parametrize(
    ("cidr", "way", "sentence"),
    [
        ("198.51.100.0/28", "local", ""),
        ("198.51.100.0/28", "announced", ""),
        ("203.0.113.0/28", "local", ""),  # it is led there already
        ("203.0.113.0/29", "local", "overlaps 203.0.113.0/28"),
        ("192.0.2.64/28", "announced", ""),
        ("192.0.2.64/28", "routed", "is a part of 192.0.2.0/24"),
        ("192.0.2.0/24", "announced", "this machine's own"),
        ("192.0.2.128/25", "announced", "overlaps 192.0.2.128/25"),
        ("192.0.2.0/30", "announced", "this machine's gateway"),
        ("10.8.4.0/24", "announced", "overlaps 10.8.0.0/16"),
        ("10.9.0.0/30", "local", "this machine's gateway to 10.8.0.0/16 (tun0)"),
        ("127.0.1.0/24", "local", "this machine's own"),
        ("192.0.0.0/16", "local", "this machine's own"),
    ],
)
def test_what_a_machine_has_against_a_pool(cidr: str, way: str, sentence: str) -> None:
    found = objection(cidr, way, ROUTES, OWN, "ng0a")
    assert sentence in found and bool(sentence) == bool(found)


def test_an_address_is_announced_where_its_network_is() -> None:
    assert announcing_link("192.0.2.65", ROUTES, "eth9") == "eth0"
    assert announcing_link("192.0.2.130", ROUTES, "eth9") == "eth1"
    assert announcing_link("198.51.100.1", ROUTES, "eth9") == "eth9"
    assert announcing_link("203.0.113.1", ROUTES, "") == "", "our own link is no way to neighbours"


def test_only_announced_addresses_are() -> None:
    pools = tuple(PublicPool(cidr=f"203.0.{n}.0/24", way=way) for n, way in enumerate(("announced", "routed", "local")))
    outside = Outside(pools=pools, addresses=frozenset({"203.0.0.5", "203.0.1.5", "203.0.2.5", "198.18.0.5"}))
    assert outside.announced == {"203.0.0.5"}
    assert outside.open_cidrs == ("203.0.0.0/24", "203.0.1.0/24")


def test_the_hosts_table_hides_no_address_that_others_find() -> None:
    pools = (PublicPool(cidr="203.0.113.0/28", way="routed"), PublicPool(cidr="203.0.113.64/28"))
    text = texts.host_table("0a", "ng0a", "198.18.7.0/24", ["eth0"], shut=True, outside=Outside(pools=pools))
    lines = [line.strip() for line in text.splitlines()]
    assert 'ip saddr { 198.18.7.0/24, 203.0.113.64/28 } oifname != "ng0a" masquerade' in lines
    assert any(line.startswith('iifname "ng0a" ip saddr != { 198.18.7.0/24, 203.0.113.0/28, ') for line in lines)
    welcome = lines.index('oifname "ng0a" ip daddr { 203.0.113.0/28 } accept')
    assert welcome < lines.index('iifname { "eth0" } oifname "ng0a" drop') < lines.index('oifname "ng0a" drop')


def test_a_firewall_that_takes_only_answers_is_passed_for_new_connections() -> None:
    answers = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
    listing = [
        {"chain": {"family": "ip", "table": "f", "name": "c", "type": "filter", "hook": "forward", "policy": "drop"}},
        {"rule": {"family": "ip", "table": "f", "chain": "c", "handle": 1, "expr": [answers, {"accept": None}]}},
    ]
    asked = {"link": "ng0a", "pool": "198.18.7.0/24", "outer": "eth0", "mark": "neargate_0a"}
    assert [match for _, match in firewalls.passage(listing, **asked).needed] == ['iifname "ng0a"']
    both = firewalls.passage(listing, **asked, found="203.0.113.0/28")
    assert [match for _, match in both.needed] == ['iifname "ng0a"', 'oifname "ng0a"']


def test_a_pool_that_comes_is_two_elements_of_a_routers_table() -> None:
    before = render(plan(1), (), endpoint_port=4566)
    pools = (PublicPool(cidr="203.0.113.0/28", way="announced"), PublicPool(cidr="203.0.113.64/32"))

    after = render(replace(plan(2), pools=pools), (), endpoint_port=4566, previous=before)
    assert transaction(before, after).split() == (
        ["add", "element", "inet", "neargate", "pools4", "{", "203.0.113.0-203.0.113.15,", "203.0.113.64", "}"]
    )


@pytest.mark.parametrize(
    "pool",
    [
        PublicPool(cidr="8.0.0.0/8"),
        PublicPool(cidr="127.0.0.0/24"),
        PublicPool(cidr="169.254.0.0/16"),
        PublicPool(cidr="224.0.0.0/24"),
        PublicPool(cidr="2001:db8::/31"),
        PublicPool(cidr="203.0.113.1/24"),
        PublicPool(cidr="here"),
        PublicPool(cidr="203.0.113.0/24", way="by-pigeon"),
    ],
)
def test_a_host_believes_no_pool_that_could_hurt_it(pool: PublicPool) -> None:

    check_plan(replace(plan(1), pools=(PublicPool(cidr="203.0.113.0/24", way="routed"),)))
    with pytest.raises(Refused):
        check_plan(replace(plan(1), pools=(pool,)))


def test_trace_path_takes_a_pool_of_private_addresses_for_public_ones() -> None:
    region = described(json.loads(json.dumps(public_tasks()).replace("198.18.0.", "192.168.77.")))
    reached = ask(region, Flow(sender="eni-task1", to="192.168.77.6", port=80))
    assert (reached.delivered, reached.source, reached.reply) == (True, "192.168.77.5", True)
    called = ask(region, Flow(sender="192.168.77.50", to="192.168.77.6", port=80))
    assert (called.delivered, called.source, called.reply) == (True, "192.168.77.50", True)
    stopped = ask(region, Flow(sender="eni-task1", to="192.168.77.50", port=80)).stop
    assert stopped is not None and stopped.rule == "192.168.77.50 is not routed on the internet"
