"""Temporary credentials: sealed into their own token, so that no database is asked when they are used.

Owns the token's form and its checks: sealed by the master key for this region and this access key id, within its time.
Must not know policies, roles or who may have a session; whether the role that it came from is still the same is asked
by principals.py at each use. Invariant: what a token says was said by `seal` of this region.
"""

import base64
import binascii
import zlib
from math import ceil

import msgspec

from ...model.concealed import Concealed
from ...model.ids import Bits
from ...world import World
from ..envelope import Envelope, SealBroken
from ..identity.unique_ids import secret_access_key
from ..session_claims import SessionClaims

PACKED_MAX_BYTES = 2048  # of session policies, their ARNs and tags, compressed. AWS does not tell its own number
_TOKEN_MAX = 16_384
_REMEMBERED_MAX = 4096


class InvalidToken(Exception):
    """Not a token of this region for this access key id, or altered."""


class ExpiredToken(Exception):
    """Was good until its time was over."""


class Session(Concealed, frozen=True, kw_only=True, array_like=True):
    """What a token holds. Times are epoch seconds."""

    claims: SessionClaims
    secret_access_key: str
    issued: float
    expires: float
    padding: bytes = b""


class SessionCredentials(Concealed, frozen=True, kw_only=True):
    """`expiration` is in epoch seconds, as STS shows it."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: float


class Sessions:
    """Of one region. Remembers some opened tokens: they are used again and again."""

    def __init__(self, world: World, envelope: Envelope, *, region: str) -> None:
        self._world = world
        self._envelope = envelope
        self.region = region
        self._region = region.encode()
        self._opened: dict[tuple[str, str], Session] = {}

    def seal(self, claims: SessionClaims, lifetime_s: float, *, token_min: int = 0) -> SessionCredentials:
        """`token_min`: characters that the token has at least, for callers who try whether longer ones fit."""
        bits = self._world.random.getrandbits
        now = float(int(self._world.now()))
        key_id = access_key_id(claims.account, bits)
        secret = secret_access_key(bits)
        session = Session(claims=claims, secret_access_key=secret, issued=now, expires=now + lifetime_s)
        token = self._token(session, key_id)
        if len(token) < token_min:
            missing = (token_min - len(token)) * 3 // 4 + 3
            token = self._token(msgspec.structs.replace(session, padding=bytes(missing)), key_id)
        return SessionCredentials(
            access_key_id=key_id,
            secret_access_key=secret,
            session_token=token,
            expiration=session.expires,
        )

    def _token(self, session: Session, key_id: str) -> str:
        sealed = self._envelope.seal(msgspec.msgpack.encode(session), context=self._context(key_id))
        return base64.b64encode(sealed).decode()

    def open(self, access_key_id: str, token: str, now: float) -> Session:
        """Raises ExpiredToken, InvalidToken."""
        session = self._opened.get((access_key_id, token))
        if session is None:
            session = self._unsealed(access_key_id, token)
            if len(self._opened) >= _REMEMBERED_MAX:
                self._opened.pop(next(iter(self._opened)))
            self._opened[access_key_id, token] = session
        if now >= session.expires:
            del self._opened[access_key_id, token]
            raise ExpiredToken
        return session

    def _unsealed(self, access_key_id: str, token: str) -> Session:
        if len(token) > _TOKEN_MAX:
            raise InvalidToken
        try:
            sealed = base64.b64decode(token.encode("ascii"), validate=True)
            if base64.b64encode(sealed).decode() != token:
                raise InvalidToken  # one session has one token, to the letter
            return msgspec.msgpack.decode(
                self._envelope.open(sealed, context=self._context(access_key_id)), type=Session
            )
        except (SealBroken, binascii.Error, UnicodeError, msgspec.MsgspecError):
            raise InvalidToken from None

    def _context(self, access_key_id: str) -> bytes:
        return b"session\0" + self._region + b"\0" + access_key_id.encode("utf-8", "surrogateescape")


def access_key_id(account: str, bits: Bits) -> str:
    """`ASIA..`, the account's number in its first bits as AWS has it, so that whose it is can be told without a key."""
    number = 1 << 79 | int(account) << 39 | bits(39)
    return "ASIA" + base64.b32encode(number.to_bytes(10, "big")).decode()


def account_of(access_key_id: str) -> str | None:
    """The account that a session's access key id names, whoever made it up; None for what has not that form."""
    if len(access_key_id) != 20 or not access_key_id.startswith("ASIA"):
        return None
    try:
        number = int.from_bytes(base64.b32decode(access_key_id[4:]), "big")
    except binascii.Error:
        return None
    account = number >> 39 & (1 << 40) - 1
    return f"{account:012d}" if number >> 79 and account < 10**12 else None


def packed_percent(claims: SessionClaims) -> int | None:
    """How much of the room for policies and tags a session takes; None where it has neither. Above 100: too much."""
    if claims.policies is None and claims.policy_arns is None and not claims.tags:
        return None
    limits = (claims.policies or (), claims.policy_arns or (), sorted(claims.tags.items()), sorted(claims.transitive))
    return ceil(100 * len(zlib.compress(msgspec.msgpack.encode(limits), 9)) / PACKED_MAX_BYTES)
