"""What the machines of a host share: the doors to monitor, disks, network and records. Types only."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from ...interfaces.hostnet import GuestInterface, TaskLimits
from ...interfaces.sandbox import ContainerConfig, Image, PauseConfig, PullRequest
from ...model.knobs import Knobs
from ...world import World
from .accelerators import Accelerators
from .board import ExitBoard
from .guest import Guest
from .record import Blueprint
from .records import Records
from .vmm import Vmm

LANE = "sandbox"


class GivesDisks(Protocol):
    """`interfaces.hostnet.HostDisks`, as far as a machine needs it."""

    async def hand_over(self, task_id: str) -> str: ...


class OpensTaps(Protocol):
    """`interfaces.hostnet.HostNetwork`, as far as a machine needs it."""

    async def open_tap(self, task_id: str, spare: int | None = None) -> GuestInterface: ...

    async def open_spare_tap(self) -> int: ...


class MakesCgroups(Protocol):
    """`interfaces.hostnet.HostCgroups` of machines that are no task's, in a place of their own."""

    def task_path(self, task_id: str) -> str: ...

    async def create_task(self, task_id: str, limits: TaskLimits) -> None: ...

    async def delete_task(self, task_id: str) -> None: ...

    async def list_tasks(self) -> list[str]: ...


class Images(Protocol):
    """The images of the host. All raise EngineUnavailable while who keeps them does not answer."""

    async def start(self) -> None: ...

    async def pull(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        """Raises SandboxError."""

    def forget(self, image: Image) -> None:
        """It was removed behind our back: the next pull fetches it again."""

    async def disk(self, image: Image) -> str:
        """The path of its disk, made if need be. Raises SandboxError."""

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]: ...

    async def seed(self, image: Image, container_path: str, target_dir: str) -> bool:
        """Raises SandboxError."""

    def close(self) -> None: ...


class Creates(Protocol):
    """What the host makes of a container before its machine starts. Blocking, repeatable."""

    def container(self, config: ContainerConfig) -> Blueprint:
        """Raises SandboxError, EngineError."""

    def pause(self, config: PauseConfig) -> Blueprint:
        """Raises SandboxError."""

    def clear(self, blueprint: Blueprint) -> None:
        """Take away what a killed attempt left mounted. Raises OSError."""


class GuestFiles(Struct, frozen=True, kw_only=True):
    """Absolute paths of what a guest starts from (`make guest`). `release`: of its kernel and of the rest."""

    kernel: str
    initramfs: str
    tools: str
    release: str = ""


class Spares(Struct, frozen=True, kw_only=True):
    """What it takes to have machines before a task wants them. `connect`: as of Parts, of a machine that is no task's;
    the number is that of the first stream.

    `snapshots`: a directory of root's alone, on a disk. `waiting_mib`: of memory for machines that wait; 0: none does.
    `disk_bytes`: of the disk that most tasks have.
    """

    snapshots: str
    cgroups: MakesCgroups
    connect: Callable[[str, int], Awaitable[Guest]]
    waiting_mib: int = 0
    disk_bytes: int = 20 << 30


class Parts(Struct, frozen=True, kw_only=True):
    """`connect`: to the guest of that task's machine, which greets; raises GuestGone, GuestBroke, VmmError.

    `machines`: the monitor's directory, one of its own in it for each machine. `note`: a line for the operator;
    `tell`: one of what went well.
    `spares`: None where every machine boots.
    """

    world: World
    knobs: Knobs
    vmm: Vmm
    connect: Callable[[str], Awaitable[Guest]]
    disks: GivesDisks
    network: OpensTaps
    images: Images
    files: GuestFiles
    accelerators: Accelerators
    machines: str
    records: Records
    creation: Creates
    board: ExitBoard
    note: Callable[[str], None]
    spares: Spares | None = None
    tell: Callable[[str], None] = lambda _: None
