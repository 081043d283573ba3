"""From an error inside to the answer a client reads: code, status and body in the caller's protocol.

Domain errors carry AWS's JSON code; the tables here hold the few that the `query` and `ec2` protocols call otherwise.
Knows nothing of operations.
"""

from collections.abc import Mapping
from typing import ClassVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ..model.errors import AwsError
from ..wire.cborrpc import cbor_error
from ..wire.jsonrpc import json_error
from ..wire.sigv4 import Problem, SignatureRefused
from ..wire.xml import ec2_error, query_error
from .streaming import EventStream

JSON = "json"
JSON_1_0 = "json-1.0"
QUERY = "query"
EC2 = "ec2"
REST_JSON = "rest-json"
CBOR = "smithy-rpc-v2-cbor"
CONTENT_TYPES: Mapping[str, bytes] = {
    JSON: b"application/x-amz-json-1.1",
    JSON_1_0: b"application/x-amz-json-1.0",
    QUERY: b"text/xml;charset=UTF-8",
    EC2: b"text/xml;charset=UTF-8",
    REST_JSON: b"application/json",
    CBOR: b"application/cbor",
}
QUERY_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back over HTTP. Header names are lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    stream: EventStream | None = None  # what follows the body, which is empty then


class Fault(Struct, frozen=True, kw_only=True):
    """An error as the caller will see it."""

    code: str
    status: int
    message: str
    fields: Mapping[str, object] = field(default_factory=dict)


class RequestRefused(Exception):
    """The request did not get as far as an operation; `protocol` is the best guess of what the caller speaks."""

    def __init__(self, fault: Fault, protocol: str = JSON, service: str = "") -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.protocol = protocol
        self.service = service


class RequestEntityTooLarge(AwsError):
    code: ClassVar[str] = "RequestEntityTooLargeException"
    status: ClassVar[int] = 413


# (code, status) of a refused signature. Texts are the verifier's unless listed in _SIGNATURE_TEXTS.
_SIGNATURE_FAULTS: dict[tuple[str, Problem], tuple[str, int]] = {
    (JSON, Problem.MISSING): ("MissingAuthenticationTokenException", 400),
    (JSON, Problem.INCOMPLETE): ("IncompleteSignatureException", 400),
    (JSON, Problem.EXPIRED): ("InvalidSignatureException", 400),
    (JSON, Problem.UNKNOWN_KEY): ("UnrecognizedClientException", 400),
    (JSON, Problem.EXPIRED_TOKEN): ("ExpiredTokenException", 400),
    (JSON, Problem.SCOPE): ("InvalidSignatureException", 400),
    (JSON, Problem.MISMATCH): ("InvalidSignatureException", 400),
    (QUERY, Problem.MISSING): ("MissingAuthenticationToken", 403),
    (QUERY, Problem.INCOMPLETE): ("IncompleteSignature", 400),
    (QUERY, Problem.EXPIRED): ("SignatureDoesNotMatch", 403),
    (QUERY, Problem.UNKNOWN_KEY): ("InvalidClientTokenId", 403),
    (QUERY, Problem.EXPIRED_TOKEN): ("ExpiredToken", 403),
    (QUERY, Problem.SCOPE): ("SignatureDoesNotMatch", 403),
    (QUERY, Problem.MISMATCH): ("SignatureDoesNotMatch", 403),
    (EC2, Problem.MISSING): ("MissingAuthenticationToken", 403),
    (EC2, Problem.INCOMPLETE): ("IncompleteSignature", 400),
    (EC2, Problem.EXPIRED): ("RequestExpired", 400),
    (EC2, Problem.UNKNOWN_KEY): ("AuthFailure", 401),
    (EC2, Problem.EXPIRED_TOKEN): ("RequestExpired", 400),
    (EC2, Problem.SCOPE): ("AuthFailure", 401),
    (EC2, Problem.MISMATCH): ("SignatureDoesNotMatch", 403),
}
_SIGNATURE_TEXTS: dict[tuple[str, Problem], str] = {
    (QUERY, Problem.MISSING): "Request is missing Authentication Token",
    (EC2, Problem.MISSING): "Request is missing Authentication Token",
    (EC2, Problem.EXPIRED): "Request has expired.",
    (EC2, Problem.EXPIRED_TOKEN): "Request has expired.",
    (EC2, Problem.UNKNOWN_KEY): "AWS was not able to validate the provided access credentials",
}

