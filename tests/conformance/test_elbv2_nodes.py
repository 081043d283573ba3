"""Load balancers that come up, serve and go, as boto3 sees them: nodes on simulated hosts behind a real socket.

Simulated hosts say that every target is healthy. What is asked of hosts and names is read from the plans they got.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from neargate.model.knobs import Knobs
from neargate.model.network import VpcPlan
from neargate.region import Region

from .served import KEY, REGION, SECRET, InThread
from .test_ecs_clients import serving

KNOBS = Knobs(placing_period_s=0.2, balancer_look_period_s=0.1)
WAIT = {"Delay": 0.1, "MaxAttempts": 300}
WITHIN_S = 30.0
PLACES = (f"{REGION}a", f"{REGION}b")


@asynccontextmanager
async def keeping(directory: Path, opened: list[Region], knobs: Knobs = KNOBS) -> AsyncIterator[int]:
    """A region that places what has a place."""
    async with serving(directory, opened, knobs) as port:
        region = opened[0]
        loops = [asyncio.ensure_future(region.placing.run()), asyncio.ensure_future(region.balancer_watch.run())]
        yield port
        for loop in loops:
            loop.cancel()


class Clients:
    def __init__(self, elb: Any, ec2: Any, region: Region) -> None:
        self.elb, self.ec2, self.region = elb, ec2, region
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        found = ec2.describe_subnets()["Subnets"]
        self.subnets = {one["AvailabilityZone"]: one["SubnetId"] for one in found}

    def create(self, name: str, **more: Any) -> str:
        given: dict[str, Any] = {"Name": name, "Subnets": [self.subnets[zone] for zone in PLACES]}
        [made] = self.elb.create_load_balancer(**given | more)["LoadBalancers"]
        return str(made["LoadBalancerArn"])

    def active(self, name: str, **more: Any) -> dict[str, Any]:
        arn = self.create(name, **more)
        self.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=WAIT)
        return self.shown(arn)

    def shown(self, arn: str) -> dict[str, Any]:
        [one] = self.elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
        found: dict[str, Any] = one
        return found

    def group(self, name: str, **more: Any) -> str:
        given = {"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip"}
        return str(self.elb.create_target_group(**given | more)["TargetGroups"][0]["TargetGroupArn"])

    def listen(self, balancer: str, group: str, protocol: str = "HTTP") -> str:
        actions = [{"Type": "forward", "TargetGroupArn": group}]
        made = self.elb.create_listener(LoadBalancerArn=balancer, Protocol=protocol, Port=80, DefaultActions=actions)
        return str(made["Listeners"][0]["ListenerArn"])

    def interfaces(self, name: str) -> list[dict[str, Any]]:
        described = self.ec2.describe_network_interfaces(
            Filters=[{"Name": "description", "Values": [f"ELB *{name}/*"]}]
        )
        found: list[dict[str, Any]] = described["NetworkInterfaces"]
        return found

    def health(self, group: str) -> dict[str, str]:
        told = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in told}

    def plan(self) -> VpcPlan:
        return self.region.gateway._plans.plan(self.vpc)

    def names(self, name: str) -> set[str]:
        dns = self.plan().dns
        assert dns is not None
        return {address for one, address in dns.endpoints if one == name.lower()}

    def delete(self, arn: str, name: str) -> None:
        self.elb.delete_load_balancer(LoadBalancerArn=arn)
        until(lambda: self.interfaces(name) == [])


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    settings = Config(retries={"max_attempts": 0}, read_timeout=30)
    opened: list[Region] = []
    with InThread(lambda: keeping(tmp_path_factory.mktemp("region"), opened)) as port, ExitStack() as stack:
        made = [
            session.client(name, endpoint_url=f"http://127.0.0.1:{port}", config=settings) for name in ("elbv2", "ec2")
        ]
        for client in made:
            stack.callback(client.close)
        yield Clients(made[0], made[1], opened[0])


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as error:
        call()
    return str(error.value.response["Error"]["Code"])


def test_one_becomes_active_with_an_interface_in_each_zone_and_leaves_none(clients: Clients) -> None:
    one = clients.active("comes-and-goes")
    enis = clients.interfaces("comes-and-goes")
    assert {eni["AvailabilityZone"] for eni in enis} == set(PLACES)
    [group] = {group["GroupId"] for eni in enis for group in eni["Groups"]}
    assert one["SecurityGroups"] == [group]
    for eni in enis:
        assert (eni["RequesterId"], eni["RequesterManaged"], eni["InterfaceType"]) == ("amazon-elb", True, "interface")
        assert eni["Attachment"]["InstanceOwnerId"] == "amazon-elb" and eni["Association"]["IpOwnerId"] == "amazon-elb"
        assert refused(
            lambda eni=eni: clients.ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])  # type: ignore[misc]
        )
        assert refused(lambda eni=eni: clients.ec2.delete_subnet(SubnetId=eni["SubnetId"])) == "DependencyViolation"  # type: ignore[misc]
    assert clients.names(one["DNSName"]) == {eni["Association"]["PublicIp"] for eni in enis}
    clients.delete(one["LoadBalancerArn"], "comes-and-goes")
    assert clients.names(one["DNSName"]) == set() and not clients.plan().nodes
    with pytest.raises(ClientError, match="LoadBalancerNotFound"):
        clients.shown(one["LoadBalancerArn"])


def test_targets_become_healthy_and_drain_until_no_node_has_a_connection_left(clients: Clients) -> None:
    arn = clients.active("drains")["LoadBalancerArn"]
    group = clients.group("drains")
    subnet = clients.ec2.describe_subnets(SubnetIds=[clients.subnets[PLACES[0]]])["Subnets"][0]["CidrBlock"]
    ip = subnet.rsplit(".", 1)[0] + ".200"
    clients.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": ip}])
    assert clients.health(group) == {ip: "unused"}
    clients.listen(arn, group)
    clients.elb.get_waiter("target_in_service").wait(TargetGroupArn=group, WaiterConfig=WAIT)
    assert clients.health(group) == {ip: "healthy"}
    clients.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": ip}])
    until(lambda: clients.health(group) == {})  # its delay is five minutes
    clients.delete(arn, "drains")


def test_names_of_an_internal_one_say_private_addresses(clients: Clients) -> None:
    one = clients.active("inside", Scheme="internal")
    enis = clients.interfaces("inside")
    assert all("Association" not in eni for eni in enis)
    assert clients.names(one["DNSName"]) == {eni["PrivateIpAddress"] for eni in enis}
    clients.delete(one["LoadBalancerArn"], "inside")


def test_a_network_load_balancer_has_elastic_addresses_and_a_name_for_each_zone(clients: Clients) -> None:
    given = clients.ec2.allocate_address()
    mapping = [{"SubnetId": clients.subnets[PLACES[0]], "AllocationId": given["AllocationId"]}]
    arn = clients.elb.create_load_balancer(Name="fixed", Type="network", SubnetMappings=mapping)["LoadBalancers"][0][
        "LoadBalancerArn"
    ]
    clients.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=WAIT)
    [eni] = clients.interfaces("fixed")
    assert eni["InterfaceType"] == "network_load_balancer"
    assert eni["Association"]["PublicIp"] == given["PublicIp"]
    assert eni["Association"]["AllocationId"] == given["AllocationId"]
    [address] = clients.ec2.describe_addresses(AllocationIds=[given["AllocationId"]])["Addresses"]
    assert address["NetworkInterfaceId"] == eni["NetworkInterfaceId"] and address["AssociationId"]
    release = lambda: clients.ec2.release_address(AllocationId=given["AllocationId"])  # noqa: E731
    assert refused(release) in ("InvalidIPAddress.InUse", "InvalidAddress.Locked", "AuthFailure")
    name = clients.shown(arn)["DNSName"]
    assert clients.names(name) == clients.names(f"{PLACES[0]}.{name}") == {given["PublicIp"]}
    clients.delete(arn, "fixed")
    release()


def test_other_subnets_move_its_nodes(clients: Clients) -> None:
    arn = clients.active("moves")["LoadBalancerArn"]
    third = f"{REGION}c"
    clients.elb.set_subnets(LoadBalancerArn=arn, Subnets=[clients.subnets[PLACES[0]], clients.subnets[third]])
    until(lambda: {eni["AvailabilityZone"] for eni in clients.interfaces("moves")} == {PLACES[0], third})
    clients.elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=WAIT)
    clients.delete(arn, "moves")


def test_a_host_without_a_task_is_given_the_vpc_of_its_nodes_and_nothing_after_them(clients: Clients) -> None:
    arn = clients.active("hosts")["LoadBalancerArn"]
    hosts = {node.host_id for node in clients.plan().nodes}
    assert hosts == {f"h-{zone}" for zone in PLACES}
    book = clients.region.gateway._balancers
    assert {plan.arn for host in hosts for plan in book.of_host(host)} == {arn}
    clients.delete(arn, "hosts")
    assert [book.of_host(host) for host in hosts] == [(), ()]


def test_a_failed_one_says_why(clients: Clients) -> None:
    taken = clients.active("first", Scheme="internal")["LoadBalancerArn"]
    [address, _] = sorted(clients.interfaces("first"), key=lambda eni: str(eni["AvailabilityZone"]))
    mapping = [{"SubnetId": address["SubnetId"], "PrivateIPv4Address": address["PrivateIpAddress"]}]
    made = clients.elb.create_load_balancer(Name="fails", Type="network", Scheme="internal", SubnetMappings=mapping)
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    until(lambda: clients.shown(arn)["State"]["Code"] == "failed")
    assert address["PrivateIpAddress"] in clients.shown(arn)["State"]["Reason"]
    with pytest.raises(WaiterError):
        clients.elb.get_waiter("load_balancer_available").wait(
            LoadBalancerArns=[arn], WaiterConfig={"Delay": 0.1, "MaxAttempts": 2}
        )
    clients.delete(arn, "fails")
    clients.delete(taken, "first")
