"""The place where every operation asks leave. Policies are evaluated here once IAM exists; now administrators may all.

An operation calls `authorize` after it has loaded what the decision needs and before it changes anything. The front end
refuses to answer for an operation that never asked.
"""

from collections.abc import Mapping, Sequence

from ..model.errors import AccessDenied
from .call import Call


def authorize(call: Call, action: str, resources: Sequence[str], context: Mapping[str, str] | None = None) -> None:
    """Raises AccessDenied in AWS's words. `action` is IAM's (`ecs:RunTask`), `resources` are ARNs (or `*`)."""
    del context  # condition keys; read by the evaluator when there are policies
    call.authorised_actions.append(action)
    if call.principal.is_administrator:
        return
    resource = resources[0] if resources else "*"
    raise AccessDenied(
        f"User: {call.principal.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )
