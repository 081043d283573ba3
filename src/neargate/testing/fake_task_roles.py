"""Stands for the region's identities: every role exists and may do everything, unless a test says otherwise."""

from ..interfaces.roles import RoleCredentials
from ..model.errors import RoleNotAssumable


class FakeTaskRoles:
    """`missing`: ARNs of roles that cannot be assumed. `denied`: actions that no role may. `issued` tells of all."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.denied: set[str] = set()
        self.issued: list[tuple[str, str]] = []  # role ARN, task ARN
        self.now = 1_000_000.0

    def credentials(self, account: str, role_arn: str, task_arn: str, lifetime_s: float) -> RoleCredentials:
        del account
        self._check(role_arn)
        self.issued.append((role_arn, task_arn))
        number = len(self.issued)
        return RoleCredentials(
            access_key_id=f"ASIA{number:016d}",
            secret_access_key=f"secret-{number}-of-{task_arn.rpartition('/')[2]}",
            token=f"token-{number}",
            issued_at=self.now,
            expires_at=self.now + lifetime_s,
        )

    def refusal(self, account: str, role_arn: str, task_arn: str, action: str, resource: str) -> str | None:
        self._check(role_arn)
        if action not in self.denied:
            return None
        who = f"arn:aws:sts::{account}:assumed-role/{role_arn.rpartition('/')[2]}/{task_arn.rpartition('/')[2]}"
        return (
            f"User: {who} is not authorized to perform: {action} on resource: {resource} because no identity-based "
            f"policy allows the {action} action"
        )

    def _check(self, role_arn: str) -> None:
        if role_arn in self.missing:
            raise RoleNotAssumable(role_arn)
