"""Brings a task's record up to date with what the engine says of its containers: exits, their codes and reasons.

Invariant: an exit is recorded once, with the code the engine kept, whether it was seen as an event, after a restart of
the agent, or while the engine was away.
"""

from ..interfaces.sandbox import ContainerState, SandboxError
from ..model.launch import MemoryAtKill
from .points import Point
from .restarts import go_on, is_old_news, is_undone, restarted
from .task_context import TaskContext

OOM_REASON = "OutOfMemoryError: Container killed due to memory usage"
GONE_REASON = "CannotInspectContainerError: the container is gone from the host's engine"
EXIT_SIGKILL = 137
_NO_LIMIT_BYTES = 1 << 60  # how version 1 of control groups writes that there is none


async def refresh(task: TaskContext, *, interruptible: bool = True) -> None:
    """Ask the engine about every container that is not known to have stopped."""
    for container in task.record.containers:
        if container.is_stopped:
            continue
        runtime_id = container.runtime_id
        state = await task.engine(lambda: task.parts.sandbox.get_container(runtime_id), interruptible=interruptible)  # noqa: B023
        await note_state(task, container.name, state)


async def note_state(task: TaskContext, name: str, state: ContainerState | None) -> None:
    known = task.container(name)
    if known.is_stopped:
        return
    if known.restarting and not task.is_interrupted:
        # An agent was killed at it. On the way down nothing begins again: what ended is told as it ended.
        if is_undone(known, state):
            await go_on(task, name)
            return
        task.change_container(name, restarting=False, restarted_at=task.now())
    if state is None:
        if known.known_status == "RUNNING":
            # Its shim died or the engine's data was wiped: nobody can tell the exit code any more.
            task.change_container(name, known_status="STOPPED", reason=GONE_REASON, finished_at=task.now())
            await task.report()
        return
    if state.status == "stopped":
        if state.exit_code is None and known.known_status == "PENDING":
            return  # a record whose create was cut short with the agent: nothing ran, so it is made again
        await note_exit(task, name, state.exit_code, state.exited_at, state.reason)
    elif state.status == "running" and known.known_status == "PENDING":
        at = task.now()
        task.change_container(name, known_status="RUNNING", created_at=known.created_at or at, started_at=at)


async def note_exit(
    task: TaskContext, name: str, exit_code: int | None, exited_at: float | None, reason: str | None = None
) -> None:
    """The out-of-memory counter is the container's own: the kernel's event names every container of the task.

    `reason`: the engine's, of an end that was not the container's own doing.
    """
    runtime_id = task.container(name).runtime_id
    killed = await _oom_kills(task, runtime_id) if exit_code == EXIT_SIGKILL else 0
    memory = await _memory_at_kill(task, name, killed) if killed else None
    known = task.container(name)
    if known.is_stopped or (not known.restarting and is_old_news(known, exited_at)):
        return
    if await restarted(task, name, exit_code, exited_at):
        return
    known = task.container(name)
    if known.is_stopped:
        return  # it could not begin again, and that was told
    task.reached(Point.EXIT_SEEN)
    at = exited_at if exited_at is not None else task.now()
    task.change_container(
        name,
        known_status="STOPPED",
        exit_code=exit_code,
        finished_at=end_of(known.started_at, at),
        # An exit that was found after a crash belongs to a container whose start was not recorded.
        started_at=known.started_at if known.started_at is not None else at,
        reason=OOM_REASON if killed else reason or known.reason,
        memory_at_kill=memory,
    )
    await task.report()
    task.reached(Point.EXIT_SAVED)


def end_of(started_at: float | None, exited_at: float) -> float:
    """The start is stamped here when the engine's call returned; a container that ended before that ends then."""
    return exited_at if started_at is None else max(exited_at, started_at)


async def _oom_kills(task: TaskContext, runtime_id: str) -> int:
    try:
        return await task.engine(lambda: task.parts.sandbox.oom_kills(runtime_id), interruptible=False)
    except SandboxError:
        # A counter that cannot be read any more explains nothing; the exit itself must still be told.
        return 0


async def _memory_at_kill(task: TaskContext, name: str, kills: int) -> MemoryAtKill | None:
    """While the container's group is still there: its counters go with it. None when they cannot be read any more."""
    task_id = task.record.task_id
    try:
        own = await task.parts.cgroups.container_stats(task_id, name)
        whole = await task.parts.cgroups.task_stats(task_id)
    except OSError:
        return None
    if own is None or whole is None:
        return None
    return MemoryAtKill(
        kills=kills,
        peak_bytes=own.memory_max_usage,
        limit_bytes=own.memory_limit if own.memory_limit < _NO_LIMIT_BYTES else 0,
        task_peak_bytes=whole.memory_max_usage,
        task_limit_bytes=whole.memory_limit,
    )
