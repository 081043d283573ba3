"""The registry protocol's errors as ECR tells them: status, code and sentence of each. Knows no request."""

import msgspec
from msgspec import Struct

from ...model.errors import AccessDenied, AwsError, ResourceNotFound, ServiceUnavailable, Throttling
from . import errors

_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
_CODES: dict[type[AwsError], tuple[int, str]] = {
    AccessDenied: (403, "DENIED"),
    Throttling: (429, "TOOMANYREQUESTS"),
    ServiceUnavailable: (503, "UNAVAILABLE"),
    ResourceNotFound: (404, "NAME_UNKNOWN"),
    errors.RepositoryNotFound: (404, "NAME_UNKNOWN"),
    errors.ImageNotFound: (404, "MANIFEST_UNKNOWN"),
    errors.ImageTagAlreadyExists: (400, "TAG_INVALID"),
    errors.ImageDigestDoesNotMatch: (400, "DIGEST_INVALID"),
    errors.LayersNotFound: (400, "MANIFEST_BLOB_UNKNOWN"),
    errors.ReferencedImagesNotFound: (400, "MANIFEST_BLOB_UNKNOWN"),
    errors.LimitExceeded: (429, "TOOMANYREQUESTS"),
    errors.BackendAway: (503, "UNAVAILABLE"),
    errors.NoRoom: (503, "UNAVAILABLE"),
    errors.UpstreamDenied: (403, "DENIED"),
    errors.UpstreamSecretNotFound: (403, "DENIED"),
    errors.UnableToAccessSecret: (403, "DENIED"),
    errors.UnableToDecryptSecretValue: (403, "DENIED"),
    errors.UnableToGetUpstreamImage: (503, "UNAVAILABLE"),
    errors.UnableToGetUpstreamLayer: (503, "UNAVAILABLE"),
}


class Refusal(Exception):
    """An answer other than success, in the registry protocol."""

    def __init__(
        self, status: int, code: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = (), *, text: str = ""
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers, self.text = status, code, message, headers, text


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer. Header names are lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def answer(refused: Refusal) -> Answer:
    if refused.text:
        body, kind = refused.text.encode(), b"text/plain; charset=utf-8"
    else:
        told = {"errors": [{"code": refused.code, "message": refused.message}]}
        body, kind = msgspec.json.encode(told), b"application/json; charset=utf-8"
    return Answer(status=refused.status, headers=(_VERSION, (b"content-type", kind), *refused.headers), body=body)


def refusal_of(error: AwsError) -> Refusal:
    status, code = _CODES.get(type(error), (400, "UNSUPPORTED"))
    return Refusal(status, code, error.message)


def ok(status: int = 200, *headers: tuple[bytes, str], body: bytes = b"") -> Answer:
    return Answer(
        status=status, headers=(_VERSION, *((name, value.encode("latin-1")) for name, value in headers)), body=body
    )


def unauthorised(realm: str) -> Refusal:
    """What ECR says to whom it does not know: container tools then send what `login` stored."""
    challenge = f'Basic realm="{realm}",service="ecr.amazonaws.com"'.encode("latin-1")
    return Refusal(401, "UNAUTHORIZED", "", ((b"www-authenticate", challenge),), text="Not Authorized\n")


def expired() -> Refusal:
    return Refusal(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")


def nowhere() -> Refusal:
    """The usual reason is a name without its account, which only the host's name may say instead."""
    return Refusal(404, "NAME_INVALID", "No repository has such a name here: by an address it is ACCOUNT/NAME.")
