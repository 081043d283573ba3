"""Requests with pieces cut, repeated, swapped and forged, in every protocol, against the front end and its port.

    python -m tests.conformance.fuzz     without end, with new seeds; `make soak` runs it

A 5xx, an exception that nobody handled, or a connection that is neither answered nor closed is a failure.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from neargate.frontend.app import FrontEnd
from neargate.frontend.call import Answer, Call, Params
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.errors import Response
from neargate.frontend.operations.table import OPERATIONS
from neargate.frontend.routing import TABLES, VERSIONS, tables_of
from neargate.frontend.services import Services
from neargate.model.errors import UnsupportedFeature
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import RegionPlan, open_region
from neargate.store.sqlite import MemoryStores
from neargate.testing.examples import minimal
from neargate.testing.registry import RunningRegistry
from neargate.testing.signing import JSON_TARGETS
from neargate.wire import cbor
from neargate.wire.shapes import Document, Models, ServiceModel
from neargate.world import OsWorld

from . import generated
from .served import listening
from .vectors import builder

ACCOUNT, REGION = "123456789012", "us-east-1"
MODELS = Models()
KEYS = Credentials(account=ACCOUNT, access_key_id="k", secret_access_key="s")
ANSWER_S = 10.0  # a bound on waiting, not a measurement
KNOBS = structs.replace(
    DEFAULT_KNOBS, request_read_timeout_s=0.1, request_head_max_bytes=8_192, request_body_max_bytes=200_000
)
TOKENS = [
    *(
        b"",
        b"\x00",
        b"\r\n",
        b"\r\n\r\n",
        b"\xff\xfe",
        b"\xc3",
        b"%",
        b"%00",
        b"%zz",
        b"&",
        b"=",
        b"..",
        b"/",
        b"//",
        b"?",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b'"',
        b"\\ud800",
        b'{"a":' * 200,
        b"[" * 3000,
        b"1e999",
        b"-0",
        b"99999999999999999999",
        b"null",
    ),
    *(
        b".1.1.1",
        b".member.999999",
        b"Tags.1=",
        b"&Action=x",
        b"NaN",
        b"\x9f\x9f\x9f",
        b"\xbf\xff\xff",
        b"\x1b" + b"\xff" * 8,
    ),
    *(
        b"content-length: 5\r\n",
        b"transfer-encoding: chunked\r\n",
        b"expect: 100-continue\r\n",
        b"content-encoding: gzip\r\n",
    ),
    *(b"upgrade: websocket\r\n", b"HTTP/1.0", b"HTTP/2.0", b"X-Amz-Security-Token=a&", b"x" * 9000),
]
# A service for rest-json, which none of the region's speaks.
REST_DOCUMENT: dict[str, Any] = {
    "metadata": {"apiVersion": "2020-01-01", "endpointPrefix": "things", "protocol": "rest-json", "uid": "things"},
    "operations": {
        "PutThing": {
            "name": "PutThing",
            "http": {"method": "PUT", "requestUri": "/v1/things/{Name}/{Path+}?put"},
            "input": {"shape": "In"},
            "errors": [],
        }
    },
    "shapes": {
        "In": {
            "type": "structure",
            "required": ["Name", "Path"],
            "members": {
                "Name": {"shape": "Text", "location": "uri", "locationName": "Name"},
                "Path": {"shape": "Text", "location": "uri", "locationName": "Path"},
                "Count": {"shape": "Whole", "location": "querystring", "locationName": "count"},
                "Since": {"shape": "Moment", "location": "querystring", "locationName": "since"},
                "Flag": {"shape": "Truth", "location": "header", "locationName": "x-flag"},
                "Others": {"shape": "Texts", "location": "headers", "locationName": "x-other-"},
                "Inner": {"shape": "Inner"},
            },
        },
        "Inner": {"type": "structure", "members": {"Blob": {"shape": "Blob"}, "Again": {"shape": "Inner"}}},
        "Texts": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
        "Text": {"type": "string", "min": 1, "max": 20, "pattern": "[a-z/]+"},
        "Whole": {"type": "integer", "max": 9},
        "Moment": {"type": "timestamp"},
        "Truth": {"type": "boolean"},
        "Blob": {"type": "blob"},
    },
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sends. `headers` without content-length."""

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def raw(self) -> bytes:
        target = self.path + (b"?" + self.query if self.query else b"")
        lines = [self.method.encode() + b" " + target + b" HTTP/1.1", b"host: 127.0.0.1"]
        lines += [name + b": " + value for name, value in self.headers]
        lines.append(b"content-length: " + str(len(self.body)).encode())
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def seeds() -> list[Request]:
    """The smallest right request of every operation, in each protocol that can say it."""
    found = [
        Request(
            method="PUT",
            path=b"/v1/things/name/a/b",
            query=b"put&count=3&since=2026-11-22T00%3A00%3A00Z",
            headers=(
                authorization("things"),
                (b"x-flag", b"true"),
                (b"x-other-a", b"b"),
                (b"content-type", b"application/json"),
            ),
            body=b'{"Inner":{"Blob":"YQ==","Again":{"Again":{}}}}',
        )
    ]
    for service in sorted(OPERATIONS):
        model = MODELS.service(service)
        for name in sorted(OPERATIONS[service]):
            found += of_operation(model, service, name)
    return found


