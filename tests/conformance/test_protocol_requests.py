"""Whole requests in every protocol through the front end, written and signed by botocore: one service spoken to in
three protocols, rest-json services that share paths, compressed bodies, presigned URLs.
"""

import asyncio
import datetime
import functools
import gzip
import json
import zlib
from typing import Any, cast
from urllib.parse import quote, urlencode

import botocore.auth
import botocore.loaders
import botocore.parsers
import botocore.serialize
import msgspec
import pytest
from botocore.awsrequest import AWSRequest, HeadersDict
from botocore.credentials import Credentials as Keys
from botocore.model import ServiceModel as BotocoreModel

from neargate.frontend.app import FrontEnd
from neargate.frontend.call import Answer, Call, Params
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.errors import Response
from neargate.frontend.routing import TABLES, Tables, tables_of
from neargate.frontend.services import Operation, Services
from neargate.model.errors import AwsError
from neargate.model.knobs import Knobs
from neargate.wire.shapes import Document, Models, ServiceModel
from neargate.world import OsWorld

from .vectors import builder

KEY, SECRET, ACCOUNT, REGION = "AKIAADMINISTRATOR", "the-secret", "123456789012", "us-east-1"
HOST = "127.0.0.1:4566"
NOW = 1_795_300_000.0
# Real models of services that are spoken to otherwise than ours; only these operations of them.
BORROWED = {
    "cloudwatch": ["GetMetricStatistics", "ListMetrics", "PutMetricData"],
    "eks": ["CreateCluster", "DescribeCluster", "ListClusters", "TagResource", "UntagResource"],
    "emr-containers": ["ListTagsForResource", "TagResource"],
}
CBOR, JSON, QUERY, REST = "smithy-rpc-v2-cbor", "json", "query", "rest-json"


class FixedWorld(OsWorld):
    """The real world with a clock that stands."""

    def now(self) -> float:
        return NOW


@functools.cache
def document(service: str) -> dict[str, Any]:
    found: dict[str, Any] = botocore.loaders.Loader().load_service_model(service, "service-2")
    return found


@functools.cache
def models() -> dict[str, ServiceModel]:
    found = {}
    for name, operations in BORROWED.items():
        trimmed = builder().trim(document(name), operations)
        found[name] = ServiceModel(name, msgspec.json.decode(json.dumps(trimmed).encode(), type=Document))
    return found


