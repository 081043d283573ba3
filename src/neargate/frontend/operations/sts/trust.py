"""Whether a role lets somebody in: its trust policy and the caller's own policies, asked for each action it takes.

A role that is not there refuses in the words of one that does not trust, so that nobody learns which roles exist.
"""

from collections.abc import Mapping, Sequence

from ....iam.evaluate import decide
from ....iam.request import Caller, Decision, Grants, Keys, Layer, Request
from ....iam.words import denial
from ....model.arn import Arn
from ....model.errors import AccessDenied
from ...call import Call
from ...identity.records import RoleRecord
from ...principals import token_issue_time
from ...services import Services
from .errors import InvalidRequest


def find_role(services: Services, arn: str) -> RoleRecord | None:
    """By its exact ARN. Raises InvalidRequest for what is no ARN."""
    parsed = Arn.parse(arn)
    if parsed is None:
        raise InvalidRequest(f"{arn} is invalid")
    if parsed.service != "iam" or not parsed.resource.startswith("role/"):
        return None
    role = services.identity.role(parsed.account, parsed.resource.rpartition("/")[2])
    return role if role is not None and role.arn == arn else None


def check_trust(
    call: Call,
    actions: Sequence[str],
    role: RoleRecord | None,
    arn: str,
    *,
    caller: Caller,
    grants: Grants | None,
    keys: Keys,
) -> RoleRecord:
    """Raises AccessDenied."""
    for action in actions:
        call.authorised_actions.append(action)
        decision = Decision(allowed=False, layer=Layer.TRUST)
        if role is not None:
            decision = decide(Request(action=action, resource=arn, keys=keys), caller, grants, role.trust)
        if role is None or not decision.allowed:
            raise AccessDenied(denial(caller.arn, action, arn, decision))
    assert role is not None, "no action was asked for"
    return role


def role_keys(role: RoleRecord | None, session_name: str, tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The condition keys that all ways into a role share. `tags`: of the session to be."""
    keys: dict[str, tuple[str, ...]] = {"sts:rolesessionname": (session_name,)}
    if tags:
        keys["aws:tagkeys"] = tuple(sorted(tags))
        keys |= {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}
    for key, value in role.tags if role is not None else ():
        keys[f"aws:resourcetag/{key.lower()}"] = keys[f"iam:resourcetag/{key.lower()}"] = (value,)
    return keys


def request_keys(call: Call) -> dict[str, tuple[str, ...]]:
    """The condition keys that every request has."""
    keys = dict(call.principal.keys)
    keys["aws:currenttime"] = (token_issue_time(call.now),)
    keys["aws:epochtime"] = (str(int(call.now)),)
    keys["aws:requestedregion"] = (call.region,)
    keys["aws:securetransport"] = ("true" if call.secure else "false",)
    keys["aws:viaawsservice"] = ("false",)
    if call.source_ip:
        keys["aws:sourceip"] = (call.source_ip,)
    if call.user_agent:
        keys["aws:useragent"] = (call.user_agent,)
    return keys
