"""What databases in memory hold, as one value that two moments can be compared by.

Each database is copied by its own thread: a copy from another holds the interpreter while it waits for the connection,
and the thread that uses the connection waits for the interpreter.
"""

import hashlib

from ..store.sqlite import MemoryDisk
from ..world import World


async def digest(world: World, disk: MemoryDisk, *, apart_from: str = "") -> str:
    """Of all that is stored but the shard `apart_from`."""
    shards = [(name, shard) for name, shard in sorted(disk.databases.items()) if name != apart_from]
    kept = [await world.offload(f"store-{name}", shard.serialize) for name, shard in shards]
    return hashlib.sha256(b"".join(kept)).hexdigest()
