"""Load balancers over several hosts as boto3 sees them: hosts that are drained, lost, given up, and zones without any.

Simulated hosts behind a real socket. What is asked of names and hosts is read from the plans that they got.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from msgspec import Struct

from neargate.agent.simulated import SimulatedFleet, SimulatedTimes
from neargate.capacity.own_hosts import DRAINING, GIVEN_UP, NO_WORD
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.region import Region
from neargate.world import OsWorld

from .served import KEY, REGION, SECRET, InThread, listening, region_in_memory
from .test_ecs_clients import ZONES
from .test_elbv2_nodes import Clients, until

KNOBS = Knobs(
    placing_period_s=0.1,
    balancer_look_period_s=0.1,
    node_lost_s=0.5,
    node_told_s=0.1,
    node_handover_s=0.5,
    node_no_host_s=0.5,
)
A, B, EMPTY = f"{REGION}a", f"{REGION}b", f"{REGION}c"


class Machine:
    """A host in the zone, which can be lost and come back."""

    def __init__(self, region: Region, socket_path: str, host_id: str, zone: str) -> None:
        self.region, self.host_id = region, host_id
        room = HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=10_000)
        facts = HostFacts(host_id=host_id, boot_id="b", capacity=room, sandbox="simulated", zone=zone)
        times = SimulatedTimes(attach_s=0.01, start_s=0.01, run_s=0.01, stop_s=0.01)
        self.fleet = SimulatedFleet(OsWorld(), [facts], socket_path=socket_path, knobs=KNOBS, times=times)
        self._running: asyncio.Future[None] | None = None

    @property
    def is_linked(self) -> bool:
        return self.host_id in self.region.gateway._connections

    async def _until(self, *, linked: bool) -> None:
        for _ in range(3000):
            if self.is_linked == linked:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.host_id} does not come or go")

    async def join(self) -> None:
        self._running = asyncio.ensure_future(self.fleet.run())
        await self._until(linked=True)

    async def lose(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        if self.is_linked:
            await self.region.gateway._connections[self.host_id].close("lost")
        await self._until(linked=False)


class Rig(Struct):
    clients: Clients
    machines: dict[str, Machine]
    thread: InThread[int]

    def say(self, host_id: str, word: str) -> None:
        self.thread.do(self.machines[host_id].region.own_hosts.say(host_id, word))

    def lose(self, host_id: str) -> None:
        self.thread.do(self.machines[host_id].lose())

    def join(self, host_id: str) -> None:
        self.thread.do(self.machines[host_id].join())

    def hosts(self, zone: str) -> set[str]:
        """Where the zone's nodes are."""
        [subnet] = [self.clients.subnets[zone]]
        return {node.host_id for node in self.clients.plan().nodes if node.subnet_id == subnet}

    def addresses(self, name: str, zone: str) -> set[str]:
        found = self.clients.interfaces(name)
        return {eni["PrivateIpAddress"] for eni in found if eni["AvailabilityZone"] == zone}


@asynccontextmanager
async def two_in_a(directory: Path, opened: list[Region], machines: dict[str, Machine]) -> AsyncIterator[int]:
    """The port of a region with two hosts in the first zone, one in the second, none in the third."""
    region = await region_in_memory(OsWorld(), ZONES, knobs=KNOBS)
    opened.append(region)
    socket_path = str(directory / "link.sock")
    async with region.gateway.listening(socket_path), listening(region.frontend) as port:
        for host_id, zone in (("h1", A), ("h2", A), ("h3", B)):
            machines[host_id] = Machine(region, socket_path, host_id, zone)
            await machines[host_id].join()
        loops = [asyncio.ensure_future(region.placing.run()), asyncio.ensure_future(region.balancer_watch.run())]
        yield port
        for loop in loops:
            loop.cancel()
        for machine in machines.values():
            await machine.lose()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    settings = Config(retries={"max_attempts": 0}, read_timeout=30)
    opened: list[Region] = []
    machines: dict[str, Machine] = {}
    thread = InThread(lambda: two_in_a(tmp_path, opened, machines))
    with thread as port, ExitStack() as stack:
        made: list[Any] = [
            session.client(name, endpoint_url=f"http://127.0.0.1:{port}", config=settings) for name in ("elbv2", "ec2")
        ]
        for client in made:
            stack.callback(client.close)
        yield Rig(Clients(made[0], made[1], opened[0]), machines, thread)


