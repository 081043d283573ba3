"""An archive of `docker save`, `podman save` or an OCI layout in a tar: which images are in it, and their bytes.

Owns what may be believed of such a file: nothing is ever unpacked, members are found by exact name and read in pieces,
links lead to members of the same archive only, documents and counts have bounds. Must not know registries. Invariant:
a blob is what its digest says, whoever made the archive.
"""

import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from ..problems import Problem

MEMBERS_MAX = 20_000
IMAGES_MAX = 100
MANIFESTS_MAX = 1000  # lists and what they list, of all images together
LAYERS_MAX = 200
DOCUMENT_MAX_BYTES = 4 * 1024 * 1024
BLOB_MAX_BYTES = 52_000 * 1024 * 1024  # ECR's bound on a layer
PIECE = 1024 * 1024
_READ_MAX_BYTES = 8 * 1024 * 1024
_DEPTH_MAX = 3  # of lists of manifests in lists
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_KINDS = (
    OCI_MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_PACKED = ((b"\x1f\x8b", "+gzip"), (b"\x28\xb5\x2f\xfd", "+zstd"))


class Blob(Struct, frozen=True, kw_only=True):
    """`member`: its name in the archive; empty for `content`, which was made here."""

    digest: str
    size: int
    member: str = ""
    content: bytes = b""


class Loaded(Struct, frozen=True, kw_only=True):
    """One manifest to push: its blobs first, then the manifests that it lists, then itself."""

    manifest: bytes
    media_type: str
    blobs: tuple[Blob, ...]
    children: tuple["Loaded", ...] = ()
    names: tuple[str, ...] = ()  # as the archive says: app:1, localhost:5000/app:1

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


class _BoundedFile(io.FileIO):
    """What a header calls its size is never read in one go: a few bytes of it may claim gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _READ_MAX_BYTES:
            raise tarfile.ReadError("a header in it is too large")
        return super().read(size) or b""


class Archive:
    """Open for as long as its blobs are read. Raises Problem for what is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._manifests = 0
        self._layers: dict[str, tuple[Blob, str]] = {}  # by member: images share theirs
        try:
            self._file = _BoundedFile(path)
        except OSError as error:
            raise Problem(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            self._tar = tarfile.open(fileobj=self._file, mode="r:")  # noqa: SIM115  close()
            self._members = self._listed()
        except (OSError, tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            self._file.close()
            raise self._broken(f"it is no tar archive ({error}); a compressed one must be unpacked first") from None
        except Problem:
            self._file.close()
            raise

    def close(self) -> None:
        self._tar.close()
        self._file.close()

    def images(self) -> list[Loaded]:
        """What `docker load` would load. Raises Problem."""
        if "manifest.json" in self._members:
            found = self._of_docker()
        elif "index.json" in self._members:
            found = self._of_oci()
        else:
            raise self._broken("it has neither manifest.json (docker save) nor index.json (an OCI layout)")
        if not 0 < len(found) <= IMAGES_MAX:
            raise self._broken(f"it holds {len(found)} images; 1 to {IMAGES_MAX} are taken")
        return found

    def pieces(self, blob: Blob) -> Iterator[bytes]:
        """Raises Problem when the archive has changed or ends too soon."""
        if not blob.member:
            yield blob.content
            return
        left = blob.size
        with self._open(blob.member) as file:
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise self._broken(f"it ends within {blob.member}")
                left -= len(piece)
                yield piece

    # -- both kinds

    def _of_docker(self) -> list[Loaded]:
        listed = self._json("manifest.json")
        if not isinstance(listed, list):
            raise self._broken("its manifest.json is no list")
        return [self._docker_image(entry) for entry in listed[: IMAGES_MAX + 1]]

    def _docker_image(self, entry: Any) -> Loaded:
        config, layers, names = _members_of(entry)
        if config is None or len(layers) > LAYERS_MAX:
            raise self._broken("an image in its manifest.json has no configuration, or layers beyond all measure")
        content = self._document(config)
        blobs = [Blob(digest=_digest(content), size=len(content), content=content)]
        described = []
        for layer in layers:
            blob, kind = self._hashed(layer)
            blobs.append(blob)
            described.append({"mediaType": kind, "digest": blob.digest, "size": blob.size})
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": _CONFIG, "digest": blobs[0].digest, "size": len(content)},
                "layers": described,
            },
            separators=(",", ":"),
        )
        return Loaded(manifest=manifest.encode(), media_type=OCI_MANIFEST, blobs=tuple(blobs), names=names)

    def _of_oci(self) -> list[Loaded]:
        index = self._json("index.json")
        listed = index.get("manifests") if isinstance(index, dict) else None
        if not isinstance(listed, list):
            raise self._broken("its index.json lists no manifests")
        return [self._oci_image(entry, _DEPTH_MAX) for entry in listed[: IMAGES_MAX + 1]]

    def _oci_image(self, entry: Any, depth: int) -> Loaded:
        digest, media_type, names = _described(entry)
        if digest is None or media_type not in _KINDS or depth == 0:
            raise self._broken("a manifest in it has no digest or a media type that is not known, or lists go too deep")
        self._manifests += 1
        if self._manifests > MANIFESTS_MAX:
            raise self._broken(f"it names more than {MANIFESTS_MAX} manifests")
        content = self._document(f"blobs/sha256/{digest[7:]}")
        if _digest(content) != digest:
            raise self._broken(f"the manifest {digest} is not what its digest says")
        document = self._parsed(content, digest)
        parts = document.get("manifests", []) if isinstance(document, dict) else None
        layers = document.get("layers", []) if isinstance(document, dict) else None
        if not isinstance(parts, list) or not isinstance(layers, list) or len(parts) + len(layers) > LAYERS_MAX:
            raise self._broken(f"the manifest {digest} is none")
        wanted = [*([document["config"]] if "config" in document else []), *layers]
        return Loaded(
            manifest=content,
            media_type=media_type,
            blobs=tuple(self._named_blob(one) for one in wanted),
            children=tuple(self._oci_image(part, depth - 1) for part in parts),
            names=names,
        )

    def _named_blob(self, entry: Any) -> Blob:
        """A blob under its digest; the registry checks that it is what it is called."""
        digest, _, _ = _described(entry)
        if digest is None:
            raise self._broken("a descriptor in it has no sha256 digest")
        name = self._resolved(f"blobs/sha256/{digest[7:]}")
        return Blob(digest=digest, size=self._size(name), member=name)

    # -- members

    def _listed(self) -> dict[str, tarfile.TarInfo]:
        found: dict[str, tarfile.TarInfo] = {}
        for member in self._tar:
            if len(found) >= MEMBERS_MAX:
                raise self._broken(f"it has more than {MEMBERS_MAX} members")
            found[posixpath.normpath(member.name)] = member
        return found

    def _resolved(self, name: str) -> str:
        """A member that is a file. Old `docker save` links equal layers: one step, within the archive."""
        name = posixpath.normpath(name)
        member = self._members.get(name)
        if member is not None and (member.issym() or member.islnk()):
            base = posixpath.dirname(name) if member.issym() else ""
            name = posixpath.normpath(posixpath.join(base, member.linkname))
            member = self._members.get(name)
        if member is None or not member.isreg() or member.issparse():
            raise self._broken(f"it has no file {name[:200]}")
        return name

    def _size(self, name: str) -> int:
        size = self._members[name].size
        if not 0 <= size <= BLOB_MAX_BYTES:
            raise self._broken(f"{name[:200]} is larger than {BLOB_MAX_BYTES} bytes")
        return size

    def _open(self, name: str) -> IO[bytes]:
        found = self._tar.extractfile(self._members[name])
        if found is None:
            raise self._broken(f"it has no file {name[:200]}")
        return found

    def _hashed(self, layer: str) -> tuple[Blob, str]:
        """A layer of `docker save`, which has no digest of its own, and its media type."""
        name = self._resolved(layer)
        if name in self._layers:
            return self._layers[name]
        blob, sha, start = Blob(digest="", size=self._size(name), member=name), hashlib.sha256(), b""
        for piece in self.pieces(blob):
            start = start or piece[:8]
            sha.update(piece)
        packed = next((suffix for magic, suffix in _PACKED if start.startswith(magic)), "")
        blob = Blob(digest=f"sha256:{sha.hexdigest()}", size=blob.size, member=name)
        self._layers[name] = blob, _LAYER + packed
        return self._layers[name]

    def _document(self, name: str) -> bytes:
        name = self._resolved(name)
        if self._size(name) > DOCUMENT_MAX_BYTES:
            raise self._broken(f"{name[:200]} is larger than {DOCUMENT_MAX_BYTES} bytes")
        with self._open(name) as file:
            return file.read()

    def _json(self, name: str) -> Any:
        return self._parsed(self._document(name), name)

    def _parsed(self, content: bytes, name: str) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise self._broken(f"its {name[:200]} is no JSON") from None

    def _broken(self, why: str) -> Problem:
        return Problem(f"{self._path} is no archive of images: {why}")


def _members_of(entry: Any) -> tuple[str | None, list[str], tuple[str, ...]]:
    """(Config, Layers, RepoTags) of an entry of manifest.json; the configuration None when it is of another form."""
    if not isinstance(entry, dict):
        return None, [], ()
    config, layers, names = entry.get("Config"), entry.get("Layers"), entry.get("RepoTags") or []
    if not isinstance(config, str) or not _are_texts(layers) or not _are_texts(names):
        return None, [], ()
    return config, list(layers or []), tuple(names[:LAYERS_MAX])


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _described(entry: Any) -> tuple[str | None, str, tuple[str, ...]]:
    """(digest, media type, names) of a descriptor."""
    if not isinstance(entry, dict):
        return None, "", ()
    digest, kind, notes = entry.get("digest"), entry.get("mediaType"), entry.get("annotations")
    hexadecimal = digest[7:] if isinstance(digest, str) and digest.startswith("sha256:") else ""
    is_digest = len(hexadecimal) == 64 and all(c in "0123456789abcdef" for c in hexadecimal)
    return digest if is_digest else None, kind if isinstance(kind, str) else "", _names(notes)


def _names(notes: Any) -> tuple[str, ...]:
    """Whole names where there is one; what OCI calls a name may be a tag alone, which is written `:TAG` here."""
    known = notes if isinstance(notes, dict) else {}
    whole, reference = known.get("io.containerd.image.name"), known.get("org.opencontainers.image.ref.name")
    if isinstance(whole, str):
        return (whole,)
    if not isinstance(reference, str):
        return ()
    return (reference if ":" in reference or "/" in reference else f":{reference}",)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
