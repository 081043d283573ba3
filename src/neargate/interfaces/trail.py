"""The record of calls: what the front end hands over, and what may be asked of it.

Running parts meet here: the front end writes the documents, the trail keeps them. The trail never looks into a
document; what it can find them by stands beside it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

NOBODY = ""  # the account of calls whose caller is not proven; the operator alone reads them


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One call. `resources`: (type, ARN or name). `document`: the record in CloudTrail's JSON, for people as it is."""

    at_ms: int
    event_id: str
    name: str
    source: str
    read_only: bool
    username: str
    access_key_id: str
    resources: tuple[tuple[str, str], ...]
    management: bool
    document: str


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the chunk by its last time and number, and the entry in it."""

    last_ms: int
    chunk: int
    index: int


class TrailQuery(Struct, frozen=True, kw_only=True):
    """`account` None: of all of them. `attribute`: LookupEvents' key and value. Times are inclusive."""

    account: str | None
    attribute: tuple[str, str] | None = None
    start_ms: int = 0
    end_ms: int = 1 << 52
    limit: int = 50
    management_only: bool = True
    oldest_first: bool = False


class TrailPage(Struct, frozen=True, kw_only=True):
    """`more`: where to go on, None at the end. A page may be short, even empty, and still have more behind it."""

    entries: Sequence[TrailEntry]
    more: Place | None


class TrailStore(Protocol):
    def submit(self, account: str, size: int, make: Callable[[], TrailEntry]) -> None:
        """Take a call to be recorded; returns at once and never raises. `make` is called later, on another thread.

        `size`: about how many bytes it holds until then. What finds no room is counted, and the count is recorded.
        """

    def count_lost(self, account: str, reason: str) -> None:
        """A call that is not recorded, on purpose or because it cannot be."""

    async def lookup(self, wanted: TrailQuery, after: Place | None) -> TrailPage:
        """Raises Throttling."""

    async def flush(self) -> None:
        """All that was submitted before is durable when this returns, unless the disk refuses it."""
