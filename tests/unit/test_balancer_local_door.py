"""Load balancers at the API's port: what is theirs is relayed whole, what is not goes to the API."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, ClassVar

import pytest
import uvloop
from msgspec.structs import replace

from neargate.frontend.asgi_types import Message, Receive, Scope, Send
from neargate.frontend.balancing.local_door import LocalDoor, asks_for_balancer
from neargate.frontend.balancing.objects import Listener
from neargate.frontend.regional.shelves import Change
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk
from neargate.world import OsWorld

from .test_balancer_book import listener as http_listener
from .test_placing import ACCOUNT, HOST, run, start
from .test_placing_balancers import create, found

NAME = b"web.us-east-1.elb.localhost:4566"


class Node:
    """A server at an address of the loopback, in a node's place: it keeps what it is sent and answers as it is told."""

    def __init__(self) -> None:
        self.heard = b""
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: x\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nhi"
        self.waits_for = b"\r\n\r\n"
        self.breaks_off = False
        self.is_left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard += await reader.readuntil(self.waits_for)
            writer.write(self.answer)
            if self.breaks_off:
                reset = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                writer.transport.abort()
                return
            if self.answer:
                writer.close()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.is_left.set()
            writer.close()


class Stage:
    def __init__(self, door: LocalDoor, node: Node, process: Any) -> None:
        self.door, self.node, self.process = door, node, process

    async def ask(
        self,
        *bodies: bytes,
        host: bytes = NAME,
        method: str = "GET",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        client: str = "127.0.0.1",
        state: dict[str, str] | None = None,
        leaves: bool = False,
    ) -> list[Message]:
        sent: list[Message] = []
        messages: list[Message] = [
            {"type": "http.request", "body": body, "more_body": n < len(bodies)} for n, body in enumerate(bodies, 1)
        ] or [{"type": "http.request"}]

        async def receive() -> Message:
            if messages:
                return messages.pop(0)
            if not leaves:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: Scope = {
            "type": "http",
            "method": method,
            "path": "/a b",
            "raw_path": b"/a%20b",
            "query_string": b"q=1",
            "headers": [(b"host", host), *headers],
            "client": (client, 1),
            "state": state or {},
        }
        await asyncio.wait_for(self.door(scope, receive, send), 20)
        return sent

    async def become(self, **changes: Any) -> None:
        changed = replace(found(self.process), **changes)
        await self.process.network.change(ACCOUNT, lambda _: Change(result=None, put=(changed,)))

    async def listen(self, one: Listener) -> None:
        await self.process.network.change(ACCOUNT, lambda _: Change(result=None, put=(one,)))


async def api(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "api"})


def on_stage(
    story: Callable[[Stage], Coroutine[Any, Any, None]],
    world: type[OsWorld] = OsWorld,
    runs: Callable[[Callable[[], Coroutine[Any, Any, None]]], None] = run,
) -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        await create(process)
        await process.placing.look()
        node = Node()
        server = await asyncio.start_server(node.serve, "127.0.0.7", 0)
        stage = Stage(LocalDoor(world(), api, process.network, Knobs()), node, process)
        one = found(process)
        await stage.become(nodes=(replace(one.nodes[0], public_ip="127.0.0.7"),))
        await stage.listen(replace(http_listener(), port=server.sockets[0].getsockname()[1]))
        try:
            await story(stage)
        finally:
            server.close()

    runs(main)


def body(sent: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent[1:])