def authorization(service: str) -> tuple[bytes, bytes]:
    """Of nobody; the region takes any."""
    scope = f"AWS4-HMAC-SHA256 Credential=k/20261121/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=00"
    return b"authorization", scope.encode()


def of_operation(model: ServiceModel, service: str, name: str) -> Iterator[Request]:
    described = model.operation(name)
    assert described is not None
    shape = None if described.input is None else model.shape(described.input)
    params = {} if shape is None else minimal(model, shape)
    signed = authorization(service)
    if service in JSON_TARGETS:
        target = JSON_TARGETS[service]
        body = msgspec.json.encode(generated.jsonable(params))
        for version in (b"1.1", b"1.0"):
            headers = (
                (b"content-type", b"application/x-amz-json-" + version),
                (b"x-amz-target", f"{target}.{name}".encode()),
                signed,
            )
            yield Request(method="POST", path=b"/", query=b"", headers=headers, body=body)
        headers = ((b"content-type", b"application/cbor"), (b"smithy-protocol", b"rpc-v2-cbor"), signed)
        path = f"/service/{target}/operation/{name}".encode()
        yield Request(method="POST", path=path, query=b"", headers=headers, body=cbor.encode(params))
        return
    version = next(version for version, (known, _) in VERSIONS.items() if known == service)
    pairs = generated.form(model, shape, params, model.metadata.protocol)
    form = generated.encoded([("Action", name), ("Version", version), *pairs])
    headers = ((b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"), signed)
    yield Request(method="POST", path=b"/", query=b"", headers=headers, body=form)
    presigned = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"k/20261121/{REGION}/{service}/aws4_request",
        "X-Amz-Date": "20261121T000000Z",
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "00",
    }
    query = form + b"&" + urlencode(presigned).encode()
    yield Request(method="GET", path=b"/", query=query, headers=(), body=b"")


PARTS = ("body", "body", "body", "query", "query", "header", "path", "method")
SEEDS = seeds()
BY_TYPE: dict[bytes, list[Request]] = {}  # each protocol is drawn as often as any other
for _seed in SEEDS:
    BY_TYPE.setdefault(dict(_seed.headers).get(b"content-type", b""), []).append(_seed)
Edit = tuple[str, float, float, bytes]
EDITS: st.SearchStrategy[Edit] = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "repeat", "cut"]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.one_of(st.sampled_from(TOKENS), st.binary(max_size=12)),
)


def edited(data: bytes, edits: list[Edit]) -> bytes:
    for kind, first, second, token in edits:
        start, end = sorted((int(first * len(data)), int(second * len(data))))
        if kind == "insert":
            data = data[:start] + token + data[start:]
        elif kind == "replace":
            data = data[:start] + token + data[start + len(token) :]
        elif kind == "delete":
            data = data[:start] + data[end:]
        elif kind == "repeat":
            data = data[:end] + data[start:end] + data[end:]
        else:
            data = data[:end]
    return data[: 2 * KNOBS.request_body_max_bytes]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A right request with a few of its parts edited."""
    request = draw(st.sampled_from(draw(st.sampled_from(list(BY_TYPE.values())))))
    for part in draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3)):
        edits = draw(st.lists(EDITS, min_size=1, max_size=3))
        if part == "method":
            request = replace(
                request, method=draw(st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"]))
            )
        elif part == "path":
            request = replace(request, path=edited(request.path, edits))
        elif part == "query":
            request = replace(request, query=edited(request.query, edits))
        elif part == "body":
            request = replace(request, body=edited(request.body, edits))
        elif request.headers:
            place = draw(st.integers(0, len(request.headers) - 1))
            name, value = request.headers[place]
            kept = request.headers[:place] + request.headers[place + 1 :]
            changed = draw(st.sampled_from([(), ((name, edited(value, edits)),), ((name, value),) * 2]))
            request = replace(request, headers=kept + changed)
    return request


RAW = st.one_of(
    st.builds(lambda request, edits: edited(request.raw(), edits), requests(), st.lists(EDITS, max_size=3)),
    st.builds(lambda first, second: first.raw() + second.raw(), requests(), requests()),
    st.binary(max_size=200),
)


async def put_thing(call: Call, services: Services, params: Params) -> Answer:
    del call, services, params
    raise UnsupportedFeature("There are no things.")


@contextlib.contextmanager
def keeper() -> Iterator[str]:
    """The socket of a process that keeps images' bytes. Without it a 5xx would be right where a layer is begun."""
    with tempfile.TemporaryDirectory(prefix="ng-") as directory:
        path = os.path.join(directory, "images.sock")
        running = RunningRegistry(directory, socket=path)
        try:
            yield path
        finally:
            running.stop()


