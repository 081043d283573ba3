"""Two accounts and one real host of containers: they take turns, unless the operator trusts both."""

import os
import re
import signal
from collections.abc import Iterator

import boto3
import pytest

from neargate.cli import processes

from .conftest import end_region, start_region
from .region import LiveRegion, insist, wait_for

OURS, THEIRS = "123456789012", "210987654321"
NO_ROOM = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
STAYS = ["sh", "-c", "trap 'sleep 1; exit 3' TERM; while :; do sleep 0.1; done"]  # it takes its time to end


@pytest.fixture
def region() -> Iterator[LiveRegion]:
    made = start_region("--uplink", "none")
    try:
        made.push_images()
        yield made
    finally:
        end_region(made)


class Account:
    """Of which one definition is run."""

    def __init__(self, region: LiveRegion, keys: dict[str, str]) -> None:
        session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
        self.ecs, ec2 = (session.client(name, endpoint_url=keys["AWS_ENDPOINT_URL"]) for name in ("ecs", "ec2"))
        subnets = [subnet["SubnetId"] for subnet in insist(ec2.describe_subnets)["Subnets"]]
        self._network = {"awsvpcConfiguration": {"subnets": subnets}}
        self.ecs.create_cluster(clusterName="default")
        container = {"name": "c", "image": region.busybox, "command": STAYS}
        self.ecs.register_task_definition(
            family="stays",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container],
        )

    def run(self) -> tuple[str, list[str]]:
        """The task's ARN, or why there is none."""
        answer = insist(
            lambda: self.ecs.run_task(taskDefinition="stays", launchType="FARGATE", networkConfiguration=self._network)
        )
        assert len(answer["tasks"]) + len(answer["failures"]) == 1
        return "".join(task["taskArn"] for task in answer["tasks"]), [one["reason"] for one in answer["failures"]]

    def must_run(self) -> str:
        arn, why = self.run()
        assert not why
        wait_for("a running task", lambda: self.status(arn) == "RUNNING")
        return arn

    def status(self, arn: str) -> str:
        return str(insist(lambda: self.ecs.describe_tasks(tasks=[arn]))["tasks"][0]["lastStatus"])

    def end(self, arn: str) -> None:
        self.ecs.stop_task(task=arn)
        wait_for("a stopped task", lambda: self.status(arn) == "STOPPED")


def both(region: LiveRegion) -> tuple[Account, Account]:
    """The first account, and one that is made."""
    ours = region.command("env").stdout
    theirs = region.command("account", "create", "theirs", "--id", THEIRS)
    assert "tasks of two accounts never share a host" in theirs.stderr
    first, second = (dict(re.findall(r"export (\w+)=(\S+)", text)) for text in (ours, theirs.stdout))
    return Account(region, first), Account(region, second)


def whose(region: LiveRegion) -> str:
    """The accounts that have tasks on the only host, and its kernel."""
    _, row, *_ = region.command("hosts").stdout.splitlines()
    assert row.endswith(f", kernel {os.uname().release}")
    return row.split()[6]


def test_the_second_account_waits_for_the_first(region: LiveRegion) -> None:
    ours, theirs = both(region)
    first = ours.must_run()
    assert theirs.run() == ("", [NO_ROOM]) and whose(region) == OURS
    assert f"of {OURS} alone" in region.command("status").stdout
    log = region.paths.log_file("server")
    wait_for("the reason", lambda: "runs tasks of another account on the same kernel" in log.read_text())

    server = processes.find(region.paths.pid_file("server"))
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_for("a host that is back", lambda: "connected" in region.command("hosts", check=False).stdout)
    assert theirs.run() == ("", [NO_ROOM])
    second = ours.must_run()
    ours.end(second)
    assert theirs.run() == ("", [NO_ROOM]), "one of two tasks is left"

    ours.ecs.stop_task(task=first)
    granted = wait_for("room", lambda: theirs.run()[0] or None)
    assert ours.status(first) == "STOPPED", "no sooner"
    wait_for("a running task", lambda: theirs.status(granted) == "RUNNING")
    assert ours.run() == ("", [NO_ROOM]) and whose(region) == THEIRS
    theirs.end(granted)


def test_another_word_holds_from_the_next_start(region: LiveRegion) -> None:
    ours, theirs = both(region)
    region.command("down")
    assert "WARNING: --tenancy shared" in region.up("--tenancy", "shared").stdout
    running = ours.must_run(), theirs.must_run()
    assert (ours.status(running[0]), theirs.status(running[1])) == ("RUNNING", "RUNNING")
    assert whose(region) == f"{OURS},{THEIRS}"

    region.command("down")
    region.up("--tenancy", "one-task")
    only = ours.must_run()
    assert ours.run() == ("", [NO_ROOM]) == theirs.run()
    ours.end(only)
    granted = wait_for("room", lambda: theirs.run()[0] or None)
    theirs.end(granted)
