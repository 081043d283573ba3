"""The SigV4 verifier against botocore's own signatures, and against every tampering we can think of."""

import datetime
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.testing.signing import json_headers, signed
from neargate.wire.sigv4 import Problem, SignatureRefused, SignedRequest, Verifier, stamp_of

KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"
NOW = 1_795_300_000.0
KEYS = {KEY: SECRET}


def secret_of(key: str, token: str | None) -> str | None:
    return KEYS.get(key) if token is None else None


def verifier() -> Verifier:
    return Verifier(region=REGION, clock_skew_max_s=300)


def by_botocore(method: str, url: str, headers: dict[str, str], body: bytes, now: float, service: str) -> SignedRequest:
    """Sign with botocore at a fixed time and give the bytes that it would send."""
    request: Any = AWSRequest(method, url, headers=headers, data=body)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    original = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: moment.replace(tzinfo=None)
    try:
        SigV4Auth(Credentials(KEY, SECRET), service, REGION).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = original
    sent = request.prepare()
    rest = sent.url.split("//", 1)[1]
    path, _, query = rest[rest.index("/") :].partition("?")
    pairs = [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in sent.headers.items()
    ]
    if not any(name == b"host" for name, _ in pairs):
        pairs.append((b"host", rest.split("/", 1)[0].encode()))
    return SignedRequest(method=method, path=path.encode(), query=query.encode(), headers=pairs, body=body)


text = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=30)
unicode_text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    segments=st.lists(unicode_text, max_size=4),
    query=st.lists(st.tuples(unicode_text.filter(bool), unicode_text), max_size=4),
    headers=st.dictionaries(st.sampled_from(["X-Amz-Target", "Content-Type", "X-Custom"]), text.map(str.strip)),
    body=st.binary(max_size=200),
    service=st.sampled_from(["ecs", "ec2", "logs", "sts"]),
    offset=st.floats(-299, 299),
)
def test_accepts_what_botocore_signs(
    method: str,
    segments: list[str],
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    service: str,
    offset: float,
) -> None:
    path = "/" + "/".join(quote(segment, safe="-_.~") for segment in segments)
    pairs = "&".join(f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}" for key, value in query)
    url = f"http://127.0.0.1:4566{path}{'?' if pairs else ''}{pairs}"
    request = by_botocore(method, url, headers, body, NOW + offset, service)
    assert verifier().verify(request, service, NOW, secret_of) == KEY


def plain(body: bytes = b'{"taskDefinition":"web"}', now: float = NOW, **changes: str) -> SignedRequest:
    request = SignedRequest(method="POST", path=b"/", query=b"", headers=json_headers("ecs", "RunTask"), body=body)
    signing = {"key": KEY, "secret": SECRET, "region": REGION, "service": "ecs", **changes}
    return replace(request, headers=signed(request, now=now, **signing))


def refusal(request: SignedRequest, service: str = "ecs", now: float = NOW) -> SignatureRefused:
    with pytest.raises(SignatureRefused) as caught:
        verifier().verify(request, service, now, secret_of)
    return caught.value


def with_header(request: SignedRequest, name: bytes, value: bytes | None) -> SignedRequest:
    headers = [(key, old) for key, old in request.headers if key != name]
    return replace(request, headers=headers if value is None else [*headers, (name, value)])


def test_our_signer_is_botocores() -> None:
    ours = plain()
    headers = {name.decode().title(): value.decode() for name, value in json_headers("ecs", "RunTask")}
    theirs = by_botocore("POST", "http://127.0.0.1:4566/", headers, ours.body, NOW, "ecs")
    assert dict(ours.headers)[b"authorization"] == dict(theirs.headers)[b"authorization"]


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replace(r, body=r.body + b" "),
        lambda r: replace(r, body=b""),
        lambda r: replace(r, method="GET"),
        lambda r: replace(r, path=b"/other"),
        lambda r: replace(r, query=b"Action=DeleteCluster"),
        lambda r: with_header(r, b"x-amz-target", b"AmazonEC2ContainerServiceV20141113.DeleteCluster"),
        lambda r: with_header(r, b"host", b"elsewhere"),
        lambda r: with_header(r, b"content-type", b"text/plain"),
        lambda r: with_header(r, b"x-amz-date", stamp_of(NOW + 1).encode()),
        lambda r: replace(r, headers=[*r.headers, (b"x-amz-target", b"AmazonEC2ContainerServiceV20141113.StopTask")]),
        lambda r: with_header(r, b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD"),
    ],
)
def test_a_tampered_request_does_not_match(change: Any) -> None:
    assert refusal(change(plain())).problem is Problem.MISMATCH


def test_a_wrong_secret_shows_what_was_calculated() -> None:
    found = refusal(plain(secret="other"))
    assert found.problem is Problem.MISMATCH
    assert found.message.startswith("The request signature we calculated does not match the signature you provided.")
    assert "The Canonical String for this request should have been\n'POST\n/\n" in found.message
    assert SECRET not in found.message


