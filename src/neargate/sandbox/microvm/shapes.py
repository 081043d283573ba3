"""What machines have in common that go on from one snapshot, and what a machine is like that is no task's. Pure.

A saved machine has a place for the task's disk and for ten images, as many as a task has containers, and nothing in
them: the guest's driver takes them only when the host says that they are the task's. The disk comes first, so that the
places which stay empty are the last ones.
"""

import os
import re

from msgspec import Struct
from msgspec.structs import replace

from . import places
from .parts import GuestFiles
from .vmm import Accelerator, MachineDisk, MachineSpec

IMAGES_MAX = 10
SPARE = "spare-"  # what the ids of machines begin with that are no task's
SPARE_MAC = "02:00:00:00:00:01"  # of a guest that has not been told its own
_NAME = re.compile(r"(kvm|tcg)-(\d{1,3})-(\d{1,7})-([0-9a-f]{16})-[0-9a-f]{8}")
_KEY_CHARS = 16


class Shape(Struct, frozen=True, kw_only=True):
    """`memory_mib`: the machine's."""

    accelerator: Accelerator
    vcpus: int
    memory_mib: int

    def __str__(self) -> str:
        return f"{self.vcpus} processors, {self.memory_mib} MiB, {self.accelerator}"


def shape_of(spec: MachineSpec) -> Shape:
    return Shape(accelerator=spec.accelerator, vcpus=spec.vcpus, memory_mib=spec.memory_mib)


def fits(spec: MachineSpec) -> bool:
    """Whether there is a place for each of its images."""
    return sum(disk.read_only for disk in spec.disks) <= IMAGES_MAX


def with_places(spec: MachineSpec) -> MachineSpec:
    """A task's machine as it goes on from a saved one."""
    images = [disk for disk in spec.disks if disk.read_only]
    writable = [disk for disk in spec.disks if not disk.read_only]
    return replace(spec, disks=(*writable, *images, *_empty_images(len(images))))


def spare_spec(
    shape: Shape,
    files: GuestFiles,
    machines: str,
    machine_id: str,
    cgroup_path: str,
    *,
    for_snapshot: bool,
    disk_bytes: int = 0,
) -> MachineSpec:
    """`disk_bytes`: of the task's disk that is meant for it."""
    disk = MachineDisk(serial=places.DISK_SERIAL, path="", read_only=False, size_bytes=disk_bytes)
    return MachineSpec(
        machine_id=machine_id,
        vcpus=shape.vcpus,
        memory_mib=shape.memory_mib,
        kernel=files.kernel,
        initramfs=files.initramfs,
        tools=files.tools,
        disks=(disk, *_empty_images(0)),
        mac=SPARE_MAC,
        directory=os.path.join(machines, machine_id),
        cgroup_path=cgroup_path,
        accelerator=shape.accelerator,
        for_snapshot=for_snapshot,
    )


def snapshot_name(shape: Shape, key: str, random_bits: int) -> str:
    """Of its directory: `key` is what the driver tells of the machine."""
    return f"{shape.accelerator}-{shape.vcpus}-{shape.memory_mib}-{key[:_KEY_CHARS]}-{random_bits:08x}"


def shape_named(name: str) -> tuple[Shape, str] | None:
    """And the beginning of the key. None: no snapshot of ours is named so."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    accelerator: Accelerator = "kvm" if found[1] == "kvm" else "tcg"
    return Shape(accelerator=accelerator, vcpus=int(found[2]), memory_mib=int(found[3])), found[4]


def is_of_key(beginning: str, key: str) -> bool:
    return key[:_KEY_CHARS] == beginning


def _empty_images(first: int) -> tuple[MachineDisk, ...]:
    numbers = range(first, IMAGES_MAX)
    return tuple(MachineDisk(serial=places.image_serial(one), path="", read_only=True) for one in numbers)
