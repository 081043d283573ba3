"""A caller who goes away while his elastic address is written: he has it, and nobody else is given it."""

import asyncio
from functools import partial
from typing import Any, cast

import pytest

from neargate.frontend.call import Call
from neargate.frontend.callers.credentials import administrator
from neargate.frontend.network.errors.addresses import AllocationTooLate
from neargate.frontend.network.placing.loop import Placing
from neargate.frontend.network.pools.public import POOL, RENOUNCED_MAX, GivenAddress, Renounced, give, renounce
from neargate.frontend.network.records.objects import ElasticAddress
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.frontend.operations.ec2.elastic_addresses import allocate_address
from neargate.frontend.services import Services
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"),)


async def _region() -> tuple[OsWorld, NetworkRegistry, Services, Call]:
    world = OsWorld()
    store = await MemoryStores(world, Knobs()).open("region", MIGRATIONS)
    network = await open_network(world, store, region=REGION, account=ACCOUNT, zones=ZONES, public_pool="198.18.0.0/24")
    nothing = cast(Any, None)
    services = Services(
        world=world,
        region=REGION,
        zones=ZONES,
        cells={},
        capacities={},
        identity=nothing,
        sessions=nothing,
        network=network,
        task_definitions=nothing,
        logs=nothing,
    )
    call = Call(
        service="ec2",
        operation="AllocateAddress",
        protocol="ec2",
        region=REGION,
        principal=administrator(ACCOUNT, ""),
        request_id="r",
        now=world.now(),
    )
    return world, network, services, call


def test_what_is_written_for_a_caller_who_is_gone_stays_his(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        _, network, services, call = await _region()
        change, under_way = network.change, []

        async def cut(account: str, decide: Any) -> Any:
            if account == ACCOUNT:
                under_way.append(asyncio.ensure_future(change(account, decide)))
                raise asyncio.CancelledError
            return await change(account, decide)

        monkeypatch.setattr(network, "change", cut)
        with pytest.raises(asyncio.CancelledError):
            await allocate_address(call, services, {})
        await asyncio.gather(*under_way)
        [his] = network.shelf(ACCOUNT).all(ElasticAddress)
        assert [given.name for given in network.shelf(POOL).all(GivenAddress)] == [his.public_ip]

    asyncio.run(main())


def test_an_allocation_that_was_given_up_is_never_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late its call comes, and whatever a clock says: the address may be another's by then."""

    async def main() -> None:
        world, network, services, call = await _region()
        placing = Placing(world, network, {}, Knobs(elastic_unowned_s=0.0))
        change = network.change

        async def late(account: str, decide: Any) -> Any:
            if account == ACCOUNT:
                monkeypatch.setattr(network, "change", change)
                await placing.look()
                assert not network.shelf(POOL).count(GivenAddress), "it is the pool's again"
            return await change(account, decide)

        monkeypatch.setattr(network, "change", late)
        with pytest.raises(AllocationTooLate):
            await allocate_address(call, services, {})
        assert not network.shelf(ACCOUNT).count(ElasticAddress)
        again: Any = await allocate_address(call, services, {})
        await placing.look()
        assert [given.name for given in network.shelf(POOL).all(GivenAddress)] == [again["PublicIp"]], "it stays his"

    asyncio.run(main())


def test_what_no_account_has_is_waited_for_by_the_processs_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world, network, _, _ = await _region()
        placing = Placing(world, network, {}, Knobs(elastic_unowned_s=60.0))
        await placing.look()
        ranges = network.elastic_ranges(network.shelf(POOL))
        await network.change(POOL, lambda pool: give(pool, ranges, (), ACCOUNT, "eipalloc-1", 0.0))
        begun = world.monotonic()
        for passed_s, left in ((0.0, 1), (59.0, 1), (60.5, 0)):
            monkeypatch.setattr(OsWorld, "monotonic", lambda _, at=begun + passed_s: at)
            await placing.look()
            assert network.shelf(POOL).count(GivenAddress) == left
        monkeypatch.undo()

    asyncio.run(main())


def test_of_what_was_renounced_the_newest_is_remembered() -> None:
    async def main() -> None:
        _, network, _, _ = await _region()
        for number in range(RENOUNCED_MAX + 3):
            await network.change(ACCOUNT, partial(renounce, allocation_id=f"eipalloc-{number}"))
        assert await network.change(ACCOUNT, partial(renounce, allocation_id="eipalloc-5"))
        known = {one.name for one in network.shelf(ACCOUNT).all(Renounced)}
        assert known == {f"eipalloc-{number}" for number in range(3, RENOUNCED_MAX + 3)}

    asyncio.run(main())
