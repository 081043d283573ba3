"""The awslogs driver: lines go to the region's server on the bulk channel, which stores them in CloudWatch Logs.

Owns AWS's words for streams that cannot be made. The server holds the offsets and writes in the name of the task's
execution role, so lines can follow when their task is gone.
"""

from ...link.messages import LogAck, LogOpened, LogRefused
from ...model.knobs import Knobs
from ...model.launch import ContainerLaunch, TaskLaunch
from ...regex.linear import LinearRegex
from ...regex.syntax import BadRegex
from ..channels.bulk import BulkClient
from ..task_context import LaunchFailed
from .driver import Following, Pace, Piece

# Asking again soon would not help; anything else is the server's trouble of the moment.
_PERMANENT = frozenset({"ResourceNotFoundException", "AccessDeniedException", "InvalidParameterException"})
_NOT_OPENED = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
    "failed to create Cloudwatch log "
)


class AwsLogsDriver:
    """A `LogDriver`."""

    outlives_task = True

    def __init__(self, knobs: Knobs, bulk: BulkClient) -> None:
        self._bulk = bulk
        self.pace = Pace(
            line_max_bytes=knobs.log_line_max_bytes,
            chunk_max_bytes=knobs.log_chunk_max_bytes,
            chunk_max_lines=knobs.log_chunk_max_lines,
            in_flight_max_bytes=knobs.log_in_flight_max_bytes,
            drain_s=knobs.log_drain_s,
        )

    @property
    def connection(self) -> int:
        return self._bulk.connection

    async def connected(self) -> None:
        await self._bulk.connected()

    def following(self, _launch: TaskLaunch, container: ContainerLaunch, _runtime_id: str) -> Following | None:
        logs = container.logs
        if logs is None:
            return None
        return Following(blocking=logs.blocking, max_buffer_bytes=logs.max_buffer_bytes, event_start=logs.event_start)

    async def prepare(self, _launch: TaskLaunch, container: ContainerLaunch) -> None:
        """Judges what the control plane should not have let through."""
        expression = None if container.logs is None else container.logs.event_start
        if expression is None:
            return
        try:
            LinearRegex(expression)
        except BadRegex as bad:
            raise LaunchFailed(
                f"ResourceInitializationError: failed to validate logger args: awslogs could not parse multiline "
                f'pattern key "{expression}": {bad}: exit status 1'
            ) from None

    def adopted(self, _task_id: str, _container: str) -> None:
        return

    def ending(self, _task_id: str) -> None:
        return

    def closed(self, _task_id: str, _container: str) -> None:
        return

    async def open(self, task_id: str, container: str) -> LogOpened | LogRefused:
        return await self._bulk.open(task_id, container)

    async def append(self, opened: LogOpened, task_id: str, container: str, piece: Piece) -> LogAck | LogRefused:
        block = piece.block
        return await self._bulk.append(
            opened,
            task_id,
            container,
            start=piece.start,
            end=piece.end,
            runs=((piece.read_at_ms, block.count),) if block.count else (),
            lines=block.lines,
            sizes=block.sizes,
        )

    def is_final(self, refused: LogRefused) -> bool:
        return refused.code in _PERMANENT

    def failure(self, refused: LogRefused, container: str) -> LaunchFailed:
        if refused.operation == "AssumeRole":
            return LaunchFailed(refused.message, container)
        what = "group" if refused.operation == "CreateLogGroup" else "stream"
        return LaunchFailed(f"{_NOT_OPENED}{what}: {refused.code}: {refused.message}: exit status 1", container)
