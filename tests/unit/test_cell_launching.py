"""RunTask in the cell: spread, reserve, record, answer; what is refused, and what a kill in the middle leaves."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from neargate.interfaces.roles import TaskFilter
from neargate.interfaces.store import Overloaded, Statement
from neargate.link.messages import RunOrder, decode_to_agent
from neargate.model.capacity import HostCapacity, HostFacts, HostPlatform
from neargate.model.errors import (
    ClientError,
    ClusterNotFound,
    Conflict,
    InvalidParameter,
    ServiceUnavailable,
)
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import (
    ACCOUNT,
    REGION,
    ZONES,
    CellRig,
    Killed,
    host_of,
    id_of,
    in_cell,
    parsed,
    run_request,
    subnet,
)

SMALL = HostCapacity(cpu_units=512, memory_mib=4096, disk_gib=1000)  # room for two tasks a zone
SWEEP_NOW = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, reservation_sweep_age_s=0.0)


def records_task(statements: Sequence[Statement]) -> bool:
    return any("INSERT INTO tasks" in statement.sql for statement in statements)


async def listed(rig: CellRig, **wanted: Any) -> list[str]:
    arns, _ = await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(**wanted), 100, None)
    return arns


def test_a_task_is_recorded_with_its_order_before_the_answer() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(started_by="me", tags=(("team", "a"),), managed_tags=True)
        assert task["lastStatus"] == "PROVISIONING" and task["desiredStatus"] == "RUNNING"
        assert task["tags"] == [{"key": "team", "value": "a"}, {"key": "aws:ecs:clusterName", "value": "default"}]
        assert task["group"] == "family:web" and task["startedBy"] == "me"
        await rig.reopen()  # kill -9: only what was durable is left
        assert await rig.described(id_of(task)) == task
        [order] = await rig.cell.orders.to_run(host_of(task["availabilityZone"]), 0, 10)
        message = decode_to_agent(order.message)
        assert isinstance(message, RunOrder)
        launch = message.launch
        assert (launch.task_id, launch.incarnation) == (id_of(task), rig.cell.incarnation)
        assert [item.arn for item in launch.containers] == [item["containerArn"] for item in task["containers"]]
        assert await rig.reserved_tasks() == 1

    in_cell(body)


def test_ten_tasks_of_one_call_spread_over_the_zones() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=10)
        counts = [sum(task["availabilityZone"] == zone for task in tasks) for zone in ZONES]
        assert sum(counts) == 10 and max(counts) - min(counts) <= 1
        assert len({id_of(task) for task in tasks}) == 10

    in_cell(body)


def test_newer_hosts_in_one_zone_do_not_draw_tasks_out_of_the_others() -> None:
    """Within a zone they do."""

    async def body(rig: CellRig) -> None:
        room = HostCapacity(cpu_units=64_000, memory_mib=64_000, disk_gib=64_000)
        platform = HostPlatform(kernel="6.12.1")
        newer = HostFacts(
            host_id="newer", boot_id="1", capacity=room, software="9.0.0", platform=platform, zone=ZONES[1]
        )
        await rig.capacities[ZONES[1]].register_host(newer)
        tasks = await rig.run(count=9)
        zones = [task["availabilityZone"] for task in tasks]
        assert sorted(zones) == sorted(ZONES * 3)
        for n, zone in enumerate(ZONES):
            counts = {host["host_id"]: host["tasks"] for host in await rig.capacities[zone].hosts()}
            assert counts == ({host_of(zone): 0, "newer": 3} if n == 1 else {host_of(zone): 3})

    in_cell(body)


def test_the_spread_is_counted_again_after_a_restart_and_stopped_tasks_leave_it() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=3)
        gone = tasks[0]
        await rig.report(gone, "STOPPED", 1)
        await rig.reopen()
        [replacement] = await rig.run()
        assert replacement["availabilityZone"] == gone["availabilityZone"]
        for task in (*tasks[1:], replacement):
            await rig.report(task, "STOPPED", 1)
        [only] = await rig.run(subnets=(subnet(ZONES[1]),))
        assert only["availabilityZone"] == ZONES[1]

    in_cell(body)


def test_callers_side_by_side_see_each_other_in_the_spread() -> None:
    async def body(rig: CellRig) -> None:
        answers = await asyncio.gather(*(rig.run() for _ in range(9)))
        zones = [task["availabilityZone"] for [task] in answers]
        assert sorted(zones) == sorted(ZONES * 3)

    in_cell(body)


def test_a_full_zone_is_passed_over_and_full_everywhere_is_a_failure_in_aws_words() -> None:
    async def body(rig: CellRig) -> None:
        first = await rig.run(count=2, subnets=(subnet(ZONES[0]),))
        assert {task["availabilityZone"] for task in first} == {ZONES[0]}
        elsewhere = await rig.run(count=4)
        assert {task["availabilityZone"] for task in elsewhere} == {ZONES[1], ZONES[2]}
        answer = await rig.cell.run_task(run_request(count=3))
        assert answer.documents == ()
        assert [failure.reason for failure in answer.failures] == [
            "Capacity is unavailable at this time. Please try again later or in a different availability zone"
        ] * 3
        assert len(await listed(rig)) == 6 and await rig.reserved_tasks() == 6

    in_cell(body, host=SMALL)


def test_a_zone_that_is_down_is_passed_over_and_all_down_is_not_a_lack_of_capacity() -> None:
    async def body(rig: CellRig) -> None:
        for zone in ZONES[:2]:
            rig.capacities[zone].reserve = _overloaded  # type: ignore[method-assign]
        tasks = await rig.run(count=4)
        assert {task["availabilityZone"] for task in tasks} == {ZONES[2]}
        rig.capacities[ZONES[2]].reserve = _overloaded  # type: ignore[method-assign]
        with pytest.raises(ServiceUnavailable):
            await rig.cell.run_task(run_request(count=2))
        assert len(await listed(rig)) == 4

    in_cell(body)


async def _overloaded(request: object) -> Any:
    raise Overloaded("the zone's queue is full")


def test_the_tasks_that_fit_are_started_beside_the_failures() -> None:
    async def body(rig: CellRig) -> None:
        answer = await rig.cell.run_task(run_request(count=10))
        assert len(answer.documents) == 6 and len(answer.failures) == 4
        assert len(await listed(rig)) == 6

    in_cell(body, host=SMALL)


def test_an_exhausted_subnet_is_answered_and_shows_in_the_stopped_task() -> None:
    async def body(rig: CellRig) -> None:
        tiny = subnet(ZONES[0], 7, cidr="10.99.0.0/28")  # eleven addresses
        for _ in range(11):
            await rig.run(subnets=(tiny,))
        [task] = await rig.run(subnets=(tiny,))
        assert task["lastStatus"] == "PROVISIONING"

        async def stopped() -> bool:
            return bool((await rig.described(id_of(task)))["lastStatus"] == "STOPPED")

        await rig.until(stopped)
        shown = await rig.described(id_of(task))
        assert shown["stopCode"] == "TaskFailedToStart"
        assert shown["stoppedReason"] == (
            "Unexpected EC2 error while attempting to Create Network Interface in subnet "
            f"'{tiny.subnet_id}': InsufficientFreeAddressesInSubnet"
        )
        assert await rig.cell.orders.to_run(host_of(ZONES[0]), 0, 99) != []
        assert id_of(task) not in {run.task_id for run in await rig.cell.orders.to_run(host_of(ZONES[0]), 0, 99)}

        async def given_back() -> bool:
            return await rig.reserved_tasks() == 11

        await rig.until(given_back)

    in_cell(body)


def test_a_task_without_an_interface_is_stopped_by_the_next_process_too() -> None:
    async def body(rig: CellRig) -> None:
        tiny = subnet(ZONES[0], 7, cidr="10.99.0.0/28")
        for _ in range(11):
            await rig.run(subnets=(tiny,))
        store = rig.stores.cell_store
        store.kill_before = lambda statements: statements[0].sql.startswith("UPDATE tasks SET last_status")
        rig.world.die = lambda reason: None  # type: ignore[method-assign]  # the loop dies, as the process would
        [task] = await rig.run(subnets=(tiny,))
        await rig.reopen()

        async def stopped() -> bool:
            return bool((await rig.described(id_of(task)))["lastStatus"] == "STOPPED")

        await rig.until(stopped)

    in_cell(body)


def test_a_client_token_gives_the_same_tasks_and_no_second_ones() -> None:
    async def body(rig: CellRig) -> None:
        first = await rig.run(count=2, client_token="token-1")
        again = await rig.run(count=2, client_token="token-1")
        assert again == first
        await rig.reopen()
        assert await rig.run(count=2, client_token="token-1") == first
        assert len(await listed(rig)) == 2
        assert await rig.reserved_tasks() == 2, "what the repetition reserved was given back"
        assert await rig.run(count=1, client_token="token-2") != first[:1]

    in_cell(body)


def test_a_client_token_used_at_the_same_time_gives_one_task() -> None:
    async def body(rig: CellRig) -> None:
        answers = await asyncio.gather(*(rig.run(client_token="same") for _ in range(8)))
        assert len({id_of(task) for [task] in answers}) == 1
        assert len(await listed(rig)) == 1 and await rig.reserved_tasks() == 1

    in_cell(body)


def test_a_client_token_with_other_parameters_is_a_conflict_that_names_the_tasks() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(client_token="token-1")
        with pytest.raises(Conflict) as refused:
            await rig.cell.run_task(run_request(client_token="token-1", request_fingerprint="other"))
        assert refused.value.fields == {"resourceIds": [task["taskArn"]]}
        assert len(await listed(rig)) == 1 and await rig.reserved_tasks() == 1

    in_cell(body)


def test_a_repeated_call_is_answered_from_its_token_when_there_is_no_room_any_more() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=6, client_token="all")
        assert await rig.run(count=6, client_token="all") == tasks

    in_cell(body, host=SMALL)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"cluster": "nowhere"}, ClusterNotFound, "Cluster not found."),
        ({"launch_type": None}, InvalidParameter, "No Container Instances were found in your cluster."),
        ({"launch_type": "EC2"}, InvalidParameter, "No Container Instances were found in your cluster."),
        ({"providers": ("FARGATE",), "launch_type": None}, InvalidParameter, "not associated with the cluster"),
    ],
)
def test_what_the_cluster_cannot_run_is_refused_and_reserves_nothing(
    changes: dict[str, Any], error: type[Exception], text: str
) -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(error, match=text):
            await rig.cell.run_task(run_request(**changes))
        assert await rig.reserved_tasks() == 0

    in_cell(body)


def test_each_task_of_a_call_has_the_capacity_provider_that_it_was_given() -> None:
    async def body(rig: CellRig) -> None:
        both = ["FARGATE", "FARGATE_SPOT"]
        await rig.cell.create_cluster(ACCOUNT, REGION, "with", {"capacityProviders": both})
        wanted = ("FARGATE", "FARGATE_SPOT", "FARGATE_SPOT")
        request = run_request(cluster="with", launch_type=None, count=3, providers=wanted)
        tasks = parsed(await rig.cell.run_task(request))
        assert [task["capacityProviderName"] for task in tasks] == list(wanted)
        assert {task["launchType"] for task in tasks} == {"FARGATE"}

    in_cell(body)


def test_tags_of_the_definition_are_propagated_when_asked_and_the_call_s_win() -> None:
    async def body(rig: CellRig) -> None:
        given = {"definition_tags": (("a", "1"), ("b", "1")), "tags": (("b", "2"),)}
        [plain] = await rig.run(**given)
        assert plain["tags"] == [{"key": "b", "value": "2"}]
        [propagated] = await rig.run(**given, propagate_tags="TASK_DEFINITION")
        assert propagated["tags"] == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]

    in_cell(body)


def test_a_deleted_cluster_takes_no_task_even_when_the_read_model_is_old() -> None:
    async def body(rig: CellRig) -> None:
        await rig.stores.cell_store.write(
            [Statement("UPDATE clusters SET status = 'INACTIVE', rev = rev + 1 WHERE name = 'default'")]
        )
        with pytest.raises(ClientError, match="The referenced cluster was inactive"):
            await rig.cell.run_task(run_request())
        assert await rig.reserved_tasks() == 0

    in_cell(body)


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
def test_a_kill_between_reserving_and_recording_leaks_nothing_and_loses_nothing(moment: str) -> None:
    async def body(rig: CellRig) -> None:
        setattr(rig.stores.cell_store, moment, records_task)
        with pytest.raises(Killed):
            await rig.cell.run_task(run_request())
        await rig.reopen()
        assert await rig.reserved_tasks() == 1
        said = await rig.cell.sweepers.sweep_reservations()
        if moment == "kill_before":
            assert said == "gave back 1 reservations without a task"
            assert await rig.reserved_tasks() == 0 and await listed(rig) == []
        else:
            assert said is None
            assert await rig.reserved_tasks() == 1 and len(await listed(rig)) == 1
        assert await rig.cell.sweepers.sweep_reservations() is None, "a second sweep finds nothing"

    in_cell(body, knobs=SWEEP_NOW)


def test_a_record_that_comes_after_the_sweep_meets_the_tombstone() -> None:
    async def body(rig: CellRig) -> None:
        recording = asyncio.Event()
        swept = asyncio.Event()
        store = rig.stores.cell_store
        plain_write = store.write

        async def slow_write(statements: Any) -> Any:
            if records_task(statements):
                recording.set()
                await swept.wait()
            return await plain_write(statements)

        store.write = slow_write  # type: ignore[method-assign]
        late = asyncio.ensure_future(rig.cell.run_task(run_request()))
        await recording.wait()
        assert await rig.cell.sweepers.sweep_reservations() == "gave back 1 reservations without a task"
        swept.set()
        with pytest.raises(ServiceUnavailable):
            await late
        assert await listed(rig) == [] and await rig.reserved_tasks() == 0

    in_cell(body, knobs=SWEEP_NOW)


def test_settled_reservations_are_kept() -> None:
    async def body(rig: CellRig) -> None:
        await rig.run(count=3)
        assert await rig.cell.sweepers.sweep_reservations() is None
        assert await rig.reserved_tasks() == 3
        assert [await zone.unclaimed(rig.world.now() + 1) for zone in rig.capacities.values()] == [[], [], []]

    in_cell(body, knobs=SWEEP_NOW)
