"""The body of a chunk: lines as they came, compressed, with runs of equal timestamps beside them.

Storing does no work per line; only reading does. A body that came through PutLogEvents and has newlines inside its
messages is a list instead of joined lines. Pure; runs on a lane of its own, since both directions take milliseconds.
"""

import zlib
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import msgspec

from .pattern import Matcher
from .position import Position

Runs = Sequence[tuple[int, int]]  # (timestamp ms, number of lines)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[tuple[int, int]], bytes | list[str]]).decode


# (timestamp ms, number, ingested ms, stream, message), so that plain order is the order of events. A bare tuple: at a
# hundred thousand events a second a class would cost more than everything else that is done with them.
Event = tuple[int, int, int, int, str]


class StoredChunk(NamedTuple):
    """A row of the chunks as it is read."""

    stream: int
    first_ts: int
    last_ts: int
    base: int
    top: int
    ingested: int
    size: int
    body: bytes


def pack(runs: Runs, lines: bytes | list[str]) -> bytes:
    return zlib.compress(_encode((runs, lines)), 1)


def unpack(chunk: StoredChunk, low: Position, high: Position, pattern: Matcher) -> list[Event]:
    """The chunk's events strictly between the positions that match, in the order they were stored."""
    runs, body = _decode(zlib.decompress(chunk.body))
    if isinstance(body, bytes):
        if not pattern.may_match(body):
            return []
        # Whole, then split: a newline is never part of a broken UTF-8 sequence's replacement.
        messages = body.decode("utf-8", "replace").split("\n")
    else:
        messages = body
    events: list[Event] = []
    at, ingested, stream = 0, repeat(chunk.ingested), repeat(chunk.stream)
    for timestamp, count in runs:
        numbers = range(chunk.base + at, chunk.base + at + count)
        events += zip(repeat(timestamp), numbers, ingested, stream, messages[at : at + count], strict=False)
        at += count
    if not (low.timestamp < chunk.first_ts and chunk.last_ts < high.timestamp):
        events = [event for event in events if low < event[:2] < high]
    if not pattern.matches_all:
        events = [event for event in events if pattern.matches(event[4])]
    # AWS knows no empty events; an empty line of a container is none.
    return events if all(messages) else [event for event in events if event[4]]
