"""A plan's routes in the table: what is shared, what a change touches, and which flows it misleads."""

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from neargate.model.flow_logs import ACCEPT, ALL, DEFAULT_FIELDS, REJECT, PlannedFlowLog
from neargate.model.network import (
    AclRule,
    Eni,
    NetworkAcl,
    PlannedNat,
    PlannedPeering,
    PlannedSubnet,
    SecurityGroup,
    VpcPlan,
)
from neargate.testing.nft_machine.table import Table
from neargate.testing.plans import OPEN_ACL, table
from neargate.vpc.flows import Flow, misled
from neargate.vpc.marks import EGRESS_ONLY_MARK, INTERNET_MARK, LOCAL_MARK, SERVICE_MARK, arrival_mark, marks
from neargate.vpc.routing import INTERNET, Routing, Way
from neargate.vpc.ruleset import local_eni, render, transaction
from neargate.vpc.steering import steer
from neargate.vpc.table import FIXED_SETS, peering_link

EVERYWHERE = "0.0.0.0/0"
NAT = PlannedNat(nat_id="nat-1", subnet_id="subnet-a", private_ipv4="10.0.0.9", public_ipv4="198.18.0.9")
BY_NAT = Way(INTERNET, ("nat-1",))


def _subnet(letter: str, number: int, **changes: str) -> PlannedSubnet:
    made = PlannedSubnet(
        subnet_id=f"subnet-{letter}", cidr=f"10.0.{number}.0/24", route_table=f"rtb-{letter}", acl=OPEN_ACL.acl_id
    )
    return replace(made, **changes)


PLAN = VpcPlan(
    vpc_id="vpc-1",
    generation=1,
    cidrs=("10.0.0.0/16",),
    groups=(),
    subnets=(_subnet("a", 0), _subnet("b", 1), _subnet("c", 2)),
    tables=(
        table("rtb-a", (EVERYWHERE, "igw-1")),
        table("rtb-b", (EVERYWHERE, "nat-1")),
        table("rtb-c", ("0.0.0.0/0", "igw-1")),
    ),
    acls=(OPEN_ACL,),
    nats=(NAT,),
)


def _change(plan: VpcPlan) -> list[str]:
    before = render(PLAN, [], endpoint_port=4566)
    return transaction(before, render(plan, [], endpoint_port=4566, previous=before)).splitlines()


def test_tables_that_say_the_same_share_a_map() -> None:
    maps = [name for name in steer(PLAN).sets if name.startswith("r4_")]
    assert len(maps) == 2
    (by_nat,) = [name for name in maps if f"{marks([BY_NAT])[BY_NAT]:#x}" in steer(PLAN).sets[name].values()]
    assert steer(PLAN).sets[by_nat] == {
        "0.0.0.0-9.255.255.255": f"{marks([BY_NAT])[BY_NAT]:#x}",
        "10.0.0.0-10.0.0.1": f"{LOCAL_MARK:#x}",
        "10.0.0.2": f"{SERVICE_MARK:#x}",
        "10.0.0.3-10.0.255.255": f"{LOCAL_MARK:#x}",
        "10.1.0.0-169.253.255.255": f"{marks([BY_NAT])[BY_NAT]:#x}",
        "169.254.169.253": f"{SERVICE_MARK:#x}",
        "169.254.170.2": f"{SERVICE_MARK:#x}",
        "169.254.170.10": f"{SERVICE_MARK:#x}",
        "169.254.170.11": f"{SERVICE_MARK:#x}",
        "169.255.0.0-255.255.255.255": f"{marks([BY_NAT])[BY_NAT]:#x}",
    }


def test_a_changed_route_is_another_map_and_touches_its_subnets_only() -> None:
    lines = _change(replace(PLAN, tables=(*PLAN.tables[:2], table("rtb-c", (EVERYWHERE, "blackhole")))))
    assert [line for line in lines if "subnet-a" in line or "subnet-b" in line] == []
    assert [line.split()[:2] for line in lines if " r4_" in line and "rule" not in line] == [
        ["add", "map"],
        ["add", "element"],
    ], "the other is still another table's"
    assert "flush chain inet neargate s_subnet-c" in lines


def test_the_same_plan_again_and_a_new_group_touch_no_route() -> None:
    assert _change(replace(PLAN, generation=2)) == []


def test_where_all_may_pass_there_is_no_trace_of_acls() -> None:
    chains = steer(PLAN).chains
    assert {name[:2] for name in chains} == {"s_", "u_", "n_", "b_", "t_", "in", "w_"}
    shut = NetworkAcl(
        acl_id="acl-1", rules=(AclRule(number=1, is_egress=True, allow=True, protocol="6", cidr=EVERYWHERE),)
    )
    filtered = steer(replace(PLAN, acls=(OPEN_ACL, shut), subnets=(*PLAN.subnets[:2], _subnet("c", 2, acl="acl-1"))))
    assert {"l_subnet-a", "l_subnet-c", "d_subnet-c", "borders_in"} <= set(filtered.chains)
    assert "d_subnet-a" not in filtered.chains


def test_a_nat_gateway_is_a_source_address_and_asks_for_the_way_back() -> None:
    made, mark = steer(PLAN), marks([BY_NAT])[BY_NAT]
    assert made.chains[f"t_{mark:x}"] == (
        "meta l4proto { tcp, udp } snat ip to 198.18.0.9:1024-65535",
        "snat ip to 198.18.0.9",
    )
    assert "198.18.0.9" in made.sets["pub_own"]
    assert made.sets["pub_in"] == {}, "nobody reaches it from outside"
    assert made.chains[f"b_{mark:x}"][0] == "ip daddr 10.0.0.0/24 accept"
    assert made.chains[f"b_{mark:x}"][1].startswith("ip daddr != @i4_")
    with pytest.raises(ValueError, match="address"):
        steer(replace(PLAN, nats=(replace(NAT, public_ipv4="198.18.0.9; accept"),)))


