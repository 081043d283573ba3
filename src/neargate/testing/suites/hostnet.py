"""What every host must do: network, disks and cgroups of tasks. A test class says how to open one and what it leaves.

`open_host` gives a fresh host; `restarted` what a new agent finds on the same one; `close_host` takes it down, also
after a failure.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ...interfaces.hostnet import DiskFull, HostCgroups, HostDisks, HostError, HostNetwork, TaskLimits
from ...model.network import SecurityGroup
from ..netlab import eni, plan

MIB, GIB = 1 << 20, 1 << 30
OPEN = SecurityGroup(group_id="sg-0a")


@dataclass(frozen=True, kw_only=True, slots=True)
class HostParts:
    network: HostNetwork
    disks: HostDisks
    cgroups: HostCgroups
    endpoint_port: int = 4566


class HostSuite(ABC):
    """The subclass says which host is meant."""

    @abstractmethod
    async def open_host(self) -> HostParts: ...

    @abstractmethod
    async def restarted(self, host: HostParts) -> HostParts: ...

    @abstractmethod
    async def close_host(self, host: HostParts) -> None: ...

    def run(self, body: Callable[[HostParts], Awaitable[None]]) -> None:
        async def main() -> None:
            host = await self.open_host()
            try:
                await body(host)
            finally:
                await self.close_host(host)

        asyncio.run(main())

    def test_an_interface_is_attached_once_and_detached_by_the_tasks_id(self) -> None:
        async def body(host: HostParts) -> None:
            with pytest.raises(HostError):
                await host.network.attach_eni("task1", eni(1, "sg-0a"))
            await host.network.apply_vpc(plan(1, OPEN))
            attached = await host.network.attach_eni("task1", eni(1, "sg-0a"))
            assert (attached.task_id, attached.vpc_id, attached.eni_id) == ("task1", "vpc-0a", eni(1).eni_id)
            assert await host.network.attach_eni("task1", eni(1, "sg-0a")) == attached
            assert await host.network.list_tasks() == [attached]
            with pytest.raises(HostError):
                await host.network.attach_eni("task2", eni(1, "sg-0a"))
            await host.network.detach_eni("task1")
            await host.network.detach_eni("task1")
            assert await host.network.list_tasks() == []
            with pytest.raises(HostError):
                await host.network.interface_stats("task1")

        self.run(body)

    def test_a_new_agent_finds_what_the_old_one_left(self) -> None:
        async def body(host: HostParts) -> None:
            await host.network.apply_vpc(plan(1, OPEN))
            attached = await host.network.attach_eni("task1", eni(1, "sg-0a"))
            disk = await host.disks.create_disk("task1", 1)
            await host.cgroups.create_task("task1", TaskLimits(cpu_units=256, memory_mib=64))
            again = await self.restarted(host)
            assert await again.network.list_tasks() == [attached]
            assert await again.disks.list_disks() == ["task1"]
            assert await again.cgroups.list_tasks() == ["task1"]
            # The plan is remembered too: attaching needs no new one.
            await again.network.attach_eni("task2", eni(2, "sg-0a"))
            assert await again.disks.create_disk("task1", 1) == disk
            for task_id in ("task1", "task2"):
                await again.network.detach_eni(task_id)
                await again.disks.delete_disk(task_id)
                await again.cgroups.delete_task(task_id)
            assert await again.network.list_tasks() == []

        self.run(body)

    def test_listeners_belong_to_a_vpc_that_is_known(self) -> None:
        async def body(host: HostParts) -> None:
            with pytest.raises(HostError):
                await host.network.listen("vpc-0a", "169.254.170.2", 80)
            await host.network.apply_vpc(plan(1, OPEN))
            for address, port in (("169.254.170.2", 80), ("169.254.170.10", host.endpoint_port)):
                with await host.network.listen("vpc-0a", address, port) as listener:
                    assert listener.getblocking() is False
                    with pytest.raises(BlockingIOError):
                        listener.accept()

        self.run(body)

    def test_a_disk_keeps_its_content_until_it_is_deleted(self) -> None:
        async def body(host: HostParts) -> None:
            disk = await host.disks.create_disk("task1", 1)
            (Path(disk.path) / "file").write_bytes(b"x" * MIB)
            assert await host.disks.create_disk("task1", 1) == disk
            assert (Path(disk.path) / "file").stat().st_size == MIB
            usage = await host.disks.usage("task1")
            assert MIB <= usage.used_bytes < 2 * MIB
            assert 0.9 * GIB < usage.size_bytes <= GIB
            assert 0 < await host.disks.free_fraction() <= 1
            await host.disks.delete_disk("task1")
            await host.disks.delete_disk("task1")
            assert await host.disks.list_disks() == []
            with pytest.raises(HostError):
                await host.disks.usage("task1")
            empty = await host.disks.create_disk("task1", 1)
            assert not (Path(empty.path) / "file").exists()

        self.run(body)

    def test_a_reservation_replaces_the_one_before(self) -> None:
        async def body(host: HostParts) -> None:
            with pytest.raises(HostError):
                await host.disks.reserve("task1", MIB)
            await host.disks.create_disk("task1", 1)
            for reserved in (300 * MIB, 100 * MIB, 0):
                await host.disks.reserve("task1", reserved)
                assert reserved <= (await host.disks.usage("task1")).used_bytes < reserved + MIB
            with pytest.raises(DiskFull):
                await host.disks.reserve("task1", 2 * GIB)

        self.run(body)

    def test_a_cgroup_has_the_tasks_limits(self) -> None:
        async def body(host: HostParts) -> None:
            assert await host.cgroups.task_stats("task1") is None
            for _ in range(2):
                await host.cgroups.create_task("task1", TaskLimits(cpu_units=256, memory_mib=64))
            stats = await host.cgroups.task_stats("task1")
            assert stats is not None and stats.memory_limit == 64 * MIB
            path = host.cgroups.task_path("task1")
            assert path.startswith("/neargate-") and path.endswith("/task1")
            await host.cgroups.delete_task("task1")
            await host.cgroups.delete_task("task1")
            assert await host.cgroups.list_tasks() == []

        self.run(body)

    def test_remove_all_forgets_every_task_and_plan(self) -> None:
        async def body(host: HostParts) -> None:
            await host.network.apply_vpc(plan(1, OPEN))
            await host.network.attach_eni("task1", eni(1, "sg-0a"))
            await host.network.remove_all()
            assert await host.network.list_tasks() == []
            await host.network.start()
            with pytest.raises(HostError):
                await host.network.attach_eni("task1", eni(1, "sg-0a"))

        self.run(body)
