"""Descriptions to start from: short forms of what Describe* calls return, and the deck's two set-ups made of them.

Everything is plain JSON-like data, so that a test changes what it is about and leaves the rest.
"""

from typing import Any

Json = dict[str, Any]

OUTSIDE, OUTSIDE6 = "192.0.2.10", "2001:db8:ffff::10"
EVERYWHERE, EVERYWHERE6 = "0.0.0.0/0", "::/0"


def permission(protocol: str = "-1", first: int = -1, last: int | None = None, **peers: str) -> Json:
    """`peers`: cidr, cidr6, group, prefix_list."""
    made: Json = {"IpProtocol": protocol}
    if protocol != "-1":
        made |= {"FromPort": first, "ToPort": first if last is None else last}
    if "cidr" in peers:
        made["IpRanges"] = [{"CidrIp": peers["cidr"]}]
    if "cidr6" in peers:
        made["Ipv6Ranges"] = [{"CidrIpv6": peers["cidr6"]}]
    if "group" in peers:
        made["UserIdGroupPairs"] = [{"GroupId": peers["group"]}]
    if "prefix_list" in peers:
        made["PrefixListIds"] = [{"PrefixListId": peers["prefix_list"]}]
    return made


def group(group_id: str, *inbound: Json, vpc: str = "vpc-1", outbound: list[Json] | None = None) -> Json:
    """Without `outbound` it has the rule that every new group has: all may leave."""
    every = [permission(cidr=EVERYWHERE, cidr6=EVERYWHERE6)]
    return {
        "GroupId": group_id,
        "VpcId": vpc,
        "IpPermissions": list(inbound),
        "IpPermissionsEgress": every if outbound is None else outbound,
    }


def entry(number: int, action: str, protocol: str = "-1", ports: tuple[int, int] | None = None, **more: Any) -> Json:
    """`more`: egress, cidr (IPv4 or IPv6), icmp as (type, code)."""
    cidr = more.get("cidr", EVERYWHERE)
    made = {"RuleNumber": number, "RuleAction": action, "Protocol": protocol, "Egress": more.get("egress", False)}
    made["Ipv6CidrBlock" if ":" in cidr else "CidrBlock"] = cidr
    if ports:
        made["PortRange"] = {"From": ports[0], "To": ports[1]}
    if "icmp" in more:
        made["IcmpTypeCode"] = {"Type": more["icmp"][0], "Code": more["icmp"][1]}
    return made


def default_acl(vpc: str, acl_id: str) -> Json:
    """As AWS makes it: all may pass, both ways."""
    entries = [*everything(100, "allow"), *everything(32767, "deny")]
    return {"NetworkAclId": acl_id, "VpcId": vpc, "IsDefault": True, "Associations": [], "Entries": entries}


def everything(number: int, action: str) -> list[Json]:
    """Both ways, both families; IPv6 has the next number. The rule "*" is 32767."""
    both = [(egress, cidr) for egress in (False, True) for cidr in (EVERYWHERE, EVERYWHERE6)]
    return [entry(number + (":" in cidr), action, egress=egress, cidr=cidr) for egress, cidr in both]


def table(table_id: str, vpc: str, *routes: Json, main: bool = False, subnets: tuple[str, ...] = ()) -> Json:
    associations: list[Json] = [{"Main": False, "SubnetId": subnet} for subnet in subnets]
    if main:
        associations.append({"Main": True})
    return {"RouteTableId": table_id, "VpcId": vpc, "Associations": associations, "Routes": list(routes)}


def route(destination: str, target: str) -> Json:
    """The member that AWS has for a target is told by its id."""
    kinds = {
        "nat": "NatGatewayId",
        "eigw": "EgressOnlyInternetGatewayId",
        "pcx": "VpcPeeringConnectionId",
        "eni": "NetworkInterfaceId",
        "tgw": "TransitGatewayId",
    }
    member = "DestinationPrefixListId" if destination.startswith("pl-") else "DestinationCidrBlock"
    if ":" in destination:
        member = "DestinationIpv6CidrBlock"
    return {member: destination, kinds.get(target.partition("-")[0], "GatewayId"): target, "State": "active"}


def subnet(subnet_id: str, cidr: str, vpc: str = "vpc-1", cidr6: str = "") -> Json:
    six = [{"Ipv6CidrBlock": cidr6, "Ipv6CidrBlockState": {"State": "associated"}}] if cidr6 else []
    return {"SubnetId": subnet_id, "VpcId": vpc, "CidrBlock": cidr, "Ipv6CidrBlockAssociationSet": six}


def vpc(vpc_id: str, *cidrs: str, cidr6: str = "") -> Json:
    six = [{"Ipv6CidrBlock": cidr6, "Ipv6CidrBlockState": {"State": "associated"}}] if cidr6 else []
    four = [{"CidrBlock": cidr, "CidrBlockState": {"State": "associated"}} for cidr in cidrs]
    made = {"VpcId": vpc_id, "CidrBlock": cidrs[0], "CidrBlockAssociationSet": four}
    return {**made, "Ipv6CidrBlockAssociationSet": six}


