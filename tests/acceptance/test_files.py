"""docs/files.md is true; and a secret's file outlives the agent and its container, but not its task."""

import os
import signal
from pathlib import Path

import pytest

from neargate.cli import processes
from neargate.testing.walkthrough import assert_true, steps

from .region import LiveRegion, wait_for
from .test_exec import neargate_exec
from .test_host_secrets import found_in_files
from .walking import document_for, walk

PLANTED = "planted-value-of-a-secret-file"
PATH = "/run/secrets/key"
MAY_READ = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "*"}}'


@pytest.mark.timeout(420)
def test_the_walk_through_files(sampled_region: LiveRegion, tmp_path: Path) -> None:
    blocks = steps(document_for("docs/files.md", sampled_region))
    assert_true(blocks, walk(blocks, sampled_region, tmp_path, strict=False))
    assert len([block for block in blocks if block.printed]) == 4


def tmpfs_of(region: LiveRegion, task: str) -> list[str]:
    """Mounts that hold something of the task in memory, with their kind."""
    name = f"{task.rpartition('/')[2]}.memory"
    mounts = [line.split(" ") for line in Path("/proc/mounts").read_text().splitlines()]
    return [kind for _, target, kind, *_ in mounts if target == str(region.paths.disks / "mnt" / name)]


def said(region: LiveRegion, task: str, *words: str) -> str:
    return neargate_exec(region, task, *words).stdout.decode().replace("\r", "")


@pytest.mark.timeout(420)
def test_a_secrets_file_outlives_the_agent_but_not_the_task(region: LiveRegion) -> None:
    """It lies in a tmpfs of the container, which the container's definition asks for."""
    region.client("ssm").put_parameter(Name="/files/key", Type="SecureString", Value=PLANTED)
    region.task_role("filesExecution")
    region.client("iam").put_role_policy(RoleName="filesExecution", PolicyName="files", PolicyDocument=MAY_READ)
    container = {
        "command": ["sleep", "100000"],
        "stopTimeout": 2,
        "secrets": [{"name": "KEY", "valueFrom": "/files/key"}],
        "dockerLabels": {f"neargate.secret-file:{PATH}": "KEY"},
        "linuxParameters": {"tmpfs": [{"containerPath": "/run", "size": 1}]},
    }
    role = "arn:aws:iam::123456789012:role/filesExecution"
    task = region.run(region.register(container, executionRoleArn=role), enableExecuteCommand=True)
    region.wait_status(task, "RUNNING")
    assert said(region, task, "cat", PATH) == PLANTED and tmpfs_of(region, task) == ["tmpfs"]
    agent = processes.find(region.paths.pid_file("agent"))
    assert agent is not None
    os.kill(agent.pid, signal.SIGKILL)
    wait_for("another agent", lambda: processes.find(region.paths.pid_file("agent")) not in (None, agent))
    wait_for("a terminal", lambda: said(region, task, "cat", PATH) == PLANTED)
    assert tmpfs_of(region, task) == ["tmpfs"]
    tops = (region.paths.databases, region.paths.agent, region.paths.logs, region.paths.run)
    told = region.command("why", task).stdout
    assert found_in_files(tops, [PLANTED, "/files/key"]) == {"/files/key"}, "the search finds what is there"
    assert PLANTED not in told and task.rpartition("/")[2] in told
    region.stop(task)
    region.wait_status(task, "STOPPED")
    assert tmpfs_of(region, task) == []
