"""A caller who goes away while his elastic address is written: he has it, and nobody else is given it."""

import asyncio
from typing import Any, cast

import pytest

from neargate.frontend.call import Call
from neargate.frontend.callers.credentials import administrator
from neargate.frontend.network.objects import ElasticAddress
from neargate.frontend.network.public_pool import POOL, GivenAddress
from neargate.frontend.network.registry import MIGRATIONS, open_network
from neargate.frontend.operations.ec2.elastic_addresses import allocate_address
from neargate.frontend.services import Services
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"),)


def test_what_is_written_for_a_caller_who_is_gone_stays_his(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world = OsWorld()
        store = await MemoryStores(world, Knobs()).open("region", MIGRATIONS)
        network = await open_network(
            world, store, region=REGION, account=ACCOUNT, zones=ZONES, public_pool="198.18.0.0/24"
        )
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
