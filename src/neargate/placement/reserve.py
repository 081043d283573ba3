"""What a claim leaves of a host: the arithmetic of the ledger, pure. The database's guards repeat it and decide.

Invariant: `give_back(take(view, wanted), wanted)` has the view's own free room.
"""

import msgspec
from msgspec.structs import replace

from ..model.capacity import HostCapacity
from .feasible import HostView, Wanted


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


def take(host: HostView, wanted: Wanted, *, tenant: str | None) -> HostView:
    """The host after it took the task. `tenant`: whose it is then."""
    return replace(
        host,
        free_cpu_units=host.free_cpu_units - wanted.cpu_units,
        free_memory_mib=host.free_memory_mib - wanted.memory_mib,
        free_disk_gib=host.free_disk_gib - wanted.disk_gib,
        tenant=tenant,
    )


def give_back(host: HostView, wanted: Wanted, *, tenant: str | None) -> HostView:
    """The host after the task left. `tenant`: whose it is then."""
    return replace(
        host,
        free_cpu_units=host.free_cpu_units + wanted.cpu_units,
        free_memory_mib=host.free_memory_mib + wanted.memory_mib,
        free_disk_gib=host.free_disk_gib + wanted.disk_gib,
        tenant=tenant,
    )
