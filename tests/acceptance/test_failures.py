"""What goes wrong stops the task with AWS's reason, readable in DescribeTasks, and gives back everything it held.

Most failures are tasks side by side; after all of them, and after each test of its own, the host's room is whole again
and nothing on the machine carries a task's id.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.cli.admin import ask
from neargate.testing import oci_image

from .fleet import Order, Outcome, run_all
from .region import LiveRegion, traces, wait_for

START = "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: "
CREATE = f"{START}failed to create shim task: OCI runtime create failed: runc create failed: "
OOM = "OutOfMemoryError: Container killed due to memory usage"
CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
NO_GROUP = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
    "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
)
HOG = "head -c 600m /dev/zero | tail"
NEVER_HEALTHY = {"command": ["CMD", "false"], "interval": 5, "timeout": 2, "retries": 1}
ESSENTIAL = "Essential container in task exited"


def shell(script: str, **members: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], "stopTimeout": 2, **members}


def orders(region: LiveRegion) -> list[Order]:
    """Failures that need nothing but their own request."""

    def one(name: str, *containers: dict[str, Any], **members: Any) -> Order:
        return Order(id=name, containers=containers, task=members)

    registry = region.registry
    silent = {"logConfiguration": region.log_config("/test/no-such-group", **{"awslogs-create-group": "false"})}
    ends = {"dependsOn": [{"containerName": "c1", "condition": "COMPLETE"}]}
    waits = {"dependsOn": [{"containerName": "c1", "condition": "HEALTHY"}]}
    return [
        one("image", {"image": f"{registry}/nope:1"}),
        one("tag", {"image": f"{registry}/busybox:nope"}),
        one("digest", {"image": f"{registry}/busybox@sha256:{'0' * 64}"}),
        one("architecture", {"image": f"{registry}/foreign:1"}),
        one("closed port", {"image": "127.0.0.1:1/any:1"}),
        one("no such registry", {"image": "registry.invalid/any:1"}),
        one("one of two images", shell("sleep 99"), {"image": f"{registry}/nope:1"}),
        one("no such command", {"command": ["no-such-command", "-x"]}),
        one("no such path", {"command": ["/no/such/command"]}),
        one("no permission", {"command": ["/etc/passwd"]}),
        one("a directory", {"command": ["/etc"]}),
        one("a file as directory", {"command": ["true"], "workingDirectory": "/etc/passwd"}),
        one("no such user", {"command": ["true"], "user": "nobody-here"}),
        one("no such group", {"command": ["true"], "user": "web:nobody-here"}),
        one("sidecar cannot start", shell("sleep 1; echo well"), {"command": ["no-such-command"], "essential": False}),
        one("exits at once", shell("exit 3")),
        one("sidecar exits at once", {**shell("exit 4"), **ends}, shell("exit 3", essential=False)),
        one("killed from inside", shell("sh -c 'kill -9 $$'; exit $?")),
        one("killed by its init", shell("kill -9 $$", linuxParameters={"initProcessEnabled": True})),
        one("segmentation fault", shell("sh -c 'kill -SEGV $$'; exit $?")),
        one("memory of a container", shell(HOG, memory=64), shell("sleep 99", essential=False)),
        one("memory of a sidecar", {**shell("echo well"), **ends}, shell(HOG, memory=64, essential=False)),
        one("memory of the task", shell(HOG), shell("sleep 99", essential=False)),
        one("log group", shell("true", **silent)),
        one("never healthy", {**shell("true"), **waits}, shell("sleep 99", startTimeout=6, healthCheck=NEVER_HEALTHY)),
        one(
            "disk",
            shell(
                "exec 2>&1; fallocate -l 30G /big; fallocate -l 19G /big; df /; dd if=/dev/zero of=/more bs=1M; echo on"
            ),
        ),
        one("beside the disk", shell("sleep 2; dd if=/dev/zero of=/mine bs=1M count=50 2> /dev/null && echo well")),
    ]


@pytest.fixture(scope="module")
def outcomes(region: LiveRegion) -> dict[str, Outcome]:
    foreign = oci_image.build_image([oci_image.busybox_layer()], architecture="arm64", config={"Cmd": ["true"]})
    oci_image.push(region.registry, "foreign", "1", oci_image.build_index([("arm64", foreign)]))
    found = run_all(region, orders(region))
    assert_everything_is_returned(region)
    return found


def held(region: LiveRegion) -> list[str]:
    """Whatever carries a task's id: mounts, loops, cgroups, processes, disks, log files; and room not given back."""
    found = [line for line in traces(region.paths) if re.search(r"[0-9a-f]{32}", line)]
    for place in ("disks", "agent"):
        found += [str(path) for path in (region.paths.data / place).rglob("*") if re.search(r"[0-9a-f]{32}", path.name)]
    facts = ask(region.paths, "status")
    found += [f"task {task['id']} {task['status']}" for task in facts["tasks"]]
    for host in facts["hosts"]:
        for kind in ("cpu_units", "memory_mib", "disk_gib"):
            if host[kind] != host[f"free_{kind}"]:
                found.append(f"{host[kind] - host[f'free_{kind}']} {kind} of {host['host_id']}")
        if host["tasks"]:
            found.append(f"{host['tasks']} tasks on {host['host_id']}")
    socket = str(region.paths.run / "containerd" / "containerd.sock")
    listing = ["ctr", "-a", socket, "-n", f"neargate-{region.paths.instance}", "containers", "ls", "-q"]
    records = subprocess.run(listing, capture_output=True, text=True, check=True)
    return found + [f"container {name}" for name in records.stdout.split()]


