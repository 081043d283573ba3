"""What a host's agent is given: credentials of a task's roles, for tasks that are placed there and have not stopped.

Owns the answer to an ask. Must not know policies (TaskRoles does) or sockets. Invariant: whose role it is and where the
task runs is read from the cell's table at each ask; of what the agent says only the task's id is used, and which of the
task's two roles it asks for.
"""

from ..interfaces.roles import TaskIdentity, TaskRoles
from ..link.messages import EXECUTION_ROLE, TASK_ROLE, CredentialsAsk, CredentialsIssued, CredentialsRefused
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
        self._lifetimes_s = {
            TASK_ROLE: knobs.task_credentials_lifetime_s,
            EXECUTION_ROLE: knobs.execution_credentials_lifetime_s,
        }

    async def answer(self, host_id: str, ask: CredentialsAsk) -> CredentialsIssued | CredentialsRefused:
        """Raises Overloaded."""
        task = await self._cell.task_identity(host_id, ask.task_id) if ask.kind in self._lifetimes_s else None
        role_arn = None if task is None else _role(task, ask.kind)
        if task is None or role_arn is None:
            _log.warning("credentials refused", host=host_id, task=ask.task_id, role=ask.kind)
            return CredentialsRefused(task_id=ask.task_id, kind=ask.kind, message=NOT_HERE, is_final=True)
        try:
            given = self._roles.credentials(task.account, role_arn, task.task_arn, self._lifetimes_s[ask.kind])
        except RoleNotAssumable as refused:
            return CredentialsRefused(task_id=ask.task_id, kind=ask.kind, message=refused.message, is_final=True)
        return CredentialsIssued(
            task_id=ask.task_id,
            kind=ask.kind,
            role_arn=role_arn,
            access_key_id=given.access_key_id,
            secret_access_key=given.secret_access_key,
            token=given.token,
            issued_at=given.issued_at,
            expires_at=given.expires_at,
        )


def _role(task: TaskIdentity, kind: str) -> str | None:
    return task.execution_role_arn if kind == EXECUTION_ROLE else task.task_role_arn
