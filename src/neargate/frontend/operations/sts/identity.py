"""Who am I, whose is this key, and a session of one's own: what needs no role."""

from typing import Literal

from ....model.errors import AccessDenied
from ...authorize import authorize, needs_no_leave, request_tags
from ...call import Answer, Call, Params
from ...callers.sessions import account_of
from ...services import Services
from ...session_claims import SessionClaims
from . import session_request as wanted
from .errors import InvalidAuthorizationMessage, InvalidRequest

SESSION_DEFAULT_S = 43_200
_ADMINISTRATOR_MAX_S = 3600  # AWS's for the account's root user
_MFA_REFUSED = "MultiFactorAuthentication failed with invalid MFA one time pass code. "


async def get_caller_identity(call: Call, services: Services, params: Params) -> Answer:
    del services, params
    needs_no_leave(call)  # AWS answers this even under an explicit deny
    principal = call.principal
    return {"UserId": principal.user_id, "Account": principal.account, "Arn": principal.arn}


async def get_access_key_info(call: Call, services: Services, params: Params) -> Answer:
    """Of any account's key, as on AWS: the account's number is no secret to who holds the id."""
    authorize(call, "sts:GetAccessKeyInfo", ["*"])
    key_id = params["AccessKeyId"]
    known = services.identity.key(key_id)
    account = known.account if known is not None else account_of(key_id)
    if account is None and key_id == call.principal.access_key_id:
        account = call.account
    if account is None or services.identity.account(account) is None:
        raise InvalidRequest("The access key ID is not valid.")
    return {"Account": account}


async def get_session_token(call: Call, services: Services, params: Params) -> Answer:
    """Needs no permission on AWS: the session may what its user may."""
    needs_no_leave(call)
    if call.principal.session is not None:
        raise AccessDenied("Cannot call GetSessionToken with session credentials")
    if "SerialNumber" in params or "TokenCode" in params:
        raise AccessDenied(_MFA_REFUSED)
    claims = _own_session(call, "administrator" if call.principal.is_administrator else "user")
    return {
        "Credentials": wanted.shown(
            services.sessions.seal(claims, _lifetime_s(call, params), token_min=wanted.token_min(params))
        )
    }


async def get_federation_token(call: Call, services: Services, params: Params) -> Answer:
    """A session that may what its user and its own policies both allow; without policies nothing."""
    name = params["Name"]
    arn = f"arn:aws:sts::{call.account}:federated-user/{name}"
    tags = wanted.tags_of(params.get("Tags"))
    keys = request_tags(tags) if tags else {}
    authorize(call, "sts:GetFederationToken", [arn], keys)
    if tags:
        authorize(call, "sts:TagSession", [arn], keys)
    if call.principal.session is not None:
        raise AccessDenied("Cannot call GetFederationToken with session credentials")
    limits = wanted.limits_of(params, services.identity.book(call.account))
    claims = SessionClaims(
        kind="federated",
        account=call.account,
        issuer_name="",
        issuer_id=call.principal.user_id,
        session_name=name,
        policies=limits.policies,
        policy_arns=limits.policy_arns,
        tags=tags,
    )
    percent = wanted.packed(claims)
    return wanted.answer(
        services.sessions.seal(claims, _lifetime_s(call, params), token_min=wanted.token_min(params)),
        percent,
        FederatedUser={"FederatedUserId": f"{call.account}:{name}", "Arn": arn},
    )


async def decode_authorization_message(call: Call, services: Services, params: Params) -> Answer:
    """No refusal of this region carries an encoded message, so none can be decoded."""
    del services, params
    authorize(call, "sts:DecodeAuthorizationMessage", ["*"])
    raise InvalidAuthorizationMessage("Message is not valid")


def _lifetime_s(call: Call, params: Params) -> int:
    """The administrator's is shortened without a word, as AWS does for the root user."""
    asked: int = params.get("DurationSeconds", SESSION_DEFAULT_S)
    return min(asked, _ADMINISTRATOR_MAX_S) if call.principal.is_administrator else asked


def _own_session(call: Call, kind: Literal["user", "administrator"]) -> SessionClaims:
    return SessionClaims(kind=kind, account=call.account, issuer_name="", issuer_id=call.principal.user_id)
