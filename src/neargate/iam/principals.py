"""Who a statement of a resource policy names, and how directly a caller is meant.

How directly decides what else limits the caller: an account is only given the right to let its own principals in; a
role's sessions stay within their boundary and session policies; users, sessions and services named themselves do not.
Hence `Reach` is ordered. No part of a principal may be a wildcard except the whole.
"""

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum

from msgspec import Struct

from .request import Caller, Keys

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_UNIQUE_ID = re.compile(r"A(IDA|ROA)[A-Z0-9]{8,124}", re.ASCII)
_ARN = re.compile(
    r"arn:aws[a-z-]*:(iam::[0-9]{12}:(root|(user|role)/[^*?\s]+)|sts::[0-9]{12}:(assumed-role/[^*?/\s]+|federated-user)/[^*?/\s]+)",
    re.ASCII,
)
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)
_FEDERATED = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:(oidc|saml)-provider/[^*?\s]+|[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII
)
_CANONICAL = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KINDS = {"AWS": None, "Service": _SERVICE, "Federated": _FEDERATED, "CanonicalUser": _CANONICAL}
EVERYBODY = "*"


class Reach(IntEnum):
    NONE = 0
    ACCOUNT = 1  # the caller's account: its own policies decide
    ROLE = 2  # the caller's role: its boundary and session policies limit
    DIRECT = 3


class InvalidPrincipal(ValueError):
    """`kind` and `name` as the document has them; IAM shouts the kind of services."""

    def __init__(self, kind: str, name: str) -> None:
        shown = "SERVICE" if kind == "Service" else kind
        super().__init__(f'Invalid principal in policy: "{shown}":"{name}"')


class Principals(Struct, frozen=True, kw_only=True):
    """`named`: AWS principals (ARNs, unique ids, account numbers as root ARNs), services and providers, by kind."""

    named: Mapping[str, frozenset[str]]
    everybody: bool

    def reach(self, caller: Caller) -> Reach:
        if caller.service is not None or caller.federated is not None:
            kind, name = ("Service", caller.service) if caller.service is not None else ("Federated", caller.federated)
            return Reach.DIRECT if name in self.named.get(kind, ()) else Reach.NONE
        if self.everybody:
            return Reach.DIRECT
        named = self.named.get("AWS")
        if not named:
            return Reach.NONE
        if caller.arn in named or (caller.role_arn is None and caller.user_id in named):
            return Reach.DIRECT
        if caller.role_arn is not None and (caller.role_arn in named or caller.user_id.partition(":")[0] in named):
            return Reach.ROLE
        return Reach.ACCOUNT if f"{_partition(caller.arn)}:iam::{caller.account}:root" in named else Reach.NONE

    def concerns(self, caller: Caller) -> bool:
        """Whether a Deny meets the caller. Everybody then includes services and federated callers."""
        return self.everybody or self.reach(caller) is not Reach.NONE

    def spares(self, caller: Caller, *, bounded: bool) -> bool:
        """Whether a Deny with these as NotPrincipal leaves the caller out.

        AWS may look at the account, the role and the session one after the other: all of them must be listed. A
        caller with a permissions boundary is never left out.
        """
        if self.everybody:
            return True
        if bounded:
            return False
        if caller.service is not None or caller.federated is not None:
            return self.reach(caller) is Reach.DIRECT
        named = self.named.get("AWS", frozenset())
        if f"{_partition(caller.arn)}:iam::{caller.account}:root" not in named:
            return False
        if caller.role_arn is None:
            return caller.arn in named or caller.user_id in named
        if caller.role_arn not in named and caller.user_id.partition(":")[0] not in named:
            return False
        sessions = caller.arn.rpartition("/")[0] + "/"
        return caller.arn in named or not any(name.startswith(sessions) for name in named)


def compile_principals(kinds: Mapping[str, Sequence[str]]) -> Principals:
    """Raises InvalidPrincipal. `"*"` by itself is `{"AWS": ["*"]}`."""
    named: dict[str, frozenset[str]] = {}
    everybody = False
    for kind, names in kinds.items():
        if kind not in _KINDS:
            raise InvalidPrincipal(kind, names[0] if names else "")
        everybody = everybody or (kind == "AWS" and EVERYBODY in names)
        named[kind] = frozenset(_checked(kind, name) for name in names if name != EVERYBODY or kind != "AWS")
    return Principals(named=named, everybody=everybody)


def caller_keys(caller: Caller) -> Keys:
    """The condition keys that follow from who calls. Tags, times and addresses are the request's."""
    keys = {"aws:principalaccount": (caller.account,), "aws:userid": (caller.user_id,)}
    if caller.service is not None:
        return {"aws:principalisawsservice": ("true",), "aws:principalservicename": (caller.service,)}
    if caller.federated is not None:
        return {"aws:principalisawsservice": ("false",), "aws:federatedprovider": (caller.federated,)}
    keys["aws:principalisawsservice"] = ("false",)
    keys["aws:principalarn"] = (caller.role_arn or caller.arn,)
    name = caller.arn.rpartition(":")[2]
    if caller.role_arn is not None:
        keys["aws:principaltype"] = ("AssumedRole",)
    elif name.startswith("user/"):
        keys["aws:principaltype"] = ("User",)
        keys["aws:username"] = (name.rpartition("/")[2],)
    else:
        keys["aws:principaltype"] = ("Account",)
    return keys


def _checked(kind: str, name: str) -> str:
    if kind == "AWS":
        if _ACCOUNT.fullmatch(name):
            return f"arn:aws:iam::{name}:root"
        if _UNIQUE_ID.fullmatch(name) or _ARN.fullmatch(name):
            return name
        raise InvalidPrincipal(kind, name)
    shape = _KINDS[kind]
    if shape is None or not shape.fullmatch(name):
        raise InvalidPrincipal(kind, name)
    return name


def _partition(arn: str) -> str:
    return arn[: arn.find(":", 4)]
