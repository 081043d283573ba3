"""Opens the log driver of each container before any of them starts.

A missing group, or a collector that cannot be reached, fails the launch, as on AWS.
"""

from ..points import Point
from ..task_context import TaskContext


class LogsHook:
    name = "logs"
    up_point = Point.LOGS_OPENED
    down_point = Point.LOGS_DRAINED
    gated = False

    async def up(self, task: TaskContext) -> None:
        for container in task.launch.containers:
            if not container.keeps_output:
                continue
            if container.splunk is not None:
                await task.or_interrupted(task.interface_up())
            runtime_id = task.container(container.name).runtime_id
            await task.or_interrupted(task.parts.logs.open(task.launch, container.name, runtime_id))

    async def down(self, task: TaskContext) -> None:
        await task.parts.logs.finish(task.record.task_id)
        for container in task.launch.containers:
            dropped = task.parts.logs.dropped(task.record.task_id, container.name)
            if dropped:
                task.change_container(container.name, log_bytes_dropped=dropped)
