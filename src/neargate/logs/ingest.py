"""What a write of log events looks like: pure functions from what arrived to statements or a refusal.

The source's offset is committed with the chunk it belongs to, so that resending after any crash stores nothing twice.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from msgspec import Struct

from ..interfaces.store import Statement
from ..model.errors import InvalidParameter
from .chunk import Runs
from .position import TIMESTAMP_MAX

BATCH_BYTES_MAX = 1_048_576
EVENT_OVERHEAD_BYTES = 26
EVENTS_MAX = 10_000
DAY_MS = 24 * 3600 * 1000
TOO_OLD_MS = 14 * DAY_MS
TOO_NEW_MS = 2 * 3600 * 1000


class Chunk(Struct, frozen=True, kw_only=True):
    """Ready to be stored. `size` is the bytes of its lines."""

    runs: Runs
    lines: bytes | list[str]
    count: int
    size: int


class Batch(Struct, frozen=True, kw_only=True):
    """A PutLogEvents request after its checks. `chunk` is None when every event was rejected."""

    chunk: Chunk | None
    rejected: dict[str, int]


def check_batch(events: Sequence[tuple[int, str]], now_ms: int, retention_days: int | None) -> Batch:
    """Raises InvalidParameter in AWS's words. Events too old or too new are left out and told."""
    if not events:
        raise InvalidParameter(
            "1 validation error detected: Value '[]' at 'logEvents' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )
    if len(events) > EVENTS_MAX:
        raise InvalidParameter(
            "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: "
            f"Member must have length less than or equal to {EVENTS_MAX}"
        )
    size = sum(len(message.encode("utf-8", "replace")) for _, message in events)
    upload = size + EVENT_OVERHEAD_BYTES * len(events)
    if upload > BATCH_BYTES_MAX:
        raise InvalidParameter(f"Upload too large: {upload} bytes exceeds limit of {BATCH_BYTES_MAX}")
    times = [timestamp for timestamp, _ in events]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise InvalidParameter("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > DAY_MS:
        raise InvalidParameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )
    return _without_rejected(events, now_ms, retention_days)


def _without_rejected(events: Sequence[tuple[int, str]], now_ms: int, retention_days: int | None) -> Batch:
    too_old = sum(timestamp < now_ms - TOO_OLD_MS for timestamp, _ in events)
    expired = 0
    if retention_days is not None:
        expired = sum(timestamp < now_ms - retention_days * DAY_MS for timestamp, _ in events)
    too_new = len(events) - sum(timestamp > now_ms + TOO_NEW_MS for timestamp, _ in events)
    rejected: dict[str, int] = {}
    if too_new < len(events):
        rejected["tooNewLogEventStartIndex"] = too_new
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        rejected["expiredLogEventEndIndex"] = expired
    accepted = events[max(too_old, expired) : too_new]
    return Batch(chunk=_chunk_of(accepted) if accepted else None, rejected=rejected)


def _chunk_of(events: Sequence[tuple[int, str]]) -> Chunk:
    runs: list[tuple[int, int]] = []
    for timestamp, _ in events:
        if runs and runs[-1][0] == timestamp:
            runs[-1] = (timestamp, runs[-1][1] + 1)
        else:
            runs.append((timestamp, 1))
    messages = [message.encode("utf-8", "replace").decode() for _, message in events]
    joined = "\n".join(messages)
    plain = joined.count("\n") == len(messages) - 1
    lines = joined.encode() if plain else messages
    return Chunk(runs=runs, lines=lines, count=len(messages), size=len(joined.encode()))


def check_lines(
    start: int, end: int, runs: Runs, lines: bytes, sizes: Sequence[int] = (), *, size_max: int, count_max: int
) -> Chunk | None:
    """An agent's chunk; None when it moves only the offset (all its lines were dropped by the container's own driver).

    Raises InvalidParameter for what cannot be true.
    """
    count = len(sizes) or lines.count(b"\n") + 1
    if not 0 <= start <= end <= TIMESTAMP_MAX or len(lines) > size_max:
        raise InvalidParameter(f"A chunk of bytes [{start}, {end}) with {len(lines)} bytes of lines is not acceptable.")
    if not runs and not lines:
        return None
    if count > count_max or len(runs) > count_max:
        raise InvalidParameter(f"A chunk of {count} log lines is more than the {count_max} that are acceptable.")
    if any(number < 1 or not 0 <= timestamp <= TIMESTAMP_MAX for timestamp, number in runs):
        raise InvalidParameter("A run of log lines has a count below 1 or a timestamp out of range.")
    told = sum(lines_of_run for _, lines_of_run in runs)
    if told != count:
        raise InvalidParameter(f"The runs count {told} log lines, the chunk has {count}.")
    return Chunk(runs=runs, lines=_pieces(lines, sizes) if sizes else lines, count=count, size=len(lines))


def _pieces(lines: bytes, sizes: Sequence[int]) -> list[str]:
    """Raises InvalidParameter."""
    if min(sizes) < 1 or sum(sizes) != len(lines):
        raise InvalidParameter(f"Events of {sum(sizes)} bytes in all cannot be {len(lines)} bytes of lines.")
    ends = list(accumulate(sizes))
    return [lines[end - size : end].decode("utf-8", "replace") for end, size in zip(ends, sizes, strict=True)]


def trim_chunk(chunk: Chunk, start: int, end: int, stored: int) -> Chunk | None:
    """The part of a chunk from byte `stored` on, where its lines are the source's bytes and a line begins there.

    None: it cannot be cut; the sender goes on from `stored`.
    """
    # Every line with its newline, nothing dropped and no long line split: only then bytes here are the source's bytes.
    if not isinstance(chunk.lines, bytes) or len(chunk.lines) + 1 != end - start:
        return None
    cut = stored - start
    if not 0 < cut < len(chunk.lines) or chunk.lines[cut - 1 : cut] != b"\n":
        return None
    gone = chunk.lines.count(b"\n", 0, cut)
    runs: list[tuple[int, int]] = []
    for timestamp, count in chunk.runs:
        skipped = min(gone, count)
        gone -= skipped
        if count > skipped:
            runs.append((timestamp, count - skipped))
    lines = chunk.lines[cut:]
    return Chunk(runs=runs, lines=lines, count=sum(count for _, count in runs), size=len(lines))


def move_offset(stream: int, source: str, start: int, end: int) -> Statement:
    return Statement(
        "UPDATE log_sources SET stored = ? WHERE stream = ? AND source = ? AND stored = ?",
        (end, stream, source, start),
        1,
        "offset",
    )


def store_chunk(stream: int, chunk: Chunk, body: bytes, now_ms: int) -> list[Statement]:
    """Refused by `stream` when the stream is gone."""
    first = min(timestamp for timestamp, _ in chunk.runs)
    last = max(timestamp for timestamp, _ in chunk.runs)
    span = last - first
    counted = chunk.size + EVENT_OVERHEAD_BYTES * chunk.count
    return [
        Statement(
            "UPDATE log_streams SET first_ts = min(coalesce(first_ts, ?), ?), last_ts = max(last_ts, ?), "
            "ingested = ?, span = max(span, ?) WHERE n = ?",
            (first, first, last, now_ms, span, stream),
            1,
            "stream",
        ),
        Statement(
            "UPDATE log_groups SET bytes = bytes + ?, span = max(span, ?) "
            "WHERE n = (SELECT grp FROM log_streams WHERE n = ?)",
            (counted, span, stream),
            1,
            "group",
        ),
        Statement(
            "INSERT INTO log_chunks (grp, stream, first_ts, last_ts, base, top, ingested, bytes, body) "
            "SELECT s.grp, s.n, ?, ?, t.events + 1, t.events + ?, ?, ?, ? "
            "FROM log_totals t, log_streams s WHERE s.n = ?",
            (first, last, chunk.count, now_ms, counted, body, stream),
            1,
            "chunk",
        ),
        Statement(
            "UPDATE log_totals SET events = events + ?, stored = stored + ?", (chunk.count, len(body)), 1, "totals"
        ),
    ]
