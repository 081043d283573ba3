"""The task's cgroup: the task-level limits under which all its containers live."""

from ...interfaces.hostnet import TaskLimits
from ..points import Point
from ..task_context import TaskContext


class CgroupHook:
    name = "cgroup"
    up_point = Point.CGROUP_MADE
    down_point = Point.CGROUP_DELETED
    gated = True

    async def up(self, task: TaskContext) -> None:
        limits = TaskLimits(cpu_units=task.launch.cpu_units, memory_mib=task.launch.memory_mib)
        await task.parts.cgroups.create_task(task.record.task_id, limits)

    async def down(self, task: TaskContext) -> None:
        await task.parts.cgroups.delete_task(task.record.task_id)
