"""Flows that a changed group ends: those that AWS does not track, and no others."""

from ipaddress import ip_address
from typing import Any

import pytest

from neargate.model.network import SecurityGroup, SecurityGroupRule, VpcPlan
from neargate.vpc.flows import Flow
from neargate.vpc.marks import EGRESS_ONLY_MARK, LOCAL_MARK
from neargate.vpc.tracking import ended, lost_open_rules

ANY, ANY6 = "0.0.0.0/0", "::/0"
ALL = SecurityGroupRule(protocol="-1", cidr_ipv4=ANY)
WEB = SecurityGroupRule(protocol="tcp", from_port=80, to_port=80, cidr_ipv4=ANY)
SERVER, CLIENT = "10.0.0.5", "192.0.2.1"


def _tcp(first: int | None, last: int | None, **peer: str) -> SecurityGroupRule:
    return SecurityGroupRule(protocol="tcp", from_port=first, to_port=last, **(peer or {"cidr_ipv4": ANY}))


def _plan(ingress: tuple[SecurityGroupRule, ...], egress: tuple[SecurityGroupRule, ...]) -> VpcPlan:
    group = SecurityGroup(group_id="sg-1", ingress=ingress, egress=egress)
    return VpcPlan(vpc_id="vpc-1", generation=1, cidrs=("10.0.0.0/16",), groups=(group,))


def _inbound(**changes: Any) -> Flow:
    facts: dict[str, Any] = {
        "source": ip_address(CLIENT),
        "destination": ip_address("198.18.0.5"),
        "receiver": ip_address(SERVER),
        "seen_source": ip_address(CLIENT),
        "mark": LOCAL_MARK,
        "protocol": 6,
        "port": 80,
    }
    return Flow(**(facts | changes))


def _ends(before: VpcPlan, after: VpcPlan, flow: Flow) -> bool:
    members = {"sg-2": [CLIENT]}
    found = ended(
        before,
        after,
        {SERVER: ("sg-1", "sg-404")},
        lambda group_id, version: members.get(group_id, []) if version == 4 else [],
        [flow],
        frozenset({EGRESS_ONLY_MARK}),
    )
    return list(found) == [flow]


@pytest.mark.parametrize(
    ("ingress", "egress", "after", "ends"),
    [
        ((WEB,), (ALL,), (), True),
        ((_tcp(None, None),), (_tcp(0, 65535),), (), True),
        ((_tcp(-1, -1),), (_tcp(None, None),), (), True),
        ((ALL,), (ALL,), (), True),
        # Tracked: not from everybody, not everything back, not of this protocol.
        ((_tcp(80, 80, cidr_ipv4="192.0.2.0/24"),), (ALL,), (), False),
        ((WEB,), (_tcp(1024, 65535),), (), False),
        ((WEB,), (), (), False),
        ((WEB,), (SecurityGroupRule(protocol="udp", cidr_ipv4=ANY),), (), False),
        ((WEB,), (SecurityGroupRule(protocol="-1", cidr_ipv6=ANY6),), (), False),
        ((_tcp(443, 443),), (ALL,), (), False),
        # Another rule still lets it begin.
        ((WEB,), (ALL,), (_tcp(80, 90, cidr_ipv4="192.0.2.0/24"),), False),
        ((WEB,), (ALL,), (_tcp(None, None, peer_group="sg-2"),), False),
        ((WEB,), (ALL,), (ALL,), False),
        # Or seems to.
        ((WEB,), (ALL,), (_tcp(80, 90, cidr_ipv4="192.0.3.0/24"),), True),
        ((WEB,), (ALL,), (_tcp(81, 90),), True),
        ((WEB,), (ALL,), (_tcp(None, None, peer_group="sg-3"),), True),
        ((WEB,), (ALL,), (_tcp(None, None, cidr_ipv4="x"),), True),
        ((WEB,), (ALL,), (SecurityGroupRule(protocol="-1", cidr_ipv6=ANY6),), True),
    ],
)
def test_what_comes_in(
    ingress: tuple[SecurityGroupRule, ...],
    egress: tuple[SecurityGroupRule, ...],
    after: tuple[SecurityGroupRule, ...],
    ends: bool,
) -> None:
    before, now = _plan(ingress, egress), _plan(after, egress)
    assert _ends(before, now, _inbound()) is ends
    if ends:
        assert lost_open_rules(before, now)


def test_what_goes_out_is_asked_of_the_senders_groups() -> None:
    flow = _inbound(source=ip_address(SERVER), destination=ip_address(CLIENT), receiver=ip_address(CLIENT))
    before = _plan((ALL,), (WEB,))
    assert _ends(before, _plan((ALL,), ()), flow)
    assert not _ends(before, _plan((), (WEB,)), flow), "what it sends may go, and then the answers are tracked"


@pytest.mark.parametrize("changes", [{"protocol": 1}, {"mark": 0}, {"mark": EGRESS_ONLY_MARK}, {"port": 443}])
def test_what_is_always_tracked(changes: dict[str, int]) -> None:
    assert not _ends(_plan((WEB,), (ALL,)), _plan((), (ALL,)), _inbound(**changes))


def test_a_group_that_is_gone_and_rules_that_matter_to_no_flow() -> None:
    before = _plan((WEB,), (ALL,))
    without = VpcPlan(vpc_id="vpc-1", generation=2, cidrs=(), groups=())
    assert lost_open_rules(before, without)
    assert _ends(before, without, _inbound())
    assert not lost_open_rules(before, _plan((ALL, WEB), (ALL,)))
    narrow = _tcp(22, 22, cidr_ipv4="10.0.0.0/8")
    assert not lost_open_rules(_plan((WEB, narrow), (ALL,)), before)
