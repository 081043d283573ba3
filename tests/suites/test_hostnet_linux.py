"""netlink, loop disks and cgroups keep the promises of the host seam."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.hostnet.cgroups import LinuxCgroups
from neargate.hostnet.disks import LinuxDisks
from neargate.interfaces.hostnet import HostCgroups, HostDisks, HostNetwork
from neargate.model.knobs import Knobs
from neargate.testing.netlab import NetLab
from neargate.testing.suites.hostnet import CgroupsSuite, DisksSuite, NetworkSuite
from neargate.world import OsWorld

pytestmark = pytest.mark.root


class TestLinuxNetwork(NetworkSuite):
    lab: NetLab

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.base = tmp_path

    def play(self, story: Callable[[HostNetwork], Awaitable[None]]) -> None:
        async def life() -> None:
            self.lab = await NetLab.open(self.base)
            try:
                await story(self.lab.network)
            finally:
                await self.lab.close()

        asyncio.run(life())

    async def restarted(self, network: HostNetwork) -> HostNetwork:
        await self.lab.restart()
        return self.lab.network


class TestLinuxDisks(DisksSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.base = tmp_path

    def play(self, story: Callable[[HostDisks], Awaitable[None]]) -> None:
        async def life() -> None:
            # Whatever this machine has, only `room_gib` of it may be handed out.
            total = shutil.disk_usage(self.base).total
            knobs = Knobs(disk_overcommit=self.room_gib * 1024**3 / total)
            disks = LinuxDisks(OsWorld(), directory=self.base / "disks", knobs=knobs)
            try:
                await story(disks)
            finally:
                for task_id in await disks.list_disks():
                    await disks.delete_disk(task_id)

        asyncio.run(life())


class TestLinuxCgroups(CgroupsSuite):
    def play(self, story: Callable[[HostCgroups], Awaitable[None]]) -> None:
        async def life() -> None:
            world = OsWorld()
            cgroups = LinuxCgroups(world, instance=f"{world.random.getrandbits(24):06x}")
            try:
                await story(cgroups)
            finally:
                for task_id in await cgroups.list_tasks():
                    await cgroups.delete_task(task_id)

        asyncio.run(life())
