"""From an access key and perhaps a session token to who calls and what limits them.

Owns the ways in which a key can be good: the operator's file, an access key of IAM, a session. Must not know requests
or operations. Invariant: what a principal may do is read from the registry at each call, so that a role or user that
was deleted, or made again under the same name, ends its sessions at once.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from ...iam.document import MalformedPolicy, PolicyKind
from ...iam.policy import Attached, Grants
from ...iam.principals import caller_keys
from ...iam.request import Caller, Keys
from ...model.arn import Arn
from ...wire.sigv4 import Problem, SignatureRefused
from ..call import Principal, SessionFacts
from ..identity.compiled import CompiledPolicies
from ..identity.records import Role, User
from ..identity.registry import IdentityRegistry
from ..session_claims import SessionClaims
from .credentials import Credentials, administrator
from .sessions import ExpiredToken, InvalidToken, Session, Sessions

_INVALID = "The security token included in the request is invalid."
_EXPIRED = "The security token included in the request is expired"
_REMEMBERED_MAX = 4096
_EVERYTHING = "arn:aws:iam::aws:policy/AdministratorAccess"
NOBODY = Principal(account="", arn="", user_id="", access_key_id="", is_administrator=False)


class KeyRing(Protocol):
    """What the authenticator asks. `token`: the session token that came with the key."""

    @property
    def account(self) -> str:
        """Whose administrator everybody is in open mode."""

    def secret_of(self, access_key_id: str, token: str | None, now: float) -> str | None:
        """None: no such key. Raises SignatureRefused for a session that has expired."""

    def principal(self, access_key_id: str, token: str | None, now: float) -> Principal:
        """Of a key that `secret_of` had just now. Raises SignatureRefused when nobody is behind it any more."""

    def note_use(self, principal: Principal, service: str) -> None:
        """For GetAccessKeyLastUsed and RoleLastUsed. Costs no write."""


class Principals:
    """The key ring of a region: `credentials` has the administrator of the first account."""

    def __init__(self, credentials: Credentials, identity: IdentityRegistry, sessions: Sessions) -> None:
        self._credentials = credentials
        self._identity = identity
        self._sessions = sessions
        self._policies = CompiledPolicies()
        self._root = _with_keys(credentials.administrator)
        self._administrators: dict[str, Principal] = {}
        self._known: dict[tuple[str, str], tuple[Grants, Principal]] = {}

    @property
    def account(self) -> str:
        return self._credentials.account

    def secret_of(self, access_key_id: str, token: str | None, now: float) -> str | None:
        if token is not None:
            return self._session(access_key_id, token, now).secret_access_key
        if access_key_id == self._root.access_key_id:
            return self._credentials.secret_of(access_key_id, None, now)
        key = self._identity.key(access_key_id)
        return key.secret if key is not None and key.active else None

    def principal(self, access_key_id: str, token: str | None, now: float) -> Principal:
        if token is not None:
            return self._of_session(access_key_id, token, self._session(access_key_id, token, now))
        if access_key_id == self._root.access_key_id:
            return self._root
        key = self._identity.key(access_key_id)
        if key is None:
            raise _refused()
        if key.user is None:
            return self._administrator_of(key.account, access_key_id)
        user = self._identity.user(key.account, key.user)
        if user is None:
            raise _refused()
        return self._remembered((access_key_id, ""), user, lambda: self._of_user(user, access_key_id, None, {}))

    def holder(self, access_key_id: str, claims: SessionClaims | None, issued: float, expires: float) -> Principal:
        """Who holds a token that was made for this key, or for the session of these claims (`issued`, `expires`).

        Who made the token vouches for the claims. Raises SignatureRefused when nobody is behind it any more.
        """
        if claims is None:
            if self.secret_of(access_key_id, None, issued) is None:
                raise _refused()
            return self.principal(access_key_id, None, issued)
        session = Session(claims=claims, secret_access_key="", issued=issued, expires=expires)
        return self._of_session(access_key_id, "", session)

    def _administrator_of(self, account: str, access_key_id: str) -> Principal:
        """What an administrator is follows from the account alone."""
        known = self._administrators.get(access_key_id)
        if known is None:
            if len(self._administrators) >= _REMEMBERED_MAX:
                self._administrators.clear()
            known = self._administrators[access_key_id] = _with_keys(administrator(account, access_key_id))
        return known

    def _remembered(self, name: tuple[str, str], holder: User | Role, make: Callable[[], Principal]) -> Principal:
        """Good for as long as the account is as it was: its book makes new grants after every change of anything."""
        grants = self._identity.book(holder.account).grants(holder)
        known = self._known.get(name)
        if known is None or known[0] is not grants:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            known = self._known[name] = (grants, make())
        return known[1]

    def note_use(self, principal: Principal, service: str) -> None:
        session = principal.session
        used = principal.access_key_id if session is None else session.issuer_id
        self._identity.note_use(used, service=service, region=self._sessions.region)

    def _session(self, access_key_id: str, token: str, now: float) -> Session:
        try:
            return self._sessions.open(access_key_id, token, now)
        except ExpiredToken:
            raise SignatureRefused(Problem.EXPIRED_TOKEN, _EXPIRED) from None
        except InvalidToken:
            raise _refused() from None

    def _of_session(self, access_key_id: str, token: str, session: Session) -> Principal:
        claims = session.claims
        if self._identity.account(claims.account) is None:
            raise _refused()
        holder = self._identity.book(claims.account).by_uid(claims.issuer_id)
        if isinstance(holder, Role) and claims.kind == "role":
            role = holder
            return self._remembered((access_key_id, token), role, lambda: self._of_role(role, access_key_id, session))
        if isinstance(holder, User) and claims.kind != "role":
            user = holder
            return self._remembered(
                (access_key_id, token), user, lambda: self._of_users_session(user, access_key_id, session)
            )
        root = administrator(claims.account, access_key_id)
        if claims.issuer_id != root.user_id or claims.kind == "role":
            raise _refused()
        return self._of_roots_session(access_key_id, session, root)

    def _of_roots_session(self, access_key_id: str, session: Session, root: Principal) -> Principal:
        facts = _facts(session, issuer_arn=root.arn, issuer_name="administrator")
        if session.claims.kind == "administrator":
            return _with_keys(root, session=facts, keys=_session_keys(session))
        everything = Attached(name=_EVERYTHING, policy=self._policies.of_aws(_EVERYTHING))
        return self._of_federated(access_key_id, session, facts, Grants(identity=(everything,)))

    def _of_users_session(self, user: User, access_key_id: str, session: Session) -> Principal:
        facts = _facts(session, issuer_arn=user.arn, issuer_name=user.name)
        if session.claims.kind == "federated":
            return self._of_federated(access_key_id, session, facts, self._identity.user_grants(*_named(user)))
        return self._of_user(user, access_key_id, facts, _session_keys(session))

    def _of_user(self, user: User, access_key_id: str, facts: SessionFacts | None, keys: Keys) -> Principal:
        tags = dict(user.tags)
        return Principal(
            account=user.account,
            arn=user.arn,
            user_id=user.uid,
            access_key_id=access_key_id,
            is_administrator=False,
            grants=self._identity.user_grants(*_named(user)),
            tags=tags,
            keys=_keys(Caller(account=user.account, arn=user.arn, user_id=user.uid), tags.items(), keys),
            session=facts,
        )

    def _of_role(self, role: Role, access_key_id: str, session: Session) -> Principal:
        claims = session.claims
        arn = assumed_role_arn(claims.account, role.name, claims.session_name)
        user_id = f"{role.uid}:{claims.session_name}"
        # A session's tag replaces the role's of that name, whatever its case: policies know no two that differ by that.
        own = {key.lower() for key in claims.tags}
        tags = {key: value for key, value in role.tags if key.lower() not in own} | claims.tags
        caller = Caller(account=claims.account, arn=arn, user_id=user_id, role_arn=role.arn)
        return Principal(
            account=claims.account,
            arn=arn,
            user_id=user_id,
            access_key_id=access_key_id,
            is_administrator=False,
            role_arn=role.arn,
            grants=self._identity.role_grants(claims.account, role.name, self._limits(claims)),
            tags=tags,
            keys=_keys(caller, tags.items(), _session_keys(session)),
            session=_facts(session, issuer_arn=role.arn, issuer_name=role.name),
        )

    def _of_federated(
        self, access_key_id: str, session: Session, facts: SessionFacts, user_grants: Grants
    ) -> Principal:
        """GetFederationToken: what the user may and the session's policies allow; without policies nothing."""
        claims = session.claims
        arn = str(
            Arn(service="sts", region="", account=claims.account, resource=f"federated-user/{claims.session_name}")
        )
        user_id = f"{claims.account}:{claims.session_name}"
        caller = Caller(account=claims.account, arn=arn, user_id=user_id)
        return Principal(
            account=claims.account,
            arn=arn,
            user_id=user_id,
            access_key_id=access_key_id,
            is_administrator=False,
            grants=Grants(
                identity=user_grants.identity, boundary=user_grants.boundary, session=self._limits(claims) or ()
            ),
            tags=claims.tags,
            keys=_keys(caller, claims.tags.items(), _session_keys(session)),
            session=facts,
        )

    def _limits(self, claims: SessionClaims) -> tuple[Attached, ...] | None:
        """The session's policies. One that is gone meanwhile allows nothing any more, and the others stay limits."""
        if claims.policies is None and claims.policy_arns is None:
            return None
        found = []
        for document in claims.policies or ():
            try:
                found.append(
                    Attached(name="session policy", policy=self._policies.policy(document, PolicyKind.SESSION))
                )
            except MalformedPolicy:
                # Accepted by an earlier release. What it denied is not known any more, so nobody comes in with it.
                raise _refused() from None
        for arn in claims.policy_arns or ():
            try:
                found.append(Attached(name=arn, policy=self._identity.book(claims.account).managed(arn)))
            except KeyError:
                raise _refused() from None
        return tuple(found)


