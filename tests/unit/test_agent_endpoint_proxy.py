"""Connections that a task hands on to the region's API, with the agent's own loop: what ends them is no fault."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from neargate.agent.endpoint_proxy import EndpointProxy
from neargate.agent.guests import Guests
from neargate.model.knobs import Knobs
from neargate.world import OsWorld, within


async def drained_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        await writer.drain()


@pytest.mark.parametrize("last", [b"more of an answer", b""])
def test_whom_an_answer_finds_gone_has_broken_off(tmp_path: Path, last: bytes) -> None:
    async def main() -> None:
        proxy = EndpointProxy(Knobs(), "vpc-1", Guests(each_max=1, all_max=1), str(tmp_path / "api"))
        taken: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda _, writer: taken.set_result(writer), "127.0.0.1", 0)
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        to_client, from_api = await taken, asyncio.StreamReader()

        async def copy() -> str:
            try:
                await proxy._copy(from_api, to_client)
            except Exception as error:
                return type(error).__name__
            return "its end"

        copying = OsWorld().spawn(copy(), "an answer")
        await asyncio.sleep(0)
        to_client.transport.abort()
        with pytest.raises(ConnectionResetError):
            await drained_for_ever(to_client)
        client.close()
        server.close()
        from_api.feed_data(last)
        from_api.feed_eof()
        assert await copying == "ConnectionResetError"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within(10, main()))
