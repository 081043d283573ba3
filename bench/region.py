"""A region of the benchmark's own: `neargate up` in a fresh data directory, everything gone afterwards."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from neargate.cli.paths import RegionPaths
from neargate.testing import oci_image
from neargate.testing.execution_role import EXECUTION_POLICY, EXECUTION_ROLE, TASKS_TRUST
from neargate.testing.registry import RunningRegistry, free_port

from .client import Client

WAIT_S = 60.0
CONTAINER = "c"
# Ends at once when it is asked to: a PID 1 without a handler would have to be killed after its stop timeout.
IDLE_COMMAND = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchRegion:
    """A running region and what benchmarks ask of it."""

    def __init__(self, paths: RegionPaths, port: int) -> None:
        self.paths = paths
        self.port = port
        self.registry = ""  # host and port of the benchmark's own, where it runs containers
        self._families = 0

    @cached_property
    def client(self) -> Client:
        return Client(self.port, *self.keys)

    @cached_property
    def keys(self) -> tuple[str, str]:
        keys = json.loads(self.paths.administrator.read_text())
        return keys["access_key_id"], keys["secret_access_key"]

    @property
    def image(self) -> str:
        return f"{self.registry}/busybox:1"

    @property
    def containerd_address(self) -> str:
        return str(self.paths.run / "containerd" / "containerd.sock")

    def oci_runtime(self) -> str:
        """What the agent's probe chose on this machine."""
        found = next(self.paths.run.rglob("oci-runtime.json"))
        return str(json.loads(found.read_text())["runtime"])

    def push_images(self) -> None:
        config: dict[str, object] = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]}
        busybox = oci_image.build_image([oci_image.busybox_layer()], config=config)
        oci_image.push(self.registry, "busybox", "1", busybox)

    @cached_property
    def subnets(self) -> list[str]:
        found = ec2(self.port, self.keys).describe_subnets()["Subnets"]
        return sorted(str(subnet["SubnetId"]) for subnet in found)

    def register(
        self, *, command: list[str], log_options: dict[str, str] | None = None, cpu: int = 256, memory_mib: int = 512
    ) -> str:
        """One container of busybox. Returns `family:revision`."""
        self._families += 1
        container: dict[str, Any] = {"name": CONTAINER, "image": self.image, "command": command, "stopTimeout": 5}
        if log_options is not None:
            container["logConfiguration"] = {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/bench",
                    "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": "b",
                    **log_options,
                },
            }
        members = task_definition(self._families, container) | {"cpu": str(cpu), "memory": str(memory_mib)}
        definition = self.client.call("ecs", "RegisterTaskDefinition", **members)
        return f"{definition['taskDefinition']['family']}:{definition['taskDefinition']['revision']}"

    def run_request(self, definition: str) -> dict[str, Any]:
        return {
            "taskDefinition": definition,
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": self.subnets}},
        }

    def run(self, definition: str) -> str:
        """RunTask of one; returns its ARN."""
        answer = self.client.call("ecs", "RunTask", **self.run_request(definition))
        if answer["failures"]:
            raise RuntimeError(str(answer["failures"]))
        return str(answer["tasks"][0]["taskArn"])

    def describe(self, arn: str) -> dict[str, Any]:
        task: dict[str, Any] = self.client.call("ecs", "DescribeTasks", tasks=[arn])["tasks"][0]
        return task

    def stop(self, *arns: str) -> None:
        """StopTask for each, and wait until all are STOPPED."""
        for arn in arns:
            self.client.call("ecs", "StopTask", task=arn)
        for arn in arns:
            self.wait(arn, "STOPPED")

    def wait(self, arn: str, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while True:
            task = self.describe(arn)
            if task["lastStatus"] == status:
                return task
            if task["lastStatus"] == "STOPPED" or time.monotonic() > deadline:
                raise RuntimeError(f"{arn} is {task['lastStatus']}, not {status}: {task.get('stoppedReason')}")
            time.sleep(0.02)

    def first_output(self, arn: str) -> float:
        """When the task's only container has said something (`time.time()`), looked for every 2 ms in its log file."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if self.output_bytes(arn):
                return time.time()
            time.sleep(0.002)
        raise RuntimeError(f"{arn} said nothing: {self.describe(arn).get('stoppedReason')}")

    def output_bytes(self, arn: str) -> int:
        try:
            return (self.paths.agent / "logs" / arn.rpartition("/")[2] / CONTAINER).stat().st_size
        except FileNotFoundError:
            return 0  # the agent has not come to it yet

    def committed(self) -> "CommittedStatus":
        return CommittedStatus(self.paths.databases / "cell-0.sqlite3")

    def pid(self, process: str) -> int:
        return int(self.paths.pid_file(process).read_text().split()[0])

    def pids(self, process: str) -> list[int]:
        """The process and, of the server, the one that writes its databases."""
        pid = self.pid(process)
        if process != "server":
            return [pid]
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def cpu_seconds(self, *processes: str) -> float:
        return sum(cpu_seconds(pid) for name in processes for pid in self.pids(name))


class CommittedStatus:
    """What is committed of a task, read by a second connection to the cell's database: the server is not asked."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)

    def wait(self, task_id: str, status: str) -> float:
        """When the commit was seen (`time.time()`), looked for every half millisecond."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            rows = self._database.execute("SELECT last_status FROM tasks WHERE id = ?", (task_id,)).fetchall()
            if rows and rows[0][0] == status:
                return time.time()
            if rows and rows[0][0] == "STOPPED":
                break
            time.sleep(0.0005)
        raise RuntimeError(f"{task_id} did not become {status}: {rows}")

    def close(self) -> None:
        self._database.close()


def ec2(port: int, keys: tuple[str, str]) -> Any:
    return boto(port, keys, "ec2")


def boto(port: int, keys: tuple[str, str], service: Any) -> Any:
    """A boto3 client, for protocols that the benchmark's own client does not speak."""
    key, secret = keys
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def task_definition(number: int, container: dict[str, Any]) -> dict[str, Any]:
    return {
        "family": f"bench-{number}",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::123456789012:role/" + EXECUTION_ROLE,
        "containerDefinitions": [container],
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _neargate() -> list[str]:
    return [sys.executable, "-P", "-m", "neargate"]


def neargate(paths: RegionPaths, verb: str, *arguments: str) -> str:
    """Run a command of ours to its end."""
    argv = [*_neargate(), verb, "--data", str(paths.data), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def fresh_data() -> Path:
    """A directory that the unprivileged user can enter. Not /tmp: disks and databases belong on a real filesystem."""
    data = Path(tempfile.mkdtemp(prefix="neargate-bench-", dir="/var/lib"))
    data.chmod(0o755)
    return data


@contextmanager
def region(*options: str, before: Callable[[RegionPaths], None] | None = None) -> Iterator[BenchRegion]:
    """Up, then down whatever happens. `before`: done to its directory while nothing runs."""
    paths = RegionPaths(fresh_data())
    live = BenchRegion(paths, free_port())
    try:
        if before is not None:
            before(paths)
        neargate(paths, "up", "--background", "--port", str(live.port), *options)
        live.client.call("ecs", "CreateCluster", clusterName="default")
        iam = boto(live.port, live.keys, "iam")
        iam.create_role(RoleName=EXECUTION_ROLE, AssumeRolePolicyDocument=json.dumps(TASKS_TRUST))
        iam.attach_role_policy(RoleName=EXECUTION_ROLE, PolicyArn=EXECUTION_POLICY)
        live.client.call("logs", "CreateLogGroup", logGroupName="/bench")
        yield live
    finally:
        try:
            neargate(paths, "down")
        finally:
            shutil.rmtree(paths.data, ignore_errors=True)


@contextmanager
def container_region(*options: str, before: Callable[[RegionPaths], None] | None = None) -> Iterator[BenchRegion]:
    """With a registry of the benchmark's own, named to the region as an operator names one of his."""
    with tempfile.TemporaryDirectory(prefix="neargate-bench-registry-") as folder:
        registry = RunningRegistry(folder)
        try:
            with region("--insecure-registries", registry.address, *options, before=before) as live:
                live.registry = registry.address
                live.push_images()
                yield live
        finally:
            registry.stop()
