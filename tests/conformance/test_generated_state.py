"""Every operation, its model broken in one place at a time, in a whole region: a modelled 4xx, and nothing changed.

Left out, outside its enum, beyond its limit, of another type, one too deep, too long, cut off, called something else:
what is not a request of the model never reaches the operation, and no row of any shard differs afterwards.
"""

import asyncio
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.call import Answer, Call, Params
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.errors import Response
from neargate.frontend.operations.table import OPERATIONS
from neargate.frontend.services import Services
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.examples import minimal, whole
from neargate.testing.signing import form_headers, json_headers
from neargate.testing.stored import digest
from neargate.wire.shapes import Models, ServiceModel, Shape
from neargate.world import OsWorld

from . import generated

ACCOUNT, REGION = "123456789012", "us-east-1"
MODELS = Models()
SWEPT = [(service, name) for service in sorted(OPERATIONS) for name in sorted(OPERATIONS[service])]
Headers = list[tuple[bytes, bytes]]
# What any operation of a protocol may say of a request that is none of its model's, besides its own modelled errors.
COMMON = {
    "json": {"SerializationException", "ValidationException", "UnknownOperationException", "RequestEntityTooLarge"},
    "query": {
        "ValidationError",
        "MalformedInput",
        "MalformedQueryString",
        "MissingAction",
        "InvalidAction",
        "RequestEntityTooLarge",
    },
    "ec2": set(),
}
# EC2's model has no errors. These are codes of its documentation's list that a bad request can have.
EC2_CODES = re.compile(
    r"(Missing|Invalid|Malformed|Unknown)[A-Z]\w+(\.Malformed|\.NotFound)?|DryRunOperation|RequestEntityTooLarge"
    r"|NatGatewayMalformed|NatGatewayNotFound|UnsupportedOperation"
)
# What the model does not list and the service answers all the same.
UNLISTED = {
    ("ec2", "CreateDefaultSubnet"): {"DefaultSubnetAlreadyExistsInAvailabilityZone", "UnsupportedOperation"},
    ("ec2", "CreateDefaultVpc"): {"DefaultVpcAlreadyExists"},
    ("ec2", "DescribeVpcClassicLink"): {"UnsupportedOperation"},
    ("ec2", "DescribeVpcClassicLinkDnsSupport"): {"UnsupportedOperation"},
    ("logs", "ListTagsLogGroup"): {"InvalidParameterException"},  # how the service refuses any wrong shape
    ("logs", "UntagLogGroup"): {"InvalidParameterException"},
    ("iam", "GetAccessKeyLastUsed"): {"NoSuchEntity"},  # no error is listed; a key that nobody has is none
    ("sts", "GetSessionToken"): {"AccessDenied"},  # MFA codes are refused as wrong ones are
}


@dataclass(kw_only=True)
class Target:
    """The region, and the one operation under test with a note of whether it was reached."""

    world: OsWorld
    front: FrontEnd
    disk: MemoryDisk
    entered: list[str] = field(default_factory=list)

    def changes(self) -> int:
        """Of all rows in all shards but the record's, ever."""
        return sum(db.total_changes for name, db in self.disk.databases.items() if name != "trail")

    async def state(self) -> str:
        """A digest of them."""
        return await digest(self.world, self.disk, apart_from="trail")


async def opened(service: str, operation: str) -> Target:
    world, disk, knobs = OsWorld(), MemoryDisk(), DEFAULT_KNOBS
    zones = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"))
    plan = RegionPlan(region=REGION, account=ACCOUNT, zones=zones, public_pool="198.18.0.0/24", one_machine=True)
    keys = Credentials(account=ACCOUNT, access_key_id="k", secret_access_key="s")
    stores = MemoryStores(world, knobs, disk)
    region = await open_region(
        world, stores, plan, models=MODELS, credentials=keys, envelope=Envelope(bytes(32), world), knobs=knobs
    )
    entered: list[str] = []

    async def noted(call: Call, services: Services, params: Params) -> Answer:
        entered.append(operation)
        return await OPERATIONS[service][operation](call, services, params)

    # Without limits: a throttled request would be refused for another reason.
    front = FrontEnd(
        world=world,
        region=REGION,
        knobs=knobs,
        models=MODELS,
        services=region.services,
        operations={service: {operation: noted}},
        credentials=keys,
        auth=AuthMode.OPEN,
    )
    return Target(world=world, front=front, disk=disk, entered=entered)


