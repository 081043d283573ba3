"""The host seam: network interfaces, disks and cgroups of tasks. Netlink, nftables, loops. Calls may be repeated."""

import socket
from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from ..model.host_ids import UserNamespace
from ..model.network import Eni, VpcPlan


class HostError(Exception):
    """The host cannot do it; `reason` says what and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DiskFull(HostError):
    """No room under this host's disk accounting."""


class TaskNetwork(Struct, frozen=True, kw_only=True):
    """`user_namespace`: what the network namespace belongs to, where the task has one of its own: its processes have to
    be in that one."""

    task_id: str
    eni_id: str
    vpc_id: str
    netns_path: str
    user_namespace: UserNamespace | None = None


class GuestInterface(Struct, frozen=True, kw_only=True):
    """The host's side of a machine's only network interface.

    `descriptor`: of the opened tap, close-on-exec, the caller's to close: whoever has it open is the guest. None: a
    machine that lives has it. Each frame begins with a virtio_net_hdr of 10 bytes, and those to the guest are whole and
    no longer than the MTU, until the machine monitor says what more it takes (TUNSETVNETHDRSZ, TUNSETOFFLOAD).
    `mac`: the ENI's, with which alone the guest may send.
    `messages`: for the guest's kernel, in order, where lo is link 1 and eth0 link 2: complete rtnetlink messages with
    their headers, each asking for an acknowledgement. May be repeated. That it does not know IPv6 at all
    (EAFNOSUPPORT, EOPNOTSUPP) is no failure.
    """

    descriptor: int | None
    mac: str
    messages: tuple[bytes, ...]


# The disk as its task's user namespace sees it, and what the layers of its images are in. No task's id has a dot.
TWINS = TWIN_OF_DISK, TWIN_OF_IMAGES = ".ids", ".images"


class TaskDisk(Struct, frozen=True, kw_only=True):
    """A mounted filesystem of the task's size, on which its containers' writable layers and volumes live.

    `is_given`: a machine has it for good (`hand_over`). Then nothing is at `path` and nothing may be made there; it
    still says which paths were the disk's.
    An engine may mount things beside it, at `path` with one of `TWINS` at the end: they go with the disk.
    """

    task_id: str
    path: str
    size_gib: int
    is_given: bool = False


class DiskUsage(Struct, frozen=True, kw_only=True):
    used_bytes: int
    size_bytes: int


class TaskLimits(Struct, frozen=True, kw_only=True):
    """Task-level limits: memory is strict; CPU is weight plus a quota of the task's size."""

    cpu_units: int
    memory_mib: int
    pids: int = 16384


class BlockIo(Struct, frozen=True, kw_only=True):
    """What one device served. `kind` is the kernel's word: Read, Write, Sync, Async, Discard or Total."""

    major: int
    minor: int
    kind: str
    served_bytes: int
    operations: int


class CgroupStats(Struct, frozen=True, kw_only=True):
    """Counters of one cgroup, version-neutral. CPU in nanoseconds, memory in bytes."""

    cpu_total_ns: int
    cpu_user_ns: int
    cpu_system_ns: int
    cpu_periods: int
    cpu_throttled_periods: int
    cpu_throttled_ns: int
    memory_usage: int
    memory_max_usage: int
    memory_limit: int
    memory_cache: int
    memory_rss: int
    oom_kills: int
    pids: int
    block_io: tuple[BlockIo, ...] = ()


class InterfaceStats(Struct, frozen=True, kw_only=True):
    """From the task's view: received is what came into the task."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Strays(Struct, frozen=True, kw_only=True):
    """Packets on the underlay that were neither overlay nor link: how many were dropped, and when, whose and to whom
    the last was that was seen."""

    packets: int = 0
    last: str = ""


class FlowNews(Struct, frozen=True, kw_only=True):
    """Payloads of the kernel's messages, as `flowlogs.messages` reads them. `lost`: there were more."""

    ended: tuple[bytes, ...] = ()
    rejected: tuple[bytes, ...] = ()
    lost: bool = False


class FlowCapture(Protocol):
    """What the kernel counts and drops of a VPC's packets. For one thread at a time; only `dump` blocks, for a bounded
    time. Its methods raise OSError.

    `is_adopted`: flows were counted before by somebody who did not tell.
    """

    is_adopted: bool

    def read(self, most: int) -> FlowNews:
        """What came since the last call, at most so many messages of each kind."""

    def dump(self) -> Iterator[bytes]:
        """All flows the kernel knows; the ends of those that are over are among the next news."""

    def close(self) -> None: ...


