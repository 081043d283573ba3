"""Images as read-only disks: one erofs file for each manifest and host, which any number of machines read.

Owns its directory: `DIGEST.VERSION.erofs`, complete and never changed once it has that name, and `mounts`, through
which a merged image is read while its disk is made. What is being made has no name, so a kill leaves nothing but a
mount, which the next start takes away. When a disk was last asked for is its time of modification. Must not know
machines: whoever calls says which images they need.
"""

import asyncio
import errno
import fcntl
import os
import re
from collections.abc import Callable

from msgspec import Struct

from ...interfaces.sandbox import Image
from ...model.knobs import DEFAULT_KNOBS, Knobs
from ...world import World
from ..pull.collector import free_fraction
from ..pull.failures import unpack_failed
from ..pull.unpack import directory_has_room
from ..rootfs import Views, mounted_image, remove_mounted
from .packing import Bounds, CannotPack, bounds, builder_version, pack

LANE = "image-disks"  # its threads are how many are made at once
_LOOK_LANE = "image-disk-looks"  # never behind one that is being made
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(r"sha256-([0-9a-f]{64})\.[0-9a-z]+\.erofs")


class KeptDisk(Struct, frozen=True, kw_only=True):
    path: str
    digest: str
    used_at: float


def least_used(disks: list[KeptDisk], spared: frozenset[str], used_before: float) -> list[KeptDisk]:
    """Which may go, the first to go first."""
    may_go = [disk for disk in disks if disk.digest not in spared and disk.used_at < used_before]
    return sorted(may_go, key=lambda disk: (disk.used_at, disk.path))