def examples(model: ServiceModel, shape: Shape) -> list[dict[str, Any]]:
    return [minimal(model, shape), whole(model, shape, random.Random(1))]


def body_of(model: ServiceModel, operation: str, shape: Shape | None, params: dict[str, Any]) -> bytes:
    if model.metadata.protocol == "json":
        return msgspec.json.encode(generated.jsonable(params)) if shape is not None else b"{}"
    named = [("Action", operation), ("Version", model.metadata.api_version)]
    return generated.encoded([*named, *generated.form(model, shape, params, model.metadata.protocol)])


def broken(model: ServiceModel, operation: str, shape: Shape) -> Iterator[tuple[str, bytes]]:
    """What must never reach the operation."""
    is_json = model.metadata.protocol == "json"
    seen = set()
    for params in examples(model, shape):
        for fault in generated.faults(model, shape, params, frozenset(["missing", "enum", "limit", "type"])):
            if not is_json and not can_be_written(fault):
                continue
            body = body_of(model, operation, shape, fault.params)
            if body not in seen and len(body) < DEFAULT_KNOBS.request_json_max_bytes:
                seen.add(body)
                yield str(fault), body


def headers_of(service: str, operation: str) -> Headers:
    """Anybody's: `--auth open` wants to see a key all the same."""
    is_json = MODELS.service(service).metadata.protocol == "json"
    scope = f"AWS4-HMAC-SHA256 Credential=k/20261121/{REGION}/{service}/aws4_request"
    return [*(json_headers(service, operation) if is_json else form_headers()), (b"authorization", scope.encode())]


def can_be_written(fault: generated.Fault) -> bool:
    """A form has texts only: an empty list or structure is the same as none, and any text may stand for a text."""
    if fault.kind == "missing":
        return len(fault.path) == 1 or bool(generated.holder(fault.params, fault.path))
    value = generated.holder(fault.params, fault.path)[fault.path[-1]]
    return not isinstance(value, list | dict) or (fault.kind == "limit" and bool(value))


def why_wrong(service: str, operation: str, response: Response) -> str | None:
    """Why the answer is no modelled refusal, or None."""
    if not 400 <= response.status < 500:
        return f"{response.status} {response.body[:300]!r}"
    protocol = MODELS.service(service).metadata.protocol
    if response.body.startswith(b"{"):
        code = json.loads(response.body)["__type"].rpartition("#")[2]
    else:
        found = re.search(rb"<Code>(\w[\w.]*)</Code>", response.body)
        code = "" if found is None else found[1].decode()
    described = MODELS.service(service).operation(operation)
    assert described is not None
    own = {name for error in described.errors.values() for name in (error.code, error.shape)}
    # What names no operation at all is answered in JSON: nobody can tell what else the caller speaks.
    common = COMMON[protocol] | ({"UnknownOperationException"} if response.body.startswith(b"{") else set())
    if protocol == "ec2" and EC2_CODES.fullmatch(code) is not None:
        return None
    return None if code in own | common | UNLISTED.get((service, operation), set()) else f"{code} is not modelled"


