"""What one log driver knows that the shipper of files does not: how a file is followed, and where its bytes go.

The seam between `logs/shipper.py`, which owns files, offsets and slow receivers, and the drivers: `logs/awslogs.py` and
`splunk/driver.py`. A driver must not know what is read when. Invariant: a driver says an offset only when what lies
before it is kept by its receiver, and after a kill -9 it says it again.
"""

from typing import Protocol

from msgspec import Struct

from ...link.messages import LogAck, LogOpened, LogRefused
from ...model.launch import ContainerLaunch, TaskLaunch
from ..task_context import LaunchFailed
from .lines import Block


class Following(Struct, frozen=True, kw_only=True):
    """`event_start`: the expression that an event's first line matches; None: each line is an event."""

    blocking: bool
    max_buffer_bytes: int
    event_start: str | None = None


class Pace(Struct, frozen=True, kw_only=True):
    """Bounds of what is read at once. `pause_s`: between two sends of one source, unless a whole chunk waits."""

    line_max_bytes: int
    chunk_max_bytes: int
    chunk_max_lines: int
    in_flight_max_bytes: int
    drain_s: float
    pause_s: float = 0.0


class Piece(Struct, frozen=True, kw_only=True):
    """Events of the bytes up to `end`; those from `start` on that are in none were blank or are given up.

    `read_at_ms`: epoch.
    """

    start: int
    end: int
    read_at_ms: int
    block: Block


class LogDriver(Protocol):
    """`connection`: number of the connection that stands, 0 when none does: a source is opened anew on each."""

    pace: Pace
    # Whether bytes can still be sent when the task is gone; else they are given up with its network, and counted.
    outlives_task: bool

    @property
    def connection(self) -> int: ...

    async def connected(self) -> None: ...

    def following(self, launch: TaskLaunch, container: ContainerLaunch, runtime_id: str) -> Following | None:
        """The source is known from here on. None: the container names no such driver."""

    async def prepare(self, launch: TaskLaunch, container: ContainerLaunch) -> None:
        """Before a source is opened for the first time. Raises LaunchFailed in AWS's words."""

    def adopted(self, task_id: str, container: str) -> None:
        """The source may have been prepared by an earlier process, and may never be again."""

    def ending(self, task_id: str) -> None:
        """Nothing of this task is prepared any more."""

    def closed(self, task_id: str, container: str) -> None:
        """The source is done with."""

    async def open(self, task_id: str, container: str) -> LogOpened | LogRefused:
        """Raises Closed when it is to be asked again."""

    async def append(self, opened: LogOpened, task_id: str, container: str, piece: Piece) -> LogAck | LogRefused:
        """Raises Closed when the outcome is unknown: the source is opened again."""

    def is_final(self, refused: LogRefused) -> bool:
        """Asking again soon would not help."""

    def failure(self, refused: LogRefused, container: str) -> LaunchFailed:
        """What stops the task when its source is refused for good."""