def test_an_unsigned_payload_claim_is_checked_against_the_body() -> None:
    request = SignedRequest(
        method="POST",
        path=b"/",
        query=b"",
        headers=[*json_headers("ecs", "RunTask"), (b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")],
        body=b"{}",
    )
    headers = signed(request, key=KEY, secret=SECRET, region=REGION, service="ecs", now=NOW)
    assert verifier().verify(replace(request, headers=headers), "ecs", NOW, secret_of) == KEY
    assert refusal(replace(request, headers=headers, body=b'{"x":1}')).problem is Problem.MISMATCH


def test_an_expired_and_a_future_date() -> None:
    old = refusal(plain(now=NOW - 301))
    assert old.problem is Problem.EXPIRED
    assert old.message == (
        f"Signature expired: {stamp_of(NOW - 301)} is now earlier than {stamp_of(NOW - 300)} ({stamp_of(NOW)} - 5 min.)"
    )
    new = refusal(plain(now=NOW + 302))
    assert new.message == (
        f"Signature not yet current: {stamp_of(NOW + 302)} is still later than {stamp_of(NOW + 300)} "
        f"({stamp_of(NOW)} + 5 min.)"
    )


def test_an_unknown_key_and_a_session_token() -> None:
    for request in (plain(key="AKIAOTHER"), with_header(plain(), b"x-amz-security-token", b"t")):
        found = refusal(request)
        assert found.problem is Problem.UNKNOWN_KEY
        assert found.message == "The security token included in the request is invalid."


def test_the_scope_is_this_region_service_and_day() -> None:
    assert refusal(plain(region="eu-west-1")).message == "Credential should be scoped to a valid region. "
    assert refusal(plain(service="sts")).message == "Credential should be scoped to correct service: 'ecs'. "
    both = refusal(plain(region="eu-west-1", service="sts"))
    assert both.message == (
        "Credential should be scoped to a valid region. Credential should be scoped to correct service: 'ecs'. "
    )
    request = plain()
    day = stamp_of(NOW)[:8]
    value = dict(request.headers)[b"authorization"].replace(day.encode(), b"20150829")
    found = refusal(with_header(request, b"authorization", value))
    assert found.problem is Problem.SCOPE
    assert found.message == (
        f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        f"'20150829' != '{day}', from '{stamp_of(NOW)}'."
    )


def test_nothing_signed() -> None:
    found = refusal(with_header(plain(), b"authorization", None))
    assert (found.problem, found.message) == (Problem.MISSING, "Missing Authentication Token")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"AWS4-HMAC-SHA256",
        b"AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
        b"Basic dXNlcjpwYXNz",
        b"AWS4-ECDSA-P256-SHA256 Credential=x, SignedHeaders=host, Signature=00",
        b"\xff\xfe\x00",
        b"AWS4-HMAC-SHA256 " + b"A" * 60_000,
    ],
)
def test_a_malformed_authorization_is_incomplete(value: bytes) -> None:
    found = refusal(with_header(plain(), b"authorization", value))
    assert found.problem is Problem.INCOMPLETE
    assert len(found.message) < 2_000
    found.message.encode()


def test_what_is_missing_is_named() -> None:
    request = with_header(with_header(plain(), b"authorization", b"AWS4-HMAC-SHA256 x"), b"x-amz-date", None)
    assert refusal(request).message == (
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either "
        "a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 x"
    )


@pytest.mark.parametrize("date", [b"", b"20261399T000000Z", b"yesterday", b"2026-11-21T00:00:00Z", b"\xff"])
def test_a_date_that_is_none(date: bytes) -> None:
    found = refusal(with_header(plain(), b"x-amz-date", date))
    assert found.problem is Problem.INCOMPLETE
    assert found.message.startswith("Date must be in ISO-8601 'basic format'. Got '")


@pytest.mark.parametrize("name", [b"host", b"x-amz-target", b"x-amz-date"])
def test_what_decides_the_meaning_must_be_signed(name: bytes) -> None:
    request = plain()
    value = dict(request.headers)[b"authorization"].replace(name + b";", b"").replace(b";" + name, b"")
    found = refusal(with_header(request, b"authorization", value))
    assert found.problem is Problem.MISMATCH
    assert "must be a 'SignedHeader' in the AWS Authorization." in found.message


def test_the_key_cache_does_not_outlive_a_secret() -> None:
    judge = verifier()
    secret = {"k": SECRET}
    assert judge.verify(plain(key="k"), "ecs", NOW, lambda name, _token: secret.get(name)) == "k"
    secret["k"] = "rotated"
    with pytest.raises(SignatureRefused):
        judge.verify(plain(key="k"), "ecs", NOW, lambda name, _token: secret.get(name))
    assert judge.verify(plain(key="k", secret="rotated"), "ecs", NOW, lambda name, _token: secret.get(name)) == "k"


def test_a_date_header_instead_of_amz_date() -> None:
    request = SignedRequest(
        method="POST",
        path=b"/",
        query=b"",
        headers=[*json_headers("ecs", "RunTask"), (b"date", b"Sat, 21 Nov 2026 23:18:28 GMT")],
        body=b"",
    )
    moment = datetime.datetime(2026, 11, 21, 23, 18, 28, tzinfo=datetime.UTC).timestamp()
    headers = signed(request, key=KEY, secret=SECRET, region=REGION, service="ecs", now=moment)
    # The signer adds X-Amz-Date; with only Date the string to sign is made from that.
    without = replace(request, headers=[pair for pair in headers if pair[0] != b"x-amz-date"])
    assert refusal(without, now=moment).problem is Problem.MISMATCH
    assert refusal(without, now=moment + 400).problem is Problem.EXPIRED
