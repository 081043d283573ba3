"""`neargate trace-path` says which rule or route stops a packet, and what really happens to one is the same.

A VPC of its own with two tasks in two subnets, and one case after the other: something is changed, the path is asked
for, a connection is tried from inside the task, and what was changed is undone.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from .region import LiveRegion, wait_for

NOBODY = "10.77.2.99"
PORT = 80


@dataclass
class Lab:
    region: LiveRegion
    ec2: Any
    vpc: str
    subnets: tuple[str, str]
    tables: tuple[str, str]
    groups: tuple[str, str]  # the client's, the server's
    acl: str  # of the server's subnet
    client: str
    server: str  # its address

    def traced(self, to: str) -> tuple[bool, str]:
        """Whether the answer comes back, and the line that stops the packet, if any."""
        done = self.region.command("trace-path", "--from", self.client.rpartition("/")[2], "--to", to, check=False)
        lines = done.stdout.splitlines()
        assert done.returncode == any(line.startswith("✗") for line in lines)
        return lines[-1] == "the answer comes back", next((line for line in lines if line.startswith("✗")), "")

    def connects(self, to: str) -> bool:
        """From inside the client's task."""
        address, _, port = to.partition(":")
        words = ["exec", self.client.rpartition("/")[2], "sh", "-c", f"nc -w 2 {address} {port} </dev/null"]
        return self.region.command(*words, check=False).returncode == 0


