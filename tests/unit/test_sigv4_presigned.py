"""Presigned URLs: botocore's are accepted as long as they live; each tampering is refused with AWS's words."""

import datetime
import re
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec.structs import replace

from neargate.wire.sigv4 import Problem, SignatureRefused, SignedRequest, Verifier

KEY, SECRET, REGION, NOW = "AKIDEXAMPLE", "the/secret+", "us-east-1", 1_795_300_000.0
URL = "http://127.0.0.1:4566/?Action=GetCallerIdentity&Version=2011-06-15"


def presigned(
    *, now: float = NOW, expires_s: int = 60, token: str | None = None, region: str = REGION, service: str = "sts"
) -> SignedRequest:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)
    request: Any = AWSRequest("GET", URL)
    original = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: moment
    try:
        keys = Credentials(KEY, SECRET, token)
        botocore.auth.SigV4QueryAuth(keys, service, region, expires=expires_s).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = original
    query = request.prepare().url.partition("?")[2].encode()
    return SignedRequest(method="GET", path=b"/", query=query, headers=[(b"host", b"127.0.0.1:4566")], body=b"")


class Keys:
    """Who was asked for; one session besides the key."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def secret_of(self, key: str, token: str | None) -> str | None:
        self.asked.append((key, token))
        return SECRET if key == KEY and token in (None, "a/token+=") else None


def verify(request: SignedRequest, now: float = NOW, keys: Keys | None = None, service: str = "sts") -> str:
    judge = Verifier(region=REGION, clock_skew_max_s=300)
    return judge.verify(request, service, now, (keys or Keys()).secret_of)


def refusal(request: SignedRequest, now: float = NOW, service: str = "sts") -> SignatureRefused:
    with pytest.raises(SignatureRefused) as caught:
        verify(request, now, service=service)
    return caught.value


def changed(pattern: bytes, replacement: bytes) -> SignedRequest:
    request = presigned()
    query = re.sub(pattern, replacement, request.query)
    assert query != request.query
    return replace(request, query=query)


def test_botocores_url_is_accepted() -> None:
    assert verify(presigned()) == KEY


def test_a_sessions_url_brings_its_token() -> None:
    keys = Keys()
    assert verify(presigned(token="a/token+="), keys=keys) == KEY
    assert keys.asked == [(KEY, "a/token+=")]
    assert refusal(presigned(token="another")).problem is Problem.UNKNOWN_KEY


@pytest.mark.parametrize(("later", "accepted"), [(-299, True), (-301, False), (60, True), (61, False), (299, False)])
def test_it_lives_as_long_as_it_says(later: float, accepted: bool) -> None:
    if accepted:
        assert verify(presigned(expires_s=60), NOW + later) == KEY
    else:
        refused = refusal(presigned(expires_s=60), NOW + later)
        assert refused.problem is Problem.EXPIRED
        assert refused.message.startswith("Signature expired: " if later > 0 else "Signature not yet current: ")


def test_it_may_live_for_a_week() -> None:
    assert verify(presigned(expires_s=604_800), NOW + 604_000) == KEY


@pytest.mark.parametrize(
    ("pattern", "replacement", "problem"),
    [
        (rb"Action=GetCallerIdentity", b"Action=AssumeRole", Problem.MISMATCH),
        (rb"X-Amz-Expires=60", b"X-Amz-Expires=604800", Problem.MISMATCH),
        (rb"(X-Amz-Signature=)....", rb"\g<1>0000", Problem.MISMATCH),
        (rb"X-Amz-SignedHeaders=host", b"X-Amz-SignedHeaders=x", Problem.MISMATCH),
        (rb"$", b"&X-Amz-Security-Token=a%2Ftoken%2B%3D", Problem.MISMATCH),
        (rb"X-Amz-Expires=60", b"X-Amz-Expires=604801", Problem.INCOMPLETE),
        (rb"X-Amz-Expires=60", b"X-Amz-Expires=0", Problem.INCOMPLETE),
        (rb"X-Amz-Expires=60", b"X-Amz-Expires=-1", Problem.INCOMPLETE),
        (rb"X-Amz-Expires=60", b"X-Amz-Expires=60&X-Amz-Expires=61", Problem.INCOMPLETE),
        (rb"$", b"&X%2DAmz-Date=20200101T000000Z", Problem.INCOMPLETE),
        (rb"X-Amz-Algorithm=AWS4-HMAC-SHA256", b"X-Amz-Algorithm=AWS4-HMAC-MD5", Problem.INCOMPLETE),
        (rb"X-Amz-Date=[^&]*", b"X-Amz-Date=yesterday", Problem.INCOMPLETE),
        (rb"X-Amz-Date=[^&]*&", b"", Problem.INCOMPLETE),
        (rb"X-Amz-Credential=[^&]*", b"X-Amz-Credential=AKID", Problem.INCOMPLETE),
        (rb"(X-Amz-Signature=)....", rb"\g<1>", Problem.INCOMPLETE),
        (rb"AKIDEXAMPLE", b"AKIDNOBODYS", Problem.UNKNOWN_KEY),
    ],
)
def test_tampering(pattern: bytes, replacement: bytes, problem: Problem) -> None:
    assert refusal(changed(pattern, replacement)).problem is problem


def test_the_scope_is_checked() -> None:
    assert refusal(presigned(region="eu-west-1")).problem is Problem.SCOPE
    assert refusal(presigned(), service="ecs").problem is Problem.SCOPE


def test_services_of_no_region_are_signed_for_theirs() -> None:
    judge = Verifier(region="eu-west-1", clock_skew_max_s=300)
    assert judge.verify(presigned(service="iam"), "iam", NOW, Keys().secret_of) == KEY
    with pytest.raises(SignatureRefused):
        judge.verify(presigned(), "sts", NOW, Keys().secret_of)


def test_a_body_that_was_not_signed_and_two_signatures_are_refused() -> None:
    assert refusal(replace(presigned(), body=b"Action=AssumeRole")).problem is Problem.MISMATCH
    both = replace(presigned(), headers=[(b"host", b"127.0.0.1:4566"), (b"authorization", b"AWS4-HMAC-SHA256 x")])
    assert refusal(both).problem is Problem.INCOMPLETE


def test_a_missing_part_is_named() -> None:
    message = refusal(changed(rb"&X-Amz-SignedHeaders=host", b"")).message
    assert message.startswith("AWS query-string parameters must include 'X-Amz-SignedHeaders'. ")