def interface(interface_id: str, subnet_id: str, address: str, *groups: str, vpc: str = "vpc-1", **more: str) -> Json:
    """`more`: public, address6."""
    made: Json = {
        "NetworkInterfaceId": interface_id,
        "VpcId": vpc,
        "SubnetId": subnet_id,
        "PrivateIpAddress": address,
        "PrivateIpAddresses": [{"PrivateIpAddress": address, "Primary": True}],
        "Groups": [{"GroupId": group_id} for group_id in groups],
        "SourceDestCheck": True,
    }
    if "public" in more:
        made["Association"] = {"PublicIp": more["public"]}
    if "address6" in more:
        made["Ipv6Addresses"] = [{"Ipv6Address": more["address6"]}]
    return made


def internet_gateway(gateway_id: str, vpc: str | None) -> Json:
    attachments = [{"VpcId": vpc, "State": "available"}] if vpc else []
    return {"InternetGatewayId": gateway_id, "Attachments": attachments}


def egress_only_gateway(gateway_id: str, vpc: str) -> Json:
    return {"EgressOnlyInternetGatewayId": gateway_id, "Attachments": [{"VpcId": vpc, "State": "attached"}]}


def nat_gateway(nat_id: str, subnet_id: str, private: str, public: str = "", vpc: str = "vpc-1") -> Json:
    """A private one where it has no public address."""
    address = {"PrivateIp": private, "IsPrimary": True} | ({"PublicIp": public} if public else {})
    return {
        "NatGatewayId": nat_id,
        "VpcId": vpc,
        "SubnetId": subnet_id,
        "State": "available",
        "ConnectivityType": "public" if public else "private",
        "NatGatewayAddresses": [address],
    }


def peering(peering_id: str, requester: str, accepter: str, code: str = "active") -> Json:
    return {
        "VpcPeeringConnectionId": peering_id,
        "RequesterVpcInfo": {"VpcId": requester},
        "AccepterVpcInfo": {"VpcId": accepter},
        "Status": {"Code": code},
    }


def private_tasks() -> Json:
    """The deck's first: tasks in a private subnet, a NAT gateway and a load balancer in a public one."""
    return {
        "Vpcs": [vpc("vpc-1", "10.0.0.0/16")],
        "Subnets": [subnet("subnet-public", "10.0.0.0/24"), subnet("subnet-private", "10.0.1.0/24")],
        "RouteTables": [
            table("rtb-main", "vpc-1", route("10.0.0.0/16", "local"), main=True),
            table("rtb-public", "vpc-1", route(EVERYWHERE, "igw-1"), subnets=("subnet-public",)),
            table("rtb-private", "vpc-1", route(EVERYWHERE, "nat-1"), subnets=("subnet-private",)),
        ],
        "InternetGateways": [internet_gateway("igw-1", "vpc-1")],
        "NatGateways": [nat_gateway("nat-1", "subnet-public", "10.0.0.9", "198.18.0.9")],
        "SecurityGroups": [
            group("sg-alb", permission("tcp", 80, cidr=EVERYWHERE)),
            group("sg-task", permission("tcp", 8080, group="sg-alb")),
        ],
        "NetworkAcls": [default_acl("vpc-1", "acl-default")],
        "NetworkInterfaces": [
            interface("eni-alb", "subnet-public", "10.0.0.5", "sg-alb", public="198.18.0.5"),
            interface("eni-task1", "subnet-private", "10.0.1.5", "sg-task"),
            interface("eni-task2", "subnet-private", "10.0.1.6", "sg-task"),
        ],
    }


def public_tasks() -> Json:
    """The deck's second: tasks with public addresses in a public subnet, dual-stack here."""
    return {
        "Vpcs": [vpc("vpc-1", "10.0.0.0/16", cidr6="2001:db8:1::/56")],
        "Subnets": [subnet("subnet-1", "10.0.0.0/24", cidr6="2001:db8:1::/64")],
        "RouteTables": [table("rtb-main", "vpc-1", route(EVERYWHERE, "igw-1"), route(EVERYWHERE6, "igw-1"), main=True)],
        "InternetGateways": [internet_gateway("igw-1", "vpc-1")],
        "SecurityGroups": [group("sg-task", permission("tcp", 80, cidr=EVERYWHERE, cidr6=EVERYWHERE6))],
        "NetworkAcls": [default_acl("vpc-1", "acl-default")],
        "NetworkInterfaces": [
            interface("eni-task1", "subnet-1", "10.0.0.5", "sg-task", public="198.18.0.5", address6="2001:db8:1::5"),
            interface("eni-task2", "subnet-1", "10.0.0.6", "sg-task", public="198.18.0.6", address6="2001:db8:1::6"),
            interface("eni-hidden", "subnet-1", "10.0.0.7", "sg-task"),
        ],
    }
