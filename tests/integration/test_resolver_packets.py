"""Names as tasks see them: clients of two C libraries in task namespaces, a VPC's resolver in its router, and a
scripted server in the place of the host's. Real packets."""

import asyncio
import contextlib
import shutil
import socket
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.names.resolver import Resolver
from neargate.agent.names.upstream import Upstream
from neargate.agent.vpc_listeners import VpcListeners
from neargate.dns.message import A, outcome_of
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.knobs import Knobs
from neargate.model.network import AWS_RESOLVER_ADDRESS, SecurityGroup, VpcDns, VpcPlan
from neargate.testing import libresolv
from neargate.testing.netlab import NetLab, eni, plan, socket_in

pytestmark = pytest.mark.root
SHUT = SecurityGroup(group_id="sg-0shut", ingress=(), egress=())
BASE_TWO = "172.31.0.2"
KNOBS = Knobs(resolver_try_s=0.5, resolver_servers_look_s=0.0)
MANY = 60
SERVER_FAILURE = 2


class ScriptedServer(asyncio.DatagramProtocol):
    """`many.*` is cut by UDP and has 60 addresses by TCP; `void.*` is never answered; all else is 192.0.2.9."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked.append(data)
        assert self._transport is not None
        if b"\x04void" not in data:
            self._transport.sendto(_told(data, 0 if b"\x04many" in data else 1), addr)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        answer = _told(await reader.readexactly(length), MANY)
        writer.write(struct.pack(">H", len(answer)) + answer)
        await writer.drain()
        writer.close()


def _told(asked: bytes, records: int) -> bytes:
    end = 12 + asked[12:].index(b"\x00") + 5
    if asked[end - 4 : end - 2] != b"\x00\x01":
        return asked[:2] + struct.pack(">HHHHH", 0x8180, 1, 0, 0, 0) + asked[12:end]
    flags = 0x8180 if records else 0x8380
    owner = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02"
    listed = b"".join(owner + bytes([9 + n]) for n in range(records))
    return asked[:2] + struct.pack(">HHHHH", flags, 1, records, 0, 0) + asked[12:end] + listed


class Names:
    """Two tasks of one VPC without a way out, and the resolver between them and the scripted server."""

    def __init__(self, lab: NetLab, root: Path) -> None:
        self.lab = lab
        self.root = root
        self.plan = self._plan(1, VpcDns(domain="ec2.internal"))
        self.notes: list[str] = []
        self.server = ScriptedServer()
        self.upstream: Upstream | None = None
        self._closing = contextlib.ExitStack()

    async def idle(self) -> None:
        """No lookup is under way any more, and none holds a socket."""
        async with asyncio.timeout(10):
            while self.upstream is not None and self.upstream.under_way:  # noqa: ASYNC110  # no event for a test alone
                await asyncio.sleep(0.05)

    def close(self) -> None:
        self._closing.close()

    def _plan(self, generation: int, dns: VpcDns | None) -> VpcPlan:
        return replace(plan(generation, SHUT), dns=dns)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        # The port by TCP first: of those, many rest from connections that are over.
        streams = await asyncio.start_server(self.server.stream, "127.0.0.1", 0)
        self._closing.callback(streams.close)
        port = streams.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(lambda: self.server, local_addr=("127.0.0.1", port))
        self._closing.callback(transport.close)
        resolv_conf = self.root / "host-resolv.conf"
        resolv_conf.write_text("nameserver 127.0.0.1\n")
        upstream = Upstream(self.lab.world, KNOBS, self.notes.append, resolv_conf=resolv_conf, port=port)
        self.upstream = upstream
        metadata: Any = None  # nobody asks for any here

        def resolver_of(vpc_id: str) -> Resolver:
            return Resolver(self.lab.world, KNOBS, vpc_id, lambda: self.plan, upstream, self.notes.append)

        await self.lab.network.apply_vpc(self.plan)
        listeners = VpcListeners(KNOBS, self.lab.network, metadata, "", 4566, resolver_of)
        await listeners.open("vpc-0a")
        await listeners.open("vpc-0a")
        for server in listeners._servers.values():
            self._closing.callback(server.close)
        for bound in listeners._datagrams.values():
            self._closing.callback(bound.close)
            self._closing.callback(loop.remove_reader, bound.fileno())

    def without_support(self) -> None:
        self.plan = self._plan(2, VpcDns(domain="ec2.internal", support=False))

    async def run(self, task: TaskNetwork, *command: str, nameserver: str = BASE_TWO) -> tuple[int, str]:
        """In the task's network, with a resolv.conf as tasks have one: (exit code, output)."""
        theirs = self.root / "task-resolv.conf"
        theirs.write_text(f"search ec2.internal\nnameserver {nameserver}\n")
        script = f'mount --bind {theirs} /etc/resolv.conf && exec timeout 10 "$@"'
        inside = ["nsenter", f"--net={task.netns_path}", "unshare", "--mount", "sh", "-c", script, "sh", *command]
        process = await asyncio.create_subprocess_exec(
            *inside, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    async def addresses(self, task: TaskNetwork, name: str, *, nameserver: str = BASE_TWO) -> list[str]:
        """As the C library finds them."""
        command = ("getent", "-s", "hosts:dns", "ahostsv4", name)
        _, output = await self.run(task, *command, nameserver=nameserver)
        return sorted({line.split()[0] for line in output.splitlines()})


Scenario = Callable[[Names, TaskNetwork, TaskNetwork], Coroutine[Any, Any, None]]


def play(root: Path, scenario: Scenario) -> None:
    async def whole() -> None:
        lab = await NetLab.open(root / "run")
        names = Names(lab, root)
        try:
            await names.open()
            tasks = [await lab.attach(f"t{number}", eni(number, "sg-0shut")) for number in (1, 2)]
            await scenario(names, *tasks)
            await names.idle()
            assert names.notes == []
        finally:
            names.close()
            await lab.close()

    asyncio.run(whole())


def test_the_c_library_finds_names_of_the_vpc_and_of_the_world(tmp_path: Path) -> None:
    async def scenario(names: Names, task: TaskNetwork, other: TaskNetwork) -> None:
        for nameserver in (BASE_TWO, AWS_RESOLVER_ADDRESS):
            assert await names.addresses(task, "ip-172-31-1-2.ec2.internal", nameserver=nameserver) == ["172.31.1.2"]
            assert await names.addresses(task, "ip-172-31-1-2", nameserver=nameserver) == ["172.31.1.2"], "by search"
            assert await names.addresses(task, "example.com", nameserver=nameserver) == ["192.0.2.9"]
        code, output = await names.run(task, "getent", "-s", "hosts:dns", "hosts", "172.31.1.2")
        assert (code, output.split()) == (0, ["172.31.1.2", "ip-172-31-1-2.ec2.internal"])
        assert (await names.run(task, "getent", "-s", "hosts:dns", "ahosts", "db.ec2.internal"))[0] == 2
        assert not any(b"internal" in asked.lower() for asked in names.server.asked)

    play(tmp_path, scenario)


def test_what_does_not_fit_comes_by_tcp(tmp_path: Path) -> None:
    async def scenario(names: Names, task: TaskNetwork, other: TaskNetwork) -> None:
        assert len(await names.addresses(task, "many.example.com")) == MANY

    play(tmp_path, scenario)


@pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox")
def test_busybox_finds_them_too(tmp_path: Path) -> None:
    async def scenario(names: Names, task: TaskNetwork, other: TaskNetwork) -> None:
        _, output = await names.run(task, "busybox", "nslookup", "ip-172-31-1-2.ec2.internal", BASE_TWO)
        assert "172.31.1.2" in output.replace(BASE_TWO, "")
        _, output = await names.run(task, "busybox", "nslookup", "example.com", BASE_TWO)
        assert "192.0.2.9" in output

    play(tmp_path, scenario)


def test_without_dns_support_every_lookup_fails_at_once(tmp_path: Path) -> None:
    async def scenario(names: Names, task: TaskNetwork, other: TaskNetwork) -> None:
        assert await names.addresses(task, "example.com") == ["192.0.2.9"]
        names.without_support()
        async with asyncio.timeout(4):  # the C library waits 5 s for a server that does not speak
            assert await names.addresses(task, "example.com") == []
            assert await names.addresses(task, "ip-172-31-1-2.ec2.internal") == []

    play(tmp_path, scenario)


def test_a_task_that_floods_the_resolver_takes_nothing_from_another(tmp_path: Path) -> None:
    async def scenario(names: Names, task: TaskNetwork, other: TaskNetwork) -> None:
        over = asyncio.Event()

        async def flood() -> None:
            with socket_in(task.netns_path, kind=socket.SOCK_DGRAM) as hostile:
                hostile.connect((BASE_TWO, 53))
                number = 0
                while not over.is_set():
                    for _ in range(50):
                        number += 1
                        query = libresolv.query(f"void.n{number}.example.com", A)
                        hostile.send(number.to_bytes(4, "big")[2:] + query[2:])
                        hostile.send(b"\xff" * (number % 600))
                    await asyncio.sleep(0.01)

        flooding = asyncio.create_task(flood())
        await asyncio.sleep(1.0)
        with socket_in(other.netns_path, kind=socket.SOCK_DGRAM) as calm:
            calm.connect((BASE_TWO, 53))
            for name in ("ip-172-31-1-2.ec2.internal", "example.com") * 20:
                query = libresolv.query(name, A)
                calm.send(query)
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(calm, 4096), 5)
                assert answer[:2] == query[:2] and outcome_of(answer) == 0
                await asyncio.sleep(0.02)
        over.set()
        await flooding
        voids = {asked[12:] for asked in names.server.asked if b"\x04void" in asked}
        assert len(voids) < 64 * 10, "what one task may have under way bounds what the host's servers hear of it"

    play(tmp_path, scenario)
