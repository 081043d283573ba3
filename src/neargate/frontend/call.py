"""One authenticated request on its way to an operation."""

from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct, field

from ..iam.policy import Grants
from ..iam.request import Caller, Keys
from ..model.arn import Arn
from .network.endpoints.entrances import Via
from .session_claims import SessionClaims
from .streaming import EventStream

NO_GRANTS = Grants()


class RawBody(bytes):
    """An answer already encoded in the caller's protocol (JSON documents joined, not rebuilt)."""


class Streamed(RawBody):
    """An answer that goes on as events; the document before them is empty."""

    stream: EventStream

    def __new__(cls, stream: EventStream) -> Self:
        answer = super().__new__(cls, b"{}")
        answer.stream = stream
        return answer


class SessionFacts(Struct, frozen=True, kw_only=True):
    """What only the temporary credentials of a session have. Times are epoch seconds.

    `issuer_*`: the role of an assumed-role session, the user (or administrator) of GetSessionToken's. `provider`: the
    OIDC provider's ARN, for sessions that a web identity began, whose `subject` is the token's.
    """

    name: str
    issued: float
    expires: float
    issuer_arn: str
    issuer_id: str
    issuer_name: str
    is_role: bool
    transitive_tag_keys: frozenset[str] = frozenset()
    source_identity: str | None = None
    provider: str | None = None
    subject: str | None = None
    claims: SessionClaims | None = None  # what its token says, for tokens that are made of it


class Principal(Struct, frozen=True, kw_only=True):
    """Who calls: proven by the signature. What they may do is looked up when they are.

    `grants` None: the administrator of the account, whom no identity policy limits. `keys`: all condition keys that
    follow from the caller (tags, ARN, token's issue time, ...), by lower-case name. `tags`: aws:PrincipalTag.
    """

    account: str
    arn: str  # as GetCallerIdentity shows it
    user_id: str
    access_key_id: str
    is_administrator: bool
    role_arn: str | None = None  # of assumed-role sessions
    grants: Grants | None = NO_GRANTS
    tags: Mapping[str, str] = field(default_factory=dict)
    keys: Keys = field(default_factory=dict)
    session: SessionFacts | None = None

    @property
    def caller(self) -> Caller:
        """As policies name them."""
        return Caller(account=self.account, arn=self.arn, user_id=self.user_id, role_arn=self.role_arn)


class Call(Struct, kw_only=True):
    """What an operation knows of its request. `authorize` (authorize.py) must be asked before anything is changed."""

    service: str  # signing name: ecs, ec2, logs, sts
    operation: str
    protocol: str  # json, query, ec2
    region: str
    principal: Principal
    request_id: str
    now: float
    source_ip: str = ""
    user_agent: str = ""
    secure: bool = False  # by TLS
    host: str = ""  # where the caller found us, as its request says it
    via: Via | None = None  # the VPC endpoint that it came through
    authorised_actions: list[str] = field(default_factory=list)
    authorised_resources: list[str] = field(default_factory=list)  # ARNs that leave was asked for, also in vain
    web_identity: dict[str, str] = field(default_factory=dict)  # whom a token proved, by the members of STS's answer

    @property
    def account(self) -> str:
        return self.principal.account

    def arn(self, service: str, resource: str) -> str:
        return str(Arn(service=service, region=self.region, account=self.account, resource=resource))


Params = dict[str, Any]  # members by wire name; timestamps are epoch floats, blobs bytes; shape-checked
Answer = dict[str, Any] | RawBody
