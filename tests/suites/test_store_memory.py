"""The Store suite over databases in memory: the simulator's disk behaves as the real one."""

import pytest

from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.suites.store import ClosingFactory, StoreSuite
from neargate.world import World


class TestMemoryStore(StoreSuite):
    @pytest.fixture(autouse=True)
    def _disk(self) -> None:
        self.disk = MemoryDisk()

    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        return MemoryStores(world, knobs, self.disk)
