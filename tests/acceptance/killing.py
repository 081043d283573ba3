"""What the tests of kill -9 share: killing a process of a region, counting tasks, and what a task may leave behind."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neargate.cli import processes
from neargate.cli.admin import ask
from neargate.cli.kill_points import VARIABLE
from neargate.cli.problems import Problem
from neargate.testing.cgroup_paths import cgroup_paths

from .conftest import end_region, start_region
from .region import LiveRegion, insist, wait_for

LOG_GROUP = "/test/kills"
STOPPED_BY_TERM = 7
TOLD_TO_EXIT = 9
# One line per turn, numbered; ends with 7 on SIGTERM and with 9 on SIGUSR1, so that an exit code tells what happened.
COUNT = (
    "echo begin; trap 'echo end; exit 7' TERM; trap 'echo told; exit 9' USR1; "
    "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done"
)


@dataclass
class Killing:
    """A region whose agent honours `kill_file`."""

    region: LiveRegion
    kill_file: Path
    _tokens: int = 0

    def kill(self, name: str) -> None:
        """SIGKILL a process of the region by its pid file."""
        path = self.region.paths.up_lock if name == "up" else self.region.paths.pid_file(name)
        running = processes.find(path)
        assert running is not None, f"{name} does not run"
        os.kill(running.pid, signal.SIGKILL)
        assert processes.wait_gone(running, 10.0)

    def arm(self, *kills: tuple[str, str]) -> None:
        """(point, process) pairs, in the order in which they are to happen."""
        fresh = self.kill_file.with_suffix(".armed")
        fresh.write_text("".join(f"{point} {victim}\n" for point, victim in kills))
        fresh.replace(self.kill_file)

    def disarm(self) -> list[str]:
        """The kills whose point was not reached."""
        left = self.kill_file.read_text().splitlines()
        self.kill_file.unlink()
        return left

    def count(self, **members: Any) -> "Counter":
        """Start a task that counts."""
        self._tokens += 1
        token = f"counter-{self.region.paths.instance}-{self._tokens}"
        definition = self.region.register(
            {
                "command": ["sh", "-c", f"{COUNT} # {token}"],
                "stopTimeout": 20,
                "logConfiguration": self.region.log_config(LOG_GROUP),
            }
        )
        return Counter(self.region, token, self.region.run(definition, **members))

    def live_and_obey(self) -> None:
        """A task that counts until StopTask."""
        counter = self.count()
        self.region.wait_status(counter.arn, "RUNNING")
        counter.has_counted(0)
        self.region.stop(counter.arn)
        counter.stopped(STOPPED_BY_TERM)

    def live_and_resist(self) -> None:
        """A task that does not hear SIGTERM and is killed after its stopTimeout."""
        deaf = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], "stopTimeout": 2}
        arn = self.region.run(self.region.register(deaf))
        self.region.wait_status(arn, "RUNNING")
        self.region.stop(arn)
        assert self.region.wait_status(arn, "STOPPED")["containers"][0]["exitCode"] == 137

    def live_in_order(self) -> None:
        """Three containers that wait for each other; the essential one ends by itself. Each runs exactly once."""
        logs = {"logConfiguration": self.region.log_config("/test/output")}
        side = "trap 'echo end; exit 4' TERM; echo begin; while :; do sleep 0.1; done"
        first = {"name": "first", "command": ["sh", "-c", "echo begin; sleep 0.2; exit 0"], "essential": False}
        beside = {"name": "beside", "command": ["sh", "-c", side], "essential": False}
        last = {
            "name": "last",
            "command": ["sh", "-c", "echo begin; sleep 1; echo end; exit 5"],
            "dependsOn": [
                {"containerName": "first", "condition": "SUCCESS"},
                {"containerName": "beside", "condition": "START"},
            ],
        }
        arn = self.region.run(self.region.register(*({**logs, **item} for item in (first, beside, last))))
        task = self.region.wait_status(arn, "STOPPED")
        codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
        assert codes == {"first": 0, "beside": 4, "last": 5}, task
        expected = {"first": ["begin"], "beside": ["begin", "end"], "last": ["begin", "end"]}
        for name, lines in expected.items():
            wait_for(
                f"the lines of {name}",
                lambda: self.region.output_of(arn, name) == lines or None,  # noqa: B023
                timeout_s=20,
            )

    def connected(self) -> bool:
        try:
            return all(host["connected"] for host in ask(self.region.paths, "status")["hosts"])
        except Exception:  # the server is being started again
            return False

    def stop_everything(self) -> None:
        """What a failed test left, so that it is not found again in the next."""

        def look() -> bool:
            try:
                return not ask(self.region.paths, "stop-all")["left"]
            except (Problem, OSError):
                return False  # the server is being started again

        wait_for("every task to stop", look, 180)

    def wait_connected(self) -> None:
        wait_for("the agent's connection", self.connected)

    def wait_clean(self) -> None:
        """No task holds anything: on the host, in the engine, in the capacity manager."""
        self.wait_connected()
        left = ["unknown"]

        def look() -> bool:
            try:
                left[:] = held(self.region)
            except (subprocess.CalledProcessError, Problem, OSError) as error:
                left[:] = [f"engine or server are being started again: {error}"]
            return not left

        try:
            wait_for("an empty host", look)
        except AssertionError as late:
            raise AssertionError("\n".join(left)) from late


@dataclass
class Counter:
    region: LiveRegion
    token: str
    arn: str

    @property
    def task_id(self) -> str:
        return self.arn.rpartition("/")[2]

    def pids(self) -> list[int]:
        """The task's shells on this machine; more than one is a doubled task.

        A shell's child has its words until it executes something else: no shell of its own.
        """
        found: dict[int, int] = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes()
                parent = int((path / "stat").read_bytes().rpartition(b")")[2].split()[1])
            except OSError:
                continue  # ended while we looked
            if words.startswith(b"sh\0-c\0") and words.rstrip(b"\0").endswith(f"# {self.token}".encode()):
                found[int(path.name)] = parent
        return [pid for pid, parent in found.items() if parent not in found]

    def pid(self) -> int:
        def look() -> int | None:
            found = self.pids()
            assert len(found) < 2, f"{self.token} runs {len(found)} times"
            return found[0] if found else None

        return wait_for(f"the process of {self.token}", look)

    def lines(self) -> list[str]:
        """All lines that have arrived, over all pages."""
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            where = {"logGroupName": LOG_GROUP, "logStreamName": f"t/c0/{self.task_id}", "startFromHead": True, **token}
            page = insist(lambda: self.region.logs.get_log_events(**where))  # noqa: B023
            found += [event["message"] for event in page["events"]]
            if page["nextForwardToken"] == token.get("nextToken"):
                return found
            token = {"nextToken": page["nextForwardToken"]}

    def has_counted(self, beyond: int) -> int:
        """Wait until the log shows more than `beyond`; the number it shows."""

        def look() -> int | None:
            numbers = [int(line.split()[1]) for line in self.lines() if line.startswith("line ")]
            return max(numbers, default=0) if max(numbers, default=0) > beyond else None

        return wait_for(f"{self.token} to count beyond {beyond}", look)

    def stopped(self, exit_code: int) -> dict[str, Any]:
        """Wait for STOPPED; the exit code must be this one and the log whole."""
        task = self.region.wait_status(self.arn, "STOPPED")
        assert task["containers"][0].get("exitCode") == exit_code, task
        last = {STOPPED_BY_TERM: "end", TOLD_TO_EXIT: "told"}[exit_code]
        lines = wait_for(
            "the last line", lambda: found if (found := self.lines()) and found[-1] == last else None, timeout_s=20
        )
        assert lines == ["begin", *(f"line {n}" for n in range(1, len(lines) - 1)), last]
        assert not self.pids()
        return task


def held(region: LiveRegion) -> list[str]:
    """What tasks hold now, by kind and name."""
    paths = region.paths
    found = [f"namespace {path.name}" for path in (paths.run / "net" / "netns").glob("task-*")]
    found += [f"disk {path.name}" for path in paths.disks.iterdir() if re.search(r"[0-9a-f]{32}", path.name)]
    found += [f"log {path.name}" for path in (paths.agent / "logs").glob("*")]
    found += [f"cgroup {path}" for path in cgroup_paths() if f"/neargate-{paths.instance}/" in path]
    for kind in ("containers", "tasks"):
        found += [f"{kind} {line}" for line in _ctr(region, kind, "ls", "-q")]
    for host in ask(paths, "status")["hosts"]:
        if host["tasks"] or any(host[name] != host[f"free_{name}"] for name in ("cpu_units", "memory_mib", "disk_gib")):
            found.append(f"room {host}")
    return found


def _ctr(region: LiveRegion, *words: str) -> list[str]:
    socket = region.paths.run / "containerd" / "containerd.sock"
    argv = ["ctr", "--address", str(socket), "--namespace", f"neargate-{region.paths.instance}", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.split()


@contextmanager
def killing_region() -> Iterator[Killing]:
    """A region of its own with the kill file armed by environment; down and looked over at the end."""
    kill_file = Path(f"/run/neargate-kills-{os.getpid()}")
    os.environ[VARIABLE] = str(kill_file)
    try:
        live = start_region()
        try:
            live.push_images()
            yield Killing(live, kill_file)
        finally:
            kill_file.unlink(missing_ok=True)
            live.up(check=False)
            end_region(live)
    finally:
        del os.environ[VARIABLE]
