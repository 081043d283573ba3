"""The rule set as a value: what a plan becomes, and that nothing in it can become more than it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.model.network import Eni, PlannedPeering, SecurityGroup, SecurityGroupRule, VpcPlan
from neargate.testing.plans import with_public_subnet
from neargate.vpc.groups import unusable_rules
from neargate.vpc.marks import arrival_mark
from neargate.vpc.ruleset import LocalEni, PeerVpc, RouterRules, local_eni, render, transaction

ANY = "0.0.0.0/0"


def _eni(number: int, *groups: str, public: str | None = None, ipv6: str | None = None) -> Eni:
    return Eni(
        eni_id=f"eni-{number}",
        attachment_id="a",
        mac="0a:00:00:00:00:01",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        subnet_cidr="10.0.0.0/24",
        private_ipv4=f"10.0.0.{number}",
        ipv6=ipv6,
        public_ipv4=public,
        security_groups=groups,
    )


def _rules(plan: VpcPlan, *enis: Eni, previous: RouterRules | None = None) -> RouterRules:
    return render(plan, [local_eni(f"e{eni.eni_id}", eni) for eni in enis], endpoint_port=4566, previous=previous)


def _plan(*groups: SecurityGroup) -> VpcPlan:
    plan = VpcPlan(vpc_id="vpc-1", generation=1, cidrs=("10.0.0.0/16",), groups=groups)
    return with_public_subnet(plan, "subnet-1", "10.0.0.0/24")


def _ingress(*rules: SecurityGroupRule) -> tuple[str, ...]:
    """The ingress chain of an ENI whose only group has these rules."""
    rendered = _rules(_plan(SecurityGroup(group_id="sg-1", ingress=rules)), _eni(4, "sg-1"))
    (chain,) = [lines for name, lines in rendered.chains.items() if name.endswith("_in")]
    return chain


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (SecurityGroupRule(protocol="-1", cidr_ipv4=ANY), "meta nfproto ipv4 return"),
        (SecurityGroupRule(protocol="-1", cidr_ipv6="::/0"), "meta nfproto ipv6 return"),
        (SecurityGroupRule(protocol="tcp", from_port=80, to_port=80, cidr_ipv4="10.1.2.3/32"), "tcp dport 80 return"),
        (SecurityGroupRule(protocol="udp", from_port=53, to_port=60, cidr_ipv4=ANY), "udp dport 53-60 return"),
        (SecurityGroupRule(protocol="6", from_port=22, to_port=22, cidr_ipv4=ANY), "tcp dport 22 return"),
        (SecurityGroupRule(protocol="tcp", from_port=0, to_port=65535, cidr_ipv4=ANY), "meta l4proto tcp return"),
        (SecurityGroupRule(protocol="tcp", cidr_ipv6="2001:db8::/32"), "meta l4proto tcp return"),
        (SecurityGroupRule(protocol="icmp", from_port=8, to_port=-1, cidr_ipv4=ANY), "icmp type 8 return"),
        (SecurityGroupRule(protocol="icmp", from_port=3, to_port=4, cidr_ipv4=ANY), "icmp type 3 icmp code 4 return"),
        (SecurityGroupRule(protocol="icmp", from_port=-1, to_port=-1, cidr_ipv4=ANY), "meta l4proto icmp return"),
        (SecurityGroupRule(protocol="58", cidr_ipv6="::/0"), "meta l4proto ipv6-icmp return"),
        (SecurityGroupRule(protocol="50", cidr_ipv4=ANY), "meta l4proto 50 return"),
        (SecurityGroupRule(protocol="tcp", from_port=1, to_port=2, peer_group="sg-2"), "tcp dport 1-2 return"),
    ],
)
def test_one_rule_becomes_one_match(rule: SecurityGroupRule, line: str) -> None:
    chain = _ingress(rule)
    assert chain[-1] == "drop"
    assert chain[0].endswith(line)


@pytest.mark.parametrize(
    "rule",
    [
        SecurityGroupRule(protocol="tcp"),
        SecurityGroupRule(protocol="tcp", cidr_ipv4="10.0.0.0/8 accept; accept"),
        SecurityGroupRule(protocol="tcp", cidr_ipv4="::/0"),
        SecurityGroupRule(protocol="tcp", cidr_ipv6=ANY),
        SecurityGroupRule(protocol="tcp", cidr_ipv6="2001:db8::%x } return ; #/64"),
        SecurityGroupRule(protocol="tcp", from_port=90, to_port=80, cidr_ipv4=ANY),
        SecurityGroupRule(protocol="tcp", from_port=0, to_port=70000, cidr_ipv4=ANY),
        SecurityGroupRule(protocol="256", cidr_ipv4=ANY),
        SecurityGroupRule(protocol="tcp accept", cidr_ipv4=ANY),
        SecurityGroupRule(protocol="icmp", from_port=300, cidr_ipv4=ANY),
    ],
)
def test_a_rule_that_cannot_be_read_allows_nothing_and_is_named(rule: SecurityGroupRule) -> None:
    assert _ingress(rule) == ("drop",)
    (sentence,) = unusable_rules(_plan(SecurityGroup(group_id="sg-1", ingress=(rule,))))
    assert sentence.startswith("sg-1: ingress rule is ignored")


@pytest.mark.parametrize(("protocol", "cidr"), [("icmp", "::/0"), ("icmpv6", ANY)])
def test_icmp_of_the_other_family_matches_nothing(protocol: str, cidr: str) -> None:
    peer = {"cidr_ipv6": cidr} if ":" in cidr else {"cidr_ipv4": cidr}
    assert _ingress(SecurityGroupRule(protocol=protocol, **peer)) == ("drop",)  # type: ignore[arg-type]


def test_an_eni_without_groups_and_one_of_an_unknown_group_are_shut() -> None:
    rendered = _rules(_plan(), _eni(4), _eni(5, "sg-404"))
    assert set(_group_chains(rendered).values()) == {("drop",)}


def test_networks_of_one_port_are_merged() -> None:
    cidrs = ("10.0.0.0/25", "10.0.0.128/25", "10.0.0.0/28", "192.168.0.0/16")
    (line, _) = _ingress(*(SecurityGroupRule(protocol="tcp", from_port=1, to_port=1, cidr_ipv4=c) for c in cidrs))
    assert line == "ip saddr { 10.0.0.0/24, 192.168.0.0/16 } tcp dport 1 return"


def test_members_are_local_enis_and_remote_ones_of_referenced_groups_only() -> None:
    rule = SecurityGroupRule(protocol="-1", peer_group="sg-2")
    plan = _plan(
        SecurityGroup(group_id="sg-1", ingress=(rule,)),
        SecurityGroup(group_id="sg-2", remote_members=("10.0.9.9", "2001:db8::9")),
        SecurityGroup(group_id="sg-3", remote_members=("10.0.9.10",)),
    )
    rendered = _rules(plan, _eni(4, "sg-1"), _eni(5, "sg-2", ipv6="2001:db8::5"), _eni(6, "sg-3"))
    assert set(rendered.sets["m4_sg-2"]) == {"10.0.0.5", "10.0.9.9"}
    assert set(rendered.sets["m6_sg-2"]) == {"2001:db8::5", "2001:db8::9"}
    assert "m4_sg-1" not in rendered.sets
    assert "m4_sg-3" not in rendered.sets


def test_an_id_that_is_none_cannot_become_syntax() -> None:
    hostile = "sg-1; flush ruleset"
    rule = SecurityGroupRule(protocol="-1", peer_group=hostile)
    rendered = _rules(_plan(SecurityGroup(group_id=hostile, ingress=(rule,))), _eni(4, hostile))
    assert "flush" not in transaction(None, rendered)


@pytest.mark.parametrize("address", ["10.0.0.1, 10.0.0.2", "", "::1", "10.0.0.1/24"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        local_eni("e1", Eni(**{**_fields(_eni(4)), "private_ipv4": address}))


def test_what_names_a_link_cannot_become_syntax() -> None:
    hostile = "2001:db8::1%} ; flush ruleset ; #"
    with pytest.raises(ValueError, match="address"):
        local_eni("e1", _eni(4, ipv6=hostile))
    everybody = SecurityGroupRule(protocol="-1", peer_group="sg-1")
    with pytest.raises(ValueError, match="address"):
        _rules(_plan(SecurityGroup(group_id="sg-1", ingress=(everybody,), remote_members=(hostile,))), _eni(4, "sg-1"))


def test_one_more_eni_is_a_transaction_of_its_elements_alone() -> None:
    plan = _plan(SecurityGroup(group_id="sg-1", ingress=(SecurityGroupRule(protocol="-1", peer_group="sg-1"),)))
    before = _rules(plan, _eni(4, "sg-1"))
    after = _rules(plan, _eni(4, "sg-1"), _eni(5, "sg-1", public="198.18.0.5"), previous=before)
    lines = transaction(before, after).splitlines()
    assert len(lines) == 9
    assert all(line.startswith("add element inet neargate ") for line in lines)
    assert all("10.0.0.5" in line or "198.18.0.5" in line for line in lines)
    assert [line.split()[0] for line in transaction(after, before).splitlines()] == ["delete"] * 9


def test_a_changed_group_flushes_only_its_chains() -> None:
    one, two = SecurityGroup(group_id="sg-1"), SecurityGroup(group_id="sg-2")
    opened = SecurityGroup(group_id="sg-1", ingress=(SecurityGroupRule(protocol="-1", cidr_ipv4=ANY),))
    before = _rules(_plan(one, two), _eni(4, "sg-1"), _eni(5, "sg-2"))
    lines = transaction(
        before, _rules(_plan(opened, two), _eni(4, "sg-1"), _eni(5, "sg-2"), previous=before)
    ).splitlines()
    assert [line.split()[:2] for line in lines] == [["flush", "chain"], ["add", "rule"], ["add", "rule"]]


def test_what_a_new_plan_leaves_as_it_was_is_not_made_anew() -> None:
    one, two = SecurityGroup(group_id="sg-1"), SecurityGroup(group_id="sg-2")
    opened = SecurityGroup(group_id="sg-1", ingress=(SecurityGroupRule(protocol="-1", cidr_ipv4=ANY),))
    enis = (_eni(4, "sg-1"), _eni(5, "sg-2"), _eni(6, "sg-1", "sg-2"))
    before = _rules(_plan(one, two), *enis)
    after = _rules(replace(_plan(opened, two), generation=2), *enis, previous=before)
    assert after.steering is before.steering
    kept = {name for name, lines in after.chains.items() if lines is before.chains[name] and name.startswith("g_")}
    assert len(kept) == 2, "those of sg-2 alone"
    assert transaction(after, _rules(_plan(opened, two), *enis)) == ""
    gone = _rules(_plan(two), *enis, previous=after)
    assert transaction(gone, _rules(_plan(two), *enis)) == ""
    moved = replace(_plan(opened, two), tables=())
    assert _rules(moved, *enis, previous=after).steering is not after.steering


def test_the_same_value_needs_no_transaction() -> None:
    plan = _plan(SecurityGroup(group_id="sg-1"))
    assert transaction(_rules(plan, _eni(4, "sg-1")), _rules(plan, _eni(4, "sg-1"))) == ""


@given(st.lists(st.tuples(st.integers(1, 250), st.sets(st.sampled_from(["sg-1", "sg-2", "sg-3"]))), max_size=8))
def test_every_chain_ends_in_drop_and_every_eni_has_its_chains(members: list[tuple[int, set[str]]]) -> None:
    rule = SecurityGroupRule(protocol="-1", peer_group="sg-2")
    plan = _plan(SecurityGroup(group_id="sg-1", egress=(rule,)), SecurityGroup(group_id="sg-2", ingress=(rule,)))
    enis: list[LocalEni] = [local_eni(f"e{n}", _eni(n, *sorted(groups))) for n, groups in dict(members).items()]
    rendered = render(plan, enis, endpoint_port=4566)
    chains = _group_chains(rendered)
    assert all(lines[-1] == "drop" and lines.count("drop") == 1 for lines in chains.values())
    targets = {verdict.removeprefix("goto ") for name in ("out4", "in4") for verdict in rendered.sets[name].values()}
    assert targets == set(chains)


def test_a_peers_group_is_its_members_by_the_way_to_them() -> None:
    rule = SecurityGroupRule(protocol="tcp", from_port=1, to_port=2, peer_group="sg-there")
    plan = replace(
        _plan(SecurityGroup(group_id="sg-1", ingress=(rule,), egress=(rule,))),
        peerings=(PlannedPeering(peering_id="pcx-1", peer_vpc="vpc-2"),),
    )
    theirs = SecurityGroup(group_id="sg-there", remote_members=("10.9.0.9",))
    member, other = local_eni("e8", _eni(8, "sg-there")), local_eni("e9", _eni(9, "sg-1"))
    peer = PeerVpc(peering_id="pcx-1", groups=(theirs,), members=(member, other))
    alone = _rules(plan, _eni(4, "sg-1"))
    known = render(plan, [local_eni("eeni-4", _eni(4, "sg-1"))], endpoint_port=4566, peers=[peer], previous=alone)
    assert alone.sets["m4_sg-there"] == {}
    assert set(known.sets["m4_sg-there"]) == {"10.0.0.8", "10.9.0.9"}
    mark = known.steering.peerings["pcx-1"]
    inwards = next(lines for name, lines in known.chains.items() if name.startswith("g_") and name.endswith("_in"))
    outwards = next(lines for name, lines in known.chains.items() if name.startswith("g_") and name.endswith("_out"))
    assert f"meta mark {arrival_mark(mark):#x} ip saddr @m4_sg-there tcp dport 1-2 return" in inwards
    assert f"meta mark {mark:#x} ip daddr @m4_sg-there tcp dport 1-2 return" in outwards


def _group_chains(rules: RouterRules) -> dict[str, tuple[str, ...]]:
    return {name: lines for name, lines in rules.chains.items() if name.startswith("g_")}


def _fields(eni: Eni) -> dict[str, object]:
    return {name: getattr(eni, name) for name in eni.__struct_fields__}
