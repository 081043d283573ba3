"""What is spawned or served goes on, whoever forgets it; and who is cancelled while it waits ends, whatever comes."""

import asyncio
import gc
import weakref

import pytest
import uvloop

from neargate.world import OsWorld, Serve, held, within

STEPS = 8  # of the event loop, more than a result takes to be heard of
LOOPS = (asyncio.new_event_loop, uvloop.new_event_loop)


class Part:
    """As a region's parts: its loop holds it, and it holds its world."""

    def __init__(self) -> None:
        self.world = OsWorld()
        self.queue: asyncio.Queue[int] = asyncio.Queue()

    async def run(self) -> None:
        await self.queue.get()


def test_a_loop_is_not_collected_with_all_that_knew_of_it() -> None:
    async def main() -> None:
        part = Part()
        task = weakref.ref(part.world.spawn(part.run(), "a loop"))
        await asyncio.sleep(0)  # it waits for what nobody can send it any more
        del part
        gc.collect()
        found = task()
        assert found is not None and not found.done()

    asyncio.run(main())


class Relay:
    """Asks another server for what it answers: in between, no end of the client's connection has anything to say."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self.ended = 0
        self.transports: list[asyncio.BaseTransport] = []  # which hold no task

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_client, from_client = await asyncio.open_connection("127.0.0.1", self._behind)
            self.transports.append(from_client.transport)
            from_client.write(await reader.read())
            from_client.write_eof()
            writer.write(await to_client.read())
            from_client.close()
            writer.close()
        finally:
            self.ended += 1


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def test_a_quiet_connection_is_served_to_its_end() -> None:
    async def main() -> None:
        asked, goes_on = asyncio.Event(), asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            question = await reader.read()
            asked.set()
            await goes_on.wait()
            writer.write(b"answer to " + question)
            writer.close()

        behind = await asyncio.start_server(answer, "127.0.0.1", 0)
        relay = Relay(port_of(behind))
        front = await asyncio.start_server(held(relay.serve), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front))
        writer.write(b"a question")
        writer.write_eof()
        try:
            await asked.wait()
            gc.collect()
            assert relay.ended == 0
            goes_on.set()
            assert await reader.read() == b"answer to a question"
        finally:
            goes_on.set()
            for transport in (writer.transport, *relay.transports):
                transport.close()
            for server in (front, behind):
                server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within(10, main()))


@pytest.mark.parametrize("fails", [False, True])
def test_who_has_been_served_is_held_no_longer(fails: bool) -> None:
    async def main() -> None:
        seen: list[weakref.ref[object]] = []

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            seen.append(weakref.ref(task))
            writer.close()
            if fails:
                raise ConnectionResetError

        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        served: Serve = held(serve)
        server = await asyncio.start_server(served, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        assert await reader.read() == b""
        writer.close()
        server.close()
        while seen[0]() is not None:
            await asyncio.sleep(0)
            gc.collect()

    asyncio.run(within(10, main()))


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("late", range(STEPS))
def test_a_cancellation_that_meets_the_result_is_not_lost(new_loop: object, late: int) -> None:
    async def main() -> None:
        came = asyncio.Event()

        async def look_for_ever() -> None:
            while True:
                came.clear()
                await within(60, came.wait())

        looking = OsWorld().spawn(look_for_ever(), "looking")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        came.set()
        for _ in range(late):
            await asyncio.sleep(0)
        looking.cancel()
        await asyncio.wait({looking}, timeout=10)
        assert looking.cancelled()

    with asyncio.Runner(loop_factory=new_loop) as runner:  # type: ignore[arg-type]  # either of them
        runner.run(main())


def test_what_is_in_time_is_given_and_what_is_not_is_a_time_out() -> None:
    async def main() -> None:
        asked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await within(0, asyncio.shield(asked))
        with pytest.raises(TimeoutError):
            await within(-1, asyncio.Event().wait())
        assert not asked.done(), "others wait for it, too"
        asyncio.get_running_loop().call_soon(asked.set_result, 7)
        assert await within(None, asked) == 7 == await within(0, asked)

    asyncio.run(main())
