"""One request at the registry's door while it is served: its parts, its body as it comes, its answer as it goes.

Owns the bounds on both: silence, size, room on the disk. Invariant: no more of a body is held than a chunk in each
direction; an answer begins once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qs

from ...interfaces.upstream import UpstreamManifest
from ...model.knobs import Knobs
from ..asgi_types import ClientGone, Receive, Send
from ..call import Call
from .backend import Answered
from .book import RepositoryBook
from .errors import LimitExceeded
from .paths import Place
from .records import Repository
from .service import Images, require_room
from .space import room_bytes
from .unfinished import PartOfLayer
from .wire import Answer, Refusal

_VERSION = (b"docker-distribution-api-version", b"registry/2.0")
_NOWHERE = Place(kind="base")
_ARGUMENTS_MAX = 16
# What an answer of the backend may tell the caller besides its body.
_PASSED_ON = (
    *("content-length", "content-type", "content-range", "accept-ranges", "docker-content-digest", "etag"),
    *("docker-upload-uuid", "range", "oci-chunk-min-length"),
)


class Exchange:
    """Made by the door, which sets what it finds out: query, then place, book and call."""

    def __init__(
        self, *, images: Images, method: str, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        self.images = images
        self.method = method
        self.headers = headers
        self.query = b""
        self.place = _NOWHERE
        self.arriving: UpstreamManifest | None = None  # of an image that is no record yet
        self.call: Call | None = None
        self._book: RepositoryBook | None = None
        self._receive = receive
        self._send = send
        self._has_begun = False
        # Also of a GET: whoever is refused must not hold the connection with a body that never ends.
        self._has_read = b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"

    @property
    def book(self) -> RepositoryBook:
        assert self._book is not None, "the door knows the repository before it serves"
        return self._book

    @book.setter
    def book(self, book: RepositoryBook) -> None:
        self._book = book

    @property
    def repository(self) -> Repository:
        return self.book.repository

    @property
    def knobs(self) -> Knobs:
        return self.images.knobs

    def argument(self, name: str) -> str:
        """Of the query; empty when it is not there, or not once."""
        try:
            found = parse_qs(self.query.decode("latin-1"), max_num_fields=_ARGUMENTS_MAX).get(name, [])
        except ValueError:
            raise Refusal(400, "UNSUPPORTED", "The request has too many arguments.") from None
        return found[0] if len(found) == 1 else ""

    def target(self, path: str, query: str = "") -> str:
        """The backend's path of something in the repository."""
        return f"/v2/{self.repository.backend_name}/{path}{'?' if query else ''}{query}"

    # -- the request's body

    @property
    def length(self) -> int | None:
        """What the request says; None for a body in chunks. Raises Refusal."""
        given = self.headers.get(b"content-length")
        if given is None:
            return None if b"transfer-encoding" in self.headers else 0
        if not given.isdigit() or len(given) > 18:
            raise Refusal(400, "SIZE_INVALID", "The Content-Length is no number.")
        return int(given)

    async def body(self, part: PartOfLayer | None = None) -> AsyncIterator[bytes]:
        """As it comes; `part`: of this layer. Raises ClientGone, NoRoom, Refusal when it is too large."""
        size, looked = 0, 0
        require_room(self.images)
        while True:
            try:
                async with asyncio.timeout(self.knobs.image_silence_s):
                    message = await self._receive()
            except TimeoutError:
                raise Refusal(408, "BLOB_UPLOAD_INVALID", "The request body did not arrive in time.") from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self.knobs.image_layer_max_bytes:
                raise self._too_large()
            if part is not None:
                self._grow(part, len(chunk))
            if size - looked >= self.knobs.image_room_look_bytes:
                require_room(self.images)
                if part is not None:
                    self.images.unfinished.check(part.account, room_bytes(self.images.storage, self.knobs))
                looked = size
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                self._has_read = True
                return

    def _grow(self, part: PartOfLayer, size: int) -> None:
        try:
            self.images.unfinished.grow(part, size)
        except LimitExceeded:
            raise self._too_large() from None

    def _too_large(self) -> Refusal:
        return Refusal(413, "SIZE_INVALID", f"A layer has at most {self.knobs.image_layer_max_bytes} bytes.")

    async def small_body(self, bound: int) -> bytes:
        """Whole. Raises ClientGone, NoRoom, Refusal."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.body():
            size += len(chunk)
            if size > bound:
                raise Refusal(413, "SIZE_INVALID", f"The request is larger than {bound} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    # -- the answer

    async def answer(self, answer: Answer) -> None:
        """Whole. After the beginning of another one nothing can be said any more: the server cuts the connection."""
        if self._has_begun:
            return
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        if any(name == b"content-length" for name, _ in answer.headers):
            headers.pop()
        await self._begin(answer.status, headers)
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else answer.body})

    async def relay(self, found: Answered, *headers: tuple[bytes, str]) -> None:
        """The backend's answer, a chunk at a time as the caller takes them. Its own location is never shown."""
        passed = [
            (name.encode(), found.headers[name].encode("latin-1")) for name in _PASSED_ON if name in found.headers
        ]
        own = [(name, value.encode("latin-1")) for name, value in headers]
        await self._begin(found.status, [_VERSION, *passed, *own])
        if self.method != "HEAD":
            await self._pass_on(found)
        await self._send({"type": "http.response.body", "body": b""})

    async def _pass_on(self, found: Answered) -> None:
        """Raises ClientGone: the server takes what is sent to a caller who hung up, and says nothing."""
        gone = self.images.world.spawn(self._hung_up(), "the caller of a pull")
        try:
            async for chunk in found.chunks():
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                if gone.done():
                    raise ClientGone
        finally:
            gone.cancel()

    async def _hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # what is left of a body

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._has_begun = True
        if not self._has_read:
            headers = [*headers, (b"connection", b"close")]  # the rest of the body is not read
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
