"""What the operator's commands say of load balancers, of a region whose nodes and tasks stand on simulated hosts.

The commands' own words, asked of the region's own handlers; what is changed, boto3 changes. Simulated hosts say that
every target is healthy.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from neargate.cli import inspect, trace_path, why
from neargate.cli.desks import balancers as balancers_desk
from neargate.cli.desks import operator
from neargate.cli.desks import path as path_desk
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import Problem
from neargate.region import Region

from .served import KEY, REGION, SECRET, InThread
from .test_elbv2_nodes import PLACES, WAIT, Clients, keeping, until

EVERYBODY = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


class Operator:
    """A region's clients, a shop of it, and the commands. `task`: the id of one that is the shop's target."""

    def __init__(self, clients: Clients, ecs: Any, do: Callable[[Any], Any]) -> None:
        self.clients, self.ecs, self._do = clients, ecs, do
        region = clients.region
        self._handlers = {
            **operator.handlers(region),
            **balancers_desk.handlers(region),
            **path_desk.handlers(region, 4566),
        }
        self.front, self.back = self._security_group("front"), self._security_group("back")
        self.arn = clients.active("shop", SecurityGroups=[self.front])["LoadBalancerArn"]
        self.dns = clients.shown(self.arn)["DNSName"]
        self.group = clients.group("shop-web")
        clients.listen(self.arn, self.group)
        self.task, self.address = self._serve()

    def _security_group(self, name: str) -> str:
        ec2 = self.clients.ec2
        return str(ec2.create_security_group(GroupName=name, Description=name, VpcId=self.clients.vpc)["GroupId"])

    def _serve(self) -> tuple[str, str]:
        container = {"name": "web", "image": "web:1", "portMappings": [{"containerPort": 80}]}
        self.ecs.create_cluster(clusterName="default")
        self.ecs.register_task_definition(
            family="web",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )
        network = {"subnets": [self.clients.subnets[PLACES[0]]], "securityGroups": [self.back]}
        self.ecs.create_service(
            serviceName="web",
            taskDefinition="web",
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {**network, "assignPublicIp": "ENABLED"}},
            loadBalancers=[{"targetGroupArn": self.group, "containerName": "web", "containerPort": 80}],
        )
        self.clients.elb.get_waiter("target_in_service").wait(TargetGroupArn=self.group, WaiterConfig=WAIT)
        [arn] = self.ecs.list_tasks(serviceName="web")["taskArns"]
        [address] = self.clients.health(self.group)
        return arn.rpartition("/")[2], address

    def ask(self, _: RegionPaths, request: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer = self._do(self._handlers[request](json.loads(json.dumps(arguments))))
        except Exception as error:  # as the operator's socket answers
            raise Problem(str(error)) from None
        found: dict[str, Any] = json.loads(json.dumps(answer))
        return found

    @contextmanager
    def let_in(self, group: str, permission: dict[str, Any]) -> Iterator[None]:
        given = {"GroupId": group, "IpPermissions": [permission]}
        self.clients.ec2.authorize_security_group_ingress(**given)
        try:
            yield
        finally:
            self.clients.ec2.revoke_security_group_ingress(**given)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Everybody comes to the nodes, and these to the targets."""
        pair = {"UserIdGroupPairs": [{"GroupId": self.front}]}
        inside = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, **pair}
        with self.let_in(self.front, EVERYBODY), self.let_in(self.back, inside):
            yield


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    settings = Config(retries={"max_attempts": 0}, read_timeout=30)
    opened: list[Region] = []
    thread = InThread(lambda: keeping(tmp_path_factory.mktemp("region"), opened))
    with thread as port, ExitStack() as stack:
        made = [
            session.client(name, endpoint_url=f"http://127.0.0.1:{port}", config=settings)
            for name in ("elbv2", "ec2", "ecs")
        ]
        for client in made:
            stack.callback(client.close)
        thread.do(_begin_services(opened[0]))
        yield Operator(Clients(made[0], made[1], opened[0]), made[2], thread.do)


async def _begin_services(region: Region) -> None:
    region.cell.start_services()


