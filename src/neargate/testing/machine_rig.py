"""Real machines for tests of the microVM engine: a private containerd for images, small disks, emulated guests.

Owns what `ContainerRig` owns, the disks' mounts and the machines, and their removal. Needs root, QEMU and a guest that
was built (`make guest`).
"""

import asyncio
import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..hostnet import netlink
from ..hostnet.cgroups import LinuxCgroups, detect
from ..interfaces.hostnet import GuestInterface, TaskLimits
from ..interfaces.sandbox import ContainerConfig, Image
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..sandbox.host_facts import read_host_facts
from ..sandbox.images import HostImages
from ..sandbox.microvm.accelerators import Accelerators
from ..sandbox.microvm.board import ExitBoard
from ..sandbox.microvm.connecting import connector, spare_connector
from ..sandbox.microvm.creation import Creation
from ..sandbox.microvm.engine import MicroVmSandbox
from ..sandbox.microvm.image_disks import ImageDisks
from ..sandbox.microvm.parts import GuestFiles, Parts, Spares
from ..sandbox.microvm.qemu import QemuVmm
from ..sandbox.microvm.records import Records
from ..sandbox.microvm.store import ImageStore
from ..sandbox.microvm.vmm import Accelerator
from ..sandbox.pull.credentials import RegistryAuth
from ..sandbox.pull.proxies import DIRECT
from ..sandbox.rootfs import Views
from ..world import OsWorld
from .container_rig import ContainerRig

GUEST = Path(os.environ.get("NEARGATE_GUEST_DIR") or "/var/cache/neargate/guest")
_MAC = "02:00:00:00:00:77"
_DISK_BYTES = 64 << 20
_CGROUP_MIB = 1024  # of a machine of half of that, and QEMU's own
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_TAP_WITH_HEADERS = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR

_libc = ctypes.CDLL(None, use_errno=True)


def guest_is_built() -> bool:
    return (GUEST / "manifest.json").is_file()


