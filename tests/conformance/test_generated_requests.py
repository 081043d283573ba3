"""Requests made from the models, against every operation there is: right ones, and each member wrong in every way.

Whatever comes, the answer is a success or a 4xx in the caller's protocol, and the region's registries are as before
when it was refused.
"""

import asyncio
import functools
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import botocore.serialize
import botocore.session
import msgspec
import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.call import Answer, Call, Params, RawBody
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.errors import Response
from neargate.frontend.operations.table import OPERATIONS
from neargate.frontend.services import Operation, Services
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.examples import minimal, whole
from neargate.testing.region import Region, open_region
from neargate.testing.signing import form_headers, json_headers
from neargate.wire.shapes import Models, ServiceModel, Shape
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
MODELS = Models()
SWEPT = [(service, name) for service in sorted(OPERATIONS) for name in sorted(OPERATIONS[service])]
# Of these at least the smallest request succeeds here: the sweep reaches behind the checks of parameters.
# Of EC2 what is described as a whole; not what names a VPC that has to be there, or what AWS has given up.
NOT_AS_A_WHOLE = {"DescribeVpcAttribute", "DescribeVpcClassicLink", "DescribeVpcClassicLinkDnsSupport"} | {
    *("DescribeSecurityGroupReferences", "DescribeStaleSecurityGroups"),
    "DescribeNetworkInterfaceAttribute",
}
DESCRIBED = {pair for pair in SWEPT if pair[0] == "ec2" and pair[1].startswith("Describe")}
ANSWERED = {pair for pair in DESCRIBED if pair[1] not in NOT_AS_A_WHOLE} | {
    ("sts", "GetCallerIdentity"),
    ("ecs", "ListTaskDefinitions"),
    ("ecs", "ListTaskDefinitionFamilies"),
}
WRONG_JSON: list[Any] = [
    None,
    True,
    -1,
    0,
    2**31,
    1.5,
    "",
    " ",
    "\x00",
    "ü" * 300,
    "x" * 65_536,
    [],
    [None],
    {},
    {"a": []},
]
WRONG_TEXT = ["", "\x00", "-1", "2147483648", "x" * 65_536, "ü", "true", "../..", "${jndi:x}", "1e999"]


@functools.cache
def serializer(service: str) -> tuple[Any, Any]:
    model = botocore.session.get_session().get_service_model(service)
    return model, botocore.serialize.create_serializer(model.resolved_protocol, include_validation=False)


def bodies(service: str, operation: str) -> Iterator[bytes]:
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None
    theirs, writer = serializer(service)
    shape = None if described.input is None else model.shape(described.input)
    requests = (
        [{}] if shape is None else [minimal(model, shape), *(whole(model, shape, random.Random(n)) for n in (1, 2))]
    )
    for params in requests:
        body = writer.serialize_to_request(params, theirs.operation_model(operation))["body"]
        if isinstance(body, dict):
            yield from wrong_forms(urlencode(body))
        else:
            yield body
            if shape is not None:
                yield from wrong_documents(shape, params)


def wrong_documents(shape: Shape, params: dict[str, Any]) -> Iterator[bytes]:
    for name in shape.members:
        yield msgspec.json.encode({key: value for key, value in params.items() if key != name})
        for value in WRONG_JSON:
            yield msgspec.json.encode({**params, name: value})
    encoded = msgspec.json.encode(params)
    for end in range(0, len(encoded), max(1, len(encoded) // 7)):
        yield encoded[:end]


def wrong_forms(form: str) -> Iterator[bytes]:
    yield form.encode()
    pairs = parse_qsl(form, keep_blank_values=True)
    for place, (name, _) in enumerate(pairs):
        if name in ("Action", "Version"):
            continue
        yield urlencode(pairs[:place] + pairs[place + 1 :]).encode()
        for value in WRONG_TEXT:
            yield urlencode([*pairs[:place], (name, value), *pairs[place + 1 :]]).encode()
        yield urlencode([*pairs, (f"{name}.1.Deeper", "x")]).encode()
    yield form.encode()[: len(form) // 2] + b"%f"


def strangers(model: ServiceModel, shape: Shape, value: Any, path: str = "") -> list[str]:
    """Members of an answer that the model does not have: a client would never see them, or choke on them."""
    if shape.type == "structure":
        unknown = [f"{path}.{name}" for name in value if name not in shape.members]
        known = [(name, shape.members[name]) for name in value if name in shape.members and value[name] is not None]
        return unknown + [
            found
            for name, member in known
            for found in strangers(model, model.shape(member.shape), value[name], f"{path}.{name}")
        ]
    if shape.type == "list":
        assert shape.element is not None
        inner = model.shape(shape.element.shape)
        return [found for item in value for found in strangers(model, inner, item, f"{path}[]")]
    return []


def watched(service: str, operation: str) -> dict[str, dict[str, Operation]]:
    """The operation alone, its answers held against the model."""
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None
    output = described.output

    async def run(call: Call, services: Services, params: Params) -> Answer:
        answer = await OPERATIONS[service][operation](call, services, params)
        document = json.loads(answer) if isinstance(answer, RawBody) else answer
        found = [] if output is None else strangers(model, model.shape(output), document)
        assert not found, found
        return answer

    return {service: {operation: run}}


def front_end(region: Region, operations: dict[str, dict[str, Operation]]) -> FrontEnd:
    return FrontEnd(
        world=region.services.world,
        region=REGION,
        knobs=DEFAULT_KNOBS,
        models=MODELS,
        services=region.services,
        operations=operations,
        credentials=Credentials(account=ACCOUNT, access_key_id="k", secret_access_key="s"),
        auth=AuthMode.OPEN,
    )


def check_modelled(service: str, response: Response) -> None:
    protocol = MODELS.service(service).metadata.protocol
    if protocol == "json":
        document = json.loads(response.body)
        assert document["__type"] and document["message"]
        assert dict(response.headers)[b"x-amzn-errortype"].decode() == document["__type"]
    else:
        root = b"<Response>" if protocol == "ec2" else b"<ErrorResponse "
        assert root in response.body
        assert b"<Code></Code>" not in response.body


@pytest.mark.parametrize(("service", "operation"), SWEPT)
def test_every_answer_is_a_success_or_a_modelled_refusal(service: str, operation: str) -> None:
    protocol = MODELS.service(service).metadata.protocol
    headers = json_headers(service, operation) if protocol == "json" else form_headers()
    scope = f"AWS4-HMAC-SHA256 Credential=k/20261121/{REGION}/{service}/aws4_request"
    headers = [*headers, (b"authorization", scope.encode())]

    async def story() -> None:
        region = await open_region(OsWorld(), region=REGION, account=ACCOUNT)
        answered = 0
        front = front_end(region, watched(service, operation))
        for body in bodies(service, operation):
            before = len(region.effects.writes)
            response = await front.handle("POST", b"/", b"", headers, body)
            assert response.status < 500, (body[:300], response.body)
            if response.status == 200:
                answered += 1
            else:
                assert response.status >= 400
                check_modelled(service, response)
                assert len(response.body) < 10_000
                assert len(region.effects.writes) == before, (body[:300], response.body)
        if (service, operation) in ANSWERED:
            assert answered

    asyncio.run(story())
