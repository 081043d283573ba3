"""Manifests, indexes and image configs: parsed from hostile bytes into bounded values. Pure.

Owns: media types, the choice of a platform, and every length bound on what an image may say. Must not know HTTP or
containerd. Invariant: what leaves this file has checked types, checked digests and bounded lengths.
"""

import hashlib
import json
from typing import Any

from msgspec import Struct

from .reference import is_digest

MANIFEST_MAX_BYTES = 4 * 1024 * 1024
CONFIG_MAX_BYTES = 1024 * 1024
LAYERS_MAX = 200  # more than any builder makes (127), and what still fits the kernel's page of mount options
LAYER_MAX_BYTES = 200 * 1024**3
INDEX_ENTRIES_MAX = 512
VALUES_MAX = 100_000  # of a document: small ones take thirty times their length when they are read
STRINGS_MAX = 1024
STRING_MAX_CHARS = 128 * 1024

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))

_LAYER_TYPES = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    }
)


class BadImage(Exception):
    """The image is not what the specification allows. The message is a sentence for its owner."""


class WrongPlatform(BadImage):
    """There is an image, but not for this task's platform."""


class Blob(Struct, frozen=True, kw_only=True):
    media_type: str
    digest: str
    size: int


class Manifest(Struct, frozen=True, kw_only=True):
    config: Blob
    layers: tuple[Blob, ...]


class ImageConfig(Struct, frozen=True, kw_only=True):
    architecture: str
    diff_ids: tuple[str, ...]
    entry_point: tuple[str, ...]
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    user: str
    working_directory: str
    stop_signal: str
    volumes: tuple[str, ...]


def media_type_of(document: bytes, header: str) -> str:
    """What the document says it is; OCI lets it stay silent, then the answer's Content-Type counts."""
    own = _object(document).get("mediaType")
    stated = own if isinstance(own, str) and own else header.partition(";")[0].strip()
    if stated not in INDEX_TYPES | MANIFEST_TYPES:
        raise BadImage(f"unsupported manifest media type {stated[:200]!r}")
    return stated


def choose_platform(index: bytes, architecture: str) -> Blob:
    """The index's entry for linux on `architecture`. Attestations (platform unknown/unknown) are never chosen."""
    entries = _object(index).get("manifests")
    if not isinstance(entries, list) or len(entries) > INDEX_ENTRIES_MAX:
        raise BadImage("the image index has no list of manifests, or too long a one")
    for entry in entries:
        platform = entry.get("platform") if isinstance(entry, dict) else None
        media_type = entry.get("mediaType") if isinstance(platform, dict) else None
        if not isinstance(platform, dict) or not isinstance(media_type, str) or media_type not in MANIFEST_TYPES:
            continue
        if platform.get("os") == "linux" and platform.get("architecture") == architecture:
            return _blob(entry, MANIFEST_MAX_BYTES)
    raise WrongPlatform(_wrong_platform(architecture))


def parse_manifest(document: bytes) -> Manifest:
    value = _object(document)
    layers = value.get("layers")
    if value.get("schemaVersion") != 2 or not isinstance(layers, list) or not 0 < len(layers) <= LAYERS_MAX:
        raise BadImage(f"the image manifest must have schema version 2 and 1 to {LAYERS_MAX} layers")
    blobs = tuple(_blob(layer, LAYER_MAX_BYTES) for layer in layers)
    for blob in blobs:
        if blob.media_type not in _LAYER_TYPES:
            raise BadImage(f"unsupported layer media type {blob.media_type[:200]!r}")
    return Manifest(config=_blob(value.get("config"), CONFIG_MAX_BYTES), layers=blobs)


def parse_config(document: bytes, architecture: str, layers: int) -> ImageConfig:
    value = _object(document)
    found = value.get("architecture")
    if value.get("os", "linux") != "linux" or (found or architecture) != architecture:
        raise WrongPlatform(_wrong_platform(architecture))
    rootfs = value.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != layers or not all(is_digest(item) for item in diff_ids):
        raise BadImage("mismatched image rootfs and manifest layers")
    config = value.get("config")
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise BadImage("the image's config is not an object")
    volumes = config.get("Volumes") or {}
    return ImageConfig(
        architecture=architecture,
        diff_ids=tuple(diff_ids),
        entry_point=_strings(config.get("Entrypoint"), "Entrypoint"),
        command=_strings(config.get("Cmd"), "Cmd"),
        environment=tuple(
            (name, text) for name, _, text in (item.partition("=") for item in _strings(config.get("Env"), "Env"))
        ),
        user=_string(config.get("User"), "User"),
        working_directory=_string(config.get("WorkingDir"), "WorkingDir"),
        stop_signal=_string(config.get("StopSignal"), "StopSignal"),
        volumes=_strings(list(volumes) if isinstance(volumes, dict) else volumes, "Volumes"),
    )


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The snapshot name of each layer on top of those below it (OCI image specification)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        if not chain:
            chain.append(diff_id)
        else:
            chain.append("sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest())
    return tuple(chain)


def sha256_digest(document: bytes) -> str:
    return "sha256:" + hashlib.sha256(document).hexdigest()


def _wrong_platform(architecture: str) -> str:
    return f"image Manifest does not contain descriptor matching platform 'linux/{architecture}'"


def _object(document: bytes) -> dict[str, Any]:
    if document.count(b",") + document.count(b"[") + document.count(b"{") > VALUES_MAX:
        raise BadImage(f"the manifest or config has more than {VALUES_MAX} values")
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        raise BadImage("the manifest or config is not JSON") from None
    if not isinstance(value, dict):
        raise BadImage("the manifest or config is not a JSON object")
    return value


def _blob(value: object, max_bytes: int) -> Blob:
    if not isinstance(value, dict):
        raise BadImage("a descriptor is not an object")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str) or not is_digest(digest) or not isinstance(digest, str):
        raise BadImage("a descriptor lacks its media type or a sha256 digest")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= max_bytes:
        raise BadImage(f"the size of {digest} is not between 0 and {max_bytes} bytes")
    return Blob(media_type=media_type, digest=digest, size=size)


def _string(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > STRING_MAX_CHARS or not _is_text(value):
        raise BadImage(f"the image config's {name} is not a string of at most {STRING_MAX_CHARS} characters")
    return value


def _is_text(value: str) -> bool:
    """JSON can write halves of surrogate pairs, which no encoder takes afterwards."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _strings(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > STRINGS_MAX:
        raise BadImage(f"the image config's {name} is not a list of at most {STRINGS_MAX} strings")
    return tuple(_string(item, name) for item in value)
