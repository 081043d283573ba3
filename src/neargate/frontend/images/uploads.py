"""Layers that come through the API in parts: each upload is one of the backend's, whose state is kept here meanwhile.

Owns what an upload's id stands for. In memory only: after a restart an upload is not found, and is begun again, as its
clients do. Invariant: parts are taken in order, one at a time.
"""

import asyncio
from urllib.parse import quote

from msgspec import Struct

from .backend import Backend
from .errors import (
    BackendAway,
    EmptyUpload,
    InvalidLayer,
    InvalidLayerPart,
    LayerAlreadyExists,
    LimitExceeded,
    UploadNotFound,
)
from .records import Repository

PART_BYTES = 512 * 1024  # what we ask clients to send: in base64 it fits into a request


class Upload(Struct, kw_only=True):
    """`location`: the backend's path for what comes next."""

    repository: Repository
    location: str
    received: int
    turn: asyncio.Lock


class Uploads:
    """Of one server process. `most`: of one account. `layer_max_bytes`: of all parts of an upload together."""

    def __init__(self, most: int, layer_max_bytes: int) -> None:
        self._most = most
        self._layer_max_bytes = layer_max_bytes
        self._by_id: dict[str, Upload] = {}

    async def begin(self, backend: Backend, repository: Repository) -> str:
        """The upload's id. The oldest of an account makes room; its bytes are `unfinished`'s."""
        target = f"/v2/{repository.backend_name}/blobs/uploads/"
        async with backend.exchange("POST", target) as found:
            upload_id = found.headers.get("docker-upload-uuid", "")
            location = _location(found.headers.get("location", ""), repository)
            if found.status != 202 or not upload_id:
                raise BackendAway
        own = [known for known, one in self._by_id.items() if one.repository.account == repository.account]
        if len(own) >= self._most:
            del self._by_id[own[0]]
        self._by_id[upload_id] = Upload(repository=repository, location=location, received=0, turn=asyncio.Lock())
        return upload_id

    async def part(self, backend: Backend, repository: Repository, upload_id: str, first: int, part: bytes) -> int:
        """How many bytes have come. Raises UploadNotFound, InvalidLayerPart, LimitExceeded."""
        upload = self.find(repository, upload_id)
        async with upload.turn:
            if first != upload.received or not part:
                raise InvalidLayerPart(
                    "The layer part size is not valid, or the first byte specified is not consecutive to the last "
                    "byte of a previous layer part upload.",
                    registryId=repository.account,
                    repositoryName=repository.name,
                    uploadId=upload_id,
                    lastValidByteReceived=max(upload.received - 1, 0),
                )
            if upload.received + len(part) > self._layer_max_bytes:
                raise LimitExceeded(f"A layer has at most {self._layer_max_bytes} bytes.")
            kind = (("content-type", "application/octet-stream"),)
            async with backend.exchange("PATCH", upload.location, kind, part) as found:
                if found.status == 404:
                    self._by_id.pop(upload_id, None)  # it was given up for another one
                    raise _not_found(repository, upload_id)
                if found.status != 202:
                    raise BackendAway
                upload.location = _location(found.headers.get("location", ""), repository)
            upload.received += len(part)
            return upload.received

    async def complete(self, backend: Backend, repository: Repository, upload_id: str, digest: str) -> None:
        """Raises UploadNotFound, EmptyUpload, InvalidLayer, LayerAlreadyExists."""
        upload = self.find(repository, upload_id)
        async with upload.turn:
            if upload.received == 0:
                raise EmptyUpload(f"The upload with id '{upload_id}' contains no layer parts.")
            if await layer_size(backend, repository, digest) is not None:
                raise LayerAlreadyExists(
                    f"The layer with digest '{digest}' already exists in the repository with name "
                    f"'{repository.name}' in registry with id '{repository.account}'"
                )
            separator = "&" if "?" in upload.location else "?"
            target = f"{upload.location}{separator}digest={quote(digest, safe='')}"
            async with backend.exchange("PUT", target) as found:
                if found.status >= 500:
                    raise BackendAway
                if found.status != 201:
                    raise InvalidLayer("Layer digest mismatch: the digest is not the one of the parts that came.")
            self._by_id.pop(upload_id, None)

    def find(self, repository: Repository, upload_id: str) -> Upload:
        """Raises UploadNotFound."""
        found = self._by_id.get(upload_id)
        if found is None or found.repository.uid != repository.uid:
            raise _not_found(repository, upload_id)
        return found


def _not_found(repository: Repository, upload_id: str) -> UploadNotFound:
    return UploadNotFound(
        f"The upload with id '{upload_id}' for the repository with name '{repository.name}' in the registry "
        f"with id '{repository.account}' does not exist"
    )


async def layer_size(backend: Backend, repository: Repository, digest: str) -> int | None:
    """None: the repository has no such layer. Raises BackendAway."""
    async with backend.exchange("HEAD", f"/v2/{repository.backend_name}/blobs/{digest}") as found:
        if found.status >= 500:
            raise BackendAway
        size = found.headers.get("content-length", "")
        return int(size) if found.status == 200 and size.isdigit() else None


def _location(told: str, repository: Repository) -> str:
    if not told.startswith(f"/v2/{repository.backend_name}/blobs/uploads/"):
        raise BackendAway
    return told
