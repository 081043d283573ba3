"""Signature Version 4: is this request signed by the holder of that key, for this service and region, now?

Pure: the clock and the keys are handed in. Works on the raw path, query and header bytes as they came, since those are
what the client signed, in the Authorization header or in a presigned URL. The body's own hash is always used: a header
that claims another one, or UNSIGNED-PAYLOAD, cannot match.
"""

import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

import msgspec

from .authorization import (
    ALGORITHM,
    SIGNATURE_PARAMETER,
    TERMINATOR,
    Authorization,
    Problem,
    SignatureRefused,
    parse_authorization,
)

__all__ = (
    "ALGORITHM",
    "TERMINATOR",
    "Problem",
    "SignatureRefused",
    "SignedRequest",
    "Verifier",
    "canonical_request",
    "headers_by_name",
    "parse_authorization",
    "signing_key",
    "stamp_of",
)

KEY_CACHE_MAX = 1024
SIGNED_HEADERS_MAX = 64
CANONICAL_SHOWN_MAX = 8192
GLOBAL_REGIONS = {"iam": "us-east-1"}  # services of no region are signed for this one wherever the client is

Headers = Sequence[tuple[bytes, bytes]]
SecretOf = Callable[[str, str | None], str | None]  # by access key id and session token; None: no such pair

_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z")
_PLAIN_QUERY = re.compile(rb"(?:[A-Za-z0-9._~=&-]|%[0-9A-F]{2})*")
_SAFE = "-_.~"
_MUST_BE_SIGNED = ("host", "x-amz-date", "x-amz-target", "x-amz-content-sha256", "x-amz-security-token")


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes as they came. Header names are lower case; `path` and `query` are not decoded."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: bytes


class _Keyed:
    """HMAC-SHA256 (RFC 2104) with both of its keyed blocks hashed beforehand: a third of the time of a whole one."""

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        assert len(block) == 64, "a longer key would have to be hashed first"
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def hexdigest(self, message: bytes) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()


