"""What container tools present instead of a signature: sealed, stateless, twelve hours at most.

Owns the form of both tokens: a password (who got it) and the key of one layer's URL (which layer). Must not know
policies: what a bearer may do is decided at each use, as for a signature. Invariant: what a token says was said here,
by this region; a password never outlives the session that got it.
"""

import base64
import binascii
import hashlib
import zlib
from typing import TypeVar

import msgspec
from msgspec import Struct

from ...world import World
from ..call import Principal
from ..envelope import Envelope, SealBroken
from ..session_claims import SessionClaims

PASSWORD_LIFETIME_S = 12 * 3600.0
LAYER_LIFETIME_S = 3600.0
USER_NAME = "AWS"
_TOKEN_MAX = 32_768
_PLAIN_MAX = 262_144  # of what a token holds: session policies compress well
_REMEMBERED_MAX = 1024

T = TypeVar("T")


class InvalidToken(Exception):
    """Not a token of this region, or altered."""


class ExpiredToken(Exception):
    """Was good until its time was over."""


class Bearer(Struct, frozen=True, kw_only=True, array_like=True):
    """Who a password was given to. `claims`: of a session's; None for a key that lasts. Times are epoch seconds."""

    access_key_id: str
    claims: SessionClaims | None
    issued: float
    expires: float
    session_issued: float = 0.0


class LayerKey(Struct, frozen=True, kw_only=True, array_like=True):
    """`uid`: of the repository, so that one made again under its name is another."""

    uid: str
    digest: str
    expires: float


class ImageTokens:
    def __init__(self, world: World, envelope: Envelope, *, region: str) -> None:
        self._world = world
        self._envelope = envelope
        self._region = region.encode()
        self._opened: dict[bytes, Bearer] = {}

    def password(self, principal: Principal) -> tuple[str, float]:
        """The password for the user `AWS`, and when it ends."""
        now = float(int(self._world.now()))
        session = principal.session
        expires = now + PASSWORD_LIFETIME_S if session is None else min(now + PASSWORD_LIFETIME_S, session.expires)
        bearer = Bearer(
            access_key_id=principal.access_key_id,
            claims=None if session is None else session.claims,
            issued=now,
            expires=expires,
            session_issued=0.0 if session is None else session.issued,
        )
        return self._seal(bearer, b"password"), expires

    def bearer(self, password: str, now: float) -> Bearer:
        """Raises ExpiredToken, InvalidToken."""
        # By a digest: tokens are long, and a memory of this process is no place for many of them.
        name = hashlib.sha256(password.encode("utf-8", "surrogateescape")).digest()
        found = self._opened.get(name)
        if found is None:
            found = self._open(password, b"password", Bearer)
            if len(self._opened) >= _REMEMBERED_MAX:
                self._opened.pop(next(iter(self._opened)))
            self._opened[name] = found
        if now >= found.expires:
            self._opened.pop(name, None)
            raise ExpiredToken
        return found

    def layer_key(self, uid: str, digest: str) -> str:
        """For a URL of one layer, good for an hour."""
        return self._seal(LayerKey(uid=uid, digest=digest, expires=self._world.now() + LAYER_LIFETIME_S), b"layer")

    def opens_layer(self, key: str, uid: str, digest: str, now: float) -> bool:
        try:
            found = self._open(key, b"layer", LayerKey)
        except InvalidToken:
            return False
        return found.uid == uid and found.digest == digest and now < found.expires

    def _seal(self, value: Struct, kind: bytes) -> str:
        packed = zlib.compress(msgspec.msgpack.encode(value), 9)
        return base64.urlsafe_b64encode(self._envelope.seal(packed, context=self._context(kind))).decode()

    def _open(self, token: str, kind: bytes, type_: type[T]) -> T:
        if len(token) > _TOKEN_MAX:
            raise InvalidToken
        try:
            sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
            packed = self._envelope.open(sealed, context=self._context(kind))
            return msgspec.msgpack.decode(zlib.decompressobj().decompress(packed, _PLAIN_MAX), type=type_)
        except (SealBroken, binascii.Error, UnicodeError, zlib.error, msgspec.MsgspecError):
            raise InvalidToken from None

    def _context(self, kind: bytes) -> bytes:
        return b"ecr\0" + kind + b"\0" + self._region
