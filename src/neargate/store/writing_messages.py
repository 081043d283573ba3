"""What a server and its writing process say to each other: frames over sockets that nobody else has.

Pure encoding. Invariant: a write and its outcome come out as they went in, with SQLite's five kinds of values; what
cannot be said fails for its own caller, before anything was sent.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from ..interfaces.store import Overloaded, Refused, Row, Statement, StoreFull
from ..model.bugs import told
from .writer import WriteResult

HEAD_BYTES = 4  # the length of what follows


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """One database; with it go its socket and the lock of the directory."""

    path: str
    rebuildable: bool
    checkpoint_pages: int
    lock_wait_s: float
    free_min_bytes: int


class _Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    results: list[list[Row]]


class _Refusal(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    name: str
    index: int


class _Busy(msgspec.Struct, frozen=True, array_like=True, tag="busy"):
    reason: str
    is_full: bool


class _Failure(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A statement that cannot run at all: its caller's programming error."""

    kind: str
    text: str


class Lost(msgspec.Struct, frozen=True, array_like=True, tag="lost"):
    """The outcome of the batch, and of all after it, is unknown."""

    reason: str


_Outcome = _Done | _Refusal | _Busy | _Failure
_KINDS = {
    kind.__name__: kind
    for kind in (
        sqlite3.DataError,
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        sqlite3.NotSupportedError,
        sqlite3.OperationalError,
        sqlite3.ProgrammingError,
    )
}
_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(list[list[tuple[str, Row, int | None, str]]]).decode
_decode_outcomes = msgspec.msgpack.Decoder(list[_Outcome | Lost]).decode


def encode_write(statements: Sequence[Statement]) -> bytes:
    """Raises what a value deserves that no database takes: TypeError, OverflowError, UnicodeEncodeError."""
    return _encode(statements)


def frame_of_batch(writes: Sequence[bytes]) -> bytes:
    return framed(_encode([msgspec.Raw(write) for write in writes]))


def batch_of(body: bytes) -> list[list[Statement]]:
    return [[Statement(*statement) for statement in write] for write in _decode_batch(body)]


def frame_of_outcomes(outcomes: Sequence[WriteResult | Exception]) -> bytes:
    return framed(_encode([_said(outcome) for outcome in outcomes]))


def frame_of_lost(error: Exception) -> bytes:
    """In SQLite's or the system's own words, which quote no value of anybody's; other errors say where they were."""
    is_theirs = isinstance(error, OSError) or hasattr(error, "sqlite_errorcode")
    return framed(_encode([Lost(repr(error) if is_theirs else told(error))]))


def outcomes_of(body: bytes) -> list[WriteResult | Exception] | Lost:
    outcomes: list[WriteResult | Exception] = []
    for said in _decode_outcomes(body):
        if isinstance(said, Lost):
            return said
        outcomes.append(_heard(said))
    return outcomes


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(HEAD_BYTES, "big") + body


def _said(outcome: WriteResult | Exception) -> _Outcome:
    if isinstance(outcome, list):
        return _Done(outcome)
    if isinstance(outcome, Refused):
        return _Refusal(outcome.name, outcome.index)
    if isinstance(outcome, Overloaded):
        return _Busy(str(outcome), isinstance(outcome, StoreFull))
    return _Failure(type(outcome).__name__, str(outcome))


def _heard(said: _Outcome) -> WriteResult | Exception:
    if isinstance(said, _Done):
        return said.results
    if isinstance(said, _Refusal):
        return Refused(said.name, said.index)
    if isinstance(said, _Busy):
        return StoreFull(said.reason) if said.is_full else Overloaded(said.reason)
    kind: Any = _KINDS.get(said.kind)
    return sqlite3.DatabaseError(f"{said.kind}: {said.text}") if kind is None else kind(said.text)
