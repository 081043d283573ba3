"""The Store suite over files, and what only files can show."""

from pathlib import Path

import pytest

from neargate.model.knobs import Knobs
from neargate.store.sqlite import SqliteStores
from neargate.testing.suites.store import ClosingFactory, StoreSuite
from neargate.world import World


class TestSqliteStore(StoreSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "data"

    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        return SqliteStores(world, self.directory, knobs)
