"""The seam between a task's machine and the program that runs it (QEMU, Firecracker): what a machine monitor must do.

Owns names, types and errors; knows no container, image, protocol of the guest or option of a program. The guest is an
enemy, and so is its monitor's process once the guest has got into it: what either says is bounded, and never trusted.
"""

import socket
from collections.abc import AsyncIterator
from typing import Literal, Protocol

from msgspec import Struct

Accelerator = Literal["kvm", "tcg"]
DISKS_MAX = 20  # the tools among them; of 23 devices that a guest was seen to boot with, three are no disks


class VmmError(Exception):
    """A machine could not be made, saved, stopped or ended. The message says why, in a sentence for the operator."""


class VmmMissing(VmmError):
    """Never on this host as it is: no program, too old a version, no KVM, no emulation allowed. Says what to do."""


class MachineRefused(VmmError):
    """Never of this specification or snapshot: the monitor ended before its machine ran, or the order is wrong."""


class MachineGone(VmmError):
    """There is no such machine, or its process has ended meanwhile."""


class MachineStuck(VmmError):
    """The monitor's process does not answer in time. Destroying the machine works all the same."""


class MachineDisk(Struct, frozen=True, kw_only=True):
    """A file as a block device; the guest knows it by its serial.

    `size_bytes`: of a place without a disk that may be written: how large the one is that is meant for it.

    `path`: absolute, no symbolic link, of the host. A read-only one is read by a user without rights (mode o+r; keep
    it in a directory that others cannot enter). A writable one becomes the property of the machine's own user.
    """

    serial: str  # 1 to 20 of [a-z0-9-]: virtio-blk has no more bytes
    path: str  # empty: a place without a disk; for ever, or until `add_disks`. One that is written has it at a create
    read_only: bool
    size_bytes: int = 0


class MachineSpec(Struct, frozen=True, kw_only=True):
    """One machine, everything decided. Paths are absolute and the host's.

    `directory`: the machine's own, directly below the driver's directory and named by `machine_id`; made (0700) if
    need be, removed by `destroy` with all that is in it. Disks do not belong in it unless they may go with it.
    `cgroup_path`: the task's, below the hierarchy's root (`/neargate-1a2b/TASK`); it exists, and the monitor lives in
    a cgroup `machine` below it.
    """

    machine_id: str  # the task's id
    vcpus: int
    memory_mib: int  # of the guest, with what its own kernel takes; the monitor's process comes on top
    kernel: str
    initramfs: str
    tools: str  # read-only, the first disk, serial `tools`
    disks: tuple[MachineDisk, ...]  # after the tools, in this order
    mac: str | None  # of the only interface; None: it has none, and no tap is given
    directory: str
    cgroup_path: str
    accelerator: Accelerator
    for_snapshot: bool = False  # only such a machine can be saved; it has no task's data


class VmmFacts(Struct, frozen=True, kw_only=True):
    """What this host can do, found out without starting a guest.

    `kvm_refusal`: why /dev/kvm cannot be used, None when it opens and makes machines. A kvm that makes machines
    and boots none (a host without hardware virtualisation for its guests) shows only in a guest that says no hello.
    `tsc_khz`: the rate of the time stamp counter, which an emulated guest must be told; 0 where it is not needed.
    `overhead_mib`: what the monitor's process may take besides the guest's memory, for the task's limit.
    """

    version: str
    kvm_refusal: str | None
    emulation_refusal: str | None
    tsc_khz: int
    overhead_mib: int
    has_snapshots: bool


class MachineState(Struct, frozen=True, kw_only=True):
    """`pid` is the host's, of the monitor's process; 0 of one that has ended and waits to be destroyed."""

    machine_id: str
    pid: int


class MachineEnd(Struct, frozen=True, kw_only=True):
    """A machine that ended without having been destroyed. It is still to be destroyed.

    `killed`: its process is gone: by a signal (`detail` names it where we are its parent), or nobody knows how.
    `panicked`: the guest's kernel reset or switched the machine off, which no task can ask for; `detail` is the end of
    what it wrote on its console: a hostile guest's words, at most 4096 characters, control characters taken out.
    `refused`: the monitor ended by itself with an error; `detail` is the end of what it said, bounded alike.
    """

    machine_id: str
    kind: Literal["killed", "panicked", "refused"]
    detail: str


