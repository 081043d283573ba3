"""Waits for the task role's credentials before any container starts: a role that cannot be assumed fails the launch."""

from ..points import Point
from ..task_context import TaskContext


class CredentialsHook:
    name = "credentials"
    up_point = Point.CREDENTIALS_HELD
    down_point = Point.CREDENTIALS_REMOVED
    gated = False

    async def up(self, task: TaskContext) -> None:
        if task.launch.task_role_arn is not None and task.record.credentials_id:
            await task.or_interrupted(task.parts.credentials.ready(task.record.task_id))

    async def down(self, task: TaskContext) -> None:
        await task.parts.credentials.forget(task.record.task_id)
