"""By which way flows left, as flow logs number it, and which gateway they passed."""

from neargate.model.network import PlannedNat, PlannedPeering, PlannedSubnet, VpcPlan
from neargate.testing.plans import OPEN_ACL, table
from neargate.vpc.marks import EGRESS_ONLY_MARK, INTERNET_MARK, LOCAL_MARK, marks
from neargate.vpc.routing import INTERNET, Way
from neargate.vpc.traffic_paths import gateway_marks, traffic_paths

NAT = PlannedNat(
    nat_id="nat-1", subnet_id="subnet-a", private_ipv4="10.0.0.9", public_ipv4="198.18.0.9", eni_id="eni-9"
)
PLAN = VpcPlan(
    vpc_id="vpc-1",
    generation=1,
    cidrs=("10.0.0.0/16",),
    groups=(),
    subnets=(
        PlannedSubnet(subnet_id="subnet-a", cidr="10.0.0.0/24", route_table="rtb-a", acl=OPEN_ACL.acl_id),
        PlannedSubnet(subnet_id="subnet-b", cidr="10.0.1.0/24", route_table="rtb-b", acl=OPEN_ACL.acl_id),
    ),
    tables=(
        table("rtb-a", ("0.0.0.0/0", "igw-1"), ("::/0", "eigw-1"), ("10.9.0.0/16", "pcx-1")),
        table("rtb-b", ("0.0.0.0/0", "nat-1")),
    ),
    acls=(OPEN_ACL,),
    nats=(NAT,),
    peerings=(PlannedPeering(peering_id="pcx-1", peer_vpc="vpc-2"),),
)
BY_NAT, BY_PEERING = Way(INTERNET, ("nat-1",)), Way("pcx-1")


def test_each_way_has_awss_number() -> None:
    known = marks([BY_NAT, BY_PEERING])
    assert traffic_paths(PLAN) == {
        0: 1,
        LOCAL_MARK: 1,
        INTERNET_MARK: 8,
        EGRESS_ONLY_MARK: 8,
        known[BY_NAT]: 1,
        known[BY_PEERING]: 4,
    } | dict.fromkeys(gateway_marks(PLAN), 1)


def test_flows_of_each_way_through_a_gateway_are_known_by_their_mark() -> None:
    found = gateway_marks(PLAN)
    assert found[marks([BY_NAT])[BY_NAT]] == NAT
    assert set(found.values()) == {NAT} and LOCAL_MARK not in found
