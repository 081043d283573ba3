"""Who may do what with load balancers and target groups, as boto3 sees it: ARNs, tags, condition keys."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, REGION, ROOT, Keys

from .door_clients import Door, allow, boto, refused, sender

ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
AL = f"User: arn:aws:iam::{ACCOUNT}:user/al is not authorized to perform: elasticloadbalancing"


@pytest.fixture
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


def client(door: Door, keys: Keys = ROOT, service: str = "elbv2") -> Any:
    return boto(service, keys, sender(door.run, door.door.region.frontend))


def group(door: Door, name: str = "tg", **tags: str) -> str:
    vpc = client(door, service="ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    given = [{"Key": key, "Value": value} for key, value in tags.items()]
    made = client(door).create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", **({"Tags": given} if given else {})
    )
    return str(made["TargetGroups"][0]["TargetGroupArn"])


def test_leave_is_asked_for_on_the_arn_that_is_named(door: Door) -> None:
    one, two = group(door, "one"), group(door, "two")
    al = client(door, door.user("al", allow("elasticloadbalancing:*", resource=one)))
    al.modify_target_group(TargetGroupArn=one, HealthCheckPath="/up")
    code, said = refused(al.delete_target_group, TargetGroupArn=two)
    assert code == "AccessDenied" and said.startswith(f"{AL}:DeleteTargetGroup on resource: {two} because")
    absent = f"{ELB}:targetgroup/none/{'0' * 16}"
    assert refused(al.delete_target_group, TargetGroupArn=absent)[0] == "AccessDenied"
    assert refused(al.describe_target_groups)[0] == "AccessDenied"  # what only describes is asked for on `*`


def test_tags_of_what_is_named_decide(door: Door) -> None:
    own, others = group(door, "own", team="a"), group(door, "others", team="b")
    mine = {"StringEquals": {"elasticloadbalancing:ResourceTag/team": "a"}}
    al = client(door, door.user("al", allow("elasticloadbalancing:*") | {"Condition": mine}))
    al.delete_target_group(TargetGroupArn=own)
    assert refused(al.delete_target_group, TargetGroupArn=others)[0] == "AccessDenied"


def test_tags_that_come_with_a_new_thing_need_leave_of_their_own(door: Door) -> None:
    vpc = client(door, service="ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    new = {"Name": "new", "Protocol": "TCP", "Port": 80, "VpcId": vpc, "TargetType": "ip"}
    al = client(door, door.user("al", allow("elasticloadbalancing:CreateTargetGroup")))
    code, said = refused(al.create_target_group, **new, Tags=[{"Key": "a", "Value": "b"}])
    assert code == "AccessDenied" and f"{AL}:AddTags on resource: {ELB}:targetgroup/new/*" in said
    al.create_target_group(**new)


def test_a_scheme_can_be_forbidden(door: Door) -> None:
    ec2 = client(door, service="ec2")
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    inside = {"StringEquals": {"elasticloadbalancing:Scheme": "internal"}}
    al = client(door, door.user("al", allow("elasticloadbalancing:CreateLoadBalancer") | {"Condition": inside}))
    assert refused(al.create_load_balancer, Name="web", Subnets=subnets)[0] == "AccessDenied"
    al.create_load_balancer(Name="web", Subnets=subnets, Scheme="internal")
