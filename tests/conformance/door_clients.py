"""boto3 before a front end in this process: nothing listens.

`Door`: as anybody before a whole region in memory (`testing.front_door`), every answer also held to the service's
model: no member that AWS's has not.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar, cast

import boto3
import msgspec
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.frontend.app import FrontEnd
from neargate.testing.front_door import MODELS, REGION, ROOT, FrontDoor, Keys, open_front_door
from neargate.wire.shapes import ServiceModel, Shape

T = TypeVar("T")


ENDPOINT = "http://127.0.0.1:4566"
LACKING = {"DnsConfig": {"DnsRecords"}, "SOA": {"TTL"}}  # what AWS leaves out against its model: of HTTP namespaces
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Raw:
    """What botocore reads an answer's body from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


def sender(run: Run, frontend: FrontEnd, *, peer: str = "", check: ServiceModel | None = None) -> Callable[..., Any]:
    """What botocore is to call before it sends: `frontend` answers instead.

    `check`: answers are held to this JSON service's model. `peer`: the address that calls come from.
    """

    def send(request: Any, **_: Any) -> Any:
        path, _, query = request.url.removeprefix(ENDPOINT).partition("?")
        pairs = ((name.encode(), value) for name, value in request.headers.items())
        headers = [(name, value if isinstance(value, bytes) else str(value).encode()) for name, value in pairs]
        headers.append((b"host", b"127.0.0.1:4566"))
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        path_and_query = path.encode() or b"/", query.encode()
        answer = run(frontend.handle(request.method, *path_and_query, headers, body, peer))
        if check is not None and answer.status == 200:
            check_answer(check, dict(headers)[b"X-Amz-Target"].decode().rpartition(".")[2], answer.body)
        answered = cast(Any, {name.decode(): value.decode() for name, value in answer.headers})
        return AWSResponse(request.url, answer.status, answered, cast(Any, Raw(answer.body)))

    return send


def boto(service: str, keys: Keys, send: Callable[..., Any], **config: Any) -> Any:
    """boto3 that signs with these keys, once per call."""
    make: Any = boto3.client
    client = make(
        service,
        region_name=REGION,
        endpoint_url=ENDPOINT,
        aws_access_key_id=keys.key,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )
    client.meta.events.register(f"before-send.{service}", send)
    return client


class Door:
    """One region, and boto3 as whoever holds some keys."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.door: FrontDoor = runner.run(open_front_door())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def user(self, name: str, *statements: Mapping[str, Any], **more: Any) -> Keys:
        """A new user with one inline policy of these statements."""
        documents = [{"Version": "2012-10-17", "Statement": list(statements)}] if statements else []
        return self.run(self.door.user(name, *documents, **more))

    def client(self, service: str, keys: Keys = ROOT) -> Any:
        send = sender(self.run, self.door.region.frontend, peer="192.0.2.7", check=MODELS.service(service))
        return boto(service, keys, send, parameter_validation=False)


def check_answer(model: ServiceModel, operation: str, body: bytes) -> None:
    described = model.operation(operation)
    assert described is not None
    value = msgspec.json.decode(body) if body else None
    if described.output is None:
        assert value in (None, {})
        return
    _check(model, model.shape(described.output), value)


def _check(model: ServiceModel, shape: Shape, value: Any) -> None:
    if shape.type == "structure":
        assert value.keys() <= shape.members.keys(), f"{shape.name} has no {value.keys() - shape.members.keys()}"
        lacking = shape.required - value.keys() - LACKING.get(shape.name, set())
        assert not lacking, f"{shape.name} lacks {lacking}"
        for name, item in value.items():
            _check(model, model.shape(shape.members[name].shape), item)
    elif shape.type == "list" and shape.element is not None:
        for item in value:
            _check(model, model.shape(shape.element.shape), item)


def allow(*actions: str, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return found | ({"Condition": condition} if condition else {})


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def refused(call: Any, **params: Any) -> tuple[str, str]:
    """The error's code and its sentence."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]
