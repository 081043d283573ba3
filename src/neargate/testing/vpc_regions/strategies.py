"""Random regions, small enough to read when one fails, and flows that have something to do with them.

Every region is one that EC2 would let somebody make, but that an internet gateway may be detached, and a NAT gateway
deleted, while addresses are mapped: routes to what is gone are wanted. Nothing is in it for which AWS tosses a coin: no
two prefix lists overlap. `regions` gives JSON-like data, so that a test can build it in a data plane as well; `flows`
are drawn for one region.
"""

from typing import Any

from hypothesis import strategies as st

from ...tracing.flows import ICMP, ICMPV6, TCP, UDP, Flow
from .setups import (
    EVERYWHERE,
    EVERYWHERE6,
    OUTSIDE,
    OUTSIDE6,
    Json,
    default_acl,
    egress_only_gateway,
    entry,
    everything,
    group,
    interface,
    internet_gateway,
    nat_gateway,
    peering,
    permission,
    route,
    subnet,
    table,
    vpc,
)

OUTSIDERS = (OUTSIDE, "203.0.113.7", OUTSIDE6)
LISTS = {"pl-1": ("203.0.113.0/24",), "pl-2": ("192.0.2.0/28", "198.51.100.0/24")}
PORTS = (22, 53, 80, 443, 8080)
PORT_RANGES = ((80, 80), (443, 443), (0, 1023), (1024, 65535), (32768, 65535), (0, 65535))
CLIENT_PORTS = (1024, 20000, 40000, 65535)
# How many flows of each relation: near is in the sender's VPC, far in another; other: services, gateways, nobody.
SHARES = {"near": 20, "far": 10, "outwards": 16, "inwards": 9, "by public address": 6, "other": 9}
SUBNETS = 3  # per VPC, of which the last has no association of its own

Draw = st.DrawFn


@st.composite
def regions(draw: Draw, vpcs: int = 2) -> Json:
    """`vpcs` VPCs, 1 and 2 peered, each with three subnets, two route tables, two ACLs, two groups, five interfaces."""
    numbers = range(1, vpcs + 1)
    groups = [f"sg-{n}{letter}" for n in numbers for letter in "ab"]
    region: Json = {
        "Vpcs": [vpc(f"vpc-{n}", f"10.{n}.0.0/16", cidr6=f"2001:db8:{n}::/56") for n in numbers],
        "Subnets": [
            subnet(f"subnet-{n}{s}", f"10.{n}.{s}.0/24", f"vpc-{n}", f"2001:db8:{n}:{s + 1}::/64")
            for n in numbers
            for s in range(SUBNETS)
        ],
        "InternetGateways": [internet_gateway(f"igw-{n}", draw(_mostly(f"vpc-{n}", None))) for n in numbers],
        "EgressOnlyInternetGateways": [egress_only_gateway(f"eigw-{n}", f"vpc-{n}") for n in numbers],
        "NatGateways": [draw(_nat_gateways(n)) for n in numbers],
        "SecurityGroups": [draw(_groups(each, groups)) for each in groups],
        "NetworkAcls": [acl for n in numbers for acl in draw(_acls(n))],
        "RouteTables": [each for n in numbers for each in draw(_tables(n, vpcs))],
        "NetworkInterfaces": [each for n in numbers for each in draw(_interfaces(n))],
        "VpcPeeringConnections": [],
        "VpcEndpoints": [
            {"VpcEndpointId": f"vpce-{n}", "VpcId": f"vpc-{n}", "VpcEndpointType": "Gateway", "State": "available"}
            for n in numbers
        ],
        "ManagedPrefixLists": [
            {"PrefixListId": each, "Entries": [{"Cidr": cidr} for cidr in cidrs]} for each, cidrs in LISTS.items()
        ],
    }
    for n in numbers:
        if draw(st.booleans()):
            _make_endpoint(region, n)
    if vpcs > 1:
        code = draw(_mostly("active", "deleted"))
        region["VpcPeeringConnections"] = [peering("pcx-12", "vpc-1", "vpc-2", code)]
        for each in region["SecurityGroups"]:
            _name_ways(draw, each, code)
    return region