class HostNetwork(Protocol):
    """One router namespace per VPC, one edge namespace per host, a routed /32 per ENI, security groups in nftables."""

    async def start(self) -> None:
        """Make or adopt the edge. Raises HostError."""

    async def apply_vpc(self, plan: VpcPlan) -> None:
        """Make the VPC's router if need be and its rules equal to the plan. A lower generation is ignored."""

    async def remove_vpc(self, vpc_id: str, generation: int) -> None:
        """Undo `apply_vpc`, unless a plan of a higher generation is in force. Raises HostError while a task is in it.

        Its listeners must be closed. May be repeated, also for a VPC that was never here.
        """

    async def relieve_flows(self) -> None:
        """To be called about every second: whoever fills a table of flows that others need too begins no more."""

    async def make_namespace(self, task_id: str, eni: Eni) -> TaskNetwork:
        """The task's namespace without its interface: enough to create containers in. `attach_eni` completes it."""

    async def attach_eni(self, task_id: str, eni: Eni) -> TaskNetwork:
        """A namespace for the task with eth0, routes, anti-spoofing and security groups; the public address if any."""

    async def open_tap(self, task_id: str, spare: int | None = None) -> GuestInterface:
        """The end of the task's interface that its machine has: what its guest sends leaves by eth0, and what comes to
        eth0 is the guest's, but for the agent's own connections, whose local ports are `model.network.AGENT_PORTS`.

        After `attach_eni`, and before the agent opens connections in the task's name that shall last: those from other
        ports end. May be repeated; it renews the rules, also when a machine has the tap. The tap stays until
        `detach_eni`, also while nobody has it open. Raises HostError, also on a kernel that cannot do it.

        `spare`: one of `open_spare_tap`, which a machine has by now: it becomes the task's, in place of any other. It
        stays the caller's to close, and the answer has no descriptor. Not to be repeated with the same.
        """

    async def open_spare_tap(self) -> int:
        """A tap that leads nowhere, of a machine that is no task's: ends with its descriptor, the caller's to close."""

    async def detach_eni(self, task_id: str) -> None:
        """Undo both whole, by the task's id alone; stale flows of its addresses are cut."""

    async def list_tasks(self) -> list[TaskNetwork]:
        """What is attached, read from the host itself (adoption after a crash)."""

    async def listen(self, vpc_id: str, address: str, port: int, *, datagrams: bool = False) -> socket.socket:
        """A listening TCP socket (`datagrams`: a bound UDP one) inside the VPC's router, reachable from its tasks.

        For task metadata, the region's endpoint and the resolver of names.
        """

    async def task_socket(self, task_id: str) -> socket.socket:
        """An unconnected TCP socket in the task's namespace: what it says is said by the task's interface.

        The caller closes it. Raises HostError for a task without a namespace.
        """

    async def set_controls(self, task_id: str, controls: Sequence[tuple[str, str]]) -> None:
        """Kernel parameters (`net.core.somaxconn`) of the task's own namespace, in order. May be repeated.

        Whoever calls has checked the names. Raises HostError for one that this kernel lacks or a value it refuses.
        """

    async def capture_flows(self, vpc_id: str) -> FlowCapture:
        """Of a VPC whose plan in force has a flow log. Who asked closes it. Raises HostError."""

    async def interface_stats(self, task_id: str) -> InterfaceStats: ...

    async def remove_all(self) -> None:
        """Undo everything this instance added to the machine (`neargate down`, last agent gone)."""


class HostDisks(Protocol):
    async def create_disk(self, task_id: str, size_gib: int) -> TaskDisk:
        """Sparse file, ext4, loop device, mounted. Raises DiskFull.

        A repeat for one that was handed over mounts nothing: the answer says `is_given`.
        """

    async def hand_over(self, task_id: str) -> str:
        """For the task's machine: this host never looks into the disk again. The path of the image (root's, 0600).

        Unmounts all that lies in it and the disk itself, written out, its loop device gone; may be repeated. What is
        held in memory stays. Raises HostError: there is no disk, or somebody still uses it; then it may be tried again.
        """

    async def hold_in_memory(self, task_id: str, size_mib: int) -> str:
        """A directory of root's alone on a filesystem in memory of that size, never on a disk; its path.

        For what a task may read and nobody may find later. It outlives the agent, and goes with the task's disk.
        """

    async def reserve(self, task_id: str, reserved_bytes: int) -> None:
        """Charge the image's size to the task's disk: a reserved file inside it (replaces an earlier charge).

        Before `hand_over`: on a disk that was given it does nothing, the charge is as it was.
        """

    async def usage(self, task_id: str) -> DiskUsage:
        """Of a disk that was given: what it takes of the host and the charge, as nobody may ask its filesystem."""

    async def allocated(self, task_id: str) -> int:
        """Bytes that this disk takes of the host, which is less than what is used in it; 0 when there is none."""

    async def cut_off(self, task_id: str) -> None:
        """For a disk that is to be deleted: nothing more of it takes room of the host; its writers get errors.

        Raises HostError or OSError where this host cannot do it: then only the end of the writers helps.
        """

    async def delete_disk(self, task_id: str) -> None:
        """Its room is the host's again, also while a late process still holds a file of it.

        Of one that was given, after the machine's end: its image is deleted, never mounted.
        """

    async def list_disks(self) -> list[str]:
        """Task ids with a disk on this host, or with a directory in its memory."""

    async def free_fraction(self) -> float:
        """Free part of the filesystem behind the disks, 0..1."""


class HostCgroups(Protocol):
    def task_path(self, task_id: str) -> str:
        """The task's cgroup below each hierarchy's root, e.g. /neargate-1a2b/TASK."""

    async def create_task(self, task_id: str, limits: TaskLimits) -> None:
        """Memory and pids are limited at once, the CPU by `limit_cpu`."""

    async def limit_cpu(self, task_id: str, limits: TaskLimits) -> None:
        """Before the first process of an image starts. What the runtime does before that is the host's work: held to a
        quarter of a core it would be throttled in the middle of each launch. Of a task with a machine of its own,
        which boots with its first container: as soon as that has started."""

    async def used_memory(self) -> int:
        """Bytes, of all tasks together, with what runs them inside their cgroups."""

    async def used_cpu_ns(self) -> int:
        """Of all tasks together, growing; it begins anew, or at 0, after the last of them has gone."""

    async def task_stats(self, task_id: str) -> CgroupStats | None: ...

    async def container_stats(self, task_id: str, container: str) -> CgroupStats | None: ...

    async def delete_task(self, task_id: str) -> None: ...

    async def list_tasks(self) -> list[str]: ...