def test_a_request_and_its_answer_go_through_as_they_are() -> None:
    async def story(stage: Stage) -> None:
        sent = await stage.ask(headers=((b"x-one", b"1"), (b"connection", b"keep-alive")))
        assert stage.node.heard == (
            b"GET /a%20b?q=1 HTTP/1.1\r\nconnection: close\r\nhost: " + NAME + b"\r\nx-one: 1\r\n\r\n"
        )
        assert sent[0]["status"] == 200 and body(sent) == b"hi"
        assert sent[0]["headers"] == [(b"content-length", b"2"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]

    on_stage(story)


def test_bodies_are_streams_both_ways() -> None:
    async def story(stage: Stage) -> None:
        stage.node.waits_for = b"0\r\n\r\n"
        stage.node.answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n"
        stage.node.answer += b"3;x=y\r\nabc\r\n10\r\n" + b"d" * 16 + b"\r\n0\r\n\r\n"
        sent = await stage.ask(b"one", b"two", method="POST", headers=((b"transfer-encoding", b"chunked"),))
        assert stage.node.heard.partition(b"\r\n\r\n")[2] == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert sent[0]["status"] == 201 and sent[0]["headers"] == []
        assert body(sent) == b"abc" + b"d" * 16
        stage.node.waits_for, stage.node.heard = b"onetwo", b""
        stage.node.answer = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
        sent = await stage.ask(b"one", b"two", method="POST", headers=((b"content-length", b"6"),))
        assert stage.node.heard.endswith(b"\r\n\r\nonetwo") and body(sent) == b"until the end"

    on_stage(story)


def test_an_answer_that_ends_in_its_middle_is_not_taken_for_a_whole_one() -> None:
    async def story(stage: Stage) -> None:
        stage.node.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
        with pytest.raises(Exception, match=r"96 more|0 bytes read"):
            await stage.ask()

    on_stage(story)


def test_a_client_that_leaves_takes_the_nodes_connection_along() -> None:
    async def story(stage: Stage) -> None:
        stage.node.answer = b""
        await stage.ask(leaves=True)
        await asyncio.wait_for(stage.node.is_left.wait(), 10)

    on_stage(story)


class Watching(OsWorld):
    """What is spawned ends nothing here: a test asks how it ended. In the server it would end the process."""

    spawned: ClassVar[list["asyncio.Task[Any]"]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self.spawned.append(task)
        return task


def in_the_servers_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def test_a_node_that_breaks_off_while_a_body_comes_ends_that_request_and_no_more() -> None:
    async def story(stage: Stage) -> None:
        stage.node.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
        pieces: list[bytes] = []

        async def receive() -> Message:
            """The client sends a little, and more when it is known that the node broke off."""
            if pieces:
                await stage.node.is_left.wait()
                for _ in range(1000):
                    await asyncio.sleep(0)
            pieces.append(b"x")
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: Message) -> None:
            """It reads its answer only when nobody takes its body any more."""
            del message
            await asyncio.wait(Watching.spawned)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(b"host", NAME), (b"transfer-encoding", b"chunked")],
            "client": ("127.0.0.1", 1),
        }
        stage.node.breaks_off = True
        with suppress(Exception):  # its answer may have broken off too, and then it ends so
            await asyncio.wait_for(stage.door(scope, receive, send), 20)
        assert [task.exception() for task in Watching.spawned] == [None]

    on_stage(story, Watching, in_the_servers_loop)


def test_what_is_of_nobody_on_the_loopback_is_the_apis() -> None:
    async def story(stage: Stage) -> None:
        for given in (
            {"host": b"localhost:4566"},
            {"host": b"elb.localhost.example.com"},
            {"client": "192.0.2.1"},
            {"client": ""},
            {"state": {"vpc_endpoint": "vpce-1"}},
        ):
            assert await stage.ask(**given) == [{"type": "api"}], given  # type: ignore[arg-type]
        assert asks_for_balancer([(b"host", b"WEB.us-east-1.ELB.localhost")])

    on_stage(story)


def test_what_cannot_be_reached_says_why() -> None:
    async def story(stage: Stage) -> None:
        sent = await stage.ask(host=b"other.us-east-1.elb.localhost")
        assert (sent[0]["status"], body(sent)) == (503, b"There is no load balancer other in us-east-1.\n")
        await stage.listen(replace(http_listener(), port=443, protocol="HTTPS"))
        sent = await stage.ask()
        assert b"has no HTTP listener" in body(sent)
        await stage.listen(replace(http_listener(), port=1))
        sent = await stage.ask()
        assert (sent[0]["status"], body(sent)[:14]) == (502, b"127.0.0.7:1, a")
        await stage.become(nodes=(replace(found(stage.process).nodes[0], public_ip=None),))
        sent = await stage.ask()
        assert (sent[0]["status"], b"from its VPC alone" in body(sent)) == (503, True)

    on_stage(story)
