"""Commands executed in running tasks: by the aws CLI with a client of the session protocol, and by `neargate exec`."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .region import WAIT_S, LiveRegion, wait_for

PLUGIN = Path(__file__).with_name("session_manager_plugin.py")
BIN = Path(sys.executable).parent
KEEP = {"command": ["sleep", "100000"], "readonlyRootFilesystem": True, "user": "1000"}


@pytest.fixture(scope="module")
def task(region: LiveRegion) -> str:
    """Runs as nobody in particular, on a root that is read-only."""
    arn = region.run(region.register(KEEP), enableExecuteCommand=True)
    return str(region.wait_status(arn, "RUNNING")["taskArn"])


def aws_exec(
    region: LiveRegion, tmp_path: Path, task: str, command: str, typed: str
) -> "subprocess.CompletedProcess[str]":
    """As its user types it, with our stand-in as the plugin."""
    plugin = tmp_path / "session-manager-plugin"
    plugin.write_text(f"#!{sys.executable}\n" + PLUGIN.read_text())
    plugin.chmod(0o755)
    keys = json.loads(region.paths.administrator.read_text())
    environment = {
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": keys["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    endpoint = f"http://127.0.0.1:{region.port}"
    words = ["aws", "--endpoint-url", endpoint, "ecs", "execute-command", "--task", task, "--interactive"]
    return subprocess.run(
        [*words, "--command", command],
        input=typed,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def sessions_left(region: LiveRegion) -> list[str]:
    """Processes of executed commands, by their mark."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if b"NEARGATE_EXEC=ecs-execute-command-" in Path("/proc", pid, "environ").read_bytes():
                found.append(f"{pid}: {Path('/proc', pid, 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def test_the_aws_cli_executes_a_shell(region: LiveRegion, task: str, tmp_path: Path) -> None:
    agents = region.task(task)["containers"][0]["managedAgents"]
    assert [(agent["name"], agent["lastStatus"]) for agent in agents] == [("ExecuteCommandAgent", "RUNNING")]
    typed = "id -u\nstty size\ntouch /here 2>&1 | tail -c 22\nsleep 54321 &\nexit\n"
    done = aws_exec(region, tmp_path, task, "/bin/sh", typed)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.replace("\r", "").splitlines()]
    assert "0" in lines, "it runs as root"
    assert "43 132" in lines, "the terminal has the client's size"
    assert any("Read-only file system" in line for line in lines)
    assert lines[-1] == "Exiting session:"
    wait_for("the end of all that was started", lambda: not sessions_left(region))
