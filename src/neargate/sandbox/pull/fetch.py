"""The blocking steps of fetching one image, each safe to repeat.

Owns: one pull's names (lease, write references, snapshot keys), made unique by `token` so that two pulls never share
one. Must not know retries, threads or authorisation.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import cached_property

from msgspec import Struct

from ...interfaces.sandbox import Image
from .. import containerd_pb2 as pb
from ..containerd_client import Containerd, NotFound
from . import unpack
from .manifest import Blob, ImageConfig, Manifest, chain_ids, parse_config, parse_manifest
from .registry import Document, RegistrySession


class Fetch(Struct, frozen=True, kw_only=True, dict=True):  # dict: a property is kept
    name: str  # of the image record
    reference: str  # as the user wrote it
    architecture: str
    manifest: Document
    index_digest: str | None
    token: str
    free_fraction: float  # of containerd's filesystem that stays free

    @property
    def lease(self) -> str:
        return f"neargate-pull-{self.token}"

    @cached_property
    def parsed(self) -> Manifest:
        return parse_manifest(self.manifest.body)

    def store_config(self, engine: Containerd, session: RegistrySession) -> ImageConfig:
        """Config first: it may say that this image is not for this machine, before anything big is fetched."""
        blob = self.parsed.config
        self._store(engine, blob, session.blob(blob), "config")
        return parse_config(unpack.read_config(engine, blob.digest), self.architecture, len(self.parsed.layers))

    def missing_layers(self, engine: Containerd, config: ImageConfig) -> tuple[int, ...]:
        """Positions of the layers above the highest one that is unpacked already."""
        chain = chain_ids(config.diff_ids)
        for number in range(len(chain), 0, -1):
            if engine.has_snapshot(chain[number - 1]):
                return tuple(range(number, len(chain)))
        return tuple(range(len(chain)))

    def room_for(self, engine: Containerd, missing: Sequence[int]) -> str:
        """The directory whose filesystem takes the layers. Raises UnpackFailed when they are too big as they come."""
        directory = unpack.store_directory(engine, key=f"neargate-unpack-{self.token}-room", lease=self.lease)
        size = sum(self.parsed.layers[number].size for number in missing)
        if not unpack.directory_has_room(directory, self.free_fraction, size):
            raise unpack.UnpackFailed(f"{size} bytes of layers: no space left on device")
        return directory

    def store_layer(
        self,
        engine: Containerd,
        session: RegistrySession,
        number: int,
        directory: str,
        report: Callable[[int], None],
    ) -> None:
        """`directory`: of the filesystem that takes it, from `room_for`."""
        blob = self.parsed.layers[number]
        if engine.content_size(blob.digest) == blob.size:
            report(blob.size)
            return

        def counted() -> Generator[bytes, None, None]:
            with closing(session.blob(blob)) as chunks:
                for chunk in chunks:
                    if not unpack.directory_has_room(directory, self.free_fraction):
                        raise unpack.UnpackFailed(f"{blob.digest}: no space left on device")
                    yield chunk
                    report(len(chunk))

        self._store(engine, blob, counted(), f"layer-{number}")

    def apply_layer(self, engine: Containerd, config: ImageConfig, number: int) -> None:
        chain = chain_ids(config.diff_ids)
        unpack.apply_layer(
            engine,
            self.parsed.layers[number],
            config.diff_ids[number],
            chain[number - 1] if number else "",
            chain[number],
            key=f"neargate-unpack-{self.token}-{number}",
            lease=self.lease,
            free_fraction=self.free_fraction,
        )

    def record(self, engine: Containerd, config: ImageConfig) -> Image:
        unpack.store_document(
            engine, self.manifest.digest, self.manifest.body, {}, ref=f"{self.token}-manifest", lease=self.lease
        )
        blob = Blob(media_type=self.manifest.media_type, digest=self.manifest.digest, size=len(self.manifest.body))
        labels = unpack.record_image(
            engine, self.name, blob, self.parsed, config.diff_ids, index_digest=self.index_digest, lease=self.lease
        )
        return _image(self.reference, self.manifest.digest, labels, config)

    def _store(self, engine: Containerd, blob: Blob, chunks: Generator[bytes, None, None], kind: str) -> None:
        ref = f"{self.token}-{kind}"
        # An earlier attempt may have left half a blob under this name.
        engine.abort_write(ref)
        unpack.store_blob(engine, blob, chunks, ref=ref, lease=self.lease)


def load_image(engine: Containerd, name: str, reference: str, architecture: str) -> Image | None:
    """An image pulled earlier and still whole, None otherwise."""
    record: pb.Image | None = engine.get_image(name)
    if record is None or not engine.has_snapshot(record.labels[unpack.LABEL_CHAIN]):
        return None
    try:
        document = unpack.read_config(engine, record.labels[unpack.LABEL_CONFIG])
        manifest = parse_manifest(engine.read_content(record.target.digest, record.target.size))
    except NotFound:
        return None
    config = parse_config(document, architecture, len(manifest.layers))
    return _image(reference, record.target.digest, dict(record.labels), config)


def _image(reference: str, digest: str, labels: dict[str, str], config: ImageConfig) -> Image:
    return Image(
        reference=reference,
        digest=digest,
        index_digest=labels.get(unpack.LABEL_INDEX),
        config_digest=labels[unpack.LABEL_CONFIG],
        snapshot=labels[unpack.LABEL_CHAIN],
        unpacked_bytes=int(labels[unpack.LABEL_UNPACKED]),
        compressed_bytes=int(labels[unpack.LABEL_COMPRESSED]),
        entry_point=config.entry_point,
        command=config.command,
        environment=config.environment,
        user=config.user,
        working_directory=config.working_directory,
        stop_signal=config.stop_signal,
        volumes=config.volumes,
    )
