"""The loop that carries out lifecycle policies: as on AWS within a day, here within a period of the knobs.

Decides with `lifecycle.expired` on what was there, and deletes only what is still as it was then. What a kill left of
deleted repositories goes as well.
"""

import re
import shutil
from pathlib import Path

from msgspec.structs import replace

from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.errors import AwsError
from .book import RepositoryBook
from .decisions import Deleted, delete_images
from .lifecycle import Expired, InvalidLifecyclePolicy, expired, parse
from .registry import Change
from .service import Images
from .storing import forget_manifests

LANE = "images"
REPOSITORIES = "docker/registry/v2/repositories"  # below the storage, as the Distribution project lays it out
_BACKEND_NAME = re.compile(r"[0-9]{12}/[0-9a-f]{32}")
_log = get_logger(__name__)


async def run_lifecycles(images: Images) -> None:
    """Never returns."""
    while True:
        await images.world.sleep(images.knobs.image_lifecycle_period_s)
        for book in images.registry.all_books():
            if book.repository.lifecycle is not None:
                await sweep(images, book.repository.account, book.repository.name)
        await remove_nameless(images)


async def sweep(images: Images, account: str, name: str) -> None:
    """One turn of one repository; what speaks against it is logged."""
    try:
        book = images.registry.book(account, name)
        found = await expiring(images, book.repository.lifecycle or "", book)
        deleted = await images.registry.change(account, name, lambda book: expire(book, found, images.world.now()))
        await forget_manifests(images, book.repository, deleted.images)
    except (AwsError, Overloaded, InvalidLifecyclePolicy) as error:
        _log.warning("a lifecycle policy waits for its next turn", repository=name, reason=str(error))
        return
    if deleted.images:
        _log.info("images expired", account=account, repository=name, count=len(deleted.images))


async def expiring(images: Images, policy: str, book: RepositoryBook) -> list[Expired]:
    """On a thread: thousands of tags are looked through, and nobody else waits. Raises InvalidLifecyclePolicy."""
    return await images.world.offload(LANE, expired, parse(policy), book.images(), images.world.now())


def expire(book: RepositoryBook, found: list[Expired], now: float) -> Change[Deleted]:
    """What was found, but for what was pushed or tagged meanwhile, or saved by another policy."""
    if book.repository.lifecycle is None:
        return Change(result=Deleted(pairs=(), images=()))
    same = [one.image for one in found if book.find(one.image.digest) == one.image]
    change = delete_images(book, [(image.digest, None) for image in same])
    return replace(change, repository=replace(book.repository, lifecycle_evaluated=round(now, 3)))


async def remove_nameless(images: Images) -> None:
    """Directories of repositories that no record names: whoever deleted them was killed before the bytes were let go.

    Looked for before the records: a record is there before the first byte, so what is being made is never taken.
    """
    if not images.storage:
        return
    place = Path(images.storage, REPOSITORIES)
    try:
        there = await images.world.offload(LANE, _names_in, place)
        for name in sorted(there - await images.registry.backend_names()):
            await images.world.offload(LANE, shutil.rmtree, place / name)
            _log.info("what was left of a deleted repository is removed", name=name)
    except (OSError, Overloaded) as error:
        _log.warning("deleted repositories wait for their next turn", reason=str(error))


def _names_in(place: Path) -> set[str]:
    found = (str(path.relative_to(place)) for path in place.glob("*/*"))
    return {name for name in found if _BACKEND_NAME.fullmatch(name)}
