"""What a request wants of its session: policies, tags, time. Checked as STS does, with its sentences. Pure.

Knows no role and no trust; what the caller's own session hands on (transitive tags, source identity) comes in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ....iam.document import PolicyKind, compile_policy
from ...call import Answer, Principal
from ...callers.sessions import SessionCredentials, packed_percent
from ...identity.book import AccountBook
from ...identity.rules import is_attachable
from ...session_claims import SessionClaims
from .errors import InvalidParameterValue, InvalidRequest, PackedPolicyTooLarge

POLICY_CHARACTERS_MAX = 2048  # inline and managed session policies together, as they are written
POLICY_ARNS_MAX = 10
TAGS_MAX = 50
CHAINED_MAX_S = 3600

Tags = dict[str, str]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Session policies. None: none were given, which limits nothing."""

    policies: tuple[str, ...] | None
    policy_arns: tuple[str, ...] | None


def limits_of(params: Mapping[str, Any], book: AccountBook) -> Limits:
    """`book`: of the account whose session it will be. Raises MalformedPolicy, PackedPolicyTooLarge, InvalidRequest."""
    document = params.get("Policy")
    arns = [described.get("arn", "") for described in params.get("PolicyArns") or ()]
    if len(arns) > POLICY_ARNS_MAX:
        raise InvalidRequest(f"The number of PolicyArns exceeds the limit of {POLICY_ARNS_MAX}.")
    for arn in arns:
        if not is_attachable(book, arn):
            raise InvalidRequest(f"Policy {arn} does not exist or is not attachable.")
    if document is not None:
        compile_policy(document, kind=PolicyKind.SESSION)
    written = sum(map(len, arns)) + len(document or "")
    if written > POLICY_CHARACTERS_MAX:
        percent = -(-100 * written // POLICY_CHARACTERS_MAX)
        raise PackedPolicyTooLarge(f"Packed policy consumes {percent}% of allotted space, please use smaller policy.")
    return Limits(policies=None if document is None else (document,), policy_arns=tuple(arns) if arns else None)


def tags_of(given: Sequence[Mapping[str, str]] | None) -> Tags:
    """Raises InvalidParameterValue."""
    tags = {tag["Key"]: tag["Value"] for tag in given or ()}
    if len({key.lower() for key in tags}) != len(given or ()):
        raise InvalidParameterValue("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.lower().startswith("aws:") for key in tags):
        raise InvalidParameterValue("Tag keys that start with aws: are reserved for internal use by AWS.")
    return tags


def transitive_of(keys: Sequence[str] | None, tags: Tags) -> frozenset[str]:
    """Raises InvalidParameterValue for a key that is not among the tags."""
    known = {key.lower() for key in tags}
    if any(key.lower() not in known for key in keys or ()):
        raise InvalidParameterValue("The specified transitive tag key must be included in the requested tags.")
    return frozenset(key for key in tags if key.lower() in {wanted.lower() for wanted in keys or ()})


def inherited_tags(principal: Principal, tags: Tags) -> Tags:
    """The transitive tags of the caller's session. Raises InvalidParameterValue where the request would change one."""
    if principal.session is None:
        return {}
    kept = {key: principal.tags[key] for key in sorted(principal.session.transitive_tag_keys) if key in principal.tags}
    asked = {key.lower() for key in tags}
    if any(key.lower() in asked for key in kept):
        raise InvalidParameterValue(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from"
            " the calling session."
        )
    return kept


def check_tag_count(tags: Tags) -> None:
    if len(tags) > TAGS_MAX:
        raise InvalidParameterValue(f"The number of session tags exceeds the limit of {TAGS_MAX}.")


def role_lifetime_s(asked: int | None, role_max_s: int, *, chained: bool) -> int:
    """Raises InvalidRequest."""
    wanted = CHAINED_MAX_S if asked is None else asked
    if chained and wanted > CHAINED_MAX_S:
        raise InvalidRequest(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    if wanted > role_max_s:
        raise InvalidRequest("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return wanted


def packed(claims: SessionClaims) -> int | None:
    """PackedPolicySize in percent. Raises PackedPolicyTooLarge."""
    percent = packed_percent(claims)
    if percent is None or percent <= 100:
        return percent
    if claims.policies is None and claims.policy_arns is None:
        raise PackedPolicyTooLarge(f"Packed size of session tags consumes {percent}% of allotted space.")
    raise PackedPolicyTooLarge(f"Packed policy consumes {percent}% of allotted space, please use smaller policy.")


def token_min(params: Mapping[str, Any]) -> int:
    size: int = params.get("MinimumSessionTokenSize", 0)
    return size


def shown(credentials: SessionCredentials) -> dict[str, Any]:
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": credentials.expiration,
    }


def answer(credentials: SessionCredentials, percent: int | None, **members: Any) -> Answer:
    """Without the members that are None."""
    found = {"Credentials": shown(credentials), "PackedPolicySize": percent} | members
    return {name: value for name, value in found.items() if value is not None}
