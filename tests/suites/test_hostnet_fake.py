"""The host suite over the host in memory that the agent's tests use."""

from pathlib import Path

import pytest

from neargate.testing.fake_hostnet import FakeHost
from neargate.testing.suites.hostnet import HostParts, HostSuite


class TestFakeHost(HostSuite):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path

    async def open_host(self) -> HostParts:
        host = FakeHost(self.root)
        return HostParts(network=host.network, disks=host.disks, cgroups=host.cgroups)

    async def restarted(self, host: HostParts) -> HostParts:
        return host

    async def close_host(self, host: HostParts) -> None:
        await host.network.remove_all()
