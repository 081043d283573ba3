"""The task's network interface. Once it is attached the task is PENDING, as on AWS."""

from ...model.lifecycle import LastStatus
from ..points import Point
from ..task_context import TaskContext


class NetworkHook:
    name = "network"
    up_point = Point.ENI_ATTACHED
    down_point = Point.ENI_DETACHED
    gated = True

    async def up(self, task: TaskContext) -> None:
        eni = task.launch.eni
        await task.parts.network.attach_eni(task.record.task_id, eni)
        if not task.record.eni_attached:
            task.change(eni_attached=True, connectivity_at=task.now())
            if not task.is_interrupted:
                task.change(known_status=LastStatus.PENDING.value)
            await task.report()

    async def down(self, task: TaskContext) -> None:
        await task.parts.network.detach_eni(task.record.task_id)
        task.change(eni_attached=False)
