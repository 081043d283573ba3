"""The metadata endpoints as a process in a container sees them: every path, real values, a rate, and nobody else's."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from .fleet import Order, Outcome, run_all
from .region import LiveRegion

MIB = 1024 * 1024
UNLIMITED = 2**63 - 4096
# Each answer is one line: what was asked, and the document (or wget's complaint).
ASK = 'ask() { echo "$1 $(wget -qO- $2 2>&1 | tail -n 1)"; };'
STORY = f"""{ASK}
V3=$ECS_CONTAINER_METADATA_URI; V4=$ECS_CONTAINER_METADATA_URI_V4
until wget -qO- $V4/task | grep -q 'TaskARN.*Revision":"1","DesiredStatus":"RUNNING","KnownStatus":"RUNNING"'; do
  sleep 0.2
done
dd if=/dev/zero of=/dev/shm/held bs=1M count=20 2> /dev/null
dd if=/dev/zero of=/written bs=1M count=30 2> /dev/null; sync
ask v4 $V4; ask v4/task $V4/task; ask v4/taskWithTags $V4/taskWithTags
ask v4/stats $V4/stats; ask v4/task/stats $V4/task/stats
n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done
n=0; while [ $n -lt 40 ]; do wget -qO- $V4/task > /dev/null; n=$((n+1)); sleep 0.05; done
ask later $V4/stats
ask v3 $V3; ask v3/task $V3/task; ask v3/stats $V3/stats; ask v3/task/stats $V3/task/stats
ask v3/taskWithTags $V3/taskWithTags; ask v5 http://169.254.170.2/v5/; ask nobody $V4/../nobody; ask more $V4/task/more
"""
HAMMER = """
for process in 1 2 3 4; do (n=0; while [ $n -lt 100 ]; do
  wget -qO /dev/null $ECS_CONTAINER_METADATA_URI_V4 2>&1 && echo served; n=$((n+1))
done) & done; wait; sleep 2; wget -qO /dev/null $ECS_CONTAINER_METADATA_URI_V4 && echo served again
"""


def answers(outcome: Outcome) -> dict[str, Any]:
    """Documents by what was asked; what is no JSON stays text."""
    found: dict[str, Any] = {}
    for line in outcome.lines:
        name, _, text = line.partition(" ")
        found[name] = json.loads(text) if text[:1] in "{[" else text
    return found


@pytest.fixture(scope="module")
def outcomes(region: LiveRegion) -> dict[str, Outcome]:
    story: Sequence[dict[str, Any]] = (
        {
            "command": ["sh", "-c", STORY],
            "cpu": 100,
            "memory": 200,
            "memoryReservation": 100,
            "portMappings": [{"containerPort": 80}],
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/data"}],
            "healthCheck": {"command": ["CMD", "true"], "interval": 5},
        },
        {"command": ["sleep", "99"], "essential": False, "stopTimeout": 2},
        {"command": ["sh", "-c", "exit 7"], "essential": False},
    )
    task = {"volumes": [{"name": "v"}], "tags": [{"key": "of", "value": "definition"}]}
    return run_all(
        region,
        [
            Order(id="story", containers=story, task=task, run={"propagateTags": "TASK_DEFINITION"}),
            Order(id="hammer", containers=[{"command": ["sh", "-c", HAMMER]}]),
        ],
    )


@pytest.fixture
def said(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    return answers(outcomes["story"])


@pytest.fixture
def story(outcomes: dict[str, Outcome]) -> Outcome:
    return outcomes["story"]


def test_the_container_document(said: dict[str, Any], story: Outcome) -> None:
    shown, known = said["v4"], story.container()
    assert shown["DockerId"] == known["runtimeId"]
    assert shown["ContainerARN"] == known["containerArn"]
    assert (shown["Image"], shown["ImageID"]) == (known["image"], known["imageDigest"])
    assert shown["Limits"] == {"CPU": 100, "Memory": 200}
    assert shown["Ports"] == [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 80}]
    assert shown["Volumes"] == [{"DockerName": "v", "Destination": "/data"}]
    assert shown["Labels"]["com.amazonaws.ecs.task-arn"] == story.document["taskArn"]
    assert (shown["DesiredStatus"], shown["KnownStatus"], shown["Type"]) == ("RUNNING", "RUNNING", "NORMAL")
    assert shown["Health"]["status"] in ("UNKNOWN", "HEALTHY")
    assert shown["CreatedAt"] <= shown["StartedAt"]
    details = {item["name"]: item["value"] for item in story.document["attachments"][0]["details"]}
    network = shown["Networks"][0]
    assert network["IPv4Addresses"] == [details["privateIPv4Address"]]
    assert (network["MACAddress"], network["PrivateDNSName"]) == (details["macAddress"], details["privateDnsName"])
    assert network["SubnetGatewayIpv4Address"].endswith(network["IPv4SubnetCIDRBlock"].rpartition("/")[2])


def test_the_task_document(said: dict[str, Any], story: Outcome) -> None:
    shown, document = said["v4/task"], story.document
    assert (shown["TaskARN"], shown["Cluster"]) == (document["taskArn"], document["clusterArn"])
    assert (shown["AvailabilityZone"], shown["LaunchType"]) == (document["availabilityZone"], "FARGATE")
    assert shown["Limits"] == {"CPU": 0.25, "Memory": 512}
    assert shown["PullStartedAt"] <= shown["PullStoppedAt"]
    assert shown["VPCID"].startswith("vpc-") and shown["Group"] == f"family:{shown['Family']}"
    disk = shown["EphemeralStorageMetrics"]
    assert 18 * 1024 < disk["Reserved"] <= 20 * 1024 and 30 <= disk["Utilized"] < 200, "30 MiB were written"
    assert shown["ClockDrift"]["ClockSynchronizationStatus"] in ("SYNCHRONIZED", "NOT_SYNCHRONIZED")
    by_name = {item["Name"]: item for item in shown["Containers"]}
    assert {name: item["KnownStatus"] for name, item in by_name.items()} == {
        "c0": "RUNNING",
        "c1": "RUNNING",
        "c2": "STOPPED",
    }
    assert by_name["c2"]["ExitCode"] == 7 and by_name["c2"]["StartedAt"] <= by_name["c2"]["FinishedAt"]
    assert "TaskTags" not in shown
    assert said["v4/taskWithTags"]["TaskTags"] == {"of": "definition"}


def test_statistics_are_measured_and_move(said: dict[str, Any]) -> None:
    first, later = said["v4/stats"], said["later"]
    assert first["name"] == "c0" and first["preread"] < first["read"] < later["read"]
    memory = first["memory_stats"]
    assert 20 * MIB < memory["usage"] <= memory["limit"] == memory["stats"]["hierarchical_memory_limit"] == 200 * MIB
    assert memory["max_usage"] >= memory["usage"]

    def moved(*path: str) -> float:
        before, after = first, later
        for name in path:
            before, after = before[name], after[name]
        return float(after) - float(before)  # type: ignore[arg-type]

    assert moved("cpu_stats", "cpu_usage", "total_usage") > 50_000_000, "nanoseconds of a busy loop"
    assert moved("cpu_stats", "system_cpu_usage") > 0
    assert moved("networks", "eth0", "rx_bytes") > 40 * 1000, "forty documents came"
    assert moved("networks", "eth0", "tx_bytes") > 40 * 100
    assert first["pids_stats"]["current"] >= 2


def test_statistics_of_the_task_are_by_container(said: dict[str, Any]) -> None:
    ids = {item["Name"]: item["DockerId"] for item in said["v4/task"]["Containers"]}
    shown = said["v4/task/stats"]
    assert shown.keys() == set(ids.values())
    assert shown[ids["c2"]] is None, "it has ended"
    assert shown[ids["c0"]]["name"] == "c0"
    other = shown[ids["c1"]]["memory_stats"]
    assert 0 < other["usage"] < 20 * MIB
    assert (other["limit"], other["stats"]["hierarchical_memory_limit"]) == (UNLIMITED, 512 * MIB)


def test_version_3_has_what_version_3_had(said: dict[str, Any]) -> None:
    assert said["v3"]["DockerId"] == said["v4"]["DockerId"]
    assert said["v3"]["Networks"] == [
        {"NetworkMode": "awsvpc", "IPv4Addresses": said["v4"]["Networks"][0]["IPv4Addresses"]}
    ]
    assert said["v3/task"]["TaskARN"] == said["v4/task"]["TaskARN"]
    assert "LaunchType" not in said["v3/task"]
    assert said["v3/stats"]["memory_stats"]["usage"] > 0
    assert said["v3/task/stats"].keys() == said["v4/task/stats"].keys()


@pytest.mark.parametrize("path", ["v3/taskWithTags", "v5", "nobody", "more"])
def test_there_is_nothing_else(said: dict[str, Any], path: str) -> None:
    assert "404" in said[path]


def test_who_asks_too_often_is_told_so(outcomes: dict[str, Outcome]) -> None:
    lines = outcomes["hammer"].lines
    served, refused = lines.count("served"), sum("429" in line for line in lines)
    assert 60 <= served < 400 and refused == 400 - served, lines[-5:]
    assert lines[-1] == "served again"


def test_a_task_learns_nothing_of_another_one(region: LiveRegion) -> None:
    victim = region.wait_status(region.run(region.register({"command": ["sleep", "99"], "stopTimeout": 2})), "RUNNING")
    token = victim["containers"][0]["runtimeId"]
    paths = [f"v4/{token}", f"v4/{token}/task", f"v4/{token}/stats", f"v3/{token}/task"]
    asks = " ".join(f"ask {path} http://169.254.170.2/{path};" for path in paths)
    said = region.output({"command": ["sh", "-c", f"{ASK} {asks}"]})
    region.stop(victim["taskArn"])
    assert len(said) == len(paths)
    assert all("404" in line and "{" not in line for line in said), said
