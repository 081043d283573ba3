"""Elastic addresses that stay with a service: over replacements, rollings and kills, and never with two tasks."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from neargate.interfaces.services import ServiceFilter
from neargate.interfaces.store import Statement
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell, subnet
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, configured, template

A, B = "198.18.0.200", "198.18.1.201"
POOLS = "198.18.0.0/16"
IN_PLACE = configured(minimumHealthyPercent=50, maximumPercent=100)
NETWORK = {**template().network, "assignPublicIp": "ENABLED"}
PUBLIC = template(network=NETWORK)
WRITES = 12


async def held(services: ServiceRig, name: str = "web") -> list[str]:
    """Public addresses of the service's live tasks, as the zones say; no two tasks have the same."""
    live = {id_of(task) for task in await services.live(name)}
    holders = [zone.public_holders(POOLS) for zone in services.rig.capacities.values()]
    found = sorted(address for held in holders for address, task in held.items() if task in live)
    assert len(found) == len(set(found)), found
    return found


async def steady(services: ServiceRig, name: str = "web") -> list[str]:
    """What its tasks have when it is; what crashes left is swept meanwhile, as a region's sweeper does."""

    async def holds() -> bool:
        await services.rig.cell.sweepers.sweep_reservations()
        await services.obey(name)
        await held(services, name)
        shown = await services.shown(name)
        is_steady = bool((await services.rig.cell.services.explain_service(name))["is_steady"])
        return len(shown["deployments"]) == 1 and shown["runningCount"] == shown["desiredCount"] and is_steady

    await services.rig.until(holds)
    return await held(services, name)


def test_three_replacements_keep_the_two_addresses() -> None:
    async def body(rig: CellRig) -> None:
        rig.networks.own["web"] = (A, B)
        services = ServiceRig(rig)
        await services.create(desired_count=2, template=PUBLIC)
        assert await steady(services) == [A, B]
        for place in (0, 1, 0):
            await services.end((await services.live())[place])
            assert await steady(services) == [A, B]
        assert len(await services.all_tasks()) == 5

    in_cell(body, knobs=QUICK)


def test_without_a_public_address_a_task_has_none_of_its_services() -> None:
    async def body(rig: CellRig) -> None:
        rig.networks.own["web"] = (A, B)
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        assert await steady(services) == []

    in_cell(body, knobs=QUICK)


def test_a_rolling_in_place_keeps_them_and_one_above_them_takes_what_is_free() -> None:
    async def body(rig: CellRig) -> None:
        rig.networks.own["web"] = (A, B)
        services = ServiceRig(rig)
        await services.create(desired_count=2, template=PUBLIC, settings=IN_PLACE)
        assert await steady(services) == [A, B]
        await services.roll()
        assert await steady(services) == [A, B]
        await services.update(desired_count=3)
        more = await steady(services)
        assert len(more) == 3 and {A, B} < set(more), "the third has an ordinary one"
        spare = "198.18.2.202"
        rig.networks.own["web"] = (A, B, spare, "198.18.2.203")
        await services.update(settings=configured())
        before = await held(services)
        await services.roll(revision=3)
        after = await steady(services)
        assert len(after) == 3 and {spare, "198.18.2.203"} < set(after), (before, after)

    in_cell(body, knobs=QUICK)


@pytest.mark.parametrize("when", ["before", "after"])
def test_kills_at_any_write_leave_each_address_with_one_task(when: str) -> None:
    struck = 0
    numbers = iter(range(1, WRITES + 1))

    async def life(services: ServiceRig) -> None:
        if not (await services.rig.cell.services.list_services(ACCOUNT, CLUSTER, ServiceFilter(), 10, None))[0]:
            await services.create(desired_count=2, template=PUBLIC, settings=IN_PLACE)
        await steady(services)
        if not (await services.shown())["taskDefinition"].endswith(":2"):
            await services.roll()
        await steady(services)

    async def body(rig: CellRig) -> None:
        nonlocal struck
        rig.networks.own["web"] = (A, B)
        services = ServiceRig(rig)
        left = next(numbers)

        def moment(statements: Sequence[Statement]) -> bool:
            nonlocal left
            left -= any("services" in one.sql and one.sql.startswith(("UPDATE", "INSERT")) for one in statements)
            return left == 0

        dead = rig.kill_at(when, moment)
        living, death = asyncio.ensure_future(life(services)), asyncio.ensure_future(dead.wait())
        await asyncio.wait([living, death], return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set():
            struck += 1
            await rig.reopen()
            await life(services)
        else:
            await living
        assert await held(services) == [A, B]

    for _ in range(WRITES):
        in_cell(body, knobs=QUICK)
    assert struck >= 6


def test_two_services_with_one_address_never_have_it_both() -> None:
    """Its tag was changed from one to the other."""

    async def body(rig: CellRig) -> None:
        rig.networks.own |= {"web": (A,), "api": (A,)}
        services = ServiceRig(rig)
        await asyncio.gather(*(services.create(name, 3, template=PUBLIC) for name in ("web", "api")))
        both = [await steady(services, "web"), await steady(services, "api")]
        assert sum(found.count(A) for found in both) == 1
        holder, other = ("web", "api") if A in both[0] else ("api", "web")
        await services.update(holder, desired_count=0)
        await steady(services, holder)
        for task in await services.live(other):
            await services.end(task)
        assert A in await steady(services, other)

    in_cell(body, knobs=QUICK)


def test_an_address_that_is_taken_away_during_the_launch_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(rig: CellRig) -> None:
        rig.networks.own["web"] = (A,)
        asked: list[str] = []

        async def now(account: str, cluster: str, service: str) -> tuple[str, ...]:
            asked.append(service)
            del account, cluster
            rig.networks.own.clear()
            return ()

        monkeypatch.setattr(rig.networks, "addresses_now", now)
        services = ServiceRig(rig)
        await services.create(desired_count=1, template=PUBLIC)
        [given] = await steady(services)
        assert asked == ["web"] and given != A
        assert await rig.reserved_tasks() == 1, "what was reserved with it was given back"

    in_cell(body, knobs=QUICK)


def test_an_address_that_nobody_gives_back_is_not_waited_for_for_ever() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        rig.networks.own["api"] = (A,)
        await services.create("api", 1, template=PUBLIC)
        assert await services.until_steady("api") and await held(services, "api") == [A]
        await rig.stores.cell_store.write([Statement("DELETE FROM service_addresses")])
        rig.networks.own["web"] = (A,)
        zone = (await services.live("api"))[0]["availabilityZone"]
        network = {**NETWORK, "subnets": [subnet(zone).subnet_id]}
        await services.create("web", 1, template=template(network=network))
        await services.until_steady("web")
        assert A not in await held(services, "web")

    in_cell(body, knobs=replace(QUICK, service_address_wait_s=0.05))
