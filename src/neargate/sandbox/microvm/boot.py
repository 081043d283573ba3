"""A task's machine as its monitor is told to make it, from the blueprints of its containers. Pure."""

import os
from collections.abc import Sequence

from ...interfaces.sandbox import TaskSize
from . import places
from .parts import Parts
from .plan import guest_memory_mib, guest_vcpus
from .record import Blueprint
from .vmm import Accelerator, MachineDisk, MachineSpec


def spec_of(
    parts: Parts,
    task_id: str,
    blueprints: Sequence[Blueprint],
    disk: str,
    images: Sequence[str],
    accelerator: Accelerator,
) -> MachineSpec:
    """Without its address. `disk`: the image of the task's disk. `images`: paths, in the order of `plan.images_of`."""
    size = size_of(blueprints)
    return MachineSpec(
        machine_id=task_id,
        vcpus=guest_vcpus(size),
        memory_mib=guest_memory_mib(size),
        kernel=parts.files.kernel,
        initramfs=parts.files.initramfs,
        tools=parts.files.tools,
        disks=(
            *(
                MachineDisk(serial=places.image_serial(number), path=path, read_only=True)
                for number, path in enumerate(images)
            ),
            MachineDisk(serial=places.DISK_SERIAL, path=disk, read_only=False),
        ),
        mac=None,
        directory=os.path.join(parts.machines, task_id),
        cgroup_path=blueprints[0].host_cgroup,
        accelerator=accelerator,
    )


def size_of(blueprints: Sequence[Blueprint]) -> TaskSize:
    """The task's: each of its containers names it, the pause container does not."""
    return next((item.size for item in blueprints if not item.is_pause), TaskSize())
