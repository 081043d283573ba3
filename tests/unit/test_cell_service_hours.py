"""Hours of a service that cannot get what it wants, in virtual time: how much is tried, how often is it told.

The cell is the real one with AWS's times; its hosts do at once what they are told.
"""

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from neargate.clusters.services.loop import ServiceLoop
from neargate.clusters.services.targets import TargetLane
from neargate.model.capacity import HostCapacity, SubnetView
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import ACCOUNT, REGION, ZONES, CellRig, RigNetworks, id_of, subnet
from neargate.testing.service_rig import ServiceRig, behind, configured, definition, template
from neargate.testing.virtual_time import VirtualWorld, run_virtual

HOUR_S, MINUTES_S = 3600.0, 600.0
KNOBS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0)
PLENTY = HostCapacity(cpu_units=1_000_000, memory_mib=1_000_000, disk_gib=1_000_000)
NOTHING = HostCapacity(cpu_units=0, memory_mib=0, disk_gib=0)
ONE_EACH = HostCapacity(cpu_units=256, memory_mib=512, disk_gib=100)


class SlowRig(CellRig):
    """In virtual time."""

    def __init__(self, host: HostCapacity) -> None:
        super().__init__(KNOBS, host)
        self.world = VirtualWorld()  # type: ignore[assignment]

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(1000):
            if await holds():
                return
            await self.world.sleep(1.0)
        raise AssertionError("it does not come to that")


class Hours:
    """`turns`: how often scheduler and lane looked at the service, since it was last asked."""

    def __init__(self, rig: SlowRig, turns: "Counter[str]") -> None:
        self.services = ServiceRig(rig)
        self.rig = rig
        self.targets = rig.targets
        self._turns = turns

    async def pass_(self, hours: float) -> "Counter[str]":
        """While hosts obey. Turns of that time."""
        self._turns.clear()
        until = self.rig.world.monotonic() + hours * HOUR_S
        while self.rig.world.monotonic() < until:
            await self.services.obey()
            await self.rig.world.sleep(5.0)
        return Counter(self._turns)

    async def count(self) -> int:
        """Tasks that it ever had."""
        [(count,)] = await self.rig.stores.cell_store.read("SELECT count(*) FROM tasks WHERE service = 'web'")
        return int(count)

    async def told(self, text: str) -> int:
        return sum(text in message for message in await self.services.messages())


