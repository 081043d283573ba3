"""`--uplink-networks`: which networks may be named, what the rules make of them, and what trace-path says."""

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from neargate.cli.config import RegionConfig, check
from neargate.cli.problems import Problem
from neargate.testing.netlab import plan
from neargate.tracing.description import Description
from neargate.tracing.flows import Kind, Packet, Stopped
from neargate.tracing.forward import Forward
from neargate.tracing.region import Region
from neargate.uplink.beyond import objection
from neargate.vpc.steering import steer


@pytest.mark.parametrize("network", ["10.1.0.0/16", "192.168.1.0/24", "172.16.0.0/12", "10.0.0.0/8", "100.64.0.0/10"])
def test_private_networks_may_be_named(network: str) -> None:
    assert objection(network) == ""
    check(RegionConfig(uplink_networks=(network,)))


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("10.1.0.5/16", "is no network"),
        ("lan", "is no network"),
        ("0.0.0.0/0", "a prefix of /8 or longer"),
        ("169.254.169.254/32", "link-local"),
        ("127.0.0.0/8", "loopback"),
        ("239.0.0.0/8", "multicast"),
        ("fd00::/64", "networks of IPv4 alone"),
        ("10.1.0.0/16 }; flush ruleset", "is no network"),
    ],
)
def test_others_are_refused_with_why(network: str, why: str) -> None:
    with pytest.raises(Problem, match=why):
        check(RegionConfig(uplink_networks=(network,)))


def test_rules_have_them_once() -> None:
    assert steer(plan(1)).sets["beyond4"] == {}
    named = replace(plan(1), private_beyond=("10.1.2.0/24", "10.1.0.0/16", "192.168.7.0/24"))
    assert set(steer(named).sets["beyond4"]) == {"10.1.0.0/16", "192.168.7.0/24"}


@pytest.mark.parametrize(("named", "is_carried"), [((), False), (("10.1.0.0/16",), True), (("10.2.0.0/16",), False)])
def test_trace_path_knows_them(named: tuple[str, ...], is_carried: bool) -> None:
    forward = Forward(Region(Description(private_beyond=named)))
    packet = Packet(source=ip_address("198.18.0.5"), to=ip_address("10.1.0.7"), protocol=6, ports=(80, 80))
    if is_carried:
        assert forward._internet(packet).receiver.kind is Kind.OUTSIDE
    else:
        with pytest.raises(Stopped, match="is not routed on the internet"):
            forward._internet(packet)
