"""A small real network for tests: tasks in namespaces of an instance of their own, and sockets inside them. Needs root.

Owns one `LinuxNetwork` over a directory of the test's. Everything it adds to the machine carries its instance id and is
gone after `close`. Sockets are made in a namespace and then used from the test's own event loop: they stay where they
were made.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path

from ..hostnet import libc
from ..hostnet.edge import host_address
from ..hostnet.netlink import RTM_GETNEIGH, Netlink, attributes
from ..hostnet.network import LinuxNetwork
from ..hostnet.pool import choose_public_pool
from ..interfaces.hostnet import TaskNetwork
from ..model.network import Eni, SecurityGroup, SecurityGroupRule, VpcPlan
from ..world import OsWorld, World, within
from .plans import with_public_subnet

REFUSED_AFTER_S = 0.5
REACHED_WITHIN_S = 10.0
# Apart from those of regions, which may begin on this machine at the same moment and are routed seconds later.
POOLS = "198.19.0.0/16"


async def free_public_pool(world: World) -> str:
    """For a network of a test's on this machine. Keep the answer: afterwards its own route overlaps it.

    Reserved for this process, since a route that says so comes only later: tests run in several processes.
    """

    def read() -> list[str]:
        with Netlink() as links:
            return links.routes()

    candidates = (str(network) for network in ip_network(POOLS).subnets(new_prefix=24))
    return choose_public_pool(filter(_reserve, candidates), await world.offload("network", read))


@cache
def _reserve(pool: str) -> socket.socket | None:
    """An abstract address that other processes find taken until this one has ended, however it ends."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0neargate-test-pool-{pool}")
    except OSError:
        holder.close()
        return None
    return holder


def eni(number: int, *groups: str, vpc: str = "vpc-0a", public: str | None = None, ipv6: bool = False) -> Eni:
    """The ENI 172.31.1.NUMBER of a VPC (IPv6 2001:db8::NUMBER)."""
    return Eni(
        eni_id=f"eni-{vpc[4:]}{number:015x}",
        attachment_id=f"attachment-{number}",
        mac=f"0a:00:00:00:00:{number:02x}",
        vpc_id=vpc,
        subnet_id="subnet-0a",
        subnet_cidr="172.31.0.0/20",
        private_ipv4=f"172.31.1.{number}",
        ipv6=f"2001:db8::{number:x}" if ipv6 else None,
        public_ipv4=public,
        security_groups=groups,
    )


def rule(protocol: str, first: int | None = None, last: int | None = None, *, peer: str) -> SecurityGroupRule:
    """A rule whose peer is a CIDR or a group id."""
    if peer.startswith("sg-"):
        return SecurityGroupRule(protocol=protocol, from_port=first, to_port=last, peer_group=peer)
    if ":" in peer:
        return SecurityGroupRule(protocol=protocol, from_port=first, to_port=last, cidr_ipv6=peer)
    return SecurityGroupRule(protocol=protocol, from_port=first, to_port=last, cidr_ipv4=peer)


def plan(generation: int, *groups: SecurityGroup, vpc: str = "vpc-0a") -> VpcPlan:
    """172.31.0.0/16 and 2001:db8::/56 with one public subnet."""
    made = VpcPlan(vpc_id=vpc, generation=generation, cidrs=("172.31.0.0/16", "2001:db8::/56"), groups=groups)
    return with_public_subnet(made, "subnet-0a", "172.31.0.0/20", "2001:db8::/64")