# What the JSON protocol calls one thing and the others another: code -> (code, status, text before the message).
_RENAMED: dict[str, dict[str, tuple[str, int, str]]] = {
    QUERY: {
        "AccessDeniedException": ("AccessDenied", 403, ""),
        "ThrottlingException": ("Throttling", 400, ""),
        "ServiceUnavailableException": ("ServiceUnavailable", 503, ""),
        "RequestEntityTooLargeException": ("RequestEntityTooLarge", 413, ""),
    },
    EC2: {
        "AccessDeniedException": (
            "UnauthorizedOperation",
            403,
            "You are not authorized to perform this operation. ",
        ),
        "ThrottlingException": ("RequestLimitExceeded", 503, ""),
        "ServiceUnavailableException": ("Unavailable", 503, ""),
        "RequestEntityTooLargeException": ("RequestEntityTooLarge", 413, ""),
    },
}


# Where HTTP's status means something; the JSON protocols answer 400 to all of them.
_HTTP_STATUSES: dict[str, int] = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ThrottlingException": 429,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}


def fault_of(error: AwsError, protocol: str) -> Fault:
    renamed = _RENAMED.get(protocol, {}).get(error.code)
    if renamed is not None:
        code, status, before = renamed
        return Fault(code=code, status=status, message=before + error.message)
    return Fault(code=error.code, status=error.status, message=error.message, fields=error.fields)


def signature_fault(refused: SignatureRefused, protocol: str) -> Fault:
    code, status = _SIGNATURE_FAULTS[protocol if protocol in (QUERY, EC2) else JSON, refused.problem]
    text = _SIGNATURE_TEXTS.get((protocol, refused.problem), refused.message)
    if protocol == EC2 and refused.problem is Problem.MISMATCH:
        text = text.partition("\n")[0]  # EC2 does not show what it calculated
    return Fault(code=code, status=status, message=text)


def internal_fault(protocol: str, modelled: frozenset[str]) -> Fault:
    """A bug of ours, named as the service names its own."""
    if protocol == EC2:
        return Fault(code="InternalError", status=500, message="An internal error has occurred")
    code = "ServerException" if "ServerException" in modelled else "InternalFailure"
    return Fault(code=code, status=500, message="Service Unavailable. Please try again later.")


def fault_response(
    fault: Fault,
    protocol: str,
    request_id: str,
    *,
    namespace: str = QUERY_NAMESPACE,
    legacy_error: str | None = None,
    xml_members: str = "",
) -> Response:
    """`legacy_error`: the code and fault side that a service had when it spoke query, for clients that know only those.

    `fault.fields` are in the protocol's form; those of the XML protocols are `xml_members`.
    """
    headers = [
        (b"content-type", CONTENT_TYPES[protocol]),
        (b"x-amzn-requestid", request_id.encode()),
    ]
    if protocol == EC2:
        body = ec2_error(fault.code, fault.message, request_id, xml_members)
    elif protocol == QUERY:
        body = query_error(namespace, fault.code, fault.status, fault.message, request_id, xml_members)
    else:
        fault = replace(fault, status=_status(fault, protocol))
        headers.append((b"x-amzn-errortype", fault.code.encode()))
        if legacy_error is not None:
            headers.append((b"x-amzn-query-error", legacy_error.encode()))
        if protocol == CBOR:
            headers.append((b"smithy-protocol", b"rpc-v2-cbor"))
            body = cbor_error(fault.code, fault.message, dict(fault.fields))
        else:
            body = json_error(fault.code, AwsError(fault.message, **fault.fields))
    return Response(status=fault.status, headers=tuple(headers), body=body)


def _status(fault: Fault, protocol: str) -> int:
    if protocol in (REST_JSON, CBOR) and fault.status == 400:
        return _HTTP_STATUSES.get(fault.code, fault.status)
    return fault.status
