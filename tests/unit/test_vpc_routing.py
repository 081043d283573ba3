"""Route tables flattened: every address goes where a naive longest-prefix search says."""

from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.model.network import PlannedNat, PlannedPeering, PlannedSubnet, VpcPlan
from neargate.testing.plans import table
from neargate.vpc.marks import arrival_mark, marks
from neargate.vpc.routing import EGRESS_ONLY, INTERNET, Network, Ranges, Routing, Way, at, clipped, flattened, overlaid

LOCAL = Way("local")
PUBLIC, PRIVATE = "10.0.0.0/24", "10.0.1.0/24"


def _networks(version: int) -> st.SearchStrategy[Network]:
    bits = 32 if version == 4 else 128
    # Few different addresses, so that networks nest and touch; the ends of the family as well.
    address = st.one_of(st.integers(0, 15), st.integers((1 << bits) - 16, (1 << bits) - 1))
    length = st.sampled_from([0, 1, bits - 5, bits - 4, bits - 3, bits - 2, bits - 1, bits])
    return st.builds(
        lambda number, prefix: ip_network((number.to_bytes(bits // 8, "big"), prefix), strict=False), address, length
    )


@given(st.data(), st.sampled_from([4, 6]))
def test_the_longest_prefix_wins_everywhere(data: st.DataObject, version: int) -> None:
    routes = data.draw(st.dictionaries(_networks(version), st.sampled_from("abc"), max_size=8))
    ranges = flattened(routes.items())
    bits = 32 if version == 4 else 128
    for number in [*range(34), *range((1 << bits) - 34, 1 << bits), 1 << (bits - 1), (1 << (bits - 1)) - 1]:
        address = ip_address(number.to_bytes(bits // 8, "big"))
        around = [network for network in routes if address in network]
        expected = routes[max(around, key=lambda network: network.prefixlen)] if around else None
        assert at(ranges, number) == expected
    for before, after in pairwise(ranges):
        assert before[0] <= before[1] < after[0] <= after[1]
        assert before[2] != after[2] or before[1] + 1 < after[0], "neighbours that say the same are one"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("ab")), max_size=9),
    st.integers(0, 40),
    st.integers(0, 12),
)
def test_what_is_cut_out_is_what_a_look_at_all_of_them_finds(
    steps: list[tuple[int, int, str]], first: int, length: int
) -> None:
    ranges, position = [], 0
    for gap, size, text in steps:
        ranges.append((position + gap, position + gap + size, text))
        position += gap + size + 1
    last = first + length
    expected = tuple((max(a, first), min(b, last), value) for a, b, value in ranges if a <= last and b >= first)
    assert clipped(tuple(ranges), first, last) == expected


class Counted(tuple[tuple[int, int, str], ...]):
    """Ranges that count how many of them were looked at."""

    looked_at = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        Counted.looked_at += len(found) if isinstance(index, slice) else 1
        return found


def test_of_many_ranges_few_are_looked_at() -> None:
    many = Counted((10 * number, 10 * number + 5, "a") for number in range(100_000))
    assert clipped(many, 500_003, 500_012) == ((500_003, 500_005, "a"), (500_010, 500_012, "a"))
    assert at(many, 999_990) == "a" and at(many, 999_996) is None
    assert Counted.looked_at < 250


def test_routes_of_many_networks_through_nat_gateways_are_found_once_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes are the customer's: two tables of thousands must not be looked at for each other's lines."""
    count = 300
    looked: list[tuple[Any, ...]] = []
    networks = [f"20.{number // 64}.{number % 64 * 4}.0/24" for number in range(count)]
    public = [(each, ("igw-1", "blackhole")[place % 2]) for place, each in enumerate(networks)]
    private = [(each, ("nat-1", "nat-2")[place % 2]) for place, each in enumerate(networks)]
    plan = _plan(public, private, _nat(1), _nat(2))
    of_table = Routing._targets

    def counted(routing: Routing, table_id: str, version: int) -> Ranges[str]:
        looked.append((table_id, version))
        return of_table(routing, table_id, version)

    monkeypatch.setattr(Routing, "_targets", counted)
    ways = Routing(plan).ways("rtb-private", 4)
    assert len(looked) == 3, "the table's own routes, and those beyond each gateway"
    assert sum(way.exit == INTERNET for _, _, way in ways) == count // 2


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from("ab")), max_size=5),
    st.integers(0, 30),
    st.integers(0, 10),
    st.sampled_from(["x", None]),
)
def test_what_is_laid_over_holds_there_and_nowhere_else(
    steps: list[tuple[int, int, str]], first: int, length: int, value: str | None
) -> None:
    ranges, position = [], 0
    for gap, size, text in steps:
        ranges.append((position + gap, position + gap + size, text))
        position += gap + size + 1
    last = first + length
    changed = overlaid(tuple(ranges), first, last, value)
    for number in range(50):
        assert at(changed, number) == (value if first <= number <= last else at(ranges, number))
    assert all(first <= a <= b <= last for a, b, _ in clipped(ranges, first, last))


def _plan(public: list[tuple[str, str]], private: list[tuple[str, str]], *nats: PlannedNat) -> VpcPlan:
    return VpcPlan(
        vpc_id="vpc-1",
        generation=1,
        cidrs=("10.0.0.0/16", "2001:db8::/56"),
        groups=(),
        subnets=(
            PlannedSubnet(subnet_id="subnet-public", cidr=PUBLIC, route_table="rtb-public", acl=""),
            PlannedSubnet(subnet_id="subnet-private", cidr=PRIVATE, route_table="rtb-private", acl=""),
        ),
        tables=(table("rtb-public", *public), table("rtb-private", *private)),
        nats=nats,
        peerings=(PlannedPeering(peering_id="pcx-1", peer_vpc="vpc-2"),),
    )


def _nat(number: int, subnet: str = "subnet-public", public: str | None = "198.18.0.9") -> PlannedNat:
    return PlannedNat(nat_id=f"nat-{number}", subnet_id=subnet, private_ipv4=f"10.0.0.{number}", public_ipv4=public)


def _way(plan: VpcPlan, table_id: str, to: str) -> Way | None:
    address = ip_address(to)
    return at(Routing(plan).ways(table_id, address.version), int(address))


def test_targets_of_their_own_kind() -> None:
    plan = _plan(
        [
            ("0.0.0.0/0", "igw-1"),
            ("::/0", "eigw-1"),
            ("2001:db8:1::/48", "igw-1"),
            ("192.0.2.0/24", "eigw-1"),
            ("192.168.0.0/16", "pcx-1"),
            ("192.168.1.0/24", "pcx-404"),
            ("203.0.113.0/24", "blackhole"),
            ("198.51.100.0/24", "vpce-1"),
        ],
        [],
    )
    expected = {
        "8.8.8.8": Way(INTERNET),
        "10.0.200.1": LOCAL,  # not listed, and there all the same
        "2001:db8::1": LOCAL,
        "2001:db9::1": Way(EGRESS_ONLY),
        "2001:db8:1::1": Way(INTERNET),
        "192.0.2.1": None,
        "192.168.0.1": Way("pcx-1"),
        "192.168.1.1": None,
        "203.0.113.1": None,
        "198.51.100.1": None,
    }
    assert {to: _way(plan, "rtb-public", to) for to in expected} == expected
    assert {_way(plan, "rtb-404", to) for to in expected} == {None}


def test_a_nat_gateway_sends_by_its_own_subnets_routes() -> None:
    everywhere = ("0.0.0.0/0", "nat-1")
    public = [("0.0.0.0/0", "igw-1"), ("192.168.0.0/16", "pcx-1"), ("203.0.113.0/24", "blackhole")]
    plan = _plan(public, [everywhere], _nat(1))
    assert _way(plan, "rtb-private", "8.8.8.8") == Way(INTERNET, ("nat-1",))
    assert _way(plan, "rtb-private", "192.168.3.4") == Way("pcx-1", ("nat-1",))
    assert _way(plan, "rtb-private", "203.0.113.5") is None
    assert _way(plan, "rtb-private", "10.0.0.5") == LOCAL
    assert _way(plan, "rtb-private", "2001:db9::1") is None
    # Without a public address it serves the VPC and its peers only.
    hidden = replace(plan, nats=(_nat(1, public=None),))
    assert _way(hidden, "rtb-private", "8.8.8.8") is None
    assert _way(hidden, "rtb-private", "192.168.3.4") == Way("pcx-1", ("nat-1",))
    # A gateway that is gone, and one whose subnet is.
    assert _way(replace(plan, nats=()), "rtb-private", "8.8.8.8") is None
    assert _way(replace(plan, nats=(_nat(1, "subnet-404"),)), "rtb-private", "8.8.8.8") is None


def test_a_nat_gateway_reaches_its_own_subnet_whatever_the_table_says() -> None:
    plan = _plan([(PUBLIC, "blackhole"), ("10.0.0.128/25", "igw-1")], [(PUBLIC, "nat-1")], _nat(1))
    assert _way(plan, "rtb-private", "10.0.0.5") == Way("local", ("nat-1",))
    assert _way(plan, "rtb-private", "10.0.0.200") == Way("local", ("nat-1",))


@pytest.mark.parametrize("back", ["nat-1", "nat-2"])
def test_routes_that_lead_in_a_circle_lead_nowhere(back: str) -> None:
    everywhere = "0.0.0.0/0"
    plan = _plan([(everywhere, back)], [(everywhere, "nat-1")], _nat(1), _nat(2, "subnet-private"))
    assert _way(plan, "rtb-private", "8.8.8.8") is None
    assert _way(plan, "rtb-public", "8.8.8.8") is None


def test_nat_gateways_in_a_row() -> None:
    plan = _plan(
        [("0.0.0.0/0", "igw-1")], [("0.0.0.0/0", "nat-1")], _nat(1), _nat(2, "subnet-third"), _nat(3, "subnet-third")
    )
    third = PlannedSubnet(subnet_id="subnet-third", cidr="10.0.2.0/24", route_table="rtb-third", acl="")
    plan = replace(
        plan,
        subnets=(*plan.subnets, third),
        tables=(*plan.tables, table("rtb-third", ("8.0.0.0/8", "nat-1"), ("9.0.0.0/8", "nat-3"))),
    )
    assert _way(plan, "rtb-third", "8.8.8.8") == Way(INTERNET, ("nat-1",))
    chained = replace(plan, tables=(table("rtb-private", ("0.0.0.0/0", "nat-2")), *plan.tables[:1], plan.tables[2]))
    assert _way(chained, "rtb-private", "8.8.8.8") == Way(INTERNET, ("nat-2", "nat-1"))
    assert _way(chained, "rtb-private", "9.9.9.9") is None
    assert _way(chained, "rtb-private", "7.7.7.7") is None


def test_marks_are_different_and_stay() -> None:
    ways = [Way(INTERNET, (f"nat-{n}",)) for n in range(200)] + [Way(f"pcx-{n}") for n in range(200)]
    found = marks([*ways, LOCAL])
    assert len(set(found.values())) == len(found)
    again = marks(reversed(ways[::2]))
    assert all(found[way] == number for way, number in again.items())
    arrivals = {arrival_mark(found[way]) for way in ways}
    assert len(arrivals) == len(ways)
    assert not arrivals & set(found.values())
    assert all(0 < number < 1 << 32 for number in (*arrivals, *found.values()))