@pytest.fixture
def in_hours(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    turns: Counter[str] = Counter()
    scheduler, lane = ServiceLoop.turn, TargetLane.turn

    async def counted_turn(self: ServiceLoop, key: Any) -> float | None:
        turns["scheduler"] += 1
        return await scheduler(self, key)

    async def counted_look(self: TargetLane, key: Any) -> float | None:
        turns["lane"] += 1
        return await lane(self, key)

    monkeypatch.setattr(ServiceLoop, "turn", counted_turn)
    monkeypatch.setattr(TargetLane, "turn", counted_look)

    def run(body: Callable[[Hours], Awaitable[None]], host: HostCapacity = PLENTY) -> None:
        async def main() -> None:
            rig = SlowRig(host)
            await rig.open()
            await rig.cell.create_cluster(ACCOUNT, REGION, "default", {})
            await body(Hours(rig, turns))
            assert rig.world.failures == []  # type: ignore[attr-defined]
            await rig.kill()

        run_virtual(main())
        gc.collect()

    return run


def test_a_target_group_that_is_deleted_under_a_service_costs_its_tasks_nothing(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        group = hours.targets.make_group()
        await hours.services.create(desired_count=2, template=behind(group))
        await hours.services.until_steady()
        before = [id_of(task) for task in await hours.services.live()]
        hours.targets.delete_group(group)
        turns = await hours.pass_(1)
        assert [id_of(task) for task in await hours.services.live()] == before
        assert turns.total() < 20
        shown = await hours.services.shown()
        assert [one["targetGroupArn"] for one in shown["loadBalancers"]] == [group]
        assert (shown["runningCount"], shown["deployments"][0]["rolloutState"]) == (2, "COMPLETED")

    in_hours(body)


def test_without_its_target_group_what_a_deployment_starts_is_tried_more_and_more_seldom(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        group = hours.targets.make_group()
        await hours.services.create(desired_count=1, template=behind(group))
        await hours.services.until_steady()
        [old] = await hours.services.live()
        hours.targets.delete_group(group)
        await hours.services.roll()
        first = await hours.pass_(1)
        launched = await hours.count() - 1
        assert 5 <= launched <= 12  # waits of 5 s, 10 s ... 640 s, 900 s
        assert first.total() < 40 * launched
        second = await hours.pass_(2)
        assert 6 <= await hours.count() - 1 - launched <= 9  # one each quarter of an hour, for ever
        assert second.total() < 400
        failed = (
            f"failed to register targets in (target-group {group}) with (error One or more target groups not found)"
        )
        assert (await hours.told(failed), await hours.told("is unable to consistently start tasks")) == (1, 1)
        shown = await hours.services.shown()
        assert [one["rolloutState"] for one in shown["deployments"]] == ["IN_PROGRESS", "COMPLETED"]
        assert shown["deployments"][0]["failedTasks"] == await hours.count() - 1
        assert (await hours.rig.described(id_of(old)))["lastStatus"] == "RUNNING"
        await hours.pass_(6)
        assert await hours.told(failed) == 2  # once in six hours

    in_hours(body)


def test_a_load_balancer_that_is_deleted_stops_and_starts_nothing_and_a_deployment_waits_for_it(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        group = hours.targets.make_group()
        await hours.services.create(desired_count=2, template=behind(group))
        await hours.services.until_steady()
        hours.targets.use_group(group, is_used=False)
        turns = await hours.pass_(1)
        assert (await hours.count(), await hours.told("Target group is not configured to receive traffic")) == (2, 1)
        assert turns.total() < 30
        await hours.services.roll()
        turns = await hours.pass_(5)
        assert await hours.count() == 4  # two of the new revision, which wait beside the old ones
        assert turns.total() < 60
        shown = await hours.services.shown()
        assert [one["rolloutState"] for one in shown["deployments"]] == ["IN_PROGRESS", "COMPLETED"]
        assert await hours.told("Target group is not configured to receive traffic") == 1
        hours.targets.use_group(group, is_used=True)
        await hours.services.until_steady()
        assert await hours.count() == 4

    in_hours(body)


def test_where_there_is_no_room_at_all_a_service_tries_once_a_minute_and_says_it_once(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        await hours.services.create(desired_count=3)
        turns = await hours.pass_(1)
        assert await hours.count() == 0
        assert 60 <= turns["scheduler"] < 200
        assert await hours.told("Capacity is unavailable at this time.") == 1
        shown = await hours.services.shown()
        assert [(one["rolloutState"], one["pendingCount"]) for one in shown["deployments"]] == [("IN_PROGRESS", 0)]
        await hours.pass_(6)
        assert await hours.told("Capacity is unavailable at this time.") == 2

    in_hours(body, host=NOTHING)


def test_a_deployment_without_room_leaves_what_runs_and_the_breaker_ends_it(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        breaks = configured(deploymentCircuitBreaker={"enable": True, "rollback": True})
        await hours.services.create(desired_count=3, settings=breaks)
        await hours.services.until_steady()
        await hours.services.update(definition=definition(2))
        turns = await hours.pass_(1)
        assert await hours.count() == 3
        assert turns["scheduler"] < 60
        shown = await hours.services.shown()
        assert (shown["taskDefinition"].rpartition(":")[2], shown["runningCount"]) == ("1", 3)
        assert await hours.told("deployment failed: tasks failed to start.") == 1

    in_hours(body, host=ONE_EACH)


class SmallNetworks(RigNetworks):
    """Eleven addresses in each zone."""

    def subnets(self, account: str, subnet_ids: Sequence[str]) -> tuple[SubnetView, ...]:
        del account
        small = [subnet(zone, cidr=f"10.{number}.0.0/28") for number, zone in enumerate(ZONES)]
        return tuple(view for view in small if view.subnet_id in subnet_ids)


def test_full_subnets_fail_the_tasks_that_find_no_address_and_ever_more_seldom(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        hours.rig.networks = SmallNetworks()
        await hours.rig.reopen()
        await hours.services.create(desired_count=35)
        turns = await hours.pass_(1)
        assert (await hours.services.shown())["runningCount"] == 33
        assert 35 + 2 * 5 <= await hours.count() <= 35 + 2 * 12
        assert turns["scheduler"] < 200
        why = "Unexpected EC2 error while attempting to Create Network Interface"
        [stopped, *_] = [task for task in await hours.services.all_tasks() if task["lastStatus"] == "STOPPED"]
        assert stopped["stopCode"] == "TaskFailedToStart" and stopped["stoppedReason"].startswith(why)
        assert stopped["stoppedReason"].endswith("InsufficientFreeAddressesInSubnet")
        assert await hours.told(why) <= 3  # once of each subnet

    in_hours(body)


def test_a_program_that_ends_at_once_is_started_every_few_seconds_at_most(in_hours: Any) -> None:
    async def body(hours: Hours) -> None:
        await hours.services.create(desired_count=1, template=template())
        until = hours.rig.world.monotonic() + MINUTES_S
        while hours.rig.world.monotonic() < until:
            for task in await hours.services.live():
                await hours.services.run(task)
                await hours.services.end(task)
            await hours.rig.world.sleep(1.0)
        assert await hours.count() <= MINUTES_S / KNOBS.service_back_off_first_s + 1

    in_hours(body)
