"""What the door does once it may: manifests through the records, layers straight to and from the backend.

Each takes an exchange whose place, repository and leave are settled. Tags are the records': the backend knows digests
only. Invariant: a location of the backend is never shown, only the caller's own spelling of it.
"""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from ...interfaces.upstream import UpstreamManifest
from ...model.errors import AwsError
from . import wire
from .asking import ask_for
from .backend import Answered
from .decisions import delete_images
from .errors import BackendAway, ImageNotFound
from .manifest import MANIFEST_MAX_BYTES, InvalidManifest
from .paths import DIGEST, NAME, UPLOAD, Place
from .records import Image
from .service import make_place, require_room
from .storing import Objection, forget_manifests, objection, read_manifest, store_manifest
from .transfer import Exchange
from .unfinished import offset_of
from .wire import Answer, Refusal

_TAGS_PAGE_MAX = 1000


def params_of(operation: str, place: Place) -> dict[str, Any]:
    """The request as the record of calls shows it: as if it had come by the API."""
    params: dict[str, Any] = {"registryId": place.account, "repositoryName": place.name}
    kind = "imageDigest" if ":" in place.reference else "imageTag"
    if operation in ("BatchGetImage", "BatchDeleteImage"):
        return params | {"imageIds": [{kind: place.reference}]}
    if operation == "PutImage" and kind == "imageTag":
        return params | {"imageTag": place.reference}
    if operation == "GetDownloadUrlForLayer":
        return params | {"layerDigest": place.reference}
    if operation == "BatchCheckLayerAvailability":
        return params | {"layerDigests": [place.reference]}
    return params


# -- manifests


def _image(exchange: Exchange) -> Image:
    found = exchange.book.find(exchange.place.reference)
    if found is None:
        raise ImageNotFound("Requested image not found")
    return found


async def head_manifest(exchange: Exchange) -> None:
    if exchange.arriving is not None:
        await exchange.answer(_arriving(exchange.arriving))
        return
    image = _image(exchange)
    await exchange.answer(wire.ok(200, *_described(image), (b"content-length", str(image.manifest_size))))


async def get_manifest(exchange: Exchange) -> None:
    if exchange.arriving is not None:
        await exchange.answer(_arriving(exchange.arriving))
        return
    image = _image(exchange)
    content = await read_manifest(exchange.images, exchange.repository.backend_name, image.digest)
    await exchange.answer(wire.ok(200, *_described(image), body=content))


def _arriving(found: UpstreamManifest) -> Answer:
    """Of an image that another registry has: its layers follow."""
    length = (b"content-length", str(len(found.body)))
    return wire.ok(200, *_named(found.media_type, found.digest), length, body=found.body)


def _described(image: Image) -> tuple[tuple[bytes, str], ...]:
    return _named(image.media_type, image.digest)


def _named(media_type: str, digest: str) -> tuple[tuple[bytes, str], ...]:
    return (
        (b"content-type", media_type),
        (b"docker-content-digest", digest),
        (b"etag", f'"{digest}"'),
    )


async def put_manifest(exchange: Exchange) -> None:
    place = exchange.place
    content = await exchange.small_body(MANIFEST_MAX_BYTES)
    tag, digest = (None, place.reference) if ":" in place.reference else (place.reference, "")
    media_type = exchange.headers.get(b"content-type", b"").decode("latin-1")
    try:
        image = await store_manifest(exchange.images, place.account, place.name, content, media_type, tag, digest)
    except InvalidManifest as invalid:
        raise Refusal(400, "MANIFEST_INVALID", str(invalid)) from None
    location = f"{place.base}/manifests/{image.digest}"
    await exchange.answer(wire.ok(201, (b"location", location), (b"docker-content-digest", image.digest)))


async def delete_manifest(exchange: Exchange) -> None:
    """By digest the image, by tag the tag."""
    _image(exchange)
    reference = exchange.place.reference
    named = (reference, None) if ":" in reference else (None, reference)
    deleted = await exchange.images.registry.change(
        exchange.place.account, exchange.place.name, lambda book: delete_images(book, [named])
    )
    await forget_manifests(exchange.images, exchange.repository, deleted.images)
    await exchange.answer(wire.ok(202))


async def list_tags(exchange: Exchange) -> None:
    asked, last = exchange.argument("n"), exchange.argument("last")
    most = min(int(asked), _TAGS_PAGE_MAX) if re.fullmatch(r"[0-9]{1,6}", asked) else _TAGS_PAGE_MAX
    tags = [tag for tag in exchange.book.tags() if tag > last]
    shown = tags[: max(most, 1)]
    headers = [(b"content-type", "application/json")]
    if len(tags) > len(shown):
        following = f"{exchange.place.base}/tags/list?last={quote(shown[-1])}&n={most}"
        headers.append((b"link", f'<{following}>; rel="next"'))
    body = msgspec.json.encode({"name": exchange.place.name, "tags": shown})
    await exchange.answer(wire.ok(200, *headers, body=body))


# -- layers


