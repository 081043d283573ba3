"""The host seams in memory: network, disks and cgroups that outlive the agent that uses them.

Pass the same suite as the real ones (`testing.suites.hostnet`). A disk is a plain directory; a listener is a UNIX
socket without a name, or a loopback socket when a test wants to speak to it as a task would.
"""

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ..hostnet.task_link import guest_messages
from ..interfaces.hostnet import (
    CgroupStats,
    DiskFull,
    DiskUsage,
    GuestInterface,
    HostError,
    InterfaceStats,
    TaskDisk,
    TaskLimits,
    TaskNetwork,
)
from ..model.knobs import DEFAULT_KNOBS
from ..model.network import Eni, VpcPlan
from .fake_faults import Faults
from .fake_flows import FakeFlowCapture

GIB = 1024**3
_BYTES_OF_AN_EMPTY_DISK = 65_536  # its file system's own


class FakeHostNetwork:
    def __init__(self, *, loopback: bool = False) -> None:
        self.faults = Faults()
        self.tasks: dict[str, TaskNetwork] = {}
        self.controls: dict[str, dict[str, str]] = {}
        self.enis: dict[str, Eni] = {}
        self.plans: dict[str, VpcPlan] = {}
        self.listeners: dict[tuple[str, str, int], socket.socket] = {}
        self.flows: dict[str, FakeFlowCapture] = {}
        self.taps: dict[str, socket.socket] = {}  # the other ends: a frame is a datagram
        self._spares: dict[int, socket.socket] = {}  # the other ends, by the inode of a spare one
        self._attached: set[str] = set()  # more than a namespace
        self._sockets: list[socket.socket] = []  # also those of agents that were killed
        self._loopback = loopback

    async def start(self) -> None:
        await self.faults.before("network.start")
        inhabited = {eni.vpc_id for eni in self.enis.values()}
        self.plans = {vpc_id: plan for vpc_id, plan in self.plans.items() if vpc_id in inhabited}

    async def apply_vpc(self, plan: VpcPlan) -> None:
        await self.faults.before("apply_vpc")
        known = self.plans.get(plan.vpc_id)
        if known is None or known.generation <= plan.generation:
            self.plans[plan.vpc_id] = plan

    async def remove_vpc(self, vpc_id: str, generation: int) -> None:
        await self.faults.before("remove_vpc")
        known = self.plans.get(vpc_id)
        if known is not None and known.generation > generation:
            return
        if any(eni.vpc_id == vpc_id for eni in self.enis.values()):
            raise HostError(f"tasks of this host are in {vpc_id}")
        self.plans.pop(vpc_id, None)
        for key in [key for key in self.listeners if key[0] == vpc_id]:
            del self.listeners[key]
        await self.faults.after("remove_vpc")

    async def relieve_flows(self) -> None:
        await self.faults.before("relieve_flows")

    async def make_namespace(self, task_id: str, eni: Eni) -> TaskNetwork:
        await self.faults.before("make_namespace")
        network = self._record(task_id, eni)
        await self.faults.after("make_namespace")
        return network

    async def attach_eni(self, task_id: str, eni: Eni) -> TaskNetwork:
        await self.faults.before("attach_eni")
        network = self._record(task_id, eni)
        self._attached.add(task_id)
        await self.faults.after("attach_eni")
        return network

    async def open_tap(self, task_id: str, spare: int | None = None) -> GuestInterface:
        await self.faults.before("open_tap")
        for inode in [inode for inode, end in self._spares.items() if _is_left(end)]:
            self._spares.pop(inode).close()
        if task_id not in self._attached:
            raise HostError(f"{task_id} has no interface")
        eni, knobs = self.enis[task_id], DEFAULT_KNOBS
        networks = self.plans[eni.vpc_id].cidrs
        messages = guest_messages(eni, networks, mtu=knobs.eni_mtu, beyond_mtu=knobs.uplink_mtu)
        end: socket.socket | None = None
        if task_id in self.taps and _is_left(self.taps[task_id]):
            self.taps.pop(task_id).close()
        if spare is not None:
            self.taps[task_id] = self._spares.pop(os.fstat(spare).st_ino)
        elif task_id not in self.taps:
            self.taps[task_id], end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        await self.faults.after("open_tap")
        return GuestInterface(descriptor=None if end is None else end.detach(), mac=eni.mac, messages=messages)

    async def open_spare_tap(self) -> int:
        await self.faults.before("open_spare_tap")
        other, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._spares[os.fstat(end.fileno()).st_ino] = other
        return end.detach()

    def _record(self, task_id: str, eni: Eni) -> TaskNetwork:
        if eni.vpc_id not in self.plans:
            raise HostError(f"no plan of {eni.vpc_id} is in force")
        taken = [other for other, known in self.enis.items() if known.private_ipv4 == eni.private_ipv4]
        if taken and taken != [task_id]:
            raise HostError(f"{eni.private_ipv4} is in use by {taken[0]}")
        network = TaskNetwork(
            task_id=task_id, eni_id=eni.eni_id, vpc_id=eni.vpc_id, netns_path=f"/fake/netns/{task_id}"
        )
        self.tasks[task_id] = network
        self.enis[task_id] = eni
        return network

    async def detach_eni(self, task_id: str) -> None:
        await self.faults.before("detach_eni")
        self.tasks.pop(task_id, None)
        self.controls.pop(task_id, None)
        self.enis.pop(task_id, None)
        self._attached.discard(task_id)
        if task_id in self.taps:
            self.taps.pop(task_id).close()
        await self.faults.after("detach_eni")

    async def list_tasks(self) -> list[TaskNetwork]:
        await self.faults.before("network.list_tasks")
        return list(self.tasks.values())

    async def listen(self, vpc_id: str, address: str, port: int, *, datagrams: bool = False) -> socket.socket:
        await self.faults.before("listen")
        if vpc_id not in self.plans:
            raise HostError(f"{vpc_id} has no router on this host")
        family = socket.AF_INET if self._loopback else socket.AF_UNIX
        listener = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        # An empty UNIX address binds to a name of the kernel's choice that no file system shows.
        listener.bind(("127.0.0.1", 0) if self._loopback else "")
        listener.setblocking(False)
        if not datagrams:
            listener.listen(16)
            self.listeners[vpc_id, address, port] = listener
        self._sockets.append(listener)
        return listener

    async def task_socket(self, task_id: str) -> socket.socket:
        await self.faults.before("task_socket")
        if task_id not in self.tasks:
            raise HostError(f"{task_id} has no interface")
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    async def set_controls(self, task_id: str, controls: Sequence[tuple[str, str]]) -> None:
        await self.faults.before("set_controls")
        if task_id not in self.tasks:
            raise HostError(f"task {task_id} has no interface on this host")
        for name, value in controls:
            if value == "-1":
                raise HostError(f"open /proc/sys/{name.replace('.', '/')}: invalid argument")
            self.controls.setdefault(task_id, {})[name] = value
        await self.faults.after("set_controls")

    async def capture_flows(self, vpc_id: str) -> FakeFlowCapture:
        await self.faults.before("capture_flows")
        if vpc_id not in self.plans:
            raise HostError(f"{vpc_id} has no router on this host")
        return self.flows.setdefault(vpc_id, FakeFlowCapture())

    async def interface_stats(self, task_id: str) -> InterfaceStats:
        await self.faults.before("interface_stats")
        if task_id not in self.tasks:
            raise HostError(f"{task_id} has no interface")
        return InterfaceStats(
            rx_bytes=1000,
            rx_packets=10,
            rx_errors=0,
            rx_dropped=0,
            tx_bytes=2000,
            tx_packets=20,
            tx_errors=0,
            tx_dropped=0,
        )

    def reboot(self) -> None:
        self.tasks.clear()
        self.enis.clear()
        self.plans.clear()
        self.listeners.clear()
        self._forget_taps()

    async def remove_all(self) -> None:
        self.tasks.clear()
        self.enis.clear()
        self.plans.clear()
        for listener in self._sockets:
            listener.close()
        self._sockets.clear()
        self.listeners.clear()
        self._forget_taps()

    def _forget_taps(self) -> None:
        self._attached.clear()
        for end in self.taps.values():
            end.close()
        self.taps.clear()


