"""Bytes on their way through the registry's door: who hung up is noticed, who sends too much or nothing is refused."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from neargate.frontend.asgi_types import ClientGone
from neargate.frontend.callers.authenticate import AuthMode
from neargate.frontend.images.door import ImageDoor
from neargate.frontend.images.errors import NoRoom
from neargate.frontend.images.service import Images
from neargate.frontend.images.transfer import Exchange
from neargate.frontend.images.wire import Refusal
from neargate.interfaces.store import Overloaded
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.virtual_time import VirtualWorld, run_virtual

KNOBS = replace(DEFAULT_KNOBS, image_layer_max_bytes=1000)


class Endless:
    """An answer of the backend without an end."""

    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012  nobody changes it

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"x" * 100


def exchange(
    world: VirtualWorld, receive: Callable[[], Awaitable[dict[str, Any]]], sent: list[Any], method: str = "GET"
) -> Exchange:
    async def send(message: Any) -> None:
        sent.append(message)

    images = cast(Images, SimpleNamespace(world=world, knobs=KNOBS, storage=""))
    return Exchange(images=images, method=method, headers={}, receive=receive, send=send)


def test_who_hung_up_is_sent_no_more() -> None:
    async def told() -> None:
        world, sent, left = VirtualWorld(), list[Any](), 20

        async def receive() -> dict[str, Any]:
            nonlocal left
            while left:
                left -= 1
                await asyncio.sleep(0)
            return {"type": "http.disconnect"}

        with pytest.raises(ClientGone):
            await exchange(world, receive, sent).relay(cast(Any, Endless()))
        assert 1 < len(sent) < 100

    run_virtual(told())


def test_a_body_has_an_end_in_size_and_in_time() -> None:
    async def told() -> None:
        world = VirtualWorld()

        async def floods() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x" * 400, "more_body": True}

        async def is_silent() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def hangs_up() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def read(receive: Callable[[], Awaitable[dict[str, Any]]]) -> int:
            return sum([len(chunk) async for chunk in exchange(world, receive, [], "PUT").body()])

        for receive, status in ((floods, 413), (is_silent, 408)):
            with pytest.raises(Refusal) as caught:
                await read(receive)
            assert caught.value.status == status
        with pytest.raises(ClientGone):
            await read(hangs_up)
        with pytest.raises(Refusal):
            await exchange(world, floods, [], "PUT").small_body(300)

    run_virtual(told())


def test_a_database_that_has_too_much_to_do_is_no_bug() -> None:
    async def told() -> None:
        def bearer(*_: object) -> None:
            raise Overloaded

        async def receive() -> dict[str, Any]:
            raise AssertionError("there is no body")

        async def send(message: Any) -> None:
            sent.append(message)

        sent: list[Any] = []
        images = SimpleNamespace(knobs=KNOBS, region="eu-test-1", tokens=SimpleNamespace(bearer=bearer))
        parts = cast(Any, {"images": images, "holders": None, "recorder": None})
        door = ImageDoor(world=VirtualWorld(), auth=AuthMode.ENFORCE, limits=None, **parts)
        authorization = b"Basic " + base64.b64encode(b"AWS:token")
        scope = {"method": "GET", "path": "/v2/", "query_string": b"", "headers": [(b"authorization", authorization)]}
        await door(scope, receive, send)
        assert sent[0]["status"] == 429
        assert json.loads(sent[1]["body"])["errors"][0]["code"] == "TOOMANYREQUESTS"

    run_virtual(told())


def test_many_bodies_at_once_leave_the_disk_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks again after every MiB: together they pass the floor by no more than that, and a chunk each."""
    bodies, chunk, room, taken = 20, 65_536, 8 * 1024 * 1024, 0

    def statvfs(_: str) -> SimpleNamespace:
        return SimpleNamespace(f_frsize=1, f_bavail=max(room - taken, 0), f_blocks=0)

    monkeypatch.setattr(os, "statvfs", statvfs)

    async def told() -> None:
        images = SimpleNamespace(world=VirtualWorld(), knobs=DEFAULT_KNOBS, storage="/x", unfinished=None)

        async def sends() -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"x" * chunk, "more_body": True}

        async def send(_: Any) -> None:
            raise AssertionError

        async def one() -> None:
            nonlocal taken
            body = Exchange(images=cast(Images, images), method="PATCH", headers={}, receive=sends, send=send)
            async for data in body.body():
                taken += len(data)

        ends = await asyncio.gather(*(one() for _ in range(bodies)), return_exceptions=True)
        assert [type(end) for end in ends] == [NoRoom] * bodies

    run_virtual(told())
    assert room <= taken <= room + bodies * (DEFAULT_KNOBS.image_room_look_bytes + chunk)
