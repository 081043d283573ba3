"""A handle on a running region for tests: its command, an SDK client, images, tasks, and what it left behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError

from neargate.cli import config as configs
from neargate.cli import sample
from neargate.cli.paths import RegionPaths
from neargate.testing import oci_image
from neargate.testing.cgroup_paths import cgroup_paths
from neargate.testing.container_rig import IN_USER_NAMESPACES

from .machines import SLOWER
from .registries import registry_of_tests

T = TypeVar("T")
NAMED = ("--insecure-registries", "127.0.0.1")
WAIT_S = 60.0
LOOK_S = 0.05


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float = WAIT_S) -> T:
    """The first result of `look` that is not None or False, within a bound. Level-triggered: it asks the state."""
    deadline = time.monotonic() + timeout_s * SLOWER
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s * SLOWER:.0f} s"
        time.sleep(LOOK_S)


def insist(call: Callable[[], T]) -> T:
    """Repeat a call, which must be repeatable, while the server is being started again after a kill.

    The SDK's own retries are drawn by lot and now and then all over before that.
    """

    def look() -> tuple[T] | None:
        try:
            return (call(),)
        except (BotoConnectionError, HTTPClientError):
            return None

    return wait_for("an answer of the API", look)[0]


@dataclass
class LiveRegion:
    paths: RegionPaths
    port: int
    _families: int = 0
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def registry(self) -> str:
        """The tests' own, of all regions of this run."""
        return registry_of_tests()

    def up(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`neargate up --background`. Tests have registries on loopback, which must be named to a region."""
        users = ("--user-namespaces", "auto") if IN_USER_NAMESPACES else ()
        return self.command("up", "--background", "--port", str(self.port), *NAMED, *users, *options, check=check)

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `neargate ARGUMENTS --data ...`."""
        verb, *rest = arguments
        argv = [str(Path(sys.executable).parent / "neargate"), verb, "--data", str(self.paths.data), *rest]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
        assert not check or done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def client(self, service: str) -> Any:
        """A boto3 client with the administrator's keys."""
        if service not in self._clients:
            keys = json.loads(self.paths.administrator.read_text())
            self._clients[service] = boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=f"http://127.0.0.1:{self.port}",
                aws_access_key_id=keys["access_key_id"],
                aws_secret_access_key=keys["secret_access_key"],
                config=Config(retries={"max_attempts": 8}, inject_host_prefix=False),  # no name begins with `data-`
            )
        return self._clients[service]

    @property
    def ecs(self) -> Any:
        return self.client("ecs")

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def logs(self) -> Any:
        return self.client("logs")

    def task_role(self, name: str) -> None:
        """A role for tasks: trusts ECS, may do what AWS lets an execution role do, and create log groups."""
        ecs_tasks = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam = self.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(ecs_tasks))
        iam.attach_role_policy(
            RoleName=name, PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
        )
        self.let_create_groups(name)

    def let_create_groups(self, role: str) -> None:
        """`awslogs-create-group` needs what AmazonECSTaskExecutionRolePolicy does not give."""
        groups = {"Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*"}
        self.client("iam").put_role_policy(RoleName=role, PolicyName="groups", PolicyDocument=_policy(groups))

    def let(self, role: str, action: str) -> None:
        """That role may do it, with all there is."""
        document = _policy({"Effect": "Allow", "Action": action, "Resource": "*"})
        name = action.replace(":", "-")
        self.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    def leave_sample(self) -> None:
        """What documents use of `neargate sample`: its image in the account's registry, its role. Repeatable."""
        sample.push_image(self.paths, configs.load(self.paths))
        sample.execution_role(self.paths)

    def push_images(self) -> None:
        """`busybox:1` (shell and applets) and `sample:1` (web server) in the tests' registry, a cluster `default`.

        The execution role of the tests' definitions may create log groups.
        """
        config: dict[str, object] = {"Cmd": ["sh"], "Env": ["PATH=/bin:/usr/bin"]}
        busybox = oci_image.build_image([oci_image.busybox_layer()], config=config)
        oci_image.push(self.registry, "busybox", "1", busybox)
        oci_image.push(self.registry, "sample", "1", oci_image.sample_image())
        self.ecs.create_cluster(clusterName="default")
        self.task_role("ecsTaskExecutionRole")

    @property
    def busybox(self) -> str:
        return f"{self.registry}/busybox:1"

    def register(self, *containers: dict[str, Any], **members: Any) -> str:
        """A new family; containers default to the busybox image. Returns the revision's ARN."""
        self._families += 1
        filled = [{"name": f"c{n}", "image": self.busybox, **item} for n, item in enumerate(containers)]
        request: dict[str, Any] = {
            "family": f"test-{self._families}",
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole",
            "containerDefinitions": filled,
            **members,
        }
        answer = insist(lambda: self.ecs.register_task_definition(**request))
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def network(self, *, public: bool = False, groups: tuple[str, ...] = ()) -> dict[str, Any]:
        default = self.ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
        subnets = sorted(subnet["SubnetId"] for subnet in default["Subnets"])
        config: dict[str, Any] = {"subnets": subnets, "assignPublicIp": "ENABLED" if public else "DISABLED"}
        if groups:
            config["securityGroups"] = list(groups)
        return {"awsvpcConfiguration": config}

    def run(self, definition: str, *, public: bool = False, groups: tuple[str, ...] = (), **members: Any) -> str:
        """RunTask of one; returns its ARN."""
        request = {
            "taskDefinition": definition,
            "launchType": "FARGATE",
            "networkConfiguration": insist(lambda: self.network(public=public, groups=groups)),
            "clientToken": uuid.uuid4().hex,
            **members,
        }
        answer = insist(lambda: self.ecs.run_task(**request))
        assert not answer["failures"], answer["failures"]
        return str(answer["tasks"][0]["taskArn"])

    def task(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = insist(lambda: self.ecs.describe_tasks(tasks=[arn]))["tasks"][0]
        return found

    def wait_status(self, arn: str, status: str, timeout_s: float = WAIT_S) -> dict[str, Any]:
        """Until the task shows the status. A task that stops instead fails at once, with its reason."""

        def look() -> dict[str, Any] | None:
            task = self.task(arn)
            stopped = task["lastStatus"] == "STOPPED" and status != "STOPPED"
            assert not stopped, f"stopped: {task.get('stopCode')}: {task.get('stoppedReason')} {task['containers']}"
            return task if task["lastStatus"] == status else None

        return wait_for(f"{arn} {status}", look, timeout_s)

    def stop(self, arn: str) -> None:
        insist(lambda: self.ecs.stop_task(task=arn))

    def log_config(self, group: str, **options: str) -> dict[str, Any]:
        return {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": group,
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "t",
                "awslogs-create-group": "true",
                **options,
            },
        }

    def output(self, *containers: dict[str, Any], timeout_s: float = WAIT_S, **members: Any) -> list[str]:
        """Run a task to its end and give back the lines of its first container."""
        return self.output_of(self.run_to_end(*containers, timeout_s=timeout_s, **members)["taskArn"])

    def run_to_end(self, *containers: dict[str, Any], timeout_s: float = WAIT_S, **members: Any) -> dict[str, Any]:
        """Register with logs, run, wait until STOPPED; the task's document."""
        logged = [{"logConfiguration": self.log_config("/test/output"), **item} for item in containers]
        return self.wait_status(self.run(self.register(*logged, **members)), "STOPPED", timeout_s)

    def output_of(self, arn: str, container: str = "c0") -> list[str]:
        """The lines of a stopped task's container, once the last one has arrived."""
        stream = f"t/{container}/{arn.rpartition('/')[2]}"
        answer = self.logs.get_log_events(
            logGroupName="/test/output", logStreamName=stream, startFromHead=True, limit=10_000
        )
        return [event["message"] for event in answer["events"]]


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def data_directory() -> Path:
    """A fresh one that the unprivileged user can enter. Its name says which process's it is."""
    data = Path(tempfile.mkdtemp(prefix=f"neargate-test-{os.getpid()}-", dir="/var/lib"))
    data.chmod(0o755)
    return data


