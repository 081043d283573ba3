"""Names that lead to interface endpoints: what a plan says of them, what a resolver makes of it, what hosts refuse."""

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.judging import Refused
from neargate.agent.arrivals.network import check_plan
from neargate.agent.names.resolver import names_of
from neargate.dns.answering import Forward, answer
from neargate.dns.message import A
from neargate.dns.names import Names
from neargate.frontend.network.plans.planning import vpc_plan
from neargate.frontend.network.records import objects as kept
from neargate.frontend.regional.shelves import Kept, Shelf
from neargate.model.network import PlannedEndpoint, PlannedSubnet, VpcDns, VpcPlan
from neargate.testing import libresolv

ACCOUNT, SERVICE = "000000000000", "com.amazonaws.us-east-1.ecs"
DNS = VpcDns(domain="ec2.internal", endpoints=(("neargate.internal", "169.254.170.10"),))
HERE = kept.Vpc(account=ACCOUNT, name="vpc-1", cidr="10.1.0.0/16", dns_hostnames=True)
THERE = replace(HERE, name="vpc-2", cidr="10.2.0.0/16")
PEERING = kept.Peering(
    account=ACCOUNT, name="pcx-1", requester_vpc="vpc-1", accepter_vpc="vpc-2", status="active", created_at=0.0
)
ZONAL = "vpce-1-abcd-us-east-1a.ecs.us-east-1.vpce.amazonaws.com"
WHOLE = "vpce-1-abcd.ecs.us-east-1.vpce.amazonaws.com"
PRIVATE = "ecs.us-east-1.amazonaws.com"


def interface(zone: str, address: str, state: str = "available") -> kept.EndpointInterface:
    return kept.EndpointInterface(
        place=f"place-{zone}",
        subnet_id=f"subnet-{zone}",
        zone=f"us-east-1{zone}",
        state=state,
        private_ip=address,
        eni_id=f"eni-{zone}",
        mac="0a:00:00:00:00:01",
    )


def endpoint(*interfaces: kept.EndpointInterface, private: bool = True, service: str = SERVICE) -> kept.VpcEndpoint:
    return kept.VpcEndpoint(
        account=ACCOUNT,
        name="vpce-1",
        vpc_id="vpc-1",
        endpoint_type="Interface",
        service_name=service,
        state="available",
        created_at=0.0,
        policy="{}",
        groups=("sg-1",),
        private_dns=private,
        interfaces=interfaces,
        dns_suffix="abcd",
    )


TWO = (interface("a", "10.1.0.5"), interface("b", "10.1.1.5"))


def told(vpc: kept.Vpc, *records: Kept) -> dict[str, list[str]]:
    """Name -> addresses, of endpoints."""
    shelf = Shelf(ACCOUNT)
    shelf.apply([vpc, *records], [])
    dns = vpc_plan(shelf, vpc, generation=1, dns=DNS).dns
    assert dns is not None
    found: dict[str, list[str]] = {}
    for name, address in dns.endpoints[1:]:
        found.setdefault(name, []).append(address)
    return found


def test_a_plan_has_the_endpoints_and_their_names() -> None:
    shelf = Shelf(ACCOUNT)
    shelf.apply([HERE, endpoint(*TWO, interface("c", "10.1.2.5", "deleting"))], [])
    plan = vpc_plan(shelf, HERE, generation=1, dns=DNS)
    assert [(one.private_ipv4, one.service, one.security_groups) for one in plan.endpoints] == [
        ("10.1.0.5", "ecs", ("sg-1",)),
        ("10.1.1.5", "ecs", ("sg-1",)),
    ]
    both = ["10.1.0.5", "10.1.1.5"]
    expected = {WHOLE: both, ZONAL: both[:1], ZONAL.replace("-1a.", "-1b."): both[1:], PRIVATE: both}
    assert told(HERE, endpoint(*TWO)) == expected


def test_private_names_are_for_who_wants_them_and_can_have_them() -> None:
    assert PRIVATE not in told(HERE, endpoint(*TWO, private=False))
    assert PRIVATE not in told(replace(HERE, dns_hostnames=False), endpoint(*TWO))
    assert WHOLE in told(replace(HERE, dns_hostnames=False), endpoint(*TWO))


