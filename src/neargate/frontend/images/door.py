"""The registry's door: what container tools say under /v2/, from the Host header to the answer.

Owns the path of a request in order: who asks, whether there is room, what it is about, whether policies allow it. Bytes
pass through `transfer.py`. Must not know what bytes mean. Invariants: nobody without a token gets further than 401 (in
open mode everybody is the administrator, as at the API); nothing is read or written before `ask_for` allowed it; an
answer names nothing of the backend.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.bugs import told
from ...model.errors import AwsError, Throttling
from ...model.ids import uuid4
from ...wire.sigv4 import SignatureRefused
from ...world import World
from ..asgi_types import VIA, ClientGone, Receive, Scope, Send
from ..authorize import confirm_asked
from ..call import Call, Principal
from ..callers.authenticate import LOCAL_HOSTS, AuthMode, web_page_refusal
from ..callers.credentials import administrator
from ..callers.forwarded import seen_by_proxy
from ..errors import Fault
from ..limits.admission import Admission
from ..limits.limits import Limits
from ..record.seen import Recorder, SeenCall
from ..regional.looking import SecondLook
from ..session_claims import SessionClaims
from . import handlers, wire
from .asking import ask_for
from .paths import Place, account_of_host, place_of
from .pull_through import PullThrough
from .service import Images
from .tokens import USER_NAME, ExpiredToken, InvalidToken
from .transfer import Exchange
from .wire import Refusal

_AUTHORIZATION_MAX = 49_152


class Holders(Protocol):
    """Who is behind a key or a session (callers/principals.py)."""

    @property
    def account(self) -> str: ...

    def holder(self, access_key_id: str, claims: SessionClaims | None, issued: float, expires: float) -> Principal: ...

    def note_use(self, principal: Principal, service: str) -> None: ...


class Asked(Struct, frozen=True, kw_only=True):
    """One row of the door: the operation of ECR that a request amounts to, and who serves it."""

    operation: str
    serve: Callable[[Exchange], Awaitable[None]]


# (kind of place, method) -> what it is. `upload` without a reference is the beginning of one.
ROWS: Mapping[tuple[str, str], Asked] = {
    ("manifests", "GET"): Asked(operation="BatchGetImage", serve=handlers.get_manifest),
    ("manifests", "HEAD"): Asked(operation="BatchGetImage", serve=handlers.head_manifest),
    ("manifests", "PUT"): Asked(operation="PutImage", serve=handlers.put_manifest),
    ("manifests", "DELETE"): Asked(operation="BatchDeleteImage", serve=handlers.delete_manifest),
    ("blobs", "GET"): Asked(operation="GetDownloadUrlForLayer", serve=handlers.get_blob),
    ("blobs", "HEAD"): Asked(operation="BatchCheckLayerAvailability", serve=handlers.head_blob),
    ("tags", "GET"): Asked(operation="ListImages", serve=handlers.list_tags),
    ("start", "POST"): Asked(operation="InitiateLayerUpload", serve=handlers.start_upload),
    ("upload", "GET"): Asked(operation="UploadLayerPart", serve=handlers.upload_status),
    ("upload", "PATCH"): Asked(operation="UploadLayerPart", serve=handlers.upload_part),
    ("upload", "PUT"): Asked(operation="CompleteLayerUpload", serve=handlers.complete_upload),
    ("upload", "DELETE"): Asked(operation="UploadLayerPart", serve=handlers.cancel_upload),
}


class ImageDoor:
    """One region's registry as an ASGI application for the paths below `PREFIX`."""

    def __init__(
        self,
        *,
        world: World,
        images: Images,
        holders: Holders,
        auth: AuthMode,
        known_hosts: frozenset[str] = frozenset(),
        limits: Limits | None,
        recorder: Recorder,
        tls_proxy: bool = False,
        second_look: SecondLook | None = None,
    ) -> None:
        self._world = world
        self._images = images
        self._holders = holders
        self._second_look = second_look
        self._auth = auth
        self._hosts = LOCAL_HOSTS | known_hosts
        self._limits = limits
        self._recorder = recorder
        self._tls_proxy = tls_proxy
        self._cache = PullThrough(images)
        self._transfers = Admission(images.knobs.image_transfers_max)
        self._log = get_logger(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        peer, secure = str((scope.get("client") or ("",))[0]), scope.get("scheme") == "https"
        if self._tls_proxy and not secure:  # by our own TLS listener nobody speaks for others
            peer, secure = seen_by_proxy(headers, peer)
        seen = SeenCall(request_id=uuid4(self._world.random.getrandbits), source_ip=peer, secure=secure, service="ecr")
        seen.via = scope.get(VIA)
        seen.user_agent = headers.get(b"user-agent", b"").decode("latin-1")
        exchange = Exchange(images=self._images, method=scope["method"], headers=headers, receive=receive, send=send)
        try:
            await self._serve(scope, exchange, seen)
        except ClientGone:
            seen.fault = Fault(code="ClientGone", status=400, message="The caller hung up.")
        except Refusal as refused:
            seen.fault = Fault(code=refused.code, status=refused.status, message=refused.message)
            await exchange.answer(wire.answer(refused))
        except (AwsError, Overloaded) as raised:
            error = raised if isinstance(raised, AwsError) else Throttling()
            refusal = wire.refusal_of(error)
            seen.fault = Fault(code=error.code, status=refusal.status, message=error.message)
            await exchange.answer(wire.answer(refusal))
        except Exception as error:
            self._log.error("image_request_failed", request_id=seen.request_id, bug=told(error))
            seen.fault = Fault(code="ServerException", status=500, message="Service Unavailable.")
            await exchange.answer(wire.answer(Refusal(500, "UNKNOWN", "Service Unavailable. Please try again later.")))
        if seen.operation:
            self._recorder.record(seen)

    async def _serve(self, scope: Scope, exchange: Exchange, seen: SeenCall) -> None:
        """The path of every request, in order."""
        host = exchange.headers.get(b"host", b"")
        account = account_of_host(host, self._images.region)
        self._guard_browser(exchange.headers, host, account)
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        place = place_of(path.partition(b"?")[0], account)
        exchange.query = scope["query_string"][:8192]
        now = self._world.now()
        if place is not None and place.kind == "blobs" and self._opens_layer(exchange, place, now):
            await self._in_turn(place.account, handlers.get_blob, exchange, place)
            return
        principal = seen.principal = self._principal(exchange.headers, host, seen.secure, now)
        if place is None:
            raise wire.nowhere()
        if place.kind == "base":
            await exchange.answer(wire.ok(200, (b"content-type", "application/json"), body=b"{}"))
            return
        kind = "start" if place.kind == "upload" and not place.reference else place.kind
        row = ROWS.get((kind, exchange.method))
        if row is None:
            raise Refusal(405, "UNSUPPORTED", "The operation is unsupported.")
        seen.operation = row.operation
        seen.params = handlers.params_of(row.operation, place)
        if self._limits is not None:
            self._limits.enter(principal.account, "ecr", row.operation, seen.source_ip)
            self._limits.leave(principal.account, seen.source_ip)  # bytes may take an hour: these have places apart
        call = self._call(row.operation, principal, seen, now)
        if self._second_look is not None and self._images.registry.find(place.account, place.name) is None:
            await self._second_look.look("ecr")
        ask_for(call, self._images.registry, self._images.policies, row.operation, place.account, place.name)
        confirm_asked(call)
        exchange.call = call
        await self._in_turn(principal.account, row.serve, exchange, place)

    async def _in_turn(
        self, account: str, serve: Callable[[Exchange], Awaitable[None]], exchange: Exchange, place: Place
    ) -> None:
        if not self._transfers.enter(account):
            raise Throttling
        try:
            await self._pull_through(serve, exchange, place)
        finally:
            self._transfers.leave(account)

    async def _pull_through(
        self, serve: Callable[[Exchange], Awaitable[None]], exchange: Exchange, place: Place
    ) -> None:
        """What a rule says is another registry's, and is not here yet, is fetched while it is served."""
        reads = exchange.method in ("GET", "HEAD")
        if reads and place.kind == "manifests" and exchange.call is not None:
            exchange.arriving = await self._cache.manifest(exchange.call, place)
        exchange.place, exchange.book = place, self._images.registry.book(place.account, place.name)
        if reads and place.kind == "blobs":
            whole = exchange.method == "GET" and b"range" not in exchange.headers
            async with self._cache.layer(place, whole=whole) as reader:
                if reader is not None:
                    await exchange.relay(reader)
                    return
        await serve(exchange)

    def _guard_browser(self, headers: Mapping[bytes, bytes], host: bytes, account: str | None) -> None:
        """In open mode nobody needs a token: a web page must not reach the registry through the user's browser."""
        if self._auth is not AuthMode.OPEN:
            return
        name = host.decode("latin-1").lower()
        if account is not None:
            name = name.removeprefix(
                f"{account}.dkr.ecr.{self._images.region}."
            )  # whoever owns a domain has such names
        why = web_page_refusal(headers, name, self._hosts)
        if why is not None:
            raise Refusal(403, "DENIED", why)

    def _opens_layer(self, exchange: Exchange, place: Place, now: float) -> bool:
        """A URL of GetDownloadUrlForLayer carries its own key."""
        key = exchange.argument("layer-key")
        book = self._images.registry.find(place.account, place.name)
        if not key or book is None or exchange.method not in ("GET", "HEAD"):
            return False
        return self._images.tokens.opens_layer(key, book.repository.uid, place.reference, now)

    def _principal(self, headers: Mapping[bytes, bytes], host: bytes, secure: bool, now: float) -> Principal:
        """Raises Refusal (401, or 403 for what is no longer good). In open mode everybody is the administrator."""
        if self._auth is AuthMode.OPEN:
            return administrator(self._holders.account, "")
        password = _password(headers.get(b"authorization", b""))
        if password is None:
            named = "".join(c for c in host.decode("latin-1") if c.isalnum() or c in ".-:[]")[:300]
            raise wire.unauthorised(f"{'https' if secure else 'http'}://{named}/")
        try:
            bearer = self._images.tokens.bearer(password, now)
        except ExpiredToken:
            raise wire.expired() from None
        except InvalidToken:
            raise Refusal(400, "DENIED", "Your Authorization Token is invalid.") from None
        try:
            principal = self._holders.holder(
                bearer.access_key_id, bearer.claims, bearer.session_issued or now, bearer.expires
            )
        except SignatureRefused as refused:
            raise Refusal(403, "DENIED", refused.message) from None
        self._holders.note_use(principal, "ecr")
        return principal

    def _call(self, operation: str, principal: Principal, seen: SeenCall, now: float) -> Call:
        return Call(
            service="ecr",
            operation=operation,
            protocol="json",
            region=self._images.region,
            principal=principal,
            request_id=seen.request_id,
            now=now,
            source_ip=seen.source_ip,
            user_agent=seen.user_agent,
            secure=seen.secure,
            via=seen.via,
            authorised_resources=seen.asked,
        )


def _password(authorization: bytes) -> str | None:
    """Of `Basic base64(AWS:password)`; None for anything else."""
    scheme, _, given = authorization[:_AUTHORIZATION_MAX].partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(given.strip(), validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeError):
        return None
    return password if user == USER_NAME and colon else None
