"""JSON web tokens: is this one signed by that key, and what does it say? Pure.

Tokens and key sets are hostile: sizes are bounded, algorithms are those of a literal table (never what the token alone
says: a key is used only for the algorithms of its own kind), and nothing of a token is believed before its signature.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from msgspec import Struct

KEYS_MAX = 100  # of one provider, as AWS
_TRIED_MAX = 8  # keys of a token that names none
_RSA_BITS = (2048, 8192)
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: Mapping[str, tuple[ec.EllipticCurve, str, int]] = {  # crv -> curve, alg, bytes of a coordinate
    "P-256": (ec.SECP256R1(), "ES256", 32),
    "P-384": (ec.SECP384R1(), "ES384", 48),
    "P-521": (ec.SECP521R1(), "ES512", 66),
}
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})


class NotAToken(Exception):
    """It has not the form of a signed token."""


class NotKeys(Exception):
    """It is not a set of keys."""


class Token(Struct, frozen=True, kw_only=True):
    """Unproven until `signed_by` says so. Use of `claims` before that: only to find out whose keys to ask."""

    algorithm: str
    key_id: str | None
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


class Key(Struct, frozen=True, kw_only=True):
    """`check(algorithm, signature, signed)` raises InvalidSignature."""

    key_id: str | None
    algorithms: frozenset[str]
    check: Callable[[str, bytes, bytes], None]


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    kid: str | None = None
    use: str | None = None
    alg: str | None = None
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


def parse_token(text: str) -> Token:
    """Raises NotAToken. A line end after it is that of the file in which the SDKs look for tokens: no part of it."""
    try:
        head, body, signature = text.rstrip("\r\n").encode("ascii").split(b".")
        header = msgspec.json.decode(_decoded(head), type=_Header)
        claims = msgspec.json.decode(_decoded(body), type=dict[str, Any])
        found = Token(
            algorithm=header.alg,
            key_id=header.kid,
            claims=claims,
            signed=head + b"." + body,
            signature=_decoded(signature),
        )
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NotAToken from None
    if header.alg not in ALGORITHMS:
        raise NotAToken
    return found


def parse_keys(document: bytes) -> tuple[Key, ...]:
    """The signing keys of a JWK set; those of other kinds are passed over. Raises NotKeys."""
    try:
        raw = msgspec.json.decode(document, type=_KeySet).keys
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise NotKeys from None
    if len(raw) > KEYS_MAX:
        raise NotKeys
    return tuple(key for key in map(_key, raw) if key is not None)


def signed_by(token: Token, keys: tuple[Key, ...]) -> bool | None:
    """Whether one of the keys made the signature; None when none of them is the token's."""
    fitting = [
        key
        for key in keys
        if token.algorithm in key.algorithms and (token.key_id is None or key.key_id == token.key_id)
    ]
    if not fitting:
        return None
    for key in fitting[:_TRIED_MAX]:
        try:
            key.check(token.algorithm, token.signature, token.signed)
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _key(raw: msgspec.Raw) -> Key | None:
    try:
        jwk = msgspec.json.decode(raw, type=_Jwk)
        if jwk.use not in (None, "sig"):
            return None
        algorithms, check = _rsa(jwk) if jwk.kty == "RSA" else _elliptic(jwk)
    except (ValueError, KeyError, UnsupportedAlgorithm, msgspec.MsgspecError):
        return None  # of a kind that is not known here; the token's own key may be another
    named = algorithms if jwk.alg is None else algorithms & {jwk.alg}
    return Key(key_id=jwk.kid, algorithms=named, check=check) if named else None


def _rsa(jwk: _Jwk) -> tuple[frozenset[str], Callable[[str, bytes, bytes], None]]:
    modulus, exponent = (int.from_bytes(_decoded(part.encode("ascii")), "big") for part in (jwk.n, jwk.e))
    if not (_RSA_BITS[0] <= modulus.bit_length() <= _RSA_BITS[1] and exponent < 1 << 32):
        raise ValueError("a key of this size is not used")
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def check(algorithm: str, signature: bytes, signed: bytes) -> None:
        public.verify(signature, signed, padding.PKCS1v15(), _HASHES[algorithm[2:]])

    return frozenset({"RS256", "RS384", "RS512"}), check


def _elliptic(jwk: _Jwk) -> tuple[frozenset[str], Callable[[str, bytes, bytes], None]]:
    if jwk.kty != "EC":
        raise ValueError(jwk.kty)
    curve, algorithm, size = _CURVES[jwk.crv]
    x, y = (int.from_bytes(_decoded(part.encode("ascii")), "big") for part in (jwk.x, jwk.y))
    public = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()

    def check(algorithm: str, signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * size:
            raise InvalidSignature
        r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(_HASHES[algorithm[2:]]))

    return frozenset({algorithm}), check


def _decoded(text: bytes) -> bytes:
    """Base64 of URLs, without padding. Raises ValueError; what is not of its alphabet is not passed over."""
    if b"+" in text or b"/" in text or b"=" in text:
        raise ValueError("not base64url")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as refused:
        raise ValueError("not base64url") from refused
