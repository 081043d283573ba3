"""A task's disks for a machine that is there already: QEMU is given open files, and puts them where nothing was.

Owns the order of QEMU's commands for that. The files have no names in QEMU's own file system: it has descriptors alone.
"""

import os
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from .confinement import give
from .qemu_command import all_disks, limits
from .vmm import MachineDisk, MachineRefused, MachineSpec

_FSIZE = "Max file size"


class OpenDisk(Struct, frozen=True, kw_only=True):
    """`number`: of its device."""

    number: int
    disk: MachineDisk
    descriptor: int


class _Added(Struct, frozen=True):
    fdset: int = msgspec.field(name="fdset-id")


@contextmanager
def opened(spec: MachineSpec, uid: int, pid: int) -> Iterator[list[OpenDisk]]:
    """Those that the machine has not yet. The largest that is written bounds what its process may write, as at a
    launch. Blocking. Raises MachineRefused."""
    found: list[OpenDisk] = []
    try:
        for number, disk in enumerate(all_disks(spec)):
            if number and disk.path:
                found.append(OpenDisk(number=number, disk=disk, descriptor=_opened(disk, uid)))
        written = [os.fstat(one.descriptor).st_size for one in found if not one.disk.read_only]
        if written:
            _bound(pid, limits(max(written), spec.vcpus)["RLIMIT_FSIZE"])
        yield found
    except OSError as error:
        raise MachineRefused(f"its disks cannot be given: {error}") from error
    finally:
        for one in found:
            os.close(one.descriptor)


async def put(ask: Callable[..., Awaitable[Raw]], disks: list[OpenDisk]) -> None:
    """`ask`: one command of the monitor. Raises MachineRefused, MachineStuck."""
    for one in disks:
        try:
            added = msgspec.json.decode(await ask("add-fd", descriptor=one.descriptor), type=_Added)
        except msgspec.MsgspecError:
            raise MachineRefused("add-fd answers nonsense") from None
        access = {"read-only": one.disk.read_only}
        file = {"driver": "file", "filename": f"/dev/fdset/{added.fdset}", **access}
        node = {"driver": "raw", "node-name": f"n{one.number}", "discard": "unmap", "file": file, **access}
        await ask("blockdev-add", **node)
        await ask("qom-set", path=f"/machine/peripheral/b{one.number}", property="drive", value=f"n{one.number}")


def _bound(pid: int, written_bytes: int) -> None:
    """Of the size that was meant it needs no change, which an agent without CAP_SYS_RESOURCE may not make (nor ask
    for it but in /proc)."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (words,) = [line.removeprefix(_FSIZE).split() for line in lines if line.startswith(_FSIZE)]
    if words[:2] != [str(written_bytes)] * 2:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (written_bytes, written_bytes))


def _opened(disk: MachineDisk, uid: int) -> int:
    if not disk.read_only:
        give(disk.path, uid)
    access = os.O_RDONLY if disk.read_only else os.O_RDWR
    return os.open(disk.path, access | os.O_NOFOLLOW | os.O_CLOEXEC)
