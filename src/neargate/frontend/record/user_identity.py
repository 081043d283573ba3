"""CloudTrail's `userIdentity` and the name by which LookupEvents finds a caller. Pure."""

import re
from datetime import UTC, datetime
from typing import Any

from ..call import Principal, SessionFacts
from .fields import HIDDEN

_KEY_ID = re.compile(r"[A-Z0-9]{16,32}")


def key_id(text: str) -> str:
    """What a caller claims to be a key's id is shown when it looks like one: secrets are pasted into wrong fields."""
    return text if not text or _KEY_ID.fullmatch(text) else HIDDEN


def unproven(claimed_key: str) -> dict[str, Any]:
    """A caller whose signature was refused, or who gave none."""
    return {"type": "Unknown"} | ({"accessKeyId": key_id(claimed_key)} if claimed_key else {})


def web_identity(named: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Of AssumeRoleWithWebIdentity, which nobody signs: whom the provider's token named."""
    provider, audience, subject = (named[name] for name in ("Provider", "Audience", "SubjectFromWebIdentityToken"))
    identity = {
        "type": "WebIdentityUser",
        "principalId": f"{provider}:{audience}:{subject}",
        "userName": subject,
        "identityProvider": provider,
    }
    return identity, subject


def user_identity(principal: Principal) -> tuple[dict[str, Any], str]:
    """The element and the user's name: the session's name of an assumed role, `root` of the account itself."""
    if not principal.arn.startswith("arn:"):
        return {"type": "AWSService", "invokedBy": principal.arn}, principal.arn
    service, resource = principal.arn.split(":", 5)[2::3]
    kind, _, rest = resource.partition("/")
    last = rest.rpartition("/")[2]
    kinds = {("iam", "root"): "Root", ("iam", "user"): "IAMUser", ("sts", "federated-user"): "FederatedUser"}
    identity: dict[str, Any] = {
        "type": kinds.get((service, kind), "AssumedRole"),
        "principalId": principal.user_id,
        "arn": principal.arn,
        "accountId": principal.account,
        "accessKeyId": key_id(principal.access_key_id),
    }
    if identity["type"] == "IAMUser":
        identity["userName"] = last
    if principal.session is not None:
        identity["sessionContext"] = _session(principal, principal.session)
    return identity, "root" if identity["type"] == "Root" else last


def _session(principal: Principal, session: SessionFacts) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if session.is_role:
        shown["sessionIssuer"] = {
            "type": "Role",
            "principalId": session.issuer_id,
            "arn": session.issuer_arn,
            "accountId": principal.account,
            "userName": session.issuer_name,
        }
    if session.provider is not None:
        shown["webIdFederationData"] = {"federatedProvider": session.provider, "attributes": {}}
    shown["attributes"] = {"creationDate": moment(session.issued), "mfaAuthenticated": "false"}
    if session.source_identity is not None:
        shown["sourceIdentity"] = session.source_identity
    return shown


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
