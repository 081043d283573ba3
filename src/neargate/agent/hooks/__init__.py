"""The steps that bring a task up, in order; reversed they take it down. Read this list to know what a launch does.

A step begins as soon as those that it names are done; steps that do not need each other run side by side. Each hook is
idempotent and undoable: `up` may be repeated after a crash, `down` is safe without `up` and may be repeated. Hooks do
not know each other; they meet in `Resources`.
"""

from typing import Protocol

from msgspec import Struct

from ..points import Point
from ..task_context import TaskContext
from .cgroup import CgroupHook
from .containers import ContainersHook
from .credentials import CredentialsHook
from .disk import DiskHook
from .disk_charge import DiskChargeHook
from .etc_files import EtcFilesHook
from .files import FilesHook
from .first import FirstContainersHook
from .image import ImageHook
from .logs import LogsHook
from .namespace import NamespaceHook
from .network import NetworkHook
from .pause import PauseHook
from .secrets import SecretsHook
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


class Step(Struct, frozen=True, kw_only=True):
    """`after`: names of steps further up in the list."""

    hook: Hook
    after: tuple[str, ...] = ()


STEPS: tuple[Step, ...] = (
    Step(hook=CgroupHook()),
    Step(hook=NamespaceHook()),
    Step(hook=NetworkHook(), after=("namespace",)),
    Step(hook=DiskHook()),
    Step(hook=ImageHook()),
    Step(hook=SecretsHook()),
    Step(hook=LogsHook()),
    Step(hook=CredentialsHook()),
    Step(hook=DiskChargeHook(), after=("disk", "image")),
    Step(hook=VolumesHook(), after=("disk", "image")),
    Step(hook=EtcFilesHook(), after=("disk",)),
    Step(hook=FilesHook(), after=("disk", "secrets")),
    Step(hook=PauseHook(), after=("cgroup", "namespace")),
    # A create is the longest part of a launch. Interface, log streams and charge are needed by the start only.
    Step(hook=FirstContainersHook(), after=("volumes", "etc-files", "files", "pause")),
    Step(hook=ContainersHook(), after=("network", "logs", "credentials", "disk-charge", "first-containers")),
)
