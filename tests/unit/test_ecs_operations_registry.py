"""The registry of task definitions over a store in memory: gapless, durable, and the same after a crash."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from neargate.definitions.tags import Tags
from neargate.frontend.regional.task_definitions import (
    MIGRATIONS,
    Revision,
    TaskDefinitionRegistry,
    open_task_definitions,
)
from neargate.interfaces.store import Statement
from neargate.model.errors import ClientError
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT = "123456789012"


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


async def opened(disk: MemoryDisk) -> TaskDefinitionRegistry:
    world = OsWorld()
    store = await MemoryStores(world, Knobs(), disk).open("region", MIGRATIONS)
    return await open_task_definitions(world, store)


async def register(registry: TaskDefinitionRegistry, family: str = "web", tags: Tags = (), **members: Any) -> Revision:
    request = {"family": family, "containerDefinitions": [{"name": "web", "image": "web:1", "memory": 64}]} | members
    return await registry.register(
        request, account=ACCOUNT, region="us-east-1", registered_by="arn:aws:iam::1:root", tags=tags
    )


def listed(registry: TaskDefinitionRegistry, **changes: Any) -> list[tuple[str, int]]:
    wanted: dict[str, Any] = {"family": None, "status": "ACTIVE", "descending": False, "after": None}
    return list(registry.revisions(ACCOUNT, **(wanted | changes)))


def families(registry: TaskDefinitionRegistry, **changes: Any) -> list[str]:
    wanted: dict[str, Any] = {"prefix": "", "status": "ALL", "after": None}
    return list(registry.families(ACCOUNT, **(wanted | changes)))


def status_of(registry: TaskDefinitionRegistry, family: str, number: int) -> str:
    found = registry.find(ACCOUNT, family, number)
    assert found is not None
    shown: str = registry.definition(found)["status"]
    assert shown == found.status
    return shown


def test_many_at_once_get_gapless_numbers() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        made = await asyncio.gather(*(register(registry) for _ in range(40)))
        assert sorted(revision.number for revision in made) == list(range(1, 41))
        latest = registry.find(ACCOUNT, "web", None)
        assert latest is not None and latest.number == 40

    run(story)


def test_a_new_process_knows_all_that_was_answered() -> None:
    async def story() -> None:
        disk = MemoryDisk()
        first = await opened(disk)
        await register(first, tags=(("team", "a"),))
        await register(first)
        old = await register(first, "api")
        await first.deregister(old)
        disk.crash()
        second = await opened(disk)
        assert listed(second) == [("web", 1), ("web", 2)]
        assert status_of(second, "api", 1) == "INACTIVE"
        known, before = second.find(ACCOUNT, "web", 1), first.find(ACCOUNT, "web", 1)
        assert known == before and known is not None and known.tags == (("team", "a"),)
        assert (await register(second, "api")).number == 2

    run(story)


def test_a_retired_revision_stays_describable_and_its_number_is_never_given_again() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        await register(registry)
        second = await register(registry)
        retired = await registry.deregister(second)
        assert msgspec.json.decode(retired.document)["deregisteredAt"] > 0
        latest = registry.find(ACCOUNT, "web", None)
        assert latest is not None and latest.number == 1
        assert status_of(registry, "web", 2) == "INACTIVE"
        asked = [f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/{name}" for name in ("web:1", "web:2", "web:9", "x")]
        assert [registry.is_retired(arn) for arn in (*asked, "no ARN")] == [False, True, False, False, False]
        assert (await register(registry)).number == 3
        assert (await registry.deregister(second)).document == retired.document

    run(story)


def test_only_an_inactive_revision_is_deleted() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        made = await register(registry)
        assert (await registry.delete(made)).status == "ACTIVE"
        await registry.deregister(made)
        assert (await registry.delete(made)).status == "DELETE_IN_PROGRESS"
        assert status_of(registry, "web", 1) == "DELETE_IN_PROGRESS"
        assert listed(registry, status="DELETE_IN_PROGRESS") == [("web", 1)]

    run(story)


def test_two_processes_over_one_database_share_a_family() -> None:
    async def story() -> None:
        disk = MemoryDisk()
        first, second = await opened(disk), await opened(disk)
        made = [await register(first), await register(second), await register(second), await register(first)]
        assert [revision.number for revision in made] == [1, 2, 3, 4]
        await first.deregister(made[1])
        retired = await second.deregister(made[1])
        assert retired.status == "INACTIVE" and retired.rev == 2

    run(story)


def test_a_family_that_always_moves_is_refused_in_the_end() -> None:
    async def story() -> None:
        disk = MemoryDisk()
        world = OsWorld()
        store = await MemoryStores(world, Knobs(), disk).open("region", MIGRATIONS)
        registry = await open_task_definitions(world, store)
        # A family whose counter says more than its rows: the next number can never be taken.
        await store.write(
            [Statement("INSERT INTO task_definition_family (account, family, latest) VALUES (?, 'web', 9)", (ACCOUNT,))]
        )
        with pytest.raises(ClientError) as refused:
            await register(registry)
        assert refused.value.message == (
            "Too many concurrent attempts to create a new revision of the specified family."
        )

    run(story)


def test_a_document_that_is_too_large_takes_no_number() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        huge = [{"name": "web", "image": "web:1", "memory": 64, "command": ["x" * 70_000]}]
        with pytest.raises(ClientError, match="Max allowed length is '65536' bytes"):
            await register(registry, containerDefinitions=huge)
        assert (await register(registry)).number == 1

    run(story)


def test_lists_in_order_from_any_place() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        for family in ("web", "api", "web", "api-v2", "web"):
            await register(registry, family)
        ascending = [("api", 1), ("api-v2", 1), ("web", 1), ("web", 2), ("web", 3)]
        assert listed(registry) == ascending
        assert listed(registry, descending=True) == ascending[::-1]
        for place, item in enumerate(ascending):
            assert listed(registry, after=item) == ascending[place + 1 :]
            assert listed(registry, after=item, descending=True) == ascending[:place][::-1]
        assert listed(registry, after=("azure", 7)) == ascending[2:]
        assert listed(registry, family="web") == ascending[2:]
        assert listed(registry, family="we") == []
        assert (
            list(registry.revisions("999999999999", family=None, status="ACTIVE", descending=False, after=None)) == []
        )

    run(story)


def test_families_by_prefix_and_status() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        for family in ("web", "api", "api-v2"):
            await register(registry, family)
        gone = registry.find(ACCOUNT, "api", 1)
        assert gone is not None
        await registry.deregister(gone)
        assert families(registry) == ["api", "api-v2", "web"]
        assert families(registry, prefix="api") == ["api", "api-v2"]
        assert families(registry, status="ACTIVE") == ["api-v2", "web"]
        assert families(registry, status="INACTIVE") == ["api"]
        assert families(registry, after="api") == ["api-v2", "web"]

    run(story)
