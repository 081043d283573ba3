"""The task's ephemeral disk: all writable layers and volumes of its containers.

Once its machine has it (`TaskDisk.is_given`), the steps that write on it have done so before, and repeat nothing.
"""

from ...interfaces.hostnet import DiskFull
from ..points import Point
from ..task_context import LaunchFailed, TaskContext


class DiskHook:
    name = "disk"
    up_point = Point.DISK_MADE
    down_point = Point.DISK_DELETED
    gated = True

    async def up(self, task: TaskContext) -> None:
        try:
            disk = await task.parts.disks.create_disk(task.record.task_id, task.launch.ephemeral_gib)
        except DiskFull as error:
            raise LaunchFailed(
                f"ResourceInitializationError: unable to create ephemeral storage: {error.reason}"
            ) from error
        task.resources.disk = disk

    async def down(self, task: TaskContext) -> None:
        await task.parts.disks.delete_disk(task.record.task_id)
        task.resources.disk = None
