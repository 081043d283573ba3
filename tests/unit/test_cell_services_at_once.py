"""What many ask of a cell's services at the same time: each gets what is theirs, nobody is sent away for the others."""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from neargate.clusters.services.snapshot import Templates
from neargate.interfaces.services import RevisionTemplate
from neargate.interfaces.store import Row, Statement
from neargate.model.errors import ClientError
from neargate.model.quotas import SERVICES_PER_CLUSTER, DefaultQuotas, Quota
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell, parsed
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, template

MANY = 30


def test_many_services_are_made_at_the_same_time() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        names = [f"web-{number}" for number in range(MANY)]
        made = await asyncio.gather(*(services.create(name, 0) for name in names))
        assert [one["serviceName"] for one in made] == names
        for name in names:
            shown = await services.until_steady(name)
            assert shown["serviceName"] == name
            assert [one["rolloutState"] for one in shown["deployments"]] == ["COMPLETED"]

    in_cell(body, knobs=QUICK)


def test_many_updates_of_one_service_are_all_taken() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        wishes = [number % 4 for number in range(MANY)]
        answers = await asyncio.gather(
            *(services.update(desired_count=wish, force_new_deployment=True) for wish in wishes)
        )
        assert len(answers) == MANY
        shown = await services.until_steady()
        assert shown["desiredCount"] == wishes[-1]

    in_cell(body, knobs=QUICK)


def test_many_tasks_protect_themselves_at_the_same_time() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=MANY)
        await services.until_steady()
        tasks = [id_of(task) for task in await services.live()]
        answers = await asyncio.gather(
            *(
                rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, [task], enabled=True, expires_in_minutes=10)
                for task in tasks
            )
        )
        assert [parsed(answer)[0]["protectionEnabled"] for answer in answers] == [True] * MANY
        told = parsed(await rig.cell.services.task_protection(ACCOUNT, CLUSTER, []))
        assert [one["protectionEnabled"] for one in told] == [True] * MANY

    in_cell(body, knobs=QUICK)


def test_tasks_that_protect_themselves_all_the_time_keep_no_others_from_being_started() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        [first] = await services.until_count(1)
        store = rig.stores.cell_store
        write = store.write
        protected: list[bool] = []

        async def protect_first(statements: Sequence[Statement]) -> list[list[Row]]:
            if any("INTO service_tasks" in statement.sql for statement in statements):
                answer = await rig.cell.services.protect_tasks(
                    ACCOUNT, CLUSTER, [id_of(first)], enabled=True, expires_in_minutes=10
                )
                protected.append(bool(answer.documents))
            return await write(statements)

        store.write = protect_first  # type: ignore[method-assign]
        await services.update(desired_count=5)
        await services.until_count(5)
        assert protected == [True]

    in_cell(body, knobs=QUICK)


def test_who_is_protected_while_the_plan_that_stops_it_is_written_is_not_stopped() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        tasks = [id_of(task) for task in await services.live()]
        store = rig.stores.cell_store
        write = store.write
        protected: list[str] = []

        async def protect_first(statements: Sequence[Statement]) -> list[list[Row]]:
            stops = any("UPDATE tasks" in statement.sql for statement in statements)
            if stops and not protected:
                protected.extend(tasks)
                await rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, tasks, enabled=True, expires_in_minutes=10)
            return await write(statements)

        store.write = protect_first  # type: ignore[method-assign]
        await services.update(desired_count=1)

        async def is_told() -> bool:
            return any("3 tasks under protection" in message for message in await services.messages())

        await rig.until(is_told)
        assert [id_of(task) for task in await services.live() if task["desiredStatus"] == "RUNNING"] == tasks
        await services.delete()
        await services.until_status("INACTIVE")

    in_cell(body, knobs=QUICK)


def test_a_protection_that_comes_while_the_task_is_asked_to_stop_is_not_promised() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        await services.until_steady()
        [task] = [id_of(task) for task in await services.live()]
        store = rig.stores.cell_store
        write = store.write
        stopped: list[bool] = []

        async def write_later(statements):  # type: ignore[no-untyped-def]
            if not stopped and any("INTO protections" in statement.sql for statement in statements):
                stopped.append(True)
                await rig.cell.stop_task(ACCOUNT, CLUSTER, task, "mine")
            return await write(statements)

        store.write = write_later  # type: ignore[method-assign]
        answer = await rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, [task], enabled=True, expires_in_minutes=10)
        assert stopped
        assert not answer.documents
        assert [failure.reason for failure in answer.failures] == ["TASK_NOT_VALID"]

    in_cell(body, knobs=QUICK)


def test_revisions_that_are_asked_for_while_the_memory_of_them_is_emptied_are_found() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        first = (await services.create("web-1", 0))["currentServiceRevisions"][0]["arn"]
        second = (await services.create("web-2", 0))["currentServiceRevisions"][0]["arn"]
        store = rig.stores.cell_store
        templates = Templates(store)
        await templates.of([first])
        read = store.read
        emptied: list[bool] = []

        async def read_later(sql, params=()):  # type: ignore[no-untyped-def]
            if "FROM service_revisions" in sql and not emptied:
                emptied.append(True)
                templates._known.clear()
            return await read(sql, params)

        store.read = read_later  # type: ignore[method-assign]
        found = await templates.of([first, second])
        assert emptied
        assert {type(one) for one in found.values()} == {RevisionTemplate}
        assert found[first] == found[second] == template()

    in_cell(body, knobs=QUICK)


def test_a_service_that_is_forgotten_leaves_no_tasks_to_the_next_of_its_number() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=0)
        await services.delete()
        await services.until_status("INACTIVE")
        store = rig.stores.cell_store
        left = "INSERT INTO service_tasks (task, service, deployment) SELECT 'left', n, 'one' FROM services"
        await store.write([Statement(left, (), 1, "left")])
        rig.world.ahead_s += rig.knobs.service_inactive_keep_s + 60.0
        await rig.cell.sweepers.sweep_old_rows()
        assert await store.read("SELECT n FROM services") == []
        assert await store.read("SELECT task FROM service_tasks") == []

    in_cell(body, knobs=QUICK)


def test_no_more_deleted_services_are_kept_than_there_is_room_for() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        for name in ("web-1", "web-2", "web-3"):
            await services.create(name, desired_count=0)
            await services.delete(name)
            await services.until_status("INACTIVE", name)
        await services.create("web-4", desired_count=0)
        await rig.cell.sweepers.sweep_old_rows()
        left = await rig.stores.cell_store.read("SELECT name FROM services ORDER BY n")
        assert left == [("web-2",), ("web-3",), ("web-4",)]

    in_cell(body, knobs=replace(QUICK, service_inactive_max=2))


class Few:
    def value(self, account: str, quota: Quota) -> float | None:
        return 4.0 if quota is SERVICES_PER_CLUSTER else DefaultQuotas().value(account, quota)


def test_of_many_services_that_are_made_at_the_same_time_no_more_are_than_the_quota_has() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        rig.cell.services._changes._quotas = Few()
        made = await asyncio.gather(
            *(services.create(f"web-{number}", 0) for number in range(10)), return_exceptions=True
        )
        refused = [one for one in made if not isinstance(one, dict)]
        assert {type(one) for one in refused} == {ClientError}
        assert len(made) - len(refused) == 4

    in_cell(body, knobs=QUICK)
