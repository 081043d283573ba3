"""Hosts of one's own over simulated hosts: two accounts, two clusters, each placed as the operator said."""

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from neargate.cli import processes

from .conftest import end_region
from .region import LiveRegion, insist, wait_for
from .test_up_down import new_region

ACCOUNT, THEIRS = "123456789012", "210987654321"
NO_ROOM = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
TASK: dict[str, Any] = {
    "family": "small",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "c", "image": "busybox"}],
}


@pytest.fixture
def region() -> Iterator[LiveRegion]:
    """One zone with three hosts, each with room for two tasks; clusters blue and green."""
    made = new_region()
    size = ("--zones", "a", "--hosts", "3", "--host-cpu", "1024", "--host-memory", "1024")
    try:
        made.command("up", "--background", "--sandbox", "simulated", "-p", str(made.port), *size)
        all_connected(made)
        for name in ("blue", "green"):
            made.ecs.create_cluster(clusterName=name)
        yield made
    finally:
        end_region(made)


def all_connected(region: LiveRegion) -> None:
    wait_for("three hosts", lambda: region.command("hosts", check=False).stdout.count("connected") == 3)


def hosts(region: LiveRegion) -> dict[str, tuple[int, str]]:
    """Host -> (how many tasks, whom it is kept for)."""
    return {row[0]: (int(row[3]), row[4]) for row in rows_of_hosts(region)}


def rows_of_hosts(region: LiveRegion) -> list[list[str]]:
    """Of the first table: what more is told of hosts stands below it."""
    rows = [line.split() for line in region.command("hosts").stdout.splitlines()[1:]]
    return [row for row in rows if len(row) > 4 and row[2].partition(",")[0] in ("connected", "away")]


def new_account(region: LiveRegion) -> dict[str, Any]:
    """Clients of its administrator."""
    said = region.command("account", "create", "theirs", "--id", THEIRS).stdout
    keys = dict(re.findall(r"export (\w+)=(\S+)", said))
    session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    return {name: session.client(name, endpoint_url=keys["AWS_ENDPOINT_URL"]) for name in ("ecs", "ec2")}


def run_three(ecs: Any, ec2: Any, cluster: str) -> tuple[int, list[str]]:
    """How many of three were launched, and why the others were not."""
    answer = ecs.run_task(
        cluster=cluster,
        taskDefinition="small",
        count=3,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]]}},
    )
    return len(answer["tasks"]), [failure["reason"] for failure in answer["failures"]]


def test_everybody_is_placed_where_the_operator_said(region: LiveRegion) -> None:
    first, second, third = sorted(hosts(region))
    theirs = new_account(region)
    region.command("hosts", "keep", first, "--cluster", "blue")
    region.command("hosts", "keep", second, "--account", THEIRS)
    server = processes.find(region.paths.pid_file("server"))
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    insist(region.ecs.list_clusters)
    all_connected(region)
    assert hosts(region) == {first: (0, f"{ACCOUNT}/blue"), second: (0, THEIRS), third: (0, "-")}
    assert f"kept for {THEIRS}" in region.command("status").stdout

    theirs["ecs"].create_cluster(clusterName="blue")
    for ecs in (region.ecs, theirs["ecs"]):
        ecs.register_task_definition(**TASK)
    assert run_three(region.ecs, region.ec2, "blue") == (2, [NO_ROOM])
    assert [count for count, _ in hosts(region).values()] == [2, 0, 0]
    assert run_three(theirs["ecs"], theirs["ec2"], "blue") == (2, [NO_ROOM])
    assert [count for count, _ in hosts(region).values()] == [2, 2, 0]
    assert run_three(region.ecs, region.ec2, "green") == (2, [NO_ROOM])
    assert [count for count, _ in hosts(region).values()] == [2, 2, 2]

    refused = region.command("hosts", "keep", "no-such-host", "--account", THEIRS, check=False)
    assert refused.returncode == 1 and "no host begins with 'no-such-host'" in refused.stderr
    region.command("hosts", "share", second)
    assert hosts(region)[second] == (2, "-")


