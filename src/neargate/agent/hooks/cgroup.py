"""The task's cgroup: the limits under which all its containers live. The CPU is limited before the first start."""

from ..points import Point
from ..task_context import TaskContext


class CgroupHook:
    name = "cgroup"
    up_point = Point.CGROUP_MADE
    down_point = Point.CGROUP_DELETED
    gated = True

    async def up(self, task: TaskContext) -> None:
        await task.parts.cgroups.create_task(task.record.task_id, task.limits)

    async def down(self, task: TaskContext) -> None:
        await task.parts.cgroups.delete_task(task.record.task_id)
