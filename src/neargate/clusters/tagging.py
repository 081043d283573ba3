"""Tags of clusters and of running tasks: read, and changed by a decision that sees what is there.

Owns the writes of `tags` columns, which are apart from the documents because they change by themselves. Must not know
what a tag may be (`definitions.tags`). Invariant: a change is decided on the tags it replaces, so that none is lost.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from ..definitions.tags import Tags, wire_tags
from ..interfaces.store import Refused, Statement, Store
from ..model.errors import InvalidParameter, ServiceUnavailable
from .cluster_book import ACTIVE, Cluster, ClusterBook
from .task_table import TaskRow, encode_json, rows_by_id
from .writing import write

TagChange = Callable[[Tags], Tags]
_ATTEMPTS = 8  # of a change that met another one
_decode = msgspec.json.Decoder(list[dict[str, str]]).decode


class Tagging:
    def __init__(self, store: Store, clusters: ClusterBook) -> None:
        self._store = store
        self._clusters = clusters

    def of_cluster(self, account: str, name: str) -> Tags:
        """Raises ClusterNotFound, InvalidParameter (a deleted cluster)."""
        return decoded(self._active(account, name).tags)

    async def change_cluster(self, account: str, name: str, change: TagChange) -> None:
        """Raises what `of_cluster` and `change` raise."""
        self._active(account, name)
        await self._clusters.change(account, name, lambda found: _with_tags(found, change))

    async def of_task(self, account: str, cluster: str, task_id: str) -> Tags:
        """Raises ClusterNotFound, InvalidParameter (no such task, or a stopped one)."""
        return decoded((await self._running(account, cluster, task_id)).tags)

    async def change_task(self, account: str, cluster: str, task_id: str, change: TagChange) -> None:
        """Raises what `of_task` and `change` raise. No visible change of the task: its version stays."""
        for _ in range(_ATTEMPTS):
            row = await self._running(account, cluster, task_id)
            tags = encoded(change(decoded(row.tags)))
            if tags == row.tags:
                return
            try:
                await write(self._store, [_set_tags(row, tags)])
            except Refused:
                continue  # somebody else changed its tags in between: decide again on what is there now
            return
        raise ServiceUnavailable

    async def on_host(self, host_id: str, task_id: str) -> Tags | None:
        """None unless that task is placed on that host, so that an agent learns nothing of others."""
        rows = await self._store.read(
            "SELECT tags FROM tasks WHERE id = ? AND host = ? AND ordered = 1", (task_id, host_id)
        )
        return decoded(rows[0][0]) if rows else None

    def _active(self, account: str, name: str) -> Cluster:
        cluster = self._clusters.named(account, name)
        if cluster.status != ACTIVE:
            raise InvalidParameter("The specified cluster is inactive. Specify an active cluster and try again.")
        return cluster

    async def _running(self, account: str, cluster: str, task_id: str) -> TaskRow:
        self._clusters.named(account, cluster)
        row = (await rows_by_id(self._store, [task_id])).get(task_id)
        if row is None or row.account != account or row.cluster != cluster:
            raise InvalidParameter("The specified task does not exist. Specify a valid task and try again.")
        if row.is_stopped:
            raise InvalidParameter("The specified task is stopped. Specify a running task and try again.")
        return row


def encoded(tags: Tags) -> bytes:
    """As they are stored and shown."""
    return encode_json(wire_tags(tags))


def decoded(stored: bytes) -> Tags:
    return tuple((tag["key"], tag["value"]) for tag in _decode(stored))


def _with_tags(cluster: Cluster, change: TagChange) -> Cluster:
    return replace(cluster, tags=encoded(change(decoded(cluster.tags))))


def _set_tags(row: TaskRow, tags: bytes) -> Statement:
    """Guarded by the tags themselves: a report that changes the row's `rev` meanwhile is no conflict."""
    return Statement("UPDATE tasks SET tags = ? WHERE n = ? AND tags = ?", (tags, row.n, row.tags), 1, "tags")