@pytest.fixture
def paths(region: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> RegionPaths:
    config = SimpleNamespace(
        region=REGION, account="123456789012", endpoint="here", auth="enforce", port=4566, uplink_networks=()
    )
    for module in (inspect, trace_path, why):
        monkeypatch.setattr(module, "ask", region.ask)
        monkeypatch.setattr(module.configs, "load", lambda _: config)
    monkeypatch.setattr(inspect, "status_line", lambda *_: "")
    return region_paths(str(tmp_path))


def test_status_lists_load_balancers_and_services(region: Operator, paths: RegionPaths) -> None:
    lines = inspect.status(paths).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("LOAD BALANCER"))
    first, second = (line.split() for line in lines[at + 1 : at + 3])
    assert first[:5] == ["shop", "active", "HTTP:80", PLACES[0], f"h-{PLACES[0]}"] and first[-2:] == ["shop-web", "1/1"]
    assert second[:2] == [PLACES[1], f"h-{PLACES[1]}"]
    until(lambda: "COMPLETED, steady" in inspect.status(paths))
    lines = inspect.status(paths).splitlines()
    assert "web default ACTIVE 1/1 COMPLETED, steady" in [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize("name", ["shop", "arn", "dns", "shop.us-east-1.elb.localhost"])
def test_nothing_is_in_the_way_where_all_is_open(region: Operator, paths: RegionPaths, name: str) -> None:
    with region.open():
        text = why.why(paths, {"arn": region.arn, "dns": region.dns.upper()}.get(name, name))
    assert text.startswith(f"load balancer shop (application, internet-facing) is active\n  {region.arn}\n")
    assert f"  {PLACES[0]}: serves, on h-{PLACES[0]}, " in text
    assert "HTTP:80: forwards to shop-web\n" in text and "shop-web: 1 of 1 targets are healthy" in text
    assert (
        text.splitlines()[-1] == "Nothing that Neargate knows of is between its clients and an answer of its targets."
    )


def test_groups_that_let_nobody_in_are_named_with_what_to_type(region: Operator, paths: RegionPaths) -> None:
    last = why.why(paths, "shop").splitlines()[-1]
    assert f"Its security groups ({region.front}) let nobody in at port 80: aws ec2 authorize-security-group-" in last
    assert (
        f"Its nodes do not reach {region.address} of target group shop-web at port 80: security group {region.back}: "
        "no inbound rule allows it; let the load balancer's group in: aws ec2 authorize-security-group-ingress "
        f"--group-id {region.back} --protocol tcp --port 80 --source-group {region.front}."
    ) in last


def test_groups_that_let_members_alone_in_are_named_where_the_internet_is_to_come(
    region: Operator, paths: RegionPaths
) -> None:
    ec2 = region.clients.ec2
    members = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": region.front}]}
    ec2.authorize_security_group_ingress(GroupId=region.front, IpPermissions=[members])
    last = why.why(paths, "shop").splitlines()[-1]
    assert (
        f"Its security groups ({region.front}) let nobody of the internet in at port 80, only {region.front}: " in last
    )
    ec2.revoke_security_group_ingress(GroupId=region.front, IpPermissions=[members])


def test_a_subnet_without_a_way_to_the_internet_is_named(region: Operator, paths: RegionPaths) -> None:
    ec2 = region.clients.ec2
    [table] = ec2.describe_route_tables()["RouteTables"]
    [gateway] = [one["GatewayId"] for one in table["Routes"] if one["DestinationCidrBlock"] == "0.0.0.0/0"]
    there = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.delete_route(**there)
    try:
        with region.open():
            last = why.why(paths, "shop").splitlines()[-1]
    finally:
        ec2.create_route(**there, GatewayId=gateway)
    assert last.startswith(
        f"From the internet its node in {PLACES[0]} at port 80, {PLACES[1]} at port 80 is not reached"
    )
    assert "need a route to the internet gateway" in last


def test_a_target_group_says_who_leads_to_it_and_what_is_in_the_way(region: Operator, paths: RegionPaths) -> None:
    text = why.why(paths, "shop-web")
    assert text.startswith(f"target group shop-web (HTTP, port 80) of {region.clients.vpc}\n  {region.group}\n")
    assert "load balancers that lead to it\n  shop: active\n" in text and "HTTP / at their own port" in text
    assert f"Load balancer shop: Its nodes do not reach {region.address} of target group shop-web" in text
    with region.open():
        assert why.why(paths, region.group).endswith("in the way of requests to its targets.")
    lonely = region.clients.group("lonely")
    text = why.why(paths, lonely).splitlines()[-1]
    assert "Target group lonely has no target" in text and "No listener and no rule leads to it" in text
    region.clients.elb.delete_target_group(TargetGroupArn=lonely)


def test_a_path_goes_through_a_load_balancer_hop_by_hop(region: Operator, paths: RegionPaths) -> None:
    with region.open():
        lines = trace_path.run(paths, region.task, region.dns, "tcp").text.splitlines()
    public = [eni["Association"]["PublicIp"] for eni in region.clients.interfaces("shop")]
    assert lines[0].startswith(f"  dns {region.dns}: ") and any(address in lines[0] for address in public)
    assert any(line.startswith(f"to its node in {PLACES[0]}, ") and line.endswith(":80:") for line in lines)
    at = lines.index("  listener HTTP:80")
    assert lines[at + 1 : at + 3] == [
        "  default rule: forwards to shop-web",
        "  target group shop-web: 1 of 1 targets are healthy",
    ]
    assert f"from its node in {PLACES[0]} to {region.address}:80:" in lines
    assert any(line.startswith(f"  security group {region.back}: sgr-") for line in lines[at:])
    assert lines[-1] == "shop:80 is reached, and answers" and not any(line.startswith("✗") for line in lines)


def test_a_path_that_is_closed_says_where(region: Operator, paths: RegionPaths) -> None:
    lines = trace_path.run(paths, region.task, "shop:80", "tcp").text.splitlines()
    assert f"✗ security group {region.front}: no inbound rule allows it" in lines
    assert lines[-1] == "shop:80 is not reached: see the line with ✗"
    with region.let_in(region.front, EVERYBODY):
        lines = trace_path.run(paths, region.task, f"{region.arn}:80", "tcp").text.splitlines()
    assert f"✗ security group {region.back}: no inbound rule allows it" in lines
    assert lines[-1] == "shop:80 is not reached: see the line with ✗"
    with region.open():
        lines = trace_path.run(paths, region.task, "shop:81", "tcp").text.splitlines()
    assert "✗ listener: nobody listens at port 81; it has HTTP:80" in lines


def test_a_network_load_balancer_without_groups_takes_all(region: Operator, paths: RegionPaths) -> None:
    group = region.clients.group("net", Protocol="TCP")
    arn = region.clients.active("net", Type="network", Subnets=[region.clients.subnets[PLACES[0]]])["LoadBalancerArn"]
    region.clients.listen(arn, group, "TCP")
    lines = trace_path.run(paths, region.task, "net", "tcp").text.splitlines()
    [eni] = region.clients.interfaces("net")
    assert f"  security group {eni['NetworkInterfaceId']}: none" in lines
    assert "✗ target group net: 0 of 0 targets are healthy" in lines
    assert "let nobody in" not in why.why(paths, "net")
    region.clients.delete(arn, "net")
    region.clients.elb.delete_target_group(TargetGroupArn=group)


@pytest.mark.parametrize(
    ("to", "protocol", "sentence"),
    [
        ("nowhere:80", "tcp", "'nowhere' is no address, and no load balancer is named 'nowhere'; write --to ADDRESS"),
        ("shop", "udp", "load balancers here take TCP alone, and no udp"),
        ("shop:http", "tcp", "'http' is no port"),
    ],
)
def test_what_cannot_be_traced(region: Operator, paths: RegionPaths, to: str, protocol: str, sentence: str) -> None:
    with pytest.raises(Problem, match=sentence):
        trace_path.run(paths, region.task, to, protocol)


def test_a_name_of_nothing_is_told(region: Operator, paths: RegionPaths) -> None:
    with pytest.raises(Problem, match="and no service, load balancer or target group has that name"):
        why.why(paths, "nothing")
