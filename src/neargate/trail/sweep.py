"""Bounds the record by age and by size, oldest first, each step one small transaction that may be repeated.

Beyond the size, whoever has most loses its oldest, so that a busy account cannot push out what others did; calls of
nobody in particular have a share of their own.
"""

from ..interfaces.store import Row, Statement, Store
from ..interfaces.trail import NOBODY
from ..model.knobs import Knobs
from .chunk import unpack_terms

_TERMS_PER_STATEMENT = 500
_PASSES_MAX = 1000


async def sweep(store: Store, knobs: Knobs, now_ms: int) -> str:
    """One pass. Returns a sentence that says what was done, empty when nothing was. Raises Overloaded."""
    done = []
    if expired := await _expire(store, now_ms - int(knobs.trail_keep_s * 1000), knobs.trail_sweep_batch_max):
        done.append(f"forgot {expired} calls that were too old")
    if dropped := await _hold_cap(store, knobs):
        done.append(f"dropped the oldest {dropped} calls for room")
    return "; ".join(done)


async def _expire(store: Store, before_ms: int, batch: int) -> int:
    gone = 0
    for _ in range(_PASSES_MAX):
        rows = await store.read(
            "SELECT n, account, last_ms, entries, size, terms FROM trail_chunks WHERE last_ms < ? "
            "ORDER BY last_ms, n LIMIT ?",
            (before_ms, batch),
        )
        if not rows:
            break
        gone += await _delete(store, rows, count_dropped=False)
    return gone


async def _hold_cap(store: Store, knobs: Knobs) -> int:
    gone = 0
    for _ in range(_PASSES_MAX):
        rows = await store.read("SELECT account, stored FROM trail_accounts ORDER BY account")
        account = too_much({name: int(size) for name, size in rows}, knobs)
        if account is None:
            break
        rows = await store.read(
            "SELECT n, account, last_ms, entries, size, terms FROM trail_chunks WHERE account = ? "
            "ORDER BY last_ms, n LIMIT ?",
            (account, knobs.trail_sweep_batch_max),
        )
        if not rows:
            break
        gone += await _delete(store, rows, count_dropped=True)
    return gone


def too_much(stored: dict[str, int], knobs: Knobs) -> str | None:
    """Whose oldest calls go now, None when all is within its bounds. `stored`: account -> bytes."""
    if stored.get(NOBODY, 0) > knobs.trail_stored_max_bytes * knobs.trail_nobody_share:
        return NOBODY
    if sum(stored.values()) <= knobs.trail_stored_max_bytes:
        return None
    return max(sorted(stored), key=lambda account: stored[account])


async def _delete(store: Store, rows: list[Row], *, count_dropped: bool) -> int:
    """Chunks, their terms and their sums, in one transaction. Returns how many calls they held."""
    statements: list[Statement] = []
    calls = 0
    for number, account, last_ms, entries, size, packed in rows:
        terms = unpack_terms(packed)
        for at in range(0, len(terms), _TERMS_PER_STATEMENT):
            some = terms[at : at + _TERMS_PER_STATEMENT]
            marks = ", ".join("?" * len(some))
            sql = f"DELETE FROM trail_terms WHERE last_ms = ? AND chunk = ? AND term IN ({marks})"  # noqa: S608
            statements.append(Statement(sql, (last_ms, number, *some)))
        statements.append(Statement("DELETE FROM trail_chunks WHERE n = ?", (number,), 1, "chunk"))
        statements.append(
            Statement(
                "UPDATE trail_accounts SET stored = stored - ?, dropped = dropped + ? WHERE account = ?",
                (size, entries if count_dropped else 0, account),
                1,
            )
        )
        calls += entries
    await store.write(statements)
    return calls
