"""What is kept of each identity: frozen records, stored as JSON documents, and what other parts are told of them.

No record knows another's content: users name groups by unique id, principals name managed policies by ARN.
Times are epoch seconds, as IAM shows them; policy documents are kept as the caller wrote them.
"""

from typing import ClassVar, TypeVar

from msgspec import Struct

from ...iam.policy import Policy
from ...model.arn import Arn
from ...model.concealed import Concealed

Tags = tuple[tuple[str, str], ...]
Inline = tuple[tuple[str, str], ...]  # (policy name, document), by name


class Record(Struct, frozen=True, kw_only=True):
    """`kind` names the entity in its ARN and in the table."""

    kind: ClassVar[str]
    account: str
    name: str
    uid: str
    created: int

    @property
    def key(self) -> str:
        """Unique in the account among its kind: IAM's names differ by more than case."""
        return self.name.lower()


class Pathed(Record, frozen=True, kw_only=True):
    """An entity with a path and an ARN made of it."""

    path: str = "/"

    @property
    def arn(self) -> str:
        return entity_arn(self.account, self.kind, self.path, self.name)


class Holder(Pathed, frozen=True, kw_only=True):
    """What carries policies. `attached`: ARNs of managed policies, in the order they came."""

    inline: Inline = ()
    attached: tuple[str, ...] = ()


class User(Holder, frozen=True, kw_only=True):
    kind = "user"
    tags: Tags = ()
    boundary: str | None = None
    groups: tuple[str, ...] = ()  # unique ids


class Group(Holder, frozen=True, kw_only=True):
    kind = "group"


class Role(Holder, frozen=True, kw_only=True):
    """`trust` names principals of this region by unique id; it is shown with their ARNs."""

    kind = "role"
    trust: str = ""
    description: str | None = None
    max_session_s: int = 3600
    tags: Tags = ()
    boundary: str | None = None

    @property
    def is_service_linked(self) -> bool:
        return self.path.startswith("/aws-service-role/")


class PolicyVersion(Struct, frozen=True, kw_only=True):
    number: int
    document: str
    created: int


class ManagedPolicy(Pathed, frozen=True, kw_only=True):
    """A customer's. Numbers of versions are never given twice."""

    kind = "policy"
    updated: int
    default: int
    latest: int
    versions: tuple[PolicyVersion, ...]
    description: str | None = None
    tags: Tags = ()

    def version(self, number: int) -> PolicyVersion | None:
        return next((one for one in self.versions if one.number == number), None)

    @property
    def document(self) -> str:
        """Of the default version, which is never deleted."""
        return next(one.document for one in self.versions if one.number == self.default)


class AccessKey(Record, frozen=True, kw_only=True):
    """Its name and unique id are the access key id. `user`: unique id; None is the account's administrator."""

    kind = "access-key"
    user: str | None
    is_active: bool
    sealed: bytes

    @property
    def key(self) -> str:
        return self.name


class OidcProvider(Record, frozen=True, kw_only=True):
    """Named by its URL without the scheme, as in its ARN, which is its unique id."""

    kind = "oidc-provider"
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]
    tags: Tags = ()

    @property
    def key(self) -> str:
        return self.name

    @property
    def arn(self) -> str:
        return self.uid


class InstanceProfile(Pathed, frozen=True, kw_only=True):
    """`roles`: unique ids, at most one."""

    kind = "instance-profile"
    roles: tuple[str, ...] = ()
    tags: Tags = ()


class AccountRecord(Struct, frozen=True, kw_only=True):
    """`number` is the twelve digits. `generation` grows with every change of the account's identities."""

    number: str
    name: str
    alias: str | None
    created: int
    generation: int


class KeyRecord(Concealed, frozen=True, kw_only=True):
    """Whom an access key proves. `user`: name, None for the account's administrator."""

    access_key_id: str
    secret: str
    account: str
    user: str | None
    active: bool


class RoleRecord(Struct, frozen=True, kw_only=True):
    """A role as who assumes it must know it."""

    account: str
    name: str
    path: str
    arn: str
    unique_id: str
    trust: Policy
    max_session_s: int
    tags: Tags
    boundary: str | None
    is_service_linked: bool


class LastUsed(Struct, frozen=True, kw_only=True):
    at: int
    service: str
    region: str


R = TypeVar("R", bound=Record)
KINDS: tuple[type[Record], ...] = (User, Group, Role, ManagedPolicy, AccessKey, OidcProvider, InstanceProfile)


def entity_arn(account: str, kind: str, path: str, name: str) -> str:
    return str(Arn(service="iam", region="", account=account, resource=f"{kind}{path}{name}"))
