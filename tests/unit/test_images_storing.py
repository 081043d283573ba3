"""A manifest that is pushed and deleted at once is either there with its bytes or not there; disks never fill up."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakValueDictionary

import pytest
from msgspec.structs import replace

from neargate.frontend.images import registry as images_part
from neargate.frontend.images.decisions import delete_images
from neargate.frontend.images.errors import BackendAway, LimitExceeded, NoRoom, RepositoryNotFound
from neargate.frontend.images.manifest import OCI_MANIFEST, digest_of
from neargate.frontend.images.records import Repository
from neargate.frontend.images.registry import open_images
from neargate.frontend.images.service import Images, require_room
from neargate.frontend.images.space import REPOSITORIES
from neargate.frontend.images.storing import forget_manifests, settle, store_manifest
from neargate.frontend.images.sweeping import remove_deleted
from neargate.frontend.images.uploads import Uploads
from neargate.model.errors import AwsError
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ACCOUNT = "123456789012"
CONFIG = {"mediaType": "c", "digest": f"sha256:{0:064x}", "size": 1}
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": []}).encode()
DIGEST = digest_of(MANIFEST)


class Keeper:
    """Keeps what it is told to. Held back are the answer to what is put, and the whole of a deletion."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.holds: dict[str, tuple[asyncio.Event, asyncio.Event]] = {}

    @asynccontextmanager
    async def exchange(self, method: str, target: str, *_: Any) -> AsyncIterator[Any]:
        if method == "PUT":
            self.kept.add(target)
        if method in self.holds:
            asked, let_go = self.holds[method]
            asked.set()
            await let_go.wait()
        if method == "DELETE":
            self.kept.discard(target)
        headers = {"docker-upload-uuid": "u", "location": f"{target.partition('/blobs')[0]}/blobs/uploads/u"}
        yield SimpleNamespace(status=201 if method == "PUT" else 202, headers=headers)

    def hold(self, method: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Set when it is asked for; to be set for it to be answered."""
        self.holds[method] = (asyncio.Event(), asyncio.Event())
        return self.holds[method]


async def opened(keeper: Keeper) -> Images:
    world = OsWorld()
    store = await MemoryStores(world, DEFAULT_KNOBS).open("r", images_part.MIGRATIONS)
    registry = await open_images(world, store)
    await registry.create(Repository(account=ACCOUNT, name="web", uid="", created=1.0))
    found = SimpleNamespace(
        world=world, registry=registry, backend=keeper, knobs=DEFAULT_KNOBS, storage="", turns=WeakValueDictionary()
    )
    return cast(Images, found)


async def push(images: Images) -> None:
    await store_manifest(images, ACCOUNT, "web", MANIFEST, OCI_MANIFEST, "1")


async def delete(images: Images) -> None:
    await forget_manifests(images, *await delete_record(images))


async def delete_record(images: Images) -> tuple[Repository, tuple[str, ...]]:
    repository = images.registry.book(ACCOUNT, "web").repository
    deleted = await images.registry.change(ACCOUNT, "web", lambda book: delete_images(book, [(DIGEST, None)]))
    return repository, deleted.images


async def is_whole(images: Images, keeper: Keeper) -> bool:
    """What the records name is there, and nothing else."""
    book = images.registry.book(ACCOUNT, "web")
    own = f"/v2/{book.repository.backend_name}/manifests/{DIGEST}"
    return keeper.kept == ({own} if book.find("1") else set())


def test_pushed_while_it_is_being_deleted_it_has_its_bytes() -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        await push(images)
        asked, let_go = keeper.hold("DELETE")
        deleting = asyncio.ensure_future(delete(images))
        await asked.wait()
        pushing = asyncio.ensure_future(push(images))
        let_go.set()
        await asyncio.gather(deleting, pushing)
        assert images.registry.book(ACCOUNT, "web").find("1") and await is_whole(images, keeper)

    asyncio.run(story())


def test_deleted_while_it_is_being_pushed_again_it_keeps_its_bytes() -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        await push(images)
        asked, let_go = keeper.hold("PUT")
        pushing = asyncio.ensure_future(push(images))
        await asked.wait()
        deleting = asyncio.ensure_future(forget_manifests(images, *await delete_record(images)))
        let_go.set()
        await asyncio.gather(deleting, pushing)
        assert images.registry.book(ACCOUNT, "web").find("1") and await is_whole(images, keeper)
        await delete(images)
        assert not keeper.kept and not images.turns, "nothing is left, and nobody waits"

    asyncio.run(story())


def test_a_repository_made_again_takes_no_manifest_whose_bytes_went_to_the_old_one() -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        asked, let_go = keeper.hold("PUT")
        pushing = asyncio.ensure_future(push(images))
        await asked.wait()
        await images.registry.delete(ACCOUNT, "web", lambda book: None)
        await images.registry.create(Repository(account=ACCOUNT, name="web", uid="", created=1.0))
        let_go.set()
        with pytest.raises(RepositoryNotFound):
            await pushing
        assert not images.registry.book(ACCOUNT, "web").images()

    asyncio.run(story())


def test_what_is_left_of_deleted_repositories_goes_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        images = await opened(Keeper())
        kept = images.registry.book(ACCOUNT, "web").repository.backend_name
        old = await images.registry.create(Repository(account=ACCOUNT, name="old", uid="", created=1.0))
        empty = await images.registry.create(Repository(account=ACCOUNT, name="empty", uid="", created=1.0))
        # A database that was restored does not know what was made after its copy.
        unknown = f"{ACCOUNT}/{'0' * 32}"
        top = tmp_path / REPOSITORIES
        for name in (kept, old.backend_name, unknown):
            (top / name / "_layers" / "sha256").mkdir(parents=True)
        cast(Any, images).storage = str(tmp_path)
        await remove_deleted(images)
        assert len(list(top.glob("*/*"))) == 3, "none was deleted"
        for name in ("old", "empty"):
            await images.registry.delete(ACCOUNT, name, lambda book: None)
        cast(Any, images).storage = ""
        await remove_deleted(images)
        assert (top / old.backend_name).exists(), "the storage is not here"
        cast(Any, images).storage = str(tmp_path)
        assert {uid for uid, _ in await images.registry.deleted()} == {old.uid, empty.uid}
        await remove_deleted(images)
        assert sorted(str(path.relative_to(top)) for path in top.glob("*/*")) == sorted((kept, unknown))
        assert await images.registry.deleted() == []

    asyncio.run(story())


async def settled(images: Images, keeper: Keeper) -> None:
    """As long after as it takes for something to be left over."""
    keeper.holds.clear()
    cast(Any, images).knobs = replace(DEFAULT_KNOBS, image_unsettled_s=-1.0, image_claim_s=-1.0)
    await settle(images)
    assert await images.registry.unsettled(math.inf, 10) == []


def test_what_a_kill_left_between_the_bytes_and_the_record_goes() -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        asked, _ = keeper.hold("PUT")
        pushing = asyncio.ensure_future(push(images))
        await asked.wait()
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await settle(images)
        assert keeper.kept, "it may be on its way"
        await settled(images, keeper)
        assert not keeper.kept
        await push(images)
        await settled(images, keeper)
        assert await is_whole(images, keeper) and keeper.kept

    asyncio.run(story())


def test_however_many_are_left_they_go_in_one_turn_and_what_stays_ends_it() -> None:
    """Each push that the keeper refuses leaves a note: they must not come faster than they go."""

    class Refusing(Keeper):
        @asynccontextmanager
        async def exchange(self, method: str, target: str, *_: Any) -> AsyncIterator[Any]:
            async with super().exchange(method, target) as found:
                found.status = 405 if target.endswith("3") else found.status
                yield found

    async def story() -> None:
        images = await opened(Refusing())
        repository = images.registry.book(ACCOUNT, "web").repository
        for number in range(20):
            await images.registry.note(repository, f"sha256:{number:064x}", 0.0)
        cast(Any, images).knobs = replace(DEFAULT_KNOBS, image_unsettled_s=-1.0, image_unsettled_page=3)
        await settle(images)
        left = [digest for _, _, digest in await images.registry.unsettled(math.inf, 30)]
        assert left == [f"sha256:{number:064x}" for number in (3, 19)]

    asyncio.run(story())


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_kill_left_between_the_record_and_the_bytes_goes(whole: bool) -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        await push(images)
        if whole:
            await images.registry.delete(ACCOUNT, "web", lambda book: None)
        else:
            await delete_record(images)
        assert keeper.kept
        await settled(images, keeper)
        assert not keeper.kept

    asyncio.run(story())


def test_what_is_being_taken_away_is_not_recorded_by_another_process() -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        uid = images.registry.book(ACCOUNT, "web").repository.uid
        asked, let_go = keeper.hold("PUT")
        pushing = asyncio.ensure_future(push(images))
        await asked.wait()
        claimed = await images.registry.claim(uid, DIGEST, math.inf)
        assert claimed is not None
        let_go.set()
        with pytest.raises(AwsError):
            await pushing
        with pytest.raises(BackendAway):
            await push(images)
        await images.registry.forget_claimed(uid, DIGEST, claimed)
        await push(images)
        assert await images.registry.claim(uid, DIGEST, math.inf) is None, "a record names it"

    asyncio.run(story())


def test_a_note_of_what_a_record_names_orders_nothing() -> None:
    async def story() -> None:
        keeper = Keeper()
        images = await opened(keeper)
        await push(images)
        await images.registry.note(images.registry.book(ACCOUNT, "web").repository, DIGEST, 0.0)
        await settled(images, keeper)
        assert keeper.kept and await is_whole(images, keeper)

    asyncio.run(story())


def test_parts_are_bounded_together() -> None:
    async def story() -> None:
        keeper, uploads = Keeper(), Uploads(most=2, layer_max_bytes=10)
        repository = Repository(account=ACCOUNT, name="web", uid="uid", created=1.0)

        def part(first: int, size: int) -> Coroutine[Any, Any, int]:
            return uploads.part(cast(Any, keeper), repository, "u", first, b"x" * size)

        assert await uploads.begin(cast(Any, keeper), repository) == "u"
        assert await part(0, 8) == 8
        with pytest.raises(LimitExceeded, match="A layer has at most 10 bytes"):
            await part(8, 3)
        assert await part(8, 2) == 10

    asyncio.run(story())


def test_a_disk_that_runs_full_takes_no_images(tmp_path: Path) -> None:
    def images(fraction: float, storage: str) -> Images:
        return cast(
            Images, SimpleNamespace(knobs=replace(DEFAULT_KNOBS, image_free_fraction=fraction), storage=storage)
        )

    require_room(images(0.0, str(tmp_path)))
    require_room(images(1.1, ""))
    with pytest.raises(NoRoom):
        require_room(images(1.1, str(tmp_path)))
