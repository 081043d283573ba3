"""Who a session is: what its token, its requests and their record say alike. Knows neither tokens nor requests."""

from typing import Literal

from msgspec import Struct


class SessionClaims(Struct, frozen=True, kw_only=True, array_like=True):
    """Who a session is and how it is limited. Members are only ever added at the end: tokens outlive releases.

    `issuer_id` is the unique id of the role or user: one recreated under the same name is another.
    `policies` and `policy_arns` None: the session was made without session policies.
    `context`: condition keys that hold for the whole session (the web identity's), by lower-case name.
    """

    kind: Literal["role", "user", "administrator", "federated"]
    account: str
    issuer_name: str  # of the role or user; empty for the administrator
    issuer_id: str
    session_name: str = ""
    policies: tuple[str, ...] | None = None
    policy_arns: tuple[str, ...] | None = None
    tags: dict[str, str] = {}
    transitive: frozenset[str] = frozenset()
    source_identity: str | None = None
    provider: str | None = None
    subject: str | None = None
    context: dict[str, tuple[str, ...]] = {}
    chained: bool = False
