"""Whether a role lets somebody in: its trust policy and, where the caller has any, their own policies.

A role that is not there refuses in the words of one that trusts nobody, so that nobody learns which roles exist.
"""

import re
from collections.abc import Mapping, Sequence

from ....iam.evaluate import decide
from ....iam.policy import Policy, PolicyKind
from ....iam.principals import caller_keys
from ....iam.request import Caller, Request
from ....model.arn import Arn
from ....model.errors import AccessDenied
from ...authorize import Resource, Values, authorize, check_way, global_keys
from ...call import Call
from ...identity.records import RoleRecord
from ...services import Services
from .errors import InvalidRequest

_ROLE_ARN = re.compile(r"arn:aws:iam::[0-9]{12}:role/[!-~]+", re.ASCII)
_NOBODY = Policy(kind=PolicyKind.TRUST, version="2012-10-17", statements=(), size=0)


def find_role(services: Services, arn: str) -> RoleRecord | None:
    """By its exact ARN. Raises InvalidRequest for what is no role's ARN."""
    parsed = Arn.parse(arn)
    if parsed is None or not _ROLE_ARN.fullmatch(arn):
        raise InvalidRequest(f"{arn} is invalid")
    role = services.identity.role(parsed.account, parsed.resource.rpartition("/")[2])
    return role if role is not None and role.arn == arn else None


def check_caller(
    call: Call, actions: Sequence[str], role: RoleRecord | None, arn: str, keys: Mapping[str, Values]
) -> RoleRecord:
    """Of a caller who signed. Raises AccessDenied."""
    resource = Resource(arn=arn, tags=dict(role.tags) if role is not None else {})
    for action in actions:
        authorize(call, action, [resource], keys, resource_policy=_NOBODY if role is None else role.trust)
    assert role is not None, "what trusts nobody was allowed"
    return role


def check_federated(
    call: Call,
    actions: Sequence[str],
    role: RoleRecord,
    *,
    caller: Caller,
    keys: Mapping[str, tuple[str, ...]],
) -> None:
    """Of somebody whom a provider's token names, and who has no policies here. Raises AccessDenied."""
    told = {**global_keys(call), **keys, **caller_keys(caller)}
    for name, value in role.tags:
        told[f"aws:resourcetag/{name.lower()}"] = told[f"iam:resourcetag/{name.lower()}"] = (value,)
    call.authorised_resources.append(role.arn)
    for action in actions:
        call.authorised_actions.append(action)
        call.authorised_resources.append(role.arn)
        decision = decide(Request(action=action, resource=role.arn, keys=told), caller, None, role.trust)
        if not decision.allowed:
            raise AccessDenied(f"Not authorized to perform {actions[0]}")
        check_way(call, action, role.arn, told, caller)