def end_abandoned() -> None:
    """Regions of test runs that were killed: nothing else ends them, and the next run needs their room."""
    for data in Path("/var/lib").glob("neargate-test-*-*"):
        runner = data.name.split("-")[2]
        if runner.isdecimal() and not Path("/proc", runner).exists():
            region = LiveRegion(paths=RegionPaths(data), port=0)
            region.command("down", "--force", check=False)
            if not traces(region.paths):
                shutil.rmtree(data)


def traces(paths: RegionPaths) -> list[str]:
    """What still carries the instance's name on this machine: processes, mounts, links, tables, loops, cgroups."""
    name, data = paths.instance, str(paths.data)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended while we looked
        if data in words or f"neargate-{name}" in words or f"/run/neargate/{name}/" in words:
            found.append(f"process {process.name}: {words[:120]}")
    mounts = Path("/proc/mounts").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if data in line or f"/neargate/{name}" in line]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found += [f"link {line}" for line in links.splitlines() if name in line]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [f"table {line}" for line in tables.splitlines() if name in line]
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    found += [f"loop {line}" for line in loops.splitlines() if data in line]
    found += [f"cgroup {path}" for path in cgroup_paths() if Path(path).name.startswith(f"neargate-{name}")]
    own = (Path("/run/neargate") / name, Path("/run/containerd/runc") / f"neargate-{name}")
    found += [f"directory {path}" for path in (*own, Path(f"/tmp/neargate-{name}")) if path.exists()]
    return found