def assumed_role_arn(account: str, role: str, session_name: str) -> str:
    return str(Arn(service="sts", region="", account=account, resource=f"assumed-role/{role}/{session_name}"))


def token_issue_time(issued: float) -> str:
    """As policies write dates."""
    return datetime.fromtimestamp(issued, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _facts(session: Session, *, issuer_arn: str, issuer_name: str) -> SessionFacts:
    claims = session.claims
    return SessionFacts(
        name=claims.session_name,
        issued=session.issued,
        expires=session.expires,
        issuer_arn=issuer_arn,
        issuer_id=claims.issuer_id,
        issuer_name=issuer_name,
        is_role=claims.kind == "role",
        transitive_tag_keys=claims.transitive,
        source_identity=claims.source_identity,
        provider=claims.provider,
        subject=claims.subject,
        claims=claims,
    )


def _session_keys(session: Session) -> dict[str, tuple[str, ...]]:
    """There is no MFA here yet, which sessions say and long-term keys do not."""
    keys = dict(session.claims.context)
    keys["aws:tokenissuetime"] = (token_issue_time(session.issued),)
    keys["aws:multifactorauthpresent"] = ("false",)
    if session.claims.source_identity is not None:
        keys["aws:sourceidentity"] = (session.claims.source_identity,)
    if session.claims.provider is not None:
        keys["aws:federatedprovider"] = (session.claims.provider,)
    return keys


def _keys(caller: Caller, tags: Iterable[tuple[str, str]], session: Keys) -> Keys:
    """The session's own come first: what the caller is can never be said by a token's context."""
    found = dict(session)
    found.update((f"aws:principaltag/{key.lower()}", (value,)) for key, value in tags)
    found.update(caller_keys(caller))
    return found


def _with_keys(principal: Principal, *, session: SessionFacts | None = None, keys: Keys | None = None) -> Principal:
    """An administrator, who has neither tags nor policies."""
    return Principal(
        account=principal.account,
        arn=principal.arn,
        user_id=principal.user_id,
        access_key_id=principal.access_key_id,
        is_administrator=True,
        grants=None,
        keys=_keys(principal.caller, (), keys or {}),
        session=session,
    )


def _named(user: User) -> tuple[str, str]:
    return user.account, user.name


def _refused() -> SignatureRefused:
    return SignatureRefused(Problem.UNKNOWN_KEY, _INVALID)