def _name_ways(draw: Draw, group: Json, code: str) -> None:
    """Over which connection a peer's group is referred to: the one that there is, or one that there was before it."""
    for each in (*group["IpPermissions"], *group["IpPermissionsEgress"]):
        for pair in each.get("UserIdGroupPairs", ()):
            vpc_id = f"vpc-{pair['GroupId'][3]}"
            if vpc_id != group["VpcId"]:
                way = draw(_mostly("pcx-12", "pcx-old"))
                status = code if way == "pcx-12" else "deleted"
                pair |= {"VpcId": vpc_id, "VpcPeeringConnectionId": way, "PeeringStatus": status}


def _make_endpoint(region: Json, n: int) -> None:
    """The last interface of a VPC is an interface endpoint's: it has an IPv4 address alone."""
    own = next(each for each in region["NetworkInterfaces"] if each["NetworkInterfaceId"] == f"eni-{n}{SUBNETS - 1}0")
    own["InterfaceType"] = "vpc_endpoint"
    for member in ("Association", "Ipv6Addresses"):
        own.pop(member, None)
    region["VpcEndpoints"].append(
        {
            "VpcEndpointId": f"vpce-{n}i",
            "VpcId": f"vpc-{n}",
            "VpcEndpointType": "Interface",
            "State": "available",
            "NetworkInterfaceIds": [own["NetworkInterfaceId"]],
        }
    )


@st.composite
def flows(draw: Draw, region: Json) -> list[Flow]:
    """Some seventy, of each relation between two ends as many as `SHARES` says; which ones, is drawn."""
    offset = draw(st.integers(0, 100))
    kinds = st.tuples(
        st.sampled_from((TCP, TCP, TCP, TCP, UDP, ICMP, 47)), st.sampled_from(PORTS), st.sampled_from(CLIENT_PORTS)
    )
    chosen = draw(st.lists(kinds, min_size=3, max_size=3))
    pairs = [pair for name, alike in _related(region).items() for pair in _some(alike, SHARES[name], offset)]
    return [_flow(pair, *chosen[i % 3]) for i, pair in enumerate(pairs)]


def _related(region: Json) -> dict[str, list[tuple[str, str]]]:
    """Every (sender, destination), by what they are to each other."""
    vpcs = {each["NetworkInterfaceId"]: each["VpcId"] for each in region["NetworkInterfaces"]}
    private = {each["PrivateIpAddress"]: each["VpcId"] for each in region["NetworkInterfaces"]}
    for each in region["NetworkInterfaces"]:
        private |= {six["Ipv6Address"]: each["VpcId"] for six in each.get("Ipv6Addresses", ())}
    public = {each["Association"]["PublicIp"] for each in region["NetworkInterfaces"] if "Association" in each}
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in SHARES}
    for sender in (*vpcs, *OUTSIDERS):
        for to in destinations(region):
            name = "other"
            if sender in OUTSIDERS:
                if (":" in to) != (":" in sender) or to in OUTSIDERS:
                    continue
                name = "inwards" if to in public or ":" in to else "other"
            elif to in private:
                name = "near" if private[to] == vpcs[sender] else "far"
            elif to in OUTSIDERS:
                name = "outwards"
            elif to in public:
                name = "by public address"
            found[name].append((sender, to))
    return found


