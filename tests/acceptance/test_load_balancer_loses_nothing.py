"""200 GETs a second by name through a load balancer, while its service is rolled, scaled, and processes are killed.

The client sits in a task's own network namespace, asks the VPC's resolver and never sends twice. None may fail; when a
node is killed, only what was in flight on it, and nothing that began 2 s later.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import processes

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for
from .test_metrics import samples

SERVES = (
    "mkdir -p /www; echo version $VERSION > /www/index.html; httpd -p 80 -h /www; "
    "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.2; done"
)
SERVICE, RATE, TIMES = "web", 200, 600.0
CLIENT = Path(__file__).with_name("http_load.py")
FIELD = re.compile(r'"[^"]*"|[^ "]+')
QUICK = [{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}]


@pytest.fixture(scope="module")
def alone() -> Iterator[LiveRegion]:
    """Processes of it are killed."""
    live = start_region()
    try:
        live.push_images()
        yield live
    finally:
        end_region(live)


class Balanced:
    """A service behind a load balancer in the default VPC, and the client's task."""

    def __init__(self, region: LiveRegion) -> None:
        self.region = region
        self.elb = region.client("elbv2")
        ec2 = region.ec2
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        self.subnets = [one["SubnetId"] for one in found]
        self.group = ec2.create_security_group(GroupName="balanced", Description="balanced", VpcId=vpc)["GroupId"]
        anyone = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=anyone)
        [made] = self.elb.create_load_balancer(
            Name="balanced", Subnets=self.subnets[:2], SecurityGroups=[self.group], Scheme="internal"
        )["LoadBalancers"]
        self.arn, self.name = made["LoadBalancerArn"], made["DNSName"]
        [group] = self.elb.create_target_group(
            Name="balanced",
            Protocol="HTTP",
            Port=80,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2,
            HealthyThresholdCount=2,
        )["TargetGroups"]
        self.targets = group["TargetGroupArn"]
        self.elb.modify_target_group_attributes(TargetGroupArn=self.targets, Attributes=QUICK)
        self.elb.create_listener(
            LoadBalancerArn=self.arn,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.targets}],
        )
        sleeps = region.register({"command": ["sleep", "100000"], "stopTimeout": 2})
        self.client = region.run(sleeps)
        region.wait_status(self.client, "RUNNING")

    def define(self, version: int) -> str:
        web = {
            "command": ["sh", "-c", SERVES],
            "portMappings": [{"containerPort": 80}],
            "environment": [{"name": "VERSION", "value": str(version)}],
            "stopTimeout": 10,
        }
        return self.region.register(web)

    def serve(self, version: int, count: int) -> None:
        network = {"awsvpcConfiguration": {"subnets": self.subnets[:2], "securityGroups": [self.group]}}
        self.region.ecs.create_service(
            serviceName=SERVICE,
            taskDefinition=self.define(version),
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=network,
            loadBalancers=[{"targetGroupArn": self.targets, "containerName": "c0", "containerPort": 80}],
        )
        self.settled(count)

    def update(self, count: int, **members: Any) -> None:
        self.region.ecs.update_service(service=SERVICE, desiredCount=count, **members)

    def settled(self, count: int) -> None:
        def look() -> bool:
            [service] = self.region.ecs.describe_services(services=[SERVICE])["services"]
            [first, *others] = service["deployments"]
            return not others and first["rolloutState"] == "COMPLETED" and service["runningCount"] == count

        def healthy() -> bool:
            found = self.elb.describe_target_health(TargetGroupArn=self.targets)["TargetHealthDescriptions"]
            return [one["TargetHealth"]["State"] for one in found] == ["healthy"] * count

        wait_for(f"the service settles at {count}", look, TIMES / 2)
        wait_for(f"{count} targets are healthy and no other is left", healthy, TIMES / 2)

    @contextmanager
    def stream(self, log: Path) -> Iterator[None]:
        """200 GETs a second meanwhile; afterwards `log` has what failed and the counts."""
        run = self.region.paths.run
        netns = run / "net" / "netns" / f"task-{self.client.rpartition('/')[2]}"
        program = ["nsenter", f"--net={netns}", sys.executable, str(CLIENT), self.name]
        with log.open("wb") as written:
            sender = subprocess.Popen([*program, "--rate", str(RATE)], stdout=written)
            try:
                wait_for("the stream begins", lambda: log.stat().st_size > 0, 30)
                yield
            finally:
                sender.send_signal(signal.SIGTERM)
                sender.wait(60)

    def kill(self, process: str) -> None:
        running = processes.find(self.region.paths.pid_file(process))
        assert running is not None, f"{process} does not run"
        os.kill(running.pid, signal.SIGKILL)
        assert processes.wait_gone(running, 10.0)


