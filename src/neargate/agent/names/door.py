"""How lookups come in: datagrams and streams, each bounded against who asks without end.

Must not know names. Invariant: what goes wrong with a query ends that query, and never the agent.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from ...dns.message import QUERY_MAX_BYTES
from ...model.knobs import Knobs
from ..guests import Guests, farewell

_LENGTH = struct.Struct(">H")


class DnsDoor:
    """`connections_each`: of one source at a time. `failed` hears of faults; the query gets no answer."""

    def __init__(self, knobs: Knobs, *, connections_each: int, failed: Callable[[Exception], None]) -> None:
        self._guests = Guests(each_max=connections_each, all_max=knobs.resolver_connections_max)
        self._at_once = knobs.resolver_datagrams_at_once
        self._patience_s = knobs.resolver_stream_timeout_s
        self._failed = failed
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def streams_open(self) -> int:
        return self._guests.count

    def cut_streams(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def answer_datagrams(self, bound: socket.socket, answer: Callable[[bytes, tuple[str, int]], bytes | None]) -> None:
        """Some that wait on the non-blocking socket. `answer` gets a query and who asks; None: not now."""
        for _ in range(self._at_once):
            try:
                query, source = bound.recvfrom(QUERY_MAX_BYTES)
            except OSError:
                return  # nothing waits
            try:
                told = answer(query, source)
                if told is not None:
                    bound.sendto(told, source)
            except OSError:
                continue  # the answer cannot leave now: it is not kept, its client asks again
            except Exception as error:
                self._failed(error)

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        source: str,
        answer: Callable[[bytes], Awaitable[bytes | None]],
    ) -> None:
        """One query after the other. `source`: whose connection it counts as."""
        if not self._guests.admit(source):
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(self._patience_s):
                while await _answer_one(reader, writer, answer):
                    pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            # It left, or does not speak: it learns nothing and holds nothing.
            writer.transport.abort()
        except Exception as error:
            self._failed(error)
            writer.transport.abort()
        finally:
            await farewell(writer, self._patience_s)
            self._open.discard(writer)
            self._guests.leave(source)


async def _answer_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[bytes], Awaitable[bytes | None]]
) -> bool:
    """False ends the connection."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > QUERY_MAX_BYTES:
        return False
    told = await answer(await reader.readexactly(length))
    if told is None:
        return False
    writer.write(_LENGTH.pack(len(told)) + told)
    await writer.drain()
    return True