def test_a_drained_host_is_left_by_its_nodes_while_the_load_balancer_stays_active(rig: Rig) -> None:
    one = rig.clients.active("web")
    [before] = rig.hosts(A)
    [address] = rig.addresses("web", A)
    rig.say(before, DRAINING)
    states = set[str]()

    def is_elsewhere() -> bool:
        states.add(rig.clients.shown(one["LoadBalancerArn"])["State"]["Code"])
        assert len(rig.clients.shown(one["LoadBalancerArn"])["AvailabilityZones"]) == 2
        assert len(rig.clients.names(one["DNSName"])) in (2, 3)
        return rig.hosts(A) == {"h1", "h2"} - {before} and address not in rig.addresses("web", A)

    until(is_elsewhere)
    assert states == {"active"}
    enis = rig.clients.interfaces("web")
    assert rig.clients.names(one["DNSName"]) == {eni["Association"]["PublicIp"] for eni in enis} and len(enis) == 2


def test_a_lost_hosts_node_is_followed_by_another_and_its_address_is_held_until_it_is_back(rig: Rig) -> None:
    one = rig.clients.active("web", Scheme="internal")
    [before] = rig.hosts(A)
    [address] = rig.addresses("web", A)
    rig.lose(before)
    until(lambda: rig.hosts(A) == {"h1", "h2"})
    until(lambda: address not in rig.clients.names(one["DNSName"]) and len(rig.clients.names(one["DNSName"])) == 2)
    assert rig.clients.shown(one["LoadBalancerArn"])["State"] == {"Code": "active"}
    assert address in rig.addresses("web", A)
    rig.join(before)
    until(lambda: rig.hosts(A) == {"h1", "h2"} - {before} and address not in rig.addresses("web", A))
    assert rig.clients.shown(one["LoadBalancerArn"])["State"] == {"Code": "active"}


def test_a_given_up_hosts_node_goes_on_elsewhere_with_its_addresses_and_interface(rig: Rig) -> None:
    one = rig.clients.active("web")
    [before] = rig.hosts(A)
    enis, names = rig.clients.interfaces("web"), rig.clients.names(one["DNSName"])
    rig.lose(before)
    rig.say(before, GIVEN_UP)
    until(lambda: rig.hosts(A) == {"h1", "h2"} - {before})
    until(lambda: rig.clients.names(one["DNSName"]) == names)  # it is listed when it serves
    assert rig.clients.shown(one["LoadBalancerArn"])["State"] == {"Code": "active"}
    assert rig.clients.interfaces("web") == enis
    rig.join(before)
    rig.say(before, NO_WORD)
    assert rig.hosts(A) == {"h1", "h2"} - {before}


def test_a_network_load_balancer_takes_its_elastic_address_from_a_drained_host(rig: Rig) -> None:
    given = rig.clients.ec2.allocate_address()
    mapping = [{"SubnetId": rig.clients.subnets[A], "AllocationId": given["AllocationId"]}]
    made = rig.clients.elb.create_load_balancer(Name="fixed", Type="network", SubnetMappings=mapping)
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    until(lambda: rig.clients.shown(arn)["State"]["Code"] == "active")
    [before] = rig.hosts(A)
    rig.say(before, DRAINING)
    until(lambda: rig.hosts(A) == {"h1", "h2"} - {before})
    until(lambda: rig.clients.shown(arn)["State"] == {"Code": "active"})
    [eni] = rig.clients.interfaces("fixed")
    assert eni["Association"]["PublicIp"] == given["PublicIp"]
    assert rig.clients.names(rig.clients.shown(arn)["DNSName"]) == {given["PublicIp"]}


def test_in_a_zone_whose_only_host_is_lost_it_is_impaired_and_says_where(rig: Rig) -> None:
    arn = rig.clients.active("web")["LoadBalancerArn"]
    rig.lose("h3")
    rig.thread.do(silence(rig.machines["h3"].region))
    until(lambda: rig.clients.shown(arn)["State"]["Code"] == "active_impaired")
    assert rig.clients.shown(arn)["State"]["Reason"] == f"The load balancer does not serve in {B}."
    rig.join("h3")
    until(lambda: rig.clients.shown(arn)["State"] == {"Code": "active"})


async def silence(region: Region) -> None:
    """As if the time had passed after which a silent host has no say."""
    verdicts = region.balancer_watch._verdicts
    for place, (host_id, _) in region.balancer_watch.book.places().items():
        if host_id == "h3":
            verdicts.lapse(place)


def test_a_load_balancer_in_a_zone_without_a_host_fails_and_says_why(rig: Rig) -> None:
    arn = rig.clients.create("web", Subnets=[rig.clients.subnets[A], rig.clients.subnets[EMPTY]])
    assert rig.clients.shown(arn)["State"]["Code"] == "provisioning"
    until(lambda: rig.clients.shown(arn)["State"]["Code"] == "failed")
    why = f"No host of the Availability Zone {EMPTY} can run a node of the load balancer."
    assert rig.clients.shown(arn)["State"]["Reason"] == why
    until(lambda: rig.clients.interfaces("web") == [])
    rig.clients.delete(arn, "web")
