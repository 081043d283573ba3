"""A region whose databases let next to no read wait: it comes up all the same, and again over what it left."""

import asyncio

from msgspec.structs import replace

from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.interfaces.store import Overloaded
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.front_door import ACCOUNT, MODELS, REGION, ROOT, ZONES, MovedWorld

KNOBS = replace(DEFAULT_KNOBS, read_queue_max=1)


class Mortal(MovedWorld):
    def __init__(self) -> None:
        super().__init__()
        self.died: list[str] = []

    def die(self, reason: str) -> None:
        self.died.append(reason)


async def opened(world: Mortal, disk: MemoryDisk) -> Region:
    region = await open_region(
        world,
        MemoryStores(world, KNOBS, disk),
        RegionPlan(region=REGION, account=ACCOUNT, zones=ZONES, public_pool="198.18.0.0/24", one_machine=True),
        models=MODELS,
        credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
        envelope=Envelope(bytes(32), world),
        knobs=KNOBS,
    )
    region.start_loops(world)
    return region


async def tasks_left(region: Region) -> int:
    while True:
        try:
            return await region.cell.operator.stop_all("It goes.")
        except Overloaded:
            await asyncio.sleep(0)  # the others have had their turn then


def test_a_server_comes_up_whose_reads_are_refused() -> None:
    """What it needs of its databases it asks one after the other; its loops meet a refusal and go on."""

    async def main() -> None:
        disk = MemoryDisk()
        for _ in range(3):
            world = Mortal()
            assert await tasks_left(await opened(world, disk)) == 0
            assert world.died == []

    asyncio.run(asyncio.wait_for(main(), 60))
