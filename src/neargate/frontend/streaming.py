"""Answers that go on: events sent as they come, until they end or the caller hangs up.

The stream is pulled, one piece after the other was taken by the connection, so that a caller who reads slowly slows
it down and holds one piece in memory; one who does not read at all is hung up on (http_protocol.py). Invariant: a
stream that was begun is closed, whoever ends it.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EventStream(Protocol):
    @property
    def period_s(self) -> float:
        """How long to wait between two pieces."""

    async def next(self) -> bytes | None:
        """Whole messages of an event stream, or None at its end. Never raises for what goes wrong with the source."""

    def close(self) -> None: ...


async def send_stream(
    stream: EventStream, status: int, headers: Sequence[tuple[bytes, bytes]], receive: Receive, send: Send
) -> None:
    """Over ASGI's two callables; the length is not known, so uvicorn sends chunks."""
    try:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        while (piece := await stream.next()) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if await _hangs_up(receive, stream.period_s):
                return
        await send({"type": "http.response.body", "body": b""})
    finally:
        stream.close()


async def _hangs_up(receive: Receive, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
