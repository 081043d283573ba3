"""Commands executed in running tasks: by the aws CLI with a client of the session protocol, and by `neargate exec`."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neargate.cli import processes
from neargate.testing.walkthrough import assert_true, steps

from .machines import ALL_ARE_MACHINES
from .region import WAIT_S, LiveRegion, insist, wait_for
from .walking import document_for, walk

PLUGIN = Path(__file__).with_name("session_manager_plugin.py")
BIN = Path(sys.executable).parent
GROUP, ROLE = "/exec", "exec-kept"
KEEP = {"command": ["sleep", "100000"], "stopTimeout": 2, "readonlyRootFilesystem": True, "user": "1000"}

LOOKS_FROM_THE_HOST = pytest.mark.skipif(ALL_ARE_MACHINES, reason="the host sees no process of a machine")


@pytest.fixture(scope="module")
def task(region: LiveRegion) -> Iterator[str]:
    """Runs as nobody in particular, on a root that is read-only. Nothing of it is left: other files count what runs."""
    region.task_role(ROLE)
    role_arn = f"arn:aws:iam::123456789012:role/{ROLE}"
    arn = region.run(region.register(KEEP, taskRoleArn=role_arn), enableExecuteCommand=True)
    try:
        region.wait_status(arn, "RUNNING")
        yield arn
    finally:
        region.stop(arn)
        region.wait_status(arn, "STOPPED")


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
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{region.port}",
    }
    words = ["aws", "ecs", "execute-command", "--task", task, "--interactive"]
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
    """What processes of executed commands are: found by their mark, told without their numbers, which are like any."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if b"NEARGATE_EXEC=ecs-execute-command-" in Path("/proc", pid, "environ").read_bytes():
                found.append(repr(Path("/proc", pid, "cmdline").read_bytes()))
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