class ImageDisks:
    """`directory`: on a filesystem for large files, ours alone (made 0711). `views`: of the engine that pulls.

    Lanes of the world: `image-disks`, which bounds how many are made at once, and `image-disk-looks`.
    """

    def __init__(
        self,
        world: World,
        *,
        views: Views,
        directory: str,
        knobs: Knobs = DEFAULT_KNOBS,
        free: Callable[[str], float] = free_fraction,
    ) -> None:
        self._world = world
        self._views = views
        self._directory = directory
        self._mounts = os.path.join(directory, "mounts")
        self._knobs = knobs
        self._free = free
        self._preparing = asyncio.Lock()
        self._version = ""
        self._flights: dict[str, asyncio.Future[str]] = {}
        self._promised: dict[str, int] = {}  # bytes, by digest

    async def disk(self, image: Image) -> str:
        """The path of the image's disk (root's, 0444), made now if need be, once for all who ask at the same time.

        Raises SandboxError (`CannotPullContainerError: ...`: it is too large, too deep, or the host's disk is full),
        EngineError while containerd is away or when the image's snapshot is gone.
        """
        flight = self._flights.get(image.digest)
        if flight is None:
            flight = asyncio.get_running_loop().create_future()
            self._flights[image.digest] = flight
            self._world.spawn(self._fly(image, flight), "image-disk")
        # Who is cancelled leaves the others their disk.
        return await asyncio.shield(flight)

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        """Give room back if the filesystem runs low: the least recently used go first. The digests of what went.

        `spared`: digests as `Image.digest`. Neither one used lately goes nor one of which somebody holds `open_shared`.
        """
        return await self._world.offload(_LOOK_LANE, self._collect, spared)

    # ---------------------------------------------------------------- making

    async def _fly(self, image: Image, flight: "asyncio.Future[str]") -> None:
        try:
            path = await self._found_or_made(image)
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # nobody may be waiting any more, which is no fault
        else:
            flight.set_result(path)
        finally:
            del self._flights[image.digest]

    async def _found_or_made(self, image: Image) -> str:
        if not _DIGEST.fullmatch(image.digest):
            raise unpack_failed(f"{image.digest[:80]} names no disk")
        try:
            await self._prepared()
            path = self._path(image.digest)
            if await self._world.offload(_LOOK_LANE, self._touch, path):
                return path
            return await self._make(image, path)
        except CannotPack as error:
            raise unpack_failed(f"cannot make a disk of the image: {error}") from None
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = "no space left on device" if full else f"{error.strerror or error}"
            raise unpack_failed(f"cannot make a disk of the image: {why}") from None

    async def _make(self, image: Image, path: str) -> str:
        bound = bounds(
            image.unpacked_bytes,
            self._knobs.image_disk_factor,
            self._knobs.image_disk_memory_mib,
            self._knobs.image_disk_s,
        )
        self._promised[image.digest] = image.unpacked_bytes
        try:
            promised = sum(self._promised.values())
            if not directory_has_room(self._directory, self._knobs.pull_free_fraction, promised):
                raise unpack_failed(f"a disk of {image.unpacked_bytes} bytes: no space left on device")
            await self._world.offload(LANE, self._write, image, path, bound)
        finally:
            del self._promised[image.digest]
        return path

    def _write(self, image: Image, path: str, bound: Bounds) -> None:
        lowers = self._views.lowers(image.snapshot)
        name = os.path.basename(path)
        target = os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            with mounted_image(lowers, os.path.join(self._mounts, name)) as tree:
                pack(tree, target, bytes.fromhex(image.digest[7:39]), bound)
            self._stamp(target)
            _link(target, path)
        finally:
            os.close(target)

    async def _prepared(self) -> None:
        """Once: the directory, and away with what a killed agent left mounted."""
        async with self._preparing:
            if not self._version:
                self._version = await self._world.offload(_LOOK_LANE, self._prepare)

    def _prepare(self) -> str:
        version = builder_version()
        os.makedirs(self._mounts, mode=0o700, exist_ok=True)
        # Who runs as a machine's user finds a disk whose name he was told, and no list of them.
        os.chmod(self._directory, 0o711)  # noqa: S103
        for name in os.listdir(self._mounts):
            remove_mounted(os.path.join(self._mounts, name))
        return version

    def _path(self, digest: str) -> str:
        return os.path.join(self._directory, f"{digest.replace(':', '-')}.{self._version}.erofs")

    # ---------------------------------------------------------------- keeping

    def _touch(self, path: str) -> bool:
        """Whether it is there; then it counts as used now. Under a lock, so that nobody collects it at this moment."""
        try:
            descriptor = open_shared(path)
        except FileNotFoundError:
            return False
        try:
            self._stamp(descriptor)
            return os.fstat(descriptor).st_nlink > 0
        finally:
            os.close(descriptor)

    def _stamp(self, descriptor: int) -> None:
        now = int(self._world.now() * 1e9)
        os.utime(descriptor, ns=(now, now))

    def _collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        gone: list[str] = []
        if not os.path.isdir(self._directory) or self._free(self._directory) >= self._knobs.image_free_low_fraction:
            return ()
        used_before = self._world.now() - self._knobs.image_spared_s
        for disk in least_used(self._kept(), spared, used_before):
            if self._free(self._directory) >= self._knobs.image_free_goal_fraction:
                break
            if _remove_unused(disk.path, used_before):
                gone.append(disk.digest)
        return tuple(gone)

    def _kept(self) -> list[KeptDisk]:
        kept = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                found = _NAME.fullmatch(entry.name)
                if found is not None:
                    used_at = entry.stat(follow_symlinks=False).st_mtime
                    kept.append(KeptDisk(path=entry.path, digest=f"sha256:{found.group(1)}", used_at=used_at))
        return kept


def open_shared(path: str) -> int:
    """A descriptor to read a disk by, with a lock that keeps it from `collect` as long as anybody has the descriptor:
    a machine monitor that inherits it keeps its disk though the agent is killed. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_unused(path: str, used_before: float) -> bool:
    """False: somebody reads it, or has asked for it since it was looked at."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_mtime >= used_before:
            return False
        os.unlink(path)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def _link(target: int, path: str) -> None:
    """Gives what has no name its name, at once and whole."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # With a directory's descriptor: only then does Python follow the link to the file itself (linkat).
        os.link(f"/proc/self/fd/{target}", os.path.basename(path), dst_dir_fd=directory, follow_symlinks=True)
    except FileExistsError:
        pass  # the same bytes
    finally:
        os.close(directory)
