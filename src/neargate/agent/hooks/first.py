"""Creates the containers that wait for no other, while beside it is made what only their start needs.

A machine is made by the first start, with a disk that is complete: for an engine with machines these are all of them.

The runtime's work for a create is the longest part of a launch; interface and log streams take their time within it.
"""

from ...interfaces.sandbox import SandboxError
from ..container_creation import create, give_up
from ..order import next_starts, start_order
from ..points import Point
from ..task_context import TaskContext


class FirstContainersHook:
    name = "first-containers"
    up_point = Point.FIRST_CREATED
    down_point = Point.FIRST_DELETED
    gated = False

    async def up(self, task: TaskContext) -> None:
        """Leaves the rest of the plan to the last step, which looks at it again."""
        for name in _first(task):
            async with task.gate():
                try:
                    await create(task, name)
                except SandboxError as error:
                    await give_up(task, name, error.reason)

    async def down(self, task: TaskContext) -> None:
        """The last step deletes all containers, started or not."""
        task.resources.created.clear()


def _first(task: TaskContext) -> tuple[str, ...]:
    if task.parts.sandbox.is_machine:
        ordered = (container.name for container in start_order(task.launch.containers))
        return tuple(name for name in ordered if task.container(name).known_status == "PENDING")
    return next_starts(task.record, task.now(), task.parts.knobs.start_timeout_default_s).start
