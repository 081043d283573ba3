"""Load balancers on the machine's loopback: which one a connection is for, and that bytes go through."""

import asyncio
import gc
import socket
import ssl
from collections.abc import Collection, Coroutine
from typing import Any

import pytest
import uvloop

from neargate.agent.balancers.asked_name import HEAD_MAX_BYTES, asked_name, is_http
from neargate.agent.balancers.loopback import LoopbackDoors, doors
from neargate.model.balancing import BalancerPlan, FixedResponse, PlannedListener, PlannedNode
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

HOST = "host-1"


def plan(name: str, *ports: int, public: str | None = "127.0.0.2", host: str = HOST) -> BalancerPlan:
    return BalancerPlan(
        arn=f"arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/{name}/1",
        vpc_id="vpc-1",
        name=name,
        kind="application",
        generation=1,
        nodes=(
            PlannedNode(
                place="elbnode-1",
                eni_id="eni-1",
                zone="a",
                private_ipv4="10.0.0.9",
                public_ipv4=public,
                host_id=host,
            ),
        ),
        listeners=tuple(
            PlannedListener(arn=f"arn:{port}", port=port, protocol="HTTP", default=FixedResponse(code=200))
            for port in ports
        ),
    )


def hello(name: str | None) -> bytes:
    """What a client of TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name) if name else None
    if client is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        client = context.wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\r\nHost: web.eu-west-1.elb.localhost", None),
        (b"GET / HTTP/1.1\r\nA: x\r\nHOST:  Web.eu-west-1.elb.localhost:80 \r\n\r\n", "web.eu-west-1.elb.localhost"),
        (b"GET / HTTP/1.1\r\nHost: web\r\n\r\nHost: body", "web"),
        (b"GET / HTTP/1.0\r\n\r\n", ""),
        (b"\x00\x01 nothing that is known", ""),
        (b"G" * HEAD_MAX_BYTES, ""),
        (hello("web.eu-west-1.elb.localhost"), "web.eu-west-1.elb.localhost"),
        (hello("web.eu-west-1.elb.localhost")[:50], None),
        (hello(None), ""),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", ""),
    ],
    ids=range(11),  # a hello is another one each time
)  # fmt: skip
def test_the_name_that_first_bytes_ask_for(data: bytes, name: str | None) -> None:
    assert asked_name(data) == name


def test_only_a_whole_head_of_http_is_answered_as_one() -> None:
    assert is_http(b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n")
    assert not is_http(b"GET /x HTTP/1.1\r\nHost: web\r\n")
    assert not is_http(b"SSH-2.0-x\r\n\r\n") and not is_http(hello("web"))


def test_internal_ones_and_those_of_other_hosts_are_not_here() -> None:
    plans = [plan("web", 80, 81), plan("inner", 80, public=None), plan("far", 80, host="host-2")]
    web = {"web.eu-west-1.elb.localhost": ("127.0.0.2",)}
    assert doors(plans, HOST) == {80: web, 81: web}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stage:
    """A load balancer's node is a server at another address of the loopback."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.port = free_port()
        self.here = LoopbackDoors(Knobs(), HOST, self.notes.append)
        self._servers: list[asyncio.Server] = []

    async def node(self, address: str, answer: bytes) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer + await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        self._servers.append(await asyncio.start_server(serve, address, self.port))

    async def ask(self, name: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {name}:{self.port}\r\n\r\n".encode())
        found = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return found.partition(b"GET")[0]

    def close(self) -> None:
        self.here.close()
        for server in self._servers:
            server.close()


def staged(story: Any) -> None:
    async def main() -> None:
        stage = Stage()
        try:
            made: Coroutine[Any, Any, None] = story(stage)
            await asyncio.wait_for(made, 30)
        finally:
            stage.close()

    asyncio.run(main())


def test_of_several_at_one_port_the_name_decides() -> None:
    async def story(stage: Stage) -> None:
        await stage.node("127.0.0.2", b"web ")
        await stage.node("127.0.0.3", b"api ")
        await stage.here.follow([plan("web", stage.port), plan("api", stage.port, public="127.0.0.3")])
        assert await stage.ask("web.eu-west-1.elb.localhost") == b"web "
        assert await stage.ask("api.eu-west-1.elb.localhost") == b"api "
        told = await stage.ask("nobody.eu-west-1.elb.localhost")
        assert told.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert f"no load balancer nobody.eu-west-1.elb.localhost at port {stage.port}".encode() in told
        await stage.here.follow([plan("api", stage.port, public="127.0.0.3")])
        assert await stage.ask("localhost") == b"api ", "one that is alone needs no name"

    staged(story)


def test_a_port_is_closed_when_nothing_listens_there_any_more() -> None:
    async def story(stage: Stage) -> None:
        await stage.here.follow([plan("web", stage.port)])
        await stage.here.follow([])
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", stage.port)

    staged(story)


def test_a_port_of_somebody_else_is_his_and_is_told_of_once() -> None:
    async def story(stage: Stage) -> None:
        await stage.node("127.0.0.1", b"mine ")
        for _ in range(3):
            await stage.here.follow([plan("web", stage.port)])
        assert len(stage.notes) == 1 and f"127.0.0.1:{stage.port}" in stage.notes[0]
        assert await stage.ask("web.eu-west-1.elb.localhost") == b"mine "

    staged(story)


def test_a_port_of_the_regions_own_is_not_taken_though_nobody_listens_there_now() -> None:
    async def story(stage: Stage) -> None:
        stage.here = LoopbackDoors(Knobs(), HOST, stage.notes.append, kept=(stage.port,))
        for _ in range(2):
            await stage.here.follow([plan("web", stage.port)])
        assert stage.notes == [
            f"load balancers are not at 127.0.0.1:{stage.port} of this machine: the port is the region's own"
        ]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", stage.port)

    staged(story)


def test_a_client_that_never_ends_what_the_load_balancer_ended_is_left() -> None:
    async def story(stage: Stage) -> None:
        stage.here = LoopbackDoors(Knobs(proxy_idle_s=0.05), HOST, stage.notes.append)
        await stage.node("127.0.0.2", b"web ")
        await stage.here.follow([plan("web", stage.port)])
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).startswith(b"web ")
        while stage.here.open:
            await OsWorld().sleep(0.01)
        writer.close()

    staged(story)


@pytest.mark.parametrize("allowed", [(), range(1, 1024)])
def test_a_port_that_the_operator_keeps_for_others_is_left_to_them_without_a_word(allowed: Collection[int]) -> None:
    async def story(stage: Stage) -> None:
        stage.here = LoopbackDoors(Knobs(), HOST, stage.notes.append, allowed=allowed)
        await stage.here.follow([plan("web", stage.port)])
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", stage.port)
        assert stage.notes == []

    staged(story)


@pytest.mark.parametrize("client_breaks", [False, True])
def test_a_connection_whose_ends_are_quiet_is_no_garbage(client_breaks: bool) -> None:
    """With the loop that the agent has, which holds nothing of a client that has said its last word."""

    async def main() -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        stage, asked, goes_on = Stage(), asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            asked.set()
            await goes_on.wait()
            writer.write(b"the answer")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.2", stage.port)
        await stage.here.follow([plan("web", stage.port)])
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        writer.write_eof()
        await asked.wait()
        if client_breaks:
            writer.transport.abort()
        gc.collect()
        goes_on.set()
        if not client_breaks:
            assert await reader.read() == b"the answer"
        while stage.here.open:
            await OsWorld().sleep(0.01)
        writer.close()
        stage.close()
        server.close()
        gc.collect()  # a task whose fault nobody heard says so when it goes
        assert faults == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main(), 10))
