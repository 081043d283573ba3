"""What a host's agent is given: credentials of the task role, for tasks that are placed there and have not stopped.

Owns the answer to an ask. Must not know policies (TaskRoles does) or sockets. Invariant: whose role it is and where the
task runs is read from the cell's table at each ask; of what the agent says only the task's id is used.
"""

from ..interfaces.roles import TaskRoles
from ..link.messages import CredentialsAsk, CredentialsIssued, CredentialsRefused
from ..log import get_logger
from ..model.errors import RoleNotAssumable
from ..model.knobs import Knobs
from .cell import Cell

_log = get_logger(__name__)
NOT_HERE = "This host runs no such task with a role."


class HostCredentials:
    """One for all hosts."""

    def __init__(self, cell: Cell, roles: TaskRoles, knobs: Knobs) -> None:
        self._cell = cell
        self._roles = roles
        self._lifetime_s = knobs.task_credentials_lifetime_s

    async def answer(self, host_id: str, ask: CredentialsAsk) -> CredentialsIssued | CredentialsRefused:
        """Raises Overloaded. The execution role's credentials stay here: nothing on a host has a use for them yet."""
        task = await self._cell.task_identity(host_id, ask.task_id) if ask.kind == "task" else None
        if task is None or task.task_role_arn is None:
            _log.warning("credentials refused", host=host_id, task=ask.task_id)
            return CredentialsRefused(task_id=ask.task_id, message=NOT_HERE, is_final=True)
        try:
            given = self._roles.credentials(task.account, task.task_role_arn, task.task_arn, self._lifetime_s)
        except RoleNotAssumable as refused:
            return CredentialsRefused(task_id=ask.task_id, message=refused.message, is_final=True)
        return CredentialsIssued(
            task_id=ask.task_id,
            role_arn=task.task_role_arn,
            access_key_id=given.access_key_id,
            secret_access_key=given.secret_access_key,
            token=given.token,
            issued_at=given.issued_at,
            expires_at=given.expires_at,
        )