def mangled(model: ServiceModel, operation: str, shape: Shape) -> Iterator[tuple[str, Headers, bytes]]:
    """Bytes that may be a request or none: only what is refused must leave no trace, and nothing may be a 5xx."""
    headers = headers_of(model.name, operation)
    is_json = model.metadata.protocol == "json"
    for params in examples(model, shape):
        body = body_of(model, operation, shape, params)
        for end in {0, 1, len(body) // 3, len(body) // 2, len(body) - 2, len(body) - 1}:
            yield f"cut at {end}", headers, body[: max(0, end)]
        for wrong in (b"text/plain", b"application/json", b"application/cbor", b"\xff", b""):
            others = [(name, wrong if name == b"content-type" else value) for name, value in headers]
            yield f"content type {wrong!r}", others, body
        yield "bytes that are no text", headers, body + b"\xff\xfe\x00"
        if is_json:
            yield "an unknown member", headers, msgspec.json.encode({**generated.jsonable(params), "NoSuch": [{}]})
            yield "a list", headers, b"[" + body + b"]"
            yield "twice", headers, body + body
        else:
            yield "an unknown member", headers, body + b"&NoSuch.member.1=x&NoSuch=y"
            yield "twice", headers, body + b"&" + body
        for path, inner, _, _ in generated.places(model, shape, params):
            at = ".".join(map(str, path))
            if inner.type == "string":
                long = generated.replaced(params, path, "x" * generated.LONG)
                yield f"{generated.LONG} bytes at {at}", headers, body_of(model, operation, shape, long)
            if is_json:
                yield f"nested at {at}", headers, nested(params, path)
        if not is_json:
            name = next(iter(shape.members), "A")
            yield "nested", headers, body + b"&" + name.encode() + b".1" * generated.DEEP + b"=x"


def nested(params: dict[str, Any], path: tuple[str | int, ...]) -> bytes:
    mark = "5d1f0c"
    body = msgspec.json.encode(generated.jsonable(generated.replaced(params, path, mark)))
    return body.replace(b'"5d1f0c"', b'{"a":[' * generated.DEEP + b"1" + b"]}" * generated.DEEP)


def input_of(service: str, operation: str) -> tuple[ServiceModel, Shape]:
    model = MODELS.service(service)
    described = model.operation(operation)
    assert described is not None
    if described.input is None:
        pytest.skip("it takes nothing")
    return model, model.shape(described.input)


@pytest.mark.parametrize(("service", "operation"), SWEPT)
def test_what_breaks_the_model_is_refused_and_changes_nothing(service: str, operation: str) -> None:
    model, shape = input_of(service, operation)

    async def story() -> None:
        target = await opened(service, operation)
        before, state = target.changes(), await target.state()
        wrong = []
        for what, body in broken(model, operation, shape):
            response = await target.front.handle("POST", b"/", b"", headers_of(service, operation), body)
            why = why_wrong(service, operation, response)
            if target.entered:
                why = f"reached the operation: {response.status} {response.body[:160]!r}"
                target.entered.clear()
            elif target.changes() != before:
                why = "changed a row"
            if why is not None:
                wrong.append(f"{what}: {why}")
        assert wrong == []
        assert await target.state() == state

    asyncio.run(story())


@pytest.mark.parametrize(("service", "operation"), SWEPT)
def test_mangled_requests_are_answered_and_what_is_refused_changes_nothing(service: str, operation: str) -> None:
    model, shape = input_of(service, operation)

    async def story() -> None:
        target = await opened(service, operation)
        wrong = []
        for what, headers, body in mangled(model, operation, shape):
            before = target.changes()
            response = await target.front.handle("POST", b"/", b"", headers, body)
            if response.status == 200:
                continue
            why = why_wrong(service, operation, response)
            if target.changes() != before:
                why = "changed a row"
            if why is not None:
                wrong.append(f"{what}: {why}")
        assert wrong == []

    asyncio.run(story())


def test_the_judge_says_no() -> None:
    """A right request, and one that changes something, would be found."""

    async def story() -> None:
        target = await opened("ecs", "CreateCluster")
        before, state = target.changes(), await target.state()
        response = await target.front.handle("POST", b"/", b"", headers_of("ecs", "CreateCluster"), b"{}")
        assert why_wrong("ecs", "CreateCluster", response) is not None
        assert target.entered == ["CreateCluster"]
        assert target.changes() != before
        assert await target.state() != state

    asyncio.run(story())


def test_each_kind_of_fault_is_made() -> None:
    model, shape = input_of("ecs", "RunTask")
    kinds = {what.split()[0] for what, _ in broken(model, "RunTask", shape)}
    assert kinds == {"missing", "enum", "limit", "type"}
    model, shape = input_of("iam", "CreateRole")
    assert {"missing", "limit", "type"} <= {what.split()[0] for what, _ in broken(model, "CreateRole", shape)}
