"""What a manifest says of itself: media type, what it names, how large that is. Pure; every input is hostile.

Whether what it names is there, the backend knows. Digests are of the bytes as they came.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from .paths import DIGEST

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
MEDIA_TYPES = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX)
MANIFEST_MAX_BYTES = 4 * 1024 * 1024  # ECR's
_LISTS = (DOCKER_LIST, OCI_INDEX)
_ENTRIES_MAX = 4096
_SIZE_MAX = 1 << 60


class InvalidManifest(Exception):
    """The sentence says what is wrong with it."""


class Described(Struct, frozen=True, kw_only=True):
    """`size`: of config and layers; of a list 0, its images have sizes of their own. `layers`: digests with sizes."""

    digest: str
    media_type: str
    size: int
    config: str = ""
    layers: tuple[tuple[str, int], ...] = ()
    children: tuple[str, ...] = ()
    artifact_type: str | None = None


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def describe(content: bytes, media_type: str = "") -> Described:
    """`media_type`: as the request says, empty when it does not. Raises InvalidManifest."""
    if len(content) > MANIFEST_MAX_BYTES:
        raise InvalidManifest(f"The manifest is larger than {MANIFEST_MAX_BYTES} bytes")
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise InvalidManifest("The manifest is not JSON") from None
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise InvalidManifest("The manifest's schema version is not 2")
    kind = _media_type(document, media_type)
    entries = _entries(document, "manifests" if kind in _LISTS else "layers")
    if kind in _LISTS:
        return Described(
            digest=digest_of(content),
            media_type=kind,
            size=0,
            children=tuple(dict.fromkeys(digest for digest, _ in entries)),
            artifact_type=_text(document.get("artifactType")),
        )
    config = _entry(document.get("config"))
    described = document["config"].get("mediaType")
    return Described(
        digest=digest_of(content),
        media_type=kind,
        size=min(config[1] + sum(size for _, size in entries), _SIZE_MAX),
        config=config[0],
        layers=entries,
        artifact_type=_text(document.get("artifactType")) or _text(described),
    )


def _media_type(document: dict[str, Any], told: str) -> str:
    """One that is known, and that request and document agree on."""
    own = document.get("mediaType")
    told = told.partition(";")[0].strip()
    if isinstance(own, str) and told and told in MEDIA_TYPES and own != told:
        raise InvalidManifest(f"The manifest's media type {own[:128]} is not the request's")
    kind = own if isinstance(own, str) else told
    if kind in MEDIA_TYPES:
        return kind
    if not kind or kind == "application/json":
        # OCI lets the member be left out: what is in it tells the two apart.
        return OCI_INDEX if "manifests" in document else OCI_MANIFEST
    raise InvalidManifest(f"The manifest's media type {kind[:128]} is not supported")


def _entries(document: dict[str, Any], name: str) -> tuple[tuple[str, int], ...]:
    listed = document.get(name)
    if not isinstance(listed, list) or len(listed) > _ENTRIES_MAX:
        raise InvalidManifest(f"The manifest has no list of {name}, or one that is too long")
    return tuple(_entry(one) for one in listed)


def _entry(value: Any) -> tuple[str, int]:
    if not isinstance(value, dict):
        raise InvalidManifest("The manifest has a descriptor that is none")
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or DIGEST.fullmatch(digest) is None:
        raise InvalidManifest("The manifest has a descriptor without a sha256 digest")
    if type(size) is not int or not 0 <= size <= _SIZE_MAX:
        raise InvalidManifest("The manifest has a descriptor without a size")
    return digest, size


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) and value else None
