"""Keeps a container's move into its cgroups from waiting for the kernel.

Before a process is moved between cgroups the kernel waits until every processor has seen that forks are held off: an
RCU grace period, 5 to 15 ms in the middle of each create. For another such period after a move the next one does not
wait. So while a container is made we repeat a move that changes nothing: ours into the cgroup in which we are.
Invariant: no process ever changes its cgroup because of this file, and a refusal only makes creates slower.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ..log import get_logger
from ..world import World

_LANE = "fork-lock"  # its first move waits where the runtime's would have
_PERIOD_S = 0.006  # below a grace period, which takes longer the busier the machine is
_ROOT = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
_log = get_logger(__name__)


class ForkLock:
    """`root` is where cgroups are mounted, `own` the kernel's list of our cgroups; tests give files."""

    def __init__(self, world: World, *, root: Path = _ROOT, own: Path = _SELF) -> None:
        self._world = world
        self._root = root
        self._own = own
        self._users = 0
        self._is_kept = False
        self._is_refused = False

    @asynccontextmanager
    async def kept_warm(self) -> AsyncIterator[None]:
        """For the block, which is not held up: the first move waits beside it."""
        self._users += 1
        if not self._is_kept and not self._is_refused:
            self._is_kept = True
            self._world.spawn(self._keep(), "fork-lock")
        try:
            yield
        finally:
            self._users -= 1

    async def _keep(self) -> None:
        try:
            while self._users:
                await self._world.offload(_LANE, self._move)
                await self._world.sleep(_PERIOD_S)
        except OSError as error:
            # A machine that hides our cgroup from us, or does not let us into it: containers start all the same.
            self._is_refused = True
            _log.info("creates wait for the kernel's fork lock", reason=str(error))
        finally:
            self._is_kept = False

    def _move(self) -> None:
        """Looked up each time: whoever moved us meanwhile must not be undone."""
        path = own_cgroup(self._own.read_text(), self._root)
        descriptor = os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")  # the writer itself
        finally:
            os.close(descriptor)


def own_cgroup(listed: str, root: Path) -> Path:
    """Our directory in one hierarchy, from the lines of /proc/self/cgroup. Raises OSError when none is listed."""
    wanted = "" if (root / "cgroup.controllers").exists() else "cpu"
    for line in listed.splitlines():
        _, controllers, path = line.split(":", 2)
        # A path that leads upwards is outside of what we see mounted.
        if wanted in controllers.split(",") and ".." not in path.split("/"):
            return root / wanted / path.lstrip("/")
    raise OSError("our own cgroup is not listed")
