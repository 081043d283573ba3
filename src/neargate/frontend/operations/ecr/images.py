"""BatchGetImage, BatchDeleteImage, DescribeImages, ListImages, PutImage; what is answered of scans and replication."""

from typing import Any

from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...images.book import RepositoryBook
from ...images.decisions import delete_images
from ...images.errors import ImageAlreadyExists, ImageNotFound, LimitExceeded, ScanNotFound, Validation
from ...images.manifest import InvalidManifest, describe
from ...images.paths import DIGEST, TAG
from ...images.records import Image
from ...images.service import require_room
from ...images.storing import forget_manifests, read_manifest, store_manifest
from ...services import Services
from .asking import asked_book, named
from .paging import page

_ANSWER_MAX_BYTES = 8 * 1024 * 1024


async def batch_get_image(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    found: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    size = 0
    for identifier in params["imageIds"]:
        image = _identified(book, identifier)
        if isinstance(image, dict):
            failures.append(image)
            continue
        size += image.manifest_size
        if size > _ANSWER_MAX_BYTES:
            raise LimitExceeded(f"The manifests are larger than {_ANSWER_MAX_BYTES} bytes together; ask for fewer.")
        content = await read_manifest(images, book.repository.backend_name, image.digest)
        found.append(_shown(book, image, identifier.get("imageTag"), content))
    return {"images": found, "failures": failures}


async def put_image(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    tag, content = params.get("imageTag"), params["imageManifest"].encode()
    if tag is not None and TAG.fullmatch(tag) is None:
        raise InvalidParameter(
            f"Invalid parameter at 'imageTag' failed to satisfy constraint: 'must satisfy regular expression "
            f"'{TAG.pattern}''"
        )
    try:
        described = describe(content, params.get("imageManifestMediaType") or "")
        known = book.find(described.digest)
        if known is not None and (tag is None or tag in known.tags):
            raise ImageAlreadyExists(
                f"Image with digest '{known.digest}' and tag '{tag}' already exists in the repository with name "
                f"'{book.repository.name}' in registry with id '{book.repository.account}'"
            )
        require_room(images)
        image = await store_manifest(
            images,
            book.repository.account,
            book.repository.name,
            content,
            params.get("imageManifestMediaType") or "",
            tag,
            params.get("imageDigest") or "",
        )
    except InvalidManifest as invalid:
        raise InvalidParameter(
            f"Invalid parameter at 'ImageManifest' failed to satisfy constraint: '{invalid}'"
        ) from None
    return {"image": _shown(book, image, tag, content)}


async def batch_delete_image(call: Call, services: Services, params: Params) -> Answer:
    images, book = asked_book(call, services, params)
    wanted: list[tuple[str | None, str | None]] = []
    failures: list[dict[str, Any]] = []
    for identifier in params["imageIds"]:
        image = _identified(book, identifier)
        if isinstance(image, dict):
            failures.append(image)
        else:
            wanted.append((identifier.get("imageDigest"), identifier.get("imageTag")))
    repository = book.repository
    deleted = await images.registry.change(
        repository.account, repository.name, lambda book: delete_images(book, wanted)
    )
    await forget_manifests(images, repository, deleted.images)
    return {"imageIds": [_identifier(digest, tag) for digest, tag in deleted.pairs], "failures": failures}


async def describe_images(call: Call, services: Services, params: Params) -> Answer:
    _, book = asked_book(call, services, params)
    identifiers = params.get("imageIds")
    if identifiers:
        if params.get("nextToken") or params.get("maxResults"):
            raise InvalidParameter("'imageIds' cannot be combined with 'nextToken' and 'maxResults'.")
        chosen = {image.digest: image for image in (required(book, one) for one in identifiers)}
        return {"imageDetails": [_detail(book, image) for image in chosen.values()]}
    filtered = [image for image in book.images() if _passes(params, bool(image.tags))]
    found, more = page(call, params, filtered, lambda image: image.digest)
    return {"imageDetails": [_detail(book, image) for image in found]} | more


async def list_images(call: Call, services: Services, params: Params) -> Answer:
    _, book = asked_book(call, services, params)
    pairs = [(image.digest, tag) for image in book.images() for tag in sorted(image.tags) or (None,)]
    filtered = [(digest, tag) for digest, tag in pairs if _passes(params, tag is not None)]
    found, more = page(call, params, filtered, lambda pair: f"{pair[0]}/{pair[1] or ''}")
    return {"imageIds": [_identifier(digest, tag) for digest, tag in found]} | more


async def start_image_scan(call: Call, services: Services, params: Params) -> Answer:
    _, book = asked_book(call, services, params)
    required(book, params["imageId"])
    raise Validation("Image scanning is not supported here: there is no scanner.")


async def describe_image_scan_findings(call: Call, services: Services, params: Params) -> Answer:
    """Nothing was ever scanned, which is what AWS's error says."""
    _, book = asked_book(call, services, params)
    image = required(book, params["imageId"])
    raise ScanNotFound(
        f"Image scan does not exist for the image with '{_named_as(params['imageId'], image)}' in the repository with "
        f"name '{book.repository.name}' in the registry with id '{book.repository.account}'"
    )


async def describe_image_replication_status(call: Call, services: Services, params: Params) -> Answer:
    _, book = asked_book(call, services, params)
    image = required(book, params["imageId"])
    return {
        "repositoryName": book.repository.name,
        "imageId": _identifier(image.digest, params["imageId"].get("imageTag")),
        "replicationStatuses": [],
    }


def required(book: RepositoryBook, identifier: Params) -> Image:
    """The image that an identifier names. Raises ImageNotFound."""
    found = _identified(book, identifier)
    if isinstance(found, dict):
        raise ImageNotFound(
            f"The image with imageId {_named_as(identifier, None)} does not exist within the repository with name "
            f"'{book.repository.name}' in the registry with id '{book.repository.account}'"
        )
    return found


def _identified(book: RepositoryBook, identifier: Params) -> Image | dict[str, Any]:
    """The image, or the failure that a batch tells of it."""
    digest, tag = identifier.get("imageDigest"), identifier.get("imageTag")
    if digest is None and tag is None:
        return _failure(
            identifier,
            "MissingDigestAndTag",
            "Invalid request parameters: both tag and digest cannot be null",
        )
    if digest is not None and DIGEST.fullmatch(digest) is None:
        return _failure(
            identifier,
            "InvalidImageDigest",
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        )
    image = book.find(digest) if digest is not None else book.tagged(tag or "")
    if image is None:
        return _failure(identifier, "ImageNotFound", "Requested image not found")
    if tag is not None and tag not in image.tags:
        return _failure(identifier, "ImageTagDoesNotMatchDigest", "Requested image not found")
    return image


def _failure(identifier: Params, code: str, reason: str) -> dict[str, Any]:
    return {"imageId": dict(identifier), "failureCode": code, "failureReason": reason}


def _passes(params: Params, is_tagged: bool) -> bool:
    wanted = params.get("filter") or {}
    if wanted.get("imageStatus", "ACTIVE") not in ("ACTIVE", "ANY"):
        return False  # none was ever archived
    return wanted.get("tagStatus", "ANY") in ("ANY", "TAGGED" if is_tagged else "UNTAGGED")


def _identifier(digest: str, tag: str | None) -> dict[str, Any]:
    return {"imageDigest": digest} | ({} if tag is None else {"imageTag": tag})


def _named_as(identifier: Params, image: Image | None) -> str:
    digest = identifier.get("imageDigest") or (image.digest if image is not None else "null")
    return f"{{imageDigest:'{digest}', imageTag:'{identifier.get('imageTag', 'null')}'}}"


def _shown(book: RepositoryBook, image: Image, tag: str | None, content: bytes) -> dict[str, Any]:
    return named(book.repository) | {
        "imageId": _identifier(image.digest, tag),
        "imageManifest": content.decode("utf-8", "replace"),
        "imageManifestMediaType": image.media_type,
    }


def _detail(book: RepositoryBook, image: Image) -> dict[str, Any]:
    found = named(book.repository) | {
        "imageDigest": image.digest,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "imageStatus": "ACTIVE",
    }
    if image.tags:
        found["imageTags"] = sorted(image.tags)
    if image.artifact_type is not None:
        found["artifactMediaType"] = image.artifact_type
    return found
