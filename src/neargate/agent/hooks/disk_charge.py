"""The size of the task's images counts against its disk, as on AWS; images shared by its containers count once."""

from ...interfaces.hostnet import DiskFull, HostError
from ..points import Point
from ..task_context import LaunchFailed, TaskContext


class DiskChargeHook:
    name = "disk-charge"
    up_point = Point.DISK_CHARGED
    down_point = Point.CHARGE_REMOVED
    gated = False

    async def up(self, task: TaskContext) -> None:
        sizes = {image.digest: image.unpacked_bytes for image in task.resources.images.values()}
        try:
            await task.parts.disks.reserve(task.record.task_id, sum(sizes.values()))
        except DiskFull as error:
            name = task.launch.containers[0].name
            reason = f"CannotPullContainerError: failed to extract layer: {error.reason}: no space left on device"
            raise LaunchFailed(reason, name) from error
        except HostError as error:
            raise LaunchFailed(f"ResourceInitializationError: {error.reason}") from error

    async def down(self, task: TaskContext) -> None:
        """The charge is a file on the task's disk and goes with it."""