@pytest.fixture(scope="module")
def lab(region: LiveRegion) -> Iterator[Lab]:
    ec2 = region.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    zones = ("us-east-1a", "us-east-1b")
    subnets, tables = [], []
    for number, zone in enumerate(zones, 1):
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.77.{number}.0/24", AvailabilityZone=zone)
        subnets.append(made["Subnet"]["SubnetId"])
        tables.append(ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"])
        ec2.associate_route_table(RouteTableId=tables[-1], SubnetId=subnets[-1])
    client_group, server_group = (
        ec2.create_security_group(VpcId=vpc, GroupName=name, Description=name)["GroupId"]
        for name in ("client", "server")
    )
    pair = {"UserIdGroupPairs": [{"GroupId": client_group}]}
    permission = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, **pair}
    ec2.authorize_security_group_ingress(GroupId=server_group, IpPermissions=[permission])
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    for egress in (False, True):
        everything = {"Protocol": "-1", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
        ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=egress, **everything)
    [bound] = [
        one
        for found in ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]
        for one in found["Associations"]
        if one["SubnetId"] == subnets[1]
    ]
    ec2.replace_network_acl_association(AssociationId=bound["NetworkAclAssociationId"], NetworkAclId=acl)
    listening = {"command": ["sh", "-c", f"while :; do echo hello | nc -l -p {PORT}; done"], "stopTimeout": 2}
    server = _run(region, listening, subnets[1], server_group)
    waiting = {"command": ["sleep", "1000"], "stopTimeout": 2}
    client = _run(region, waiting, subnets[0], client_group, enableExecuteCommand=True)
    address = region.wait_status(server, "RUNNING")["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    region.wait_status(client, "RUNNING")
    try:
        yield Lab(
            region=region,
            ec2=ec2,
            vpc=vpc,
            subnets=(subnets[0], subnets[1]),
            tables=(tables[0], tables[1]),
            groups=(client_group, server_group),
            acl=acl,
            client=client,
            server=address,
        )
    finally:
        for task in (server, client):
            region.stop(task)
        _delete(region, vpc)


def _delete(region: LiveRegion, vpc: str) -> None:
    """Other tests have this region, too, and take its first VPC for the default one."""
    ec2, mine = region.client("ec2"), [{"Name": "vpc-id", "Values": [vpc]}]
    wait_for("their interfaces to go", lambda: not ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"])
    for subnet in ec2.describe_subnets(Filters=mine)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for table in ec2.describe_route_tables(Filters=mine)["RouteTables"]:
        if not any(one["Main"] for one in table["Associations"]):
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    for acl in ec2.describe_network_acls(Filters=mine)["NetworkAcls"]:
        if not acl["IsDefault"]:
            ec2.delete_network_acl(NetworkAclId=acl["NetworkAclId"])
    groups = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    for group in sorted(groups, key=lambda group: group["GroupName"], reverse=True):  # the server's names the client's
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
    ec2.delete_vpc(VpcId=vpc)
    assert [one["IsDefault"] for one in ec2.describe_vpcs()["Vpcs"]] == [True]


def _run(region: LiveRegion, container: dict[str, Any], subnet: str, group: str, **members: Any) -> str:
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    return region.run(region.register(container), networkConfiguration=network, clientToken=uuid.uuid4().hex, **members)


@contextmanager
def only_ssh(lab: Lab) -> Iterator[None]:
    """The server's group lets another port in."""
    [found] = lab.ec2.describe_security_groups(GroupIds=[lab.groups[1]])["SecurityGroups"]
    [permission] = found["IpPermissions"]
    lab.ec2.revoke_security_group_ingress(GroupId=lab.groups[1], IpPermissions=[permission])
    yield
    lab.ec2.authorize_security_group_ingress(GroupId=lab.groups[1], IpPermissions=[permission])


@contextmanager
def no_way_out(lab: Lab) -> Iterator[None]:
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    lab.ec2.revoke_security_group_egress(GroupId=lab.groups[0], IpPermissions=[everything])
    yield
    lab.ec2.authorize_security_group_egress(GroupId=lab.groups[0], IpPermissions=[everything])


@contextmanager
def denied(lab: Lab, *, egress: bool, first: int, last: int) -> Iterator[None]:
    """Entry 50 of the server's subnet's ACL denies these ports, to or from the client's subnet."""
    ports = {"From": first, "To": last}
    entry = {"Protocol": "6", "RuleAction": "deny", "CidrBlock": "10.77.1.0/24", "PortRange": ports}
    lab.ec2.create_network_acl_entry(NetworkAclId=lab.acl, RuleNumber=50, Egress=egress, **entry)
    yield
    lab.ec2.delete_network_acl_entry(NetworkAclId=lab.acl, RuleNumber=50, Egress=egress)


@contextmanager
def nothing(_: Lab) -> Iterator[None]:
    yield


CASES: dict[str, tuple[Callable[[Lab], Any], str]] = {
    "allowed": (nothing, ""),
    "no rule in": (only_ssh, "security group"),
    "no rule out": (no_way_out, "security group"),
    "an entry denies the way in": (lambda lab: denied(lab, egress=False, first=PORT, last=PORT), "network acl"),
    "an entry denies the answer": (lambda lab: denied(lab, egress=True, first=1024, last=65535), "network acl"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_traced_happens(lab: Lab, case: str) -> None:
    changed, stopped_by = CASES[case]
    to = f"{lab.server}:{PORT}"
    with changed(lab):
        comes_back, line = lab.traced(to)
        assert comes_back is (stopped_by == "")
        assert line.startswith(f"✗ {stopped_by} " if stopped_by else "")
        # Hosts hear of a change within a moment; what is asked is the state that they come to.
        wait_for(f"{to} as traced", lambda: lab.connects(to) is comes_back)


def test_the_rule_is_named(lab: Lab) -> None:
    with denied(lab, egress=False, first=PORT, last=PORT):
        assert lab.traced(f"{lab.server}:{PORT}")[1] == f"✗ network acl {lab.acl}: inbound 50"
    gateway = lab.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    lab.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=lab.vpc)
    lab.ec2.create_route(RouteTableId=lab.tables[0], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    assert gateway in lab.traced("1.1.1.1:443")[1], "the client has no public address"
    lab.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=lab.vpc)
    lab.ec2.delete_internet_gateway(InternetGatewayId=gateway)
    assert lab.traced("1.1.1.1:443")[1].startswith(f"✗ route table {lab.tables[0]}: 0.0.0.0/0 -> {gateway}")
    lab.ec2.delete_route(RouteTableId=lab.tables[0], DestinationCidrBlock="0.0.0.0/0")


def test_addresses_that_lead_nowhere(lab: Lab) -> None:
    for to, stopped_by in ((f"{NOBODY}:{PORT}", "nowhere"), ("1.1.1.1:443", "route table")):
        comes_back, line = lab.traced(to)
        assert not comes_back and line.startswith(f"✗ {stopped_by}")
        assert not lab.connects(to)
    assert lab.traced(f"169.254.170.10:{lab.region.port}")[0], "the region's endpoint needs no route"
    assert lab.connects(f"169.254.170.10:{lab.region.port}")


def test_what_cannot_be_traced(lab: Lab) -> None:
    task = lab.client.rpartition("/")[2]
    for to, sentence in (
        (
            "somewhere:80",
            "'somewhere' is no address, and no load balancer is named 'somewhere'; write --to ADDRESS:PORT, with "
            "numbers",
        ),
        ("1.1.1.1", "write the port too, 1 to 65535: --to ADDRESS:PORT"),
    ):
        refused = lab.region.command("trace-path", "--from", task, "--to", to, check=False)
        assert refused.returncode == 1 and refused.stderr == f"neargate: {sentence}\n"
