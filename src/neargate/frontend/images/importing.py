"""One image on its way from another registry into a repository: its manifests, its layers, then its records.

Owns the order: layers, the manifests that name them, the list that names these, and the tag in the last write; so what
is cut off leaves nothing that a record names. Others read along: a manifest is theirs as soon as it is here, and a
layer that somebody waits for comes next. Invariant: every digest is compared, of manifests by the session, of layers
by the backend when they are whole.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from ...interfaces.store import Overloaded
from ...interfaces.upstream import UpstreamFailed, UpstreamManifest, UpstreamSession
from ...log import get_logger
from ...model.bugs import told
from ...model.errors import AwsError
from .decisions import import_image, note_check
from .errors import (
    BackendAway,
    ImageNotFound,
    LimitExceeded,
    RepositoryAlreadyExists,
    UnableToGetUpstreamImage,
    UpstreamDenied,
)
from .manifest import Described, InvalidManifest, describe
from .reading_along import Handout, Reader
from .records import Image, Repository
from .service import Images, require_room
from .storing import store_manifest
from .uploads import layer_size
from .wire import Refusal

_ROOM_LOOK_BYTES = 16 * 1024 * 1024
_DENIED = (
    "The authentication to the upstream registry failed. Verify that the credentials specified in the pull through "
    "cache rule are valid and try again."
)
_log = get_logger(__name__)


class Import:
    """`wanted`: tag or digest. `present`: the image that has the tag here, if any."""

    def __init__(self, images: Images, account: str, name: str, wanted: str, present: Image | None) -> None:
        self.account, self.name, self.wanted = account, name, wanted
        self.first: asyncio.Future[UpstreamManifest | None] = asyncio.Future()  # None: what is here is still right
        self.manifests: dict[str, asyncio.Future[UpstreamManifest]] = {}  # by digest
        self.layers: dict[str, asyncio.Future[None]] = {}  # by digest
        self._images = images
        self._present = present
        self._handouts: dict[str, Handout] = {}
        self._sizes: dict[str, int] = {}
        self._queue: list[str] = []  # the next one last
        self._taken: list[UpstreamManifest] = []  # the first is stored last
        self._bytes_held = 0

    async def run(self, opened: Callable[[], Awaitable[UpstreamSession]]) -> AwsError | None:
        """To its end; what spoke against it. Whoever waits hears of it, too."""
        failure: AwsError | None = None
        session: UpstreamSession | None = None
        try:
            async with asyncio.timeout(self._images.knobs.image_import_s):
                session = await opened()
                await self._carry_out(session)
        except Exception as error:
            failure = _failure(error)
            _log.warning(
                "an image of another registry did not come whole",
                account=self.account,
                repository=self.name,
                reason=failure.message,
            )
        finally:
            if session is not None:
                session.close()
            self._settle(failure or BackendAway())
        return failure

    def hurry(self, digest: str) -> None:
        if digest in self._queue:
            self._queue.remove(digest)
            self._queue.append(digest)

    @asynccontextmanager
    async def reading(self, digest: str) -> AsyncIterator[Reader | None]:
        """The layer while it comes; None when it is too late for that."""
        readers = self._handouts[digest]
        reader = readers.join(digest, self._sizes[digest], self.layers[digest])
        try:
            yield reader
        finally:
            if reader is not None:
                readers.leave(reader)

    def _settle(self, failure: AwsError) -> None:
        waited: list[asyncio.Future[Any]] = [self.first, *self.manifests.values(), *self.layers.values()]
        for future in waited:
            if not future.done():
                future.set_exception(failure)
                future.exception()  # perhaps nobody waits

    async def _carry_out(self, session: UpstreamSession) -> None:
        present, now = self._present, round(self._images.world.now(), 3)
        if present is not None and await session.resolve(self.wanted) == present.digest:
            await self._images.registry.change(
                self.account, self.name, lambda book: note_check(book, present.digest, self.wanted, now)
            )
            self.first.set_result(None)
            return
        first = await session.manifest(self.wanted)
        described = describe(first.body, first.media_type)
        repository = await self._repository()
        if len(described.children) > self._images.knobs.image_import_manifests_max:
            raise InvalidManifest("The list names too many manifests")
        children = tuple(dict.fromkeys(described.children))
        self.manifests = {digest: asyncio.Future() for digest in (first.digest, *children)}
        self._take(first, described)
        self.first.set_result(self._taken[0])
        for digest in children:
            child = await session.manifest(digest)
            self._take(child, self._image_of(child))
        async with asyncio.TaskGroup() as streams:
            for _ in range(self._images.knobs.image_import_streams):
                streams.create_task(self._store_layers(session, repository))
        for manifest in reversed(self._taken):
            tag = self.wanted if manifest is self._taken[0] and ":" not in self.wanted else None
            await store_manifest(
                self._images,
                self.account,
                self.name,
                manifest.body,
                manifest.media_type,
                tag,
                manifest.digest,
                import_image,
            )

    def _image_of(self, manifest: UpstreamManifest) -> Described:
        described = describe(manifest.body, manifest.media_type)
        if described.children:
            raise InvalidManifest("A list of manifests names another list")
        return described

    def _take(self, manifest: UpstreamManifest, described: Described) -> None:
        """Known from now on. Raises InvalidManifest."""
        knobs = self._images.knobs
        manifest = replace(manifest, media_type=described.media_type)  # as it is understood here
        self._bytes_held += len(manifest.body)
        if self._bytes_held > knobs.image_import_manifest_bytes_max:
            raise InvalidManifest("The manifests are too large")
        config = (described.config, described.size - sum(size for _, size in described.layers))
        for digest, size in (*described.layers, *((config,) if described.config else ())):
            if digest in self.layers:
                continue
            if not 0 <= size <= knobs.image_layer_max_bytes or len(self.layers) >= knobs.image_import_layers_max:
                raise InvalidManifest("The image is too large")
            self.layers[digest] = asyncio.Future()
            self._handouts[digest] = Handout(self._images.world, knobs)
            self._sizes[digest] = size
            self._queue.insert(0, digest)
        self._taken.append(manifest)
        future = self.manifests[manifest.digest]
        if not future.done():
            future.set_result(manifest)

    async def _repository(self) -> Repository:
        """Made with the first image that is really there."""
        images = self._images
        found = images.registry.find(self.account, self.name)
        if found is not None:
            return found.repository
        if images.registry.count(self.account) >= images.knobs.image_repositories_max:
            raise LimitExceeded(
                f"The maximum number of repositories ({images.knobs.image_repositories_max}) of the registry with id "
                f"'{self.account}' was reached."
            )
        wanted = Repository(account=self.account, name=self.name, uid="", created=round(images.world.now(), 3))
        with suppress(RepositoryAlreadyExists):
            return await images.registry.create(wanted)
        return images.registry.book(self.account, self.name).repository

    # -- layers

    async def _store_layers(self, session: UpstreamSession, repository: Repository) -> None:
        while self._queue:
            digest = self._queue.pop()
            if await layer_size(self._images.backend, repository, digest) is None:
                await self._store_layer(session, repository, digest)
            if not self.layers[digest].done():
                self.layers[digest].set_result(None)

    async def _store_layer(self, session: UpstreamSession, repository: Repository, digest: str) -> None:
        """Straight through; the backend compares the digest and forgets what is not whole."""
        backend, size = self._images.backend, self._sizes[digest]
        require_room(self._images)
        base = f"/v2/{repository.backend_name}/blobs/uploads/"
        async with backend.exchange("POST", base) as begun:
            location = begun.headers.get("location", "")
            if begun.status != 202 or not location.startswith(base):
                raise BackendAway
        target = f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"
        kind = (("content-type", "application/octet-stream"),)
        try:
            async with (
                aclosing(session.blob(digest, size)) as chunks,
                backend.exchange("PUT", target, kind, self._bytes(digest, chunks), size) as stored,
            ):
                if stored.status >= 500:
                    raise BackendAway
                if stored.status != 201:
                    raise UpstreamFailed(f"the registry sent a layer that has not the digest {digest}")
        except BaseException:
            self._images.world.spawn(_forget(self._images, location), "an upload that came to nothing")
            raise

    async def _bytes(self, digest: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        came, looked, readers = 0, 0, self._handouts[digest]
        async for chunk in chunks:
            came += len(chunk)
            if came - looked >= _ROOM_LOOK_BYTES:
                require_room(self._images)
                looked = came
            yield chunk
            await readers.pass_on(chunk)


async def _forget(images: Images, location: str) -> None:
    """What stays when this fails, the backend forgets within days."""
    with suppress(AwsError):
        async with images.backend.exchange("DELETE", location):
            pass


def _failure(error: BaseException) -> AwsError:
    """As a caller hears it."""
    if isinstance(error, BaseExceptionGroup):
        return _failure(error.exceptions[0])
    if isinstance(error, AwsError):
        return error
    if isinstance(error, UpstreamFailed):
        if error.missing:
            return ImageNotFound("Requested image not found")
        return UpstreamDenied(_DENIED) if error.denied else UnableToGetUpstreamImage(_sentence(error.reason))
    if isinstance(error, InvalidManifest):
        return UnableToGetUpstreamImage(_sentence(str(error)))
    if isinstance(error, Refusal):
        return UnableToGetUpstreamImage(_sentence(error.message))
    if isinstance(error, TimeoutError):
        return UnableToGetUpstreamImage(_sentence("it takes too long"))
    if not isinstance(error, Overloaded):
        _log.error("import_failed", bug=told(error))
    return BackendAway()


def _sentence(reason: str) -> str:
    return f"The image or images were unable to be pulled using the pull through cache rule: {reason}"
