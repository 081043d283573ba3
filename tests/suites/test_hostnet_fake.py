"""The fake network, disks and cgroups keep the promises of the real ones."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.interfaces.hostnet import HostCgroups, HostDisks, HostNetwork
from neargate.testing.fake_hostnet import FakeHostCgroups, FakeHostDisks, FakeHostNetwork
from neargate.testing.suites.hostnet import CgroupsSuite, DisksSuite, NetworkSuite
from neargate.testing.virtual_time import run_virtual


class TestFakeHostNetwork(NetworkSuite):
    def play(self, story: Callable[[HostNetwork], Awaitable[None]]) -> None:
        async def life() -> None:
            network = FakeHostNetwork()
            await network.start()
            await story(network)
            await network.remove_all()

        run_virtual(life())

    async def restarted(self, network: HostNetwork) -> HostNetwork:
        return network  # a fake is the host itself


class TestFakeHostDisks(DisksSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.base = tmp_path

    def play(self, story: Callable[[HostDisks], Awaitable[None]]) -> None:
        async def life() -> None:
            await story(FakeHostDisks(self.base, room_gib=self.room_gib))

        run_virtual(life())


class TestFakeHostCgroups(CgroupsSuite):
    def play(self, story: Callable[[HostCgroups], Awaitable[None]]) -> None:
        async def life() -> None:
            await story(FakeHostCgroups())

        run_virtual(life())