def assert_everything_is_returned(region: LiveRegion) -> None:
    left: list[str] = []

    def nothing() -> bool:
        left[:] = held(region)
        return not left

    try:
        wait_for("everything is returned", nothing, timeout_s=15)
    except AssertionError:
        pytest.fail("still held:\n" + "\n".join(left))


@pytest.fixture
def all_is_returned(region: LiveRegion) -> Iterator[None]:
    yield
    assert_everything_is_returned(region)


def failed_to_start(outcome: Outcome, reason: str, container: str = "c0") -> None:
    """The sentence is the task's and its container's; nothing ran, so there is no exit code."""
    document = outcome.document
    assert (document["stopCode"], document["stoppedReason"]) == ("TaskFailedToStart", reason)
    assert outcome.container(container)["reason"] == reason
    assert outcome.container(container)["lastStatus"] == "STOPPED" and outcome.exit_code(container) is None
    assert "startedAt" not in document and document["stoppedAt"] >= document["stoppingAt"] >= document["createdAt"]
    assert document["desiredStatus"] == document["lastStatus"] == "STOPPED"
    assert document["attachments"][0]["status"] == "DELETED"


def manifest(attempts: int, sentence: str) -> str:
    return f"CannotPullContainerError: pull image manifest has been retried {attempts} time(s): {sentence}"


@pytest.mark.parametrize(("name", "image"), [("image", "nope:1"), ("tag", "busybox:nope")])
def test_an_image_that_is_not_there(region: LiveRegion, outcomes: dict[str, Outcome], name: str, image: str) -> None:
    reference = f"{region.registry}/{image}"
    failed_to_start(outcomes[name], manifest(1, f"failed to resolve ref {reference}: {reference}: not found"))


def test_a_digest_that_is_not_there(region: LiveRegion, outcomes: dict[str, Outcome]) -> None:
    reference = f"{region.registry}/busybox@sha256:{'0' * 64}"
    failed_to_start(outcomes["digest"], manifest(1, f"failed to resolve ref {reference}: {reference}: not found"))


def test_an_image_for_another_processor(outcomes: dict[str, Outcome]) -> None:
    sentence = "image Manifest does not contain descriptor matching platform 'linux/amd64'"
    failed_to_start(outcomes["architecture"], manifest(1, sentence))


def test_a_registry_that_does_not_answer(outcomes: dict[str, Outcome]) -> None:
    reference, url = "127.0.0.1:1/any:1", "http://127.0.0.1:1/v2/any/manifests/1"
    cause = f'failed to do request: Head "{url}": dial tcp 127.0.0.1:1: connect: connection refused'
    failed_to_start(outcomes["closed port"], manifest(3, f"failed to resolve ref {reference}: {cause}"))
    reason = outcomes["no such registry"].reason
    assert reason.startswith("CannotPullContainerError: ") and "dial tcp: lookup registry.invalid" in reason


def test_one_image_of_two_stops_the_task(region: LiveRegion, outcomes: dict[str, Outcome]) -> None:
    reference = f"{region.registry}/nope:1"
    reason = manifest(1, f"failed to resolve ref {reference}: {reference}: not found")
    failed_to_start(outcomes["one of two images"], reason, "c1")
    assert outcomes["one of two images"].exit_code("c0") is None


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no such command", 'exec: "no-such-command": executable file not found in $PATH'),
        ("no such path", 'exec: "/no/such/command": stat /no/such/command: no such file or directory'),
        ("no permission", 'exec: "/etc/passwd": permission denied'),
        ("a directory", 'exec: "/etc": permission denied'),
        ("no such user", "unable to find user nobody-here: no matching entries in passwd file"),
        ("no such group", "unable to find group nobody-here: no matching entries in group file"),
    ],
)
def test_a_process_that_cannot_start(outcomes: dict[str, Outcome], name: str, cause: str) -> None:
    failed_to_start(outcomes[name], f"{CREATE}unable to start container process: {cause}: unknown")


def test_a_directory_that_is_a_file(outcomes: dict[str, Outcome]) -> None:
    reason = outcomes["a file as directory"].reason
    failed_to_start(outcomes["a file as directory"], reason)
    assert reason.startswith(CREATE) and "not a directory" in reason.lower()


