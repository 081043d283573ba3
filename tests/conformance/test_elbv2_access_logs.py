"""A load balancer's access log, Neargate's own attribute, as boto3 sees it: set, shown, refused, and by whose leave."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.testing.front_door import ACCOUNT, REGION, ROOT, Keys

from .door_clients import Door, allow, boto, refused, sender
from .elbv2_parts import told

KEY, GROUP = "access_logs.cloudwatch.log_group", "/elb/shop"
GROUP_ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:log-stream:"


@pytest.fixture
def door() -> Iterator[Door]:
    with asyncio.Runner() as runner:
        yield Door(runner)


def client(door: Door, service: str = "elbv2", keys: Keys = ROOT) -> Any:
    return boto(service, keys, sender(door.run, door.door.region.frontend))


def balancer(door: Door, name: str = "shop", **more: str) -> str:
    subnets = [one["SubnetId"] for one in client(door, "ec2").describe_subnets()["Subnets"]]
    made = client(door).create_load_balancer(Name=name, Subnets=subnets, Scheme="internal", **more)
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def wanted(arn: str, value: str = GROUP, key: str = KEY) -> dict[str, Any]:
    return {"LoadBalancerArn": arn, "Attributes": [{"Key": key, "Value": value}]}


def shown(door: Door, arn: str) -> dict[str, str]:
    return told(client(door).describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"])


def test_a_group_is_named_and_taken_away_and_shown_only_where_it_is(door: Door) -> None:
    arn = balancer(door)
    assert KEY not in shown(door, arn)
    client(door, "logs").create_log_group(logGroupName=GROUP)
    answer = told(client(door).modify_load_balancer_attributes(**wanted(arn))["Attributes"])
    assert answer[KEY] == GROUP and shown(door, arn) == answer
    client(door).modify_load_balancer_attributes(**wanted(arn, ""))
    assert KEY not in shown(door, arn)


def test_a_group_must_be_there_and_be_a_name(door: Door) -> None:
    arn, elb = balancer(door), client(door)
    absent = refused(elb.modify_load_balancer_attributes, **wanted(arn))
    assert absent == ("InvalidConfigurationRequest", f"The log group '{GROUP}' does not exist")
    for name in ("a b", GROUP_ARN, "x" * 513):
        code, said = refused(elb.modify_load_balancer_attributes, **wanted(arn, name))
        assert code == "InvalidConfigurationRequest" and said.endswith("names no log group")
    assert KEY not in shown(door, arn)


def test_buckets_are_refused_by_the_name_of_what_there_is(door: Door) -> None:
    arn, elb = balancer(door), client(door)
    code, said = refused(elb.modify_load_balancer_attributes, **wanted(arn, "true", "access_logs.s3.enabled"))
    assert code == "InvalidConfigurationRequest" and KEY in said
    elb.modify_load_balancer_attributes(**wanted(arn, "false", "access_logs.s3.enabled"))


def test_a_network_load_balancer_has_none(door: Door) -> None:
    arn = balancer(door, "net", Type="network")
    client(door, "logs").create_log_group(logGroupName=GROUP)
    code, said = refused(client(door).modify_load_balancer_attributes, **wanted(arn))
    assert (code, said) == ("ValidationError", f"Load balancer attribute key '{KEY}' is not recognized")


def test_who_names_a_group_must_have_leave_to_write_to_it(door: Door) -> None:
    arn = balancer(door)
    client(door, "logs").create_log_group(logGroupName=GROUP)
    al = client(door, keys=door.user("al", allow("elasticloadbalancing:*")))
    code, said = refused(al.modify_load_balancer_attributes, **wanted(arn))
    assert code == "AccessDenied" and f"logs:CreateLogStream on resource: {GROUP_ARN}" in said
    al.modify_load_balancer_attributes(**wanted(arn, "300", "idle_timeout.timeout_seconds"))
    writes = [allow("elasticloadbalancing:*"), allow("logs:CreateLogStream"), allow("logs:PutLogEvents")]
    for statements, is_enough in ((writes[:2], False), (writes, True)):
        name = f"bo{is_enough}"
        bo = client(door, keys=door.user(name, *statements))
        if is_enough:
            bo.modify_load_balancer_attributes(**wanted(arn))
        else:
            assert "logs:PutLogEvents" in refused(bo.modify_load_balancer_attributes, **wanted(arn))[1]
    assert shown(door, arn)[KEY] == GROUP
    unknown = refused(al.modify_load_balancer_attributes, **wanted(arn, "/not/there"))
    assert unknown[0] == "AccessDenied"  # nobody learns without leave which groups there are
