"""`neargate spot`: what the desk answers over a region in memory, and how the command shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.cli import inspect, spot
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.desks.operator import TaskNotNamed
from neargate.cli.desks.spot import SpotDesk, SpotRefused
from neargate.cli.paths import region_paths
from neargate.cli.problems import Problem
from neargate.interfaces.roles import RunTaskRequest
from neargate.model.capacity import NoCapacity, ReservationRequest, SubnetView
from neargate.region import Region
from neargate.store.sqlite import MemoryDisk
from neargate.testing.cell_rig import run_request

from .test_cli_hosts import ACCOUNT, ZONE, opened

SUBNET = SubnetView(subnet_id="subnet-0a", vpc_id="vpc-0a", zone=ZONE, zone_id="use1-az1", cidr="10.0.0.0/24")
FACTS: dict[str, Any] = {"percent": 40, "tasks": 0, "cpu_units": 0, "memory_mib": 0, "disk_gib": 0}


def story(body: Callable[[Region, MemoryDisk], Awaitable[None]]) -> None:
    async def told() -> None:
        disk = MemoryDisk()
        await body(await region_on(disk), disk)

    asyncio.run(asyncio.wait_for(told(), 60))


async def region_on(disk: MemoryDisk) -> Region:
    """Two hosts with 1024 CPU units, 2048 MiB and 100 GiB each, before overcommit."""
    region = (await opened(disk))._region
    await region.cell.create_cluster(ACCOUNT, "us-east-1", "both", {"capacityProviders": ["FARGATE", "FARGATE_SPOT"]})
    return region


def request(name: str, memory_mib: int) -> ReservationRequest:
    return ReservationRequest(
        task_id=name,
        account=ACCOUNT,
        zone=ZONE,
        subnet=SUBNET,
        security_groups=(),
        assign_public_ip=False,
        cpu_units=256,
        memory_mib=memory_mib,
        disk_gib=20,
        is_spot=True,
    )


def launch() -> RunTaskRequest:
    return run_request(cluster="both", launch_type=None, providers=("FARGATE_SPOT",), subnets=(SUBNET,))


def test_a_share_bounds_what_is_placed_and_a_restart_knows_it() -> None:
    async def body(region: Region, disk: MemoryDisk) -> None:
        desk = SpotDesk(region)
        assert (await desk.show({}))["percent"] == 100
        assert (await desk.share({"percent": "50"}))["percent"] == 50
        zone = region.capacities[ZONE]
        assert not isinstance(await zone.reserve(request("one", 2048)), NoCapacity)
        assert isinstance(await zone.reserve(request("two", 512)), NoCapacity), "half of all memory is held"
        facts = await SpotDesk(await region_on(disk)).show({})
        assert (facts["percent"], facts["memory_mib"], facts["all_memory_mib"]) == (50, 2048, 4096)

    story(body)


@pytest.mark.parametrize("percent", ["", "-1", "101", "1.5", "half", "1000", "٣"])
def test_a_share_that_cannot_be(percent: str) -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        with pytest.raises(SpotRefused, match="write a whole number of percent from 0 to 100"):
            await SpotDesk(region).share({"percent": percent})
        assert region.spot_setting.share.percent == 100

    story(body)


def test_tasks_are_reclaimed_by_id_and_by_number() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        desk = SpotDesk(region)
        for _n in range(3):
            await region.cell.run_task(launch())
        old, mid, new = reversed(await region.cell.spot.newest(3))
        assert await desk.reclaim({"task": old}) == {"tasks": [old]}
        assert await desk.reclaim({"count": 1}) == {"tasks": [new]}
        assert await desk.reclaim({"count": 500}) == {"tasks": [mid]}
        assert await desk.reclaim({"count": 1}) == {"tasks": []}

    story(body)


def test_what_cannot_be_reclaimed() -> None:
    async def body(region: Region, _: MemoryDisk) -> None:
        desk = SpotDesk(region)
        answer = await region.cell.run_task(run_request(cluster="both", subnets=(SUBNET,)))
        assert len(answer.documents) == 1
        [mine], _count = await region.cell.operator.live_tasks(1)
        with pytest.raises(SpotRefused, match="is not on Spot"):
            await desk.reclaim({"task": mine.id})
        with pytest.raises(TaskNotNamed):
            await desk.reclaim({"task": "fff"})
        for count in (None, 0, 501, "3"):
            with pytest.raises(SpotRefused, match="is not a number of tasks from 1 to 500"):
                await desk.reclaim({"count": count})

    story(body)


def test_the_sentence_of_status() -> None:
    assert spot.spot_line(FACTS) == "Spot: 40% of all room is spare; 0 tasks on it"
    held = FACTS | {"tasks": 1, "cpu_units": 256, "memory_mib": 512, "disk_gib": 20}
    assert spot.spot_line(held) == (
        "Spot: 40% of all room is spare; 1 task on it, 256 CPU units, 512 MiB and 20 GiB disk"
    )
    assert spot.spot_line(FACTS | {"percent": 0}).startswith("Spot: no room is spare")


def test_the_command_says_what_is_missing(tmp_path: Any) -> None:
    paths = region_paths(str(tmp_path))
    for task, count in (("", None), ("abc", 2)):
        with pytest.raises(Problem, match="--task ID, or --count N"):
            spot.reclaim(paths, task, count)
    given = commands.parser().parse_args(["spot", "share", "30"])
    assert given.percent == "30"


def test_status_tells_of_spot(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = region_paths(str(tmp_path))
    facts: dict[str, Any] = {"hosts": [], "tasks": [], "task_count": 0}
    config = RegionConfig(region="us-east-1", account=ACCOUNT)
    monkeypatch.setattr(inspect.configs, "load", lambda _: config)
    monkeypatch.setattr(inspect, "ask", lambda *_: facts)
    assert "Spot" not in inspect.status(paths)
    facts["spot"] = FACTS
    assert "Spot: 40% of all room is spare; 0 tasks on it" in inspect.status(paths).splitlines()