class Operations:
    """Keeps what reached it and answers what it was told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Params]] = []
        self.answer: dict[str, Any] = {}
        self.raises: AwsError | None = None

    async def __call__(self, call: Call, services: Services, params: Params) -> Any:
        self.calls.append((call, params))
        if self.raises is not None:
            raise self.raises
        return self.answer


class BorrowingFrontEnd(FrontEnd):
    """Without the check that an operation asked for leave: borrowed ones are in no table of actions."""

    async def _run(self, operation: Operation, call: Call, params: Params) -> Answer:
        return await operation(call, self._services, params)


def front_end(operations: Operations, auth: AuthMode = AuthMode.ENFORCE) -> FrontEnd:
    borrowed = tables_of(models().values())
    return BorrowingFrontEnd(
        world=FixedWorld(),
        region=REGION,
        knobs=Knobs(),
        models=Models(models()),
        services=cast(Services, None),
        operations={
            **{name: dict.fromkeys(names, operations) for name, names in BORROWED.items()},
            "ecs": {"ListClusters": operations},
            "sts": {"GetCallerIdentity": operations},
        },
        credentials=Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET),
        auth=auth,
        tables=Tables(
            targets={**TABLES.targets, **borrowed.targets},
            versions={**TABLES.versions, **borrowed.versions},
            json=TABLES.json | borrowed.json,
            cbor=borrowed.cbor,
            rest=borrowed.rest,
            by_name={**TABLES.by_name, **borrowed.by_name},
        ),
    )


def signed_by_botocore(request: Any, service: str, *, expires_s: int | None = None, now: float = NOW) -> Any:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)
    original = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: moment
    keys = Keys(KEY, SECRET)
    try:
        if expires_s is None:
            botocore.auth.SigV4Auth(keys, service, REGION).add_auth(request)
        else:
            botocore.auth.SigV4QueryAuth(keys, service, REGION, expires=expires_s).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = original
    return request.prepare()


def send(front: FrontEnd, prepared: Any) -> Response:
    rest = prepared.url.split("//", 1)[1]
    path, _, query = rest[rest.index("/") :].partition("?")
    headers = [
        (name.encode(), value if isinstance(value, bytes) else str(value).encode())
        for name, value in prepared.headers.items()
    ]
    headers.append((b"Host", HOST.encode()))
    body = prepared.body or b""
    body = body if isinstance(body, bytes) else body.encode()
    return asyncio.run(front.handle(prepared.method, path.encode(), query.encode(), headers, body))


def written(
    service: str, operation: str, params: dict[str, Any], protocol: str, *, compress: bool = False, sign: str = ""
) -> Any:
    """The request that botocore sends, signed."""
    model = BotocoreModel(document(service), service)
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    request = serializer.serialize_to_request(params, model.operation_model(operation))
    body = request["body"]
    data = urlencode(body, doseq=True).encode() if isinstance(body, dict) else body
    headers = dict(request["headers"])
    if compress:
        data = gzip.compress(data)
        headers["Content-Encoding"] = "gzip"
    query = urlencode(request["query_string"], doseq=True, quote_via=quote) if request.get("query_string") else ""
    url = f"http://{HOST}{request['url_path']}{'?' if query else ''}{query}"
    return signed_by_botocore(
        AWSRequest(request["method"], url, headers=headers, data=data), sign or model.signing_name
    )


def read(service: str, operation: str, response: Response, protocol: str) -> dict[str, Any]:
    shape = BotocoreModel(document(service), service).operation_model(operation).output_shape
    headers = HeadersDict({name.decode(): value.decode() for name, value in response.headers})
    given = {"headers": headers, "status_code": response.status, "body": response.body, "context": {}}
    parsed: dict[str, Any] = botocore.parsers.create_parser(protocol).parse(given, shape)
    return parsed


METRICS = {
    "Namespace": "n",
    "MetricData": [
        {"MetricName": "m", "Timestamp": 1_700_000_000.0, "Value": 1.5, "Dimensions": [{"Name": "a", "Value": "b"}]}
    ],
}


@pytest.mark.parametrize("protocol", [CBOR, JSON, QUERY])
@pytest.mark.parametrize("compress", [False, True])
def test_one_service_in_three_protocols(protocol: str, compress: bool) -> None:
    operations = Operations()
    request = written("cloudwatch", "PutMetricData", METRICS, protocol, compress=compress)
    response = send(front_end(operations), request)
    assert response.status == 200, response.body
    assert operations.calls[0][1] == METRICS
    assert operations.calls[0][0].protocol.partition("-1")[0] == protocol


@pytest.mark.parametrize("protocol", [CBOR, JSON, QUERY])
def test_answers_and_errors_in_the_protocol_of_the_request(protocol: str) -> None:
    operations = Operations()
    operations.answer = {"Label": "x", "Datapoints": [{"Timestamp": 1_700_000_000.0, "Sum": 2.5, "Unit": "Count"}]}
    params = {
        "Namespace": "n",
        "MetricName": "m",
        "StartTime": 1_700_000_000.0,
        "EndTime": 1_700_000_060.5,
        "Period": 60,
    }
    request = written("cloudwatch", "GetMetricStatistics", params, protocol)
    front = front_end(operations)
    parsed = read("cloudwatch", "GetMetricStatistics", send(front, request), protocol)
    assert parsed["Datapoints"][0]["Timestamp"].timestamp() == 1_700_000_000.0
    assert (parsed["Label"], parsed["Datapoints"][0]["Sum"]) == ("x", 2.5)
    assert operations.calls[0][1] == params

    class InvalidParameterValue(AwsError):
        code = "InvalidParameterValue"

    operations.raises = InvalidParameterValue("no such <metric>")
    refused = send(front, request)
    error = read("cloudwatch", "GetMetricStatistics", refused, protocol)
    assert (refused.status, error["Error"]["Code"]) == (400, "InvalidParameterValue")
    assert error["Error"]["Message"] == "no such <metric>"
    assert len(error["ResponseMetadata"]["RequestId"]) == 36


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DescribeCluster", {"name": "a"}),
        ("ListClusters", {"maxResults": 5, "nextToken": "a b/c", "include": ["x", "y"]}),
        ("TagResource", {"resourceArn": "arn:aws:eks:us-east-1:123456789012:cluster/a", "tags": {"k": "v"}}),
        ("UntagResource", {"resourceArn": "arn:aws:eks:us-east-1:1:cluster/a", "tagKeys": ["a", "b&c"]}),
        ("CreateCluster", {"name": "a", "roleArn": "r", "resourcesVpcConfig": {"subnetIds": ["s"]}}),
    ],
)
def test_rest_json_by_method_and_path(operation: str, params: dict[str, Any]) -> None:
    operations = Operations()
    operations.answer = {"cluster": {"name": "a", "createdAt": 1_700_000_000.0}}
    response = send(front_end(operations), written("eks", operation, params, REST))
    assert response.status == 200, response.body
    call, got = operations.calls[0]
    assert (call.service, call.operation, got) == ("eks", operation, params)
    parsed = read("eks", operation, response, REST)
    if operation in ("CreateCluster", "DescribeCluster"):
        assert parsed["cluster"]["createdAt"].timestamp() == 1_700_000_000.0


@pytest.mark.parametrize(
    ("service", "arn"),
    [
        ("eks", "arn:aws:eks:us-east-1:123456789012:cluster/a"),
        ("emr-containers", "arn:aws:emr-containers:us-east-1:123456789012:/virtualclusters/abcdefgh"),
    ],
)
def test_of_services_that_share_a_path_the_signed_one_is_meant(service: str, arn: str) -> None:
    operations = Operations()
    request = written(service, "TagResource", {"resourceArn": arn, "tags": {"k": "v"}}, REST)
    response = send(front_end(operations), request)
    assert response.status == 200, response.body
    assert (operations.calls[0][0].service, operations.calls[0][1]["resourceArn"]) == (service, arn)


@pytest.mark.parametrize(
    ("operation", "params", "told"),
    [
        (
            "ListClusters",
            {"maxResults": 101},
            "at 'maxResults' failed to satisfy constraint: Member must have value less",
        ),
        ("ListClusters", {"include": ["x"] * 501}, "SerializationException"),
        ("CreateCluster", {"name": "-", "roleArn": "r", "resourcesVpcConfig": {}}, "at 'name' failed to satisfy"),
        ("CreateCluster", {"name": "a"}, "at 'roleArn' failed to satisfy constraint: Member must not be null"),
        ("UntagResource", {"resourceArn": "a", "tagKeys": ["k" * 129]}, "at 'tagKeys' failed to satisfy constraint"),
    ],
)
def test_parameters_are_checked_wherever_they_stand(operation: str, params: dict[str, Any], told: str) -> None:
    operations = Operations()
    response = send(front_end(operations), written("eks", operation, params, REST))
    assert (response.status, operations.calls) == (400, [])
    assert told in f"{dict(response.headers)[b'x-amzn-errortype'].decode()} {json.loads(response.body)['message']}"


def test_a_rest_json_error_has_its_modelled_status_and_members() -> None:
    class ResourceNotFound(AwsError):
        code = "ResourceNotFoundException"

    operations = Operations()
    operations.raises = ResourceNotFound("No cluster found for name: a.", clusterName="a")
    response = send(front_end(operations), written("eks", "DescribeCluster", {"name": "a"}, REST))
    assert response.status == 404
    assert json.loads(response.body) == {"message": "No cluster found for name: a.", "clusterName": "a"}
    assert read("eks", "DescribeCluster", response, REST)["Error"]["Code"] == "ResourceNotFoundException"


def test_a_wrong_signature_of_a_rest_json_request_is_forbidden() -> None:
    operations = Operations()
    response = send(front_end(operations), written("eks", "DescribeCluster", {"name": "a"}, REST, sign="ecs"))
    assert (response.status, dict(response.headers)[b"x-amzn-errortype"]) == (403, b"InvalidSignatureException")
    assert operations.calls == []


def test_a_service_is_not_spoken_to_in_a_protocol_that_its_model_does_not_list() -> None:
    url = f"http://{HOST}/service/AmazonEC2ContainerServiceV20141113/operation/ListClusters"
    headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    operations = Operations()
    response = send(front_end(operations), signed_by_botocore(AWSRequest("POST", url, headers, b"\xa0"), "ecs"))
    assert (response.status, dict(response.headers)[b"content-type"]) == (404, b"application/cbor")
    assert operations.calls == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_json_is_answered_in_the_version_that_was_spoken(version: str) -> None:
    headers = {
        "Content-Type": f"application/x-amz-json-{version}",
        "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
    }
    operations = Operations()
    for body, status in ((b"{}", 200), (b"[]", 400)):
        request = signed_by_botocore(AWSRequest("POST", f"http://{HOST}/", dict(headers), body), "ecs")
        response = send(front_end(operations), request)
        assert response.status == status
        assert dict(response.headers)[b"content-type"].decode() == f"application/x-amz-json-{version}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not gzip", 400, "SerializationException"),
        (gzip.compress(b"{}")[:-4], 400, "SerializationException"),
        (gzip.compress(b"{}") * 2, 400, "SerializationException"),
        (zlib.compress(b"{}"), 400, "SerializationException"),
        (gzip.compress(b" " * 2_000_000 + b"{}"), 413, "RequestEntityTooLargeException"),
    ],
    ids=["plain", "cut-off", "two-members", "zlib", "too-much"],  # of bytes they would say when they were compressed
)
def test_compressed_bodies_that_are_not_or_are_too_much(body: bytes, status: int, code: str) -> None:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
        "Content-Encoding": "gzip",
    }
    operations = Operations()
    request = signed_by_botocore(AWSRequest("POST", f"http://{HOST}/", headers, body), "ecs")
    response = send(front_end(operations), request)
    assert (response.status, json.loads(response.body)["__type"]) == (status, code)
    assert operations.calls == []


def test_what_nobody_signed_is_not_inflated() -> None:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters",
        "Content-Encoding": "gzip",
    }
    request = AWSRequest("POST", f"http://{HOST}/", headers, b"not gzip").prepare()
    response = send(front_end(Operations()), request)
    assert json.loads(response.body)["__type"] == "MissingAuthenticationTokenException"


IDENTITY = f"http://{HOST}/?Action=GetCallerIdentity&Version=2011-06-15"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_presigned_url_calls_its_operation(method: str) -> None:
    operations = Operations()
    response = send(front_end(operations), signed_by_botocore(AWSRequest(method, IDENTITY), "sts", expires_s=60))
    assert response.status == 200, response.body
    assert operations.calls[0][0].operation == "GetCallerIdentity"


def test_a_presigned_rest_json_url_has_its_own_parameters_only() -> None:
    operations = Operations()
    request = AWSRequest("GET", f"http://{HOST}/clusters?maxResults=3")
    response = send(front_end(operations), signed_by_botocore(request, "eks", expires_s=60))
    assert (response.status, operations.calls[0][1]) == (200, {"maxResults": 3})


def test_a_presigned_url_of_any_key_is_the_administrators_in_open_mode() -> None:
    operations = Operations()
    request = signed_by_botocore(AWSRequest("GET", IDENTITY), "sts", expires_s=60)
    assert send(front_end(operations, AuthMode.OPEN), request).status == 200
    assert operations.calls[0][0].principal.access_key_id == KEY
    unsigned = AWSRequest("GET", IDENTITY).prepare()
    assert send(front_end(operations, AuthMode.OPEN), unsigned).status == 403