def test_a_sidecar_that_cannot_start_harms_nobody(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["sidecar cannot start"]
    assert (outcome.document["stopCode"], outcome.exit_code("c0")) == ("EssentialContainerExited", 0)
    assert outcome.lines == ["well"]
    assert outcome.container("c1")["reason"].startswith(CREATE) and outcome.exit_code("c1") is None


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("exits at once", {"c0": 3}),
        ("sidecar exits at once", {"c0": 4, "c1": 3}),
        ("killed from inside", {"c0": 137}),
        ("killed by its init", {"c0": 137}),
        ("segmentation fault", {"c0": 139}),
    ],
)
def test_the_exit_code_is_shown(outcomes: dict[str, Outcome], name: str, codes: dict[str, int]) -> None:
    outcome = outcomes[name]
    assert (outcome.document["stopCode"], outcome.reason) == ("EssentialContainerExited", ESSENTIAL)
    assert {container: outcome.exit_code(container) for container in codes} == codes
    assert all("reason" not in container for container in outcome.document["containers"])
    assert "startedAt" in outcome.document


@pytest.mark.parametrize("name", ["memory of a container", "memory of the task"])
def test_out_of_memory_is_said_of_the_one_that_took_it(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert (outcome.exit_code("c0"), outcome.container("c0")["reason"]) == (137, OOM)
    assert outcome.exit_code("c1") == 137 and "reason" not in outcome.container("c1"), "it was stopped with the task"
    assert (outcome.document["stopCode"], outcome.reason) == ("EssentialContainerExited", ESSENTIAL)


def test_out_of_memory_of_a_sidecar_harms_nobody(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["memory of a sidecar"]
    assert (outcome.exit_code("c1"), outcome.container("c1")["reason"]) == (137, OOM)
    assert outcome.exit_code("c0") == 0 and outcome.lines == ["well"] and "reason" not in outcome.container("c0")


def test_a_log_group_that_is_not_there(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["log group"]
    assert outcome.reason.startswith(NO_GROUP)
    failed_to_start(outcome, outcome.reason)


def test_a_dependency_that_never_gets_healthy(outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["never healthy"]
    failed_to_start(outcome, "dependency graph: container ordering dependency [c1] for target [c0] has timed out.")
    assert outcome.health["c1"] == ["UNKNOWN", "UNHEALTHY"] and outcome.exit_code("c1") == 137


def test_a_full_disk_is_the_tasks_own(outcomes: dict[str, Outcome]) -> None:
    lines = outcomes["disk"].lines
    assert lines[-1] == "on" and sum("No space left on device" in line for line in lines) == 2, lines
    assert outcomes["disk"].exit_code() == 0
    assert outcomes["beside the disk"].lines == ["well"]


@pytest.mark.usefixtures("all_is_returned")
def test_a_region_that_is_full_says_so_and_changes_nothing(region: LiveRegion) -> None:
    host = ask(region.paths, "status")["hosts"][0]
    fit = min(host["cpu_units"] // 4096, host["memory_mib"] // 8192)
    definition = region.register(shell("sleep 99"), cpu="4096", memory="8192")
    answer = region.ecs.run_task(
        taskDefinition=definition, count=10, launchType="FARGATE", networkConfiguration=region.network()
    )
    arns = [task["taskArn"] for task in answer["tasks"]]
    try:
        assert len(arns) == fit and len(answer["failures"]) == 10 - fit
        assert {failure["reason"] for failure in answer["failures"]} == {CAPACITY}
        assert sorted(region.ecs.list_tasks()["taskArns"]) == sorted(arns)
    finally:
        for arn in arns:
            region.stop(arn)
    for arn in arns:
        region.wait_status(arn, "STOPPED")
    again = region.run(definition)
    region.stop(again)
    region.wait_status(again, "STOPPED")


@pytest.mark.usefixtures("all_is_returned")
def test_a_stop_at_any_moment_of_a_launch(region: LiveRegion) -> None:
    """Each a little later in its launch than the one before."""
    definition = region.register(shell("sleep 99", healthCheck={"command": ["CMD", "true"]}), shell("sleep 98"))
    for later_s in (0.0, 0.03, 0.1):
        answer = region.ecs.run_task(
            taskDefinition=definition, count=3, launchType="FARGATE", networkConfiguration=region.network()
        )
        arns = [task["taskArn"] for task in answer["tasks"]]
        for arn in arns:
            time.sleep(later_s)
            task = region.ecs.stop_task(task=arn, reason="changed my mind")["task"]
            assert (task["desiredStatus"], task["stopCode"]) == ("STOPPED", "UserInitiated")
        for arn in arns:
            task = region.wait_status(arn, "STOPPED")
            assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "changed my mind")
            assert all(container["lastStatus"] == "STOPPED" for container in task["containers"])
            assert all(container.get("exitCode") in (None, 137) for container in task["containers"])
            assert task["attachments"][0]["status"] == "DELETED"


@pytest.mark.usefixtures("all_is_returned")
def test_a_stopped_task_stays_as_it_is(region: LiveRegion) -> None:
    arn = region.run(region.register({"command": ["sh", "-c", "exit 5"]}))
    before = region.wait_status(arn, "STOPPED")
    answer = region.ecs.stop_task(task=arn, reason="too late")["task"]
    assert answer["lastStatus"] == "STOPPED"
    assert region.task(arn) == before
    assert (before["stopCode"], before["containers"][0]["exitCode"]) == ("EssentialContainerExited", 5)
