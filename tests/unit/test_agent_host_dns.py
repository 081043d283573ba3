"""The region's names for its machine, over real sockets of the loopback."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from neargate.agent.names.for_the_host import HOST_DNS_FILE, HostDns, HostDnsSettings
from neargate.agent.names.resolver import Resolver, names_of
from neargate.agent.names.upstream import Upstream
from neargate.dns.host_view import host_answer, is_below
from neargate.dns.message import AAAA, CNAME, PTR, SRV, A, name
from neargate.model.knobs import Knobs
from neargate.model.network import DnsRecords, DnsZone, Eni, VpcDns, VpcPlan
from neargate.testing import libresolv
from neargate.testing.netlab import eni
from neargate.world import OsWorld

NO_ERROR, NO_SUCH_NAME, REFUSED = 0, 3, 5
KNOBS = Knobs(resolver_try_s=0.2, resolver_servers_look_s=0.0)
ADDRESS = "127.53.77.1"
ZONE = DnsZone(
    name="prod.local",
    ttl_s=15,
    records=(
        DnsRecords(name="web.prod.local", type="A", ttl_s=10, values=("172.31.1.1", "172.31.1.2"), most=8),
        DnsRecords(name="_http.prod.local", type="SRV", ttl_s=10, values=("1 1 80 one.prod.local",), most=1),
        DnsRecords(name="one.prod.local", type="A", ttl_s=10, values=("172.31.1.1",), most=1),
        DnsRecords(name="elsewhere.prod.local", type="A", ttl_s=10, values=("192.0.2.9",), most=1),
        DnsRecords(name="alias.prod.local", type="CNAME", ttl_s=10, values=("www.example.com",), most=1),
    ),
)
PLAN = VpcPlan(
    vpc_id="vpc-0a",
    generation=1,
    cidrs=("172.31.0.0/16", "2001:db8::/56"),
    groups=(),
    dns=VpcDns(
        domain="ec2.internal",
        hostnames=True,
        public_domain="compute-1.amazonaws.com",
        pools=("198.18.0.0/24",),
        endpoints=(("neargate.internal", "169.254.170.10"),),
        zones=(ZONE,),
    ),
)
SETTINGS = HostDnsSettings(
    vpc_id="vpc-0a", address=ADDRESS, domains=("neargate.internal", "ec2.internal", "prod.local"), port=0
)
ENIS = (eni(1, public="198.18.0.5"), eni(2), replace(eni(3, public="198.18.0.9"), vpc_id="vpc-0b"))


def query(text: str, kind: int = A, number: int = 7) -> bytes:
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name(text) + struct.pack(">HH", kind, 1)


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind((ADDRESS, 0))
        return int(tried.getsockname()[1])


class Host:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan: VpcPlan | None = PLAN
        self.enis: tuple[Eni, ...] = ENIS
        self.notes: list[str] = []
        self.world = OsWorld()
        self.file = directory / HOST_DNS_FILE
        self.settings = replace(SETTINGS, port=free_port())
        self.dns = HostDns(
            self.world,
            KNOBS,
            self.file,
            lambda vpc_id: self.plan if vpc_id == "vpc-0a" else None,
            lambda: self.enis,
            self.notes.append,
        )

    def write(self) -> None:
        self.file.write_bytes(msgspec.json.encode(self.settings))

    async def ask(self, text: str, kind: int = A) -> libresolv.Seen:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendto(client, query(text, kind), (ADDRESS, self.settings.port))
            return libresolv.read(await asyncio.wait_for(loop.sock_recv(client, 4096), 10))

    async def ask_by_stream(self, *texts: str) -> list[libresolv.Seen]:
        reader, writer = await asyncio.open_connection(ADDRESS, self.settings.port)
        found = []
        for text in texts:
            data = query(text)
            writer.write(len(data).to_bytes(2, "big") + data)
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 10), "big")
            found.append(libresolv.read(await reader.readexactly(length)))
        writer.close()
        return found


def story(directory: Path, body: Callable[[Host], Awaitable[None]], *, installed: bool = True) -> None:
    async def told() -> None:
        host = Host(directory)
        if installed:
            host.write()
            assert await host.dns.look() == ADDRESS
        try:
            await body(host)
        finally:
            host.dns.close()

    asyncio.run(asyncio.wait_for(told(), 60))


@pytest.mark.parametrize(
    ("text", "kind", "outcome", "data"),
    [
        ("ip-172-31-1-1.ec2.internal", A, NO_ERROR, ["198.18.0.5"]),
        ("IP-172-31-1-1.EC2.internal", A, NO_ERROR, ["198.18.0.5"]),
        ("ip-172-31-1-2.ec2.internal", A, NO_ERROR, []),  # it has no address that this machine reaches
        ("ip-10-0-0-1.ec2.internal", A, NO_SUCH_NAME, []),
        ("web.prod.local", A, NO_ERROR, ["198.18.0.5"]),
        ("none.prod.local", A, NO_SUCH_NAME, []),
        ("elsewhere.prod.local", A, NO_ERROR, ["192.0.2.9"]),
        ("one.prod.local", AAAA, NO_ERROR, []),
        ("_http.prod.local", SRV, NO_ERROR, ["1 1 80 one.prod.local."]),
        ("alias.prod.local", CNAME, NO_ERROR, ["www.example.com."]),
        ("neargate.internal", A, NO_ERROR, ["127.0.0.1"]),
        ("other.neargate.internal", A, NO_SUCH_NAME, []),
        # Nobody's here: asked nowhere else, so that no lookup goes in a circle.
        ("www.example.com", A, REFUSED, []),
        ("ec2-198-18-0-5.compute-1.amazonaws.com", A, REFUSED, []),
        ("1.1.31.172.in-addr.arpa", PTR, REFUSED, []),
        ("internal", A, REFUSED, []),
        (".", A, REFUSED, []),
        ("notec2.internal", A, REFUSED, []),
    ],
)
def test_what_the_machine_is_answered(tmp_path: Path, text: str, kind: int, outcome: int, data: list[str]) -> None:
    async def body(host: Host) -> None:
        seen = await host.ask(text, kind)
        assert seen.outcome == outcome
        assert [" ".join(record.split()[4:]) for record in seen.records["answer"]] == data

    story(tmp_path, body)


def test_by_tcp_too(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        one, other = await host.ask_by_stream("web.prod.local", "www.example.com")
        assert (one.outcome, len(one.records["answer"]), other.outcome) == (NO_ERROR, 1, REFUSED)

    story(tmp_path, body)


def test_a_task_that_comes_and_goes_is_seen_at_once(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        host.enis = (*ENIS, eni(9, public="198.18.0.19"))
        assert "198.18.0.19" in (await host.ask("ip-172-31-1-9.ec2.internal")).records["answer"][0]
        host.enis = ()
        assert (await host.ask("ip-172-31-1-9.ec2.internal")).records["answer"] == []
        assert host.plan is not None and host.plan.dns is not None
        host.plan = replace(host.plan, generation=2, dns=replace(host.plan.dns, zones=()))
        assert (await host.ask("web.prod.local")).outcome == REFUSED

    story(tmp_path, body)


@pytest.mark.parametrize("plan", [None, replace(PLAN, dns=None), replace(PLAN, dns=VpcDns(domain="x", support=False))])
def test_without_a_task_there_is_the_endpoint(tmp_path: Path, plan: VpcPlan | None) -> None:
    async def body(host: Host) -> None:
        host.plan = plan
        assert (await host.ask("neargate.internal")).records["answer"] != []
        assert (await host.ask("web.prod.local")).outcome == REFUSED

    story(tmp_path, body)


def test_it_listens_while_the_file_is_there(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        assert await host.dns.look() == ""
        host.write()
        assert await host.dns.look() == await host.dns.look() == ADDRESS
        assert (await host.ask("neargate.internal")).outcome == NO_ERROR
        assert host.dns.hidden.address == ADDRESS and name("prod.local") in host.dns.hidden.domains
        host.settings = replace(host.settings, domains=("neargate.internal",))
        host.write()
        assert await host.dns.look() == ADDRESS
        assert (await host.ask("web.prod.local")).outcome == REFUSED
        host.file.unlink()
        assert await host.dns.look() == ""
        assert host.dns.hidden.domains == frozenset()
        with pytest.raises(ConnectionRefusedError):
            await host.ask_by_stream("neargate.internal")

    story(tmp_path, body, installed=False)


def test_who_is_connected_is_let_go_of_with_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(host: Host) -> None:
        reader, writer = await asyncio.open_connection(ADDRESS, host.settings.port)
        asked = query("neargate.internal")
        writer.write(len(asked).to_bytes(2, "big") + asked)
        assert await asyncio.wait_for(reader.read(2), 10)
        host.file.unlink()
        assert await host.dns.look() == ""
        writer.write(len(asked).to_bytes(2, "big") + asked)
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()

    story(tmp_path, body)
    assert not [record for record in caplog.records if record.name == "asyncio"], "nothing was asked of no listener"


def test_a_listener_that_could_not_begin_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(host: Host) -> None:
        host.write()

        async def refused(*_: object, **__: object) -> None:
            raise OSError(98, "in use")

        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "start_server", refused)
            with pytest.raises(OSError, match="in use"):
                await host.dns.look()
        assert await host.dns.look() == ADDRESS
        assert (await host.ask("neargate.internal")).outcome == NO_ERROR

    story(tmp_path, body, installed=False)


def test_an_address_that_somebody_has_costs_the_names_alone(tmp_path: Path) -> None:
    async def body(host: Host) -> None:
        host.write()
        with socket.socket() as other:
            other.bind((ADDRESS, host.settings.port))
            other.listen()
            with pytest.raises(OSError, match="in use"):
                await host.dns.look()
            await host.dns.begin()
            assert "this machine does not hear the region's names" in host.notes[-1]
        assert await host.dns.look() == ADDRESS

    story(tmp_path, body, installed=False)


@pytest.mark.parametrize("data", [b"", b"x" * 12, query("web.prod.local")[:-1], b"\xff" * 4000, bytes(12)])
def test_noise_is_survived(tmp_path: Path, data: bytes) -> None:
    async def body(host: Host) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(data, (ADDRESS, host.settings.port))
        reader, writer = await asyncio.open_connection(ADDRESS, host.settings.port)
        writer.write(len(data).to_bytes(2, "big") + data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert (await host.ask("neargate.internal")).outcome == NO_ERROR

    story(tmp_path, body)


def test_tasks_of_other_vpcs_learn_nothing_by_asking_their_host(tmp_path: Path) -> None:
    """Their lookups go to the machine's servers, which may ask here by now."""

    async def body(host: Host) -> None:
        (tmp_path / "resolv.conf").write_text(f"nameserver {ADDRESS}\nnameserver 127.53.77.9\n")
        asked: list[bytes] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.53.77.9", host.settings.port))
            server.setblocking(False)
            loop = asyncio.get_running_loop()
            loop.add_reader(server, lambda: asked.append(server.recv(4096)))
            upstream = Upstream(
                host.world,
                KNOBS,
                host.notes.append,
                resolv_conf=tmp_path / "resolv.conf",
                port=host.settings.port,
                hidden=lambda: host.dns.hidden,
            )
            other = VpcPlan(vpc_id="vpc-0b", generation=1, cidrs=("10.0.0.0/16",), groups=(), dns=VpcDns(domain="x.y"))
            resolver = Resolver(host.world, KNOBS, "vpc-0b", lambda: other, upstream, host.notes.append)
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as task,
            ):
                for one in (bound, task):
                    one.bind(("127.0.0.1", 0))
                    one.setblocking(False)
                loop.add_reader(bound, resolver.answer_datagrams, bound)
                for text, outcome in (("web.prod.local", NO_SUCH_NAME), ("Ip-172-31-1-1.ec2.Internal", NO_SUCH_NAME)):
                    await loop.sock_sendto(task, query(text), bound.getsockname())
                    seen = libresolv.read(await asyncio.wait_for(loop.sock_recv(task, 4096), 10))
                    assert (seen.outcome, seen.records["answer"]) == (outcome, [])
                assert asked == []
                await loop.sock_sendto(task, query("www.example.com"), bound.getsockname())
                await asyncio.wait_for(loop.sock_recv(task, 4096), 10)
                assert len(asked) == KNOBS.resolver_tries_max, "the other server was asked each time, ours never"
                loop.remove_reader(bound)
            loop.remove_reader(server)

    story(tmp_path, body)


def test_what_is_below_a_domain() -> None:
    domains = {name("prod.local")}
    assert is_below(name("prod.local"), domains) and is_below(name("a.b.prod.local"), domains)
    assert not is_below(name("xprod.local"), domains) and not is_below(name("local"), domains)
    assert not is_below(name("."), domains)


def test_an_answer_that_is_no_query_gets_none() -> None:
    names = names_of(PLAN)
    assert names is not None
    answer = bytearray(query("web.prod.local"))
    answer[2] |= 0x80
    assert host_answer(bytes(answer), names, {name("prod.local")}, {}) is None
