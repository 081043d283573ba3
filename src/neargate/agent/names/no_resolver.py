"""Answers to lookups in a VPC without a resolver (enableDnsSupport is off): every one fails, at once, as temporary.

Owns the form of these answers (RFC 1035). Must not look anything up. Invariant: an answer is never longer than its
query, and nobody is told that a name does not exist. Over UDP it is an empty one, cut short, which sends every client
to TCP: only there do C libraries of both kinds (musl ignores refusals over UDP) take a failure for an answer.
"""

import struct

_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_KEPT = 0x7900  # operation and "recursion desired"
_FORMAT_ERROR, _SERVER_FAILURE = 1, 2
_NAME_MAX_BYTES = 255


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
