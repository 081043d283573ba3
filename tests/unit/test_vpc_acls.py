"""Network ACLs as chains: their order, what they leave out, and when there is nothing to ask."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.model.network import AclRule, NetworkAcl, PlannedSubnet, VpcPlan
from neargate.testing.plans import OPEN_ACL
from neargate.vpc.acls import Borders, acl_lines, is_open, unusable_lines

ANY, ANY6 = "0.0.0.0/0", "::/0"


def _rule(
    number: int, protocol: str = "-1", first: int | None = None, last: int | None = None, **more: object
) -> AclRule:
    facts = {"is_egress": False, "allow": True, "cidr": ANY} | more
    return AclRule(number=number, protocol=protocol, from_port=first, to_port=last, **facts)  # type: ignore[arg-type]


def _acl(*rules: AclRule) -> NetworkAcl:
    return NetworkAcl(acl_id="acl-1", rules=rules)


def test_lines_are_in_the_order_of_their_numbers_and_of_one_direction() -> None:
    acl = _acl(
        _rule(200, "6", 22, 22, allow=False),
        _rule(100, "6", 80, 90, cidr="10.0.0.0/8"),
        _rule(50, "17", 53, 53, is_egress=True, cidr="10.0.0.2/32"),
        _rule(300, "1", 8, -1),
        _rule(301, "58", 128, 0, cidr=ANY6),
        _rule(302, "58", cidr=ANY),
        _rule(400, "50", cidr="2001:db8::/32"),
    )
    assert acl_lines(acl, egress=False) == (
        "ip saddr 10.0.0.0/8 tcp dport 80-90 return",
        "meta nfproto ipv4 tcp dport 22 drop",
        "meta nfproto ipv4 icmp type 8 return",
        "meta nfproto ipv6 icmpv6 type 128 icmpv6 code 0 return",
        "ip6 saddr 2001:db8::/32 meta l4proto 50 return",
        "drop",
    )
    assert acl_lines(acl, egress=True) == ("ip daddr 10.0.0.2/32 udp dport 53 return", "drop")
    # Of one whose address the packet does not show.
    assert acl_lines(acl, egress=False, peer="10.0.0.9")[:1] == ("meta nfproto ipv4 tcp dport 80-90 return",)
    assert acl_lines(acl, egress=False, peer="11.0.0.9")[:1] == ("meta nfproto ipv4 tcp dport 22 drop",)
    assert acl_lines(None, egress=False) == ("drop",)


def test_a_line_that_cannot_be_read_denies_from_there_on() -> None:
    acl = _acl(_rule(10, "6", 80, 80), _rule(20, "6", 90, 80, allow=False), _rule(30))
    assert acl_lines(acl, egress=False) == ("meta nfproto ipv4 tcp dport 80 return", "drop")
    plan = VpcPlan(vpc_id="vpc-1", generation=1, cidrs=(), groups=(), acls=(acl,))
    (sentence,) = unusable_lines(plan)
    assert sentence.startswith("acl-1: rule 20 and those after it deny")


RULES = st.builds(
    lambda number, allow, cidr, protocol: _rule(number, protocol, allow=allow, cidr=cidr),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from([ANY, ANY, ANY6, "10.0.0.0/8"]),
    st.sampled_from(["-1", "-1", "6"]),
)


@given(st.lists(RULES, max_size=5, unique_by=lambda rule: rule.number), st.sampled_from([(4,), (4, 6)]))
def test_open_means_that_no_packet_is_denied(rules: list[AclRule], versions: tuple[int, ...]) -> None:
    def passes(address: str, protocol: str) -> bool:
        for rule in sorted(rules, key=lambda rule: rule.number):
            network = ip_network(rule.cidr)
            if ip_address(address) in network and rule.protocol in ("-1", protocol):
                return rule.allow
        return False

    addresses = ["10.1.1.1", "11.1.1.1", *(["2001:db8::1"] if 6 in versions else [])]
    all_pass = all(passes(address, protocol) for address in addresses for protocol in ("6", "17"))
    if is_open(_acl(*rules), egress=False, versions=versions):
        assert all_pass
    # Those that it does not see to be open cost a lookup, no more; the one that every VPC has it must see.
    assert is_open(OPEN_ACL, egress=False, versions=versions)


@pytest.mark.parametrize("ipv6", [None, "2001:db8::/64"])
def test_what_everybody_has_is_not_asked(ipv6: str | None) -> None:
    default = _acl(_rule(100), _rule(100, is_egress=True), _rule(32767, allow=False))
    subnet = PlannedSubnet(subnet_id="subnet-1", cidr="10.0.0.0/24", ipv6_cidr=ipv6, route_table="", acl="acl-1")
    plan = VpcPlan(vpc_id="vpc-1", generation=1, cidrs=(), groups=(), subnets=(subnet,), acls=(default,))
    borders = Borders(plan)
    # Where there is IPv6, the one without a line for it denies that.
    assert borders.are_open == (ipv6 is None)
    assert (borders.chain("subnet-1", egress=True) is None) == (ipv6 is None)
    assert all(lines[-1] == "drop" for lines in borders.chains.values())


def test_a_subnet_of_an_unknown_acl_is_shut() -> None:
    subnet = PlannedSubnet(subnet_id="subnet-1", cidr="10.0.0.0/24", route_table="", acl="acl-404")
    borders = Borders(VpcPlan(vpc_id="vpc-1", generation=1, cidrs=(), groups=(), subnets=(subnet,)))
    assert not borders.are_open
    assert borders.chains[str(borders.chain("subnet-1", egress=False))] == ("drop",)
