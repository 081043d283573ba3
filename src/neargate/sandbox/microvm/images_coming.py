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
        self._asked = [asyncio.ensure_future(parts.images.disk(image)) for image in images]

    async def there(self) -> list[str]:
        """Paths, empty for those that are not there yet. Raises what `ImageDisks.disk` raises."""
        if self._asked:
            await asyncio.wait(self._asked, timeout=_LOOK_S)
        return [one.result() if one.done() else "" for one in self._asked]

    async def all(self) -> list[str]:
        return list(await asyncio.gather(*self._asked))

    def close(self) -> None:
        for one in self._asked:
            if not one.cancel() and not one.cancelled():
                one.exception()  # who waited for it has been told, or failed of something else


def with_images(spec: MachineSpec, paths: Sequence[str]) -> MachineSpec:
    """What is to be put into a machine that was made as `spec`: the images that it is without, nothing else."""
    named = {places.image_serial(number): path for number, path in enumerate(paths)}
    disks = [replace(disk, path="" if disk.path else named.get(disk.serial, "")) for disk in spec.disks]
    return replace(spec, disks=tuple(disks))
