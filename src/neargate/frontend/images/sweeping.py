"""The loop that carries out lifecycle policies: as on AWS within a day, here within a period of the knobs.

Decides with `lifecycle.expired` inside the repository's change, so that what was pushed or tagged meanwhile counts.
"""

from msgspec.structs import replace

from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.errors import AwsError
from .book import RepositoryBook
from .decisions import Deleted, delete_images
from .lifecycle import InvalidLifecyclePolicy, expired, parse
from .registry import Change
from .service import Images
from .storing import forget_manifests

_log = get_logger(__name__)


async def run_lifecycles(images: Images) -> None:
    """Never returns."""
    while True:
        await images.world.sleep(images.knobs.image_lifecycle_period_s)
        for book in images.registry.all_books():
            if book.repository.lifecycle is not None:
                await _sweep(images, book.repository.account, book.repository.name)


async def _sweep(images: Images, account: str, name: str) -> None:
    try:
        deleted = await images.registry.change(account, name, lambda book: expire(book, images.world.now()))
        book = images.registry.book(account, name)
        await forget_manifests(images, book.repository.backend_name, deleted.images)
    except (AwsError, Overloaded) as error:
        _log.warning("a lifecycle policy waits for its next turn", repository=name, reason=str(error))
        return
    if deleted.images:
        _log.info("images expired", account=account, repository=name, count=len(deleted.images))


def expire(book: RepositoryBook, now: float) -> Change[Deleted]:
    """What the repository's policy expires. One that an earlier release accepted and this one cannot read: nothing."""
    nothing = Deleted(pairs=(), images=())
    if book.repository.lifecycle is None:
        return Change(result=nothing)
    try:
        found = expired(parse(book.repository.lifecycle), book.images(), now)
    except InvalidLifecyclePolicy:
        return Change(result=nothing)
    change = delete_images(book, [(one.image.digest, None) for one in found])
    return replace(change, repository=replace(book.repository, lifecycle_evaluated=round(now, 3)))
