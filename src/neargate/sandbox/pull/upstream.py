"""Other registries' images for the region's own registry, over the same HTTP as tasks' pulls. Implements Upstream.

Owns the threads' side: each blocking step runs on a lane. Must not know what is kept of an image. Invariant: a session
reaches nothing of this machine but what the operator named, and that only if its own registry is among these:
redirects and token realms lead to others that the operator named only from one of these.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TypeVar

from ...interfaces.upstream import Login, UpstreamFailed, UpstreamManifest
from ...model.knobs import Knobs
from ...world import World
from .credentials import Credentials
from .dialling import Dialler
from .failures import PullFailure
from .manifest import BadImage, Blob
from .pace import Patience
from .proxies import DIRECT, Proxies, Ways
from .reference import Reference, is_plain_http
from .registry import RegistrySession
from .transport import Transport

LANE = "upstream"
_REASON_MAX = 512
T = TypeVar("T")


def lane_threads(knobs: Knobs) -> int:
    """As many as imports can use, and some for what asks only for a manifest."""
    return knobs.image_imports_max * knobs.image_import_streams + 4


class HttpUpstream:
    """`named`: the operator's own registries, which may be on this machine and speak plain HTTP."""

    def __init__(self, world: World, knobs: Knobs, *, named: tuple[str, ...], proxies: Proxies = DIRECT) -> None:
        self._world = world
        self._knobs = knobs
        self._named = named
        self._proxies = proxies

    def is_named(self, host: str) -> bool:
        """Named with its port, or without one for whatever port."""
        name, _, port = host.rpartition(":")
        return host in self._named or (name in self._named and port.isascii() and port.isdigit() and len(port) < 6)

    async def open(self, host: str, repository: str, login: Login | None) -> "HttpUpstreamSession":
        return await self._world.offload(LANE, self._open, host, repository, login)

    def _open(self, host: str, repository: str, login: Login | None) -> "HttpUpstreamSession":
        named = self._named if self.is_named(host) else ()
        knobs = self._knobs
        dialler = Dialler(monotonic=self._world.monotonic, timeout_s=knobs.pull_connect_timeout_s, named=named)
        transport = Transport(
            ways=Ways(dialler=dialler, proxies=self._proxies),
            patience=Patience(
                head_s=knobs.pull_head_timeout_s,
                body_s=knobs.pull_blob_timeout_s,
                window_s=knobs.pull_read_timeout_s,
                body_rate_min=knobs.pull_rate_min_bytes_s,
            ),
            monotonic=self._world.monotonic,
        )
        session = RegistrySession(
            transport,
            Reference(registry=host, repository=repository, tag=None, digest=None),
            None if login is None else Credentials(username=login.username, password=login.password),
            plain_http=bool(named) and is_plain_http(host, named),
        )
        return HttpUpstreamSession(self._world, transport, session)


class HttpUpstreamSession:
    """Implements UpstreamSession."""

    def __init__(self, world: World, transport: Transport, session: RegistrySession) -> None:
        self._world = world
        self._transport = transport
        self._session = session

    async def resolve(self, target: str) -> str:
        return await self._run(lambda: self._session.resolve(target))

    async def manifest(self, target: str) -> UpstreamManifest:
        found = await self._run(lambda: self._session.manifest(target))
        return UpstreamManifest(media_type=found.media_type, digest=found.digest, body=found.body)

    async def check(self) -> None:
        await self._run(self._session.check)

    async def blob(self, digest: str, size: int) -> AsyncGenerator[bytes, None]:
        chunks = self._session.blob(Blob(media_type="", digest=digest, size=size))
        reading: asyncio.Task[bytes | UpstreamFailed | None] | None = None
        try:
            while True:
                # Shielded: whoever goes away leaves a thread in the middle of a read, and that must end first.
                reading = self._world.spawn(self._next(chunks), "a part of a blob")
                chunk = await asyncio.shield(reading)
                if isinstance(chunk, UpstreamFailed):
                    raise chunk
                if chunk is None:
                    return
                yield chunk
        finally:
            self._world.spawn(self._end(chunks, reading), "the end of a blob")

    async def _next(self, chunks: Iterator[bytes]) -> bytes | UpstreamFailed | None:
        try:
            return await self._run(lambda: next(chunks, None))
        except UpstreamFailed as failed:
            return failed

    async def _end(
        self, chunks: Iterator[bytes], reading: "asyncio.Task[bytes | UpstreamFailed | None] | None"
    ) -> None:
        """A read ends within its pace, whatever the other side does."""
        if reading is not None:
            await asyncio.wait([reading])
        await self._world.offload(LANE, getattr(chunks, "close", lambda: None))

    def close(self) -> None:
        self._transport.close()

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await self._world.offload(LANE, function)
        except PullFailure as failure:
            raise UpstreamFailed(_plain(failure.text), missing=failure.missing, denied=failure.denied) from None
        except BadImage as bad:
            raise UpstreamFailed(_plain(str(bad))) from None


def _plain(text: str) -> str:
    """Registries wrote parts of it."""
    return "".join(character if character.isprintable() else "?" for character in text[:_REASON_MAX])