async def get_blob(exchange: Exchange) -> None:
    """Also a part of it; over HEAD its size."""
    wanted = exchange.headers.get(b"range", b"").decode("latin-1")
    headers = (("range", wanted),) if wanted and len(wanted) < 256 else ()
    target = exchange.target(f"blobs/{exchange.place.reference}")
    async with exchange.images.backend.exchange(exchange.method, target, headers) as found:
        if found.status not in (200, 206, 416):
            raise await _failed(exchange, found, head=exchange.method == "HEAD")
        await exchange.relay(found)


async def head_blob(exchange: Exchange) -> None:
    await get_blob(exchange)


async def start_upload(exchange: Exchange) -> None:
    """Begun at the backend; with `mount`, what the caller may read in another repository is linked instead of sent."""
    query = _mount(exchange)
    images, repository = exchange.images, exchange.repository
    require_room(images)
    await make_place(images, repository.account)
    async with images.backend.exchange("POST", exchange.target("blobs/uploads/", query)) as found:
        if found.status not in (201, 202):
            raise await _failed(exchange, found)
        location = _location(exchange, found)
        upload_id = found.headers.get("docker-upload-uuid", "")
        if found.status == 202 and UPLOAD.fullmatch(upload_id):
            with images.unfinished.request(repository, upload_id, images.world.now) as part:
                images.unfinished.confirm(part, _own_location(exchange, found))
        await exchange.relay(found, (b"location", location))


def _mount(exchange: Exchange) -> str:
    """The backend's query; empty where there is nothing to mount or no leave to read it: then it is sent as usual."""
    digest, source = exchange.argument("mount"), exchange.argument("from")
    prefix = exchange.place.prefix.removeprefix("/v2/")
    name, call, images = source.removeprefix(prefix), exchange.call, exchange.images
    book = images.registry.find(exchange.place.account, name)
    if DIGEST.fullmatch(digest) is None or NAME.fullmatch(name) is None or book is None or call is None:
        return ""
    try:
        ask_for(call, images.registry, images.policies, "GetDownloadUrlForLayer", exchange.place.account, name)
    except AwsError:
        return ""
    return f"mount={digest}&from={quote(book.repository.backend_name, safe='/')}"


async def upload_status(exchange: Exchange) -> None:
    await _upload(exchange, (204,), with_body=False)


async def cancel_upload(exchange: Exchange) -> None:
    await _upload(exchange, (204,), with_body=False)


async def upload_part(exchange: Exchange) -> None:
    await _upload(exchange, (202,), with_body=True)


async def complete_upload(exchange: Exchange) -> None:
    await _upload(exchange, (201,), with_body=True)


async def _upload(exchange: Exchange, wanted: tuple[int, ...], *, with_body: bool) -> None:
    """One request of an upload under way: what the backend told the caller to say comes back in the query."""
    state, digest = exchange.argument("_state"), exchange.argument("digest")
    query = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in (("_state", state), ("digest", digest)) if value
    )
    target = exchange.target(f"blobs/uploads/{exchange.place.reference}", query)
    headers = [
        (name, exchange.headers[name.encode()].decode("latin-1"))
        for name in ("content-type", "content-range")
        if name.encode() in exchange.headers
    ]
    length = exchange.length if with_body else None
    images, repository, upload_id = exchange.images, exchange.repository, exchange.place.reference
    with images.unfinished.request(repository, upload_id, images.world.now, claimed=offset_of(state)) as part:
        if with_body:
            await make_place(images, repository.account, more=0)
        body = exchange.body(part) if with_body else b""
        async with images.backend.exchange(exchange.method, target, headers, body, length) as found:
            if found.status in (201, 404) or (found.status == 204 and exchange.method == "DELETE"):
                images.unfinished.drop(part)
            if found.status not in wanted:
                raise await _failed(exchange, found)
            located = ((b"location", _location(exchange, found)),) if "location" in found.headers else ()
            if found.status == 202:
                images.unfinished.confirm(part, _own_location(exchange, found))
            await exchange.relay(found, *located)


def _location(exchange: Exchange, found: Answered) -> str:
    """The backend's, as the caller must write it."""
    own = f"/v2/{exchange.repository.backend_name}"
    return exchange.place.base + _own_location(exchange, found).removeprefix(own)


def _own_location(exchange: Exchange, found: Answered) -> str:
    told = found.headers.get("location", "")
    path = told[told.find("/v2/") :] if "/v2/" in told else ""
    if not path.startswith(f"/v2/{exchange.repository.backend_name}/"):
        raise BackendAway
    return path


async def _failed(exchange: Exchange, found: Answered, *, head: bool = False) -> Exception:
    """What the backend objects to, in its own code; the name that only we use is not shown."""
    if found.status >= 500 or found.status < 400:
        return BackendAway()
    said = Objection(code="BLOB_UNKNOWN") if head else await objection(found)
    message = said.message[:1024].replace(exchange.repository.backend_name, exchange.place.name)
    return Refusal(found.status, said.code[:64], message or "The request was refused.")
