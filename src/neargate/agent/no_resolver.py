"""Answers to name lookups in a VPC until there is a resolver: every one fails, at once and as temporary.

Owns the form of these answers (RFC 1035). Must not look anything up. Invariant: an answer is never longer than its
query, and nobody is told that a name does not exist. Over UDP it is an empty one, cut short, which sends every client
to TCP: only there do C libraries of both kinds (musl ignores refusals over UDP) take a failure for an answer.
"""

import asyncio
import socket
import struct

from ..model.knobs import Knobs
from .guests import Guests, farewell, source_of

PORT = 53
_HEADER = struct.Struct(">HHHHHH")
_LENGTH = struct.Struct(">H")
_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_KEPT = 0x7900  # operation and "recursion desired"
_FORMAT_ERROR, _SERVER_FAILURE = 1, 2
_NAME_MAX_BYTES = 255
_QUERY_MAX_BYTES = 512


def failure(query: bytes, *, stream: bool) -> bytes | None:
    """The answer to a query; None for what is no query, for example an answer whose sender was made up."""
    if len(query) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & _RESPONSE:
        return None
    end = _question_end(query) if questions == 1 else None
    if end is None:
        return _HEADER.pack(number, _RESPONSE | flags & _KEPT | _FORMAT_ERROR, 0, 0, 0, 0)
    outcome = _SERVER_FAILURE if stream else _TRUNCATED
    return _HEADER.pack(number, _RESPONSE | flags & _KEPT | outcome, 1, 0, 0, 0) + query[_HEADER.size : end]


def _question_end(query: bytes) -> int | None:
    """Behind the first question's name, type and class; None when it is none."""
    at = _HEADER.size
    while at < len(query) and 0 < query[at] < 64:
        at += 1 + query[at]
    end = at + 5
    if at - _HEADER.size >= _NAME_MAX_BYTES or end > len(query) or query[at] != 0:
        return None
    return end


def answer_datagram(bound: socket.socket) -> None:
    """One that waits on one VPC's non-blocking socket. The router's rule says how often a task may ask."""
    try:
        query, source = bound.recvfrom(_QUERY_MAX_BYTES)
        answer = failure(query, stream=False)
        if answer is not None:
            bound.sendto(answer, source)
    except OSError:
        return  # nothing waits, or the answer cannot leave now: it is not kept, its client asks again


class Streams:
    """On one VPC's listener: one query after the other, everything bounded."""

    def __init__(self, knobs: Knobs) -> None:
        self._patience_s = knobs.metadata_request_timeout_s
        self._guests = Guests(each_max=knobs.resolver_connections_per_task, all_max=knobs.resolver_connections_max)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = source_of(writer)
        if not self._guests.admit(source):
            writer.transport.abort()
            return
        try:
            async with asyncio.timeout(self._patience_s):
                while await _answer_one(reader, writer):
                    pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            # It left, or does not speak: it learns nothing and holds nothing.
            writer.transport.abort()
        finally:
            await farewell(writer, self._patience_s)
            self._guests.leave(source)


async def _answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """False ends the connection."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > _QUERY_MAX_BYTES:
        return False
    answer = failure(await reader.readexactly(length), stream=True)
    if answer is None:
        return False
    writer.write(_LENGTH.pack(len(answer)) + answer)
    await writer.drain()
    return True
