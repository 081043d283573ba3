"""BatchCheckLayerAvailability, GetDownloadUrlForLayer, and layers that come in parts."""

from typing import Any

from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...images.errors import LayersNotFound
from ...images.paths import DIGEST
from ...images.service import make_place, require_room
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
    repository = book.repository
    require_room(images)
    await make_place(images, repository.account)
    upload_id = await images.uploads.begin(images.backend, repository)
    with images.unfinished.request(repository, upload_id, images.world.now) as begun:
        images.unfinished.confirm(begun, images.uploads.find(repository, upload_id).location)
    return {"uploadId": upload_id, "partSize": PART_BYTES}


async def upload_layer_part(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    repository, upload_id = book.repository, params["uploadId"]
    first, last, part = params["partFirstByte"], params["partLastByte"], params["layerPartBlob"]
    if last - first + 1 != len(part):
        raise InvalidParameter(
            "Invalid parameter at 'partLastByte' failed to satisfy constraint: 'must be the last byte of the part'"
        )
    require_room(images)
    upload = images.uploads.find(repository, upload_id)
    with images.unfinished.request(repository, upload_id, images.world.now) as counted:
        await make_place(images, repository.account, more=0)
        counted.received = await images.uploads.part(images.backend, repository, upload_id, first, part)
        images.unfinished.confirm(counted, upload.location)
    return named(repository) | {"uploadId": upload_id, "lastByteReceived": counted.received - 1}


async def complete_layer_upload(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    repository, upload_id = book.repository, params["uploadId"]
    digests = params["layerDigests"]
    if len(digests) != 1 or DIGEST.fullmatch(digests[0]) is None:
        raise InvalidParameter(
            "Invalid parameter at 'layerDigests' failed to satisfy constraint: 'must have exactly one SHA-256 digest'"
        )
    images.uploads.find(repository, upload_id)
    with images.unfinished.request(repository, upload_id, images.world.now) as counted:
        await images.uploads.complete(images.backend, repository, upload_id, digests[0])
        images.unfinished.drop(counted)
    return named(repository) | {"uploadId": upload_id, "layerDigest": digests[0]}


def _failure(digest: str, code: str, reason: str) -> dict[str, Any]:
    return {"layerDigest": digest, "failureCode": code, "failureReason": reason}