def test_a_drained_host_is_left_by_a_load_balancers_node_and_takes_no_task(region: LiveRegion) -> None:
    elb = region.client("elbv2")
    subnet = region.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = elb.create_load_balancer(Name="web", Type="network", Subnets=[subnet])["LoadBalancers"][0]

    def is_active() -> bool:
        [one] = elb.describe_load_balancers(LoadBalancerArns=[made["LoadBalancerArn"]])["LoadBalancers"]
        return bool(one["State"]["Code"] == "active")

    def with_nodes() -> set[str]:
        return {row[0] for row in rows_of_hosts(region) if row[5] != "0"}

    wait_for("an active load balancer", is_active)
    [first] = with_nodes()
    assert "1 nodes of load balancers and gateways there go" in region.command("hosts", "drain", first).stdout
    wait_for("a node on another host", lambda: with_nodes() - {first})
    assert is_active()
    assert re.search(rf"^{first} .* connected,draining ", region.command("hosts").stdout, re.MULTILINE)
    region.ecs.register_task_definition(**TASK)
    assert [run_three(region.ecs, region.ec2, "blue") for _ in range(2)] == [(3, []), (1, [NO_ROOM, NO_ROOM])]
    assert hosts(region)[first][0] == 0
    refused = region.command("hosts", "give-up", first, check=False)
    assert refused.returncode == 1 and f"{first} is connected" in refused.stderr
    region.command("hosts", "resume", first)
    assert run_three(region.ecs, region.ec2, "blue") == (2, [NO_ROOM])
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    wait_for("no nodes", lambda: not with_nodes())


def test_a_drained_host_is_left_by_services_at_once_and_by_others_when_their_account_says(region: LiveRegion) -> None:
    ecs = region.ecs
    ecs.register_task_definition(**TASK)
    subnets = [region.ec2.describe_subnets()["Subnets"][0]["SubnetId"]]
    where = {"launchType": "FARGATE", "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}}}
    limits = {"minimumHealthyPercent": 0, "maximumPercent": 100}  # so that nobody waits 40 s for who is healthy
    for name in ("one", "two"):
        ecs.create_service(
            cluster="blue",
            serviceName=name,
            taskDefinition="small",
            desiredCount=1,
            deploymentConfiguration=limits,
            **where,
        )

    def running(cluster: str) -> list[str]:
        arns = ecs.list_tasks(cluster=cluster)["taskArns"]
        found = ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        return [task["taskArn"] for task in found if task["lastStatus"] == task["desiredStatus"] == "RUNNING"]

    wait_for("two tasks of services", lambda: len(running("blue")) == 2)
    first = next(host for host, (count, _) in hosts(region).items() if count)
    assert hosts(region)[first][0] == 2, "the fullest host that has room"
    said = region.command("hosts", "drain", first).stdout
    assert "2 tasks run there: those of services go when others run in their places" in said
    wait_for("both elsewhere", lambda: len(running("blue")) == 2 and hosts(region)[first][0] == 0)
    stopped = ecs.list_tasks(cluster="blue", desiredStatus="STOPPED")["taskArns"]
    told = {task["stoppedReason"] for task in ecs.describe_tasks(cluster="blue", tasks=stopped)["tasks"]}
    maintenance = "ECS is performing maintenance on the underlying infrastructure hosting the task"
    assert told == {f"Service one: {maintenance}", f"Service two: {maintenance}"}
    region.command("hosts", "resume", first)

    tasks = []
    for days in ("7", "0"):
        ecs.put_account_setting_default(name="fargateTaskRetirementWaitPeriod", value=days)
        [task] = ecs.run_task(cluster="green", taskDefinition="small", **where)["tasks"]
        tasks.append(task["taskArn"])
        wait_for("it runs", lambda: task["taskArn"] in running("green"))  # noqa: B023
        where_it_is = re.search(r"^  host +(\S+)", region.command("why", task["taskArn"]).stdout, re.MULTILINE)
        assert where_it_is is not None
        region.command("hosts", "drain", where_it_is[1])
        if days == "7":
            wait_for("notice", lambda: "its host is emptied" in region.command("why", tasks[0]).stdout)
            assert " 1 task of none, the first on " in region.command("hosts").stdout
    wait_for("the end of the second one", lambda: running("green") == [tasks[0]])
    [over] = ecs.describe_tasks(cluster="green", tasks=tasks[1:])["tasks"]
    assert (over["stopCode"], over["stoppedReason"]) == ("ServiceSchedulerInitiated", maintenance)
