"""Whose key belongs to which host: the first that a host came with, for good (trust on first use).

Owns the table. Must not know sockets or signatures: who calls has seen the proof. Invariant: a key is durable before
its host is let in, and no later one takes its place; a host that lost its key joins again under another id.
"""

from ..interfaces.store import Statement, Store
from ..world import World

_PIN = "INSERT INTO host_keys (id, public_key, pinned_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"


class HostKeys:
    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._keys: dict[str, bytes] = {}

    async def load(self) -> None:
        rows = await self._store.read("SELECT id, public_key FROM host_keys")
        self._keys = {str(host): bytes(key) for host, key in rows}

    def of(self, host_id: str) -> bytes | None:
        """None: this host was never here."""
        return self._keys.get(host_id)

    async def admit(self, host_id: str, public_key: bytes) -> bool:
        """Whether this is the host's key; of a host that was never here it is from now on. Raises Overloaded."""
        known = self._keys.get(host_id)
        if known is None:
            await self._store.write([Statement(_PIN, (host_id, public_key, self._world.now()))])
            [(pinned,)] = await self._store.read("SELECT public_key FROM host_keys WHERE id = ?", (host_id,))
            known = self._keys[host_id] = bytes(pinned)
        return known == public_key
