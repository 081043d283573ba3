"""Whether a task's execution role may write the task's logs: asked in its name, as the log driver of AWS would ask.

Owns which action is asked for which step. Must not know policies. Invariant: without an execution role nothing may be
written; the role is judged as it is now, at each step.
"""

from msgspec import Struct

from ..interfaces.roles import LogTarget, TaskRoles
from ..model.arn import Arn
from ..model.errors import RoleNotAssumable

CREATE_STREAM = "CreateLogStream"
CREATE_GROUP = "CreateLogGroup"
PUT_EVENTS = "PutLogEvents"
ASSUME_ROLE = "AssumeRole"
NO_ROLE = "Fargate requires task definition to have execution role ARN to support log driver awslogs."


class Denial(Struct, frozen=True, kw_only=True):
    """`operation` is the one that failed; `message` is AWS's sentence, with what an SDK adds to it."""

    operation: str
    message: str


def denial(roles: TaskRoles, target: LogTarget, operation: str, request_id: str) -> Denial | None:
    """None: it may. `request_id` is shown, as of a request that was made."""
    if target.execution_role_arn is None:
        return Denial(operation=ASSUME_ROLE, message=NO_ROLE)
    stream = "" if operation == CREATE_GROUP else target.stream
    resource = f"log-group:{target.group}:log-stream:{stream}"
    arn = str(Arn(service="logs", region=target.region, account=target.account, resource=resource))
    try:
        why = roles.refusal(target.account, target.execution_role_arn, target.task_arn, f"logs:{operation}", arn)
    except RoleNotAssumable as refused:
        return Denial(operation=ASSUME_ROLE, message=refused.message)
    if why is None:
        return None
    return Denial(operation=operation, message=f"{why} status code: 400, request id: {request_id}")
