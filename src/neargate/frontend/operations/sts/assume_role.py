"""AssumeRole: from one's own credentials to a session of a role, narrower if one wants, for some time."""

from ....model.errors import AccessDenied
from ...authorize import Values, request_tags
from ...call import Answer, Call, Params, Principal
from ...callers.principals import assumed_role_arn
from ...identity.records import RoleRecord
from ...services import Services
from ...session_claims import SessionClaims
from . import session_request as wanted
from .errors import InvalidRequest
from .trust import check_caller, find_role

_MFA_REFUSED = (
    "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and"
    " associated with this user."
)


async def assume_role(call: Call, services: Services, params: Params) -> Answer:
    principal, arn, name = call.principal, params["RoleArn"], params["RoleSessionName"]
    role = find_role(services, arn)
    own_tags = wanted.tags_of(params.get("Tags"))
    tags = wanted.inherited_tags(principal, own_tags) | own_tags
    source_identity = _source_identity(principal, params.get("SourceIdentity"))
    keys = _keys(params, tags, source_identity)
    role = check_caller(call, actions("sts:AssumeRole", tags, source_identity), role, arn, keys)
    _check_mfa(params)
    wanted.check_tag_count(tags)
    chained = principal.session is not None and principal.session.is_role
    lifetime_s = wanted.role_lifetime_s(params.get("DurationSeconds"), role.max_session_s, chained=chained)
    limits = wanted.limits_of(params, services.identity.book(role.account))
    inherited = frozenset(tags) - frozenset(own_tags)
    claims = SessionClaims(
        kind="role",
        account=role.account,
        issuer_name=role.name,
        issuer_id=role.unique_id,
        session_name=name,
        policies=limits.policies,
        policy_arns=limits.policy_arns,
        tags=tags,
        transitive=wanted.transitive_of(params.get("TransitiveTagKeys"), own_tags) | inherited,
        source_identity=source_identity,
        chained=chained,
    )
    return begin(services, params, role, claims, lifetime_s)


def begin(
    services: Services, params: Params, role: RoleRecord, claims: SessionClaims, lifetime_s: float, **members: str
) -> Answer:
    """The session and its answer. `members`: what the operation adds. Raises PackedPolicyTooLarge."""
    percent = wanted.packed(claims)
    services.identity.note_use(role.unique_id, service="sts", region=services.region)
    return wanted.answer(
        services.sessions.seal(claims, lifetime_s, token_min=wanted.token_min(params)),
        percent,
        AssumedRoleUser={
            "AssumedRoleId": f"{role.unique_id}:{claims.session_name}",
            "Arn": assumed_role_arn(role.account, role.name, claims.session_name),
        },
        SourceIdentity=claims.source_identity,
        **members,
    )


def actions(entry: str, tags: wanted.Tags, source_identity: str | None) -> list[str]:
    """All that the role must allow."""
    found = [entry]
    if tags:
        found.append("sts:TagSession")
    if source_identity is not None:
        found.append("sts:SetSourceIdentity")
    return found


def _source_identity(principal: Principal, asked: str | None) -> str | None:
    """Once set, it stays through all roles that follow. Raises AccessDenied where another is asked for."""
    held = None if principal.session is None else principal.session.source_identity
    if held is not None and asked not in (None, held):
        raise AccessDenied(
            f"User: {principal.arn} is not authorized to perform: sts:SetSourceIdentity"
            " because the source identity of the calling session cannot be changed"
        )
    return asked if held is None else held


def _keys(params: Params, tags: wanted.Tags, source_identity: str | None) -> dict[str, Values]:
    keys: dict[str, Values] = {"sts:RoleSessionName": params["RoleSessionName"]}
    for member, key in (
        ("ExternalId", "sts:ExternalId"),
        ("DurationSeconds", "sts:DurationSeconds"),
        ("TransitiveTagKeys", "sts:TransitiveTagKeys"),
    ):
        value = params.get(member)
        if value is not None:
            keys[key] = value if isinstance(value, list) else str(value)
    if source_identity is not None:
        keys["sts:SourceIdentity"] = source_identity
    return keys | (request_tags(tags) if tags else {})


def _check_mfa(params: Params) -> None:
    """There are no MFA devices here, so no code can be good. Raises AccessDenied, InvalidRequest."""
    if "SerialNumber" in params or "TokenCode" in params:
        raise AccessDenied(_MFA_REFUSED)
    if params.get("ProvidedContexts"):
        raise InvalidRequest("The context provider of ProvidedContexts is not supported.")
