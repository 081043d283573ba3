"""An HTTP Event Collector of Splunk's: what it makes of requests, and one in memory.

`FakeCollector` implements the agent's `Collector`. It answers as Splunk's documentation says: 401 and 403 for tokens
that it does not know, 503 while it is busy.
"""

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

from ..agent.execution.exchange import Header
from ..agent.splunk.collector import Answer, Unreachable
from ..definitions.splunk import SplunkOptions
from .fake_faults import Faults

_DECODER = json.JSONDecoder()
_SUCCESS, _BUSY, _NO_TOKEN, _BAD_TOKEN = (
    (200, "Success", 0),
    (503, "Server is busy", 9),
    (401, "Token is required", 2),
    (403, "Invalid token", 4),
)


class EventBook:
    """What a collector with this token has received. `is_busy`: it takes nothing."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.is_busy = False
        self.events: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    def receive(self, method: str, headers: dict[str, str], body: bytes) -> tuple[int, str, int]:
        """Status, text and code."""
        if method == "OPTIONS":
            return _SUCCESS
        given = headers.get("authorization")
        if given is None:
            return _NO_TOKEN
        if given != f"Splunk {self.token}":
            return _BAD_TOKEN
        if self.is_busy:
            return _BUSY
        self.bodies.append(body)
        text = (gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body).decode()
        at = 0
        while at < len(text):
            event, at = _DECODER.raw_decode(text, at)
            self.events.append(event)
        return _SUCCESS

    def lines(self) -> list[Any]:
        return [event["event"]["line"] for event in self.events]


class FakeCollector:
    """`asks`: task id and method of each request. `received` is called after one took effect, before its answer."""

    def __init__(self, token: str = "token-of-tests") -> None:  # noqa: S107 - nobody's
        self.faults = Faults()
        self.book = EventBook(token)
        self.asks: list[tuple[str, str]] = []
        self.answers: dict[str, Answer] = {}  # method -> instead of the book's
        self.received: Callable[[], None] | None = None

    async def ask(
        self, task_id: str, _options: SplunkOptions, method: str, headers: Sequence[Header], body: bytes
    ) -> Answer:
        await self.faults.before("ask")
        self.asks.append((task_id, method))
        if method in self.answers:
            return self.answers[method]
        named = {name.decode().lower(): value.decode() for name, value in headers}
        status, text, code = self.book.receive(method, named, body)
        if self.received is not None and method == "POST":
            self.received()
        await self.faults.after("ask")
        said = "" if status == _SUCCESS[0] else json.dumps({"text": text, "code": code}, separators=(",", ":"))
        return Answer(status=status, said=said)

    def cut(self, times: int, method: str = "Post", why: str = "EOF") -> None:
        """The next requests reach nobody."""
        self.faults.fail("ask", Unreachable(f'{method} "http://collector": {why}'), times=times)
