"""The steps that bring a task up, in order; reversed they take it down. Read this list to know what a launch does.

Hooks of one stage do not need each other and run side by side. Each is idempotent and undoable: `up` may be repeated
after a crash, `down` is safe without `up` and may be repeated. Hooks do not know each other; they meet in `Resources`.
"""

from typing import Protocol

from ..points import Point
from ..task_context import TaskContext
from .cgroup import CgroupHook
from .containers import ContainersHook
from .disk import DiskHook
from .disk_charge import DiskChargeHook
from .etc_files import EtcFilesHook
from .image import ImageHook
from .logs import LogsHook
from .network import NetworkHook
from .pause import PauseHook
from .volumes import VolumesHook


class Hook(Protocol):
    """One step. `up` raises LaunchFailed, SandboxError, HostError or Interrupted; `down` is repeated until it works."""

    name: str
    up_point: Point
    down_point: Point
    # Gated hooks share the host's few places for work that saturates its processors.
    gated: bool

    async def up(self, task: TaskContext) -> None: ...

    async def down(self, task: TaskContext) -> None: ...


STAGES: tuple[tuple[str, tuple[Hook, ...]], ...] = (
    ("resources", (CgroupHook(), NetworkHook(), DiskHook(), ImageHook(), LogsHook())),
    ("layout", (DiskChargeHook(), VolumesHook(), EtcFilesHook(), PauseHook())),
    ("containers", (ContainersHook(),)),
)
