"""Hosts that an account or a cluster has to itself: who is placed where, and what a restart knows of it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.capacity import own_hosts, schema
from neargate.capacity.manager import CAPACITY_UNAVAILABLE, Capacity, open_capacity
from neargate.capacity.own_hosts import (
    DRAINING,
    GIVEN_UP,
    NO_WORD,
    NOBODYS,
    HostPools,
    OwnHosts,
    open_own_hosts,
    pool_name,
)
from neargate.interfaces.store import Overloaded, Statement
from neargate.model.capacity import HostCapacity, HostFacts, NoCapacity, Reservation, ReservationRequest, SubnetView
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.placement.reserve import Room
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ZONE, OURS, THEIRS = "us-east-1a", "111111111111", "222222222222"
SUBNET = SubnetView(subnet_id="subnet-1", vpc_id="vpc-1", zone=ZONE, zone_id="use1-az1", cidr="172.31.0.0/20")


class Rig:
    """One server process over databases that outlive it."""

    own: OwnHosts
    capacity: Capacity

    @classmethod
    async def open(cls, disk: MemoryDisk) -> "Rig":
        rig, world = cls(), OsWorld()
        stores = MemoryStores(world, DEFAULT_KNOBS, disk)
        rig.own = await open_own_hosts(world, await stores.open("region", own_hosts.MIGRATIONS))
        rig.capacity = await open_capacity(
            world,
            stores,
            shard="zone-a",
            region="us-east-1",
            zones=(ZONE,),
            public_pool="198.18.0.0/24",
            pools=rig.own.pools,
        )
        return rig

    async def join(self, *names: str, sandbox: str = "simulated") -> None:
        room = HostCapacity(cpu_units=1024, memory_mib=1024, disk_gib=100)
        for name in names:
            await self.capacity.register_host(HostFacts(host_id=name, boot_id="b", capacity=room, sandbox=sandbox))

    async def place(self, task: str, account: str, cluster: str = "default") -> str | None:
        """The host, or None when it is refused as AWS words it."""
        request = ReservationRequest(
            task_id=task,
            account=account,
            cluster=cluster,
            zone=ZONE,
            subnet=SUBNET,
            security_groups=("sg-1",),
            assign_public_ip=False,
            cpu_units=256,
            memory_mib=512,
            disk_gib=20,
        )
        answer = await self.capacity.reserve(request)
        if isinstance(answer, NoCapacity):
            assert answer.reason == CAPACITY_UNAVAILABLE
            return None
        assert isinstance(answer, Reservation)
        return answer.host_id


def run(main: Callable[[], Awaitable[Any]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


def test_the_most_particular_hosts_are_wanted() -> None:
    async def main() -> None:
        pools = HostPools()
        assert pools.wanted_by(OURS, "blue") == NOBODYS
        await pools.become({"h1": OURS, "h2": pool_name(OURS, "blue")})
        assert pools.wanted_by(OURS, "blue") == f"{OURS}/blue"
        assert pools.wanted_by(OURS, "green") == OURS
        assert pools.wanted_by(THEIRS, "blue") == NOBODYS

    run(main)


def test_a_kept_host_takes_its_own_and_nobody_else_and_they_go_nowhere_else() -> None:
    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        await rig.join("h1", "h2", "h3")
        await rig.own.keep("h1", pool_name(OURS))
        await rig.own.keep("h2", pool_name(OURS, "blue"))
        assert [await rig.place(f"b{n}", OURS, "blue") for n in range(3)] == ["h2", "h2", None]
        assert [await rig.place(f"g{n}", OURS, "green") for n in range(3)] == ["h1", "h1", None]
        assert [await rig.place(f"t{n}", THEIRS) for n in range(3)] == ["h3", "h3", None]
        assert {host["host_id"]: host["pool"] for host in await rig.capacity.hosts()} == {
            "h1": OURS,
            "h2": f"{OURS}/blue",
            "h3": "",
        }

    run(main)


def test_a_host_that_is_given_back_is_everybodys() -> None:
    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        await rig.join("h1")
        await rig.own.keep("h1", OURS)
        assert await rig.place("t1", THEIRS) is None
        await rig.own.keep("h1", NOBODYS)
        assert await rig.place("t2", THEIRS) == "h1"

    run(main)


def test_what_runs_on_a_host_stays_when_it_is_kept_for_another() -> None:
    """On a shared kernel the new owner comes when the last of the others has gone."""

    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        await rig.join("h1", sandbox="container")
        assert await rig.place("t1", THEIRS) == "h1"
        await rig.own.keep("h1", OURS)
        assert await rig.capacity.missing([("t1", ZONE)]) == []
        assert await rig.place("o1", OURS) is None
        assert await rig.place("t2", THEIRS) is None
        await rig.capacity.release("t1", ZONE)
        assert await rig.place("o2", OURS) == "h1"

    run(main)


def test_a_restart_and_a_host_that_comes_back_know_it_also_when_the_zone_lost_it() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        rig = await Rig.open(disk)
        await rig.join("h1")
        await rig.own.keep("h1", OURS)
        # The last commits of a zone may be lost with the machine, the region's never.
        zone = await MemoryStores(OsWorld(), DEFAULT_KNOBS, disk).open("zone-a", schema.MIGRATIONS)
        await zone.write([Statement("UPDATE hosts SET pool = '' WHERE id = 'h1'")])
        again = await Rig.open(disk)
        assert await zone.read("SELECT pool FROM hosts") == [(OURS,)]
        await again.join("h1")
        assert await again.place("t1", THEIRS) is None
        assert await again.place("o1", OURS) == "h1"

    run(main)


def test_a_host_that_joins_after_it_was_kept_is_kept() -> None:
    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        await rig.own.keep("h1", OURS)
        await rig.join("h1")
        assert await rig.place("t1", THEIRS) is None
        assert await rig.place("o1", OURS) == "h1"

    run(main)


def test_a_process_that_has_not_heard_of_it_is_stopped_by_the_database() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        heard, other = await Rig.open(disk), await Rig.open(disk)
        await heard.join("h1")
        await other.join("h1")
        await heard.own.keep("h1", OURS)
        assert await other.place("t1", THEIRS) is None
        await other.own.load()
        assert await other.place("o1", OURS) == "h1"

    run(main)


def test_a_zone_that_could_not_be_told_is_told_the_next_time() -> None:
    async def main() -> None:
        told: list[str] = []
        busy = {"h1"}

        async def listen(host_id: str) -> None:
            if host_id in busy:
                raise Overloaded("too much to write")
            told.append(host_id)

        pools = HostPools()
        pools.on_change(listen)
        with pytest.raises(Overloaded):
            await pools.become({"h1": OURS, "h2": OURS})
        assert told == ["h2"]
        with pytest.raises(Overloaded):
            await pools.become({"h1": OURS, "h2": OURS})
        busy.clear()
        await pools.become({"h1": OURS, "h2": OURS})
        await pools.become({"h1": OURS, "h2": OURS})
        assert told == ["h2", "h1"]

    run(main)


def test_a_host_that_is_kept_while_it_joins_is_kept() -> None:
    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        joining = asyncio.create_task(rig.join("h1"))
        for _ in range(3):
            await asyncio.sleep(0)  # then it has asked whose host it is, and the write is under way
        assert ("", "h1") in rig.capacity._flights
        await rig.own.pools.become({"h1": OURS})
        await joining
        assert [host["pool"] for host in await rig.capacity.hosts()] == [OURS]
        assert await rig.place("t1", THEIRS) is None
        assert await rig.place("o1", OURS) == "h1"

    run(main)


async def words(rig: Rig) -> dict[str, tuple[bool, bool]]:
    """Of hosts: (draining, given up)."""
    return {one.host_id: (one.is_draining, one.is_given_up) for one in rig.capacity.host_places()}


def test_a_drained_host_gets_nothing_new_until_it_is_resumed_and_a_restart_knows_it() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        rig = await Rig.open(disk)
        await rig.join("h1")
        assert await rig.place("t1", OURS) == "h1"
        await rig.own.say("h1", DRAINING)
        assert await rig.place("t2", OURS) is None
        assert await rig.capacity.missing([("t1", ZONE)]) == []
        again = await Rig.open(disk)
        await again.join("h1")
        assert await words(again) == {"h1": (True, False)}
        assert await again.place("t3", OURS) is None
        await again.own.say("h1", NO_WORD)
        assert await again.place("t4", OURS) == "h1"

    run(main)


def test_a_host_counts_as_given_up_while_it_is_away_and_is_only_drained_when_it_was_back_once() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        rig = await Rig.open(disk)
        await rig.join("h1")
        await rig.capacity.host_seen("h1", False)
        assert await words(rig) == {"h1": (False, False)}
        await rig.own.say("h1", GIVEN_UP)
        assert await words(rig) == {"h1": (True, True)}
        again = await Rig.open(disk)
        assert await words(again) == {"h1": (True, True)}
        await again.join("h1")
        assert await words(again) == {"h1": (True, False)}
        await again.capacity.host_seen("h1", False)
        assert await words(again) == {"h1": (True, False)}
        assert await words(await Rig.open(disk)) == {"h1": (True, False)}

    run(main)


def test_a_host_that_is_given_up_while_it_joins_is_only_drained() -> None:
    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        await rig.join("h1")
        await rig.capacity.host_seen("h1", False)
        register, saying = rig.capacity._register, list[asyncio.Future[None]]()

        async def said_meanwhile(facts: HostFacts, room: Room) -> None:
            saying.append(asyncio.ensure_future(rig.own.say("h1", GIVEN_UP)))
            while rig.own.pools.word("h1") != GIVEN_UP:  # noqa: ASYNC110  its listeners wait for this turn
                await asyncio.sleep(0)
            await register(facts, room)

        rig.capacity._register = said_meanwhile  # type: ignore[method-assign]
        await rig.join("h1")
        await asyncio.gather(*saying)
        await rig.capacity.host_seen("h1", False)
        assert await words(rig) == {"h1": (True, False)}

    run(main)


def test_a_host_that_its_zone_has_forgotten_can_be_given_up() -> None:
    async def main() -> None:
        rig = await Rig.open(MemoryDisk())
        await rig.own.say("h9", GIVEN_UP)
        await rig.own.say("h8", DRAINING)
        assert await words(rig) == {"h9": (True, True)}

    run(main)