@contextmanager
def entered(netns_path: str) -> Iterator[None]:
    """The calling thread is in the namespace for the length of the block."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(target, libc.CLONE_NEWNET)
        yield
    finally:
        libc.setns(home, libc.CLONE_NEWNET)
        os.close(target)
        os.close(home)


class NetLab:
    def __init__(self, world: OsWorld, directory: Path, instance: str, pool: str) -> None:
        self.world = world
        self.directory = directory
        self.instance = instance
        self.pool = pool
        self.network = self.another_agent()

    @classmethod
    async def open(cls, directory: Path) -> "NetLab":
        world = OsWorld()
        instance = f"{world.random.getrandbits(24):06x}"
        lab = cls(world, directory, instance, await free_public_pool(world))
        try:
            await lab.network.start()
        except BaseException:
            await lab.close()
            raise
        return lab

    async def close(self) -> None:
        await self.network.remove_all()

    def another_agent(self) -> LinuxNetwork:
        """As after a restart: the same instance with nothing in memory."""
        return LinuxNetwork(self.world, instance=self.instance, run_dir=self.directory, public_pool=self.pool)

    async def restart(self) -> None:
        await self.network.close()
        self.network = self.another_agent()
        await self.network.start()

    def public(self, number: int) -> str:
        return f"{self.pool.rsplit('.', 1)[0]}.{number}"

    def pool_host_address(self) -> str:
        return host_address(self.pool)

    def router(self, vpc_id: str = "vpc-0a") -> str:
        return str(self.directory / "netns" / f"vpc-{vpc_id}")

    async def attach(self, task_id: str, interface: Eni) -> TaskNetwork:
        return await self.network.attach_eni(task_id, interface)


def socket_in(
    netns_path: str | None, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> socket.socket:
    """A non-blocking socket of the namespace; None is the host's."""
    if netns_path is None:
        made = socket.socket(family, kind, protocol)
    else:
        with entered(netns_path):
            made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


def listener_in(netns_path: str | None, address: str, port: int) -> socket.socket:
    listener = socket_in(netns_path, socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(16)
    return listener


async def connect(
    netns_path: str | None, address: str, port: int, within_s: float = REACHED_WITHIN_S
) -> socket.socket | None:
    """A connection, or None when nothing answered (a dropped packet looks like this, as on AWS)."""
    client = socket_in(netns_path, socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        await within(within_s, asyncio.get_running_loop().sock_connect(client, (address, port)))
    except (TimeoutError, OSError):
        client.close()
        return None
    return client


async def reaches(netns_path: str | None, address: str, port: int) -> bool:
    """Whether a TCP connection can be made; a refusal by the far end counts as not reached."""
    client = await connect(netns_path, address, port)
    if client is None:
        return False
    client.close()
    return True


async def is_cut_off(netns_path: str | None, address: str, port: int) -> bool:
    """Whether no TCP connection comes about. A separate question: what is expected to work may take its time."""
    client = await connect(netns_path, address, port, REFUSED_AFTER_S)
    if client is None:
        return True
    client.close()
    return False


async def seen_source(netns_path: str | None, address: str, port: int, listener: socket.socket) -> str:
    """Connect and return the source address that the listener saw."""
    loop = asyncio.get_running_loop()
    client = await connect(netns_path, address, port)
    assert client is not None, f"{address}:{port} cannot be reached"
    with client:
        accepted, peer = await within(REACHED_WITHIN_S, loop.sock_accept(listener))
        accepted.close()
    return str(peer[0])


async def echo(client: socket.socket, accepted: socket.socket, text: bytes) -> bytes:
    """Send on one end of a connection, receive on the other."""
    loop = asyncio.get_running_loop()
    await within(REACHED_WITHIN_S, loop.sock_sendall(client, text))
    return await within(REACHED_WITHIN_S, loop.sock_recv(accepted, 1024))


async def pings(netns_path: str, address: str) -> bool:
    """One ICMP echo request and its reply."""
    loop = asyncio.get_running_loop()
    request_type, identifier, sequence = 8, 7, 1
    checksum = 0xFFFF - (request_type << 8) - identifier - sequence
    with socket_in(netns_path, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as probe:
        packet = struct.pack("!BBHHH", request_type, 0, checksum, identifier, sequence)
        await loop.sock_sendto(probe, packet, (address, 0))
        try:
            while True:
                data = await within(REFUSED_AFTER_S, loop.sock_recv(probe, 1024))
                if data[20] == 0:
                    return True
        except TimeoutError:
            return False


def neighbours(netns_path: str) -> set[str]:
    """Addresses that a namespace has neighbour entries for, both families, without multicast."""
    found = set()
    with entered(netns_path), Netlink() as links:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = struct.pack("=BxHiHBB", family, 0, 0, 0, 0, 0)
            for entry in links.ask(RTM_GETNEIGH, body, dump=True, what="list neighbours"):
                address = ip_address(dict(attributes(entry[12:]))[1])
                if not address.is_multicast:
                    found.add(str(address))
    return found
