"""A whole region in memory behind its front door: accounts, users and roles made at will, requests signed by anybody.

For tests of who may come in. Nothing listens: bytes go to `FrontEnd.handle` as from a socket. Time can be moved on.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import msgspec
from msgspec import Struct

from ..frontend.callers.credentials import Credentials
from ..frontend.envelope import Envelope
from ..frontend.identity import holders, roles, unique_ids, users
from ..frontend.identity.records import Role, User
from ..frontend.routing import VERSIONS
from ..model.concealed import Concealed
from ..model.knobs import DEFAULT_KNOBS
from ..region import Region, RegionPlan, open_region
from ..store.sqlite import MemoryStores
from ..wire.shapes import Models
from ..wire.sigv4 import SignedRequest
from ..world import OsWorld
from .signing import form_headers, json_headers, signed

ACCOUNT, OTHER, REGION = "123456789012", "210987654321", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"))
VERSION_OF = {service: version for version, (service, _) in VERSIONS.items()}
SIGNED_AS = MappingProxyType({"service-quotas": "servicequotas", "elbv2": "elasticloadbalancing"})
MODELS = Models()


class Keys(Concealed, frozen=True, kw_only=True):
    """What a caller has in hand."""

    key: str
    secret: str
    token: str | None = None


class Said(Struct, frozen=True, kw_only=True):
    """An answer. `body`: of JSON as it is, of XML the members below the result by name; lists are lists of such."""

    status: int
    code: str
    message: str
    body: Any


ROOT = Keys(key="AKIAIOSFODNN7EXAMPLE", secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")  # noqa: S106  AWS's example


class MovedWorld(OsWorld):
    """The real world, some seconds later."""

    moved_s = 0.0

    def now(self) -> float:
        return super().now() + self.moved_s


class FrontDoor:
    """`region` is the production one; its hosts are nobody. Calls come from `peer`, by the VPC endpoint `through`."""

    peer = ""
    through = ""

    def __init__(self, world: MovedWorld, region: Region) -> None:
        self.world = world
        self.region = region

    @property
    def identity(self) -> Any:
        return self.region.services.identity

    async def call(
        self, who: Keys | None, service: str, operation: str, params: Mapping[str, Any] | None = None, **more: Any
    ) -> Said:
        """`who` None: unsigned. Nested parameters of query services come flat, as `Tags.member.1.Key`."""
        given = dict(params or {}) | more
        if service in VERSION_OF:
            headers = form_headers()
            body = urlencode({"Action": operation, "Version": VERSION_OF[service]} | given).encode()
        else:
            headers, body = json_headers(service, operation), json.dumps(given).encode()
        if who is not None:
            if who.token is not None:
                headers.append((b"x-amz-security-token", who.token.encode()))
            request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
            headers = signed(
                request,
                key=who.key,
                secret=who.secret,
                region=REGION,
                service=SIGNED_AS.get(service, service),
                now=self.world.now(),
            )
        answer = await self.region.frontend.handle("POST", b"/", b"", headers, body, self.peer, self.through)
        return _said(answer.status, answer.body)

    async def user(
        self, name: str, *documents: Mapping[str, Any], account: str = ACCOUNT, tags: Mapping[str, str] | None = None
    ) -> Keys:
        """A new user with inline policies, and a key."""
        bits, now = self.world.random.getrandbits, int(self.world.now())
        listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        await self.identity.change(
            account,
            lambda book: users.create_user(book, name, path="/", boundary=None, tags=listed, now=now, bits=bits),
        )
        for number, document in enumerate(documents):
            await self.allow(User, name, f"p{number}", document, account=account)
        return await self.key(name, account=account)

    async def key(self, user: str | None, *, account: str = ACCOUNT) -> Keys:
        """`user` None: the account's administrator."""
        bits, now = self.world.random.getrandbits, int(self.world.now())
        key_id = unique_ids.unique_id(unique_ids.KEY, bits)
        secret = unique_ids.secret_access_key(bits)
        sealed = self.identity.seal_secret(account, key_id, secret)
        await self.identity.change(
            account, lambda book: users.create_key(book, user, key_id=key_id, sealed=sealed, now=now)
        )
        return Keys(key=key_id, secret=secret)

    async def role(
        self,
        name: str,
        trust: Mapping[str, Any],
        *documents: Mapping[str, Any],
        account: str = ACCOUNT,
        max_session_s: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Its ARN."""
        bits, now = self.world.random.getrandbits, int(self.world.now())
        listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        made: Role = await self.identity.change(
            account,
            lambda book: roles.create_role(
                book,
                name,
                path="/",
                trust=json.dumps(trust),
                description=None,
                max_session_s=max_session_s,
                boundary=None,
                tags=listed,
                now=now,
                bits=bits,
            ),
        )
        for number, document in enumerate(documents):
            await self.allow(Role, name, f"p{number}", document, account=account)
        return made.arn

    async def allow(
        self, kind: Any, name: str, policy: str, document: Mapping[str, Any], *, account: str = ACCOUNT
    ) -> None:
        await self.identity.change(
            account, lambda book: holders.put_inline(book, kind, name, policy, json.dumps(document))
        )


async def open_front_door(*, oidc_hosts: tuple[str, ...] = (), tls_proxy: bool = False) -> FrontDoor:
    world = MovedWorld()
    plan = RegionPlan(
        region=REGION,
        account=ACCOUNT,
        zones=ZONES,
        public_pool="198.18.0.0/24",
        one_machine=True,
        oidc_hosts=oidc_hosts,
        tls_proxy=tls_proxy,
    )
    region = await open_region(
        world,
        MemoryStores(world, DEFAULT_KNOBS),
        plan,
        models=MODELS,
        credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
        envelope=Envelope(bytes(32), world),
        knobs=DEFAULT_KNOBS,
    )
    return FrontDoor(world, region)


def allowing(*actions: str, resource: str | Sequence[str] = "*", effect: str = "Allow") -> dict[str, Any]:
    """A policy document of one statement."""
    statement = {"Effect": effect, "Action": list(actions), "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trusting(
    principal: Any, *actions: str, condition: Mapping[str, Any] | None = None, effect: str = "Allow"
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": effect,
        "Principal": principal,
        "Action": list(actions or ("sts:AssumeRole",)),
    }
    if condition is not None:
        statement["Condition"] = condition
    return {"Version": "2012-10-17", "Statement": [statement]}


def keys_of(said: Said) -> Keys:
    """The credentials that STS answered with."""
    given = said.body["Credentials"]
    return Keys(key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"])


def _said(status: int, body: bytes) -> Said:
    if not body.startswith(b"<"):
        found = msgspec.json.decode(body) if body else {}
        code = found.get("__type", "").rpartition("#")[2] if status != 200 else ""
        return Said(status=status, code=code, message=found.get("message", ""), body=found)
    root = _tree(ElementTree.fromstring(body))  # noqa: S314  our own answer
    if status != 200:
        error = root.get("Error") or root["Errors"]["Error"]
        return Said(status=status, code=error["Code"], message=error["Message"], body=root)
    result = next((value for name, value in root.items() if name.endswith("Result")), root)
    return Said(status=status, code="", message="", body=result)


def _tree(element: Any) -> Any:
    children = list(element)
    if not children:
        return element.text or ""
    names = [child.tag.rpartition("}")[2] for child in children]
    if set(names) in ({"member"}, {"item"}):
        return [_tree(child) for child in children]
    if set(names) == {"entry"}:
        return {entry["key"]: entry["value"] for entry in map(_tree, children)}
    return {name: _tree(child) for name, child in zip(names, children, strict=True)}
