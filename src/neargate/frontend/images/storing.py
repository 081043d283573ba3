"""Manifests on their way to and from the backend, for the door and the API alike.

Invariant: a manifest is with the backend before a record names it, and leaves the records before the backend.
"""

import msgspec

from ...log import get_logger
from ...model.errors import AwsError
from .backend import Answered
from .decisions import put_image
from .errors import BackendAway, ImageDigestDoesNotMatch, LayersNotFound, ReferencedImagesNotFound
from .manifest import MANIFEST_MAX_BYTES, MEDIA_TYPES, Described, describe
from .records import Image, Repository
from .service import Images

_ACCEPT = ("accept", ", ".join(MEDIA_TYPES))
SMALL = 65_536  # bytes of an error
_log = get_logger(__name__)


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
    images: Images, account: str, name: str, content: bytes, media_type: str, tag: str | None, digest: str = ""
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
    put_image(book, found, len(content), tag, now, images_max=most)  # refused before its bytes are kept
    repository = book.repository
    target = f"/v2/{repository.backend_name}/manifests/{found.digest}"
    async with images.backend.exchange("PUT", target, (("content-type", found.media_type),), content) as answered:
        if answered.status != 201:
            raise _not_stored(repository, found, await objection(answered), answered.status)
    return await images.registry.change(
        account, name, lambda book: put_image(book, found, len(content), tag, now, images_max=most)
    )


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


async def forget_manifests(images: Images, backend_name: str, digests: tuple[str, ...]) -> None:
    """After the records: what stays behind when this fails is named by nothing."""
    for digest in digests:
        try:
            async with images.backend.exchange("DELETE", f"/v2/{backend_name}/manifests/{digest}") as answered:
                if answered.status not in (202, 404):
                    _log.warning("a manifest stays in the storage", digest=digest, status=answered.status)
        except AwsError as error:
            _log.warning("a manifest stays in the storage", digest=digest, reason=error.message)


async def objection(answered: Answered) -> Objection:
    try:
        listed = msgspec.json.decode(await answered.body(SMALL), type=_Objections).errors
    except msgspec.MsgspecError:
        listed = []
    return listed[0] if listed else Objection(code="BLOB_UNKNOWN" if answered.status == 404 else "UNKNOWN")