class MachineRig:
    """`containers`: what the images come from. Machines and disks outlive each `run`, which is one agent's life.

    `saves`: machines are saved, and others go on from them. `waiting_mib`: and wait before a task comes.
    """

    def __init__(
        self,
        knobs: Knobs = DEFAULT_KNOBS,
        *,
        saves: bool = False,
        waiting_mib: int = 0,
        accelerator: Accelerator = "tcg",
    ) -> None:
        self.saves = saves
        self._accelerator = accelerator
        self.waiting_mib = waiting_mib
        self.containers = ContainerRig()
        self._knobs = knobs
        self.base = Path(self.containers.base)
        self.snapshots = self.base / "snapshots"
        self.notes: list[str] = []
        self._mounted: dict[str, str] = {}
        self._tasks = 0

    # -- interfaces of the host, as far as the engine asks

    async def hand_over(self, task_id: str) -> str:
        mounted = self._mounted.pop(task_id, None)
        if mounted is not None:
            subprocess.run(["umount", mounted], check=True)  # noqa: ASYNC221  a small disk
        return str(self.base / f"{task_id}.img")

    async def open_tap(self, task_id: str, spare: int | None = None) -> GuestInterface:
        """That leads nowhere; a spare one stays where it is."""
        assert task_id
        descriptor = None if spare is not None else await self.open_spare_tap()
        hardware = netlink.complete([netlink.link_hardware(2, _MAC)])
        return GuestInterface(descriptor=descriptor, mac=_MAC, messages=hardware)

    async def open_spare_tap(self) -> int:
        with ThreadPoolExecutor(1) as own:  # whose namespace ends with the tap
            return own.submit(_tap_alone).result()

    # -- what tests run

    def run(self, story: Callable[[MicroVmSandbox], Coroutine[object, object, None]]) -> None:
        async def life() -> None:
            engine = self._engine(_world())
            await engine.start()
            try:
                await story(engine)
            except BaseException as failure:
                failure.add_note("\n".join(self.notes))
                raise
            finally:
                await engine.close()

        asyncio.run(life())

    def _engine(self, world: OsWorld) -> MicroVmSandbox:
        client = self.containers.client()
        machines, records = str(self.base / "machines"), Records(self.base / "records")
        views = Views(client)
        images = HostImages(
            world,
            client,
            registry_auth=RegistryAuth(),
            insecure_registries=("127.0.0.1",),
            proxies=DIRECT,
            carried=lambda _: True,
            knobs=self._knobs,
        )
        disks = ImageDisks(world, views=views, directory=str(self.base / "image-disks"))
        return MicroVmSandbox(
            Parts(
                world=world,
                knobs=self._knobs,
                vmm=self._vmm(world),
                connect=connector(world, self._knobs, machines, records),
                disks=self,
                network=self,
                images=ImageStore(world, client, images=images, views=views, disks=disks),
                files=GuestFiles(
                    kernel=str(GUEST / "vmlinux"),
                    initramfs=str(GUEST / "initramfs.cpio"),
                    tools=str(GUEST / "tools.erofs"),
                ),
                accelerators=Accelerators((self._accelerator,)),
                machines=machines,
                records=records,
                creation=Creation(views, read_host_facts()),
                board=ExitBoard(),
                note=self.notes.append,
                spares=self._spares(world, machines) if self.saves else None,
            )
        )

    def _spares(self, world: OsWorld, machines: str) -> Spares:
        return Spares(
            snapshots=str(self.snapshots),
            cgroups=self._spare_cgroups(world),
            connect=spare_connector(world, DEFAULT_KNOBS, machines),
            waiting_mib=self.waiting_mib,
            disk_bytes=_DISK_BYTES,
        )

    def _spare_cgroups(self, world: OsWorld) -> LinuxCgroups:
        return LinuxCgroups(world, instance=f"{self.containers.cgroup.rpartition('-')[2]}-spare")

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
            "cgroup_path": f"{self._cgroup(task_id)}/{name}",
            "log_path": str(self.base / f"{task_id}-{name}.log"),
        }
        return ContainerConfig(**(fields | more))  # type: ignore[arg-type]

    def _vmm(self, world: OsWorld) -> QemuVmm:
        return QemuVmm(world, self.base / "machines", allow_emulated=self._accelerator == "tcg")

    async def _end_machines(self) -> None:
        world = _world()
        vmm = self._vmm(world)
        for machine in await vmm.list_machines():
            await vmm.destroy(machine.machine_id)
        cgroups = self._spare_cgroups(world)
        for name in await cgroups.list_tasks():
            await cgroups.delete_task(name)

    def _cgroup(self, task_id: str) -> str:
        """Of a task, with room for its machine."""
        path = f"{self.containers.cgroup}/{task_id}"
        detect(Path("/sys/fs/cgroup")).create(
            self.containers.cgroup.lstrip("/"), path.lstrip("/"), TaskLimits(cpu_units=1024, memory_mib=_CGROUP_MIB)
        )
        return path

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

    async def spare_cgroups(self) -> list[str]:
        """Of machines that are no task's."""
        return await self._spare_cgroups(_world()).list_tasks()

    async def monitor_pids(self) -> dict[str, int]:
        """By task, as the next agent's driver finds them."""
        return {machine.machine_id: machine.pid for machine in await self._vmm(_world()).list_machines()}

    def log(self, config: ContainerConfig) -> str:
        assert config.log_path is not None
        return Path(config.log_path).read_text(errors="replace")

    def close(self) -> None:
        try:
            asyncio.run(self._end_machines())
            for place in self._mounted.values():
                subprocess.run(["umount", place], check=True)
        finally:
            self.containers.close()


def _world() -> OsWorld:
    return OsWorld({"sandbox": 4, "pull": 8, "pull-net": 64, "microvm": 2})


def _tap_alone() -> int:
    """A tap in a network namespace of its own, which this thread enters for good."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", b"tap0", _TAP_WITH_HEADERS))
    return descriptor
