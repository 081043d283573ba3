"""What the machines of a host share: the doors to monitor, disks, network and records. Types only."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from ...interfaces.hostnet import GuestInterface
from ...interfaces.sandbox import Image
from ...model.knobs import Knobs
from ...world import World
from .board import ExitBoard
from .creation import Creation
from .guest import Guest
from .records import Records
from .vmm import Accelerator, Vmm

LANE = "sandbox"


class GivesDisks(Protocol):
    """`interfaces.hostnet.HostDisks`, as far as a machine needs it."""

    async def hand_over(self, task_id: str) -> str: ...


class OpensTaps(Protocol):
    """`interfaces.hostnet.HostNetwork`, as far as a machine needs it."""

    async def open_tap(self, task_id: str) -> GuestInterface: ...


class MakesImageDisks(Protocol):
    """`image_disks.ImageDisks`, as far as a machine needs it."""

    async def disk(self, image: Image) -> str: ...


class GuestFiles(Struct, frozen=True, kw_only=True):
    """Absolute paths of what a guest starts from (`make guest`)."""

    kernel: str
    initramfs: str
    tools: str


class Parts(Struct, frozen=True, kw_only=True):
    """`connect`: to the guest of that task's machine, which greets; raises GuestGone, GuestBroke, VmmError.

    `machines`: the monitor's directory, one of its own in it for each machine. `note`: a line for the operator.
    """

    world: World
    knobs: Knobs
    vmm: Vmm
    connect: Callable[[str], Awaitable[Guest]]
    disks: GivesDisks
    network: OpensTaps
    images: MakesImageDisks
    files: GuestFiles
    accelerator: Accelerator
    machines: str
    records: Records
    creation: Creation
    board: ExitBoard
    note: Callable[[str], None]
