"""A private containerd, a network namespace and disks (plain directories) for tests of the container engine.

Owns: processes and directories named after one random instance id, and their removal. Invariant: `close` takes away
everything of this instance and touches nothing else, also after a failed test. Needs root.
"""

import asyncio
import glob
import hashlib
import multiprocessing
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from ..hostnet.mounts import unmount_twins
from ..hostnet.namespaces import Namespaces
from ..hostnet.task_namespaces import TaskNamespaces
from ..hostnet.user_namespaces import UserNamespaces
from ..interfaces.hostnet import TWIN_OF_DISK, TWINS
from ..interfaces.sandbox import ContainerConfig, EngineUnavailable, Image, PullRequest
from ..model.knobs import Knobs
from ..sandbox.containerd_client import Containerd
from ..sandbox.containerd_process import ContainerdInstance
from ..sandbox.engine import ContainerdSandbox
from ..sandbox.pull.credentials import RegistryAuth
from ..sandbox.pull.proxies import DIRECT, Proxies
from ..world import OsWorld
from .oci_image import BuiltImage, push
from .registry import RunningRegistry

_POLL_S = 0.02
_POLLS_MAX = 1000
T = TypeVar("T")


# What uses a rig runs in both ways: NEARGATE_TEST_USER_NAMESPACES=1 gives each task of its a user namespace.
IN_USER_NAMESPACES = os.environ.get("NEARGATE_TEST_USER_NAMESPACES") == "1"


