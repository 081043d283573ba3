"""Manifests on their way to and from the backend, for the door and the API alike.

Invariant: a manifest is with the backend before a record names it, and leaves the records before the backend; of one
manifest that is stored and forgotten at once, one waits for the other.
"""

import asyncio
from typing import Protocol

import msgspec

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
        return put(book, found, len(content), tag, now, images_max=most)

    target = f"/v2/{repository.backend_name}/manifests/{found.digest}"
    kind = (("content-type", found.media_type),)
    async with _turn(images, repository, found.digest):
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
    """After the records: what stays behind when this fails is named by nothing. What was pushed again stays."""
    for digest in digests:
        async with _turn(images, repository, digest):
            if not _is_recorded(images, repository, digest):
                await _forget(images, repository, digest)


async def _forget(images: Images, repository: Repository, digest: str) -> None:
    try:
        target = f"/v2/{repository.backend_name}/manifests/{digest}"
        async with images.backend.exchange("DELETE", target) as answered:
            if answered.status not in (202, 404):
                _log.warning("a manifest stays in the storage", digest=digest, status=answered.status)
    except AwsError as error:
        _log.warning("a manifest stays in the storage", digest=digest, reason=error.message)


def _is_recorded(images: Images, repository: Repository, digest: str) -> bool:
    book = images.registry.find(repository.account, repository.name)
    return book is not None and book.repository.uid == repository.uid and book.find(digest) is not None


def _turn(images: Images, repository: Repository, digest: str) -> asyncio.Lock:
    """There is one for as long as somebody holds it or waits for it."""
    return images.turns.setdefault((repository.uid, digest), asyncio.Lock())


async def objection(answered: Answered) -> Objection:
    try:
        listed = msgspec.json.decode(await answered.body(_ERROR_MAX_BYTES), type=_Objections).errors
    except msgspec.MsgspecError:
        listed = []
    return listed[0] if listed else Objection(code="BLOB_UNKNOWN" if answered.status == 404 else "UNKNOWN")
