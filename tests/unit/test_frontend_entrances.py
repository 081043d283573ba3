"""What is let in through a VPC endpoint: container tools, executed commands or operations, by its service."""

import asyncio
from typing import Any, cast

import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.asgi_types import ENDPOINT, VIA
from neargate.frontend.errors import Fault, RequestRefused, Response
from neargate.frontend.network.endpoints.changes import POLICY_MAX
from neargate.frontend.network.endpoints.entrances import REMEMBERED_CHARACTERS, Entrances, Via
from neargate.frontend.network.endpoints.services import SERVICES, base_name, private_names, service_of
from neargate.frontend.network.records.objects import VpcEndpoint
from neargate.frontend.regional.shelves import Shelf
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


class Endpoints:
    """One account with one endpoint, whose policy somebody changes."""

    def __init__(self) -> None:
        self._shelf = Shelf("1")

    def accounts(self) -> list[str]:
        return ["1"]

    def shelf(self, account: str) -> Shelf:
        assert account == "1"
        return self._shelf

    def put(self, policy: str) -> None:
        endpoint = VpcEndpoint(
            account="1",
            name="vpce-0123456789abcdef0",
            vpc_id="vpc-1",
            endpoint_type="Interface",
            service_name="com.amazonaws.us-east-1.ecs",
            state="available",
            created_at=1.0,
            policy=policy,
        )
        self._shelf.apply([endpoint], [])


def test_policies_that_are_remembered_are_bounded_by_their_length() -> None:
    endpoints = Endpoints()
    entrances = Entrances(lambda: endpoints)
    for number in range(REMEMBERED_CHARACTERS // POLICY_MAX + 20):
        endpoints.put(FULL + " " * (POLICY_MAX - len(FULL) - number))
        via = entrances.via("vpce-0123456789abcdef0")
        assert via is not None
        again = entrances.via("vpce-0123456789abcdef0")
        assert again is not None and again.policy is via.policy
    assert REMEMBERED_CHARACTERS - POLICY_MAX <= entrances.policies.characters <= REMEMBERED_CHARACTERS
