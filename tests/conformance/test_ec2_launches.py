"""Tasks in a VPC that an account made itself: boto3 before a whole region in memory."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.model.capacity import HostCapacity, HostFacts
from neargate.testing.front_door import ROOT, ZONES, FrontDoor, open_front_door

from .door_clients import boto, sender


class Region:
    """One region with one simulated host, and boto3 as its administrator."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.door: FrontDoor = runner.run(open_front_door())
        runner.run(self._add_host())
        send = sender(runner.run, self.door.region.frontend, peer="192.0.2.7")
        self.ecs, self.ec2 = (boto(service, ROOT, send) for service in ("ecs", "ec2"))
        self.ecs.create_cluster()
        self.ecs.register_task_definition(
            family="web",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "web", "image": "web:1"}],
        )

    async def _add_host(self) -> None:
        zone = ZONES[0][0]
        capacity = self.door.region.capacities[zone]
        room = HostCapacity(cpu_units=16384, memory_mib=65536, disk_gib=1000)
        await capacity.register_host(HostFacts(host_id="h", boot_id="b", capacity=room, sandbox="simulated", zone=zone))
        await capacity.host_seen("h", True)

    def run(self, **network: Any) -> dict[str, Any]:
        answer = self.ecs.run_task(
            taskDefinition="web:1", launchType="FARGATE", networkConfiguration={"awsvpcConfiguration": network}
        )
        assert not answer["failures"]
        return dict(answer["tasks"][0])


@pytest.fixture
def region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


def details(task: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in task["attachments"][0]["details"]}


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def new_subnet(region: Region, cidr: str = "10.0.1.0/24", vpc: str | None = None, **more: Any) -> tuple[str, str]:
    """Ids of the VPC and the subnet."""
    vpc = vpc or region.ec2.create_vpc(CidrBlock="10.0.0.0/16", **more)["Vpc"]["VpcId"]
    made = region.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=ZONES[0][0])
    return vpc, made["Subnet"]["SubnetId"]


def test_a_task_runs_in_a_subnet_of_ones_own(region: Region) -> None:
    vpc, subnet = new_subnet(region)
    task = region.run(subnets=[subnet])
    assert details(task)["subnetId"] == subnet
    of_subnet = [{"Name": "subnet-id", "Values": [subnet]}]
    [eni] = region.ec2.describe_network_interfaces(Filters=of_subnet)["NetworkInterfaces"]
    assert (eni["VpcId"], eni["SubnetId"], eni["PrivateIpAddress"]) == (vpc, subnet, "10.0.1.4")
    [group] = region.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    assert eni["Groups"] == [{"GroupId": group["GroupId"], "GroupName": "default"}]
    [shown] = region.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    assert shown["AvailableIpAddressCount"] == 250
    assert code(region.ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
    assert code(region.ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"


def test_subnets_of_a_task_are_of_one_vpc(region: Region) -> None:
    _, subnet = new_subnet(region)
    default = region.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    both = {"awsvpcConfiguration": {"subnets": [subnet, default[0]["SubnetId"]]}}
    assert code(region.ecs.run_task, taskDefinition="web:1", launchType="FARGATE", networkConfiguration=both) == (
        "InvalidParameterException"
    )


def test_a_deleted_subnet_is_none_for_the_next_launch(region: Region) -> None:
    _, subnet = new_subnet(region)
    region.ec2.delete_subnet(SubnetId=subnet)
    gone = {"awsvpcConfiguration": {"subnets": [subnet]}}
    assert code(region.ecs.run_task, taskDefinition="web:1", launchType="FARGATE", networkConfiguration=gone) == (
        "InvalidParameterException"
    )


def test_a_task_in_a_dual_stack_subnet_has_an_ipv6_address(region: Region) -> None:
    ec2 = region.ec2
    vpc, subnet = new_subnet(region, AmazonProvidedIpv6CidrBlock=True)
    [block] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    cidr = block["Ipv6CidrBlock"].replace("/56", "/64")
    made = ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=cidr)["Ipv6CidrBlockAssociation"]
    region.run(subnets=[subnet])
    ec2.modify_subnet_attribute(SubnetId=subnet, AssignIpv6AddressOnCreation={"Value": True})
    region.run(subnets=[subnet])
    enis = ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])["NetworkInterfaces"]
    shown = sorted((eni["PrivateIpAddress"], [one["Ipv6Address"] for one in eni["Ipv6Addresses"]]) for eni in enis)
    address = cidr.replace("::/64", "::a00:105")
    assert shown == [("10.0.1.4", []), ("10.0.1.5", [address])]
    by_address = [{"Name": "ipv6-addresses.ipv6-address", "Values": [address]}]
    assert len(ec2.describe_network_interfaces(Filters=by_address)["NetworkInterfaces"]) == 1
    assert code(ec2.disassociate_subnet_cidr_block, AssociationId=made["AssociationId"]) == "DependencyViolation"
    assert code(ec2.disassociate_vpc_cidr_block, AssociationId=block["AssociationId"]) == "InvalidCidrBlock.InUse"
