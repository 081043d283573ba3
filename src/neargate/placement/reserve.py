"""What a claim leaves of a host: the arithmetic of the ledger, pure. The database's guards repeat it and decide.

Invariant: `give_back(take(view, room), room)` has the view's own free room.
"""

import msgspec
from msgspec.structs import replace

from ..model.capacity import HostCapacity, TaskOverhead
from .feasible import HostView


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """CPU in units, memory in MiB, disk in GiB."""

    cpu_units: int = 0
    memory_mib: int = 0
    disk_gib: int = 0

    def plus(self, other: "Room") -> "Room":
        return Room(
            cpu_units=self.cpu_units + other.cpu_units,
            memory_mib=self.memory_mib + other.memory_mib,
            disk_gib=self.disk_gib + other.disk_gib,
        )

    def minus(self, other: "Room") -> "Room":
        return Room(
            cpu_units=self.cpu_units - other.cpu_units,
            memory_mib=self.memory_mib - other.memory_mib,
            disk_gib=self.disk_gib - other.disk_gib,
        )


def offered(capacity: HostCapacity, *, cpu_overcommit: float, disk_overcommit: float) -> Room:
    """What a machine may be promised: CPU is shared by weight, disks are sparse, memory is strict."""
    return Room(
        cpu_units=int(capacity.cpu_units * cpu_overcommit),
        memory_mib=capacity.memory_mib,
        disk_gib=int(capacity.disk_gib * disk_overcommit),
    )


def with_overhead(room: Room, overhead: TaskOverhead) -> Room:
    """What a task of that size takes of a host that needs this beside it. It is given back as it was taken."""
    return replace(room, memory_mib=room.memory_mib + overhead.of(room.memory_mib))


def take(host: HostView, room: Room, *, tenant: str | None) -> HostView:
    """The host after it took a task of that room. `tenant`: whose it is then."""
    return replace(
        host,
        free_cpu_units=host.free_cpu_units - room.cpu_units,
        free_memory_mib=host.free_memory_mib - room.memory_mib,
        free_disk_gib=host.free_disk_gib - room.disk_gib,
        tenant=tenant,
    )


def give_back(host: HostView, room: Room, *, tenant: str | None) -> HostView:
    """The host after a task of that room left. `tenant`: whose it is then."""
    return replace(
        host,
        free_cpu_units=host.free_cpu_units + room.cpu_units,
        free_memory_mib=host.free_memory_mib + room.memory_mib,
        free_disk_gib=host.free_disk_gib + room.disk_gib,
        tenant=tenant,
    )
