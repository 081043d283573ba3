"""What a power cut takes away: the last commits of databases that are not synced one by one.

Owns copies of each such database as it was after each of its commits. Invariant: what comes back is a state that was
once committed, never a mixture (that is SQLite's promise, which is tested with real files).
"""

import shutil
import sqlite3
from collections import deque
from pathlib import Path

_KEPT = 48
_PARTS = ("", "-wal")


class ZoneHistory:
    """The zones' shards, which a cell can have made again (docs/decisions/0006). Copies only once `is_kept`."""

    def __init__(self) -> None:
        self.is_kept = False
        self._images: dict[str, deque[bytes]] = {}

    def committed(self, shard: str, database: sqlite3.Connection) -> None:
        if self.is_kept and shard.startswith("zone") and not database.in_transaction:
            images = self._images.setdefault(shard, deque(maxlen=_KEPT))
            image = database.serialize()
            if not images or images[-1] != image:
                images.append(image)

    def lose(self, shard: str, commits: int, database: sqlite3.Connection) -> int:
        """Back by that many commits, as far as they are known; says by how many."""
        images = self._images.get(shard)
        if not images:
            return 0
        lost = min(commits, len(images) - 1)
        for _ in range(lost):
            images.pop()
        source = sqlite3.connect(":memory:")
        source.deserialize(images[-1])
        source.backup(database)
        source.close()
        return lost


class AgentFiles:
    """An agent's database, a file. Copies only once `is_kept`."""

    def __init__(self, path: Path) -> None:
        self.is_kept = False
        self._path = path
        self._copies: deque[tuple[float, dict[str, bytes]]] = deque(maxlen=_KEPT)

    def committed(self, now: float) -> None:
        if self.is_kept:
            parts = {part: Path(f"{self._path}{part}") for part in _PARTS}
            self._copies.append((now, {part: file.read_bytes() for part, file in parts.items() if file.exists()}))

    def lose(self, since: float) -> bool:
        """Back to the state at that time, as far as it is known. True when anything was lost."""
        older = [files for at, files in self._copies if at <= since]
        if not older or older[-1] == self._copies[-1][1]:
            return False
        aside = Path(f"{self._path}.lost")
        for part in (*_PARTS, "-shm"):
            # Moved, not overwritten: the dead process's connection still holds the old file.
            if Path(f"{self._path}{part}").exists():
                shutil.move(f"{self._path}{part}", f"{aside}{part}")
        for part, data in older[-1].items():
            Path(f"{self._path}{part}").write_bytes(data)
        self._copies.clear()
        return True
