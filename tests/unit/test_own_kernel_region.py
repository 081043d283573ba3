"""A region whose operator lets an account's tasks have a kernel's privileges: who may, where they go, how it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.capacity.manager import CAPACITY_UNAVAILABLE, NO_KERNEL_HERE
from neargate.cli.desks.account import AccountDesk, Refused
from neargate.cli.desks.operator import OperatorDesk
from neargate.clusters.launching import KERNEL_LEAVE
from neargate.definitions.own_kernel import needs_own_kernel
from neargate.frontend.regional.kernel_grants import MIGRATIONS, open_kernel_grants
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.cell_rig import DEFINITION as CELLS_DEFINITION
from neargate.testing.cell_rig import CellRig, in_cell, run_request
from neargate.testing.front_door import ACCOUNT, ROOT, ZONES, FrontDoor, Said, open_front_door
from neargate.world import OsWorld

ROOM = HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=500)
REFUSED = "Fargate requires that the 'privileged' setting be 'false'"
DEFINITION: dict[str, Any] = {
    "family": "es",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "es", "image": "es:1", "privileged": True}],
}


def run(story: Callable[[FrontDoor, AccountDesk], Awaitable[None]]) -> None:
    async def whole() -> None:
        door = await open_front_door()
        assert (await door.call(ROOT, "ecs", "CreateCluster")).status == 200
        await story(door, AccountDesk(door.region))

    asyncio.run(whole())


async def joined(door: FrontDoor, sandbox: str, host_id: str = "h1") -> None:
    zone = door.region.capacities[ZONES[0][0]]
    await zone.register_host(HostFacts(host_id=host_id, boot_id="b", capacity=ROOM, sandbox=sandbox))
    await zone.host_seen(host_id, True)


async def started(door: FrontDoor) -> Said:
    subnets = (await door.call(ROOT, "ec2", "DescribeSubnets")).body["subnetSet"]
    network = {"awsvpcConfiguration": {"subnets": [subnet["subnetId"] for subnet in subnets]}}
    return await door.call(
        ROOT, "ecs", "RunTask", taskDefinition="es", launchType="FARGATE", networkConfiguration=network
    )


def test_without_the_operators_word_aws_refusal_is_the_answer() -> None:
    async def story(door: FrontDoor, _: AccountDesk) -> None:
        said = await door.call(ROOT, "ecs", "RegisterTaskDefinition", DEFINITION)
        assert (said.code, said.message) == ("ClientException", REFUSED)

    run(story)


@pytest.mark.parametrize(("sandbox", "runs"), [("microvm", True), ("emulated", True), ("container", False)])
def test_with_it_such_a_task_runs_where_it_has_its_own_kernel(sandbox: str, runs: bool) -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        await desk.kernel({"id": ACCOUNT, "allow": True})
        made = await door.call(ROOT, "ecs", "RegisterTaskDefinition", DEFINITION)
        assert made.body["taskDefinition"]["compatibilities"] == ["EC2", "FARGATE"]
        assert made.body["taskDefinition"]["containerDefinitions"][0]["privileged"] is True
        await joined(door, sandbox)
        said = await started(door)
        assert said.status == 200 and len(said.body["tasks"]) == int(runs)
        refused = [] if runs else [{"reason": CAPACITY_UNAVAILABLE, "detail": NO_KERNEL_HERE}]
        assert said.body["failures"] == refused

    run(story)


def test_beside_hosts_of_containers_it_goes_to_the_one_of_machines() -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        await desk.kernel({"id": ACCOUNT, "allow": True})
        await door.call(ROOT, "ecs", "RegisterTaskDefinition", DEFINITION)
        for host_id, sandbox in (("h1", "container"), ("h2", "microvm"), ("h3", "container")):
            await joined(door, sandbox, host_id)
        for _ in range(4):
            assert (await started(door)).body["failures"] == []
        zone = door.region.capacities[ZONES[0][0]]
        assert {host["host_id"]: host["tasks"] for host in await zone.hosts()} == {"h1": 0, "h2": 4, "h3": 0}

    run(story)


def test_what_was_taken_back_holds_for_the_next_task() -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        await desk.kernel({"id": ACCOUNT, "allow": True})
        assert [one["kernel"] for one in (await desk.listed({}))["accounts"]] == [True]
        await door.call(ROOT, "ecs", "RegisterTaskDefinition", DEFINITION)
        await joined(door, "microvm")
        await desk.kernel({"id": ACCOUNT, "allow": False})
        assert [one["kernel"] for one in (await desk.listed({}))["accounts"]] == [False]
        said = await started(door)
        assert (said.code, said.message) == ("ClientException", REFUSED)
        subnet = (await door.call(ROOT, "ec2", "DescribeSubnets")).body["subnetSet"][0]["subnetId"]
        network = {"awsvpcConfiguration": {"subnets": [subnet]}}
        service = await door.call(
            ROOT, "ecs", "CreateService", serviceName="s", taskDefinition="es", desiredCount=1, launchType="FARGATE",
            networkConfiguration=network,
        )  # fmt: skip
        assert (service.code, service.message) == ("ClientException", REFUSED)
        plain = DEFINITION | {"family": "plain", "containerDefinitions": [{"name": "es", "image": "es:1"}]}
        assert (await door.call(ROOT, "ecs", "RegisterTaskDefinition", plain)).status == 200
        made = await door.call(
            ROOT, "ecs", "CreateService", serviceName="s", taskDefinition="plain", desiredCount=1, launchType="FARGATE",
            networkConfiguration=network,
        )  # fmt: skip
        assert made.status == 200
        changed = await door.call(ROOT, "ecs", "UpdateService", {"service": "s", "taskDefinition": "es"})
        assert (changed.code, changed.message) == ("ClientException", REFUSED)

    run(story)


def test_a_cell_places_nothing_for_an_account_that_lost_it_meanwhile() -> None:
    """A service's own launches do not come through the front end."""

    async def body(rig: CellRig) -> None:
        container = CELLS_DEFINITION["containerDefinitions"][0] | {"privileged": True}
        asked = CELLS_DEFINITION | {"containerDefinitions": [container]}
        answer = await rig.cell.run_task(run_request(definition=asked))
        assert answer.documents == () and [one.reason for one in answer.failures] == [KERNEL_LEAVE]
        assert await rig.reserved_tasks() == 0
        await rig.run()

    in_cell(body)


