"""A machine played by a network namespace, with "the internet" behind its one interface: for tests of the uplink.

Nothing of the real machine is touched: the lanes' threads are put into the played host before anything is made.
"""

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from neargate.hostnet import libc, netlink
from neargate.hostnet.edge import host_link_name
from neargate.hostnet.namespaces import Namespaces, read_sysctl, write_sysctl
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.nftables import Nftables
from neargate.hostnet.underlay import Underlay
from neargate.hostnet.uplink.legacy import LegacyRules
from neargate.hostnet.uplink.record import UplinkFiles, UplinkState
from neargate.hostnet.uplink.uplink import Uplink, UplinkedNetwork
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.network import PublicPool, SecurityGroup
from neargate.testing.netlab import NetLab, connect, eni, entered, listener_in, plan, rule
from neargate.world import OsWorld

HOST_ADDRESS, GATEWAY, SERVER = "203.0.113.2", "203.0.113.1", "198.51.100.7"
POOL = "198.18.7.0/24"
TASK = "198.18.7.5"
LANES = ("network", "uplink")
WITHIN_S = 15.0
EVERYTHING = (rule("-1", peer="0.0.0.0/0"),)
OPEN = SecurityGroup(group_id="sg-0open", ingress=EVERYTHING, egress=EVERYTHING)
KNOBS = msgspec.structs.replace(DEFAULT_KNOBS, uplink_look_s=0.1, uplink_ready_s=WITHIN_S, underlay_write_s=0.1)


