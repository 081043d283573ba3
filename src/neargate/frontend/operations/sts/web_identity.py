"""AssumeRoleWithWebIdentity: nobody signs; an OpenID Connect provider that the role's account knows says who it is.

The token is believed in this order: its form, its issuer (a provider of the account), its signature, its times, its
audience. Only then the trust policy is asked what it thinks of the claims.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from ....iam.request import Caller
from ....model.arn import Arn
from ....model.errors import AccessDenied
from ...call import Answer, Call, Params
from ...callers.oidc.keys import Mistrusted, NoKeys
from ...callers.oidc.tokens import NotAToken, Token, parse_token
from ...identity.records import OidcProvider, RoleRecord
from ...services import Services
from ...session_claims import SessionClaims
from . import session_request as wanted
from .assume_role import actions, begin
from .errors import ExpiredIdentityToken, IdpCommunicationError, IdpRejectedClaim, InvalidIdentityToken, InvalidRequest
from .trust import check_federated, find_role

_ACTION = "sts:AssumeRoleWithWebIdentity"
_DENIED = f"Not authorized to perform {_ACTION}"
_NOT_A_JWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
_NO_KEY = (  # Two spaces: AWS's.
    "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity"
    " documentation for requirements"
)
_WRONG_THUMBPRINT = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
_SCHEME = "https://"
_SUBJECT_MAX = 255
_TAGS_CLAIM = "https://aws.amazon.com/tags"
_SOURCE_IDENTITY_CLAIM = "https://aws.amazon.com/source_identity"
_SKEW_S = 300.0  # a provider's clock may be so far ahead; one that is behind expires its tokens early


class Proven(Struct, frozen=True, kw_only=True):
    """What a token said, and was believed. `keys`: condition keys by lower-case name, for the whole session."""

    provider: OidcProvider
    subject: str
    audience: str
    keys: Mapping[str, tuple[str, ...]]
    tags: wanted.Tags
    transitive: tuple[str, ...]
    source_identity: str | None


async def assume_role_with_web_identity(call: Call, services: Services, params: Params) -> Answer:
    if "ProviderId" in params:
        raise InvalidRequest("OAuth 2.0 access tokens are not supported; pass an OpenID Connect ID token.")
    arn, name = params["RoleArn"], params["RoleSessionName"]
    role = find_role(services, arn)
    proven = await _prove(services, arn, params["WebIdentityToken"], call.now)
    named = {
        "SubjectFromWebIdentityToken": proven.subject,
        "Provider": proven.provider.arn,
        "Audience": proven.audience,
    }
    call.web_identity.update(named)
    if role is None:
        raise AccessDenied(_DENIED)
    _check_trust(call, role, proven, params)
    wanted.check_tag_count(proven.tags)
    lifetime_s = wanted.role_lifetime_s(params.get("DurationSeconds"), role.max_session_s, chained=False)
    limits = wanted.limits_of(params, services.identity.book(role.account))
    claims = SessionClaims(
        kind="role",
        account=role.account,
        issuer_name=role.name,
        issuer_id=role.unique_id,
        session_name=name,
        policies=limits.policies,
        policy_arns=limits.policy_arns,
        tags=proven.tags,
        transitive=wanted.transitive_of(proven.transitive, proven.tags),
        source_identity=proven.source_identity,
        provider=proven.provider.arn,
        subject=proven.subject,
        context=dict(proven.keys),
    )
    return begin(services, params, role, claims, lifetime_s, **named)


def _check_trust(call: Call, role: RoleRecord, proven: Proven, params: Params) -> None:
    keys = dict(proven.keys)
    keys["sts:rolesessionname"] = (params["RoleSessionName"],)
    if "DurationSeconds" in params:
        keys["sts:durationseconds"] = (str(params["DurationSeconds"]),)
    if proven.source_identity is not None:
        keys["sts:sourceidentity"] = (proven.source_identity,)
    if proven.tags:
        keys["aws:tagkeys"] = tuple(proven.tags)
        keys |= {f"aws:requesttag/{name.lower()}": (value,) for name, value in proven.tags.items()}
    if proven.transitive:
        keys["sts:transitivetagkeys"] = proven.transitive
    caller = Caller(
        account=role.account,
        arn=proven.provider.arn,
        user_id=f"{proven.provider.arn}:{proven.audience}:{proven.subject}",
        federated=proven.provider.arn,
    )
    asked = actions(_ACTION, proven.tags, proven.source_identity)
    check_federated(call, asked, role, caller=caller, keys=keys)


async def _prove(services: Services, role_arn: str, text: str, now: float) -> Proven:
    """Raises InvalidIdentityToken, IdpCommunicationError, ExpiredIdentityToken, IdpRejectedClaim."""
    try:
        token = parse_token(text)
    except NotAToken:
        raise InvalidIdentityToken(_NOT_A_JWT) from None
    claims = token.claims
    issuer = _text(claims, "iss")
    provider = _provider(services, role_arn, issuer)
    await _check_signature(services, issuer, token, provider.thumbprints)
    _check_times(claims, now)
    audience = _audience(claims, provider)
    subject = _text(claims, "sub")
    if len(subject) > _SUBJECT_MAX:
        raise InvalidIdentityToken(f"The sub claim is longer than {_SUBJECT_MAX} characters")
    tags, transitive = _tags(claims)
    source_identity = claims.get(_SOURCE_IDENTITY_CLAIM)
    if source_identity is not None and not (isinstance(source_identity, str) and 2 <= len(source_identity) <= 64):
        raise IdpRejectedClaim("The source identity claim is not valid")
    return Proven(
        provider=provider,
        subject=subject,
        audience=audience,
        keys=_keys(provider.name.lower(), claims, subject, audience),
        tags=tags,
        transitive=transitive,
        source_identity=source_identity,
    )


def _provider(services: Services, role_arn: str, issuer: str) -> OidcProvider:
    """Of the role's account: who is trusted elsewhere proves nothing here."""
    parsed = Arn.parse(role_arn)
    account = "" if parsed is None else parsed.account
    found = None
    if issuer.startswith(_SCHEME) and services.identity.account(account) is not None:
        found = services.identity.book(account).find(OidcProvider, issuer.removeprefix(_SCHEME))
    if found is None:
        raise InvalidIdentityToken(f"No OpenIDConnect provider found in your account for {issuer[:256]}")
    return found


