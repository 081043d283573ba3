"""Waiters of elbv2 as boto3 and the aws CLI have them: nodes on simulated hosts behind a real socket."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import WaiterError

from .served import KEY, REGION, SECRET
from .test_elbv2_nodes import PLACES, WAIT, Clients, clients

__all__ = ["clients"]  # the fixture

TWICE = {"Delay": 0.05, "MaxAttempts": 2}


class Front(NamedTuple):
    """A load balancer, a group of its own and an address in its first zone that is no target yet."""

    name: str
    balancer: str
    group: str
    target: dict[str, Any]


@pytest.fixture
def front(request: pytest.FixtureRequest, clients: Clients) -> Iterator[Front]:
    name = request.node.name[-20:].strip("_").replace("_", "-")
    balancer, group = clients.create(name), clients.group(name)
    subnet = clients.ec2.describe_subnets(SubnetIds=[clients.subnets[PLACES[0]]])["Subnets"][0]["CidrBlock"]
    yield Front(name, balancer, group, {"Id": subnet.rsplit(".", 1)[0] + ".230", "Port": 80})
    clients.delete(balancer, name)


def ends(clients: Clients, waiter: str, **params: Any) -> None:
    clients.elb.get_waiter(waiter).wait(WaiterConfig=WAIT, **params)


def goes_on(clients: Clients, waiter: str, **params: Any) -> None:
    """As long as it is let: what is awaited has not come, and may yet."""
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        clients.elb.get_waiter(waiter).wait(WaiterConfig=TWICE, **params)


def test_a_load_balancer_from_its_making_to_its_end(clients: Clients, front: Front) -> None:
    asked = {"LoadBalancerArns": [front.balancer]}
    ends(clients, "load_balancer_exists", **asked)
    ends(clients, "load_balancer_exists", Names=[front.name])
    ends(clients, "load_balancer_available", **asked)
    goes_on(clients, "load_balancers_deleted", **asked)
    clients.delete(front.balancer, front.name)
    ends(clients, "load_balancers_deleted", **asked)
    ends(clients, "load_balancers_deleted", Names=[front.name])
    goes_on(clients, "load_balancer_exists", **asked)
    goes_on(clients, "load_balancer_available", **asked)


def test_a_target_from_its_registration_to_its_end(clients: Clients, front: Front) -> None:
    ends(clients, "load_balancer_available", LoadBalancerArns=[front.balancer])
    asked: dict[str, Any] = {"TargetGroupArn": front.group, "Targets": [front.target]}
    ends(clients, "target_deregistered", **asked)
    goes_on(clients, "target_in_service", **asked)
    clients.elb.register_targets(**asked)
    goes_on(clients, "target_in_service", **asked)  # no listener leads to its group
    clients.listen(front.balancer, front.group)
    ends(clients, "target_in_service", **asked)
    ends(clients, "target_in_service", TargetGroupArn=front.group)
    goes_on(clients, "target_deregistered", **asked)
    clients.elb.deregister_targets(**asked)
    ends(clients, "target_deregistered", **asked)


def test_what_a_waiter_has_no_word_for_ends_it(clients: Clients, front: Front) -> None:
    """Neither waiter expects a group that is gone."""
    clients.elb.delete_target_group(TargetGroupArn=front.group)
    for waiter in ("target_in_service", "target_deregistered"):
        with pytest.raises(WaiterError, match="TargetGroupNotFound"):
            clients.elb.get_waiter(waiter).wait(TargetGroupArn=front.group, WaiterConfig=TWICE)


@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_command_line_waits(clients: Clients, front: Front, tmp_path: Path) -> None:
    """Each for what is so already: its pauses of 15 seconds cannot be shortened."""

    def wait(*words: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        endpoint = str(clients.elb.meta.endpoint_url)
        command = ["aws", "--endpoint-url", endpoint, "elbv2", "wait", *words]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr.decode()

    ends(clients, "load_balancer_available", LoadBalancerArns=[front.balancer])
    wait("load-balancer-exists", "--load-balancer-arns", front.balancer)
    wait("load-balancer-available", "--names", front.name)
    target = f"Id={front.target['Id']},Port={front.target['Port']}"
    wait("target-deregistered", "--target-group-arn", front.group, "--targets", target)
    clients.listen(front.balancer, front.group)
    clients.elb.register_targets(TargetGroupArn=front.group, Targets=[front.target])
    ends(clients, "target_in_service", TargetGroupArn=front.group)
    wait("target-in-service", "--target-group-arn", front.group)
    clients.delete(front.balancer, front.name)
    wait("load-balancers-deleted", "--load-balancer-arns", front.balancer)
