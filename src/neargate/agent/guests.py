"""Connections that tasks have opened to the agent: how many one may have, and how one ends for good.

A task is hostile: it connects without speaking, asks without reading and never closes. So a connection counts for its
source until its socket is gone, and a peer that does not take its last bytes is cut off. Knows no protocol.
"""

import asyncio


class Guests:
    """`each_max` connections of one source at a time, `all_max` together. The router makes sources true.

    The last quarter is for sources that have few: some tasks that take all they may leave room for the others.
    """

    def __init__(self, *, each_max: int, all_max: int) -> None:
        self._each_max = each_max
        self._all_max = all_max
        self._for_all_max = all_max - all_max // 4
        self._few_max = max(1, each_max // 16)
        self._open: dict[str, int] = {}
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def admit(self, source: str) -> bool:
        """True counts one more; then `leave` must follow."""
        each_max = self._each_max if self._count < self._for_all_max else self._few_max
        if self._count >= self._all_max or self._open.get(source, 0) >= each_max:
            return False
        self._count += 1
        self._open[source] = self._open.get(source, 0) + 1
        return True

    def leave(self, source: str) -> None:
        self._count -= 1
        self._open[source] -= 1
        if not self._open[source]:
            del self._open[source]


def source_of(writer: asyncio.StreamWriter) -> str:
    """The peer's address; empty when it is gone already."""
    peer = writer.get_extra_info("peername")
    return str(peer[0]) if peer else ""


def give(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Raises ConnectionResetError where the peer is gone: the agent's loop would have a RuntimeError for it, as if the
    fault were ours. No data ends this direction."""
    if writer.is_closing():
        raise ConnectionResetError("the connection is over")
    if data:
        writer.write(data)
    elif writer.can_write_eof():
        writer.write_eof()


async def farewell(writer: asyncio.StreamWriter, patience_s: float) -> None:
    """Close; what the peer has not taken after `patience_s` is thrown away with the socket."""
    writer.close()
    try:
        async with asyncio.timeout(patience_s):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except OSError:
        # Gone already, which is what was wanted.
        return
