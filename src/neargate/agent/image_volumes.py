"""Which directories of an image are volumes (its VOLUME lines), and which of them a container still needs. Pure.

Owns Fargate's rule: such a directory is a volume of the container's own, filled from the image, unless the definition
mounts something there; and a volume of the task is filled only where the image says VOLUME. Must not know the disk.
Invariant: no volume of a definition can have the name of an image's own, CONTAINER:PATH.
"""

import posixpath
from collections.abc import Mapping

from ..interfaces.sandbox import Image
from ..model.launch import ContainerLaunch

# A volume there would hide what the runtime makes and guards itself.
_NEVER = frozenset({"/", "/dev", "/proc", "/sys"})
_NEVER_BELOW = ("/proc/", "/sys/")


class BadVolumes(Exception):
    """The image's volumes cannot be made; the message is for the task's owner."""


def declared_volumes(image: Image) -> tuple[str, ...]:
    """Absolute paths without `.`, `..` and a slash at the end, each once, in the image's order."""
    return tuple(dict.fromkeys(normal(path) for path in image.volumes))


def own_volumes(container: ContainerLaunch, image: Image, volumes_max: int) -> tuple[str, ...]:
    """Those that neither a mount point nor a tmpfs of the container takes. Raises BadVolumes."""
    taken = {normal(point.container_path) for point in container.mount_points}
    taken |= {normal(tmpfs.container_path) for tmpfs in container.tmpfs}
    found = tuple(path for path in declared_volumes(image) if path not in taken)
    for path in found:
        if path in _NEVER or path.startswith(_NEVER_BELOW):
            raise BadVolumes(f"CannotCreateVolumeError: the image declares a volume at {path}")
    if len(found) > volumes_max:
        raise BadVolumes(f"CannotCreateVolumeError: the image declares {len(found)} volumes, more than {volumes_max}")
    return found


def volume_name(container: str, path: str) -> str:
    return f"{container}:{path}"


def own_directories(container: str, volumes: Mapping[str, str]) -> dict[str, str]:
    """Host directories of the container's image's own volumes by their path in it."""
    prefix = volume_name(container, "")
    return {name.removeprefix(prefix): place for name, place in volumes.items() if name.startswith(prefix)}


def normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))
