"""Where a request says who signed it and how: the Authorization header, or X-Amz-* parameters of a presigned URL. Pure.

Finds the parts and refuses what is malformed, in AWS's words. Whether the signature holds is sigv4.py's to say.
"""

import re
from enum import Enum, auto
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import msgspec

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
EXPIRES_MAX_S = 604_800  # AWS's: seven days
SCHEME_CACHED_MAX = 1024
SIGNATURE_PARAMETER = b"X-Amz-Signature"

_SCHEME = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^\s,/]+)/(\d{8})/([^\s,/]+)/([^\s,/]+)/([^\s,/]+)\s*,\s*"
    r"SignedHeaders=([a-z0-9!#$%&'*+.^_`|~;-]+)\s*,\s*"
)
_CREDENTIAL = re.compile(r"([^\s,/]+)/(\d{8})/([^\s,/]+)/([^\s,/]+)/([^\s,/]+)")
_SIGNED_HEADERS = re.compile(r"[a-z0-9!#$%&'*+.^_`|~;-]+")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_PRESIGNED = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date")


class Problem(Enum):
    """What is wrong with a signature; each protocol has its own code for it."""

    MISSING = auto()  # no signature at all
    INCOMPLETE = auto()  # malformed
    EXPIRED = auto()  # date outside the allowed skew
    UNKNOWN_KEY = auto()
    EXPIRED_TOKEN = auto()  # the session's time is over
    SCOPE = auto()  # signed for another service, region or day
    MISMATCH = auto()


class SignatureRefused(Exception):
    """`message` in AWS's words."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(problem, message)
        self.problem = problem
        # Parts of the request are quoted; bytes that are no text must not reach the encoder of the answer.
        self.message = message.encode("utf-8", "replace").decode()


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a signature: in a header, or in a presigned URL with its own date, token and time to live."""

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    stamp: str | None = None  # X-Amz-Date of a presigned URL; the header's otherwise
    token: str | None = None
    expires_s: int | None = None


def parse_authorization(headers: dict[str, list[str]], query: bytes) -> tuple[Authorization, str]:
    """And the signature. Raises SignatureRefused with every missing part named, as AWS does."""
    values = headers.get("authorization")
    if SIGNATURE_PARAMETER + b"=" in query or (not values and b"X-Amz-Algorithm" in query):
        if values:
            text = "Only one way to sign a request is allowed: an Authorization header or X-Amz-Signature in the query."
            raise SignatureRefused(Problem.INCOMPLETE, text)
        return _presigned(query)
    if not values:
        raise SignatureRefused(Problem.MISSING, "Missing Authentication Token")
    if len(values) > 1:
        raise SignatureRefused(Problem.INCOMPLETE, "Authorization header must be given once.")
    scheme, separator, signature = values[0].strip().rpartition("Signature=")
    found = _known_scheme(scheme) if len(scheme) <= SCHEME_CACHED_MAX else _parse_scheme(scheme)
    if not separator or found is None or _SIGNATURE.fullmatch(signature) is None:
        raise _incomplete(values[0], headers)
    return found, signature


def _parse_scheme(scheme: str) -> Authorization | None:
    """All of an Authorization header before its signature."""
    match = _SCHEME.fullmatch(scheme)
    if match is None:
        return None
    key, date, region, service, terminator, signed = match.groups()
    return Authorization(
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        terminator=terminator,
        signed_headers=tuple(signed.split(";")),
    )


@lru_cache(maxsize=256)  # what one client sends all day with all its calls of one kind
def _known_scheme(scheme: str) -> Authorization | None:
    return _parse_scheme(scheme)


def _incomplete(value: str, headers: dict[str, list[str]]) -> SignatureRefused:
    algorithm = value.split(None, 1)[0] if value.strip() else ""
    shown = value[:512]
    if algorithm.startswith("AWS4") and algorithm != ALGORITHM:
        return SignatureRefused(Problem.INCOMPLETE, f"Unsupported AWS 'algorithm': '{algorithm[:64]}'. ")
    missing = [
        f"Authorization header requires '{part}' parameter. "
        for part in ("Credential", "Signature", "SignedHeaders")
        if f"{part}=" not in value
    ]
    if "x-amz-date" not in headers and "date" not in headers:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
    if not missing:
        missing.append(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            "and Signature 64 hexadecimal digits. "
        )
    return SignatureRefused(Problem.INCOMPLETE, f"{''.join(missing)}Authorization={shown}")


def _presigned(query: bytes) -> tuple[Authorization, str]:
    given = _amz_parameters(query)
    names = [f"X-Amz-{name}" for name in _PRESIGNED]
    missing = "".join(f"AWS query-string parameters must include '{name}'. " for name in names if name not in given)
    if missing:
        raise SignatureRefused(Problem.INCOMPLETE, f"{missing}Re-examine the query-string parameters.")
    algorithm = given["X-Amz-Algorithm"]
    if algorithm != ALGORITHM:
        raise SignatureRefused(Problem.INCOMPLETE, f"Unsupported AWS 'algorithm': '{algorithm[:64]}'. ")
    credential = _CREDENTIAL.fullmatch(given["X-Amz-Credential"])
    signed, signature = given["X-Amz-SignedHeaders"], given["X-Amz-Signature"]
    if credential is None or not _SIGNED_HEADERS.fullmatch(signed) or not _SIGNATURE.fullmatch(signature):
        text = (
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            "and Signature 64 hexadecimal digits. "
        )
        raise SignatureRefused(Problem.INCOMPLETE, text)
    key, date, region, service, terminator = credential.groups()
    found = Authorization(
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        terminator=terminator,
        signed_headers=tuple(signed.split(";")),
        stamp=given["X-Amz-Date"],
        token=given.get("X-Amz-Security-Token"),
        expires_s=_expires_s(given.get("X-Amz-Expires")),
    )
    return found, signature


def _amz_parameters(query: bytes) -> dict[str, str]:
    """Of each parameter one value: a second one could mean something else to whoever reads it."""
    given: dict[str, str] = {}
    for part in query.split(b"&"):
        raw, _, value = part.partition(b"=")
        name = unquote_to_bytes(raw).decode("latin-1")
        if not name.startswith("X-Amz-"):
            continue
        if name in given:
            raise SignatureRefused(Problem.INCOMPLETE, f"The query-string parameter '{name[:64]}' must be given once.")
        given[name] = unquote_to_bytes(value).decode("utf-8", "surrogateescape")
    return given


def _expires_s(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise SignatureRefused(Problem.INCOMPLETE, "X-Amz-Expires should be a number")
    seconds = int(text)
    if not 1 <= seconds <= EXPIRES_MAX_S:
        text = f"X-Amz-Expires must be between 1 and {EXPIRES_MAX_S} seconds"
        raise SignatureRefused(Problem.INCOMPLETE, text)
    return seconds
