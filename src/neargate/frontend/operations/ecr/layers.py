"""BatchCheckLayerAvailability, GetDownloadUrlForLayer, and layers that come in parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...images.errors import LayersNotFound
from ...images.paths import DIGEST
from ...images.records import Repository
from ...images.service import Images, require_room
from ...images.unfinished import PartOfLayer, make_place
from ...images.uploads import PART_BYTES, layer_size
from ...services import Services
from .asking import asked_book, named


async def batch_check_layer_availability(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    layers: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for digest in params["layerDigests"]:
        if not digest:
            failures.append(_failure(digest, "MissingLayerDigest", "Invalid request parameters: digest cannot be null"))
        elif DIGEST.fullmatch(digest) is None:
            failures.append(
                _failure(digest, "InvalidLayerDigest", "Invalid request parameters: digest must be of SHA-256")
            )
        else:
            size = await layer_size(images.backend, book.repository, digest)
            available = {"layerDigest": digest, "layerAvailability": "UNAVAILABLE" if size is None else "AVAILABLE"}
            layers.append(available | ({} if size is None else {"layerSize": size}))
    return {"layers": layers, "failures": failures}


async def get_download_url_for_layer(call: Call, services: Services, params: Params) -> Answer:
    """A URL of the registry's door with a key of its own, good for an hour."""
    images, book = asked_book(call, services, params)
    digest, repository = params["layerDigest"], book.repository
    if DIGEST.fullmatch(digest) is None or await layer_size(images.backend, repository, digest) is None:
        raise LayersNotFound(
            f"The layer with digest '{digest}' does not exist in the repository with name '{repository.name}' in the "
            f"registry with id '{repository.account}'"
        )
    key = images.tokens.layer_key(repository.uid, digest)
    registry = images.url_of(repository.account, secure=call.secure)
    return {
        "downloadUrl": f"{registry}/v2/{repository.name}/blobs/{digest}?layer-key={key}",
        "layerDigest": digest,
    }


async def initiate_layer_upload(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    require_room(images)
    await make_place(images, book.repository.account)
    upload_id = await images.uploads.begin(images.backend, book.repository)
    with _counted(images, book.repository, upload_id):
        return {"uploadId": upload_id, "partSize": PART_BYTES}


async def upload_layer_part(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    first, last, part = params["partFirstByte"], params["partLastByte"], params["layerPartBlob"]
    if last - first + 1 != len(part):
        raise InvalidParameter(
            "Invalid parameter at 'partLastByte' failed to satisfy constraint: 'must be the last byte of the part'"
        )
    require_room(images)
    await make_place(images, book.repository.account)
    images.uploads.find(book.repository, params["uploadId"])
    with _counted(images, book.repository, params["uploadId"]) as counted:
        received = await images.uploads.part(images.backend, book.repository, params["uploadId"], first, part)
        counted.received = received
    return named(book.repository) | {"uploadId": params["uploadId"], "lastByteReceived": received - 1}


async def complete_layer_upload(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    digests = params["layerDigests"]
    if len(digests) != 1 or DIGEST.fullmatch(digests[0]) is None:
        raise InvalidParameter(
            "Invalid parameter at 'layerDigests' failed to satisfy constraint: 'must have exactly one SHA-256 digest'"
        )
    await images.uploads.complete(images.backend, book.repository, params["uploadId"], digests[0])
    with _counted(images, book.repository, params["uploadId"]) as counted:
        images.unfinished.drop(counted)
    return named(book.repository) | {"uploadId": params["uploadId"], "layerDigest": digests[0]}


@contextmanager
def _counted(images: Images, repository: Repository, upload_id: str) -> Iterator[PartOfLayer]:
    part = images.unfinished.enter(repository, upload_id, claimed=0, now=images.world.now())
    images.unfinished.confirm(part, part.location)  # its id is one of ours
    try:
        yield part
    finally:
        images.unfinished.leave(part, images.world.now())


def _failure(digest: str, code: str, reason: str) -> dict[str, Any]:
    return {"layerDigest": digest, "failureCode": code, "failureReason": reason}