def neargate_exec(region: LiveRegion, *words: str, typed: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """With standard input that is no terminal."""
    argv = [str(BIN / "neargate"), "exec", "--data", str(region.paths.data), *words]
    return subprocess.run(argv, input=typed, capture_output=True, timeout=WAIT_S, check=False)


def test_neargate_exec_passes_the_exit_status_on(region: LiveRegion, task: str) -> None:
    done = neargate_exec(region, task, "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\r\n", b"")
    piped = neargate_exec(region, task, "--container", "c0", "cat", typed=b"one line\n")
    assert piped.returncode == 0 and piped.stdout.count(b"one line\r\n") == 2, "typed, and said back"
    much = neargate_exec(region, task, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
    assert much.stdout.split() == [b"%d" % number for number in range(20000)]


def test_input_that_has_ended_stays_ended(region: LiveRegion, task: str) -> None:
    """As a pipe's does: a terminal takes its first end for that of the line, or loses it."""
    half = neargate_exec(region, task, "cat", typed=b"half a line")
    assert half.returncode == 0 and half.stdout.count(b"half a line") == 2
    deaf = neargate_exec(region, task, "sh", "-c", "stty raw -echo; sleep 1; stty cooked; cat", typed=b"")
    assert deaf.returncode == 0
    shell = neargate_exec(region, task, typed=b"echo $((6 * 7))\n")
    assert shell.returncode == 0 and b"42\r\n" in shell.stdout


def test_what_neargate_exec_cannot(region: LiveRegion, task: str) -> None:
    missing = neargate_exec(region, task, "no-such-program")
    assert missing.returncode == 1 and b"no-such-program" in missing.stderr
    other = neargate_exec(region, task, "-c", "c9", "sh")
    assert other.returncode == 1 and b"c9 was not found" in other.stderr
    closed = region.wait_status(region.run(region.register(KEEP)), "RUNNING")["taskArn"]
    refused = neargate_exec(region, closed, "true")
    assert refused.returncode == 1 and b"was not enabled" in refused.stderr
    region.stop(closed)
    region.wait_status(closed, "STOPPED")


class Terminal:
    """`neargate exec` on a terminal of its own."""

    def __init__(self, region: LiveRegion, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(100, 30)
        argv = [str(BIN / "neargate"), "exec", "--data", str(region.paths.data), *words]
        self.process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.shown = b""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, data: bytes) -> None:
        os.write(self.ours, data)

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + WAIT_S
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} does not come: {self.shown!r}"
            if select.select([self.ours], [], [], 1.0)[0]:
                self.shown += os.read(self.ours, 65536)
        self.shown = self.shown.partition(text)[2]


@contextmanager
def terminal(region: LiveRegion, *words: str) -> Iterator[Terminal]:
    made = Terminal(region, *words)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait(WAIT_S)
        os.close(made.ours)


@LOOKS_FROM_THE_HOST
def test_neargate_exec_on_a_terminal(region: LiveRegion, task: str) -> None:
    with terminal(region, task) as shell:
        shell.until(b"# ")
        shell.type(b"stty size\r")
        shell.until(b"30 100\r\n")
        shell.resize(80, 24)
        shell.type(b"until stty size | grep '^24 80$'; do sleep 0.1; done\r")
        shell.until(b"\n24 80\r\n")
        shell.type(b"sleep 60000\r")
        wait_for("a command under way", lambda: any("60000" in one for one in sessions_left(region)))
        shell.type(b"\x03echo inter''rupted\r")
        shell.until(b"interrupted\r\n")
        shell.type(b"exit 9\r")
        assert shell.process.wait(WAIT_S) == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(region: LiveRegion, task: str, number: signal.Signals) -> None:
    with terminal(region, task) as shell:
        before = termios.tcgetattr(shell.ours)
        shell.until(b"# ")
        assert termios.tcgetattr(shell.ours) != before
        shell.process.send_signal(number)
        assert shell.process.wait(WAIT_S) == 128 + number
        assert termios.tcgetattr(shell.ours) == before
    wait_for("the end of all that was started", lambda: not sessions_left(region))


def logged(region: LiveRegion, text: str) -> bool:
    streams = region.logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert all(stream["logStreamName"].startswith("ecs-execute-command-") for stream in streams)
    return any(text in event["message"] for event in region.logs.filter_log_events(logGroupName=GROUP)["events"])


def test_sessions_are_encrypted_and_logged_in_the_name_of_the_tasks_role(
    region: LiveRegion, task: str, tmp_path: Path
) -> None:
    region.logs.create_log_group(logGroupName=GROUP)
    key = region.client("kms").create_key()["KeyMetadata"]["Arn"]
    decrypts = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [decrypts]})
    region.client("iam").put_role_policy(RoleName=ROLE, PolicyName="keys", PolicyDocument=policy)
    kept = {"kmsKeyId": key, "logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": GROUP}}
    region.ecs.update_cluster(cluster="default", configuration={"executeCommandConfiguration": kept})
    try:
        done = aws_exec(region, tmp_path, task, "/bin/sh", "echo by''plugin\nexit\n")
        assert "This session is encrypted using AWS KMS." in done.stdout, done.stdout + done.stderr
        assert "byplugin" in done.stdout
        own = neargate_exec(region, task, "sh", "-c", "echo by''operator; exit 7")
        assert (own.returncode, own.stdout) == (7, b"byoperator\r\n"), own.stderr
        wait_for("both sessions in the log", lambda: logged(region, "byplugin") and logged(region, "byoperator"))
        region.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="keys")
        refused = neargate_exec(region, task, "true")
        assert refused.returncode == 1 and b"not authorized to perform: kms:Decrypt" in refused.stderr
    finally:
        usual = {"executeCommandConfiguration": {"logging": "DEFAULT"}}
        region.ecs.update_cluster(cluster="default", configuration=usual)
        region.logs.delete_log_group(logGroupName=GROUP)


@LOOKS_FROM_THE_HOST
@pytest.mark.parametrize("victim", ["agent", "server"])
def test_who_is_killed_leaves_no_command_behind(region: LiveRegion, task: str, victim: str) -> None:
    with terminal(region, task) as shell:
        shell.until(b"# ")
        shell.type(b"(trap '' HUP; sleep 54321; :) & sleep 54321\r")
        wait_for("a command under way", lambda: sum("54321" in one for one in sessions_left(region)) >= 2)
        running = processes.find(region.paths.pid_file(victim))
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        assert shell.process.wait(WAIT_S) == 1
        wait_for("the end of all that was started", lambda: not sessions_left(region))
    insist(lambda: region.task(task))
    wait_for("a host to be there again", lambda: neargate_exec(region, task, "true").returncode == 0)
    assert region.task(task)["lastStatus"] == "RUNNING"


@pytest.mark.timeout(420)
def test_the_walk_into_a_container(sampled_region: LiveRegion, tmp_path: Path) -> None:
    """docs/exec.md is true: what it tells its reader to type is typed, and prints what stands below it."""
    blocks = steps(document_for("docs/exec.md", sampled_region))
    printed = walk(blocks, sampled_region, tmp_path, strict=False)
    assert_true(blocks, printed)
    assert len(blocks) == 5