def test_a_peering_has_marks_for_both_directions_and_a_link() -> None:
    plan = replace(PLAN, peerings=(PlannedPeering(peering_id="pcx-1", peer_vpc="vpc-2"),))
    made, mark = steer(plan), marks([Way("pcx-1")])[Way("pcx-1")]
    assert made.lookups == {mark: "pcx-1"}
    assert made.sets["arrivals"] == {f'"{peering_link("pcx-1")}"': f"{arrival_mark(mark):#x}"}
    assert made.sets["exits"][f"{arrival_mark(mark):#x}"] == "goto w_eni", "nothing goes through to a third"
    assert not peering_link("pcx-1").startswith("e")
    # Through a NAT gateway, by the same link.
    routed = replace(plan, tables=(table("rtb-a", ("10.9.0.0/16", "pcx-1")), *PLAN.tables[1:]))
    assert set(steer(routed).lookups.values()) == {"pcx-1"}
    assert len(steer(routed).lookups) == 2


def test_elements_are_for_sets_that_are_there() -> None:
    made = steer(PLAN)
    assert set(FIXED_SETS) <= set(made.sets)
    targets = {
        verdict.removeprefix("goto ")
        for name in ("onwards", "ways", "exits", "translate")
        for verdict in made.sets[name].values()
    }
    assert targets - {"accept", "w_up", "w_eni", "inbound"} <= set(made.chains)


def _flow(source: str, to: str, mark: int) -> Flow:
    sender, receiver = ip_address(source), ip_address(to)
    return Flow(source=sender, destination=receiver, receiver=receiver, seen_source=sender, mark=mark)


def test_flows_are_misled_where_another_way_is_the_one_now() -> None:
    by_nat = marks(Routing(PLAN).all_ways())[BY_NAT]
    senders = {"10.0.0.5": "subnet-a", "10.0.1.5": "subnet-b", "10.0.9.9": "subnet-404"}
    kept = [
        _flow("10.0.1.5", "192.0.2.1", by_nat),
        _flow("10.0.0.5", "192.0.2.1", INTERNET_MARK),
        _flow("10.0.1.5", "10.0.0.5", LOCAL_MARK),
        _flow("10.0.1.5", "10.0.1.6", LOCAL_MARK),
        _flow("10.0.0.5", "169.254.170.2", 0),
        _flow("192.0.2.1", "198.18.0.5", INTERNET_MARK),
        _flow("10.0.9.9", "192.0.2.1", by_nat),
        _flow("10.0.0.5", "2001:db8::1", EGRESS_ONLY_MARK),  # no way at all, now: it may come back
    ]
    lost = [
        _flow("10.0.1.5", "192.0.2.1", INTERNET_MARK),
        _flow("10.0.0.5", "192.0.2.1", by_nat),
        _flow("10.0.0.5", "10.0.1.5", by_nat),
    ]
    assert list(misled(PLAN, senders, [*kept, *lost])) == lost


def _log(traffic: str) -> PlannedFlowLog:
    return PlannedFlowLog(
        flow_log_id="fl-1",
        account="000000000000",
        resource_id="vpc-1",
        traffic=traffic,
        fields=DEFAULT_FIELDS,
        interval_s=60,
    )


def test_what_is_refused_is_told_only_while_a_flow_log_asks_for_it() -> None:
    shut = replace(PLAN, acls=(NetworkAcl(acl_id=OPEN_ACL.acl_id, rules=()),))
    plain, told = steer(shut), steer(replace(shut, flow_logs=(_log(ALL),)))
    assert steer(replace(shut, flow_logs=(_log(ACCEPT),))).chains == plain.chains
    assert {name for name in told.chains if name.startswith("r_")} == {"r_out", "r_out_x", "r_in", "r_in_x"}
    assert {name for name in told.sets if name.startswith("q")} == told.sets.keys() - plain.sets.keys()
    ends = {lines[-1] for name, lines in told.chains.items() if name.startswith("a_")}
    assert ends == {"goto r_out", "goto r_in", "drop"}, "and drop where a NAT gateway's subnet is asked"


def test_a_flow_log_that_comes_or_goes_changes_groups_too() -> None:
    group = SecurityGroup(group_id="sg-1")
    eni = Eni(
        eni_id="eni-4",
        attachment_id="a",
        mac="0a:00:00:00:00:01",
        vpc_id="vpc-1",
        subnet_id="subnet-a",
        subnet_cidr="10.0.0.0/24",
        private_ipv4="10.0.0.4",
        security_groups=("sg-1",),
    )
    plan = replace(PLAN, groups=(group,))
    plain = render(plan, [local_eni("e4", eni)], endpoint_port=4566)
    logged_plan = replace(plan, flow_logs=(_log(REJECT),))
    logged = render(logged_plan, [local_eni("e4", eni)], endpoint_port=4566, previous=plain)
    ends = {name[-3:]: lines[-1] for name, lines in logged.chains.items() if name.startswith("g_")}
    assert ends == {"out": "goto r_out", "_in": "goto r_in"}
    again = render(plan, [local_eni("e4", eni)], endpoint_port=4566, previous=logged)
    assert again.chains == plain.chains and again.sets == plain.sets
    table = Table()
    for before, after in ((None, plain), (plain, logged), (logged, again)):
        table.run(transaction(before, after))
    assert not [name for name in (*table.chains, *table.sets) if name.startswith(("r_", "q"))]