async def front_end(images_socket: str = "") -> FrontEnd:
    """A whole region, that also speaks rpc-v2-cbor with its JSON services, and rest-json with one of its own."""
    world = OsWorld()
    zones = (("us-east-1a", "use1-az1"),)
    plan = RegionPlan(
        region=REGION,
        account=ACCOUNT,
        zones=zones,
        public_pool="198.18.0.0/24",
        one_machine=True,
        images_socket=images_socket,
    )
    region = await open_region(
        world,
        MemoryStores(world, KNOBS),
        plan,
        models=MODELS,
        credentials=KEYS,
        envelope=Envelope(bytes(32), world),
        knobs=KNOBS,
    )
    things = ServiceModel("things", msgspec.json.decode(json.dumps(builder().trim(REST_DOCUMENT, None)), type=Document))
    models = Models({**{name: MODELS.service(name) for name in OPERATIONS}, "things": things})
    rest = tables_of([things])
    return FrontEnd(
        world=world,
        region=REGION,
        knobs=KNOBS,
        models=models,
        services=region.services,
        operations={**OPERATIONS, "things": {"PutThing": put_thing}},
        credentials=KEYS,
        auth=AuthMode.OPEN,
        tables=structs.replace(TABLES, cbor=TABLES.json, rest=rest.rest),
    )


class Faults(logging.Handler):
    """What uvicorn logs as an error, and what nobody awaited."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.seen.append(f"{context.get('message')}: {context.get('exception')!r}")


async def answer_to(port: int, raw: bytes) -> bytes:
    """What comes back first; nothing when the connection is closed. Raises TimeoutError when neither happens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(ANSWER_S):
            return await reader.read(65_536)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def check_response(response: Response) -> None:
    assert 200 <= response.status < 500, response
    kind = dict(response.headers).get(b"content-type", b"")
    if response.status >= 400 and b"json" in kind:
        assert isinstance(json.loads(response.body), dict)
    elif response.status >= 400 and b"cbor" in kind:
        assert isinstance(cbor.decode(response.body), dict)
    elif response.status >= 400:
        assert b"<Code>" in response.body


def fuzz_requests(profile: settings) -> None:
    """Requests handed to the front end."""
    with keeper() as images_socket, asyncio.Runner() as runner:
        front = runner.run(front_end(images_socket))

        @profile
        @given(requests())
        def one(request: Request) -> None:
            headers = [(b"host", b"127.0.0.1"), *request.headers]
            check_response(runner.run(front.handle(request.method, request.path, request.query, headers, request.body)))

        one()


def fuzz_bytes(profile: settings) -> None:
    """Bytes sent to the port."""
    faults = Faults()
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(faults)
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        stack.callback(logger.removeHandler, faults)
        runner.get_loop().set_exception_handler(faults.unhandled)
        server = listening(runner.run(front_end()), KNOBS)
        port = runner.run(server.__aenter__())
        stack.callback(lambda: runner.run(server.__aexit__(None, None, None)))

        @profile
        @given(RAW)
        def one(raw: bytes) -> None:
            answer = runner.run(answer_to(port, raw))
            assert not answer or answer[:9] == b"HTTP/1.1 ", answer[:100]
            assert answer[9:10] != b"5", answer[:500]
            assert faults.seen == []

        one()


def seeded(examples: int) -> settings:
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


def main() -> None:
    rounds = 0
    endless = settings(max_examples=2_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    targets: list[Callable[[settings], None]] = [fuzz_requests, fuzz_bytes]
    while True:
        for target in targets:
            target(endless)
        rounds += 1
        sys.stdout.write(f"fuzz: {rounds * 4_000} requests\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
