"""The task's network namespace, still without its interface: containers are created in it meanwhile."""

from ..points import Point
from ..task_context import TaskContext


class NamespaceHook:
    name = "namespace"
    up_point = Point.NAMESPACE_MADE
    down_point = Point.NAMESPACE_DELETED
    gated = True

    async def up(self, task: TaskContext) -> None:
        eni = task.launch.eni
        # An interface without its VPC's rules in force would be a hole; the plan always comes before the order.
        await task.or_interrupted(task.parts.plans.ready(eni.vpc_id))
        task.resources.network = await task.parts.network.make_namespace(task.record.task_id, eni)

    async def down(self, task: TaskContext) -> None:
        """It goes with its interface."""
        task.resources.network = None
