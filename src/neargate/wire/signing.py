"""Signs requests as SDKs do: the other half of `sigv4`. A test holds it equal to botocore's signatures.

Pure: the clock and the keys are handed in. Every header that is given is signed.
"""

import hmac
from hashlib import sha256

from .sigv4 import (
    ALGORITHM,
    TERMINATOR,
    SignedRequest,
    canonical_request,
    headers_by_name,
    signing_key,
    stamp_of,
)

TOKEN_HEADER = b"x-amz-security-token"


def signed(
    request: SignedRequest, *, key: str, secret: str, region: str, service: str, now: float, token: str = ""
) -> list[tuple[bytes, bytes]]:
    """The request's headers with X-Amz-Date and Authorization, and the session's token if there is one."""
    stamp = stamp_of(now)
    headers = [*request.headers, (b"x-amz-date", stamp.encode())]
    if token:
        headers.append((TOKEN_HEADER, token.encode()))
    by_name = headers_by_name(headers)
    names = tuple(sorted(by_name))
    canonical = canonical_request(request, by_name, names)
    scope = f"{stamp[:8]}/{region}/{service}/{TERMINATOR}"
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical.encode('utf-8', 'surrogateescape')).hexdigest()}"
    derived = signing_key(secret, stamp[:8], region, service)
    signature = hmac.digest(derived, to_sign.encode(), "sha256").hex()
    value = f"{ALGORITHM} Credential={key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return [*headers, (b"authorization", value.encode())]
