"""A region whose tasks are virtual machines: what its users and its operator see, what kills do, and what it leaves.

Machines are emulated, so that it runs on any host. One region for all; tasks have a whole processor to boot with.
"""

import base64
import json
import os
import platform
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neargate.testing.word_search import files_with, words_in_memory

from .conftest import end_region, start_region
from .killing import STOPPED_BY_TERM, Killing, held
from .machines import EMULATED, MISSING, PLACE, WITHOUT
from .region import LiveRegion, traces, wait_for
from .test_exec import aws_exec, neargate_exec

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {WITHOUT}")
SIZE = {"cpu": "1024", "memory": "2048"}
SERVES = (
    "mkdir -p /www; hostname > /www/index.html; httpd -p 80 -h /www; trap 'exit 0' TERM; while :; do sleep 0.2; done"
)
BOOT_S = 100.0  # emulated, beside other tests
KILLED = "the virtual machine of the task was killed"
USE = re.compile(r"\S+ +\d+/0/0 +\d+/0/0 +[\d.]+/0/0 +0 +0 +\d+/\d+/\d+")


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A guest of this region's own, which tests may break."""
    place = tmp_path_factory.mktemp("guest")
    shutil.copytree(PLACE, place, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NEARGATE_GUEST_DIR", str(place))
        yield place


@pytest.fixture(scope="module")
def machines(guest: Path) -> Iterator[LiveRegion]:
    live = start_region(*EMULATED)
    try:
        live.push_images()
        yield live
    finally:
        end_region(live)


@pytest.fixture
def killing(machines: LiveRegion) -> Iterator[Killing]:
    """A test that failed must not fail the next ones. Services begin nothing for a minute after all was stopped."""
    made = Killing(machines, machines.paths.data / "no-kill-file")
    yield made
    if held(machines):
        made.stop_everything()


def monitors(region: LiveRegion) -> dict[str, int]:
    """Processes that run machines, by task: whatever is in the cgroup of a task's machine."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups = (process / "cgroup").read_text()
        except OSError:
            continue  # it ended meanwhile
        named = re.search(rf"/neargate-{region.paths.instance}/([0-9a-f]{{32}})/machine", groups)
        if named:
            found[named[1]] = int(process.name)
    return found


def task_id(arn: str) -> str:
    return arn.rpartition("/")[2]


def test_a_task_has_a_kernel_of_its_own(machines: LiveRegion, killing: Killing) -> None:
    """From RunTask over its log to its stop; its size is the machine's."""
    says = "echo $(uname -r); nproc; cat /proc/1/comm; trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done"
    logged = {"command": ["sh", "-c", says], "stopTimeout": 10, "logConfiguration": machines.log_config("/test/output")}
    arn = machines.run(machines.register(logged, **SIZE))
    machines.wait_status(arn, "RUNNING", BOOT_S)
    lines = wait_for("three lines", lambda: found if len(found := machines.output_of(arn)) == 3 else None)
    assert lines[1:] == ["1", "sh"] and lines[0] != platform.release()
    assert list(monitors(machines)) == [task_id(arn)]
    machines.stop(arn)
    task = machines.wait_status(arn, "STOPPED")
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("UserInitiated", 3)
    wait_for("its last word", lambda: machines.output_of(arn) == [*lines, "bye"])
    killing.wait_clean()
    assert not monitors(machines)


def test_what_the_operator_is_told(machines: LiveRegion) -> None:
    """Of a host whose machines are emulated, and of a task whose image has not what it is to run."""

    def told() -> list[str] | None:
        lines: list[str] = machines.command("hosts").stdout.splitlines()
        return None if "1 machine" in lines[-1] else lines

    _, row, blank, _, use, more = wait_for("the host says that the machine before is gone", told)
    assert blank == "" and USE.fullmatch(use), "used, reserved, waste; no machine runs, none waits, how they came"
    below = json.loads((PLACE / "manifest.json").read_text())
    assert "MiB and a part in 40 of its size beside its task" in more
    assert "emulated" in row and f"guest image {below['kernel']}" in row and "VMM " in row
    missing = machines.run(machines.register({"command": ["no-such-program"]}, **SIZE))
    task = machines.wait_status(missing, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert 'exec: "no-such-program": executable file not found in $PATH' in task["stoppedReason"]
    story = machines.command("why", missing).stdout
    assert "no-such-program" in story
    assert not monitors(machines)


LEAVES = (
    "held=%s''%s; echo $held > /dev/shm/held; echo %s''%s > /kept; cp /kept /gone; sync; rm /gone; echo %s''%s;"
    "trap 'exit 0' TERM; while :; do sleep 0.1; done"
)


def in_base64(word: str) -> set[str]:
    """What of it is the same wherever it stands in a longer text."""
    texts = [base64.b64encode(b"\0" * shift + word.encode()).decode() for shift in range(3)]
    return {text[start:-4] for text, start in zip(texts, (0, 2, 3), strict=True)}


def test_nothing_of_a_task_is_left_on_its_host(machines: LiveRegion, killing: Killing) -> None:
    """What it had in its memory, on its disk, as a secret and in its log; which is found while it runs, where it is.

    The halves of a word are joined in the task: its definition, which is kept, has none whole.
    """
    _, disk, log, secret = words = [f"word-{os.urandom(16).hex()}" for _ in range(4)]
    machines.client("ssm").put_parameter(Name="/left", Type="SecureString", Value=secret)
    machines.let("ecsTaskExecutionRole", "ssm:GetParameters")
    leaves = {
        "command": ["sh", "-c", LEAVES % tuple(half for word in words[:3] for half in (word[:18], word[18:]))],
        "secrets": [{"name": "SECRET", "valueFrom": "/left"}],
        "logConfiguration": machines.log_config("/test/output"),
        "stopTimeout": 10,
    }
    arn = machines.run(machines.register(leaves, **SIZE))
    machines.wait_status(arn, "RUNNING", BOOT_S)
    wait_for("its word in its log", lambda: machines.output_of(arn) == [log])
    places, records = (machines.paths.data, machines.paths.run), (machines.paths.run,)
    there = files_with(places, words)
    monitor = monitors(machines)[task_id(arn)]
    assert words_in_memory(monitor, words) == set(words)
    assert there[machines.paths.disks / f"{task_id(arn)}.given.img"] == {disk}
    assert files_with(records, in_base64(secret)), "what its machine is made of is in memory"
    machines.stop(arn)
    machines.wait_status(arn, "STOPPED")
    killing.wait_clean()
    assert files_with(places, words) == {} and files_with(records, in_base64(secret)) == {}
    wait_for("the end of its monitor", lambda: not Path(f"/proc/{monitor}").exists())
    named = [path for place in places for path in place.rglob(f"*{task_id(arn)}*")]
    assert named == [] and machines.output_of(arn) == [log], "its log is kept, compressed, where logs are"


BROKEN = {
    "its kernel is none": ("vmlinux", b"no kernel", "no virtual machine can be made"),
    "its kernel panics": ("initramfs.cpio", b"", "the virtual machine did not come up"),
    "its tools are gone": ("tools.erofs", None, "no virtual machine can be made"),
}


@pytest.mark.parametrize(("name", "content", "why"), BROKEN.values(), ids=BROKEN)
def test_a_guest_that_cannot_come_up_is_told_of_and_leaves_nothing(
    machines: LiveRegion, guest: Path, killing: Killing, name: str, content: bytes | None, why: str
) -> None:
    whole = (guest / name).rename(guest / "whole")
    try:
        if content is not None:
            (guest / name).write_bytes(content)
        arn = machines.run(machines.register({"command": ["true"]}, **SIZE))
        task = machines.wait_status(arn, "STOPPED", BOOT_S)
    finally:
        whole.rename(guest / name)
    assert task["stopCode"] == "TaskFailedToStart" and why in task["stoppedReason"], task
    assert why in machines.command("why", arn).stdout
    killing.wait_clean()
    assert not monitors(machines)


def test_kills_of_the_agent_cost_its_machines_nothing(machines: LiveRegion, killing: Killing) -> None:
    """Tasks go on, their logs are whole, and what is asked for meanwhile is done, also when a boot is cut short."""
    before = killing.count(overrides=SIZE)
    machines.wait_status(before.arn, "RUNNING", BOOT_S)
    counted, running = before.has_counted(0), monitors(machines)
    killing.kill("agent")
    after = killing.count(overrides=SIZE)
    wait_for("the beginning of a boot", lambda: task_id(after.arn) in monitors(machines))
    killing.kill("agent")
    machines.wait_status(after.arn, "RUNNING", BOOT_S)
    before.has_counted(counted)
    after.has_counted(0)
    assert running.items() <= monitors(machines).items(), "the same process"
    for counter in (before, after):
        machines.stop(counter.arn)
    for counter in (before, after):
        assert counter.stopped(STOPPED_BY_TERM)["stopCode"] == "UserInitiated"
    killing.wait_clean()


def test_commands_are_executed_in_a_machine(machines: LiveRegion, killing: Killing, tmp_path: Path) -> None:
    machines.task_role("in-machines")
    role = "arn:aws:iam::123456789012:role/in-machines"
    keep = {"command": ["sleep", "100000"], "stopTimeout": 2, "user": "1000"}
    arn = machines.run(machines.register(keep, taskRoleArn=role, **SIZE), enableExecuteCommand=True)
    machines.wait_status(arn, "RUNNING", BOOT_S)
    done = aws_exec(machines, tmp_path, arn, "/bin/sh", "uname -r\nid -u\nstty size\nexit\n")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.replace("\r", "").splitlines()]
    assert "43 132" in lines, done.stdout
    assert "0" in lines and platform.release() not in lines
    status = neargate_exec(machines, arn, "sh", "-c", "echo out; sleep 1; exit 7")
    assert (status.returncode, status.stdout, status.stderr) == (7, b"out\r\n", b"")
    piped = neargate_exec(machines, arn, "sh", "-c", "cat; sleep 1", typed=b"one line\n")
    assert piped.returncode == 0 and piped.stdout.count(b"one line\r\n") == 2, "typed, and said back"
    machines.stop(arn)
    killing.wait_clean()


class Balanced:
    """A service of two tasks behind a load balancer that this machine may ask."""

    def __init__(self, region: LiveRegion) -> None:
        self.region = region
        self.elb, ec2 = region.client("elbv2"), region.ec2
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        subnets = region.network()["awsvpcConfiguration"]["subnets"][:2]
        group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
        anyone = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=anyone)
        [balancer] = self.elb.create_load_balancer(Name="web", Subnets=subnets, SecurityGroups=[group])["LoadBalancers"]
        health = {"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2, "HealthyThresholdCount": 2}
        [targets] = self.elb.create_target_group(
            Name="web", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", **health
        )["TargetGroups"]
        self.arn, self.targets = balancer["LoadBalancerArn"], targets["TargetGroupArn"]
        quick = [{"Key": "deregistration_delay.timeout_seconds", "Value": "2"}]
        self.elb.modify_target_group_attributes(TargetGroupArn=self.targets, Attributes=quick)
        forward = [{"Type": "forward", "TargetGroupArn": self.targets}]
        self.elb.create_listener(LoadBalancerArn=self.arn, Protocol="HTTP", Port=80, DefaultActions=forward)
        web = {"command": ["sh", "-c", SERVES], "portMappings": [{"containerPort": 80}], "stopTimeout": 5}
        region.ecs.create_service(
            serviceName="web",
            taskDefinition=region.register(web, **SIZE),
            desiredCount=2,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}},
            loadBalancers=[{"targetGroupArn": self.targets, "containerName": "c0", "containerPort": 80}],
        )

    def running(self) -> list[dict[str, Any]]:
        arns = self.region.ecs.list_tasks(serviceName="web")["taskArns"]
        found = self.region.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        return [task for task in found if task["lastStatus"] == "RUNNING"]

    def answer(self) -> str | None:
        """The host name of the task that answers; None where none does."""
        name = {"Host": "web.us-east-1.elb.localhost"}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.region.port}/", headers=name)
        try:
            with urllib.request.urlopen(asked, timeout=5) as got:
                return str(got.read().decode().strip())
        except OSError:
            return None

    def serves(self, *, without: frozenset[str] = frozenset()) -> dict[str, str]:
        """Wait until two tasks answer, none of them of `without`; their host names by task."""

        def look() -> dict[str, str] | None:
            found = {task_id(task["taskArn"]): host_name(task) for task in self.running()}
            found = {task: name for task, name in found.items() if task not in without}
            said = {self.answer() for _ in range(8)}
            return found if len(found) == 2 and said == set(found.values()) else None

        return wait_for("two tasks that answer", look, 100)

    def end(self) -> None:
        self.region.ecs.delete_service(service="web", force=True)
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)


