"""An OpenID Connect provider's side of tokens: keys of its own, tokens signed with them, and the documents it shows."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def token(key: PrivateKey, claims: Mapping[str, Any], *, kid: str | None = "k1", **header: Any) -> str:
    """Signed RS256 or ES256. `header`: what else its header says, also other than the truth."""
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    head = {"alg": algorithm, "typ": "JWT"} | ({} if kid is None else {"kid": kid}) | header
    signed = f"{_part(head)}.{_part(claims)}".encode()
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signed.decode()}.{_text(signature)}"


def jwk(key: PrivateKey, *, kid: str = "k1", **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        shape = {"kty": "RSA", "n": _number(numbers.n, 256), "e": _number(numbers.e, 3)}
    else:
        shape = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x, 32), "y": _number(numbers.y, 32)}
    return shape | {"kid": kid, "use": "sig"} | more


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def discovery(issuer: str) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"}).encode()


def github_claims(issuer: str, now: float, **changed: Any) -> dict[str, Any]:
    """What a workflow of GitHub Actions brings. A claim of None is left out."""
    claims = {
        "iss": issuer,
        "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
        "aud": "sts.amazonaws.com",
        "iat": int(now),
        "nbf": int(now) - 60,
        "exp": int(now) + 300,
        "repository": "octo-org/octo-repo",
    }
    return {name: value for name, value in (claims | changed).items() if value is not None}


def _part(document: Mapping[str, Any]) -> str:
    return _text(json.dumps(document).encode())


def _number(value: int, size: int) -> str:
    return _text(value.to_bytes(max(size, (value.bit_length() + 7) // 8), "big"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
