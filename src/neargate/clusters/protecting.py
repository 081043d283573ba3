"""A task asks by its metadata endpoint to be protected from scale-in and deployments, or whether it is.

Owns the answer to an ask: as ECS answers the task's role, by which AWS's agent asks. Must not know policies (TaskRoles
does) or sockets. Invariant: whose task it is and where it runs is read from the cell's table at each ask: a host asks
only for its own.
"""

from typing import Any

import msgspec

from ..interfaces.roles import Documents, TaskIdentity, TaskRoles
from ..interfaces.services import ServiceManager
from ..link.messages import ProtectionAsk, ProtectionTold
from ..model.arn import Arn
from ..model.errors import AccessDenied, AwsError, InvalidParameter
from ..model.task_protection import checked_minutes
from .cell import Cell

NOT_HERE = "This host runs no such task."
NO_ROLE = "Invalid Request: no task IAM role credentials available for task"


class HostProtection:
    """One for all hosts."""

    def __init__(self, cell: Cell, roles: TaskRoles) -> None:
        self._cell = cell
        self._roles = roles

    async def answer(self, host_id: str, ask: ProtectionAsk) -> ProtectionTold:
        """Raises Overloaded."""
        task = await self._cell.task_identity(host_id, ask.task_id)
        try:
            if task is None:
                raise InvalidParameter(NOT_HERE)
            self._check_leave(task, "GetTaskProtection" if ask.enabled is None else "UpdateTaskProtection")
            return _told(ask, await self._found(self._cell.services, task, ask))
        except AwsError as error:
            return ProtectionTold(number=ask.number, code=error.code, message=error.message)

    def _check_leave(self, task: TaskIdentity, operation: str) -> None:
        if task.task_role_arn is None:
            raise AccessDenied(NO_ROLE)
        refusal = self._roles.refusal(
            task.account, task.task_role_arn, task.task_arn, f"ecs:{operation}", task.task_arn
        )
        if refusal is not None:
            raise AccessDenied(refusal)

    async def _found(self, services: ServiceManager, task: TaskIdentity, ask: ProtectionAsk) -> Documents:
        arn = Arn.parse(task.task_arn)
        assert arn is not None  # the cell made it
        _, cluster, task_id = arn.resource.split("/")
        if ask.enabled is None:
            return await services.task_protection(task.account, cluster, [task_id])
        minutes = checked_minutes(ask.expires_in_minutes)
        return await services.protect_tasks(
            task.account, cluster, [task_id], enabled=ask.enabled, expires_in_minutes=minutes
        )


def _told(ask: ProtectionAsk, found: Documents) -> ProtectionTold:
    if not found.documents:
        return ProtectionTold(number=ask.number, reason=found.failures[0].reason)
    document = msgspec.json.decode(found.documents[0], type=dict[str, Any])
    return ProtectionTold(
        number=ask.number, enabled=document["protectionEnabled"], expires_at=document.get("expirationDate")
    )