class ContainerRig:
    """`containerd` is its process. `base` is the directory below which tests may put what they like."""

    def __init__(self, *, user_namespaces: bool = IN_USER_NAMESPACES) -> None:
        self.base = tempfile.mkdtemp(prefix="neargate-test-")
        self.instance = hashlib.sha256(self.base.encode()).hexdigest()[:6]
        self.run_dir = f"/run/neargate-test-{self.instance}"
        self.namespace = f"neargate-test-{self.instance}"
        self.cgroup = f"/neargate-test-{self.instance}"
        self._engine = ContainerdInstance(data_dir=os.path.join(self.base, "data"), run_dir=self.run_dir)
        self._engine.write_config()
        self.containerd = self._spawn()
        # Lives for the rig: the namespace is named by its process.
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.registry = RunningRegistry(self.made("registry"))
        self._disks = 0
        run_dir = Path(self.run_dir)
        users = UserNamespaces(run_dir / "userns")
        self._namespaces = TaskNamespaces(Namespaces(run_dir / "netns", _stay), users)
        self._namespaces.gives_users = user_namespaces

    @property
    def netns_path(self) -> str:
        return f"/proc/{self._holder.pid}/ns/net"

    def namespaces_of(self, task_id: str) -> dict[str, Any]:
        """Fields of its configurations: the rig's own, or the task's where each has a user namespace."""
        if not self._namespaces.gives_users:
            return {"netns_path": self.netns_path}
        self._namespaces.ensure(task_id)
        users = self._namespaces.users_of(task_id)
        return {"netns_path": os.path.join(self.run_dir, "netns", task_id), "user_namespace": users}

    @property
    def address(self) -> str:
        """containerd's socket."""
        return self._engine.address

    @property
    def instance_of_containerd(self) -> ContainerdInstance:
        return self._engine

    def delete_containers(self) -> None:
        """All containers of this rig, however they were made."""
        self.run(self._delete_all)

    def client(self) -> Containerd:
        """The same containerd, for looking behind the engine."""
        return Containerd(self._engine.address, self.namespace)

    # ---------------------------------------------------------------- containerd's process

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with open(os.path.join(self.base, "containerd.log"), "ab") as log:
            process = subprocess.Popen(self._engine.command(), stdout=log, stderr=log, start_new_session=True)
        client = Containerd(self._engine.address, self.namespace)
        try:
            for _ in range(_POLLS_MAX):
                try:
                    client.version()
                    return process
                except EngineUnavailable:
                    pass
                try:
                    status = process.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    continue
                raise RuntimeError(f"containerd ended with {status}: see {self.base}/containerd.log")
        finally:
            client.close()
        process.kill()
        raise RuntimeError("containerd does not answer")

    def kill_containerd(self) -> None:
        """kill -9: shims and containers stay."""
        self.containerd.kill()
        self.containerd.wait()

    def start_containerd(self) -> None:
        self.containerd = self._spawn()

    def killed_while_creating(self, config: ContainerConfig, after_s: float) -> None:
        """An agent of its own process begins to create and start the container and is killed some time later."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, self._engine, self.namespace, self.instance, config)
        child = context.Process(target=_create_and_wait, args=arguments)
        child.start()
        ours.recv()
        child.join(after_s)
        child.kill()
        child.join()
        ours.close()
        theirs.close()

    # ---------------------------------------------------------------- what tests run

    def run(
        self,
        story: Callable[[ContainerdSandbox], Coroutine[object, object, T]],
        *,
        auth: RegistryAuth | None = None,
        knobs: Knobs | None = None,
        insecure_registries: tuple[str, ...] = ("127.0.0.1",),
        proxies: Proxies = DIRECT,
        keeps_shims: bool = False,
    ) -> T:
        """Run a test's coroutine with a started engine of its own, as one agent's life.

        The tests' registries are on loopback, at whatever port was free.
        """

        async def life() -> T:
            world = OsWorld({"sandbox": 4, "pull": 8, "pull-net": 64})
            engine = ContainerdSandbox(
                world,
                address=self._engine.address,
                namespace=self.namespace,
                instance=self.instance,
                run_dir=self.run_dir,
                state_dir=self._engine.state_dir,
                own=self._engine if keeps_shims else None,
                registry_auth=auth,
                insecure_registries=insecure_registries,
                proxies=proxies,
                knobs=knobs or Knobs(pull_retry_base_s=0.01),
            )
            await engine.start()
            try:
                return await story(engine)
            finally:
                await engine.close()

        return asyncio.run(life())

    def push(self, repository: str, image: BuiltImage, tag: str = "latest") -> str:
        """Returns the reference to pull it by."""
        push(self.registry.address, repository, tag, image)
        return f"{self.registry.address}/{repository}:{tag}"

    async def pull(self, engine: ContainerdSandbox, reference: str) -> Image:
        return await engine.pull_image(PullRequest(reference=reference, account="123456789012"), lambda *_: None)

    def config(self, image: Image, *args: str, name: str = "main", **more: object) -> ContainerConfig:
        """A container on a new plain directory as its disk, in the rig's namespace."""
        self._disks += 1
        fields: dict[str, Any] = {
            "runtime_id": f"c{self._disks}-{name}",
            "task_id": f"task-{self._disks}",
            "name": name,
            "image": image,
            "disk_path": self.made(f"disk-{self._disks}"),
            "hostname": "ip-10-0-0-1",
            "args": args,
            "environment": image.environment,
            "cgroup_path": f"{self.cgroup}/task-{self._disks}/{name}",
            "log_path": os.path.join(self.base, f"log-{self._disks}-{name}"),
        }
        fields |= more
        if "netns_path" not in fields:
            fields |= self.namespaces_of(str(fields["task_id"]))
        return ContainerConfig(**fields)

    def log(self, config: ContainerConfig) -> str:
        assert config.log_path is not None
        with open(config.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def mounts_of(self, config: ContainerConfig) -> list[str]:
        """What is mounted on its disk. The disk's twins are not: they are the task's, and go with the disk."""
        with open("/proc/self/mounts", encoding="utf-8") as file:
            found = [line.split()[1] for line in file]
        return [path for path in found if config.disk_path in path and not path.endswith(TWINS)]

    def made(self, name: str) -> str:
        """A directory of this name below `base`."""
        path = os.path.join(self.base, name)
        os.makedirs(path, exist_ok=True)
        return path

    # ---------------------------------------------------------------- the end

    def close(self) -> None:
        if self.containerd.poll() is not None:
            self.start_containerd()
        try:
            self.run(self._delete_all)
        finally:
            self.registry.stop()
            self._wait_for_bundles()
            self.containerd.terminate()
            self.containerd.wait(30)
            self._holder.kill()
            self._holder.wait()
            for twin in Path(self.base).rglob(f"*{TWIN_OF_DISK}"):
                unmount_twins(Path(str(twin).removesuffix(TWIN_OF_DISK)))
            self._namespaces.delete_all()
            shutil.rmtree(self.base, ignore_errors=True)
            shutil.rmtree(self.run_dir, ignore_errors=True)
            shutil.rmtree(f"/run/containerd/runc/{self.namespace}", ignore_errors=True)
            for pattern in (f"/sys/fs/cgroup{self.cgroup}", f"/sys/fs/cgroup/*{self.cgroup}"):
                for top in glob.glob(pattern):
                    for directory, _, _ in os.walk(top, topdown=False):
                        os.rmdir(directory)

    def _wait_for_bundles(self) -> None:
        """containerd undoes creations whose agent was killed by itself; a shim of them must not outlive the test."""
        bundles = os.path.join(self._engine.state_dir, "io.containerd.runtime.v2.task", self.namespace)
        for _ in range(_POLLS_MAX):
            if not os.path.isdir(bundles) or not os.listdir(bundles):
                return
            try:
                self.containerd.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue

    async def _delete_all(self, engine: ContainerdSandbox) -> None:
        for state in await engine.list_containers():
            await engine.kill_container(state.runtime_id, 9)
            await engine.delete_container(state.runtime_id)


def _stay(reason: str) -> None:
    raise RuntimeError(reason)


def _create_and_wait(
    ready: "Connection", instance: ContainerdInstance, namespace: str, name: str, config: ContainerConfig
) -> None:
    async def life() -> None:
        engine = ContainerdSandbox(
            OsWorld({"sandbox": 4}),
            address=instance.address,
            namespace=namespace,
            instance=name,
            run_dir=instance.run_dir,
            state_dir=instance.state_dir,
        )
        await engine.start()
        ready.send(None)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        await asyncio.Event().wait()

    asyncio.run(life())
