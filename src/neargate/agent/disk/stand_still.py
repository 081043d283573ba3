"""Makes a task that fills the host's disk stand still, at once and before its ordinary way down begins.

Invariant: called only after the stop was saved, so that nobody who is killed in here leaves a task frozen for ever.
"""

from ...interfaces.hostnet import HostError
from ...interfaces.sandbox import EngineUnavailable, SandboxError
from ..task_context import TaskContext


async def cut_off(task: TaskContext) -> None:
    """First and without the engine: also what its processes wrote before and nobody wrote back never arrives."""
    task_id = task.record.task_id
    try:
        await task.parts.disks.cut_off(task_id)
    except (HostError, OSError) as error:
        # Without it the task may still write until it is dead; its death does not depend on this.
        task.parts.note(f"task {task_id}: its disk is not cut off: {error}")


async def freeze(task: TaskContext) -> None:
    """All its containers, also one that is only being started. Killing thaws them."""
    task_id = task.record.task_id
    try:
        # The log shipper may hold a writer back; it must not be the one who lets it go on.
        await task.parts.logs.stopping(task_id)
        for container in task.record.containers:
            if not container.is_stopped:
                await task.parts.sandbox.pause_container(container.runtime_id)
    except (EngineUnavailable, SandboxError) as error:
        # The kill that follows is repeated until the engine answers.
        task.parts.note(f"task {task_id}: not all of it is frozen: {error}")
