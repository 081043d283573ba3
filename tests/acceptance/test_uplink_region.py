"""`neargate up --uplink` as an operator uses it. Of the modes only those that change nothing of the machine."""

import re
from collections.abc import Iterator

import pytest

from neargate.cli import processes
from neargate.hostnet.uplink.pasta import program

from .conftest import end_region, start_region
from .outside import REGISTRY, Outside, outside
from .region import LiveRegion, wait_for

PASTA = re.compile(r"uplink user(?: \(auto\))?: tasks with public addresses reach out through pasta \(pid (\d+)\)")


@pytest.fixture
def none() -> Iterator[LiveRegion]:
    live = start_region("--uplink", "none", "--auth", "open")
    try:
        yield live
    finally:
        end_region(live)


def _pasta(region: LiveRegion) -> int | None:
    found = PASTA.search(region.command("status").stdout)
    return int(found[1]) if found else None


@pytest.mark.skipif(program() is None, reason="passt is not installed")
def test_a_mode_is_kept_told_and_changed(none: LiveRegion) -> None:
    assert "uplink none: tasks reach nothing beyond this machine\n" in none.command("status").stdout
    joined = none.up("--uplink", "user", check=False)
    assert "for another --uplink: neargate down" in joined.stderr
    none.command("down")
    none.up("--uplink", "auto")
    pasta = wait_for("pasta", lambda: _pasta(none))
    works = f"ok      uplink user (auto): tasks with public addresses reach out through pasta (pid {pasta})"
    wait_for("pasta works", lambda: works in none.command("doctor", check=False).stdout or None)
    agent = processes.find(none.paths.pid_file("agent"))
    assert agent is not None
    processes.kill(agent)

    def another_agent() -> bool:
        found = processes.find(none.paths.pid_file("agent"))
        return found is not None and found != agent

    wait_for("another agent", another_agent)
    assert _pasta(none) == pasta
    none.command("down")
    assert processes.start_ticks(pasta) is None
    none.up()
    assert wait_for("pasta", lambda: _pasta(none)) != pasta, "the mode of the last time"


def test_a_mode_that_is_none_is_refused(none: LiveRegion) -> None:
    none.command("down")
    refused = none.up("--uplink", "bridge", check=False)
    assert refused.returncode == 1
    assert "--uplink 'bridge': choose auto or nat or user or none" in refused.stderr


@pytest.fixture
def played(impatient: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Outside, LiveRegion]]:
    """A machine with a registry outside, and a region on it whose tasks with public addresses reach out."""
    del impatient
    with outside("closed", "private", "public") as beyond:
        monkeypatch.setenv("SSL_CERT_FILE", str(beyond.authority))
        live = start_region("--uplink", "user")
        try:
            live.ecs.create_cluster(clusterName="default")
            live.task_role("ecsTaskExecutionRole")
            yield beyond, live
        finally:
            end_region(live)


@pytest.mark.skipif(program() is None, reason="passt is not installed")
def test_an_image_from_outside_comes_by_its_tasks_way_or_not_at_all(played: tuple[Outside, LiveRegion]) -> None:
    """Neither does the machine pull for a task without a way out, nor for one whose group lets nothing out."""
    beyond, region = played
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = region.ec2.create_security_group(GroupName="closed", Description="closed", VpcId=vpc)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    region.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)

    def run(repository: str, *, public: bool, groups: tuple[str, ...] = ()) -> str:
        container = {"image": f"{REGISTRY}/{repository}:1", "command": ["sleep", "600"], "stopTimeout": 2}
        return region.run(region.register(container), public=public, groups=groups)

    private = run("private", public=False)
    closed = run("closed", public=True, groups=(group,))
    public = run("public", public=True)
    region.wait_status(public, "RUNNING")
    for arn, repository in ((private, "private"), (closed, "closed")):
        stopped = region.wait_status(arn, "STOPPED")
        assert stopped["stopCode"] == "TaskFailedToStart"
        ref = f"{REGISTRY}/{repository}:1"
        assert stopped["stoppedReason"].startswith(
            f"CannotPullContainerError: pull image manifest has been retried 3 time(s): failed to resolve ref {ref}:"
        )
    assert {path.split("/")[2] for path in beyond.requests()} == {"public"}
    region.stop(public)
