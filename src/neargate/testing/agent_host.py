"""A fake machine with a real agent on it, for tests: start, kill -9 at a named point, start again, see what is left."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ..agent.agent import Agent
from ..agent.credential_files import CredentialFiles
from ..agent.points import Point
from ..model.capacity import HostCapacity, HostFacts, HostPlatform
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..model.launch import ContainerLaunch, TaskLaunch
from ..model.network import Eni, VpcPlan
from .fake_hostnet import FakeHost
from .fake_link_server import FakeLinkServer
from .fake_region_api import FakeRegionApi
from .fake_sandbox import FakeSandbox
from .fake_splunk import FakeCollector
from .virtual_time import Fenced, VirtualWorld, run_virtual

VPC = "vpc-0000000000000000a"
TASK_ID = "0123456789abcdef0123456789abcdef"
INCARNATION = "cell-1"
IMAGE = "registry.example/web:1"


class AgentHost:
    """`kill_at`: the agent dies the next time this point is reached."""

    def __init__(self, root: Path, *, knobs: Knobs = DEFAULT_KNOBS, loopback: bool = False) -> None:
        self.root = root
        self.credentials = root / "credentials"
        self.credentials.mkdir()
        self.knobs = knobs
        self.server = FakeLinkServer()
        self.clock = VirtualWorld()
        self.host = FakeHost(root=root, loopback=loopback)
        self.sandbox = FakeSandbox(self.clock.now)
        self.sandbox.add_image(IMAGE, command=("/bin/web",))
        self.api = FakeRegionApi(self.clock.now)
        self.collector = FakeCollector()
        self.world = VirtualWorld()
        self.worlds: list[VirtualWorld] = []
        self.boot_id = "boot-1"
        self.kill_at: Point | None = None
        self.seen: list[Point] = []
        self.on_point: Callable[[Point], None] | None = None
        self._starts = 0

    async def __aenter__(self) -> "AgentHost":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.host.network.remove_all()
        self.check()

    def start(self) -> Agent:
        """A new process of the agent on this machine."""
        self._starts += 1
        self.world = world = VirtualWorld(self._starts)
        self.worlds.append(world)

        def reached(point: Point, _task_id: str) -> None:
            if world.is_dead:
                return
            self.seen.append(point)
            if self.on_point is not None:
                self.on_point(point)
            if point is self.kill_at:
                self.kill_at = None
                self.kill()

        agent = Agent(
            world,
            facts=self.facts(),
            socket_path="",
            sandbox=_fenced(self.sandbox, world),
            network=_fenced(self.host.network, world),
            disks=_fenced(self.host.disks, world),
            cgroups=_fenced(self.host.cgroups, world),
            state_dir=self.root / "agent",
            endpoint="http://127.0.0.1:4566",
            knobs=self.knobs,
            transport=_fenced(self.server, world),
            credential_files=CredentialFiles(self.credentials),
            exchange=_fenced(self.api, world),
            collector=_fenced(self.collector, world),
            reached=reached,
            pulls_by_task=lambda image: image.startswith("far.example/"),
        )
        world.spawn(agent.run(), "agent")
        return agent

    async def started(self) -> Agent:
        """Started, connected, and in possession of its VPC's plan."""
        agent = self.start()
        await self.server.connected()
        self.server.push(VpcPlan(vpc_id=VPC, generation=1, cidrs=("10.0.0.0/16",), groups=()))
        return agent

    def kill(self) -> None:
        """kill -9: nothing of this process happens any more; its connections are cut."""
        self.world.kill()
        self.server.drop()

    async def until_dead(self) -> None:
        """The kill at `kill_at` has come."""
        for _ in range(600):
            if self.world.is_dead:
                return
            await self.clock.sleep(0.1)
        raise AssertionError("the point was not reached")

    async def back_after_kill(self) -> None:
        """Wait for the death that was planned, then start the agent again."""
        await self.until_dead()
        await self.clock.sleep(3)
        await self.started()

    def facts(self) -> HostFacts:
        capacity = HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=100)
        platform = HostPlatform(kernel="6.1")
        return HostFacts(host_id="host-1", boot_id=self.boot_id, capacity=capacity, platform=platform)

    def leftovers(self) -> list[str]:
        """What the host still holds of any task, log files included."""
        logs = [str(path) for kind in ("logs", "splunk") for path in (self.root / "agent" / kind).glob("*/*")]
        credentials = [f"credentials {path.name}" for path in self.credentials.iterdir()]
        return [
            *self.host.leftovers(),
            *(f"container {key}" for key in self.sandbox.containers),
            *logs,
            *credentials,
        ]

    def check(self) -> None:
        """No background coroutine of a living agent failed."""
        for world in self.worlds:
            for failure in world.failures:
                raise failure


def play(
    root: Path,
    scenario: Callable[[AgentHost], Awaitable[None]],
    *,
    prepare: Callable[[AgentHost], None] | None = None,
) -> None:
    """The scenario on a machine with a connected agent; afterwards no coroutine of the agent may have failed.

    `prepare` is called before the agent is there.
    """

    async def whole() -> None:
        async with AgentHost(root) as host:
            if prepare is not None:
                prepare(host)
            await host.started()
            await scenario(host)

    run_virtual(whole())


def container(name: str = "web", **changes: Any) -> ContainerLaunch:
    return replace(ContainerLaunch(name=name, image=IMAGE, arn=f"arn:{name}"), **changes)


def launch(*containers: ContainerLaunch, **changes: Any) -> TaskLaunch:
    """A task of one web container unless told otherwise."""
    eni = Eni(
        eni_id="eni-00000000000000001",
        attachment_id="attachment",
        mac="0a:00:00:00:00:01",
        vpc_id=VPC,
        subnet_id="subnet-1",
        subnet_cidr="10.0.1.0/24",
        private_ipv4="10.0.1.5",
        private_dns_name="ip-10-0-1-5.ec2.internal",
    )
    base = TaskLaunch(
        task_id=TASK_ID,
        task_arn=f"arn:aws:ecs:us-east-1:123456789012:task/default/{TASK_ID}",
        incarnation=INCARNATION,
        capacity_id="capacity",
        account="123456789012",
        region="us-east-1",
        zone="us-east-1a",
        zone_id="use1-az1",
        cluster="default",
        cluster_arn="arn:aws:ecs:us-east-1:123456789012:cluster/default",
        family="web",
        revision=1,
        group="family:web",
        cpu_units=256,
        memory_mib=512,
        eni=eni,
        containers=containers or (container(),),
    )
    return replace(base, **changes)


def write(host: AgentHost, data: bytes) -> None:
    """As the container `web` writes it."""
    host.sandbox.write_log(host.sandbox.named("web").config.runtime_id, data)


def stored(host: AgentHost) -> list[bytes]:
    """What the server keeps of the container `web`."""
    return host.server.logs[TASK_ID, "web"].lines


async def end_unheard(host: AgentHost) -> None:
    """The server is away when the container `web` ends, and for a while after it."""
    host.server.is_down = True
    host.server.drop()
    host.sandbox.end(host.sandbox.named("web").config.runtime_id, 0)
    await host.clock.sleep(30)


async def heard_again(host: AgentHost) -> None:
    """The server is back, and hears of the task's end and of what follows it."""
    host.server.is_down = False
    await host.server.status(TASK_ID, "STOPPED")
    await host.clock.sleep(10)


def _fenced(inner: object, world: VirtualWorld) -> Any:
    return Fenced(inner, world)
