"""Gives back the room of images when the disk that has them runs low: the least recently used ones first.

Owns which image goes. Must not know tasks: whoever calls says which images they need. Invariants: nothing that a task
of this host needs, that was used a moment ago, or that is being pulled is removed; when an image was last used
survives this process.
"""

import os
from collections.abc import Callable, Iterable

from msgspec import Struct

from ...model.knobs import Knobs
from ...world import World
from ..containerd_client import Containerd
from . import unpack
from .puller import LANE, Puller

LABEL_USED = "neargate/used-at"  # whole seconds since the epoch


class Kept(Struct, frozen=True, kw_only=True):
    """An image of the store. `digest`: of its manifest for a platform, as tasks name it."""

    name: str
    digest: str
    used_at: float


def least_used(images: Iterable[Kept], spared: frozenset[str], used_before: float) -> list[Kept]:
    """Which may go, the first to go first."""
    may_go = [image for image in images if image.digest not in spared and image.used_at < used_before]
    return sorted(may_go, key=lambda image: (image.used_at, image.name))


def free_fraction(directory: str) -> float:
    found = os.statvfs(directory)
    return found.f_bavail / found.f_blocks if found.f_blocks else 1.0


class ImageCollector:
    def __init__(
        self,
        world: World,
        engine: Containerd,
        puller: Puller,
        knobs: Knobs,
        *,
        free: Callable[[str], float] = free_fraction,
    ) -> None:
        self._world = world
        self._engine = engine
        self._puller = puller
        self._knobs = knobs
        self._free = free
        self._directory = ""

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        """Look once. Returns the names of what went. Raises EngineUnavailable, EngineError."""
        uses = self._puller.take_uses()
        try:
            await self._world.offload(LANE, self._remember, uses)
        except BaseException:
            self._puller.return_uses(uses)
            raise
        if not self._directory:
            self._directory = await self._world.offload(LANE, self._find_directory)
        if self._free(self._directory) >= self._knobs.image_free_low_fraction:
            return ()
        gone: list[str] = []
        try:
            async with self._puller.no_fetches(self._knobs.image_collect_wait_s):
                kept = await self._world.offload(LANE, self._kept)
                for image in least_used(kept, spared, self._world.now() - self._knobs.image_spared_s):
                    if self._free(self._directory) >= self._knobs.image_free_goal_fraction:
                        break
                    if await self._puller.drop(image.name):
                        gone.append(image.name)
        except TimeoutError:
            return ()  # a long pull is at work: at the next look
        return tuple(gone)

    def _remember(self, uses: dict[str, float]) -> None:
        for name, at in uses.items():
            self._engine.label_image(name, LABEL_USED, str(int(at)))

    def _find_directory(self) -> str:
        """The directory of all snapshots, which stays; one of them is there only until containerd collects it."""
        lease = f"neargate-room-{self._world.random.getrandbits(64):016x}"
        unpack.open_lease(self._engine, lease, self._world.now())
        found = unpack.store_directory(self._engine, key=f"{lease}-directory", lease=lease)
        self._engine.delete_lease(lease)
        found = os.path.dirname(found)
        while not os.path.isdir(found):
            found = os.path.dirname(found)
        return found

    def _kept(self) -> list[Kept]:
        return [
            Kept(
                name=image.name,
                digest=image.target.digest,
                used_at=float(image.labels.get(LABEL_USED) or image.updated_at.seconds),
            )
            for image in self._engine.list_images()
        ]
