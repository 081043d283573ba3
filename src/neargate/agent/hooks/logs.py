"""Opens the log stream of each container before any of them starts: a missing group fails the launch, as on AWS."""

from ..points import Point
from ..task_context import TaskContext


class LogsHook:
    name = "logs"
    up_point = Point.LOGS_OPENED
    down_point = Point.LOGS_DRAINED
    gated = False

    async def up(self, task: TaskContext) -> None:
        for container in task.launch.containers:
            if container.logs is None:
                continue
            runtime_id = task.container(container.name).runtime_id
            await task.or_interrupted(task.parts.logs.open(task.launch, container.name, runtime_id))

    async def down(self, task: TaskContext) -> None:
        await task.parts.logs.finish(task.record.task_id)
        for container in task.launch.containers:
            dropped = task.parts.logs.dropped(task.record.task_id, container.name)
            if dropped:
                task.change_container(container.name, log_bytes_dropped=dropped)
