"""The agent on a real machine: containerd, namespaces, nftables, loop disks, cgroups; and kill -9 of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

from neargate.agent.channels.link import Closed
from neargate.hostnet import libc, loops
from neargate.hostnet.cgroups import LinuxCgroups
from neargate.hostnet.disks import LinuxDisks
from neargate.hostnet.network import LinuxNetwork
from neargate.model.launch import AwsLogs, ContainerLaunch, HealthCheck, MountPoint, TaskLaunch
from neargate.model.network import SecurityGroup, SecurityGroupRule, VpcPlan
from neargate.testing.agent_host import INCARNATION, TASK_ID, VPC, container, launch
from neargate.testing.container_rig import ContainerRig
from neargate.testing.fake_link_server import FakeLinkServer
from neargate.testing.netlab import free_public_pool
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.plans import with_public_subnet
from neargate.world import OsWorld

pytestmark = pytest.mark.root
WITHIN_S = 60.0
MIB = 1 << 20
MESSAGE_MAX = 4 * 1024 * 1024
PROCESS = Path(__file__).with_name("agent_process.py")
LOGS = AwsLogs(group="/real", region="us-east-1", stream=f"p/web/{TASK_ID}")
ANY = SecurityGroupRule(protocol="-1", cidr_ipv4="0.0.0.0/0")
GROUP = SecurityGroup(group_id="sg-00000000000000001", ingress=(ANY,), egress=(ANY,))


class Machine:
    """A machine of one test: the engine, the server's end of the link, and an agent that can be killed."""

    def __init__(self, rig: ContainerRig, base: Path, image: str) -> None:
        self.rig = rig
        self.base = base
        self.image = image
        self.instance = rig.instance
        self.server = FakeLinkServer()
        self.pool = ""
        self.api_port = 4566  # inside the tasks' VPC
        self.knobs: dict[str, float] = {}
        self._agents: list[subprocess.Popen[bytes]] = []

    def start(self, kill_at: str | None = None) -> "subprocess.Popen[bytes]":
        given = {
            "base": str(self.base),
            "socket": str(self.base / "link.sock"),
            "containerd": self.rig.address,
            "namespace": self.rig.namespace,
            "instance": self.instance,
            "pool": self.pool,
            "api_port": str(self.api_port),
            "knobs": json.dumps(self.knobs),
        }
        if kill_at is not None:
            given["kill_at"] = kill_at
        with (self.base / "agent.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, str(PROCESS), json.dumps(given)], stdout=log, stderr=log)
        self._agents.append(process)
        return process

    async def started(self, kill_at: str | None = None) -> "subprocess.Popen[bytes]":
        process = self.start(kill_at)
        await self.server.connected(WITHIN_S)
        plan = VpcPlan(vpc_id=VPC, generation=1, cidrs=("10.0.0.0/16",), groups=(GROUP,))
        self.server.push(with_public_subnet(plan, "subnet-1", "10.0.1.0/24"))
        return process

    async def ended(self, process: "subprocess.Popen[bytes]") -> int:
        """Its exit status; the connections it held are gone with it."""
        for _ in range(600):
            status = process.poll()
            if status is not None:
                self.server.drop()
                return status
            await asyncio.sleep(0.1)
        raise AssertionError("the agent does not end")

    async def kill(self, process: "subprocess.Popen[bytes]") -> None:
        process.send_signal(signal.SIGKILL)
        assert await self.ended(process) == -signal.SIGKILL

    async def status(self, *statuses: str) -> Any:
        try:
            return await self.server.status(TASK_ID, *statuses, within_s=WITHIN_S)
        except TimeoutError:
            log = (self.base / "agent.log").read_text()[-4000:]
            raise AssertionError(f"{self.server.reports.get(TASK_ID)}\n{log}") from None

    async def leftovers(self) -> list[str]:
        """What the machine holds of any task, read from the machine itself."""
        parts = self.parts()
        names = [f"eni {item.task_id}" for item in await parts[0].list_tasks()]
        names += [f"disk {task_id}" for task_id in await parts[1].list_disks()]
        names += [f"cgroup {task_id}" for task_id in await parts[2].list_tasks()]
        return names + self._files_and_mounts()

    def _files_and_mounts(self) -> list[str]:
        logs = [f"log {path}" for path in (self.base / "agent" / "logs").glob("*/*")]
        mounts = Path("/proc/mounts").read_text().splitlines()
        return logs + [line for line in mounts if TASK_ID in line and str(self.base) in line]

    def parts(self) -> tuple[LinuxNetwork, LinuxDisks, LinuxCgroups]:
        world = OsWorld()
        return (
            LinuxNetwork(world, instance=self.instance, run_dir=self.base / "net", public_pool=self.pool),
            LinuxDisks(world, directory=self.base / "disks"),
            LinuxCgroups(world, instance=self.instance),
        )

    async def clean(self) -> None:
        """Everything of this instance goes, whatever the test left."""
        for process in self._agents:
            process.kill()
            process.wait()
        network, disks, cgroups = self.parts()
        try:
            await asyncio.to_thread(self.rig.delete_containers)  # they hold disks and cgroups, so they go first
        finally:
            await network.start()
            await network.remove_all()
        for task_id in await disks.list_disks():
            await disks.delete_disk(task_id)
        for task_id in await cgroups.list_tasks():
            await cgroups.delete_task(task_id)


@pytest.fixture(scope="module")
def image(rig: ContainerRig) -> str:
    return rig.push("busybox", build_image([busybox_layer()]))


Story = Callable[[Machine], Awaitable[None]]


@pytest.fixture
def play(rig: ContainerRig, image: str, request: pytest.FixtureRequest) -> Callable[[Story], None]:
    # Not pytest's own temporary directory: there will be mounts in it.
    base = Path(rig.made(f"machine-{abs(hash(request.node.name)):x}"))

    async def life(story: Story) -> None:
        machine = Machine(rig, base, image)
        machine.pool = await free_public_pool(OsWorld())
        api = await asyncio.start_unix_server(_answer_as_the_region, str(base / "api.sock"))
        try:
            async with unix_serve(
                _bridge(machine.server), str(base / "link.sock"), ping_interval=None, max_size=MESSAGE_MAX
            ):
                await story(machine)
        finally:
            api.close()
            await machine.clean()

    return lambda story: asyncio.run(life(story))


def _bridge(server: FakeLinkServer) -> Callable[[ServerConnection], Awaitable[None]]:
    """The fake server behind a real socket."""

    async def serve(socket: ServerConnection) -> None:
        assert socket.request is not None
        pipe = await server.connect(socket.request.path)

        async def towards_agent() -> None:
            try:
                while True:
                    await socket.send(await pipe.receive())
            except (Closed, ConnectionClosed):
                await socket.close()

        sending = asyncio.create_task(towards_agent())
        try:
            while True:
                data = await socket.recv(decode=False)
                assert isinstance(data, bytes)
                await pipe.send(data)
        except (Closed, ConnectionClosed):
            await pipe.close()
            await sending

    return serve


async def _answer_as_the_region(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nthe region")
    await writer.drain()
    writer.close()


def task(machine: Machine, script: str, *others: ContainerLaunch, **changes: Any) -> TaskLaunch:
    web = container(image=machine.image, entry_point=("sh", "-c"), command=(script,), logs=LOGS, stop_timeout_s=3)
    return launch(web, *others, **changes)


def lines(machine: Machine) -> list[bytes]:
    stored = machine.server.logs.get((TASK_ID, "web"))
    return [] if stored is None else stored.lines


async def line(machine: Machine, text: bytes) -> None:
    """Wait until the task has printed this line."""
    for _ in range(600):
        if any(text in found for found in lines(machine)):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{text!r} is not among {lines(machine)}\n{(machine.base / 'agent.log').read_text()[-3000:]}")


def test_a_real_task_runs_reads_its_metadata_and_reaches_the_region(play: Callable[[Story], None]) -> None:
    async def story(machine: Machine) -> None:
        await machine.started()
        script = (
            "echo begin; wget -q -O - $ECS_CONTAINER_METADATA_URI_V4/task; echo; "
            "wget -q -O - $ECS_CONTAINER_METADATA_URI_V4/stats; echo; "
            "wget -q -O - $AWS_ENDPOINT_URL/; echo; hostname; cat /etc/hosts; echo ready; exec sleep 1000"
        )
        machine.server.run(task(machine, script))
        running = await machine.status("RUNNING")
        assert running.eni_attached and running.containers[0].image_digest.startswith("sha256:")
        await line(machine, b"ready")
        said = lines(machine)
        document = json.loads(said[1])
        assert document["TaskARN"].endswith(TASK_ID) and document["Containers"][0]["Name"] == "web"
        assert document["EphemeralStorageMetrics"]["Reserved"] > 0
        stats = json.loads(said[2])
        assert stats["memory_stats"]["usage"] > 0 and stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
        assert stats["networks"]["eth0"]["rx_bytes"] > 0
        assert said[3] == b"the region" and b"ip-10-0-1-5.ec2.internal" in said[4]
        machine.server.stop(TASK_ID, INCARNATION)
        stopped = await machine.status("STOPPED")
        assert stopped.containers[0].exit_code == 137 and stopped.stop_code == "UserInitiated"
        assert await machine.leftovers() == []

    play(story)


def test_exit_codes_volumes_and_health_for_real(play: Callable[[Story], None]) -> None:
    async def story(machine: Machine) -> None:
        await machine.started()
        side = container(
            "side",
            image=machine.image,
            essential=False,
            entry_point=("sh", "-c"),
            command=("echo hello > /shared/word; exec sleep 1000",),
            mount_points=(MountPoint(source_volume="v", container_path="/shared"),),
            health_check=HealthCheck(command=("CMD-SHELL", "test -e /shared/word"), interval_s=5),
            stop_timeout_s=3,
        )
        order = task(machine, "until [ -e /in/word ]; do sleep 0.1; done; cat /in/word; sleep 7; exit 42", side)
        web = container(
            image=machine.image,
            entry_point=("sh", "-c"),
            command=order.containers[0].command,
            logs=LOGS,
            mount_points=(MountPoint(source_volume="v", container_path="/in", read_only=True),),
        )
        machine.server.run(launch(web, side, volumes=("v",)))
        await machine.status("RUNNING")
        stopped = await machine.status("STOPPED")
        assert stopped.stop_code == "EssentialContainerExited"
        assert stopped.containers[0].exit_code == 42 and stopped.containers[1].exit_code == 137
        assert stopped.containers[1].health_status == "HEALTHY"
        assert lines(machine) == [b"hello"]
        assert await machine.leftovers() == []

    play(story)


def test_an_image_that_is_not_there_and_a_command_that_is_not_there(play: Callable[[Story], None]) -> None:
    async def story(machine: Machine) -> None:
        await machine.started()
        missing = machine.image.replace("busybox", "missing")
        machine.server.run(launch(container(image=missing)))
        stopped = await machine.status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert stopped.stopped_reason.startswith("CannotPullContainerError:") and missing in stopped.stopped_reason
        assert await machine.leftovers() == []
        machine.server.reports.clear()
        other = "f" * 32
        machine.server.run(launch(container(image=machine.image, entry_point=("/no/such/command",)), task_id=other))
        stopped = await machine.server.status(other, "STOPPED", within_s=WITHIN_S)
        assert stopped.stop_code == "TaskFailedToStart"
        assert "no such file" in stopped.stopped_reason.lower(), stopped.stopped_reason
        assert await machine.leftovers() == []

    play(story)


def test_a_killed_agent_adopts_what_runs_and_finds_what_ended(play: Callable[[Story], None]) -> None:
    async def story(machine: Machine) -> None:
        agent = await machine.started()
        # An agent may take long to start, so that the task waits for a word.
        wait = "[ $i -ne 40 ] || until [ -e /go/on ]; do sleep 0.1; done"
        script = f"i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.1; {wait}; done; exit 7"
        web = container(
            image=machine.image,
            entry_point=("sh", "-c"),
            command=(script,),
            logs=LOGS,
            mount_points=(MountPoint(source_volume="v", container_path="/go"),),
        )
        machine.server.run(launch(web, volumes=("v",)))
        await machine.status("RUNNING")
        await line(machine, b"line 3")
        await machine.kill(agent)
        await asyncio.sleep(1)
        agent = await machine.started()
        await line(machine, b"line 20")
        assert machine.server.reports[TASK_ID].known_status == "RUNNING"
        await machine.kill(agent)
        (volume,) = machine.base.glob(f"disks/mnt/{TASK_ID}/volumes/*")
        (volume / "on").touch()
        await asyncio.sleep(6)
        await machine.started()
        stopped = await machine.status("STOPPED")
        assert stopped.containers[0].exit_code == 7
        assert lines(machine) == [b"line %d" % n for n in range(60)], "nothing lost, nothing doubled"
        assert await machine.leftovers() == []

    play(story)


@pytest.mark.parametrize("point", ["eni-attached", "container-created", "container-started", "running-saved"])
def test_a_real_kill_in_the_middle_of_a_launch(play: Callable[[Story], None], point: str) -> None:
    async def story(machine: Machine) -> None:
        agent = await machine.started(kill_at=point)
        order = task(machine, "echo once; exec sleep 1000")
        machine.server.run(order)
        assert await machine.ended(agent) == -signal.SIGKILL
        await machine.started()
        machine.server.run(order)
        await machine.status("RUNNING")
        await line(machine, b"once")
        machine.server.stop(TASK_ID, INCARNATION)
        await machine.status("STOPPED")
        assert lines(machine) == [b"once"]
        assert await machine.leftovers() == []

    play(story)


@pytest.mark.parametrize("point", ["stop-saved", "containers-deleted", "disk-deleted", "eni-detached"])
def test_a_real_kill_in_the_middle_of_a_stop(play: Callable[[Story], None], point: str) -> None:
    async def story(machine: Machine) -> None:
        agent = await machine.started(kill_at=point)
        machine.server.run(task(machine, "echo once; exec sleep 1000"))
        await machine.status("RUNNING")
        await line(machine, b"once")
        machine.server.stop(TASK_ID, INCARNATION)
        assert await machine.ended(agent) == -signal.SIGKILL
        await machine.started()
        stopped = await machine.status("STOPPED")
        assert (stopped.stop_code, stopped.containers[0].exit_code) == ("UserInitiated", 137)
        assert await machine.leftovers() == []

    play(story)


def test_a_killed_containerd_is_waited_for(play: Callable[[Story], None]) -> None:
    async def story(machine: Machine) -> None:
        await machine.started()
        machine.server.run(task(machine, "echo up; sleep 4; exit 33"))
        await machine.status("RUNNING")
        machine.rig.kill_containerd()
        await asyncio.sleep(5)
        machine.rig.start_containerd()
        stopped = await machine.status("STOPPED")
        assert stopped.containers[0].exit_code == 33 and lines(machine) == [b"up"]
        assert await machine.leftovers() == []

    play(story)


@contextmanager
def small_filesystem(machine: Machine) -> Iterator[Path]:
    """Behind the disks of this machine's tasks: 600 MiB."""
    image, mount = machine.base / "backing.ext4", machine.base / "disks"
    with image.open("wb") as file:
        file.truncate(600 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    mount.mkdir()
    with loops.attached(str(image)) as device:
        libc.mount(device, str(mount), "ext4", 0)
    try:
        yield mount
    finally:
        libc.umount(str(mount), libc.MNT_DETACH)


def test_a_task_that_fills_the_host_s_disk_is_frozen_and_stopped_in_time(play: Callable[[Story], None]) -> None:
    async def story(machine: Machine) -> None:
        machine.knobs = {"disk_overcommit": 100.0, "disk_low_fraction": 0.6, "disk_recovered_fraction": 0.7}
        machine.knobs |= {"disk_floor_fraction": 0.35, "disk_watch_period_s": 0.1, "host_check_period_s": 0.5}
        with small_filesystem(machine) as backing:
            await machine.started()
            write = "dd if=/dev/zero of=/fill$n bs=1M count=2 conv=fsync 2>/dev/null || echo refused"
            machine.server.run(task(machine, f"n=0; while :; do {write}; n=$((n+1)); sleep 0.04; done"))
            await machine.status("RUNNING")
            least = 1.0
            for _ in range(1200):
                found = os.statvfs(backing)
                least = min(least, found.f_bavail / found.f_blocks)
                if machine.server.reports[TASK_ID].known_status == "STOPPED":
                    break
                await asyncio.sleep(0.05)
            stopped = await machine.status("STOPPED")
            assert stopped.stop_code == "InfrastructureHealth"
            assert stopped.stopped_reason.startswith("Host disk exhausted: 3")
            assert stopped.containers[0].exit_code == 137
            assert 0.05 < least < 0.35
            assert await machine.leftovers() == []
            assert False in [host.accepts_tasks for host in machine.server.hosts]
            for _ in range(200):
                if machine.server.hosts[-1].accepts_tasks:
                    break
                await asyncio.sleep(0.05)
            assert machine.server.hosts[-1].accepts_tasks, "its blocks are the host's again"

    play(story)
