"""A VPC's resolver over real sockets of the loopback, with a scripted server in the place of the host's."""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.agent.names.resolver import Resolver, names_of
from neargate.agent.names.upstream import HostServers, Upstream
from neargate.dns.forwarding import Effect
from neargate.dns.message import A, is_cut, outcome_of
from neargate.model.knobs import Knobs
from neargate.model.network import RESOLVER_ADDRESS, VpcDns, VpcPlan
from neargate.testing import libresolv
from neargate.testing.agent_host import VPC, AgentHost
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.world import OsWorld

DNS = VpcDns(domain="ec2.internal", hostnames=True, public_domain="compute-1.amazonaws.com", pools=("198.18.0.0/24",))
ADDRESS = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x09"
KNOBS = Knobs(resolver_try_s=0.2, resolver_servers_look_s=0.0)
SERVER_FAILURE = 2


def plan(dns: VpcDns | None = DNS, generation: int = 1) -> VpcPlan:
    return VpcPlan(vpc_id="vpc-0a", generation=generation, cidrs=("10.0.0.0/16",), groups=(), dns=dns)


def told(asked: bytes, *, records: int = 1, flags: int = 0x8180) -> bytes:
    (number,) = struct.unpack_from(">H", asked)
    end = 12 + asked[12:].index(b"\x00") + 5
    return struct.pack(">HHHHHH", number, flags, 1, records, 0, 0) + asked[12:end] + ADDRESS * records


Script = Callable[[bytes, tuple[str, int]], list[bytes]]


class HostServer:
    """On UDP and TCP of one port. `script` says what a datagram is answered; a stream gets 60 records."""

    def __init__(self, script: Script, address: str = "127.0.0.1", port: int = 0) -> None:
        self.script = script
        self.asked: list[tuple[bytes, tuple[str, int]]] = []
        self.by_stream: list[bytes] = []
        self.stream_number: bytes | None = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        asyncio.get_running_loop().add_reader(self.socket, self._answer)
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, script: Script) -> "HostServer":
        """The port by TCP first: of those, many rest from connections that are over."""
        made: list[HostServer] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await made[0]._serve(reader, writer)

        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        made.append(cls(script, port=listening.sockets[0].getsockname()[1]))
        made[0]._server = listening
        return made[0]

    def _answer(self) -> None:
        data, source = self.socket.recvfrom(4096)
        self.asked.append((data, source))
        for each in self.script(data, source):
            self.socket.sendto(each, source)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
        self.by_stream.append(data)
        answer = told(data, records=60)
        answer = (self.stream_number or answer[:2]) + answer[2:]
        writer.write(len(answer).to_bytes(2, "big") + answer)
        await writer.drain()
        writer.close()

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
        if self._server is not None:
            self._server.close()


class Place:
    """A resolver between a task and the host's servers, all on the loopback."""

    def __init__(self, root: Path, port: int, other_knobs: Knobs | None = None) -> None:
        knobs = other_knobs or KNOBS
        self.plan: VpcPlan | None = plan()
        self.notes: list[str] = []
        self.resolv_conf = root / "resolv.conf"
        self.resolv_conf.write_text("nameserver 127.0.0.1\n")
        world = OsWorld()
        self.upstream = Upstream(world, knobs, self.notes.append, resolv_conf=self.resolv_conf, port=port)
        self.resolver = Resolver(world, knobs, "vpc-0a", self._current, self.upstream, self.notes.append)
        self._bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bound.bind(("127.0.0.1", 0))
        self._bound.setblocking(False)
        asyncio.get_running_loop().add_reader(self._bound, self.resolver.answer_datagrams, self._bound)
        self._server: asyncio.Server | None = None

    def _current(self) -> VpcPlan | None:
        return self.plan

    async def ask(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as task:
            task.setblocking(False)
            task.connect(self._bound.getsockname())
            task.send(query)
            return await asyncio.wait_for(loop.sock_recv(task, 4096), 10)

    async def ask_by_stream(self, *queries: bytes) -> list[bytes]:
        server = await asyncio.start_server(self.resolver.serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        answers = []
        try:
            for query in queries:
                writer.write(len(query).to_bytes(2, "big") + query)
                length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 10), "big")
                answers.append(await reader.readexactly(length))
        finally:
            await self._left(writer)
            server.close()
        return answers

    async def _left(self, writer: asyncio.StreamWriter) -> None:
        """And is gone for the resolver, too."""
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            while self.resolver.streams_open:  # noqa: ASYNC110  # it has no event for a test alone
                await asyncio.sleep(0.005)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._bound)
        self._bound.close()