async def _check_signature(services: Services, issuer: str, token: Token, thumbprints: tuple[str, ...]) -> None:
    if services.provider_keys is None:
        raise IdpCommunicationError(_NO_KEY)
    try:
        signed = await services.provider_keys.has_signed(issuer, token, thumbprints)
    except Mistrusted:
        raise InvalidIdentityToken(_WRONG_THUMBPRINT) from None
    except NoKeys:
        raise IdpCommunicationError(_NO_KEY) from None
    if signed is None:
        raise InvalidIdentityToken(_NO_KEY)
    if not signed:
        raise InvalidIdentityToken("Token signature invalid")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, begins, issued = (_number(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None or issued is None:
        raise InvalidIdentityToken(f"Missing a required claim: {'exp' if expires is None else 'iat'}")
    if now >= expires:
        raise ExpiredIdentityToken(
            f"Token expired: current date/time {_shown(now)} must be before the expiration date/time {_shown(expires)}"
        )
    if max(issued, begins or 0) > now + _SKEW_S:
        raise InvalidIdentityToken("The token is not valid yet")


def _audience(claims: Mapping[str, Any], provider: OidcProvider) -> str:
    """Who the token was made for: `azp` where there is one, as AWS reads it. One of the provider's client ids."""
    given = claims.get("aud")
    audiences = given if isinstance(given, list) else [given]
    party = claims.get("azp")
    if isinstance(party, str) and party:
        audiences = [party]
    known = [one for one in audiences if isinstance(one, str) and one in provider.client_ids]
    if given is None:
        raise InvalidIdentityToken("Missing a required claim: aud")
    if not known:
        raise InvalidIdentityToken("Incorrect token audience")
    return known[0]


def _keys(name: str, claims: Mapping[str, Any], subject: str, audience: str) -> dict[str, tuple[str, ...]]:
    """`oaud` is the token's own aud where azp took its place."""
    keys: dict[str, tuple[str, ...]] = {f"{name}:sub": (subject,), f"{name}:aud": (audience,)}
    for claim, key in (("amr", "amr"), ("aud", "oaud"), ("email", "email")):
        given = claims.get(claim)
        values = tuple(one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str))
        if values and (key != "oaud" or "azp" in claims):
            keys[f"{name}:{key}"] = values
    return keys


def _tags(claims: Mapping[str, Any]) -> tuple[wanted.Tags, tuple[str, ...]]:
    """From AWS's claim: each tag's value stands in a list of one. Raises IdpRejectedClaim for any other form."""
    given = claims.get(_TAGS_CLAIM)
    if given is None:
        return {}, ()
    principal = given.get("principal_tags", {}) if isinstance(given, dict) else None
    transitive = given.get("transitive_tag_keys", []) if isinstance(given, dict) else None
    if not isinstance(principal, dict) or not isinstance(transitive, list):
        raise IdpRejectedClaim("The session tags claim is not valid")
    tags = []
    for key, values in principal.items():
        value = values[0] if isinstance(values, list) and len(values) == 1 else values
        if not (isinstance(value, str) and 1 <= len(key) <= 128 and len(value) <= 256):
            raise IdpRejectedClaim("The session tags claim is not valid")
        tags.append({"Key": key, "Value": value})
    return wanted.tags_of(tags), tuple(key for key in transitive if isinstance(key, str))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidIdentityToken(f"Missing a required claim: {name}")
    return value


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise InvalidIdentityToken(f"The {name} claim is not a time")
    return float(value)


def _shown(epoch: float) -> str:
    """As AWS's sentence has it: `2026-11-22T03:20:00Z`."""
    return datetime.fromtimestamp(min(epoch, 253_402_300_799), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
