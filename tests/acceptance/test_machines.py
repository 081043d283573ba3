"""A region whose tasks are virtual machines: what its users and its operator see, what kills do, and what it leaves.

Machines are emulated, so that it runs on any host. One region for all; tasks have a whole processor to boot with.
"""

import json
import os
import platform
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from neargate.cli.microvms import GUEST
from neargate.testing.cgroup_paths import cgroup_paths

from .conftest import end_region, start_region
from .killing import LOG_GROUP, STOPPED_BY_TERM, Counter, Killing, held
from .region import LiveRegion, traces, wait_for
from .test_exec import aws_exec, neargate_exec

PLACE = Path(os.environ.get("NEARGATE_GUEST_DIR") or GUEST)
MISSING = [what for what, there in ((str(PLACE), PLACE.exists()), ("QEMU", shutil.which("qemu-system-x86_64"))) if not there]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
EMULATED = ("--sandbox", "microvm", "--allow-emulated", "yes")
SIZE = {"cpu": "1024", "memory": "2048"}
SERVES = "mkdir -p /www; hostname > /www/index.html; httpd -p 80 -h /www; trap 'exit 0' TERM; while :; do sleep 0.2; done"
KILLED = "the virtual machine of the task was killed"


@pytest.fixture(scope="module")
def machines() -> Iterator[LiveRegion]:
    live = start_region(*EMULATED)
    try:
        live.push_images()
        yield live
    finally:
        end_region(live)


@pytest.fixture
def killing(machines: LiveRegion) -> Killing:
    return Killing(machines, machines.paths.data / "no-kill-file")


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


def test_a_task_has_a_kernel_of_its_own(machines: LiveRegion) -> None:
    """From RunTask over its log to its stop; its size is the machine's."""
    says = "echo $(uname -r); nproc; echo $(id -u) $(cat /proc/1/comm); trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done"
    logged = {"command": ["sh", "-c", says], "stopTimeout": 10, "logConfiguration": machines.log_config("/test/output")}
    arn = machines.run(machines.register(logged, **SIZE))
    machines.wait_status(arn, "RUNNING")
    lines = wait_for("three lines", lambda: found if len(found := machines.output_of(arn)) == 3 else None)
    assert lines[1:] == ["1", "0 sh"] and lines[0] != platform.release()
    assert list(monitors(machines)) == [task_id(arn)]
    machines.stop(arn)
    task = machines.wait_status(arn, "STOPPED")
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("UserInitiated", 3)
    wait_for("its last word", lambda: machines.output_of(arn) == [*lines, "bye"])
    assert not monitors(machines)


def test_what_the_operator_is_told(machines: LiveRegion) -> None:
    """Of a host whose machines are emulated, and of a task with no shell in its image's words."""
    missing = machines.run(machines.register({"command": ["no-such-program"]}, **SIZE))
    task = machines.wait_status(missing, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert 'exec: "no-such-program": executable file not found in $PATH' in task["stoppedReason"]
    story = machines.command("why", missing).stdout
    assert "no-such-program" in story
    assert not monitors(machines)


def test_kills_of_the_agent_cost_its_machines_nothing(machines: LiveRegion, killing: Killing) -> None:
    """Tasks go on, their logs are whole, and what is asked for meanwhile is done, also when a boot is cut short."""
    before = killing.count(overrides=SIZE)
    machines.wait_status(before.arn, "RUNNING")
    counted, running = before.has_counted(0), monitors(machines)
    killing.kill("agent")
    after = killing.count(overrides=SIZE)
    wait_for("the beginning of a boot", lambda: task_id(after.arn) in monitors(machines))
    killing.kill("agent")
    machines.wait_status(after.arn, "RUNNING")
    before.has_counted(counted)
    after.has_counted(0)
    assert running.items() <= monitors(machines).items(), "the same process"
    for counter in (before, after):
        machines.stop(counter.arn)
    for counter in (before, after):
        assert counter.stopped(STOPPED_BY_TERM)["stopCode"] == "UserInitiated"
    killing.wait_clean()


def test_commands_are_executed_in_a_machine(machines: LiveRegion, tmp_path: Path) -> None:
    machines.task_role("in-machines")
    role = "arn:aws:iam::123456789012:role/in-machines"
    keep = {"command": ["sleep", "100000"], "stopTimeout": 2, "user": "1000"}
    arn = machines.run(machines.register(keep, taskRoleArn=role, **SIZE), enableExecuteCommand=True)
    machines.wait_status(arn, "RUNNING")
    done = aws_exec(machines, tmp_path, arn, "/bin/sh", "uname -r\nid -u\nstty size\nexit\n")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.replace("\r", "").splitlines()]
    assert "43 132" in lines, done.stdout
    assert "0" in lines and platform.release() not in lines
    status = neargate_exec(machines, arn, "sh", "-c", "echo out; exit 7")
    assert (status.returncode, status.stdout, status.stderr) == (7, b"out\r\n", b"")
    piped = neargate_exec(machines, arn, "cat", typed=b"one line\n")
    assert piped.returncode == 0 and piped.stdout.count(b"one line\r\n") == 2, "typed, and said back"
    machines.stop(arn)
    machines.wait_status(arn, "STOPPED")