def host_name(task: dict[str, Any]) -> str:
    [interface] = task["attachments"]
    address = next(one["value"] for one in interface["details"] if one["name"] == "privateIPv4Address")
    return f"ip-{address.replace('.', '-')}.ec2.internal"


@pytest.mark.timeout(240)
def test_a_service_outlives_the_kill_of_a_machine(machines: LiveRegion, killing: Killing) -> None:
    """Both of its tasks answer behind a load balancer. One whose monitor is killed says so, and another comes."""
    service = Balanced(machines)
    before = service.serves()
    victim, stays = before
    os.kill(monitors(machines)[victim], signal.SIGKILL)
    task = machines.wait_status(victim, "STOPPED")
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 137)
    assert KILLED in task["containers"][0]["reason"]
    assert KILLED in machines.command("why", victim).stdout
    after = service.serves(without=frozenset({victim}))
    assert stays in after
    service.end()
    killing.wait_clean()


def test_down_leaves_nothing(machines: LiveRegion) -> None:
    """No machine, no interface, no cgroup, no mount, no disk; also of one that does not want to end."""
    deaf = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], "stopTimeout": 2}
    arn = machines.run(machines.register(deaf, **SIZE))
    machines.wait_status(arn, "RUNNING", BOOT_S)
    running = monitors(machines)
    assert task_id(arn) in running
    machines.command("down")
    assert not monitors(machines) and not any(Path(f"/proc/{pid}").exists() for pid in running.values())
    assert traces(machines.paths) == []
    assert not [path for path in machines.paths.disks.iterdir() if task_id(arn) in path.name]
