"""The microVM engine over fakes, in virtual time: a host of its own directory, whose machines outlive each agent.

Owns what the engine meets beside the monitor: images without registries, blueprints without disks. Needs no root.
"""

# ruff: noqa: ARG002  the parameters are the seam's

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from ..interfaces.hostnet import GuestInterface, HostError
from ..interfaces.sandbox import ContainerConfig, Image, PauseConfig, PullRequest, SandboxError
from ..model.knobs import DEFAULT_KNOBS
from ..sandbox.microvm.accelerators import Accelerators, Kept
from ..sandbox.microvm.board import ExitBoard
from ..sandbox.microvm.connecting import connector, spare_connector
from ..sandbox.microvm.engine import MicroVmSandbox
from ..sandbox.microvm.parts import GuestFiles, Parts, Spares
from ..sandbox.microvm.record import Blueprint
from ..sandbox.microvm.records import Records
from ..sandbox.microvm.rehearsal import REHEARSAL
from ..sandbox.microvm.specs import container_blueprint, guest_facts, pause_blueprint
from ..sandbox.microvm.vmm import Accelerator
from ..sandbox.users import ResolvedUser
from .fake_crun import CrunGuest
from .fake_guest_processes import Program, saying
from .fake_hostnet import FakeHostCgroups
from .fake_vmm import FakeVmm
from .virtual_time import VirtualWorld, run_virtual

ADDRESS_MESSAGE = b"an rtnetlink message"


class FakeImages:
    """Implements parts.Images. `known`: by reference."""

    def __init__(self) -> None:
        self.known: dict[str, Image] = {}
        self.disks: list[str] = []  # digests, as they were asked for
        self.refusal = ""  # why no disk can be made
        self.gate: asyncio.Event | None = None  # disks are made, or refused, when it is set

    def add(self, reference: str) -> Image:
        digest = f"sha256:{len(self.known) + 1:064x}"
        image = Image(
            reference=reference,
            digest=digest,
            index_digest=None,
            config_digest=digest,
            snapshot=digest,
            unpacked_bytes=4096,
            compressed_bytes=2048,
        )
        self.known[reference] = image
        return image

    async def start(self) -> None:
        """Always there."""

    async def pull(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        image = self.known.get(request.reference)
        if image is None:
            raise SandboxError(f"CannotPullContainerError: failed to resolve ref {request.reference}: not found")
        progress(image.compressed_bytes, image.compressed_bytes)
        return image

    def forget(self, image: Image) -> None:
        del self.known[image.reference]

    async def disk(self, image: Image) -> str:
        if self.gate is not None:
            await self.gate.wait()
        if self.refusal:
            raise SandboxError(self.refusal)
        self.disks.append(image.digest)
        return f"/images/{image.digest}.erofs"

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        return ()

    async def seed(self, image: Image, container_path: str, target_dir: str) -> bool:
        return False

    def close(self) -> None:
        """Nothing is open."""


class FakeCreation:
    """Implements parts.Creates: the blueprint, without the disk."""

    def __init__(self) -> None:
        self._facts = guest_facts("amd64")

    def container(self, config: ContainerConfig) -> Blueprint:
        if config.log_path is not None:
            Path(config.log_path).touch()
        return container_blueprint(config, ResolvedUser(uid=0, gid=0), self._facts)

    def pause(self, config: PauseConfig) -> Blueprint:
        return pause_blueprint(config, self._facts)

    def clear(self, blueprint: Blueprint) -> None:
        """Nothing was mounted."""


class FakeHost:
    """Disks and taps. `busy`: so many calls to come fail, as while an unmount still writes."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.busy = 0

    async def hand_over(self, task_id: str) -> str:
        if self.busy:
            self.busy -= 1
            raise HostError("the disk is still used")
        self.given.append(task_id)
        return f"/disks/{task_id}.given"

    async def open_tap(self, task_id: str, spare: int | None = None) -> GuestInterface:
        descriptor = None if spare is not None else await self.open_spare_tap()
        return GuestInterface(descriptor=descriptor, mac="02:00:00:00:00:01", messages=(ADDRESS_MESSAGE,))

    async def open_spare_tap(self) -> int:
        return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


class MicroVmRig:
    """`acts`: what containers do, by their arguments. Several agents may live one after the other (`agent`).

    `saves`: machines are saved, and others go on from them. `waiting_mib`: and wait before a task comes.
    """

    def __init__(
        self, base: Path, acts: Mapping[tuple[str, ...], Program], *, saves: bool = False, waiting_mib: int = 0
    ) -> None:
        self.waiting_mib = waiting_mib
        self.base = base
        self.world = VirtualWorld()
        self.acts = {REHEARSAL: saying(b""), **acts}
        self.images = FakeImages()
        self.host = FakeHost()
        self.vmm = FakeVmm(lambda path: CrunGuest(self.world, path, self.acts), has_snapshots=saves)
        self.cgroups = FakeHostCgroups()  # of machines that are no task's
        self.snapshots = base / "snapshots"
        self.notes: list[str] = []
        self.release = "6.1 guest"  # of the guest image that is installed
        self.usable: tuple[Accelerator, ...] = ("tcg",)
        self.boot_id = ""  # of the host; empty: no agent keeps for the next how machines are run
        self.knobs = replace(DEFAULT_KNOBS, microvm_hello_s=5.0)

    def agent(self) -> MicroVmSandbox:
        machines, records = str(self.base / "machines"), Records(self.base / "records")
        return MicroVmSandbox(
            Parts(
                world=self.world,
                knobs=self.knobs,
                vmm=self.vmm,
                connect=connector(self.world, self.knobs, machines, records),
                disks=self.host,
                network=self.host,
                images=self.images,
                files=GuestFiles(
                    kernel="/guest/vmlinux",
                    initramfs="/guest/initramfs.cpio",
                    tools="/guest/tools.erofs",
                    release=self.release,
                ),
                accelerators=Accelerators(
                    self.usable, Kept(file=self.base / "accelerator", boot_id=self.boot_id) if self.boot_id else None
                ),
                machines=machines,
                records=records,
                creation=FakeCreation(),
                board=ExitBoard(),
                note=self.notes.append,
                spares=self._spares(machines) if self.vmm.has_snapshots else None,
            )
        )

    def _spares(self, machines: str) -> Spares:
        return Spares(
            snapshots=str(self.snapshots),
            cgroups=self.cgroups,
            connect=spare_connector(self.world, self.knobs, machines),
            waiting_mib=self.waiting_mib,
        )

    def config(self, image: Image, name: str, *args: str, task_id: str = "") -> ContainerConfig:
        task = task_id or f"task-{name}"
        return ContainerConfig(
            runtime_id=f"{task}-{name}",
            task_id=task,
            name=name,
            image=image,
            disk_path=str(self.base / "disks" / task),
            netns_path="/fake",
            hostname="host",
            args=args,
            environment=(),
            cgroup_path=f"/test/{task}/{name}",
            log_path=str(self.base / f"{task}-{name}.log"),
            labels=(("suite", name),),
        )

    def run(self, story: Callable[[MicroVmSandbox], Awaitable[None]]) -> None:
        """With one started agent; the machines end with it."""

        async def life() -> None:
            engine = self.agent()
            await engine.start()
            try:
                await story(engine)
            finally:
                await engine.close()
                for machine_id in list(self.vmm.machines):
                    await self.vmm.destroy(machine_id)

        run_virtual(life())
        for failure in self.world.failures:
            raise failure
