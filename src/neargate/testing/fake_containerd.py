"""The part of containerd that a pull uses, in memory: leases, content, snapshots, images. For tests without root.

Knows no garbage collection. `directory`: whose file system takes the layers, as far as free room is asked for.
"""

# ruff: noqa: ARG002 - the parameters are the real one's
import gzip
from collections.abc import Callable, Iterable

from ..sandbox import containerd_pb2 as pb
from ..sandbox.containerd_client import AlreadyExists, EngineError, NotFound
from .oci_image import sha256


class FakeContainerd:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.leases: set[str] = set()
        self.content: dict[str, bytes] = {}
        self.images: dict[str, pb.Image] = {}
        self.snapshots: dict[str, int] = {}  # committed ones and their bytes
        self.prepared: dict[str, int] = {}

    def create_lease(self, lease_id: str, labels: dict[str, str]) -> None:
        self.leases.add(lease_id)

    def delete_lease(self, lease_id: str) -> None:
        self.leases.discard(lease_id)

    def get_image(self, name: str) -> pb.Image | None:
        return self.images.get(name)

    def put_image(self, name: str, target: pb.Descriptor, labels: dict[str, str]) -> None:
        self.images[name] = pb.Image(name=name, target=target, labels=labels)

    def content_size(self, digest: str) -> int | None:
        found = self.content.get(digest)
        return None if found is None else len(found)

    def label_content(self, digest: str, key: str, value: str, *, lease: str | None = None) -> None:
        self.read_content(digest, 1 << 40)

    def read_content(self, digest: str, max_bytes: int) -> bytes:
        if digest not in self.content:
            raise NotFound("NOT_FOUND", digest)
        return self.content[digest]

    def write_content(
        self, *, ref: str, digest: str, size: int, chunks: Iterable[bytes], labels: dict[str, str], lease: str
    ) -> None:
        data = b"".join(chunks)
        if len(data) != size or sha256(data) != digest:
            raise EngineError("FAILED_PRECONDITION", f"unexpected commit digest {sha256(data)}, expected {digest}")
        self.content[digest] = data

    def abort_write(self, ref: str) -> None:
        """Nothing is kept of a write that did not end."""

    def prepare_snapshot(self, key: str, parent: str, *, lease: str) -> list[pb.Mount]:
        if key in self.prepared:
            raise AlreadyExists("ALREADY_EXISTS", key)
        self.prepared[key] = 0
        return [pb.Mount(type="bind", source=f"{self._directory}/{key}")]

    def commit_snapshot(self, name: str, key: str, *, lease: str) -> None:
        self.snapshots[name] = self.prepared.pop(key)

    def has_snapshot(self, key: str) -> bool:
        return key in self.snapshots

    def snapshot_usage(self, key: str) -> int:
        return self.snapshots[key]

    def remove_snapshot(self, key: str) -> None:
        self.prepared.pop(key, None)

    def apply_diff(
        self, layer: pb.Descriptor, mounts: list[pb.Mount], *, lease: str, may_go_on: Callable[[], bool]
    ) -> str:
        data = self.content[layer.digest]
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        self.prepared[mounts[0].source.rpartition("/")[2]] = len(plain)
        return sha256(plain)