def told(log: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [counts] = [line["counts"] for line in lines if "counts" in line]
    return [line for line in lines if "said" in line], counts


def proxies(region: LiveRegion) -> dict[str, list[int]]:
    """The processes of each node that runs here, by its interface."""
    found: dict[str, list[int]] = {}
    mark = f"{region.paths.run}/balancers/"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text()
        except OSError:
            continue
        if mark in words and "haproxy" in words:
            found.setdefault(words.partition(mark)[2].partition("/")[0], []).append(int(path.parent.name))
    return found


@pytest.fixture(scope="module")
def balanced(alone: LiveRegion) -> Balanced:
    made = Balanced(alone)
    made.serve(1, 2)
    return made


@pytest.mark.timeout(300)
def test_the_operator_is_told_how_it_stands_and_what_would_be_in_the_way(balanced: Balanced) -> None:
    def told(*words: str) -> str:
        return str(balanced.region.command(*words, check=False).stdout)

    status = [line.split() for line in told("status").splitlines()]
    [balancer] = [words for words in status if words[:3] == ["balanced", "active", "HTTP:80"]]
    assert balancer[-2:] == ["balanced", "2/2"]
    assert any(words[:4] == [SERVICE, "default", "ACTIVE", "2/2"] for words in status)
    assert "is between its clients and an answer of its targets." in told("why", balanced.arn)
    assert told("why", balanced.targets).endswith("in the way of requests to its targets.\n")
    client = balanced.client.rpartition("/")[2]
    lines = told("trace-path", "--from", client, "--to", balanced.name).splitlines()
    assert lines[-1] == "balanced:80 is reached, and answers" and not any(line.startswith("✗") for line in lines)
    refused = told("trace-path", "--from", client, "--to", "balanced:81").splitlines()
    assert "✗ listener: nobody listens at port 81; it has HTTP:80" in refused
    assert "load balancer" not in told("doctor") and "target group" not in told("doctor")
    [alone] = balanced.elb.create_load_balancer(Name="alone", Subnets=balanced.subnets[:2])["LoadBalancers"]
    assert "It has no listener" in told("why", "alone")
    balanced.elb.delete_load_balancer(LoadBalancerArn=alone["LoadBalancerArn"])


@pytest.mark.timeout(900)
def test_none_fails_through_deployments_kills_and_scaling(balanced: Balanced, tmp_path: Path) -> None:
    log = tmp_path / "stream"
    with balanced.stream(log):
        for version in (2, 3, 4):
            balanced.update(2, taskDefinition=balanced.define(version))
            if version == 3:
                balanced.kill("agent")
            if version == 4:
                balanced.kill("server")
                wait_for("the server answers again", lambda: balanced.region.command("status", check=False), 60)
            balanced.settled(2)
        for count in (20, 2):
            balanced.update(count)
            balanced.settled(count)
    failed, counts = told(log)
    assert not failed, (failed[:20], counts)
    assert set(counts) == {"200"} and counts["200"] > 1000


@pytest.mark.timeout(300)
def test_a_killed_node_fails_what_was_in_flight_on_it_and_nothing_two_seconds_later(
    balanced: Balanced, tmp_path: Path
) -> None:
    log = tmp_path / "stream"
    with balanced.stream(log):
        killed = min(before := proxies(balanced.region))
        for process in before[killed]:
            os.kill(process, signal.SIGKILL)
        killed_at = time.time()

        def is_back() -> bool:
            now = proxies(balanced.region).get(killed, [])
            return bool(now) and not set(now) & set(before[killed])

        wait_for("the node runs again", is_back, 30)
        balanced.update(3)
        balanced.settled(3)
    failed, counts = told(log)
    assert [one for one in failed if one["at"] > killed_at + 2.0] == [], counts
    assert counts["200"] > 100


ASKS = """
import http.client, sys
for number in range(50):
    for node in sys.argv[1:]:
        there = http.client.HTTPConnection(node, 80, timeout=20)
        there.request("GET", f"/index.html?n={number}&to={node}", headers={"User-Agent": 'forged" 200 "'})
        assert there.getresponse().status == 200
        there.close()
"""


@pytest.mark.timeout(300)
def test_each_request_is_a_line_of_the_accounts_log_group_and_is_counted(balanced: Balanced) -> None:
    region, group = balanced.region, "/test/access-logs"
    region.logs.create_log_group(logGroupName=group)
    attribute = {"Key": "access_logs.cloudwatch.log_group", "Value": group}
    balanced.elb.modify_load_balancer_attributes(LoadBalancerArn=balanced.arn, Attributes=[attribute])
    label = balanced.arn.partition("loadbalancer/")[2]
    faces = region.ec2.describe_network_interfaces()["NetworkInterfaces"]
    nodes = {one["NetworkInterfaceId"]: one["PrivateIpAddress"] for one in faces if label in one["Description"]}
    configs = [region.paths.run / "balancers" / eni / "haproxy.cfg" for eni in nodes]
    wait_for("the nodes log", lambda: len(configs) == 2 and all("log-format" in one.read_text() for one in configs))

    def counted(name: str, *more: str) -> float:
        return samples(region.command("metrics").stdout, name)[(label, *more)]

    answers = ("neargate_target_group_responses_total", balanced.targets.rpartition(":")[2], "2xx")
    before = counted("neargate_load_balancer_requests_total"), counted(*answers)
    netns = region.paths.run / "net" / "netns" / f"task-{balanced.client.rpartition('/')[2]}"
    # A proxy that was replaced meanwhile takes no new connection.
    wait_for("the nodes log by the proxies that serve", lambda: has_lines(balanced, netns, nodes.values(), group))
    subprocess.run(["nsenter", f"--net={netns}", sys.executable, "-c", ASKS, *nodes.values()], check=True, timeout=120)
    wanted = {f"http://{node}:80/index.html?n={number}&to={node}" for node in nodes.values() for number in range(50)}
    wait_for("all lines", lambda: wanted <= {request_of(one) for one in lines_of(region, group)})
    streams = region.logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert {one["logStreamName"] for one in streams} == {f"{label.replace('/', '.')}_{eni}" for eni in nodes}
    found = [one for one in lines_of(region, group) if request_of(one) in wanted]
    assert len(found) == len(wanted)
    assert all(one[0] == "http" and one[2] == label and one[8:10] == ["200", "200"] for one in found)
    assert {one[13] for one in found} == {'"forged\\x22 200 \\x22"'}
    assert {one[16] for one in found} == {balanced.targets}
    wait_for("the requests' count", lambda: counted("neargate_load_balancer_requests_total") >= before[0] + 100)
    wait_for("the answers' count", lambda: counted(*answers) >= before[1] + 100)
    assert counted("neargate_target_group_targets", answers[1], "healthy") >= 2


def lines_of(region: LiveRegion, group: str) -> list[list[str]]:
    pages = region.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return [FIELD.findall(event["message"]) for page in pages for event in page["events"]]


def request_of(line: list[str]) -> str:
    """The URL."""
    return line[12].strip('"').split(" ")[1]


def has_lines(balanced: Balanced, netns: Path, nodes: Iterable[str], group: str) -> bool:
    """Of each node, after one more request to it."""
    for node in nodes:
        asked = f"import urllib.request; urllib.request.urlopen('http://{node}/index.html?before={node}', timeout=20)"
        subprocess.run(["nsenter", f"--net={netns}", sys.executable, "-c", asked], check=True, timeout=60)
    told_of = {request_of(line) for line in lines_of(balanced.region, group)}
    return all(any(f"before={node}" in one for one in told_of) for node in nodes)