def _is_left(end: socket.socket) -> bool:
    """Whether nobody has the other end open."""
    try:
        return end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


class FakeHostDisks:
    """`room_gib`: what `create_disk` may hand out in all. `free`: the fraction that `free_fraction` answers."""

    def __init__(self, root: Path, *, room_gib: int = 1000) -> None:
        self.faults = Faults()
        self.disks: dict[str, TaskDisk] = {}
        self.reserved: dict[str, int] = {}
        self.memory_mib: dict[str, int] = {}
        self.cut: set[str] = set()
        self.room_gib = room_gib
        self.free = 0.5
        self._root = root

    async def create_disk(self, task_id: str, size_gib: int) -> TaskDisk:
        await self.faults.before("create_disk")
        if task_id not in self.disks:
            if sum(disk.size_gib for disk in self.disks.values()) + size_gib > self.room_gib:
                raise DiskFull(f"no room for a disk of {size_gib} GiB")
            path = self._root / "disks" / task_id
            path.mkdir(parents=True, exist_ok=True)
            self.disks[task_id] = TaskDisk(task_id=task_id, path=str(path), size_gib=size_gib)
        await self.faults.after("create_disk")
        return self.disks[task_id]

    async def hand_over(self, task_id: str) -> str:
        await self.faults.before("hand_over")
        disk = self.disks.get(task_id)
        if disk is None:
            raise HostError(f"{task_id} has no disk")
        image = self._given(task_id)
        if not disk.is_given:
            image.touch(0o600)
            with image.open("r+b") as file:
                file.write(bytes(_BYTES_OF_AN_EMPTY_DISK + _used(Path(disk.path))))
                file.truncate(disk.size_gib * GIB)
            shutil.rmtree(disk.path)
            self.disks[task_id] = replace(disk, is_given=True)
        await self.faults.after("hand_over")
        return str(image)

    async def hold_in_memory(self, task_id: str, size_mib: int) -> str:
        await self.faults.before("hold_in_memory")
        self.memory_mib[task_id] = size_mib
        path = self._root / "memory" / task_id
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self.faults.after("hold_in_memory")
        return str(path)

    async def reserve(self, task_id: str, reserved_bytes: int) -> None:
        await self.faults.before("reserve")
        disk = self.disks.get(task_id)
        if disk is None:
            raise HostError(f"{task_id} has no disk")
        if disk.is_given:
            return
        if reserved_bytes > disk.size_gib * GIB:
            raise DiskFull("the images are larger than the task's disk")
        self.reserved[task_id] = reserved_bytes
        await self.faults.after("reserve")

    async def usage(self, task_id: str) -> DiskUsage:
        await self.faults.before("usage")
        disk = self.disks.get(task_id)
        if disk is None:
            raise HostError(f"{task_id} has no disk")
        held = _blocks(self._given(task_id)) if disk.is_given else _used(Path(disk.path))
        return DiskUsage(used_bytes=held + self.reserved.get(task_id, 0), size_bytes=disk.size_gib * GIB)

    async def allocated(self, task_id: str) -> int:
        await self.faults.before("allocated")
        disk = self.disks.get(task_id)
        if disk is not None and disk.is_given:
            return _blocks(self._given(task_id))
        return 0 if disk is None else _BYTES_OF_AN_EMPTY_DISK + _used(Path(disk.path))

    async def cut_off(self, task_id: str) -> None:
        await self.faults.before("cut_off")
        if task_id in self.disks:
            self.cut.add(task_id)

    async def delete_disk(self, task_id: str) -> None:
        await self.faults.before("delete_disk")
        disk = self.disks.pop(task_id, None)
        self.reserved.pop(task_id, None)
        self.cut.discard(task_id)
        if self.memory_mib.pop(task_id, None) is not None:
            shutil.rmtree(self._root / "memory" / task_id)
        if disk is not None and disk.is_given:
            self._given(task_id).unlink()
        elif disk is not None:
            shutil.rmtree(disk.path)
        await self.faults.after("delete_disk")

    async def list_disks(self) -> list[str]:
        await self.faults.before("list_disks")
        return sorted(self.disks.keys() | self.memory_mib.keys())

    async def free_fraction(self) -> float:
        await self.faults.before("free_fraction")
        return self.free

    def _given(self, task_id: str) -> Path:
        return self._root / "disks" / f"{task_id}.given.img"

    def reboot(self) -> None:
        """Only the directories stay of what was in memory."""
        for task_id in self.memory_mib:
            path = self._root / "memory" / task_id
            shutil.rmtree(path)
            path.mkdir(mode=0o700)