class Verifier:
    """Verifies for one region; keeps derived signing keys (a day's work for each key and service)."""

    def __init__(self, *, region: str, clock_skew_max_s: float) -> None:
        self._region = region
        self._skew_s = clock_skew_max_s
        self._keys: dict[tuple[str, str, str, str], _Keyed] = {}

    def verify(self, request: SignedRequest, service: str, now: float, secret_of: SecretOf) -> str:
        """The access key id that signed. Raises SignatureRefused, also what `secret_of` raises."""
        headers = headers_by_name(request.headers)
        authorization, signature = parse_authorization(headers, request.query)
        stamp, signed_at = _stamp(headers, authorization)
        self._check_clock(stamp, signed_at, now, authorization.expires_s)
        secret = secret_of(authorization.access_key_id, _session_token(headers, authorization))
        if secret is None:
            raise SignatureRefused(Problem.UNKNOWN_KEY, "The security token included in the request is invalid.")
        self._check_scope(authorization, service, stamp)
        _check_signed(authorization, headers)
        canonical = canonical_request(request, headers, authorization.signed_headers)
        scope = f"{authorization.date}/{authorization.region}/{authorization.service}/{TERMINATOR}"
        digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
        if not hmac.compare_digest(self._key(authorization, secret).hexdigest(to_sign.encode()), signature):
            raise SignatureRefused(Problem.MISMATCH, _mismatch(canonical, to_sign))
        return authorization.access_key_id

    def _check_clock(self, stamp: str, signed_at: float, now: float, expires_s: int | None) -> None:
        """A presigned URL says how long it lives; it, too, may not come from the future."""
        life_s = self._skew_s if expires_s is None else expires_s
        if now - life_s <= signed_at <= now + self._skew_s:
            return
        minutes = int((life_s if signed_at < now else self._skew_s) // 60)
        current = stamp_of(now)
        if signed_at < now:
            earlier = stamp_of(now - life_s)
            text = f"Signature expired: {stamp} is now earlier than {earlier} ({current} - {minutes} min.)"
            raise SignatureRefused(Problem.EXPIRED, text)
        later = stamp_of(now + self._skew_s)
        text = f"Signature not yet current: {stamp} is still later than {later} ({current} + {minutes} min.)"
        raise SignatureRefused(Problem.EXPIRED, text)

    def _check_scope(self, authorization: Authorization, service: str, stamp: str) -> None:
        named = (authorization.region, authorization.service, authorization.terminator, authorization.date)
        if named == (self._region, service, TERMINATOR, stamp[:8]):
            return
        wrong = []
        if authorization.region not in (self._region, GLOBAL_REGIONS.get(service)):
            wrong.append("Credential should be scoped to a valid region. ")
        if authorization.service != service:
            wrong.append(f"Credential should be scoped to correct service: '{service}'. ")
        if authorization.terminator != TERMINATOR:
            wrong.append(f"Credential should be scoped with a valid terminator: '{TERMINATOR}'. ")
        if authorization.date != stamp[:8]:
            wrong.append(
                f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
                f"'{authorization.date}' != '{stamp[:8]}', from '{stamp}'."
            )
        if wrong:
            raise SignatureRefused(Problem.SCOPE, "".join(wrong))

    def _key(self, authorization: Authorization, secret: str) -> "_Keyed":
        # The secret is part of the name: a rotated key must not be found under its old derivation.
        name = (secret, authorization.date, authorization.region, authorization.service)
        key = self._keys.get(name)
        if key is None:
            if len(self._keys) >= KEY_CACHE_MAX:
                self._keys.clear()
            derived = signing_key(secret, authorization.date, authorization.region, authorization.service)
            key = self._keys[name] = _Keyed(derived)
        return key


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def headers_by_name(headers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("utf-8", "surrogateescape")
        if key in found:
            found[key].append(text)
        else:
            found[key] = [text]
    return found


def _stamp(headers: dict[str, list[str]], authorization: Authorization) -> tuple[str, float]:
    """The request's date in basic ISO form and as epoch seconds. Raises SignatureRefused."""
    given = headers.get("x-amz-date") or headers.get("date")
    if authorization.stamp is not None:
        given = [authorization.stamp]
    if not given:
        text = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        raise SignatureRefused(Problem.INCOMPLETE, text)
    value = given[0].strip()
    signed_at = _epoch(value)
    if len(given) == 1 and signed_at >= 0:
        return value, signed_at
    if "x-amz-date" not in headers and authorization.stamp is None and len(given) == 1:
        try:
            parsed = parsedate_to_datetime(value)
            signed_at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
            return stamp_of(signed_at), signed_at
        except (ValueError, OverflowError, OSError):
            pass  # neither form; refused below
    text = f"Date must be in ISO-8601 'basic format'. Got '{value[:64]}'. See http://en.wikipedia.org/wiki/ISO_8601"
    raise SignatureRefused(Problem.INCOMPLETE, text)


@lru_cache(maxsize=64)  # the requests of one second have one stamp
def _epoch(stamp: str) -> float:
    """Seconds, or -1 for a stamp that is no date."""
    match = _DATE.fullmatch(stamp)
    if match is None:
        return -1
    year, month, day, hour, minute, second = map(int, match.groups())
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return -1
    return timegm((year, month, day, hour, minute, second))


def stamp_of(epoch: float) -> str:
    """`20261121T231828Z`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y%m%dT%H%M%SZ")


def _session_token(headers: dict[str, list[str]], authorization: Authorization) -> str | None:
    given = headers.get("x-amz-security-token")
    if given is None:
        return authorization.token
    if len(given) > 1 or authorization.token is not None:
        raise SignatureRefused(Problem.INCOMPLETE, "X-Amz-Security-Token header must be given once.")
    return given[0].strip()


def _check_signed(authorization: Authorization, headers: dict[str, list[str]]) -> None:
    """What decides the request's meaning must be under the signature."""
    signed = authorization.signed_headers
    if len(signed) > SIGNED_HEADERS_MAX:
        raise SignatureRefused(Problem.INCOMPLETE, "Too many 'SignedHeaders' in the AWS Authorization.")
    if "host" not in signed:
        text = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        raise SignatureRefused(Problem.MISMATCH, text)
    for name in _unsigned(signed):
        if name in headers:
            title = "-".join(part.capitalize() for part in name.split("-"))
            raise SignatureRefused(Problem.MISMATCH, f"'{title}' must be a 'SignedHeader' in the AWS Authorization.")


@lru_cache(maxsize=64)  # a client signs the same headers all day
def _unsigned(signed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in _MUST_BE_SIGNED if name not in signed)


def canonical_request(request: SignedRequest, headers: dict[str, list[str]], signed: tuple[str, ...]) -> str:
    lines = []
    for name in signed:
        values = headers.get(name, ())
        value = " ".join(values[0].split()) if len(values) == 1 else ",".join(" ".join(v.split()) for v in values)
        lines.append(f"{name}:{value}\n")
    return (
        f"{request.method}\n{_canonical_path(request.path)}\n{_canonical_query(request.query)}\n"
        f"{''.join(lines)}\n{';'.join(signed)}\n{hashlib.sha256(request.body).hexdigest()}"
    )


def _canonical_path(path: bytes) -> str:
    """Dot segments and doubled slashes removed, then encoded once more, as all services but S3 do."""
    if path in (b"/", b""):
        return "/"
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    first = "/" if path.startswith(b"/") else ""
    last = "/" if path.endswith(b"/") and kept else ""
    return f"{first}{quote(b'/'.join(kept), safe='/' + _SAFE)}{last}"


def _canonical_query(query: bytes) -> str:
    if not query:
        return ""
    plain = _PLAIN_QUERY.fullmatch(query) is not None
    pairs = []
    for part in query.split(b"&"):
        if not part:
            continue
        key, _, value = part.partition(b"=")
        if key == SIGNATURE_PARAMETER:
            continue
        if plain:
            pairs.append((key.decode("ascii"), value.decode("ascii")))
        else:
            pairs.append((_recoded(key), _recoded(value)))
    pairs.sort()
    return "&".join(f"{key}={value}" for key, value in pairs)


def _recoded(part: bytes) -> str:
    return quote(unquote_to_bytes(part), safe=_SAFE)


def _mismatch(canonical: str, to_sign: str) -> str:
    text = (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )
    if len(canonical) <= CANONICAL_SHOWN_MAX:
        text += (
            f"\n\nThe Canonical String for this request should have been\n'{canonical}'\n\n"
            f"The String-to-Sign should have been\n'{to_sign}'\n"
        )
    return text
