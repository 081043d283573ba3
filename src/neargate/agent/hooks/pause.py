"""`pidMode: task`: the process whose namespace all containers of the task share, there before the first of them.

It belongs to the task, not to its containers: it is in no record of theirs, so nothing reports it or judges its end.
Were it killed, the kernel would end every container with it, and their exits tell.
"""

from ..container_config import pause_config, pause_runtime_id
from ..points import Point
from ..task_context import TaskContext

SIGKILL = 9


class PauseHook:
    name = "pause"
    up_point = Point.PAUSE_STARTED
    down_point = Point.PAUSE_DELETED
    gated = False

    async def up(self, task: TaskContext) -> None:
        if not task.launch.share_pid_namespace:
            return
        network = task.resources.network
        assert network is not None, "the namespace's step comes before"
        config = pause_config(task.launch, network, task.parts.cgroups.task_path(task.record.task_id))
        async with task.gate():
            await task.engine(lambda: task.parts.sandbox.create_pause(config))
            await task.engine(lambda: task.parts.sandbox.start_container(config.runtime_id))

    async def down(self, task: TaskContext) -> None:
        """After its containers: with it the kernel would kill what is left of them."""
        if not task.launch.share_pid_namespace:
            return
        runtime_id = pause_runtime_id(task.record.task_id)
        await task.engine(lambda: task.parts.sandbox.kill_container(runtime_id, SIGKILL), interruptible=False)
        await task.engine(lambda: task.parts.sandbox.delete_container(runtime_id), interruptible=False)
