"""The front end at its seam: whatever the bytes are, the answer is AWS's; only what is allowed reaches an operation."""

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.frontend.app import FrontEnd
from neargate.frontend.authorize import authorize
from neargate.frontend.call import Call, Params, RawBody
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials, CredentialsUnreadable
from neargate.frontend.errors import Response
from neargate.frontend.operations.sts.table import OPERATIONS as STS
from neargate.frontend.routing import TABLES, tables_of
from neargate.frontend.services import Services
from neargate.interfaces.store import Overloaded
from neargate.model.errors import AccessDenied, ClusterNotFound, Conflict, ServiceUnavailable
from neargate.model.knobs import Knobs
from neargate.testing.signing import form_headers, json_headers, signed
from neargate.wire.shapes import SERVICES, Models
from neargate.wire.sigv4 import SignedRequest
from neargate.world import OsWorld

KEY, SECRET, ACCOUNT, REGION = "AKIAADMINISTRATOR", "the-secret", "123456789012", "us-east-1"
MODELS = Models()
Headers = list[tuple[bytes, bytes]]


class Recorder:
    """Operations that say what reached them."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Params]] = []
        self.raises: Exception | None = None
        self.answer: Any = {"clusterArns": []}
        self.asks = True

    async def operation(self, call: Call, services: Services, params: Params) -> Any:
        self.calls.append((call, params))
        if self.asks:
            authorize(call, f"{call.service}:{call.operation}", ["*"])
        if self.raises is not None:
            raise self.raises
        return self.answer

    def table(self) -> dict[str, Any]:
        return {
            "ecs": {"ListClusters": self.operation, "RunTask": self.operation},
            "ec2": {"DescribeVpcs": self.operation},
            "sts": STS,
        }


class FixedWorld(OsWorld):
    """The real world with a clock that stands."""

    def now(self) -> float:
        return 1_795_300_000.0


def front_end(recorder: Recorder, mode: AuthMode = AuthMode.ENFORCE, **knobs: Any) -> FrontEnd:
    return FrontEnd(
        world=FixedWorld(),
        region=REGION,
        knobs=Knobs(**knobs),
        models=MODELS,
        services=cast(Services, None),
        operations=recorder.table(),
        credentials=Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET),
        auth=mode,
        known_hosts=frozenset({"neargate.internal"}),
    )


def send(
    front: FrontEnd,
    headers: Headers,
    body: bytes = b"{}",
    *,
    method: str = "POST",
    path: bytes = b"/",
    query: bytes = b"",
    service: str | None = "ecs",
    key: str = KEY,
    secret: str = SECRET,
) -> Response:
    """Signed for `service`, or unsigned when it is None."""
    if service is not None:
        request = SignedRequest(method=method, path=path, query=query, headers=headers, body=body)
        headers = signed(request, key=key, secret=secret, region=REGION, service=service, now=FixedWorld().now())
    return asyncio.run(front.handle(method, path, query, headers, body))


def error_of(response: Response) -> tuple[int, str, str]:
    document = json.loads(response.body)
    assert dict(response.headers)[b"x-amzn-errortype"].decode() == document["__type"]
    return response.status, document["__type"], document["message"]


def xml_error_of(response: Response) -> tuple[int, str, str]:
    text = response.body.decode()
    return (
        response.status,
        text.partition("<Code>")[2].partition("</Code>")[0],
        text.partition("<Message>")[2].partition("</Message>")[0],
    )


def form(action: str, version: str = "2016-11-15", rest: str = "") -> bytes:
    return f"Action={action}&Version={version}{rest}".encode()


def test_a_signed_call_reaches_its_operation() -> None:
    recorder = Recorder()
    response = send(front_end(recorder), json_headers("ecs", "ListClusters"), b'{"maxResults":5}')
    assert (response.status, response.body) == (200, b'{"clusterArns":[]}')
    headers = dict(response.headers)
    call, params = recorder.calls[0]
    assert headers[b"content-type"] == b"application/x-amz-json-1.1"
    assert headers[b"x-amzn-requestid"].decode() == call.request_id
    assert params == {"maxResults": 5}
    assert (call.service, call.operation, call.protocol, call.region) == ("ecs", "ListClusters", "json", REGION)
    assert call.principal.is_administrator and call.account == ACCOUNT and call.principal.access_key_id == KEY


def test_a_document_in_wire_form_is_passed_through() -> None:
    recorder = Recorder()
    recorder.answer = RawBody(b'{"clusterArns":["x"]}')
    assert send(front_end(recorder), json_headers("ecs", "ListClusters")).body == b'{"clusterArns":["x"]}'


def test_who_am_i() -> None:
    response = send(front_end(Recorder()), form_headers(), form("GetCallerIdentity", "2011-06-15"), service="sts")
    assert response.status == 200
    assert b"<Account>123456789012</Account>" in response.body
    assert b"<Arn>arn:aws:iam::123456789012:user/administrator</Arn>" in response.body


def test_a_query_in_the_url() -> None:
    query = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = [(b"host", b"127.0.0.1:4566")]
    response = send(front_end(Recorder()), headers, b"", method="GET", query=query, service="sts")
    assert response.status == 200


def test_an_old_version_is_routed_by_the_signed_service() -> None:
    recorder = Recorder()
    recorder.answer = {"Vpcs": []}
    assert send(front_end(recorder), form_headers(), form("DescribeVpcs", "2014-10-01"), service="ec2").status == 200


@pytest.mark.parametrize(
    ("service", "headers", "body", "expected"),
    [
        ("ecs", json_headers("ecs", "ListClusters"), b"{}", "json"),
        ("sts", form_headers(), form("GetCallerIdentity", "2011-06-15"), "query"),
        ("ec2", form_headers(), form("DescribeVpcs"), "ec2"),
    ],
)
def test_refused_signatures_in_each_protocol(service: str, headers: Headers, body: bytes, expected: str) -> None:
    recorder = Recorder()
    front = front_end(recorder)
    read = error_of if expected == "json" else xml_error_of
    wanted = {
        "json": [
            (400, "MissingAuthenticationTokenException", "Missing Authentication Token"),
            (400, "UnrecognizedClientException", "The security token included in the request is invalid."),
            (400, "InvalidSignatureException", "The request signature we calculated does not match"),
            (400, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecs'. "),
        ],
        "query": [
            (403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
            (403, "InvalidClientTokenId", "The security token included in the request is invalid."),
            (403, "SignatureDoesNotMatch", "The request signature we calculated does not match"),
            (403, "SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'. "),
        ],
        "ec2": [
            (403, "MissingAuthenticationToken", "Request is missing Authentication Token"),
            (401, "AuthFailure", "AWS was not able to validate the provided access credentials"),
            (403, "SignatureDoesNotMatch", "The request signature we calculated does not match"),
            (401, "AuthFailure", "Credential should be scoped to correct service: 'ec2'. "),
        ],
    }[expected]
    found = [
        read(send(front, headers, body, service=None)),
        read(send(front, headers, body, service=service, key="AKIAOTHER")),
        read(send(front, headers, body, service=service, secret="wrong")),
        read(send(front, headers, body, service="iam")),
    ]
    for (status, code, message), got in zip(wanted, found, strict=True):
        assert got[:2] == (status, code)
        assert got[2].startswith(message)
    assert not recorder.calls


@pytest.mark.parametrize("operation", ["DescribeServices", "CreateDaemon", "NoSuchOperation", "A" * 129, "x;y"])
def test_unknown_and_unbuilt_json_operations(operation: str) -> None:
    response = send(front_end(Recorder()), json_headers("ecs", operation))
    status, code, _ = error_of(response)
    assert status == 400
    assert code in {"UnknownOperationException", "UnsupportedFeatureException"}


def test_an_unbuilt_operation_answers_its_modelled_refusal() -> None:
    """ExecuteCommand has no UnsupportedFeatureException in the model, CreateCapacityProvider has."""
    front = front_end(Recorder())
    unsupported = b'{"name":"x"}'
    assert error_of(send(front, json_headers("ecs", "CreateCapacityProvider"), unsupported))[1] == (
        "UnsupportedFeatureException"
    )
    assert error_of(send(front, json_headers("ecs", "ExecuteCommand")))[1] == "UnknownOperationException"


def test_unknown_actions() -> None:
    front = front_end(Recorder())
    assert xml_error_of(send(front, form_headers(), form("RunInstances"), service="ec2")) == (
        400,
        "InvalidAction",
        "The action RunInstances is not valid for this web service.",
    )
    assert xml_error_of(send(front, form_headers(), form("Nope", "2011-06-15"), service="sts")) == (
        400,
        "InvalidAction",
        "Could not find operation Nope for version 2011-06-15",
    )
    assert xml_error_of(send(front, form_headers(), b"Version=2011-06-15", service="sts"))[1] == "MissingAction"
    assert xml_error_of(send(front, form_headers(), form("X", "1999-01-01"), service="iam"))[1] == "InvalidAction"


@pytest.mark.parametrize(
    ("error", "json_answer", "ec2_answer"),
    [
        (ClusterNotFound(), (400, "ClusterNotFoundException"), (400, "ClusterNotFoundException")),
        (AccessDenied("no"), (400, "AccessDeniedException"), (403, "UnauthorizedOperation")),
        (Overloaded(), (400, "ThrottlingException"), (503, "RequestLimitExceeded")),
        (ServiceUnavailable(), (503, "ServiceUnavailableException"), (503, "Unavailable")),
    ],
)
def test_domain_errors_in_both_protocols(
    error: Exception, json_answer: tuple[int, str], ec2_answer: tuple[int, str]
) -> None:
    recorder = Recorder()
    recorder.raises = error
    front = front_end(recorder)
    assert error_of(send(front, json_headers("ecs", "ListClusters")))[:2] == json_answer
    assert xml_error_of(send(front, form_headers(), form("DescribeVpcs"), service="ec2"))[:2] == ec2_answer


def test_members_of_a_modelled_error_are_shown() -> None:
    recorder = Recorder()
    recorder.raises = Conflict("again", resourceIds=["task"])
    response = send(front_end(recorder), json_headers("ecs", "ListClusters"))
    assert json.loads(response.body) == {
        "__type": "ConflictException",
        "message": "again",
        "resourceIds": ["task"],
    }


def test_a_bug_is_the_services_own_error_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    recorder.raises = RuntimeError("secret detail")
    response = send(front_end(recorder), json_headers("ecs", "ListClusters"))
    other = send(front_end(recorder), form_headers(), form("DescribeVpcs"), service="ec2")
    assert error_of(response)[:2] == (500, "ServerException")
    assert xml_error_of(other)[:2] == (500, "InternalError")
    assert b"secret detail" not in response.body + other.body
    assert vars(caplog.records[0])["facts"]["request_id"] == dict(response.headers)[b"x-amzn-requestid"].decode()
    assert caplog.records[0].levelname == "ERROR"


def test_an_operation_that_never_asked_for_leave_is_not_answered(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    recorder.asks = False
    response = send(front_end(recorder), json_headers("ecs", "ListClusters"))
    assert error_of(response)[:2] == (500, "ServerException")
    assert b"clusterArns" not in response.body
    assert vars(caplog.records[0])["event"] == "operation_failed"


def test_health_needs_no_signature() -> None:
    response = send(front_end(Recorder()), [], b"", method="GET", path=b"/_neargate/health", service=None)
    assert response.status == 200
    assert json.loads(response.body)["status"] == "ok"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "\u00e9", ""])
@pytest.mark.parametrize("path", [b"/", b"/_neargate/health", b"/nope", b"/%ff", b"*", b"//", b"/a" * 10_000])
def test_other_methods_and_paths(method: str, path: bytes) -> None:
    assert send(front_end(Recorder()), [], b"", method=method, path=path, service=None).status in (404, 405)


JSON_BODIES = [
    b"",
    b"[]",
    b"\x00",
    b"\xff\xfe",
    b'{"taskDefinition":',
    b'{"taskDefinition":"\xc3\x28"}',
    b'{"taskDefinition":"w","count":1e400}',
    b'{"taskDefinition":"w","count":' + b"9" * 70_000 + b"}",
    b'{"taskDefinition":"w","overrides":' + b'{"a":' * 50_000,
    b"[" * 500_000 + b"]" * 500_000,
    b'{"launchType":"' + b"x" * 65_536 + b'"}',
    b'{"taskDefinition":"w","taskDefinition":3}',
    b'{"taskDefinition":{"toString":1}}',
]


@pytest.mark.parametrize("body", JSON_BODIES, ids=[str(n) for n in range(len(JSON_BODIES))])
def test_hostile_json_is_a_modelled_refusal(body: bytes) -> None:
    recorder = Recorder()
    status, code, message = error_of(send(front_end(recorder), json_headers("ecs", "RunTask"), body))
    assert status == 400
    assert code in {"SerializationException", "InvalidParameterException"}
    assert len(message) < 2_000
    assert not recorder.calls


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        (b"content-type", b"text/plain", 400, "SerializationException"),
        (b"content-type", b"", 400, "SerializationException"),
        (b"content-type", b"application/x-amz-json-1.1" + b";" * 60_000 + b"\n", 400, "SerializationException"),
        (b"x-amz-target", b"Nope.RunTask", 400, "UnknownOperationException"),
        (b"x-amz-target", b"", 400, "UnknownOperationException"),
        (b"x-amz-target", b"\xff" * 1000, 400, "UnknownOperationException"),
        (b"content-encoding", b"br", 415, "UnsupportedMediaTypeException"),
        (b"content-encoding", b"gzip", 400, "SerializationException"),  # the body is not gzip
    ],
)
def test_hostile_headers(name: bytes, value: bytes, status: int, code: str) -> None:
    headers = [pair for pair in json_headers("ecs", "RunTask") if pair[0] != name]
    recorder = Recorder()
    assert error_of(send(front_end(recorder), [*headers, (name, value)]))[:2] == (status, code)
    assert not recorder.calls


def test_too_many_headers_and_too_large_a_body() -> None:
    many = [*json_headers("ecs", "RunTask"), *[(b"x", b"y")] * 200]
    assert send(front_end(Recorder()), many).status == 431
    long = [*json_headers("ecs", "RunTask"), (b"x", b"y" * 65_536)]
    assert send(front_end(Recorder()), long).status == 431
    large = send(front_end(Recorder(), request_json_max_bytes=10), json_headers("ecs", "RunTask"), b" " * 11)
    assert error_of(large)[:2] == (413, "RequestEntityTooLargeException")
    large = send(front_end(Recorder(), request_form_max_bytes=10), form_headers(), form("DescribeVpcs"), service="ec2")
    assert xml_error_of(large)[:2] == (413, "RequestEntityTooLarge")


@settings(max_examples=150, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    path=st.sampled_from([b"/", b"", b"/x"]) | st.binary(max_size=20),
    query=st.sampled_from([b"", b"Action=GetCallerIdentity"]) | st.binary(max_size=40),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"x-amz-target", b"content-type", b"x-amz-date", b"Authorization", b"host", b"origin"]),
            st.sampled_from(
                [b"AmazonEC2ContainerServiceV20141113.RunTask", b"application/x-amz-json-1.1", b"127.0.0.1"]
                + [value for _, value in form_headers()]
            )
            | st.binary(max_size=40),
        ),
        max_size=6,
    ),
    body=st.sampled_from([b"{}", form("DescribeVpcs", rest="&VpcId.1=")]) | st.binary(max_size=80),
    mode=st.sampled_from(AuthMode),
)
def test_no_bytes_make_a_500(
    method: str, path: bytes, query: bytes, headers: Headers, body: bytes, mode: AuthMode
) -> None:
    response = send(front_end(Recorder(), mode), headers, body, method=method, path=path, query=query, service=None)
    assert response.status == 200 or 400 <= response.status < 500


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: form("DescribeVpcs") + b"&" + tail))
def test_no_signed_form_makes_a_500(body: bytes) -> None:
    recorder = Recorder()
    recorder.answer = {"Vpcs": []}
    response = send(front_end(recorder), form_headers(), body, service="ec2")
    assert response.status == 200 or 400 <= response.status < 500


def test_open_mode_takes_any_key_and_no_browser() -> None:
    front = front_end(Recorder(), AuthMode.OPEN)
    headers = json_headers("ecs", "ListClusters", "localhost:4566")
    assert send(front, headers, key="dummy", secret="dummy").status == 200
    assert error_of(send(front, headers, service=None))[1] == "MissingAuthenticationTokenException"
    origin = [*headers, (b"Origin", b"http://evil.example")]
    assert error_of(send(front, origin))[:2] == (403, "AccessDeniedException")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("LOCALHOST:4566", 200),
        ("[::1]:4566", 200),
        ("neargate.internal:4566", 200),
        ("169.254.170.10:4566", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:4566", 403),
        ("localhost:4566@evil.example", 403),
        ("", 403),
    ],
)
def test_open_mode_knows_its_hosts(host: str, status: int) -> None:
    response = send(front_end(Recorder(), AuthMode.OPEN), json_headers("ecs", "ListClusters", host))
    assert response.status == status


def test_enforce_mode_does_not_look_at_the_host() -> None:
    assert send(front_end(Recorder()), json_headers("ecs", "ListClusters", "evil.example")).status == 200


def test_routing_names_the_services_of_the_models() -> None:
    assert tables_of(MODELS.service(name) for name in SERVICES) == TABLES


def test_credentials_are_read_from_the_operators_file(tmp_path: Path) -> None:
    path = tmp_path / "administrator.json"
    path.write_text(json.dumps({"account": ACCOUNT, "access_key_id": KEY, "secret_access_key": SECRET}))
    found = Credentials.load(path)
    assert found.secret_of(KEY, None, 0.0) == SECRET and found.secret_of("other", None, 0.0) is None
    for broken in (
        "",
        "[]",
        '{"account":"1"}',
        json.dumps({"account": "12", "access_key_id": KEY, "secret_access_key": "x"}),
    ):
        path.write_text(broken)
        with pytest.raises(CredentialsUnreadable, match="administrator"):
            Credentials.load(path)
    path.write_bytes(b'{"account":"%b","access_key_id":"k","secret_access_key":"hunter2\xff"}' % ACCOUNT.encode())
    with pytest.raises(CredentialsUnreadable, match="UnicodeDecodeError") as refused:
        Credentials.load(path)
    assert "hunter2" not in repr(refused.value)
    with pytest.raises(CredentialsUnreadable):
        Credentials.load(tmp_path / "absent.json")
