"""Gives the space of log events back: deleted streams, retention, and the cap of the whole shard.

Each step is one small transaction, so that a delete of gigabytes never holds up an append, and may be repeated after
any crash. What the cap drops is counted; nothing else is ever dropped.
"""

from ..interfaces.store import Statement
from .database import Database
from .ingest import DAY_MS


async def sweep(database: Database, now_ms: int, stored_max: int, batch: int) -> str:
    """One pass. Returns a sentence that says what was done, empty when nothing was."""
    done = []
    if trash := await _empty_trash(database, batch):
        done.append(f"freed {trash} chunks of deleted streams")
    if expired := await _expire(database, now_ms, batch):
        done.append(f"expired {expired} chunks")
    if dropped := await _hold_cap(database, stored_max, batch):
        done.append(f"dropped the oldest {dropped} chunks to stay below {stored_max} bytes")
    return "; ".join(done)


async def _empty_trash(database: Database, batch: int) -> int:
    freed = 0
    while rows := await database.read("SELECT stream FROM log_trash ORDER BY stream LIMIT 1"):
        stream = rows[0][0]
        chosen = "SELECT n FROM log_chunks WHERE stream = ? ORDER BY n LIMIT ?"
        gone = await _delete(database, chosen, (stream, batch), charge_groups=False, count_dropped=False)
        freed += gone
        if gone < batch:
            await database.write([Statement("DELETE FROM log_trash WHERE stream = ?", (stream,))])
    return freed


async def _expire(database: Database, now_ms: int, batch: int) -> int:
    expired = 0
    groups = await database.read("SELECT n, retention_days FROM log_groups WHERE retention_days IS NOT NULL ORDER BY n")
    for group, days in groups:
        chosen = "SELECT n FROM log_chunks WHERE grp = ? AND last_ts < ? ORDER BY last_ts LIMIT ?"
        params = (group, now_ms - days * DAY_MS, batch)
        while gone := await _delete(database, chosen, params, charge_groups=True, count_dropped=False):
            expired += gone
    return expired


async def _hold_cap(database: Database, stored_max: int, batch: int) -> int:
    """Oldest stored first, whoever wrote it, down to nine tenths: then the next pass finds nothing to do."""
    dropped = 0
    goal = stored_max
    while int((await database.read("SELECT stored FROM log_totals"))[0][0]) > goal:
        goal = stored_max - stored_max // 10
        chosen = "SELECT n FROM log_chunks ORDER BY n LIMIT ?"
        gone = await _delete(database, chosen, (min(batch, 16),), charge_groups=True, count_dropped=True)
        if not gone:
            break
        dropped += gone
    return dropped


async def _delete(
    database: Database, chosen: str, params: tuple[int, ...], *, charge_groups: bool, count_dropped: bool
) -> int:
    """Delete the chosen chunks and take them off the sums, in one transaction. Returns how many."""
    columns = "n, grp, bytes, length(body), top - base + 1"
    rows = await database.read(f"SELECT {columns} FROM log_chunks WHERE n IN ({chosen})", params)  # noqa: S608
    if not rows:
        return 0
    keys = tuple(int(row[0]) for row in rows)
    stored = sum(int(row[3]) for row in rows)
    statements = [
        Statement(f"DELETE FROM log_chunks WHERE n IN ({', '.join('?' * len(keys))})", keys, len(keys), "chunks"),  # noqa: S608
        Statement(
            "UPDATE log_totals SET stored = stored - ?, dropped_events = dropped_events + ?, "
            "dropped_bytes = dropped_bytes + ?",
            (stored, *((sum(row[4] for row in rows), sum(row[2] for row in rows)) if count_dropped else (0, 0))),
            1,
        ),
    ]
    if charge_groups:
        sizes: dict[int, int] = {}
        for row in rows:
            sizes[row[1]] = sizes.get(row[1], 0) + row[2]
        take = "UPDATE log_groups SET bytes = bytes - ? WHERE n = ?"
        statements += [Statement(take, (size, group)) for group, size in sorted(sizes.items())]
    await database.write(statements)
    return len(keys)
