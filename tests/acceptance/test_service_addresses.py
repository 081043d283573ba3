"""An elastic address that is tagged for a service leads to its task, and after it was replaced to the next one."""

import urllib.request
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from .region import LiveRegion, wait_for

NAME = "stays"
SERVE = 'mkdir /www; echo "$HOSTNAME" >/www/index.html; trap "exit 0" TERM; httpd -f -p 80 -h /www & wait'


@pytest.fixture
def serving(region: LiveRegion) -> Iterator[tuple[LiveRegion, str, str]]:
    """The shared region, a group that lets everybody in at port 80, and an address of the service; gone afterwards."""
    vpc = region.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    group = region.ec2.create_security_group(GroupName=NAME, Description=NAME, VpcId=vpc)["GroupId"]
    region.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0"
    )
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "neargate:service", "Value": f"default/{NAME}"}]}]
    allocation = region.ec2.allocate_address(TagSpecifications=tags)["AllocationId"]
    yield region, group, allocation

    def is_over() -> bool:
        found = region.ecs.describe_services(services=[NAME])["services"]
        return not found or found[0]["status"] == "INACTIVE"

    def is_free() -> bool:
        return "AssociationId" not in region.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]

    def has_no_interface() -> bool:
        named = [{"Name": "group-id", "Values": [group]}]
        return not region.ec2.describe_network_interfaces(Filters=named)["NetworkInterfaces"]

    if not is_over():
        region.ecs.delete_service(service=NAME, force=True)
    wait_for("the service ends", is_over)
    wait_for("its address is free", is_free)
    region.ec2.release_address(AllocationId=allocation)
    wait_for("its last interface is gone", has_no_interface)
    region.ec2.delete_security_group(GroupId=group)


def page(address: str) -> str | None:
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
            return str(answer.read().decode().strip())
    except OSError:
        return None


def test_the_next_task_has_the_address_of_the_one_before(serving: tuple[LiveRegion, str, str]) -> None:
    region, group, allocation = serving
    [described] = region.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    address = described["PublicIp"]
    region.ecs.create_service(
        serviceName=NAME,
        taskDefinition=region.register({"command": ["sh", "-c", SERVE], "stopTimeout": 2}),
        desiredCount=1,
        launchType="FARGATE",
        deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 100},
        networkConfiguration=region.network(public=True, groups=(group,)),
    )
    first = wait_for("the first task answers at the address", lambda: page(address))
    [arn] = region.ecs.list_tasks(serviceName=NAME)["taskArns"]
    with pytest.raises(ClientError, match=r"InvalidIPAddress\.InUse"):
        region.ec2.release_address(AllocationId=allocation)
    region.ecs.stop_task(task=arn)

    def another() -> str | None:
        found = page(address)
        return None if found == first else found

    wait_for("another task answers at the same address", another)
    assert region.ecs.list_tasks(serviceName=NAME)["taskArns"] != [arn]
