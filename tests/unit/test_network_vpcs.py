"""Decisions on VPCs, their networks, subnets and DHCP options, on shelves made by hand."""

import random
from ipaddress import IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.agent.arrivals.judging import Refused
from neargate.agent.arrivals.network import check_plan
from neargate.agent.hooks.etc_files import etc_files
from neargate.frontend.network.errors.common import InvalidParameterCombination, SubnetNotFound, VpcNotFound
from neargate.frontend.network.errors.vpcs import (
    CidrInvalid,
    DhcpLimitExceeded,
    HasDependents,
    NoFreeBlock,
    SubnetConflict,
    SubnetLimitExceeded,
    SubnetRange,
    ValueInvalid,
    VpcRange,
)
from neargate.frontend.network.filters import groups as group_changes
from neargate.frontend.network.plans.planning import vpc_plan
from neargate.frontend.network.records.objects import (
    AclEntry,
    CidrBlock,
    DhcpOptions,
    EgressOnlyGateway,
    FlowLog,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Owned,
    Peering,
    RouteTable,
    StoredRoute,
    Subnet,
    Vpc,
    VpcEndpoint,
)
from neargate.frontend.network.records.security_groups import SecurityGroupView
from neargate.frontend.network.vpcs import (
    changes as vpc_changes,
)
from neargate.frontend.network.vpcs import (
    cidrs,
)
from neargate.frontend.network.vpcs import (
    dhcp as dhcp_changes,
)
from neargate.frontend.network.vpcs import (
    networks as vpc_networks,
)
from neargate.frontend.network.vpcs import (
    subnets as subnet_changes,
)
from neargate.frontend.network.vpcs.defaults import default_dhcp_options
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.model.network import VpcDns, VpcPlan
from neargate.vpc.addresses import private_domain

ACCOUNT, REGION = "123456789012", "eu-west-1"
ZONES = (("eu-west-1a", "euw1-az1"), ("eu-west-1b", "euw1-az2"))
MANY = 1000.0


class Account:
    """A shelf, and chance that is the same each time."""

    def __init__(self, *records: Owned) -> None:
        self.shelf = Shelf(ACCOUNT)
        self.shelf.apply(records, ())
        self.bits = random.Random(7).getrandbits

    def do(self, change: Change[Any]) -> Any:
        self.shelf.apply(change.put, change.drop)
        return change.result

    def vpc(self, cidr: str = "10.0.0.0/16", *, with_ipv6: bool = False) -> Vpc:
        made: Vpc = self.do(
            vpc_changes.create_vpc(
                self.shelf, cidr, (), with_ipv6=with_ipv6, region=REGION, vpcs_max=MANY, bits=self.bits
            )
        )
        return made

    def subnet(self, vpc: Vpc, cidr: str = "10.0.0.0/24", **more: Any) -> Subnet:
        given = {"zones": ZONES, "subnets_max": MANY, "bits": self.bits} | more
        made: Subnet = self.do(subnet_changes.create_subnet(self.shelf, vpc.name, cidr, (), **given))
        return made

    def now(self, vpc: Vpc) -> Vpc:
        return vpc_changes.required_vpc(self.shelf, vpc.name)

    def further(self, vpc: Vpc, cidr: str) -> Any:
        return self.do(vpc_networks.associate_ipv4(self.shelf, vpc.name, cidr, MANY, self.bits))

    def ipv6(self, vpc: Vpc) -> Any:
        return self.do(vpc_networks.associate_ipv6(self.shelf, vpc.name, REGION, MANY, self.bits))

    def acl(self, vpc: Vpc) -> NetworkAcl:
        [found] = [acl for acl in self.shelf.all(NetworkAcl) if acl.vpc_id == vpc.name]
        return found

    def group(self, vpc: Vpc) -> SecurityGroupView:
        [found] = [group for group in self.shelf.all(SecurityGroupView) if group.vpc_id == vpc.name]
        return found


# -- networks as requests write them


