"""Manifests on their way to and from the backend, for the door and the API alike.

Invariants: a manifest is noted before the backend gets it, and is with the backend before a record names it; it leaves
the records, for a note, before it leaves the backend. So what a kill leaves is noted, and `settle` finds it. Of one
manifest that is stored and forgotten at once, one waits for the other; in another process, it is refused.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.errors import AwsError
from .backend import Answered
from .book import RepositoryBook
from .decisions import put_image
from .errors import (
    BackendAway,
    ImageDigestDoesNotMatch,
    LayersNotFound,
    ReferencedImagesNotFound,
    RepositoryNotFound,
)
from .manifest import MANIFEST_MAX_BYTES, MEDIA_TYPES, Described, describe
from .records import Image, Repository
from .registry import Change
from .service import Images

_ACCEPT = ("accept", ", ".join(MEDIA_TYPES))
_ERROR_MAX_BYTES = 65_536
_AT_ONCE = 16  # manifests that leave the backend
_log = get_logger(__name__)


class Put(Protocol):
    """One of the decisions that put an image into a repository."""

    def __call__(
        self,
        book: RepositoryBook,
        found: Described,
        manifest_size: int,
        tag: str | None,
        now: float,
        *,
        images_max: int,
    ) -> Change[Image]: ...


class Objection(msgspec.Struct):
    """What the backend says against a request, in the registry protocol's code."""

    code: str = "UNKNOWN"
    message: str = ""
    detail: object = None


class _Objections(msgspec.Struct):
    errors: list[Objection] = []


async def read_manifest(images: Images, backend_name: str, digest: str) -> bytes:
    """Raises BackendAway."""
    async with images.backend.exchange("GET", f"/v2/{backend_name}/manifests/{digest}", (_ACCEPT,)) as found:
        if found.status != 200:
            raise BackendAway
        return await found.body(MANIFEST_MAX_BYTES)


async def store_manifest(
    images: Images,
    account: str,
    name: str,
    content: bytes,
    media_type: str,
    tag: str | None,
    digest: str = "",
    put: Put = put_image,
) -> Image:
    """Durable with the backend, then in the records. `digest`: that the caller names, empty when it does not.

    Raises InvalidManifest, ImageDigestDoesNotMatch, ImageTagAlreadyExists, LayersNotFound, ReferencedImagesNotFound,
    LimitExceeded, RepositoryNotFound, BackendAway.
    """
    found = describe(content, media_type)
    if digest not in ("", found.digest):
        raise ImageDigestDoesNotMatch(
            f"The digest of the manifest does not match the digest in the request: {digest[:80]}"
        )
    now, most = round(images.world.now(), 3), images.knobs.images_per_repository_max
    book = images.registry.book(account, name)
    put(book, found, len(content), tag, now, images_max=most)  # refused before its bytes are kept
    repository = book.repository

    def decide(book: RepositoryBook) -> Change[Image]:
        if book.repository.uid != repository.uid:
            raise RepositoryNotFound(name, account)  # made again meanwhile: its bytes are elsewhere
        change = put(book, found, len(content), tag, now, images_max=most)
        return change if book.find(found.digest) is not None else replace(change, settles=found.digest)

    target = f"/v2/{repository.backend_name}/manifests/{found.digest}"
    kind = (("content-type", found.media_type),)
    async with _turn(images, repository, found.digest):
        if not _is_recorded(images, repository, found.digest) and not await images.registry.note(
            repository, found.digest, _stale(images)
        ):
            raise BackendAway  # another process takes away what was deleted before
        async with images.backend.exchange("PUT", target, kind, content) as answered:
            if answered.status != 201:
                raise _not_stored(repository, found, await objection(answered), answered.status)
        return await images.registry.change(account, name, decide)


def _not_stored(repository: Repository, found: Described, said: Objection, status: int) -> AwsError:
    if said.code not in ("MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN") or status >= 500:
        return BackendAway() if status >= 500 else LayersNotFound(f"The manifest was refused: {said.message[:200]}")
    what, kind = ("Images", ReferencedImagesNotFound) if found.children else ("Layers", LayersNotFound)
    missing = said.detail.get("digest") if isinstance(said.detail, dict) else None
    named = f"[{missing}]" if isinstance(missing, str) else "[]"
    return kind(
        f"{what} with digests '{named}' required for pushing image into repository with name '{repository.name}' in "
        f"the registry with id '{repository.account}' do not exist"
    )


async def forget_manifests(images: Images, repository: Repository, digests: tuple[str, ...]) -> None:
    """After the records: what stays behind when this fails is noted. What was pushed again stays."""
    await _forget_all(images, [(repository.uid, repository.account, digest) for digest in digests])


async def settle(images: Images) -> None:
    """Takes away what was noted long ago and came into no record, or left the records: a kill came between."""
    before, count, gone = images.world.now() - images.knobs.image_unsettled_s, 0, 1
    while gone:  # pushes that are refused are noted too: as many as come in a turn have to go in one
        left = await images.registry.unsettled(before, images.knobs.image_unsettled_page)
        gone = await _forget_all(images, left)
        count += gone
    if count:
        _log.info("manifests that no record names are taken away", count=count)


async def _forget_all(images: Images, named: Sequence[tuple[str, str, str]]) -> int:
    """`named`: (repository's uid, account, digest). How many are gone."""
    gone = 0
    for first in range(0, len(named), _AT_ONCE):
        gone += sum(await asyncio.gather(*(_forget(images, *one) for one in named[first : first + _AT_ONCE])))
    return gone


async def _forget(images: Images, uid: str, account: str, digest: str) -> bool:
    """Whether it is gone."""
    try:
        async with images.turns.setdefault((uid, digest), asyncio.Lock()):
            claimed = await images.registry.claim(uid, digest, _stale(images))
            if claimed is None:
                return False
            async with images.backend.exchange("DELETE", f"/v2/{account}/{uid}/manifests/{digest}") as answered:
                if answered.status not in (202, 404):
                    _log.warning("a manifest stays in the storage", digest=digest, status=answered.status)
                    return False
            await images.registry.forget_claimed(uid, digest, claimed)
            return True
    except (AwsError, Overloaded) as error:
        _log.warning("a manifest stays in the storage", digest=digest, reason=str(error))
        return False


def _stale(images: Images) -> float:
    """Whoever began to take a manifest away before it was killed."""
    return images.world.now() - images.knobs.image_claim_s


def _is_recorded(images: Images, repository: Repository, digest: str) -> bool:
    book = images.registry.find(repository.account, repository.name)
    return book is not None and book.repository.uid == repository.uid and book.find(digest) is not None


def _turn(images: Images, repository: Repository, digest: str) -> asyncio.Lock:
    """There is one for as long as somebody holds it or waits for it."""
    return images.turns.setdefault((repository.uid, digest), asyncio.Lock())


async def objection(answered: Answered) -> Objection:
    try:
        listed = msgspec.json.decode(await answered.body(_ERROR_MAX_BYTES), type=_Objections).errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        listed = []
    return listed[0] if listed else Objection(code="BLOB_UNKNOWN" if answered.status == 404 else "UNKNOWN")
