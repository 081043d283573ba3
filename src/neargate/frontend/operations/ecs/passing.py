"""The roles that a task gets: who may hand them over, and whether ECS can assume them.

AWS asks for iam:PassRole when a definition is registered and again when a task is run, there for the roles that the
task will have. Invariant: no role reaches a task whose launcher may not pass it, or whose trust does not name ECS.
"""

from collections.abc import Mapping
from typing import Any

from ....definitions.rules import check_role, role_arn
from ....model.arn import task_arn
from ...authorize import Resource, authorize
from ...call import Call
from ...callers.task_roles import ECS_TASKS, assumable_role
from ...services import Services

ROLES = ("taskRoleArn", "executionRoleArn")


def roles_of(call: Call, given: Mapping[str, Any], under: Mapping[str, Any] | None = None) -> list[str]:
    """ARNs of the roles that `given` names, else those of `under`; each once. Raises ClientError for no role."""
    found: dict[str, None] = {}
    for name in ROLES:
        role = given.get(name) or (under or {}).get(name)
        if role:
            check_role(role, call.account)
            found[role_arn(role, call.account)] = None
    return list(found)


def authorize_roles(call: Call, services: Services, roles: list[str]) -> None:
    """A role that does not exist may be passed by whoever may pass its ARN: AWS finds that out at the launch."""
    if roles:
        resources = [Resource(arn=arn, tags=_tags(call, services, arn)) for arn in roles]
        authorize(call, "iam:PassRole", resources, {"iam:PassedToService": ECS_TASKS})


def check_assumable(call: Call, services: Services, cluster: str, roles: list[str]) -> None:
    """Raises ClientError in AWS's words for a role that is not there or does not trust ECS tasks."""
    for arn in roles:
        assumable_role(services.identity, call.account, arn, task_arn(call.region, call.account, cluster, "*"))


def _tags(call: Call, services: Services, arn: str) -> dict[str, str]:
    role = services.identity.role(call.account, arn.rpartition("/")[2])
    return dict(role.tags) if role is not None and role.arn == arn else {}