@pytest.mark.parametrize("text", ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/255.255.0.0", "256.0.0.0/16"])
@pytest.mark.parametrize("end", ["", " ", "\n"])
def test_what_is_no_ipv4_network(text: str, end: str) -> None:
    with pytest.raises(CidrInvalid):
        cidrs.ipv4(text + end)


@pytest.mark.parametrize("text", ["", "fd00::", "fd00::/129", "fd00::/x", "10.0.0.0/16", "fd00::%eth0/64", "::1::/64"])
def test_what_is_no_ipv6_network(text: str) -> None:
    with pytest.raises(CidrInvalid):
        cidrs.ipv6(text)


def test_networks_become_canonical() -> None:
    assert str(cidrs.ipv4("100.68.0.18/18")) == "100.68.0.0/18"
    assert str(cidrs.ipv6("fd00:0:0:1::5/64")) == "fd00:0:0:1::/64"


@given(st.text(max_size=40))
def test_any_text_is_a_network_or_refused(text: str) -> None:
    for parse in (cidrs.ipv4, cidrs.ipv6):
        try:
            assert parse(text).prefixlen <= 128
        except CidrInvalid:
            pass


@pytest.mark.parametrize(
    ("primary", "allowed", "refused"),
    [
        ("10.0.0.0/16", ["10.200.0.0/16", "100.64.0.0/16", "203.0.112.0/20"], ["172.16.0.0/16", "192.168.0.0/24"]),
        ("172.16.0.0/16", ["172.30.0.0/16", "100.64.0.0/16", "8.8.8.0/24"], ["10.0.0.0/16", "192.168.0.0/24"]),
        ("172.16.0.0/16", [], ["172.31.0.0/16", "172.31.7.0/24"]),
        ("10.1.0.0/16", ["10.1.0.0/24", "10.2.0.0/16"], ["10.0.0.0/16", "10.0.255.0/24"]),
        ("10.9.0.0/16", ["10.0.0.0/16"], []),
        ("192.168.0.0/24", ["192.168.4.0/24", "100.127.0.0/16"], ["10.0.0.0/16", "172.16.0.0/28", "198.19.0.0/16"]),
        ("100.64.0.0/16", ["100.65.0.0/16", "8.8.8.0/24"], ["10.0.0.0/16", "198.19.0.0/24"]),
        ("198.19.0.0/16", ["100.64.0.0/16", "8.8.8.0/24"], ["10.0.0.0/16", "192.168.0.0/16"]),
        ("8.8.0.0/16", ["9.9.9.0/24", "100.64.0.0/28"], ["172.16.0.0/16", "169.254.0.0/16", "224.0.0.0/16"]),
    ],
)
def test_which_networks_go_together(primary: str, allowed: list[str], refused: list[str]) -> None:
    for cidr in allowed:
        cidrs.check_further_network(cidrs.ipv4(cidr), primary)
    for cidr in refused:
        with pytest.raises(VpcRange):
            cidrs.check_further_network(cidrs.ipv4(cidr), primary)


def test_an_accounts_ipv6_networks_are_apart_and_of_one_pool() -> None:
    pool = cidrs.ipv6_pool(REGION, ACCOUNT)
    assert pool.subnet_of(IPv6Network("fd00::/8")) and pool.prefixlen == 32
    assert pool == cidrs.ipv6_pool(REGION, ACCOUNT)
    assert len({pool, cidrs.ipv6_pool("us-east-1", ACCOUNT), cidrs.ipv6_pool(REGION, "210987654321")}) == 3
    taken: list[str] = []
    for _ in range(20):
        block = cidrs.new_ipv6_block(REGION, ACCOUNT, taken, lambda _: 2**24 - 3)  # chance that never varies
        assert IPv6Network(block).subnet_of(pool) and block not in taken
        taken.append(block)
    assert {IPv6Network(one).prefixlen for one in taken} == {56}


# -- VPCs


def test_a_vpc_gets_the_regions_own_options_whatever_else_there_is() -> None:
    others = DhcpOptions(account=ACCOUNT, name="dopt-0", configurations=(("domain-name", ("a",)),))
    account = Account(others)
    first, second = account.vpc(), account.vpc()
    assert first.dhcp_options_id == second.dhcp_options_id != "dopt-0"
    options = dhcp_changes.required_options(account.shelf, first.dhcp_options_id)
    assert options.is_default and options.configurations[0] == ("domain-name", (private_domain(REGION),))
    given = default_dhcp_options(ACCOUNT, REGION, "dopt-1")
    assert Account(given).vpc().dhcp_options_id == "dopt-1"


def dependents(vpc: Vpc) -> list[Owned]:
    own: dict[str, Any] = {"account": ACCOUNT, "vpc_id": vpc.name}
    peer: dict[str, Any] = {"account": ACCOUNT, "created_at": 0.0}
    return [
        Subnet(name="subnet-1", zone="a", zone_id="b", cidr="10.0.0.0/24", **own),
        InternetGateway(name="igw-1", **own),
        EgressOnlyGateway(name="eigw-1", **own),
        NatGateway(name="nat-1", subnet_id="subnet-9", zone="a", state="pending", created_at=0.0, **own),
        RouteTable(name="rtb-1", **own),
        NetworkAcl(name="acl-1", **own),
        SecurityGroupView(name="sg-1", group_name="web", description="x", **own),
        VpcEndpoint(
            name="vpce-1",
            endpoint_type="Gateway",
            service_name="s3",
            state="available",
            created_at=0.0,
            policy="",
            **own,
        ),
        Peering(name="pcx-1", requester_vpc=vpc.name, accepter_vpc="vpc-9", status="active", **peer),
        Peering(name="pcx-2", requester_vpc="vpc-9", accepter_vpc=vpc.name, status="pending-acceptance", **peer),
    ]


@pytest.mark.parametrize("which", range(10))
def test_each_thing_in_a_vpc_keeps_it(which: int) -> None:
    account = Account()
    vpc, bystander = account.vpc(), account.vpc()
    one = dependents(vpc)[which]
    account.shelf.apply((one,), ())
    with pytest.raises(HasDependents, match=f"The vpc '{vpc.name}' has dependencies and cannot be deleted"):
        vpc_changes.delete_vpc(account.shelf, vpc.name)
    account.do(vpc_changes.delete_vpc(account.shelf, bystander.name))
    account.shelf.apply((), (one,))
    account.do(vpc_changes.delete_vpc(account.shelf, vpc.name))


def test_a_vpc_leaves_nothing_behind_and_takes_nothing_of_others() -> None:
    account = Account()
    kept = account.vpc()
    before = {record.name for record in account.shelf.everything()}
    gone = account.vpc()
    shown = NatGateway(
        account=ACCOUNT, name="nat-1", vpc_id=gone.name, subnet_id="s", zone="a", state="deleted", created_at=0.0
    )
    over = Peering(
        account=ACCOUNT, name="pcx-1", requester_vpc=gone.name, accepter_vpc=kept.name, status="deleted", created_at=0.0
    )
    log = FlowLog(
        account=ACCOUNT,
        name="fl-1",
        resource_id=gone.name,
        traffic="ALL",
        log_group="g",
        role_arn="r",
        created_at=0.0,
        log_format="",
    )
    account.shelf.apply((shown, over, log), ())
    account.do(vpc_changes.delete_vpc(account.shelf, gone.name))
    assert {record.name for record in account.shelf.everything()} == before | {"pcx-1"}
    with pytest.raises(VpcNotFound):
        vpc_changes.delete_vpc(account.shelf, gone.name)


def test_names_need_a_resolver() -> None:
    account = Account()
    vpc = account.vpc()
    account.do(vpc_changes.modify_vpc(account.shelf, vpc.name, dns_support=False))
    with pytest.raises(InvalidParameterCombination):
        vpc_changes.modify_vpc(account.shelf, vpc.name, dns_hostnames=True)
    account.do(vpc_changes.modify_vpc(account.shelf, vpc.name, dns_support=True))
    account.do(vpc_changes.modify_vpc(account.shelf, vpc.name, dns_hostnames=True))
    assert vpc_changes.modify_vpc(account.shelf, vpc.name, dns_hostnames=True).put == ()
    account.do(vpc_changes.modify_vpc(account.shelf, vpc.name, dns_support=False))
    assert account.now(vpc).dns_hostnames


# -- further networks


def test_a_further_network_meets_no_other() -> None:
    account = Account()
    vpc, peer, stranger = account.vpc("10.9.0.0/16"), account.vpc("10.5.0.0/16"), account.vpc("10.6.0.0/16")
    account.shelf.apply(
        (
            Peering(
                account=ACCOUNT,
                name="pcx-1",
                requester_vpc=peer.name,
                accepter_vpc=vpc.name,
                status="active",
                created_at=0.0,
            ),
            Peering(
                account=ACCOUNT,
                name="pcx-2",
                requester_vpc=stranger.name,
                accepter_vpc=vpc.name,
                status="rejected",
                created_at=0.0,
            ),
        ),
        (),
    )
    [table] = [one for one in account.shelf.all(RouteTable) if one.vpc_id == vpc.name]
    routes = (
        StoredRoute(destination="0.0.0.0/0", target="igw-1"),
        StoredRoute(destination="10.7.1.0/24", target="pcx-1"),
        StoredRoute(destination="pl-1", target="pcx-1"),
        StoredRoute(destination="::/0", target="eigw-1"),
    )
    account.shelf.apply((replace(table, routes=routes),), ())
    for cidr in ("10.9.64.0/20", "10.5.1.0/24", "10.7.0.0/16", "10.7.1.0/24"):
        with pytest.raises(VpcRange, match="conflicts with"):
            account.further(vpc, cidr)
    account.further(vpc, "10.7.1.0/25")  # smaller than the route's: the local one wins
    account.further(vpc, "10.6.0.0/16")  # nobody peers with it any more
    assert [block.cidr for block in account.now(vpc).blocks] == ["10.9.0.0/16", "10.7.1.0/25", "10.6.0.0/16"]


def test_the_first_ipv6_network_opens_what_nobody_changed() -> None:
    account = Account()
    vpc = account.vpc()
    account.ipv6(vpc)
    lines = [(entry.number, entry.is_egress, entry.cidr_ipv6) for entry in account.acl(vpc).entries]
    assert lines == [(100, True, None), (101, True, "::/0"), (100, False, None), (101, False, "::/0")]
    assert [rule.spec.cidr_ipv6 for rule in account.group(vpc).rules if rule.spec.is_egress] == [None, "::/0"]
    before = account.acl(vpc), account.group(vpc)
    account.ipv6(vpc)
    assert (account.acl(vpc), account.group(vpc)) == before and len(account.now(vpc).ipv6) == 2
    assert account.vpc(with_ipv6=True).ipv6[0].cidr not in [block.cidr for block in account.now(vpc).ipv6]


def test_the_first_ipv6_network_opens_other_groups_too_where_what_goes_out_is_as_at_first() -> None:
    account = Account()
    vpc, other = account.vpc(), account.vpc()
    for at in (vpc, other):
        account.do(group_changes.create_group(account.shelf, at.name, "web", "x", (), MANY, account.bits))
    account.ipv6(vpc)
    opened = [
        (group.vpc_id, group.group_name)
        for group in account.shelf.all(SecurityGroupView)
        if any(rule.spec.cidr_ipv6 == "::/0" for rule in group.rules)
    ]
    assert sorted(opened) == [(vpc.name, "default"), (vpc.name, "web")]


def test_the_first_ipv6_network_leaves_alone_what_somebody_changed() -> None:
    account = Account()
    vpc = account.vpc()
    acl, group = account.acl(vpc), account.group(vpc)
    more = AclEntry(number=90, is_egress=False, allow=False, protocol="6", cidr_ipv4="10.0.0.0/8")
    closed = replace(group, rules=tuple(rule for rule in group.rules if not rule.spec.is_egress))
    account.shelf.apply((replace(acl, entries=(*acl.entries, more)), closed), ())
    account.ipv6(vpc)
    lines = [(entry.number, entry.is_egress) for entry in account.acl(vpc).entries]
    assert lines == [(100, True), (101, True), (100, False), (90, False)]
    assert account.group(vpc) == closed


def test_an_ipv6_network_with_a_subnet_stays() -> None:
    account = Account()
    vpc = account.vpc(with_ipv6=True)
    inside = str(next(IPv6Network(vpc.ipv6[0].cidr).subnets(new_prefix=64)))
    subnet = account.subnet(vpc, ipv6_cidr=inside)
    with pytest.raises(Exception, match="currently has a subnet within CIDR block"):
        vpc_networks.disassociate(account.shelf, vpc.ipv6[0].association_id)
    account.do(subnet_changes.disassociate_ipv6(account.shelf, subnet.ipv6[0].association_id, in_use=False))
    account.do(vpc_networks.disassociate(account.shelf, vpc.ipv6[0].association_id))
    assert account.now(vpc).ipv6 == ()


# -- subnets


def test_each_subnet_has_one_acl() -> None:
    account = Account()
    vpc = account.vpc()
    made = [account.subnet(vpc, f"10.0.{number}.0/24") for number in range(3)]
    assert [one.subnet_id for one in account.acl(vpc).associations] == [subnet.name for subnet in made]
    account.do(subnet_changes.delete_subnet(account.shelf, made[1].name, in_use=False))
    assert [one.subnet_id for one in account.acl(vpc).associations] == [made[0].name, made[2].name]


def test_subnets_are_spread_over_the_zones() -> None:
    account = Account()
    vpc = account.vpc()
    zones = [account.subnet(vpc, f"10.0.{number}.0/24").zone for number in range(4)]
    assert zones == ["eu-west-1a", "eu-west-1b"] * 2
    assert account.subnet(account.vpc("10.9.0.0/16"), "10.9.0.0/24").zone == "eu-west-1a"


def test_subnets_lie_in_any_network_of_the_vpc() -> None:
    account = Account()
    vpc = account.vpc()
    account.further(vpc, "10.1.0.0/16")
    assert account.subnet(vpc, "10.1.255.240/28").cidr == "10.1.255.240/28"
    for cidr in ("10.0.0.0/15", "10.2.0.0/24"):
        with pytest.raises(SubnetRange):
            account.subnet(vpc, cidr)
    with pytest.raises(SubnetConflict):
        account.subnet(vpc, "10.1.255.0/24")
    account.subnet(account.vpc(), "10.0.0.0/24")  # another VPC's are no matter


def test_subnets_are_bounded() -> None:
    account = Account()
    vpc = account.vpc()
    account.subnet(vpc, subnets_max=1.0)
    with pytest.raises(SubnetLimitExceeded):
        account.subnet(vpc, "10.0.1.0/24", subnets_max=1.0)


def placed(vpc: Vpc, subnet: Subnet) -> list[Owned]:
    own: dict[str, Any] = {"account": ACCOUNT, "vpc_id": vpc.name, "created_at": 0.0}
    return [
        NatGateway(name="nat-1", subnet_id=subnet.name, zone=subnet.zone, state="available", **own),
        VpcEndpoint(
            name="vpce-1",
            endpoint_type="Interface",
            service_name="ecr",
            state="available",
            policy="",
            subnets=("s", subnet.name),
            **own,
        ),
    ]


@pytest.mark.parametrize("which", range(2))
def test_a_subnet_stays_while_something_is_placed_in_it(which: int) -> None:
    account = Account()
    vpc = account.vpc()
    subnet = account.subnet(vpc)
    one = placed(vpc, subnet)[which]
    account.shelf.apply((one,), ())
    with pytest.raises(HasDependents, match=f"The subnet '{subnet.name}' has dependencies"):
        subnet_changes.delete_subnet(account.shelf, subnet.name, in_use=False)
    account.shelf.apply((), (one,))
    with pytest.raises(HasDependents):
        subnet_changes.delete_subnet(account.shelf, subnet.name, in_use=True)
    account.do(subnet_changes.delete_subnet(account.shelf, subnet.name, in_use=False))
    with pytest.raises(SubnetNotFound):
        subnet_changes.delete_subnet(account.shelf, subnet.name, in_use=False)


def test_a_default_subnet_takes_the_first_free_block() -> None:
    account = Account()
    vpc: Vpc = account.do(vpc_changes.create_default_vpc(account.shelf, REGION, ZONES, MANY, account.bits))
    third = account.do(
        subnet_changes.create_default_subnet(account.shelf, "eu-west-1c", "euw1-az3", MANY, account.bits)
    )
    assert third.cidr == "172.31.32.0/20" and third.default_for_zone and third.vpc_id == vpc.name
    for number in range(48, 256, 16):
        account.subnet(vpc, f"172.31.{number}.0/24")
    with pytest.raises(NoFreeBlock):
        subnet_changes.create_default_subnet(account.shelf, "eu-west-1d", "euw1-az4", MANY, account.bits)


def test_addresses_are_assigned_where_there_is_a_network_for_them() -> None:
    account = Account()
    vpc = account.vpc(with_ipv6=True)
    subnet = account.subnet(vpc)
    with pytest.raises(InvalidParameterCombination):
        subnet_changes.modify_subnet(account.shelf, subnet.name, assign_ipv6=True)
    free = str(next(IPv6Network(vpc.ipv6[0].cidr).subnets(new_prefix=64)))
    block: CidrBlock = account.do(subnet_changes.associate_ipv6(account.shelf, subnet.name, free, account.bits))
    account.do(subnet_changes.modify_subnet(account.shelf, subnet.name, assign_ipv6=True))
    with pytest.raises(HasDependents):
        subnet_changes.disassociate_ipv6(account.shelf, block.association_id, in_use=True)
    account.do(subnet_changes.disassociate_ipv6(account.shelf, block.association_id, in_use=False))
    assert not subnet_changes.required_subnet(account.shelf, subnet.name).assign_ipv6


@pytest.mark.parametrize("prefix", [55, 57, 63, 65, 128])
def test_ipv6_networks_of_subnets_have_certain_sizes(prefix: int) -> None:
    account = Account()
    vpc = account.vpc(with_ipv6=True)
    network = IPv6Network(vpc.ipv6[0].cidr)
    cidr = f"{network.network_address}/{prefix}"
    with pytest.raises(SubnetRange):
        account.subnet(vpc, ipv6_cidr=cidr)


# -- DHCP options


def test_options_are_bounded() -> None:
    account = Account()
    for _ in range(dhcp_changes.SETS_MAX):
        account.do(dhcp_changes.create(account.shelf, [("domain-name", ("a",))], (), account.bits))
    with pytest.raises(DhcpLimitExceeded):
        dhcp_changes.create(account.shelf, [("domain-name", ("a",))], (), account.bits)


@pytest.mark.parametrize(
    "configuration",
    [
        ("domain-name-servers", ("10.0.0.2", "AmazonProvidedDNS", "fd00::1")),
        ("ntp-servers", ("169.254.169.123",)),
        ("netbios-node-type", ("2",)),
        ("ipv6-address-preferred-lease-time", ("140",)),
    ],
)
def test_options_that_are_some(configuration: tuple[str, tuple[str, ...]]) -> None:
    dhcp_changes.check_configurations([configuration])


@pytest.mark.parametrize(
    "configuration",
    [
        ("domain-name-servers", ()),
        ("domain-name-servers", ("10.0.0.256",)),
        ("domain-name-servers", ("10.0.0.2",) * 9),
        ("domain-name", ("a\nnameserver 10.0.0.9",)),
        ("ipv6-address-preferred-lease-time", ("139",)),
        ("ipv6-address-preferred-lease-time", ("9" * 50,)),
        ("domain-name", ("a" * 256,)),
    ],
)
def test_options_that_are_none(configuration: tuple[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueInvalid):
        dhcp_changes.check_configurations([configuration])


def told(options: DhcpOptions | None, options_id: str = "dopt-1") -> VpcDns:
    account = Account() if options is None else Account(options)
    vpc = replace(account.vpc(), dhcp_options_id=options_id)
    dns = vpc_plan(account.shelf, vpc, generation=1, dns=VpcDns(domain=private_domain(REGION))).dns
    assert dns is not None
    return dns


def test_tasks_are_told_what_their_vpcs_options_say() -> None:
    own = DhcpOptions(
        account=ACCOUNT,
        name="dopt-1",
        configurations=(
            ("domain-name", ("Corp.example lab.example. no_host $(x)",)),
            ("domain-name-servers", ("10.9.0.53", "AmazonProvidedDNS")),
        ),
    )
    dns = told(own)
    assert dns.servers == ("10.9.0.53", "10.0.0.2") and dns.search == ("corp.example", "lab.example")
    only_time = DhcpOptions(account=ACCOUNT, name="dopt-1", configurations=(("ntp-servers", ("10.0.0.9",)),))
    assert (told(only_time).servers, told(only_time).search) == ((), ())
    regions = default_dhcp_options(ACCOUNT, REGION, "dopt-1")
    assert (told(regions).servers, told(regions).search) == (None, None)
    assert (told(None, "default").servers, told(None, "default").search) == ((), ())
    assert told(None).servers is None  # a set that is not there: as before there were any


def test_the_task_asks_whom_the_plan_names() -> None:
    plan = VpcPlan(vpc_id="vpc-1", generation=1, cidrs=("10.0.0.0/16",), groups=(), dns=VpcDns(domain="ec2.internal"))
    host = "ip-10-0-0-4.ec2.internal"
    assert etc_files(host, "10.0.0.4", plan)["resolv.conf"] == "search ec2.internal\nnameserver 10.0.0.2\n"
    assert etc_files(host, "10.0.0.4", None)["resolv.conf"] == "search ec2.internal\n"
    others = VpcDns(domain="ec2.internal", servers=("10.9.0.53", "10.9.0.54"), search=("a.example", "b.example"))
    assert etc_files(host, "10.0.0.4", replace(plan, dns=others))["resolv.conf"] == (
        "search a.example b.example\nnameserver 10.9.0.53\nnameserver 10.9.0.54\n"
    )
    nothing = VpcDns(domain="ec2.internal", servers=(), search=())
    assert etc_files(host, "10.0.0.4", replace(plan, dns=nothing))["resolv.conf"] == ""


@pytest.mark.parametrize(
    "dns",
    [
        VpcDns(domain="", servers=("10.0.0.2\noptions x",)),
        VpcDns(domain="", servers=("ns.example",)),
        VpcDns(domain="", search=("a b",)),
        VpcDns(domain="", search=("a\nnameserver 10.0.0.9",)),
        VpcDns(domain="", servers=("10.0.0.2",) * 17),
    ],
)
def test_an_agent_takes_no_lines_for_names(dns: VpcDns) -> None:
    check_plan(VpcPlan(vpc_id="vpc-1", generation=1, cidrs=("10.0.0.0/16",), groups=(), dns=VpcDns(domain="")))
    with pytest.raises(Refused):
        check_plan(VpcPlan(vpc_id="vpc-1", generation=1, cidrs=("10.0.0.0/16",), groups=(), dns=dns))
