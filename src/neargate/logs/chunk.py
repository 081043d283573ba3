"""The body of a chunk: lines as they came, compressed, with runs of equal timestamps beside them.

Storing does no work per line; only reading does. A body that came through PutLogEvents and has newlines inside its
messages is a list instead of joined lines. Pure; runs on a lane of its own, since both directions take milliseconds.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from .pattern import Pattern
from .position import Position

Runs = Sequence[tuple[int, int]]  # (timestamp ms, number of lines)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[tuple[int, int]], bytes | list[str]]).decode


class Event(NamedTuple):
    """`timestamp` and `ingested` in epoch milliseconds; (timestamp, number) is its place."""

    timestamp: int
    number: int
    ingested: int
    stream: int
    message: str


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


def unpack(chunk: StoredChunk, low: Position, high: Position, pattern: Pattern) -> list[Event]:
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
    at, ingested, stream = 0, chunk.ingested, chunk.stream
    for timestamp, count in runs:
        first = chunk.base + at
        events += [
            Event(timestamp, number, ingested, stream, message)
            for number, message in enumerate(messages[at : at + count], first)
            if message  # AWS knows no empty events
        ]
        at += count
    if not (low.timestamp < chunk.first_ts and chunk.last_ts < high.timestamp):
        events = [event for event in events if low < event[:2] < high]
    if not pattern.matches_all:
        events = [event for event in events if pattern.matches(event.message)]
    return events