class UplinkLab(NetLab):
    """`network` as an agent has it, on the played host; one task with a public address."""

    asked = "none"
    knobs = KNOBS
    private_beyond: tuple[str, ...] = ()
    allowed_pools: tuple[PublicPool, ...] = ()  # what the played host's operator says
    played: Path
    task: str = ""

    @classmethod
    async def begin(cls, directory: Path, asked: str, *, forwards: bool = True) -> "UplinkLab":
        world = OsWorld()
        lab = cls.__new__(cls)
        lab.asked, lab.played = asked, directory / "played"
        _play(lab.played, world, forwards=forwards)
        await _move_lanes(world, lab.host)
        NetLab.__init__(lab, world, directory / "run", f"{world.random.getrandbits(24):06x}", POOL)
        return lab

    @property
    def host(self) -> str:
        return str(self.played / "host")

    @property
    def internet(self) -> str:
        return str(self.played / "internet")

    @property
    def link(self) -> str:
        return host_link_name(self.instance)

    @property
    def second(self) -> str:
        return str(self.played / "second")

    def second_network(self, link: str, here: str, there: str) -> None:
        """One more interface of the host, with a machine behind it."""
        played = Namespaces(self.played, self.world.die)
        played.ensure("second")
        with entered(self.host), Netlink() as host, entered(self.second), Netlink() as other:
            with played.opened("second") as target:
                macs = ("0a:00:00:00:fe:01", "0a:00:00:00:fe:02")
                host.run([netlink.veth(link, macs[0], peer="eth0", peer_mac=macs[1], peer_namespace=target, mtu=1500)])
            mine, theirs = host.existing(link).index, other.existing("eth0").index
            host.run([netlink.link_up(mine), netlink.address(mine, here), netlink.route(f"{there}/32", mine)])
            other.run([netlink.link_up(theirs), netlink.address(theirs, there)])
            other.run([netlink.route(f"{here}/32", theirs), netlink.route("0.0.0.0/0", theirs, via=here)])
            host.settle(link)
            other.settle("eth0")

    def takes_host_for_its_router(self, destination: str) -> None:
        """The internet's machine sends this to the played host."""
        with entered(self.internet), Netlink() as links:
            links.run([netlink.route(destination, links.existing("net0").index, via=HOST_ADDRESS)])

    def another_agent(self) -> UplinkedNetwork:
        made = UplinkedNetwork(
            self.world,
            instance=self.instance,
            run_dir=self.directory,
            public_pool=POOL,
            knobs=self.knobs,
            private_beyond=self.private_beyond,
            allowed_pools=lambda: self.allowed_pools,
        )
        made.uplink = Uplink(
            self.world,
            asked=self.asked,
            instance=self.instance,
            run_dir=self.directory,
            public_pool=POOL,
            log_file=self.directory / "uplink.log",
            knobs=self.knobs,
        )
        made.underlay = Underlay(
            self.world,
            instance=self.instance,
            run_dir=self.directory,
            log_file=self.flow_log,
            has_host_table=self.asked == "nat",
            knobs=self.knobs,
        )
        return made

    @property
    def flow_log(self) -> Path:
        return self.played / "underlay.log"

    async def start(self) -> None:
        await self.network.start()
        await self.network.apply_vpc(plan(1, OPEN))
        self.task = (await self.attach("a", eni(1, "sg-0open", public=TASK))).netns_path

    async def again(self, asked: str) -> None:
        """As after `neargate up` with another mode."""
        self.asked = asked
        await self.restart()

    def state(self) -> UplinkState:
        found = UplinkFiles(self.directory).state()
        assert found is not None
        return found

    def rules(self, text: str) -> str:
        """nft commands on the played host."""
        with entered(self.host):
            context = Nftables()
        try:
            return context.run(text + "\n")
        finally:
            context.close()

    def command(self, line: str) -> None:
        """A program on the played host."""
        with entered(self.host):
            done = subprocess.run(line.split(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"

    def ruleset(self) -> str:
        """Those of both kinds. Without counters: they count what nobody changed."""
        with entered(self.host):
            legacy = LegacyRules(self.link, POOL, "").read()
        return legacy + re.sub(r"packets \d+ bytes \d+", "", self.rules("list ruleset"))

    def switch(self, name: str) -> str:
        with entered(self.host):
            return str(read_sysctl(f"ipv4/{name}"))

    def footprint(self) -> tuple[str, dict[str, str], list[str]]:
        """All that an uplink may change of the host: rules, switches, routes."""
        with entered(self.host), Netlink() as links:
            switches = {
                str(path): path.read_text()
                for path in Path("/proc/sys/net/ipv4").glob("conf/*/*")
                if os.access(path, os.R_OK) and f"/{self.link}/" not in str(path)
            }
            switches["ip_forward"] = Path("/proc/sys/net/ipv4/ip_forward").read_text()
            return self.ruleset(), switches, sorted(set(links.routes()) - {POOL})

    async def gets_out(self) -> str:
        """The address that a server on the internet sees; empty when nothing arrives."""
        with listener_in(self.internet, SERVER, 80) as listener:
            client = await connect(self.task, SERVER, 80, 1.0)
            if client is None:
                return ""
            with client:
                accepted, peer = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), WITHIN_S)
                with accepted:
                    await asyncio.get_running_loop().sock_sendall(accepted, b"hello")
                    said = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 16), WITHIN_S)
                    assert said == b"hello"
            return str(peer[0])

    async def until(self, condition: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
        until = self.world.monotonic() + WITHIN_S
        while not await condition():
            assert self.world.monotonic() < until, f"{what}; {self.state()}"
            await self.world.sleep(0.05)

    def processes(self) -> list[str]:
        """Command lines that name this instance's pasta, and what it started."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if str(self.directory / "tap").encode() in words:
                found.append(words.replace(b"\0", b" ").decode())
        return found

    async def close(self) -> None:
        try:
            await super().close()
            assert self.processes() == []
        finally:
            played = Namespaces(self.played, self.world.die)
            for name in played.names():
                played.delete(name)


def run(
    directory: Path, asked: str, scenario: Callable[[UplinkLab], Coroutine[Any, Any, None]], **options: bool
) -> None:
    async def whole() -> None:
        lab = await UplinkLab.begin(directory, asked, **options)
        try:
            await scenario(lab)
        finally:
            await lab.close()

    asyncio.run(whole())


def _play(directory: Path, world: OsWorld, *, forwards: bool) -> None:
    played = Namespaces(directory, world.die)
    for name in ("host", "internet"):
        played.ensure(name)
    with played.inside("internet"):
        internet = Netlink()
    with played.inside("host"):
        write_sysctl("ipv4/ip_forward", str(int(forwards)))
        host = Netlink()
    with host, internet:
        with played.opened("internet") as target:
            pair = netlink.veth(
                "eth0", "0a:00:00:00:ff:01", peer="net0", peer_mac="0a:00:00:00:ff:02", peer_namespace=target, mtu=1500
            )
            host.run([pair])
        here, there = host.existing("eth0").index, internet.existing("net0").index
        for links, index in ((host, here), (internet, there)):
            links.run([netlink.link_up(links.existing("lo").index), netlink.link_up(index)])
        host.run([netlink.address(here, HOST_ADDRESS), netlink.route("203.0.113.0/24", here)])
        host.run([netlink.route("0.0.0.0/0", here, via=GATEWAY)])
        internet.run([netlink.address(there, GATEWAY), netlink.address(there, SERVER)])
        internet.run([netlink.route(f"{HOST_ADDRESS}/32", there)])
        host.settle("eth0")
        internet.settle("net0")


async def _move_lanes(world: OsWorld, host: str) -> None:
    target = os.open(host, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for lane in LANES:
            await world.offload(lane, libc.setns, target, libc.CLONE_NEWNET)
    finally:
        os.close(target)


def address_in(netns_path: str, link: str, text: str) -> None:
    """One more address of the namespace."""
    with entered(netns_path), Netlink() as links:
        links.run([netlink.address(links.existing(link).index, text)])


def udp_in(netns_path: str, address: str, port: int) -> socket.socket:
    with entered(netns_path):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((address, port))
    return made
