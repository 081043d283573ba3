"""The region's endpoint inside a VPC's router: each connection is spliced to the region's API on this host.

The API is told first which address the task has, and which VPC endpoint it came through, over a socket that only this
agent may open: what a task sends comes after that, so it cannot say that it is another. Only the API is behind it;
nothing of the host's network is.
Bounded per task (by VPC and source address), and for all tasks of the host together, so that the API has connections
left for callers from outside.
"""

import asyncio

from ..model.knobs import Knobs
from ..wire.proxy_protocol import HandedOn, header
from .guests import Guests, farewell, give, source_of

_BLOCK = 64 * 1024


class EndpointProxy:
    """One per VPC and address. `api_socket`: the API's, for what is handed on. `guests` is the host's, shared by all.

    `endpoint_id`: of the VPC endpoint whose address it is; empty at the region's own address.
    """

    def __init__(self, knobs: Knobs, vpc_id: str, guests: Guests, api_socket: str, endpoint_id: str = "") -> None:
        self._knobs = knobs
        self._api_socket = api_socket
        self._vpc_id = vpc_id
        self._guests = guests
        self._endpoint_id = endpoint_id
        self._open: set[asyncio.StreamWriter] = set()

    def end(self) -> None:
        """Its address is no longer there: nothing more comes or goes."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = f"{self._vpc_id} {source_of(writer)}"  # VPCs may have the same addresses
        if not self._guests.admit(source):
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            await self._splice(reader, writer)
        except OSError:
            # Either end went away: the client sees a closed connection, as with any server that is down.
            pass
        finally:
            # It counts for its task until it is gone, so a slow reader may take its time.
            await farewell(writer, self._knobs.proxy_idle_s)
            self._open.discard(writer)
            self._guests.leave(source)

    async def _splice(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whose = whose_it_is(writer, self._endpoint_id)  # first: who is gone already costs the API nothing
        to_api, from_api = await self._connect()
        give(from_api, whose)
        try:
            await asyncio.gather(self._copy(reader, from_api), self._copy(to_api, writer))
        finally:
            from_api.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._api_socket)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(None) as idle:
                while True:
                    idle.reschedule(asyncio.get_running_loop().time() + self._knobs.proxy_idle_s)
                    data = await source.read(_BLOCK)
                    if not data:
                        break
                    give(target, data)
                    await target.drain()
        except TimeoutError:
            # Silent for long: the other direction is ended as well.
            target.close()
            return
        give(target, b"")


def whose_it_is(writer: asyncio.StreamWriter, endpoint_id: str = "") -> bytes:
    """What says where a connection came from: the PROXY protocol, of version 1 where nothing else is to be said.

    Raises OSError.
    """
    peer, own = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
    if not peer or not own:
        raise ConnectionResetError("the task's end is gone")
    if endpoint_id:
        return header(HandedOn(source=peer[:2], to=own[:2], endpoint_id=endpoint_id))
    return f"PROXY TCP4 {peer[0]} {own[0]} {peer[1]} {own[1]}\r\n".encode()
