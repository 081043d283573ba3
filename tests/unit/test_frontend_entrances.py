"""What is let in through a VPC endpoint: container tools, executed commands or operations, by its service."""

import asyncio
from typing import Any, cast

import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.asgi_types import ENDPOINT, VIA
from neargate.frontend.errors import Fault, RequestRefused, Response
from neargate.frontend.network.endpoint_services import SERVICES, base_name, private_names, service_of
from neargate.frontend.network.entrances import Via
from neargate.iam.document import compile_policy
from neargate.iam.policy import PolicyKind
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

GONE = "vpce-gone"
FULL = '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'


class Front:
    """Knows an endpoint of each service, by the service's name, and none that is gone."""

    async def handle(self, *_: Any) -> Response:
        return Response(status=200, headers=(), body=b"operations")

    def via(self, endpoint: str) -> Via | None:
        if not endpoint:
            return None
        if endpoint == GONE:
            raise RequestRefused(Fault(code="x", status=403, message="x"))
        policy = compile_policy(FULL, kind=PolicyKind.RESOURCE)
        return Via(endpoint_id=endpoint, account="1", vpc_id="vpc-1", service=SERVICES[endpoint], policy=policy)


async def images(scope: Any, _receive: Any, send: Any) -> None:
    via = scope[VIA]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"images " + (via.endpoint_id.encode() if via else b"")})


async def terminals(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


def sent(endpoint: str, **scope: Any) -> list[Any]:
    app = AsgiApp(
        frontend=cast(FrontEnd, Front()), world=OsWorld(), knobs=Knobs(), images=images, data_channels=terminals
    )
    found: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        found.append(message)

    http = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "state": {ENDPOINT: endpoint},
    }
    asyncio.run(app(http | scope, receive, send))
    return found


@pytest.mark.parametrize(
    ("endpoint", "status", "body"),
    [
        ("", 200, b"images "),
        ("ecr.dkr", 200, b"images ecr.dkr"),
        ("ecr.api", 404, b"404 page not found\n"),
        ("ecs", 404, b"404 page not found\n"),
        (GONE, 404, b"404 page not found\n"),
    ],
)
def test_container_tools_come_by_their_own(endpoint: str, status: int, body: bytes) -> None:
    start, content = sent(endpoint, path="/v2/", raw_path=b"/v2/")
    assert (start["status"], content["body"]) == (status, body)


@pytest.mark.parametrize(("endpoint", "accepted"), [("", True), ("ssmmessages", True), ("ssm", False), (GONE, False)])
def test_executed_commands_come_by_their_own(endpoint: str, accepted: bool) -> None:
    [message] = sent(endpoint, type="websocket")
    assert message["type"] == ("websocket.accept" if accepted else "websocket.close")


@pytest.mark.parametrize(
    ("service", "private", "base"),
    [
        ("ecs", ("ecs.eu-west-1.amazonaws.com",), "ecs.eu-west-1.vpce.amazonaws.com"),
        ("ecs-agent", ("ecs-a.eu-west-1.amazonaws.com",), "ecs-agent.eu-west-1.vpce.amazonaws.com"),
        ("ecr.api", ("api.ecr.eu-west-1.amazonaws.com",), "api.ecr.eu-west-1.vpce.amazonaws.com"),
        (
            "ecr.dkr",
            ("dkr.ecr.eu-west-1.amazonaws.com", "*.dkr.ecr.eu-west-1.amazonaws.com"),
            "dkr.ecr.eu-west-1.vpce.amazonaws.com",
        ),
    ],
)
def test_names_of_services(service: str, private: tuple[str, ...], base: str) -> None:
    name = f"com.amazonaws.eu-west-1.{service}"
    assert service_of(name) == service
    assert private_names(name) == private and base_name(name) == base


@pytest.mark.parametrize(
    "name", ["ecs", "com.amazonaws.eu-west-1.s3", "com.amazon.eu-west-1.ecs", "com.amazonaws.ecs", ""]
)
def test_what_is_no_service_of_the_regions(name: str) -> None:
    assert service_of(name) is None
