"""What a guest is told before its containers run: steps in order, decided here and carried out elsewhere. Pure.

Owns: where disks are mounted, the task's cgroup, a container's bundle. Must not know frames or connections.
"""

import json
from collections.abc import Sequence
from math import isqrt
from typing import Any

from msgspec import Struct

from ...interfaces.sandbox import Image, TaskSize
from ...model.capacity import TaskOverhead
from ...model.concealed import Concealed
from .. import rootfs
from . import places
from .record import Blueprint

_READ_ONLY = 1  # MS_RDONLY of mount(2)
_MIB = 1024 * 1024
_CONTROLLERS = ("cpu", "io", "memory", "pids")
_KERNEL_MIB = 96  # what the guest's kernel, its first process and the runtime take beside the task: some 85, seen
_PAGES_PART = (
    40  # the kernel keeps a table of all its pages, a sixty-fourth of the memory, and other tables by its size
)


class Mount(Struct, frozen=True, kw_only=True):
    source: str
    target: str
    kind: str
    flags: int = 0
    data: str = ""


class Directory(Struct, frozen=True, kw_only=True):
    path: str
    mode: int = 0o755


class File(Concealed, frozen=True, kw_only=True):
    path: str
    content: bytes
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


class Netlink(Struct, frozen=True, kw_only=True):
    message: bytes


Step = Mount | Directory | File | Netlink


def guest_memory_mib(size: TaskSize) -> int:
    """The machine's. The task may have all of its own size: what the guest itself needs comes on top."""
    return size.memory_mib + overhead(0).of(size.memory_mib)


def _kept_free_kib(size: TaskSize) -> int:
    """As much as a kernel keeps from everybody that does not care for huge pages. Ours would keep 27 to 66 MiB for
    their sake, which are the task's; it has them all the same, while there is room.
    """
    return 4 * isqrt(guest_memory_mib(size) * 1024)


def overhead(monitor_mib: int) -> TaskOverhead:
    """What a machine takes of its host beside its task's size. `monitor_mib`: of the monitor's process."""
    return TaskOverhead(memory_mib=_KERNEL_MIB + monitor_mib, memory_part=_PAGES_PART)


def guest_vcpus(size: TaskSize) -> int:
    """A part of a processor is one that the host's cgroup limits."""
    return max(1, -(-size.cpu_units // 1024))


def images_of(blueprints: Sequence[Blueprint]) -> tuple[Image, ...]:
    """Each image once, in the order of the digests: the disks of the machine."""
    found = {blueprint.image.digest: blueprint.image for blueprint in blueprints if blueprint.image is not None}
    return tuple(found[digest] for digest in sorted(found))


def machine_steps(size: TaskSize, images: int, messages: Sequence[bytes]) -> tuple[Step, ...]:
    """`images`: how many disks with images there are. `messages`: rtnetlink, of the guest's interface."""
    group = places.CGROUPS + places.TASK_CGROUP
    return (
        Mount(source=f"serial:{places.DISK_SERIAL}", target=places.DISK, kind="ext4"),
        *(
            Mount(
                source=f"serial:{places.image_serial(number)}",
                target=places.image_place(number),
                kind="erofs",
                flags=_READ_ONLY,
            )
            for number in range(images)
        ),
        Directory(path=group),
        # One by one: one that cannot be had must not keep back the others.
        *(
            File(path=f"{group}/cgroup.subtree_control", content=f"+{name}".encode(), mode=0o644)
            for name in _CONTROLLERS
        ),
        File(path="/proc/sys/vm/min_free_kbytes", content=str(_kept_free_kib(size)).encode(), mode=0o644),
        # Nor anything for devices that reach no further than 16 MiB or 4 GiB: there are none.
        File(path="/proc/sys/vm/lowmem_reserve_ratio", content=b"0 0 0 0 0", mode=0o644),
        File(path=f"{group}/memory.max", content=str(size.memory_mib * _MIB).encode(), mode=0o644),
        File(path=f"{group}/pids.max", content=str(size.pids).encode(), mode=0o644),
        Directory(path=places.CONTAINERS, mode=0o700),
        Directory(path=places.GIVEN, mode=0o700),
        Directory(path=places.EXECUTIONS, mode=0o700),
        *(Netlink(message=message) for message in messages),
    )


def bundle_steps(blueprint: Blueprint, image_number: int) -> tuple[Step, ...]:
    """Once for each container, before its first run: `spec_step` comes with each run."""
    if blueprint.is_pause:
        # The mount points of its root (`sandbox.pause.prepare_root`).
        return (
            *(Directory(path=f"{places.PAUSE_ROOT}/{name}") for name in ("proc", "dev", "bin")),
            File(path=f"{places.PAUSE_ROOT}/bin/busybox", content=b"", mode=0o400),
            Directory(path=places.bundle(blueprint.runtime_id), mode=0o700),
        )
    layer = rootfs.layer_of(places.DISK, blueprint.name)
    return (
        Directory(path=places.bundle(blueprint.runtime_id), mode=0o700),
        Mount(
            source="overlay",
            target=f"{places.bundle(blueprint.runtime_id)}/rootfs",
            kind="overlay",
            data=f"lowerdir={places.image_place(image_number)},upperdir={layer.upper},workdir={layer.work}",
        ),
    )


def control_steps(blueprint: Blueprint) -> tuple[Step, ...]:
    """Before each start. The network is the whole task's: the last to be started wins, as on AWS."""
    return tuple(
        File(path=f"/proc/sys/{name.replace('.', '/')}", content=value.encode(), mode=0o644)
        for name, value in blueprint.network_controls
    )


def spec_step(blueprint: Blueprint, spec: dict[str, Any]) -> File:
    return File(path=f"{places.bundle(blueprint.runtime_id)}/config.json", content=json.dumps(spec).encode())
