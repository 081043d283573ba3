"""For tests of kill -9 only: ends a process of the region at the moment when the agent reaches a named point.

`NEARGATE_KILL_FILE` names a file with one line per kill, `POINT PROCESS`, PROCESS being agent, server, containerd or
images. The first line whose turn has come is removed and then acted upon, so each happens once, also over restarts
of the agent. Without the variable, as in production, nothing is looked at and nothing is killed.
"""

import os
import signal
from pathlib import Path

from ..agent.points import Point, Reached, nothing
from . import processes
from .paths import RegionPaths

VARIABLE = "NEARGATE_KILL_FILE"
VICTIMS = ("agent", "server", "containerd", "images")


def kill_points(paths: RegionPaths) -> Reached:
    """What the agent calls at each point."""
    name = os.environ.get(VARIABLE)
    return nothing if not name else _KillFile(Path(name), paths).reached


class _KillFile:
    def __init__(self, path: Path, paths: RegionPaths) -> None:
        self._path = path
        self._paths = paths

    def reached(self, point: Point, _task_id: str) -> None:
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return
        if not lines or lines[0].split()[0] != point:
            return
        victim = lines[0].split()[1]
        fresh = self._path.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines[1:]))
        fresh.replace(self._path)
        self._kill(victim)

    def _kill(self, victim: str) -> None:
        if victim == "agent":
            os.kill(os.getpid(), signal.SIGKILL)
        running = processes.find(self._paths.pid_file(victim))
        if running is not None:
            processes.tell(running, signal.SIGKILL)
