"""Images as read-only disks: one erofs file for each manifest and host, which any number of machines read.

Owns its directory: `DIGEST.VERSION.erofs`, never changed once it has that name. What is being made has no name, so a
kill leaves nothing. Must not know machines: whoever calls says which images they need.
"""

from ...interfaces.sandbox import Image
from ...model.knobs import DEFAULT_KNOBS, Knobs
from ...world import World
from ..rootfs import Views


class ImageDisks:
    """`directory`: on a filesystem for large files, ours alone (made 0711). `views`: of the engine that pulls.

    Lane of the world: `image-disks`, which bounds how many are made at once.
    """

    def __init__(self, world: World, *, views: Views, directory: str, knobs: Knobs = DEFAULT_KNOBS) -> None:
        self._world = world
        self._views = views
        self._directory = directory
        self._knobs = knobs

    async def disk(self, image: Image) -> str:
        """The path of the image's disk (root's, 0444), made now if need be, once for all who ask at the same time.

        Raises SandboxError (`CannotPullContainerError: ...`: it is too large, too deep, or the host's disk is full),
        EngineError while containerd is away.
        """
        raise NotImplementedError

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        """Give room back if the filesystem runs low: the least recently used go first. The digests of what went.

        `spared`: digests as `Image.digest`. Neither one used lately goes nor one of which somebody holds `open_shared`.
        """
        raise NotImplementedError


def open_shared(path: str) -> int:
    """A descriptor to read a disk by, with a lock that keeps it from `collect` as long as anybody has the descriptor:
    a machine monitor that inherits it keeps its disk though the agent is killed. Raises OSError."""
    raise NotImplementedError
