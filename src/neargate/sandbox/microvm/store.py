"""The images of a host whose tasks run in machines: containerd pulls and unpacks them, disks are made of them."""

import os
from collections.abc import Callable

from ...interfaces.sandbox import EngineUnavailable, Image, PullRequest, SandboxError
from ...model.lifecycle import REASON_MAX_CHARS
from ...world import World
from ..containerd_client import Containerd, EngineError
from ..images import HostImages
from ..rootfs import Views
from ..seeding import CannotSeed, seed
from .image_disks import ImageDisks
from .parts import LANE


class ImageStore:
    """Implements parts.Images. `images`: pulls; `views`: the unpacked; `disks`: what a guest reads."""

    def __init__(
        self, world: World, engine: Containerd, *, images: HostImages, views: Views, disks: ImageDisks
    ) -> None:
        self._world = world
        self._engine = engine
        self._images = images
        self._views = views
        self._disks = disks

    async def start(self) -> None:
        await self._world.offload(LANE, self._connect)

    async def pull(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        return await self._images.pull(request, progress)

    def forget(self, image: Image) -> None:
        self._images.forget(image)

    async def disk(self, image: Image) -> str:
        try:
            return await self._disks.disk(image)
        except EngineError as error:
            raise EngineUnavailable(error.detail) from None

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        gone = await self._images.collect(spared)
        return (*gone, *await self._disks.collect(spared))

    async def seed(self, image: Image, container_path: str, target_dir: str) -> bool:
        try:
            return await self._world.offload(LANE, self._seed, image, container_path, target_dir)
        except CannotSeed as error:
            raise SandboxError(f"CannotCreateVolumeError: {error}"[:REASON_MAX_CHARS]) from None
        except EngineError as error:
            raise EngineUnavailable(error.detail) from None

    def close(self) -> None:
        self._images.close()
        self._engine.close()

    def _connect(self) -> None:
        try:
            self._engine.version()
            self._engine.create_namespace()
        except EngineError as error:
            raise EngineUnavailable(error.detail) from None

    def _seed(self, image: Image, container_path: str, target_dir: str) -> bool:
        mount_point = os.path.join(os.path.dirname(target_dir), f".seed-{os.path.basename(target_dir)}")
        return seed(self._views.lowers(image.snapshot), mount_point, container_path, target_dir)