class Vmm(Protocol):
    """A driver of one kind of monitor. Every method may be repeated; calls for one machine come one after the other.

    Nothing depends on the driver's life: machines run on when the agent is killed, and the next driver finds them in
    its directory and by their cgroups. All methods but `destroy` raise MachineGone for a machine that is not there.
    """

    async def probe(self) -> VmmFacts:
        """Asks once, then remembers. Raises VmmMissing."""

    async def start(self) -> None:
        """Adopt what an earlier driver left: `ended` then tells of these machines, too. Starts nothing."""

    async def create(self, spec: MachineSpec, tap: int | None) -> None:
        """Start it. Returns when the monitor runs and the guest has begun to boot; one that runs already is kept.

        `tap`: descriptor of an open tap with virtio_net_hdr; stays the caller's, who may close it afterwards. Where
        the machine runs already it is not used. What a killed driver had half made is removed first. Raises VmmMissing,
        MachineRefused, MachineStuck; after these nothing is left of it but, where `destroy` fails too, its cgroup.
        """

    async def restore(self, spec: MachineSpec, tap: int | None, snapshot: str) -> None:
        """As `create`, going on where the machine saved in the directory `snapshot` was: clock, random numbers, name
        and addresses are that one's until the guest is told. Raises MachineRefused also where `snapshot_key` differs.
        """

    async def assign(self, machine_id: str, spec: MachineSpec) -> None:
        """Give a paused machine that went on from a snapshot to a task: from now on it is `spec.machine_id`, with its
        disks, in its cgroup and its directory, and its processors run. `spec` is else as it was restored with.

        Where this is cut short or raises (MachineGone, MachineRefused, MachineStuck) it is one of the two, and to be
        destroyed by both names.
        """

    async def add_disks(self, machine_id: str, spec: MachineSpec) -> None:
        """Put the read-only disks that have a path in `spec` into their empty places, of a machine that runs and whose
        guest has not taken its disks. `spec` has the places that it was made with. Not to be repeated. Raises
        MachineGone, MachineRefused, MachineStuck.
        """

    async def snapshot_key(self, spec: MachineSpec) -> str:
        """Hex digest of all that a machine must have in common with the one that was saved: the monitor's version,
        accelerator, processor, memory, kernel, initramfs, tools (what they hold), counter rate, number of devices.
        """

    async def snapshot(self, machine_id: str, directory: str) -> None:
        """Save it to `directory` (made here, appears whole or not at all: until then it is `directory`.new). The
        machine is stopped for good by that: it can only be destroyed. Of one with `for_snapshot`.
        """

    async def discard(self, snapshot: str) -> None:
        """Remove a saved machine, or what was made of one. Those that go on from it are not touched."""

    async def pause(self, machine_id: str) -> None:
        """Its processors stand still."""

    async def resume(self, machine_id: str) -> None: ...

    async def destroy(self, machine_id: str) -> None:
        """End its process at once and wait until it is gone; remove its directory. Of a machine that nobody knows: no
        error. Not told of by `ended`. Raises VmmError only where the kernel does not let a process go."""

    async def list_machines(self) -> list[MachineState]:
        """All that there are, those of earlier drivers and those that ended but were not destroyed among them."""

    async def connect(self, machine_id: str) -> socket.socket:
        """A connection to the guest's `agent` port: a non-blocking stream, the caller's to close. One at a time; a
        second waits until the first is closed. The guest may not listen yet: what is sent then waits in the host.
        """

    async def console(self, machine_id: str) -> str:
        """The end of what the guest wrote on its console, as in MachineEnd. Empty when the monitor does not answer."""

    def ended(self) -> AsyncIterator[MachineEnd]:
        """Machines that end, as it happens; of adopted ones, too. One reader; an end is told once, kept until then."""

    async def close(self) -> None:
        """Let go of what this driver holds. Machines run on."""