def test_why_counts_by_the_services_own_definition() -> None:
    async def story(door: FrontDoor, desk: AccountDesk) -> None:
        await desk.kernel({"id": ACCOUNT, "allow": True})
        made = await door.call(ROOT, "ecs", "RegisterTaskDefinition", DEFINITION)
        arn = made.body["taskDefinition"]["taskDefinitionArn"]
        found = OperatorDesk(door.region)._definition
        shown = found(ACCOUNT, {"taskDefinition": arn})
        assert shown is not None and needs_own_kernel(shown)
        assert found(ACCOUNT, {"taskDefinition": arn + "7"}) is None and found(ACCOUNT, {}) is None

    run(story)


def test_only_an_account_that_is_there_gets_it() -> None:
    async def story(_: FrontDoor, desk: AccountDesk) -> None:
        with pytest.raises(Refused, match="there is no account '999999999999'"):
            await desk.kernel({"id": "999999999999", "allow": True})

    run(story)


def test_the_word_outlives_the_process_and_is_heard_by_others() -> None:
    async def told() -> None:
        world, disk = OsWorld(), MemoryDisk()
        store = await MemoryStores(world, DEFAULT_KNOBS, disk).open("region", MIGRATIONS)
        first, second = await open_kernel_grants(world, store), await open_kernel_grants(world, store)
        await first.give("1")
        await first.give("1")
        await first.give("2")
        assert not second.has("1")
        await second.load()
        assert second.has("1") and second.has("2")
        await second.take_back("1")
        third = await open_kernel_grants(world, store)
        assert not third.has("1") and third.has("2") and not third.has("")

    asyncio.run(told())
