"""An unmodified boto3 in a real task calls ECS by the service's own name, which is a VPC endpoint's by private DNS."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.testing import oci_image
from neargate.testing.python_image import python_image

from .region import LiveRegion, wait_for

SERVICE = "com.amazonaws.us-east-1.ecs"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
LISTS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecs:List*", "Resource": "*"}],
    }
)
PROGRAM = """
import boto3, botocore.exceptions, sys
for name in sys.argv[1:]:
    ecs = boto3.client("ecs", endpoint_url=name)
    print([arn for arn in ecs.list_clusters()["clusterArns"] if arn.endswith("/default")])
    try:
        ecs.create_cluster(clusterName="theirs")
    except botocore.exceptions.ClientError as error:
        print(error.response["Error"]["Message"].partition(" because ")[2])
try:
    boto3.client("ecs").create_cluster(clusterName="theirs")
except botocore.exceptions.ClientError as error:
    print(error.response["Error"]["Message"].partition(" with ")[2])
"""


@pytest.fixture
def endpoint(region: LiveRegion) -> Iterator[dict[str, Any]]:
    """In a subnet of the default VPC; a role that may do everything with ECS, but make clusters by it alone."""
    iam, ec2 = region.client("iam"), region.ec2
    subnet = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"][0]
    group = ec2.create_security_group(GroupName="endpoint", Description="x", VpcId=subnet["VpcId"])["GroupId"]
    made = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=subnet["VpcId"],
        ServiceName=SERVICE,
        SubnetIds=[subnet["SubnetId"]],
        SecurityGroupIds=[group],
        PolicyDocument=LISTS,
    )["VpcEndpoint"]
    allowed = [
        {"Effect": "Allow", "Action": "ecs:*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "ecs:CreateCluster",
            "Resource": "*",
            "Condition": {"StringNotEqualsIfExists": {"aws:SourceVpce": made["VpcEndpointId"]}},
        },
    ]
    iam.create_role(RoleName="through", AssumeRolePolicyDocument=TRUST)
    document = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    iam.put_role_policy(RoleName="through", PolicyName="p", PolicyDocument=document)
    try:
        yield made | {"Group": group}
    finally:
        iam.delete_role_policy(RoleName="through", PolicyName="p")
        iam.delete_role(RoleName="through")
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
        wait_for("the endpoint to go", lambda: True if not ec2.describe_vpc_endpoints()["VpcEndpoints"] else None)
        ec2.delete_security_group(GroupId=group)


def test_a_task_calls_through_an_endpoint(region: LiveRegion, endpoint: dict[str, Any]) -> None:
    ec2 = region.ec2

    def available() -> dict[str, Any] | None:
        [found] = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"]])["VpcEndpoints"]
        return found if found["State"] == "available" else None

    found = wait_for("the endpoint", available)
    [eni] = ec2.describe_network_interfaces(NetworkInterfaceIds=found["NetworkInterfaceIds"])["NetworkInterfaces"]
    vpc_cidr = [{"CidrIp": "172.31.0.0/16"}]
    permission = {"IpProtocol": "tcp", "FromPort": region.port, "ToPort": region.port, "IpRanges": vpc_cidr}
    ec2.authorize_security_group_ingress(GroupId=endpoint["Group"], IpPermissions=[permission])
    oci_image.push(region.registry, "python", "1", python_image())
    names = [found["DnsEntries"][0]["DnsName"], "ecs.us-east-1.amazonaws.com"]
    urls = [f"http://{name}:{region.port}" for name in names]
    task = region.run_to_end(
        {"image": f"{region.registry}/python:1", "command": ["-c", PROGRAM, *urls]},
        taskRoleArn="arn:aws:iam::123456789012:role/through",
        cpu="512",
        memory="1024",
    )
    clusters = "['arn:aws:ecs:us-east-1:123456789012:cluster/default']"
    stopped = "no VPC endpoint policy allows the ecs:CreateCluster action"
    denied = "an explicit deny in an identity-based policy"
    assert region.output_of(task["taskArn"]) == [*(clusters, stopped) * 2, denied], "the last by the region's address"
    waiting = region.run(
        region.register({"image": region.busybox, "command": ["sleep", "1000"], "stopTimeout": 2}),
        enableExecuteCommand=True,
    )
    region.wait_status(waiting, "RUNNING")
    try:
        to = f"{eni['PrivateIpAddress']}:{region.port}"
        told = region.command("trace-path", "--from", waiting.rpartition("/")[2], "--to", to).stdout
        assert f"vpc endpoint {endpoint['VpcEndpointId']}: {SERVICE}" in told
        ask = f"nc -w 3 {eni['PrivateIpAddress']} {region.port}"
        health = f"printf 'GET /_neargate/health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | {ask}"
        exec_ = ["exec", waiting.rpartition("/")[2], "sh", "-c", health]
        assert '"status":"ok"' in region.command(*exec_).stdout
        ec2.revoke_security_group_ingress(GroupId=endpoint["Group"], IpPermissions=[permission])
        wait_for("the group", lambda: region.command(*exec_, check=False).returncode or None)
        words = ("trace-path", "--from", waiting.rpartition("/")[2], "--to", to)
        told = region.command(*words, check=False).stdout
        assert f"✗ security group {endpoint['Group']}: no inbound rule allows it" in told
    finally:
        region.stop(waiting)
