"""Repositories and images outlive the process, also what two processes change beside each other."""

import asyncio

import pytest
from msgspec.structs import replace

from neargate.frontend.images import registry as images_part
from neargate.frontend.images.book import RepositoryBook
from neargate.frontend.images.decisions import put_image
from neargate.frontend.images.errors import RepositoryAlreadyExists, RepositoryNotEmpty, RepositoryNotFound
from neargate.frontend.images.manifest import Described
from neargate.frontend.images.records import Image, Repository
from neargate.frontend.images.registry import Change, ImageRegistry, open_images
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT = "123456789012"


async def opened(disk: MemoryDisk) -> ImageRegistry:
    world = OsWorld()
    return await open_images(world, await MemoryStores(world, DEFAULT_KNOBS, disk).open("r", images_part.MIGRATIONS))


def repository(name: str) -> Repository:
    return Repository(account=ACCOUNT, name=name, uid="", created=1.0)


async def push(registry: ImageRegistry, name: str, number: int, tag: str) -> Image:
    found = Described(digest=f"sha256:{number:064x}", media_type="m", size=1)
    return await registry.change(ACCOUNT, name, lambda book: put_image(book, found, 1, tag, 2.0, images_max=10))


def tags(registry: ImageRegistry, name: str) -> dict[str, str]:
    book = registry.book(ACCOUNT, name)
    return {tag: book.find(tag).digest[-1] for tag in book.tags()}  # type: ignore[union-attr]


def test_what_was_answered_is_there_after_the_process() -> None:
    async def story() -> None:
        disk = MemoryDisk()
        first = await opened(disk)
        made = await first.create(repository("web"))
        assert len(made.uid) == 32
        with pytest.raises(RepositoryAlreadyExists):
            await first.create(repository("web"))
        await push(first, "web", 1, "a")
        await push(first, "web", 2, "a")
        await push(first, "web", 1, "b")
        await first.change_settings(ACCOUNT, lambda now: replace(now, policy="{}"))
        second = await opened(disk)
        assert second.book(ACCOUNT, "web").repository == made
        assert tags(second, "web") == {"a": "2", "b": "1"}
        assert second.settings(ACCOUNT).policy == "{}"

    asyncio.run(story())


def test_deleting_asks_first_and_a_new_repository_has_another_place() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        before = await registry.create(repository("web"))
        await push(registry, "web", 1, "a")

        def check(book: RepositoryBook) -> None:
            raise RepositoryNotEmpty("web", ACCOUNT)

        with pytest.raises(RepositoryNotEmpty):
            await registry.delete(ACCOUNT, "web", check)
        assert tags(registry, "web") == {"a": "1"}
        await registry.delete(ACCOUNT, "web", lambda book: None)
        with pytest.raises(RepositoryNotFound):
            registry.book(ACCOUNT, "web")
        after = await registry.create(repository("web"))
        assert after.backend_name != before.backend_name and tags(registry, "web") == {}

    asyncio.run(story())


def test_of_two_processes_neither_loses_what_the_other_pushed() -> None:
    async def story() -> None:
        disk = MemoryDisk()
        one, two = await opened(disk), await opened(disk)
        await one.create(repository("web"))
        with pytest.raises(RepositoryAlreadyExists):
            await two.create(repository("web"))
        await push(one, "web", 1, "a")
        await push(two, "web", 2, "b")  # decided on an older view, refused, and decided again
        await push(one, "web", 3, "a")
        await two.catch_up()
        for registry in (one, two):
            assert tags(registry, "web") == {"a": "3", "b": "2"}
        await one.delete(ACCOUNT, "web", lambda book: None)
        with pytest.raises(RepositoryNotFound):
            await push(two, "web", 4, "c")
        await one.change_settings(ACCOUNT, lambda now: replace(now, scan_type="A"))
        await two.change_settings(ACCOUNT, lambda now: replace(now, policy="{}"))
        await one.catch_up()
        assert (one.settings(ACCOUNT).scan_type, one.settings(ACCOUNT).policy) == ("A", "{}")

    asyncio.run(story())


def test_a_decision_that_refuses_changes_nothing() -> None:
    async def story() -> None:
        registry = await opened(MemoryDisk())
        await registry.create(repository("web"))

        def decide(book: RepositoryBook) -> Change[None]:
            raise RepositoryNotFound("other", ACCOUNT)

        with pytest.raises(RepositoryNotFound, match="other"):
            await registry.change(ACCOUNT, "web", decide)
        assert (await push(registry, "web", 1, "a")).tags == ("a",)

    asyncio.run(story())
