"""The loop that carries out lifecycle policies: as on AWS within a day, here within a period of the knobs.

Decides with `lifecycle.expired` on what was there, and deletes only what is still as it was then. What a kill left of
deleted repositories goes as well.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.errors import AwsError
from .book import RepositoryBook
from .decisions import Deleted, delete_images
from .lifecycle import (
    Expired,
    InvalidLifecyclePolicy,
    Rule,
    effort,
    expired_of,
    newest_first,
    parse,
    select,
)
from .records import Image
from .registry import Change
from .service import LANE, Images
from .space import REPOSITORIES
from .storing import forget_manifests, settle

_log = get_logger(__name__)


async def run_lifecycles(images: Images) -> None:
    """Never returns."""
    while True:
        await images.world.sleep(images.knobs.image_lifecycle_period_s)
        for book in images.registry.all_books():
            if book.repository.lifecycle is not None:
                await sweep(images, book.repository.account, book.repository.name)
        await remove_deleted(images)
        await settle_manifests(images)


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
    """On a thread, in slices: each tag is tried with each pattern, and others have their turn between.

    Raises InvalidLifecyclePolicy.
    """
    rules, now = parse(policy), images.world.now()
    known = await images.world.offload(LANE, newest_first, book.images())
    chosen: list[list[Image]] = []
    for rule in rules:
        selected: list[Image] = []
        for some in slices(rule, known, images.knobs.image_lifecycle_slice):
            selected += await images.world.offload(LANE, select, rule, some)
        chosen.append(selected)
    return await images.world.offload(LANE, expired_of, rules, known, chosen, now)


def slices(rule: Rule, images: Sequence[Image], most: int) -> Iterator[Sequence[Image]]:
    """In order, each with an effort of about `most`."""
    begin = spent = 0
    for at, image in enumerate(images):
        spent += effort(rule, image)
        if spent >= most:
            yield images[begin : at + 1]
            begin, spent = at + 1, 0
    if begin < len(images):
        yield images[begin:]


def expire(book: RepositoryBook, found: list[Expired], now: float) -> Change[Deleted]:
    """What was found, but for what was pushed or tagged meanwhile, or saved by another policy."""
    if book.repository.lifecycle is None:
        return Change(result=Deleted(pairs=(), images=()))
    same = [one.image for one in found if book.find(one.image.digest) == one.image]
    change = delete_images(book, [(image.digest, None) for image in same])
    return replace(change, repository=replace(book.repository, lifecycle_evaluated=round(now, 3)))


async def remove_deleted(images: Images) -> None:
    """The directories of repositories that were deleted.

    Only of those: one that the database does not know may be of a later time than the database, which was restored.
    """
    if not images.storage:
        return
    place = Path(images.storage, REPOSITORIES)
    try:
        for uid, account in await images.registry.deleted():
            await images.world.offload(LANE, _remove, place / account / uid)
            await images.registry.forget_deleted(uid)
            _log.info("what was left of a deleted repository is removed", name=f"{account}/{uid}")
    except (OSError, Overloaded) as error:
        _log.warning("deleted repositories wait for their next turn", reason=str(error))


async def settle_manifests(images: Images) -> None:
    try:
        await settle(images)
    except Overloaded as error:
        _log.warning("manifests that no record names wait for their next turn", reason=str(error))


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass  # nothing was ever pushed, or a kill came before the row was forgotten
