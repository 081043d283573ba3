"""The containerd half of a pull: blobs into the content store, layers into snapshots, the image's record.

Owns: references that keep garbage collection away while an image is needed. Must not know registries' protocol.
Blocking. Invariant: an image record exists only when its snapshots do, and names them; everything before that hangs on
a lease that ends by itself. Compressed layers are not kept once unpacked: the collector takes them with the lease.
"""

import datetime
import os
from collections.abc import Iterable

from .. import containerd_pb2 as pb
from ..containerd_client import SNAPSHOTTER, AlreadyExists, Containerd, EngineError
from .manifest import CONFIG_MAX_BYTES, Blob, Manifest, chain_ids

LABEL_CONFIG = "neargate/config"
LABEL_CHAIN = "neargate/chain"
LABEL_UNPACKED = "neargate/unpacked-bytes"
LABEL_COMPRESSED = "neargate/compressed-bytes"
LABEL_INDEX = "neargate/index"
_LEASE_LIFE_S = 3600.0
# containerd 1.6 knows zstd by OCI's name only; the bytes are the same.
_UNPACKED_AS = {"application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd"}


class UnpackFailed(Exception):
    """The layers do not make the image they claim to be. The message is a sentence for the image's owner."""


def open_lease(engine: Containerd, lease: str, now: float) -> None:
    """A lease that containerd itself removes: a killed agent leaves nothing for ever."""
    expires = datetime.datetime.fromtimestamp(now + _LEASE_LIFE_S, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    engine.create_lease(lease, {"containerd.io/gc.expire": expires})


def store_blob(engine: Containerd, blob: Blob, chunks: Iterable[bytes], *, ref: str, lease: str) -> None:
    """Nothing becomes visible unless size and digest are the descriptor's."""
    try:
        engine.write_content(ref=ref, digest=blob.digest, size=blob.size, chunks=chunks, labels={}, lease=lease)
    except EngineError as error:
        raise UnpackFailed(f"failed commit on ref {blob.digest}: {error.detail}") from None


def store_document(
    engine: Containerd, digest: str, body: bytes, labels: dict[str, str], *, ref: str, lease: str
) -> None:
    engine.write_content(ref=ref, digest=digest, size=len(body), chunks=[body], labels=labels, lease=lease)


def apply_layer(
    engine: Containerd,
    layer: Blob,
    diff_id: str,
    parent: str,
    chain_id: str,
    *,
    key: str,
    lease: str,
    free_fraction: float,
) -> None:
    """One layer on top of `parent` ('' for the first). Repeating it, or doing it twice at once, is safe.

    `free_fraction` of the filesystem stays free: the disks of running tasks lie on it and do not survive its end.
    """
    if engine.has_snapshot(chain_id):
        return
    mounts = engine.prepare_snapshot(key, parent, lease=lease)
    try:
        media_type = _UNPACKED_AS.get(layer.media_type, layer.media_type)
        descriptor = pb.Descriptor(media_type=media_type, digest=layer.digest, size=layer.size)
        try:
            applied = engine.apply_diff(
                descriptor, mounts, lease=lease, may_go_on=lambda: has_room(mounts, free_fraction)
            )
        except EngineError as error:
            raise UnpackFailed(f"failed to extract layer {diff_id}: {error.detail}") from None
        if applied != diff_id:
            raise UnpackFailed(f"wrong diff id calculated on extraction {applied} (the config says {diff_id})")
        engine.commit_snapshot(chain_id, key, lease=lease)
    except AlreadyExists:
        engine.remove_snapshot(key)  # another pull unpacked the same layer meanwhile
    except UnpackFailed:
        engine.remove_snapshot(key)
        raise


def store_directory(engine: Containerd, *, key: str, lease: str) -> str:
    """A directory of the filesystem on which containerd keeps snapshots and content."""
    mounts = engine.prepare_snapshot(key, "", lease=lease)
    engine.remove_snapshot(key)
    return os.path.dirname(_written_directory(mounts))


def has_room(mounts: list[pb.Mount], free_fraction: float, more_bytes: int = 0) -> bool:
    return directory_has_room(_written_directory(mounts), free_fraction, more_bytes)


def directory_has_room(directory: str, free_fraction: float, more_bytes: int = 0) -> bool:
    """Whether so many bytes more leave the fraction free. A directory that is gone stops nobody: its owner will."""
    try:
        found = os.statvfs(directory)
    except FileNotFoundError:
        return True
    return found.f_bavail * found.f_frsize - more_bytes >= found.f_blocks * found.f_frsize * free_fraction


def _written_directory(mounts: list[pb.Mount]) -> str:
    """A snapshot on nothing is a bind mount, one on others an overlay with `upperdir=`."""
    for option in mounts[0].options:
        if option.startswith("upperdir="):
            return option.removeprefix("upperdir=")
    return mounts[0].source


def record_image(
    engine: Containerd,
    name: str,
    manifest: Blob,
    parsed: Manifest,
    diff_ids: tuple[str, ...],
    *,
    index_digest: str | None,
    lease: str,
) -> dict[str, str]:
    """Name the image durably, with references from it to everything it needs. Returns the record's labels."""
    chain = chain_ids(diff_ids)
    engine.label_content(parsed.config.digest, f"containerd.io/gc.ref.snapshot.{SNAPSHOTTER}", chain[-1], lease=lease)
    engine.label_content(manifest.digest, "containerd.io/gc.ref.content.config", parsed.config.digest, lease=lease)
    labels = {
        LABEL_CONFIG: parsed.config.digest,
        LABEL_CHAIN: chain[-1],
        LABEL_UNPACKED: str(sum(engine.snapshot_usage(chain_id) for chain_id in chain)),
        LABEL_COMPRESSED: str(sum(layer.size for layer in parsed.layers)),
    }
    if index_digest is not None:
        labels[LABEL_INDEX] = index_digest  # containerd drops empty labels
    engine.put_image(
        name, pb.Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=manifest.size), labels
    )
    return labels


def read_config(engine: Containerd, digest: str) -> bytes:
    return engine.read_content(digest, CONFIG_MAX_BYTES)