def _blocks(image: Path) -> int:
    return image.stat().st_blocks * 512


def _used(root: Path) -> int:
    return sum(item.stat().st_size for item in root.rglob("*") if item.is_file())


class FakeHostCgroups:
    def __init__(self) -> None:
        self.faults = Faults()
        self.tasks: dict[str, TaskLimits] = {}
        self.cpu_limited: set[str] = set()
        self.used_mib = 0
        self.used_ns = 0
        self._cpu_ns = 0

    def task_path(self, task_id: str) -> str:
        return f"/neargate-fake/{task_id}"

    async def create_task(self, task_id: str, limits: TaskLimits) -> None:
        await self.faults.before("cgroups.create_task")
        self.tasks[task_id] = limits
        await self.faults.after("cgroups.create_task")

    async def limit_cpu(self, task_id: str, limits: TaskLimits) -> None:
        await self.faults.before("cgroups.limit_cpu")
        if task_id not in self.tasks:
            raise HostError(f"cannot limit the CPU of task {task_id}: it has no cgroup")
        assert limits == self.tasks[task_id]
        self.cpu_limited.add(task_id)
        await self.faults.after("cgroups.limit_cpu")

    async def used_memory(self) -> int:
        return self.used_mib << 20

    async def used_cpu_ns(self) -> int:
        return self.used_ns

    async def task_stats(self, task_id: str) -> CgroupStats | None:
        await self.faults.before("task_stats")
        limits = self.tasks.get(task_id)
        return None if limits is None else self._stats(limits)

    async def container_stats(self, task_id: str, container: str) -> CgroupStats | None:
        await self.faults.before("container_stats")
        limits = self.tasks.get(task_id)
        return None if limits is None or not container else self._stats(limits)

    async def delete_task(self, task_id: str) -> None:
        await self.faults.before("cgroups.delete_task")
        self.tasks.pop(task_id, None)
        self.cpu_limited.discard(task_id)
        await self.faults.after("cgroups.delete_task")

    async def list_tasks(self) -> list[str]:
        await self.faults.before("cgroups.list_tasks")
        return sorted(self.tasks)

    def _stats(self, limits: TaskLimits) -> CgroupStats:
        """Counters that grow at each look, as a running container's do."""
        self._cpu_ns += 1_000_000
        return CgroupStats(
            cpu_total_ns=self._cpu_ns,
            cpu_user_ns=self._cpu_ns // 2,
            cpu_system_ns=self._cpu_ns // 2,
            cpu_periods=4,
            cpu_throttled_periods=1,
            cpu_throttled_ns=1000,
            memory_usage=3 * 1024 * 1024,
            memory_max_usage=4 * 1024 * 1024,
            memory_limit=limits.memory_mib * 1024 * 1024,
            memory_cache=1024 * 1024,
            memory_rss=2 * 1024 * 1024,
            oom_kills=0,
            pids=3,
        )


class FakeHost:
    """One machine: everything an agent holds there, and what is left of it."""

    def __init__(self, root: Path, *, loopback: bool = False) -> None:
        self.network = FakeHostNetwork(loopback=loopback)
        self.disks = FakeHostDisks(root)
        self.cgroups = FakeHostCgroups()

    def reboot(self) -> None:
        """Namespaces, links and cgroups are the kernel's and go with it; the files of disks stay."""
        self.network.reboot()
        self.disks.reboot()
        self.cgroups.tasks.clear()
        self.cgroups.cpu_limited.clear()

    def leftovers(self) -> list[str]:
        """Names of what tasks still hold here; empty when all was returned."""
        kinds = {
            "eni": list(self.network.tasks),
            "disk": list(self.disks.disks),
            "memory": list(self.disks.memory_mib),
            "cgroup": list(self.cgroups.tasks),
        }
        return [f"{kind} {task_id}" for kind, held in kinds.items() for task_id in sorted(held)]
