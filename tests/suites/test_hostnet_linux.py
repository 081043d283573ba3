"""The host suite over this machine."""

from pathlib import Path

import pytest

from neargate.hostnet.cgroups import LinuxCgroups
from neargate.hostnet.disks import LinuxDisks
from neargate.testing.netlab import NetLab
from neargate.testing.suites.hostnet import HostParts, HostSuite

pytestmark = pytest.mark.root


class TestLinuxHost(HostSuite):
    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def _parts(self) -> HostParts:
        return HostParts(
            network=self.lab.network,
            disks=LinuxDisks(self.lab.world, directory=self.root / "disks"),
            cgroups=LinuxCgroups(self.lab.world, instance=self.lab.instance),
        )

    async def open_host(self) -> HostParts:
        self.lab = await NetLab.open(self.root / "run")
        return self._parts()

    async def restarted(self, host: HostParts) -> HostParts:
        await self.lab.restart()
        return self._parts()

    async def close_host(self, host: HostParts) -> None:
        for task_id in await host.disks.list_disks():
            await host.disks.delete_disk(task_id)
        for task_id in await host.cgroups.list_tasks():
            await host.cgroups.delete_task(task_id)
        await self.lab.close()
