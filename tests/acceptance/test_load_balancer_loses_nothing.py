"""200 GETs a second by name through a load balancer, while its service is rolled, scaled, and processes are killed.

The client sits in a task's own network namespace, asks the VPC's resolver and never sends twice. None may fail; when a
node is killed, only what was in flight on it, and nothing that began 2 s later.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import processes

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for

SERVES = (
    "mkdir -p /www; echo version $VERSION > /www/index.html; httpd -p 80 -h /www; "
    "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.2; done"
)
SERVICE, RATE, TIMES = "web", 200, 600.0
CLIENT = Path(__file__).with_name("http_load.py")
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