def test_peers_know_the_endpoints_own_names() -> None:
    assert set(told(THERE, PEERING, endpoint(*TWO))) == {WHOLE, ZONAL, ZONAL.replace("-1a.", "-1b.")}
    assert told(THERE, replace(PEERING, status="deleted"), endpoint(*TWO)) == {}
    assert told(THERE, endpoint(*TWO)) == {}


def test_a_registrys_name_is_all_that_is_below_it() -> None:
    found = told(HERE, endpoint(TWO[0], service="com.amazonaws.us-east-1.ecr.dkr"))
    assert {"dkr.ecr.us-east-1.amazonaws.com", "*.dkr.ecr.us-east-1.amazonaws.com"} <= set(found)
    known = _known(*((name, address) for name, addresses in found.items() for address in addresses))
    for name in ("dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr.us-east-1.amazonaws.com"):
        assert "10.1.0.5" in _asked(known, name)[0], name
    assert isinstance(answer(libresolv.query("api.ecr.us-east-1.amazonaws.com", A), known), Forward)


def test_a_name_of_several_zones_is_answered_with_all() -> None:
    known = _known((WHOLE, "10.1.0.5"), (WHOLE, "10.1.1.5"), (ZONAL, "10.1.0.5"))
    assert len(_asked(known, WHOLE)) == 2 and len(_asked(known, ZONAL)) == 1
    below = answer(libresolv.query(f"x.{WHOLE}", A), known)
    assert not isinstance(below, Forward) and below is not None and libresolv.read(below).outcome == 3


def test_the_nearest_name_decides_what_a_wildcard_is_for() -> None:
    """RFC 4592."""
    known = _known(("*.a.test", "10.0.0.1"), ("a.test", "10.0.0.2"))
    assert "10.0.0.1" in _asked(known, "x.a.test")[0] and "10.0.0.1" in _asked(known, "y.x.a.test")[0]
    assert "10.0.0.2" in _asked(known, "a.test")[0]


def _known(*endpoints: tuple[str, str]) -> Names:
    plan = VpcPlan(
        vpc_id="vpc-1",
        generation=1,
        cidrs=("10.1.0.0/16",),
        groups=(),
        dns=VpcDns(domain="ec2.internal", endpoints=endpoints),
    )
    check_plan(plan)
    known = names_of(plan)
    assert known is not None
    return known


def _asked(known: Names, name: str) -> list[str]:
    found = answer(libresolv.query(name, A), known)
    assert found is not None and not isinstance(found, Forward), name
    return list(libresolv.read(found).records["answer"])


# -- what a host takes

SUBNET = PlannedSubnet(subnet_id="subnet-1", cidr="10.1.0.0/24", route_table="", acl="")
PLANNED = PlannedEndpoint(
    endpoint_id="vpce-1",
    service="ecr.api",
    eni_id="eni-1",
    mac="0a:00:00:00:00:01",
    subnet_id="subnet-1",
    private_ipv4="10.1.0.5",
    security_groups=("sg-1",),
)


def plan_of(one: PlannedEndpoint) -> VpcPlan:
    return VpcPlan(vpc_id="vpc-1", generation=1, cidrs=("10.1.0.0/16",), groups=(), subnets=(SUBNET,), endpoints=(one,))


def test_an_endpoint_is_taken() -> None:
    check_plan(plan_of(PLANNED))
    [eni] = plan_of(PLANNED).endpoint_enis
    assert (eni.private_ipv4, eni.subnet_cidr, eni.security_groups) == ("10.1.0.5", "10.1.0.0/24", ("sg-1",))
    assert plan_of(replace(PLANNED, subnet_id="subnet-2")).endpoint_enis == ()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("endpoint_id", "vpce 1"),
        ("service", ""),
        ("service", "a b"),
        ("eni_id", "../x"),
        ("mac", "0e:ee:ee:ee:ee:ee"),
        ("subnet_id", "subnet-2"),
        ("private_ipv4", "10.1.0.1"),
        ("private_ipv4", "10.2.0.5"),
        ("private_ipv4", "::1"),
        ("security_groups", ("sg 1",)),
        ("host_id", "h 1"),
    ],
)
def test_an_endpoint_that_could_hurt_is_refused(member: str, value: object) -> None:
    with pytest.raises(Refused):
        check_plan(plan_of(replace(PLANNED, **{member: value})))
