"""Signs requests as SDKs do, for tests and the simulator. A test holds it equal to botocore's signatures."""

import hmac
from collections.abc import Sequence
from hashlib import sha256

from ..wire.sigv4 import (
    ALGORITHM,
    TERMINATOR,
    SignedRequest,
    canonical_request,
    headers_by_name,
    signing_key,
    stamp_of,
)

JSON_TARGETS = {
    "cloudtrail": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
    "ecs": "AmazonEC2ContainerServiceV20141113",
    "logs": "Logs_20140328",
    "service-quotas": "ServiceQuotasV20190624",
}


def signed(
    request: SignedRequest, *, key: str, secret: str, region: str, service: str, now: float
) -> list[tuple[bytes, bytes]]:
    """The request's headers with X-Amz-Date and Authorization; every header given is signed."""
    stamp = stamp_of(now)
    headers = [*request.headers, (b"x-amz-date", stamp.encode())]
    by_name = headers_by_name(headers)
    names = tuple(sorted(by_name))
    canonical = canonical_request(request, by_name, names)
    scope = f"{stamp[:8]}/{region}/{service}/{TERMINATOR}"
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical.encode('utf-8', 'surrogateescape')).hexdigest()}"
    derived = signing_key(secret, stamp[:8], region, service)
    signature = hmac.digest(derived, to_sign.encode(), "sha256").hex()
    value = f"{ALGORITHM} Credential={key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return [*headers, (b"authorization", value.encode())]


def json_headers(service: str, operation: str, host: str = "127.0.0.1:4566") -> list[tuple[bytes, bytes]]:
    """Unsigned headers of an AWS JSON 1.1 call."""
    return [
        (b"host", host.encode()),
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"x-amz-target", f"{JSON_TARGETS[service]}.{operation}".encode()),
    ]


def form_headers(host: str = "127.0.0.1:4566") -> list[tuple[bytes, bytes]]:
    return [
        (b"host", host.encode()),
        (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"),
    ]


def credential(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The Authorization value, for tests that tamper with it."""
    return dict(headers)[b"authorization"]
