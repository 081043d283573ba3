"""Bodies of callers that nobody knows yet: together they hold a bounded part of memory, and small ones always pass."""

import asyncio
from typing import Any, cast

from neargate.frontend.app import FrontEnd
from neargate.frontend.asgi import AsgiApp
from neargate.frontend.errors import Response
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

KNOBS = Knobs(request_body_small_bytes=100, request_bodies_max_bytes=1000, request_body_max_bytes=900)
SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}


class Answers:
    async def handle(self, *_: Any) -> Response:
        return Response(status=200, headers=(), body=b"ok")


class Caller:
    """Sends what it is told and keeps the answer's status."""

    def __init__(self, app: AsgiApp) -> None:
        self.status: int | None = None
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.create_task(app(dict(SCOPE), self._messages.get, self._sent))

    async def send(self, size: int, *, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": more})
        for _ in range(10):  # turns of the loop: nothing here waits for anything outside it
            await asyncio.sleep(0)

    async def end(self) -> int | None:
        await self.send(0, more=False)
        await self._task
        return self.status

    async def hang_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        await self._task

    async def _sent(self, message: Any) -> None:
        self.status = message.get("status", self.status)


def app() -> AsgiApp:
    return AsgiApp(frontend=cast(FrontEnd, Answers()), world=OsWorld(), knobs=KNOBS)


def test_large_bodies_share_a_bound_and_small_ones_always_pass() -> None:
    async def main() -> None:
        served = app()
        slow = [Caller(served) for _ in range(2)]
        for caller in slow:
            await caller.send(500)
        late, small = Caller(served), Caller(served)
        await late.send(200)
        assert late.status == 503
        await small.send(100)
        assert await small.end() == 200
        assert [await caller.end() for caller in slow] == [200, 200]
        again = Caller(served)
        await again.send(800)
        assert await again.end() == 200, "what was held came back"

    asyncio.run(main())


def test_callers_that_hang_up_give_their_part_back() -> None:
    async def main() -> None:
        served = app()
        for _ in range(20):
            caller = Caller(served)
            await caller.send(500)
            await caller.hang_up()
        last = Caller(served)
        await last.send(800)
        assert await last.end() == 200

    asyncio.run(main())


def test_many_small_pieces_count_as_what_they_are_together() -> None:
    async def main() -> None:
        served = app()
        first, second = Caller(served), Caller(served)
        for _ in range(8):
            await first.send(100)
            await second.send(100)
        assert {first.status, second.status} == {None, 503}
        survivor = first if first.status is None else second
        assert await survivor.end() == 200

    asyncio.run(main())