def play(root: Path, script: Script, scenario: Callable[[Place, HostServer], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = await HostServer.start(script)
        place = Place(root, server.address[1])
        try:
            await scenario(place, server)
            assert place.upstream.under_way == 0
        finally:
            place.close()
            server.close()

    asyncio.run(whole())


def one(data: bytes, source: tuple[str, int]) -> list[bytes]:
    return [told(data)]


def test_own_names_are_answered_here_by_both_ways(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        query = libresolv.query("ip-10-0-1-5.ec2.internal", A)
        for answer in (await place.ask(query), *await place.ask_by_stream(query, query)):
            assert libresolv.read(answer).records["answer"] == ["ip-10-0-1-5.ec2.internal. 1M IN A 10.0.1.5"]
        assert outcome_of(await place.ask(libresolv.query("5.1.1.10.in-addr.arpa", 12))) == 3
        assert server.asked == [] and server.by_stream == []

    play(tmp_path, one, scenario)


def test_other_names_are_the_hosts_servers_by_both_ways(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        queries = [libresolv.query(f"n{n}.example.com", A) for n in range(40)]
        for query, answer in zip(queries, await asyncio.gather(*map(place.ask, queries)), strict=True):
            assert answer[:2] == query[:2] and libresolv.read(answer).records["answer"][0].endswith(" IN A 192.0.2.9")
        assert len({source[1] for _, source in server.asked}) == 40, "each from a port of its own"
        (whole,) = await place.ask_by_stream(queries[0])
        assert whole[:2] == queries[0][:2] and len(libresolv.read(whole).records["answer"]) == 60
        assert len(server.by_stream) == 1

    play(tmp_path, one, scenario)


def test_an_answer_by_tcp_must_be_one(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        query = libresolv.query("a.example.com", A)
        assert [outcome_of(each) for each in await place.ask_by_stream(query)] == [0]
        server.stream_number = bytes([server.by_stream[0][0] ^ 0x80, 7])
        assert [outcome_of(each) for each in await place.ask_by_stream(query)] == [SERVER_FAILURE]

    play(tmp_path, one, scenario)


def test_what_one_task_asks_is_bounded_and_another_goes_on(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        room = place.upstream._room
        held = 0
        while room.admit("vpc-0a 127.0.0.1"):
            held += 1
        assert held == KNOBS.resolver_forwarded_per_task
        query = libresolv.query("a.example.com", A)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(place.ask(query), 0.1)
        assert [outcome_of(each) for each in await place.ask_by_stream(query)] == [SERVER_FAILURE]
        assert outcome_of(await place.ask(libresolv.query("ip-10-0-1-5.ec2.internal", A))) == 0, "own names: always"
        assert server.asked == [] and room.admit("vpc-0b 127.0.0.1"), "the same address in another VPC"
        room.leave("vpc-0b 127.0.0.1")
        for _ in range(held):
            room.leave("vpc-0a 127.0.0.1")
        assert outcome_of(await place.ask(query)) == 0

    play(tmp_path, one, scenario)


def test_a_cut_answer_sends_the_task_to_tcp(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        assert is_cut(await place.ask(libresolv.query("big.example.com", A)))

    play(tmp_path, lambda data, source: [told(data, records=0, flags=0x8380)], scenario)


def test_answers_are_taken_from_the_server_that_was_asked(tmp_path: Path) -> None:
    """Others know the port, the number and the question here, as no forger could, and are still not heard."""

    def forge(data: bytes, source: tuple[str, int]) -> list[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            other.sendto(told(data, records=0), source)
        wrong = bytes([data[0] ^ 1]) + told(data, records=0)[1:]
        return [wrong, told(data, records=0).replace(b"\x03www", b"\x03wwx"), told(data)]

    async def scenario(place: Place, server: HostServer) -> None:
        answer = await place.ask(libresolv.query("www.example.com", A))
        assert len(libresolv.read(answer).records["answer"]) == 1

    play(tmp_path, forge, scenario)


def test_the_next_server_is_asked_when_one_is_silent_or_not_there(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        silent = HostServer(lambda data, source: [], "127.0.0.3", server.address[1])
        place.resolv_conf.write_text("nameserver 127.0.0.3\nnameserver 127.0.0.1\n")
        assert outcome_of(await place.ask(libresolv.query("a.example.com", A))) == 0
        assert len(silent.asked) == 1
        silent.close()
        # What replaces a resolv.conf is a file of its own, as dhcp clients and systemd-resolved write it.
        other = place.resolv_conf.with_suffix(".new")
        other.write_text("nameserver 127.0.0.4\nnameserver 127.0.0.1\n")
        os.rename(other, place.resolv_conf)
        assert outcome_of(await place.ask(libresolv.query("b.example.com", A))) == 0
        (whole,) = await place.ask_by_stream(libresolv.query("b.example.com", A))
        assert outcome_of(whole) == 0
        patient = Place(tmp_path, server.address[1], other_knobs=Knobs(resolver_try_s=60.0))
        patient.resolv_conf.write_text("nameserver 127.0.0.4\nnameserver 127.0.0.1\n")
        assert outcome_of(await patient.ask(libresolv.query("c.example.com", A))) == 0, "refused, so not waited for"
        patient.close()

    play(tmp_path, one, scenario)


def test_a_lookup_that_nobody_answers_fails_in_the_end(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        query = libresolv.query("a.example.com", A)
        assert outcome_of(await place.ask(query)) == SERVER_FAILURE and len(server.asked) == 3
        server.close()
        assert outcome_of(await place.ask(query)) == SERVER_FAILURE
        (by_stream,) = await place.ask_by_stream(query)
        assert outcome_of(by_stream) == SERVER_FAILURE

    play(tmp_path, lambda data, source: [], scenario)


def test_endpoints_have_names_with_their_plan(tmp_path: Path) -> None:
    endpoints = (
        ("ecs.us-east-1.amazonaws.com", "169.254.170.10"),
        ("logs.us-east-1.amazonaws.com", "10.0.1.7"),
        ("logs.us-east-1.amazonaws.com", "10.0.2.7"),
    )

    async def scenario(place: Place, server: HostServer) -> None:
        place.plan = plan(VpcDns(domain="ec2.internal", endpoints=endpoints))
        for name, address in endpoints:
            seen = libresolv.read(await place.ask(libresolv.query(name, A)))
            assert address in {record.split(" ")[-1] for record in seen.records["answer"]}
        assert server.asked == []
        assert outcome_of(await place.ask(libresolv.query("s3.us-east-1.amazonaws.com", A))) == 0
        assert len(server.asked) == 1

    play(tmp_path, one, scenario)


def test_an_attribute_of_the_vpc_holds_with_its_plan(tmp_path: Path) -> None:
    public = libresolv.query("ec2-198-18-0-7.compute-1.amazonaws.com", A)
    private = libresolv.query("ip-10-0-1-5.ec2.internal", A)

    async def scenario(place: Place, server: HostServer) -> None:
        assert libresolv.read(await place.ask(public)).records["answer"][0].endswith(" IN A 198.18.0.7")
        place.plan = plan(VpcDns(domain="ec2.internal"), 2)
        assert libresolv.read(await place.ask(public)).records["answer"][0].endswith(" IN A 192.0.2.9"), (
            "asked elsewhere"
        )
        for without in (plan(VpcDns(domain="ec2.internal", support=False), 3), plan(None, 4), None):
            place.plan = without
            assert is_cut(await place.ask(private)), "sent to TCP, where every client takes a failure for one"
            assert [outcome_of(each) for each in await place.ask_by_stream(private)] == [SERVER_FAILURE]
        place.plan = plan(VpcDns(domain="a..b"), 5)
        assert is_cut(await place.ask(private)) and is_cut(await place.ask(private))
        assert len(place.notes) == 1 and "vpc-0a has no resolver" in place.notes[0]
        place.plan = plan(generation=6)
        assert outcome_of(await place.ask(private)) == 0

    play(tmp_path, one, scenario)


def test_what_goes_wrong_ends_one_lookup(tmp_path: Path) -> None:
    private = libresolv.query("ip-10-0-1-5.ec2.internal", A)

    async def scenario(place: Place, server: HostServer) -> None:
        right = place._current

        def wrong() -> VpcPlan | None:
            raise RuntimeError("a bug")

        place.resolver._plan = wrong
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(place.ask(private), 0.05)
        with pytest.raises(asyncio.IncompleteReadError):
            await place.ask_by_stream(private)
        place.resolver._plan = right
        assert outcome_of(await place.ask(private)) == 0
        assert len(place.notes) == 1 and "a bug" in place.notes[0], "said now and then, not each time"

    play(tmp_path, one, scenario)


def test_an_answer_that_cannot_be_taken_ends_its_lookup_alone(tmp_path: Path) -> None:
    async def scenario(place: Place, server: HostServer) -> None:
        right = place.upstream._forwarder.heard

        def wrong(slot: int, data: bytes, now: float) -> list[Effect]:
            raise RuntimeError("a bug")

        place.upstream._forwarder.heard = wrong
        assert outcome_of(await place.ask(libresolv.query("a.example.com", A))) == SERVER_FAILURE
        place.upstream._forwarder.heard = right
        assert outcome_of(await place.ask(libresolv.query("b.example.com", A))) == 0
        assert len(place.notes) == 1 and "a bug" in place.notes[0]

    play(tmp_path, one, scenario)


def test_an_agent_answers_what_its_newest_plan_says(tmp_path: Path) -> None:
    query = libresolv.query("ip-10-0-1-5.ec2.internal", A)

    async def asked(host: AgentHost) -> int:
        """The outcome, by the agent's listener in the VPC's router."""
        name = host.host.network.listeners[VPC, RESOLVER_ADDRESS, 53].getsockname()
        reader, writer = await asyncio.open_unix_connection(name)
        writer.write(len(query).to_bytes(2, "big") + query)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        writer.close()
        return outcome_of(answer)

    async def whole() -> None:
        async with AgentHost(tmp_path) as host:
            agent = await host.started()
            await agent._plans.ready(VPC)
            assert await asked(host) == SERVER_FAILURE, "its plan says nothing of names"
            for generation, dns, outcome in (
                (2, DNS, 0),
                (3, VpcDns(domain="ec2.internal", support=False), 2),
                (4, DNS, 0),
            ):
                host.server.push(VpcPlan(vpc_id=VPC, generation=generation, cidrs=("10.0.0.0/16",), groups=(), dns=dns))
                await host.clock.sleep(1)
                assert await asked(host) == outcome
            host.kill()
            host.start()
            await host.clock.sleep(5)
            assert await asked(host) == 0, "as before a restart, from what was stored"

    run_virtual(whole())


def test_names_of_plans() -> None:
    assert names_of(None) is None and names_of(plan(None)) is None
    names = names_of(plan())
    assert names is not None and names.public_domain is not None
    with pytest.raises(ValueError, match="bits"):
        names_of(plan(VpcDns(domain="ec2.internal", pools=("198.18.0.1/24",))))


def test_the_hosts_file_is_looked_at_now_and_then_and_a_moment_without_it_changes_nothing(tmp_path: Path) -> None:
    async def scenario(world: VirtualWorld) -> None:
        path = tmp_path / "resolv.conf"
        host = HostServers(world, 1.0, path)
        assert host.current() == ("127.0.0.1",), "as resolv.conf(5) has it"
        path.write_text("nameserver 192.0.2.1\n")
        await world.sleep(1.0)
        assert host.current() == ("192.0.2.1",)
        path.write_text("nameserver 192.0.2.22\n")
        assert host.current() == ("192.0.2.1",)
        await world.sleep(1.0)
        assert host.current() == ("192.0.2.22",)
        path.unlink()
        await world.sleep(1.0)
        assert host.current() == ("192.0.2.22",)

    run_virtual(scenario(VirtualWorld()))
