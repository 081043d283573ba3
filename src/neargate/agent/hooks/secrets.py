"""Looks up the values of the task's secrets before any container is created: they become its environment.

They are in memory only, and only until the containers were created: the next process of the agent, should it have to
create one, looks them up again.
"""

from ..points import Point
from ..task_context import TaskContext


class SecretsHook:
    name = "secrets"
    up_point = Point.SECRETS_HELD
    down_point = Point.SECRETS_FORGOTTEN
    gated = False

    async def up(self, task: TaskContext) -> None:
        """From inside the task's network, so a task with secrets waits for its interface here, and no other does."""
        if any(container.secrets for container in task.launch.containers):
            await task.or_interrupted(task.interface_up())
            task.resources.secrets = await task.or_interrupted(task.parts.execution.environment(task.launch))

    async def down(self, task: TaskContext) -> None:
        task.forget_secrets()
