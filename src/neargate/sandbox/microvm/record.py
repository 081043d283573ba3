"""What is known of a task's machine and its containers, as it outlives the agent. Types only.

A blueprint is decided when a container is created and never changes; a run changes with each step. Both are written
before the guest is told, so that a killed agent's successor knows at least as much as the guest.
"""

from enum import Enum

from msgspec import Struct

from ...interfaces.sandbox import ContainerState, Image, TaskSize
from ...model.concealed import Concealed
from ...model.launch import KernelRights

KILLED = 137


class Phase(Enum):
    """Of a machine. `PREPARING`: its disk is the host's. `BOOTING`: it may be thrown away and begun again, since no
    container was run in it. `READY`: its containers may have run. `GONE`: it ended, and all its containers with it."""

    PREPARING = "preparing"
    BOOTING = "booting"
    READY = "ready"
    GONE = "gone"


class Rung(Enum):
    """Of the ladder of starts, the highest first: by which a machine came."""

    WARM = "warm"
    SNAPSHOT = "snapshot"
    COLD = "cold"


class Machine(Struct, frozen=True, kw_only=True):
    """`reason`: why it is gone; a sentence for the task's owner. `is_emulated`, `rung`, `made_of`: once it is up."""

    task_id: str
    phase: Phase = Phase.PREPARING
    is_emulated: bool = False
    reason: str | None = None
    rung: Rung | None = None
    made_of: str = ""  # as Starts.made_of then; of a release that did not say, empty


class Given(Struct, frozen=True, kw_only=True):
    """A file that the host holds in memory, and where the guest holds it in its own."""

    source: str
    place: str


class Blueprint(Concealed, frozen=True, kw_only=True):
    """One container for the guest. `spec`: the OCI specification, whose environment may hold secrets.

    Paths in `spec` are the guest's; `disk_path`, `log_path` and the sources of `given` are the host's. `image` is None
    for the pause container.
    """

    runtime_id: str
    task_id: str
    name: str
    spec: bytes
    host_cgroup: str  # the task's on the host, in which its machine lives
    image: Image | None = None
    disk_path: str = ""
    given: tuple[Given, ...] = ()
    size: TaskSize = TaskSize()
    terminal: bool = False
    interactive: bool = False
    may_restart: bool = False
    network_controls: tuple[tuple[str, str], ...] = ()
    kernel: KernelRights | None = None
    share_pid_with: str | None = None
    log_path: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def is_pause(self) -> bool:
        return self.image is None


class Run(Struct, frozen=True, kw_only=True):
    """How far a container is. `stream`: of its output in the guest, 0 before it has one; `log_base`: how long its log
    was when that stream began, so that the log's length tells how much of the stream is in it. `number` counts runs.

    `pid` is the guest's.
    """

    status: str = "created"
    stream: int = 0
    log_base: int = 0
    number: int = 0
    pid: int | None = None
    exit_code: int | None = None
    exited_at: float | None = None
    reason: str | None = None


def ended(run: Run, exit_code: int, exited_at: float, reason: str | None = None) -> Run:
    """The first end stays."""
    if run.status == "stopped":
        return run
    return Run(
        status="stopped",
        stream=run.stream,
        log_base=run.log_base,
        number=run.number,
        pid=run.pid,
        exit_code=exit_code,
        exited_at=exited_at,
        reason=reason,
    )


def state_of(blueprint: Blueprint, run: Run) -> ContainerState:
    return ContainerState(
        runtime_id=blueprint.runtime_id,
        status=run.status,
        pid=run.pid,
        exit_code=run.exit_code,
        exited_at=run.exited_at,
        reason=run.reason,
        labels=blueprint.labels,
    )
