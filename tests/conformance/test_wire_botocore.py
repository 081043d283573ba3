"""Our codecs against botocore's: it writes each request and reads each answer of every operation in the models."""

import datetime
import functools
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest

from neargate.frontend.errors import Fault, fault_response
from neargate.frontend.protocols import Protocols
from neargate.testing.examples import minimal, whole
from neargate.wire.shapes import SERVICES, Models, ServiceModel

MODELS = Models()
PROTOCOLS = Protocols(MODELS)
OPERATIONS = [(service, name) for service in SERVICES for name in sorted(MODELS.service(service).operation_names)]

STREAMED = {("logs", "StartLiveTail")}  # boto3 reads its events in test_logs_clients.py


@functools.cache
def botocore_model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def sent(service: str, operation: str, params: dict[str, Any]) -> bytes:
    """The body that botocore would send."""
    model = botocore_model(service)
    serializer = botocore.serialize.create_serializer(model.resolved_protocol, include_validation=False)
    body = serializer.serialize_to_request(params, model.operation_model(operation))["body"]
    return urlencode(body, doseq=True).encode() if isinstance(body, dict) else body


def received(service: str, operation: str, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    model = botocore_model(service)
    parser = botocore.parsers.create_parser(model.resolved_protocol)
    response = {"headers": headers, "status_code": status, "body": body, "context": {"operation_name": operation}}
    parsed: dict[str, Any] = parser.parse(response, model.operation_model(operation).output_shape)
    return parsed


def plain(value: Any) -> Any:
    """botocore's datetimes as epoch floats."""
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def input_of(model: ServiceModel, operation: str) -> Any:
    described = model.operation(operation)
    assert described is not None
    return None if described.input is None else model.shape(described.input)


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_reads_what_botocore_sends(service: str, operation: str) -> None:
    model = MODELS.service(service)
    shape = input_of(model, operation)
    codec = PROTOCOLS.codec(service, operation)
    assert codec is not None
    if shape is None:
        assert codec.parse(sent(service, operation, {})) == {}
        return
    for params in (minimal(model, shape), whole(model, shape, random.Random(operation))):
        assert codec.parse(sent(service, operation, params)) == params


@pytest.mark.parametrize(("service", "operation"), [pair for pair in OPERATIONS if pair not in STREAMED])
def test_botocore_reads_our_answers(service: str, operation: str) -> None:
    model = MODELS.service(service)
    described = model.operation(operation)
    codec = PROTOCOLS.codec(service, operation)
    assert described is not None and codec is not None
    answer = {} if described.output is None else whole(model, model.shape(described.output), random.Random(operation))
    response = codec.respond(answer, "the-request-id")
    headers = {name.decode(): value.decode() for name, value in response.headers}
    parsed = received(service, operation, response.status, headers, response.body)
    metadata = parsed.pop("ResponseMetadata")
    assert plain(parsed) == answer
    assert metadata["HTTPStatusCode"] == 200
    assert metadata.get("RequestId", metadata["HTTPHeaders"]["x-amzn-requestid"]) == "the-request-id"


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_botocore_reads_our_errors(service: str, operation: str) -> None:
    protocol = MODELS.service(service).metadata.protocol
    described = MODELS.service(service).operation(operation)
    assert described is not None
    for code, error in described.errors.items():
        fault = Fault(code=code, status=error.status, message="why <it> & how\x00")
        response = fault_response(fault, protocol, "the-request-id")
        headers = {name.decode(): value.decode() for name, value in response.headers}
        parsed = received(service, operation, response.status, headers, response.body)
        assert parsed["Error"]["Code"] == code
        assert parsed["Error"]["Message"].startswith("why <it> & how")
        assert parsed["ResponseMetadata"]["HTTPStatusCode"] == error.status
        assert parsed["ResponseMetadata"]["RequestId"] == "the-request-id"


def test_the_models_are_botocores() -> None:
    """Counts that a reader can compare with AWS's own: all of ECS is there."""
    assert len(MODELS.service("ecs").operation_names) == 88
    for service in SERVICES:
        theirs = botocore_model(service)
        for name in MODELS.service(service).operation_names:
            ours = input_of(MODELS.service(service), name)
            members = theirs.operation_model(name).input_shape.members if ours is not None else {}
            assert (set() if ours is None else set(ours.members)) == set(members)


def test_the_cache_is_what_the_pinned_botocore_gives() -> None:
    script = Path(__file__).parents[2] / "scripts" / "build-models"
    checked = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_a_json_answer_with_modelled_members_of_an_error() -> None:
    fault = Fault(code="ConflictException", status=400, message="again", fields={"resourceIds": ["a"]})
    response = fault_response(fault, "json", "id")
    assert json.loads(response.body) == {"__type": "ConflictException", "message": "again", "resourceIds": ["a"]}
