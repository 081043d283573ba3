"""The disks of a task's images while its machine is made: one that has yet to be made comes beside the boot.

A disk that is there is found at once, and the machine begins with it. Any other has an empty place, into which it is
put before the guest takes its disks. Must not know how a machine comes.
"""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from ...interfaces.sandbox import Image
from . import places
from .parts import Parts
from .vmm import MachineSpec

_LOOK_S = 0.05


class ImagesComing:
    """`images`: in the order of the machine's disks. Their making goes on when nobody waits any more."""

    def __init__(self, parts: Parts, images: Sequence[Image]) -> None:
        self._parts = parts
        self._paths: list[asyncio.Future[str]] = []
        for image in images:
            path = asyncio.get_running_loop().create_future()
            self._paths.append(path)
            parts.world.spawn(self._ask(image, path), "image-disk-comes")

    async def there(self) -> list[str]:
        """Paths, empty for those that are not there yet. Raises what `parts.Images.disk` raises."""
        if self._paths:
            await asyncio.wait(self._paths, timeout=_LOOK_S)
        return [path.result() if path.done() else "" for path in self._paths]

    async def all(self) -> list[str]:
        return [await path for path in self._paths]

    def close(self) -> None:
        for path in self._paths:
            path.cancel()

    async def _ask(self, image: Image, path: "asyncio.Future[str]") -> None:
        try:
            found = await self._parts.images.disk(image)
        except Exception as error:
            if not path.done():
                path.set_exception(error)
                path.exception()  # the machine may fail of something else first, and nobody ask
        else:
            if not path.done():
                path.set_result(found)


def with_images(spec: MachineSpec, paths: Sequence[str]) -> MachineSpec:
    """What is to be put into a machine that was made as `spec`: the images that it is without, nothing else."""
    named = {places.image_serial(number): path for number, path in enumerate(paths)}
    disks = [replace(disk, path="" if disk.path else named.get(disk.serial, "")) for disk in spec.disks]
    return replace(spec, disks=tuple(disks))
