"""`restartPolicy`: a container that ended begins again, in its own file system, while its task goes on.

Owns the decision and the deed. What was decided is durable before anything is done: a killed agent's successor finds
`restarting` and goes on, or sees from the engine that it was done. Invariant: for one exit there is one new start; an
exit is the new run's exactly when the engine tells another time of it than of the one before.
"""

from ..interfaces.sandbox import ContainerState, SandboxError
from ..model.launch import RestartPolicy
from .points import Point
from .task_context import TaskContext
from .task_record import ContainerRecord


def may_restart(
    policy: RestartPolicy | None, container: ContainerRecord, exit_code: int | None, exited_at: float | None
) -> bool:
    """As on AWS: not after an ignored code, nor when it ran for less than the period since it last began."""
    if policy is None or exit_code is None or exited_at is None or exit_code in policy.ignored_exit_codes:
        return False
    began = container.restarted_at if container.restarted_at is not None else container.started_at
    return began is not None and exited_at - began >= policy.attempt_period_s


async def restarted(task: TaskContext, name: str, exit_code: int | None, exited_at: float | None) -> bool:
    """Whether the exit that was seen is followed by a new run, which then has begun."""
    policy = next((item.restart_policy for item in task.launch.containers if item.name == name), None)
    container = task.container(name)
    if task.is_interrupted or not may_restart(policy, container, exit_code, exited_at):
        return False
    task.change_container(
        name, restarting=True, restart_count=container.restart_count + 1, ended_at=exited_at, ended_with=exit_code
    )
    await task.save()
    task.reached(Point.RESTART_SAVED)
    return await go_on(task, name)


async def go_on(task: TaskContext, name: str) -> bool:
    """Do what `restarting` says, also for an agent that was killed at it. False: it could not, and has ended."""
    runtime_id = task.container(name).runtime_id
    try:
        await task.engine(lambda: task.parts.sandbox.restart_container(runtime_id), interruptible=False)
    except (SandboxError, OSError) as error:
        ended = task.container(name)
        task.change_container(
            name,
            restarting=False,
            known_status="STOPPED",
            exit_code=ended.ended_with,
            finished_at=ended.ended_at,
            reason=error.reason if isinstance(error, SandboxError) else _cannot_restart(error),
        )
        await task.report()
        return False
    task.reached(Point.CONTAINER_RESTARTED)
    task.change_container(name, restarting=False, restarted_at=task.now())
    await task.save()
    return True


def _cannot_restart(error: OSError) -> str:
    """The host's own failure, as of a disk that is full: this container's end, and nobody else's."""
    return f"CannotStartContainerError: ResourceInitializationError: {error.strerror or error}"


def is_undone(container: ContainerRecord, state: ContainerState | None) -> bool:
    """Of a container that is to begin again: whether it has not yet."""
    if state is None or state.status == "running":
        return False
    return state.status == "created" or state.exited_at is None or state.exited_at == container.ended_at


def is_old_news(container: ContainerRecord, exited_at: float | None) -> bool:
    """Whether an exit that is told is that of a run before."""
    return container.ended_at is not None and exited_at == container.ended_at  # not before: clocks are set back
