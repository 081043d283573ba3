"""`up`, `down`, `server` and `agent` as an operator uses them: in the foreground, twice, apart, side by side."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neargate.cli import processes
from neargate.cli.paths import RegionPaths
from neargate.cli.processes import Running
from neargate.testing.netlab import listener_in, socket_in
from neargate.testing.registry import free_port

from .conftest import end_region, start_region
from .region import NAMED, LiveRegion, data_directory, traces, wait_for

HALVES = ("server", "images", "containerd", "agent")
WAIT = {"command": ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"]}


@dataclass
class Foreground:
    """`neargate ARGUMENTS` as a user types it, its output as it comes."""

    process: "subprocess.Popen[str]"
    output: Path

    def said(self, words: str) -> str:
        return wait_for(f"{words!r} in {self.output}", lambda: text if words in (text := self.text()) else None)

    def text(self) -> str:
        return self.output.read_text()

    def interrupt(self) -> str:
        """Ctrl-C; all that was said."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 0, self.text()
        return self.text()


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator["Starter"]:
    starter = Starter(tmp_path)
    yield starter
    for started in starter.started:
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()


class Starter:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[Foreground] = []

    def __call__(self, region: LiveRegion, verb: str, *arguments: str) -> Foreground:
        output = self._directory / f"output-{len(self.started)}"
        argv = [str(Path(sys.executable).parent / "neargate"), verb, "--data", str(region.paths.data), *arguments]
        with output.open("w") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.started.append(Foreground(process, output))
        return self.started[-1]


def new_region() -> LiveRegion:
    """A data directory nothing runs in yet."""
    return LiveRegion(paths=RegionPaths(data_directory()), port=free_port())


@pytest.fixture
def fresh() -> Iterator[LiveRegion]:
    region = new_region()
    try:
        yield region
    finally:
        end_region(region)


def pids(region: LiveRegion) -> dict[str, int]:
    found = {name: processes.find(region.paths.pid_file(name)) for name in HALVES}
    return {name: running.pid for name, running in found.items() if running is not None}


def test_control_c_keeps_tasks_and_the_next_up_takes_over(fresh: LiveRegion, foreground: Starter) -> None:
    first = foreground(fresh, "up", "--port", str(fresh.port), *NAMED)
    assert "taken over" not in first.said("stop it all:")
    fresh.push_images()
    arn = fresh.run(fresh.register(WAIT))
    fresh.wait_status(arn, "RUNNING")
    before = pids(fresh)
    assert set(before) == set(HALVES)
    said = first.interrupt()
    assert "Tasks keep running" in said and "neargate down" in said
    kept = pids(fresh)
    assert kept == {name: before[name] for name in ("containerd", "agent")}
    for name, pid in kept.items():
        assert f"{name} (pid {pid})" in said
    # As if `up` had been killed between starting the agent and writing down its pid.
    fresh.paths.pid_file("agent").unlink()
    second = foreground(fresh, "up", "--port", str(fresh.port))
    assert "taken over, still running: containerd, agent" in second.said("stop it all:")
    wait_for("the agent's session", lambda: "connected" in fresh.command("status").stdout or None)
    assert fresh.task(arn)["lastStatus"] == "RUNNING"
    assert {name: pids(fresh)[name] for name in kept} == kept
    again = fresh.command("up", check=False)
    assert again.returncode == 1 and "already up" in again.stderr
    assert "already up" in fresh.command("up", "--background").stdout
    other = fresh.command("up", "--background", "--zones", "a,b", "--audit-days", "3", check=False)
    assert other.returncode == 1
    assert "keeps its options; for another --zones, --audit-days:" in other.stderr
    second.interrupt()


def test_down_without_up_stops_tasks_by_the_normal_path(fresh: LiveRegion) -> None:
    """Also with the server gone. Databases stay: definitions, clusters and the stopped task are there after an up."""
    fresh.up()
    fresh.push_images()
    definition = fresh.register({**WAIT, "logConfiguration": fresh.log_config("/test/down")})
    arn = fresh.run(definition)
    fresh.wait_status(arn, "RUNNING")
    fresh.ecs.create_cluster(clusterName="stays")
    for path in (fresh.paths.up_lock, fresh.paths.pid_file("server")):
        running = processes.find(path)
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        assert processes.wait_gone(running, 10)
    said = fresh.command("down").stdout
    assert "stopping 1 task" in said and "the region is down" in said
    assert traces(fresh.paths) == []
    assert "the region is down" in fresh.command("down").stdout, "down twice is down"
    fresh.up()
    task = fresh.task(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "The region is going down.")
    assert task["containers"][0]["exitCode"] == 3
    assert "stays" in " ".join(fresh.ecs.list_clusters()["clusterArns"])
    assert definition in fresh.ecs.list_task_definitions()["taskDefinitionArns"]
    fresh.wait_status(fresh.run(definition), "RUNNING")


@pytest.mark.usefixtures("impatient")
def test_down_with_an_agent_that_hangs(fresh: LiveRegion) -> None:
    """It is started again: what it was about to do is durable, and its tasks did not notice."""
    fresh.up()
    fresh.push_images()
    arn = fresh.run(fresh.register(WAIT))
    fresh.wait_status(arn, "RUNNING")
    hanging, server = pids(fresh)["agent"], pids(fresh)["server"]
    os.kill(hanging, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)  # the next one knows at once that nobody is connected, without counting silence
    said = fresh.command("down").stdout
    assert f"agent (pid {hanging}) does not answer" in said and "the region is down" in said


def test_down_of_nothing_says_so() -> None:
    region = new_region()
    assert "nothing to stop" in region.command("down").stdout
    shutil.rmtree(region.paths.data)


