"""Hosts and reservations as a zone's capacity manager sees them."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from .network import Eni


class Tenancy(StrEnum):
    """The operator's word on who may be on a host at the same time (`neargate up --tenancy`)."""

    STRICT = "strict"  # tasks of one account, where all tasks of a host share its kernel
    SHARED = "shared"  # whoever comes: the operator trusts all accounts
    ONE_TASK = "one-task"  # one task, whatever isolates it


class HostCapacity(Struct, frozen=True, kw_only=True):
    """What a machine offers. CPU is in units (1,024 per core) before overcommit; memory is strict."""

    cpu_units: int
    memory_mib: int
    disk_gib: int


class TaskOverhead(Struct, frozen=True, kw_only=True):
    """Memory that a host needs beside each task's own: MiB, and one part in `memory_part` of the task's (0: none)."""

    memory_mib: int = 0
    memory_part: int = 0

    def of(self, memory_mib: int) -> int:
        """MiB, of a task of that size."""
        return self.memory_mib + (memory_mib // self.memory_part if self.memory_part else 0)


class HostPlatform(Struct, frozen=True, kw_only=True):
    """The releases of what is below a host's tasks, beside the agent's own; empty: it has none, or does not know."""

    kernel: str = ""  # the host's own, as uname says it
    guest_image: str = ""  # of its microVMs: kernel and first process
    vmm: str = ""


class WaitingMachines(Struct, frozen=True, kw_only=True):
    """Machines of one size that wait for a task. `memory_mib`: the machine's, which is a task's and its guest's."""

    vcpus: int
    memory_mib: int
    count: int


class HostUse(Struct, frozen=True, kw_only=True):
    """What all tasks of a host use now, rounded up to steps, and by which rung of the ladder their machines came.

    `cpu_units`: over the last half minute. `disk_mib`: that their disks take of the host. `came_...`: since its agent
    began.
    """

    cpu_units: int = 0
    disk_mib: int = 0
    waiting: tuple[WaitingMachines, ...] = ()
    came_warm: int = 0
    came_saved: int = 0
    came_cold: int = 0


OLD_MACHINES_MAX = 1000  # that a host names at a time; the next ones when these are gone


class HostFacts(Struct, frozen=True, kw_only=True):
    """What an agent says of its machine when it registers."""

    host_id: str
    boot_id: str
    capacity: HostCapacity
    architecture: str = "X86_64"
    software: str = ""  # the agent's release: newest is preferred at placement
    platform: HostPlatform | None = None  # None: an agent of a release that does not say
    sandbox: str = "container"  # or microvm, emulated, simulated: which are a boundary, placement/tenancy.py says
    overhead: TaskOverhead = TaskOverhead()  # an agent of a release that does not say has none
    zone: str | None = None  # None: the machine's one capacity shard, the zone is a label
    accepts_tasks: bool = True  # False below the disk floor
    reason: str | None = None
    strays: int = 0  # packets dropped on its underlay: tasks' that were neither overlay nor link
    last_stray: str = ""  # when, from whom to whom
    refused_plans: int = 0  # times that a VPC's plan was not taken or not put in force, since the agent began
    flow_log_skips: int = 0  # SKIPDATA records that it wrote, since the agent began
    machines: int = 0  # that run on it now, of tasks
    used_memory_mib: int = 0  # by all its tasks together, rounded up to a step; `overhead` is in it
    use: HostUse | None = None  # None: an agent of a release that does not say
    old_machines: tuple[str, ...] = ()  # tasks whose machine has another guest image or VMM than new ones here get
    refused_pools: str = ""  # which pools of public addresses it does not let the region have, and why


class SubnetView(Struct, frozen=True, kw_only=True):
    """A subnet as resolved by the front end for a launch. `ipv6_cidr`: where interfaces in it get an address of it.

    `kept`: its networks of which addresses are given only to who names them (subnet CIDR reservations).
    """

    subnet_id: str
    vpc_id: str
    zone: str
    zone_id: str
    cidr: str
    ipv6_cidr: str | None = None
    kept: tuple[str, ...] = ()


# Of each subnet, what is counted apart (SubnetView.kept).
NOTHING_KEPT: Mapping[str, Sequence[str]] = {}


class ReservationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One task's claim. Safe to repeat: (task_id, zone) names it.

    `may_reclaim`: the zone may promise the room of Spot tasks that are yet to end. `public_address`: which one is given
    with `assign_public_ip`, unless an interface of the zone has it: then any.
    """

    task_id: str
    account: str
    cluster: str = ""
    zone: str
    subnet: SubnetView
    security_groups: tuple[str, ...]
    assign_public_ip: bool
    cpu_units: int
    memory_mib: int
    disk_gib: int
    architecture: str = "X86_64"
    owner: str = ""  # text for DescribeNetworkInterfaces: the task's attachment ARN
    attachment_id: str = ""
    is_spot: bool = False
    may_reclaim: bool = False
    public_address: str | None = None
    needs_kernel: bool = False  # it goes only where each task has a kernel of its own


class PlacedRequest(Struct, frozen=True, kw_only=True):
    """A thing of the network that has a place: a NAT gateway. Safe to repeat: (object_id, zone) names it.

    `private_ipv4`: the address it must have; any without. `description`: as DescribeNetworkInterfaces shows it.
    `has_host`: without, it is an address that is held, and nothing anywhere is behind it. `assign_public_ip`: one of
    the zone's goes with the interface. `beside`: hosts that others are better than, since what shares its work is
    there.
    """

    object_id: str
    account: str
    zone: str
    subnet: SubnetView
    description: str
    private_ipv4: str | None = None
    has_host: bool = True
    assign_public_ip: bool = False
    beside: tuple[str, ...] = ()


class HostPlace(Struct, frozen=True, kw_only=True):
    """A host as what has a place on it must know it. `zone` None: it serves every zone of its shard.

    `is_draining`: its operator wants nothing new on it, and what can go to go. `is_given_up`: it is away, and its
    operator says that nothing runs on it any more: its addresses may be others' at once.
    """

    host_id: str
    zone: str | None = None
    is_connected: bool = True
    is_draining: bool = False
    is_given_up: bool = False


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Room on a host, an address and an interface, taken together. `eni` is None when the subnet is exhausted.

    `waits_for`: ids of Spot tasks of that host whose room this is: they are interrupted, and gone before it is used.
    """

    capacity_id: str
    task_id: str
    zone: str
    host_id: str
    eni: Eni | None
    eni_error: str | None = None
    waits_for: tuple[str, ...] = ()


class RecordedReservation(Struct, frozen=True, kw_only=True):
    """A reservation as the cell recorded it with its task: all that the zone needs to make its rows again."""

    capacity_id: str
    task_id: str
    zone: str
    account: str
    host_id: str
    cpu_units: int
    memory_mib: int
    disk_gib: int
    eni: Eni
    owner: str
    created_at: float
    is_spot: bool = False
    is_placed: bool = False


class InterfacePlace(Struct, frozen=True, kw_only=True):
    """Where an interface is, or was when it was given back. `account`: whose it is."""

    eni_id: str
    account: str
    host_id: str
    subnet_id: str


class NoAddress(Struct, frozen=True, kw_only=True):
    """Why a thing was not placed: the subnet has no address left, or the one it must have is another's.

    `is_public`: the subnet has one, but no public address is left.
    """

    is_taken: bool = False
    is_public: bool = False


class NoCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """Why a zone refused, as AWS words it in `failures[].reason`; `detail`: more of it, in our own words."""

    reason: str
    detail: str | None = None