def _some(pairs: list[tuple[str, str]], count: int, offset: int) -> list[tuple[str, str]]:
    """Spread over all of them."""
    turned = pairs[offset % len(pairs) :] + pairs[: offset % len(pairs)] if pairs else []
    return turned[:: max(1, len(pairs) // count)][:count]


def _flow(pair: tuple[str, str], protocol: int, port: int, source_port: int) -> Flow:
    sender, to = pair
    six = ":" in to
    if protocol == ICMP and six:
        protocol = ICMPV6
    return Flow(
        sender=sender,
        to=to,
        protocol=protocol,
        port=port,
        source_port=source_port,
        icmp_type=(128 if six else 8) if port != PORTS[0] else 3,
    )


def destinations(region: Json) -> list[str]:
    """Every address of anybody, the services', outsiders' (more than once), and one of nobody in each VPC."""
    found = [each["PrivateIpAddress"] for each in region["NetworkInterfaces"]]
    found += [six["Ipv6Address"] for each in region["NetworkInterfaces"] for six in each.get("Ipv6Addresses", ())]
    found += [each["Association"]["PublicIp"] for each in region["NetworkInterfaces"] if "Association" in each]
    for nat in region["NatGateways"]:
        found += [own[key] for own in nat["NatGatewayAddresses"] for key in ("PrivateIp", "PublicIp") if key in own]
    found += [each["CidrBlock"].replace(".0.0/16", ".1.200") for each in region["Vpcs"]]
    found += [each["CidrBlock"].replace(".0.0/16", ".0.2") for each in region["Vpcs"]]
    return [*found, *OUTSIDERS * 4, "169.254.169.253", "169.254.170.2", "172.16.0.1"]


def _mostly(often: Any, seldom: Any, times: int = 6) -> st.SearchStrategy[Any]:
    return st.sampled_from([often] * times + [seldom])


@st.composite
def _nat_gateways(draw: Draw, n: int) -> Json:
    public = draw(_mostly(f"198.18.{n}.9", ""))
    made = nat_gateway(f"nat-{n}", f"subnet-{n}{draw(_mostly(0, 1))}", "", public, f"vpc-{n}")
    made["NatGatewayAddresses"][0]["PrivateIp"] = f"10.{n}.{made['SubnetId'][-1]}.9"
    return {**made, "State": draw(_mostly("available", "deleted"))}


@st.composite
def _groups(draw: Draw, group_id: str, groups: list[str]) -> Json:
    """In one VPC; a group of its peer may be named."""
    n = group_id[3]
    near = [each for each in groups if each[3] == n or (each[3] in "12" and n in "12")]
    outbound = draw(st.lists(_permissions(n, near), max_size=2, unique_by=str)) if draw(_mostly(False, True)) else None
    inbound = draw(st.lists(_permissions(n, near), max_size=3, unique_by=str))
    if draw(st.integers(0, 2)):
        every = permission(cidr=EVERYWHERE, cidr6=EVERYWHERE6)
        inbound = [*(each for each in inbound if each["IpProtocol"] != "-1"), every]
    return group(group_id, *inbound, vpc=f"vpc-{n}", outbound=outbound)


@st.composite
def _permissions(draw: Draw, n: str, groups: list[str]) -> Json:
    cidrs = st.sampled_from(
        [EVERYWHERE, EVERYWHERE, f"10.{n}.0.0/16", f"10.{n}.1.0/24", "198.18.0.0/15", f"{OUTSIDE}/32"]
    )
    peers: dict[str, Any] = draw(
        st.one_of(
            st.fixed_dictionaries({"cidr": cidrs}),
            st.fixed_dictionaries({"cidr6": st.sampled_from([EVERYWHERE6, f"2001:db8:{n}::/56"])}),
            st.fixed_dictionaries({"group": st.sampled_from(groups)}),
            st.fixed_dictionaries({"group": st.sampled_from(groups)}),
            st.fixed_dictionaries({"prefix_list": st.sampled_from(sorted(LISTS))}),
        )
    )
    protocol = draw(st.sampled_from(["-1", "tcp", "tcp", "udp", "icmp", "icmpv6", "47"]))
    if protocol in ("icmp", "icmpv6"):
        return permission(protocol, draw(st.sampled_from((-1, 8, 128))), -1, **peers)
    return permission(protocol, *draw(st.sampled_from(PORT_RANGES)), **peers)


@st.composite
def _acls(draw: Draw, n: int) -> list[Json]:
    """The default one, and one of an own for the first subnet or for none."""
    numbers = draw(st.lists(st.integers(1, 300), unique=True, max_size=5))
    own: Json = {
        "NetworkAclId": f"acl-{n}own",
        "VpcId": f"vpc-{n}",
        "IsDefault": False,
        "Associations": [{"SubnetId": f"subnet-{n}0"}] if draw(_mostly(True, False)) else [],
        "Entries": [draw(_entries(number, n)) for number in numbers],
    }
    if draw(_mostly(True, False, 2)):
        own["Entries"] += everything(1000, "allow")
    own["Entries"] += everything(32767, "deny")
    return [default_acl(f"vpc-{n}", f"acl-{n}"), own]


@st.composite
def _entries(draw: Draw, number: int, n: int) -> Json:
    cidr = draw(st.sampled_from([EVERYWHERE, EVERYWHERE6, f"10.{n}.1.0/24", "192.0.2.0/24"]))
    protocol = draw(st.sampled_from(["-1", "6", "6", "17", "58" if ":" in cidr else "1"]))
    more: dict[str, Any] = {"cidr": cidr, "egress": draw(st.booleans())}
    if protocol in ("1", "58"):
        more["icmp"] = (draw(st.sampled_from((-1, 0, 8, 128, 129))), -1)
    ports = draw(st.sampled_from(PORT_RANGES)) if protocol in ("6", "17") else None
    return entry(number, draw(st.sampled_from(["allow", "deny"])), protocol, ports, **more)


@st.composite
def _tables(draw: Draw, n: int, vpcs: int) -> list[Json]:
    """The main one, one for a subnet that is mostly public, and one for a subnet that mostly has the NAT gateway."""
    vpc_id = f"vpc-{n}"
    associated: list[tuple[str, ...]] = [(), (f"subnet-{n}0",), (f"subnet-{n}1",)]
    return [
        table(f"rtb-{n}{i}", vpc_id, *draw(_routes(n, vpcs, i)), main=i == 0, subnets=subnets)
        for i, subnets in enumerate(associated)
    ]


@st.composite
def _routes(draw: Draw, n: int, vpcs: int, which: int) -> list[Json]:
    """What CreateRoute accepts: one route for a destination; inside the VPC only for a whole subnet, and only to a NAT
    gateway or an interface.
    """
    usual = (f"nat-{n}", f"igw-{n}", f"nat-{n}")[which]
    ways = [*[usual] * 9, f"igw-{n}", f"nat-{n}", "nat-gone", None]
    targets: dict[str, list[str | None]] = {
        EVERYWHERE: ways,
        "192.0.2.0/24": [*ways, *[None] * 9],
        EVERYWHERE6: [f"igw-{n}", f"eigw-{n}", None],
        "pl-1": [f"vpce-{n}", f"igw-{n}", None, None],
        f"10.{n}.1.0/24": [f"nat-{n}", f"eni-{n}00", *([None] * 8)],
    }
    if vpcs > 1 and n < 3:
        other = 3 - n
        targets |= {f"10.{other}.0.0/16": ["pcx-12", "pcx-12", None], f"2001:db8:{other}::/56": ["pcx-12", None]}
    chosen = {destination: draw(st.sampled_from(choices)) for destination, choices in targets.items()}
    return [route(destination, target) for destination, target in chosen.items() if target]


@st.composite
def _interfaces(draw: Draw, n: int) -> list[Json]:
    """Two in each of the first two subnets, one in the last."""
    made = []
    for s, index in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0)):
        groups = draw(st.lists(st.sampled_from([f"sg-{n}a", f"sg-{n}b"]), unique=True, min_size=1))
        more = {"address6": f"2001:db8:{n}:{s + 1}::{5 + index}"} if draw(st.booleans()) else {}
        if draw(st.booleans()):
            more["public"] = f"198.18.{n}.{10 * s + 20 + index}"
        address = f"10.{n}.{s}.{5 + index}"
        made.append(interface(f"eni-{n}{s}{index}", f"subnet-{n}{s}", address, *groups, vpc=f"vpc-{n}", **more))
    return made