def test_a_taken_port_is_said_by_whom() -> None:
    region = new_region()
    with socket.socket() as other:
        other.bind(("127.0.0.1", region.port))
        other.listen()
        done = region.command("up", "--port", str(region.port), check=False)
        assert done.returncode == 1
        assert f"port {region.port}" in done.stderr and f"(pid {os.getpid()})" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        behind = region.up(check=False)
        assert behind.returncode == 1 and f"(pid {os.getpid()})" in behind.stderr
    assert traces(region.paths) == []
    assert not region.paths.data.exists() or not list(region.paths.data.iterdir())
    region.command("down")
    shutil.rmtree(region.paths.data, ignore_errors=True)


def test_an_up_that_fails_leaves_a_region_that_was_down_as_it_was(fresh: LiveRegion) -> None:
    fresh.up()
    fresh.command("down")
    with socket.socket() as other:
        other.bind(("127.0.0.1", fresh.port))
        other.listen()
        for how in ([], ["--background"]):
            assert "is taken by" in fresh.command("up", *how, check=False).stderr
            assert traces(fresh.paths) == []
    assert fresh.paths.config.exists()


def left_by_the_release_before(region: LiveRegion) -> "subprocess.Popen[bytes]":
    """It had a registry without passwords, with a folder and a process of its own."""
    folder = region.paths.data / "registry"
    folder.mkdir()
    script = f"import time; time.sleep(600)  # {folder}"
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    running = Running(process.pid, processes.start_ticks(process.pid) or 0)
    processes.remember(region.paths.pid_file("registry"), running)
    return process


def test_another_port_is_taken_up_while_tasks_run(fresh: LiveRegion) -> None:
    """Server, agent and the keeper of images begin anew with it; containerd and tasks do not notice."""
    fresh.up()
    fresh.push_images()
    arn = fresh.run(fresh.register(WAIT))
    fresh.wait_status(arn, "RUNNING")
    before, up = pids(fresh), processes.find(fresh.paths.up_lock)
    assert up is not None
    os.kill(up.pid, signal.SIGKILL)
    assert processes.wait_gone(up, 10)
    former = left_by_the_release_before(fresh)
    moved = LiveRegion(paths=fresh.paths, port=free_port())
    moved.up()
    assert former.wait(10) == -signal.SIGTERM, "nothing of this release needs it"
    said = moved.command("doctor", check=False).stdout
    assert f"{fresh.paths.data}/registry has the images of an earlier release" in said
    after = pids(fresh)
    assert after["containerd"] == before["containerd"]
    assert not {after[name] for name in ("server", "agent", "images")} & set(before.values())
    assert moved.task(arn)["lastStatus"] == "RUNNING"


def test_server_and_agent_run_apart_over_the_local_socket(fresh: LiveRegion, foreground: Starter) -> None:
    """Without an `up`, after one that chose the options; each only once."""
    fresh.up()
    fresh.push_images()
    definition = fresh.register(WAIT)
    fresh.command("down")
    server = foreground(fresh, "server")
    agent = foreground(fresh, "agent")
    wait_for("the agent", lambda: "connected" in fresh.command("status", check=False).stdout or None)
    assert set(pids(fresh)) == {"server", "agent", "containerd"}
    twin = foreground(fresh, "agent")
    assert twin.process.wait(30) == 1
    assert f"already runs (pid {agent.process.pid})" in twin.text()
    other = foreground(fresh, "server")
    assert other.process.wait(30) == 1
    assert f"already runs (pid {server.process.pid})" in other.text()
    arn = fresh.run(definition)
    fresh.wait_status(arn, "RUNNING")
    agent.interrupt()
    server.interrupt()


def test_two_regions_side_by_side_do_not_meet(region: LiveRegion) -> None:
    """Both have 172.31.0.0/16, and even the same private addresses; each is its own."""
    other = start_region()
    try:
        other.push_images()
        tasks = []
        for home in (region, other):
            [vpc] = home.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
            assert vpc["CidrBlock"] == "172.31.0.0/16"
            group = home.ec2.create_security_group(GroupName="apart", Description="apart", VpcId=vpc["VpcId"])
            everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
            home.ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=everything)
            arn = home.run(home.register(WAIT), groups=(group["GroupId"],), public=True)
            details = {
                item["name"]: item["value"] for item in home.wait_status(arn, "RUNNING")["attachments"][0]["details"]
            }
            netns = str(home.paths.run / "net" / "netns" / f"task-{arn.rpartition('/')[2]}")
            tasks.append((home, arn, netns, details["privateIPv4Address"]))
        (_, here, netns_here, _), (_, _, netns_there, address) = tasks
        with listener_in(netns_there, "0.0.0.0", 7000) as listener, socket_in(netns_here) as client:
            listener.settimeout(1)
            client.settimeout(0.5)
            try:
                client.connect((address, 7000))
            except OSError:
                pass  # nobody there, or its namesake here that does not listen
            with pytest.raises(TimeoutError):
                listener.accept()
        tokens = {home.client("sts").get_caller_identity()["Account"] for home in (region, other)}
        assert tokens == {"123456789012"}
        assert [task["taskArn"] for task in _live(other)] != [here]
        region.stop(here)
        region.wait_status(here, "STOPPED")
        assert [task["lastStatus"] for task in _live(other)] == ["RUNNING"]
    finally:
        end_region(other)
    assert "connected" in region.command("status").stdout


def _live(region: LiveRegion) -> list[dict[str, str]]:
    found = region.ecs.list_tasks()["taskArns"]
    return [region.task(arn) for arn in found]
