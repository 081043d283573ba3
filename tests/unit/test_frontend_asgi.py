"""The ASGI side: bodies are bounded before they are held, the path stays as it was sent, lifespan is answered."""

import asyncio
from typing import Any, cast

import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.errors import Response
from neargate.model.knobs import Knobs
from neargate.world import OsWorld


class Echo:
    """Stands where the front end stands and says what it was handed."""

    def __init__(self) -> None:
        self.handed: list[tuple[Any, ...]] = []

    async def handle(self, *request: Any) -> Response:
        self.handed.append(request)
        return Response(status=200, headers=((b"content-type", b"x"),), body=b"ok")


def run(scope: dict[str, Any], messages: list[dict[str, Any]], **knobs: Any) -> tuple[Echo, list[Any]]:
    echo = Echo()
    app = AsgiApp(frontend=cast(FrontEnd, echo), world=OsWorld(), knobs=Knobs(**knobs))
    queue = list(messages)
    sent: list[Any] = []

    async def receive() -> Any:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return echo, sent


def http(headers: list[tuple[bytes, bytes]] | None = None, **scope: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": headers or [],
        **scope,
    }


def chunk(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_path_is_handed_on_as_it_was_sent() -> None:
    echo, sent = run(http(path="/a/b", raw_path=b"/a%2Fb", query_string=b"x=%2f"), [chunk(b"one", True), chunk(b"two")])
    assert echo.handed == [("POST", b"/a%2Fb", b"x=%2f", [], b"onetwo", "", "")]
    assert sent[0]["status"] == 200
    assert (b"content-length", b"2") in sent[0]["headers"]
    assert sent[1]["body"] == b"ok"


@pytest.mark.parametrize(
    ("headers", "messages"),
    [
        ([(b"content-length", b"11")], []),
        ([(b"content-length", b"-1")], []),
        ([(b"content-length", b"9" * 40)], []),
        ([], [chunk(b"123456", True), chunk(b"789012", True)]),
    ],
)
def test_a_body_over_the_bound_is_refused_unread(headers: Any, messages: Any) -> None:
    """With a stated length nothing is received at all; without one reading stops at the bound."""
    echo, sent = run(http(headers), messages, request_body_max_bytes=10)
    assert not echo.handed
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]
    assert b"RequestEntityTooLargeException" in sent[1]["body"]


def test_a_caller_that_hangs_up_is_not_answered() -> None:
    echo, sent = run(http(), [chunk(b"12", True), {"type": "http.disconnect"}])
    assert not echo.handed and not sent


def test_a_body_that_never_ends_is_timed_out() -> None:
    echo, sent = run(http(), [chunk(b"12", True)], request_read_timeout_s=0.01)
    assert not echo.handed
    assert sent[0]["status"] == 408


def test_lifespan_is_answered() -> None:
    _, sent = run({"type": "lifespan"}, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_no_websockets_here() -> None:
    echo, sent = run({"type": "websocket"}, [])
    assert sent == [{"type": "websocket.close", "code": 1000}] and not echo.handed
