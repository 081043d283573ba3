"""Real machines for tests of the microVM engine: a private containerd for images, small disks, emulated guests.

Owns what `ContainerRig` owns, the disks' mounts and the machines, and their removal. Needs root, QEMU and a guest that
was built (`make guest`).
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path

from ..interfaces.hostnet import GuestInterface
from ..interfaces.sandbox import ContainerConfig, Image
from ..model.knobs import DEFAULT_KNOBS
from ..sandbox.host_facts import read_host_facts
from ..sandbox.images import HostImages
from ..sandbox.microvm.board import ExitBoard
from ..sandbox.microvm.channel import Limits
from ..sandbox.microvm.creation import Creation
from ..sandbox.microvm.engine import MicroVmSandbox
from ..sandbox.microvm.guest import Guest
from ..sandbox.microvm.image_disks import ImageDisks
from ..sandbox.microvm.numbers import StreamNumbers
from ..sandbox.microvm.parts import GuestFiles, Parts
from ..sandbox.microvm.records import Records
from ..sandbox.microvm.store import ImageStore
from ..sandbox.pull.credentials import RegistryAuth
from ..sandbox.pull.proxies import DIRECT
from ..sandbox.rootfs import Views
from ..world import OsWorld
from .container_rig import ContainerRig
from .plain_vmm import SOCKET, PlainVmm

GUEST = Path(os.environ.get("NEARGATE_GUEST_DIR") or "/var/cache/neargate/guest")
_DISK_BYTES = 64 << 20
_GONE_LOOKS = 200


def guest_is_built() -> bool:
    return (GUEST / "manifest.json").is_file()


class MachineRig:
    """`containers`: what the images come from. `vmm` and the disks outlive each `run`, which is one agent's life."""

    def __init__(self) -> None:
        self.containers = ContainerRig()
        self.base = Path(self.containers.base)
        self.vmm = PlainVmm(int(subprocess.check_output([GUEST / "tsc_khz"])))
        self.notes: list[str] = []
        self._mounted: dict[str, str] = {}
        self._tasks = 0

    # -- interfaces of the host, as far as the engine asks

    async def hand_over(self, task_id: str) -> str:
        mounted = self._mounted.pop(task_id, None)
        if mounted is not None:
            subprocess.run(["umount", mounted], check=True)
        return str(self.base / f"{task_id}.img")

    async def open_tap(self, task_id: str) -> GuestInterface:
        """Machines of the plain monitor have no interface."""
        assert task_id
        descriptor = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return GuestInterface(descriptor=descriptor, mac="02:00:00:00:00:01", messages=())

    # -- what tests run

    def run(self, story: Callable[[MicroVmSandbox], Coroutine[object, object, None]]) -> None:
        async def life() -> None:
            engine = self._engine(OsWorld({"sandbox": 4, "pull": 8, "pull-net": 64}))
            await engine.start()
            try:
                await story(engine)
            finally:
                await engine.close()

        asyncio.run(life())

    def _engine(self, world: OsWorld) -> MicroVmSandbox:
        client = self.containers.client()
        views = Views(client)
        images = HostImages(
            world,
            client,
            registry_auth=RegistryAuth(),
            insecure_registries=("127.0.0.1",),
            proxies=DIRECT,
            carried=lambda _: True,
            knobs=DEFAULT_KNOBS,
        )
        disks = ImageDisks(world, views=views, directory=str(self.base / "image-disks"))
        return MicroVmSandbox(
            Parts(
                world=world,
                knobs=DEFAULT_KNOBS,
                vmm=self.vmm,
                connect=lambda task_id: self._connect(world, task_id),
                disks=self,
                network=self,
                images=ImageStore(world, client, images=images, views=views, disks=disks),
                files=GuestFiles(
                    kernel=str(GUEST / "vmlinux"),
                    initramfs=str(GUEST / "initramfs.cpio"),
                    tools=str(GUEST / "tools.erofs"),
                ),
                accelerator="tcg",
                machines=str(self.base / "machines"),
                records=Records(self.base / "records"),
                creation=Creation(views, read_host_facts()),
                board=ExitBoard(),
                note=self.notes.append,
            )
        )

    async def _connect(self, world: OsWorld, task_id: str) -> Guest:
        numbers = StreamNumbers(world, str(self.base / "records" / task_id / "streams"))
        limits = Limits(hello_s=DEFAULT_KNOBS.microvm_hello_s, answer_s=DEFAULT_KNOBS.microvm_answer_s)
        directory = str(self.base / "machines" / task_id)
        return await Guest.connect(world, directory=directory, name=SOCKET, numbers=numbers, limits=limits)

    def config(
        self, image: Image, *args: str, name: str = "main", task_id: str = "", **more: object
    ) -> ContainerConfig:
        """A container of a task of its own, or of `task_id`."""
        if not task_id:
            self._tasks += 1
            task_id = f"task-{self._tasks}"
        fields: dict[str, object] = {
            "runtime_id": f"{task_id}-{name}",
            "task_id": task_id,
            "name": name,
            "image": image,
            "disk_path": self._disk(task_id),
            "netns_path": self.containers.netns_path,
            "hostname": "ip-10-0-0-1",
            "args": args,
            "environment": image.environment,
            "cgroup_path": f"{self.containers.cgroup}/{task_id}/{name}",
            "log_path": str(self.base / f"{task_id}-{name}.log"),
        }
        return ContainerConfig(**(fields | more))  # type: ignore[arg-type]

    def _disk(self, task_id: str) -> str:
        place, image = str(self.base / f"disk-{task_id}"), str(self.base / f"{task_id}.img")
        if task_id not in self._mounted:
            with open(image, "wb") as file:
                file.truncate(_DISK_BYTES)
            subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
            os.makedirs(place)
            subprocess.run(["mount", "-o", "loop", image, place], check=True)
            os.rmdir(os.path.join(place, "lost+found"))
            self._mounted[task_id] = place
        return place

    def log(self, config: ContainerConfig) -> str:
        assert config.log_path is not None
        return Path(config.log_path).read_text(errors="replace")

    def close(self) -> None:
        try:
            for process in self.vmm.processes.values():
                process.kill()
                process.wait()
            for place in self._mounted.values():
                subprocess.run(["umount", place], check=True)
        finally:
            self.containers.close()
