"""`neargate down`: every task stopped by the normal path, then every process; nothing stays on the machine.

Works also when `up` does not run: tasks outlive it, so the parts that can stop them are started once more. Databases,
images and the tasks' logs stay on disk. With `--force` nobody asks the server: see force.py.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from . import config as configs
from . import force, host_dns_ways, leftovers, locks, patience, processes
from .admin import ask
from .config import RegionConfig
from .footprint import remove_remains
from .paths import RegionPaths
from .prepare import prepare
from .problems import Problem
from .supervisor import Child, Supervisor, end_former, programs
from .up import agent_connected, healthy, is_up, wait_ready

STOP_TASKS_S = 180.0  # longer than the longest stopTimeout
ASK_S = 30.0  # a stop of very many tasks is one answer
HANGS_S = 10.0  # each at most once, so a slow start is not harmed twice
STOP_UP_S = 40.0  # it waits for the server and the images


def down(paths: RegionPaths, say: Callable[[str], None], *, by_force: bool = False) -> None:
    """Idempotent: a region that is down is down. `by_force`: without the server, by this machine's agent alone."""
    if not paths.config.exists():
        _no_region(paths, say, by_force)
        return
    config = configs.load(paths)
    lock = _alone(paths)
    try:
        _take_down(paths, config, say, by_force)
    finally:
        os.close(lock)
    say("the region is down; its databases stay under " + str(paths.data))
    if host_dns_ways.is_in(Path("/"), paths.instance):
        say(f"its names are found here again when it is up; for good: neargate dns uninstall{paths.as_option}")


def _no_region(paths: RegionPaths, say: Callable[[str], None], by_force: bool) -> None:
    """A region whose data is gone, or a first `up` that was killed."""
    if is_up(paths):
        watcher = processes.find(paths.up_lock)
        who = f" (pid {watcher.pid})" if watcher is not None else ""
        raise Problem(f"neargate up{who} makes the region under {paths.data} just now; try again when it is up")
    if by_force and leftovers.has_any(paths):
        leftovers.end_all(paths)
        _remove_all(paths, with_agents_code=True)
        say(f"what the region under {paths.data} had left on this machine is gone")
        return
    if paths.run.exists() and not remove_remains(paths):
        raise Problem(
            f"{paths.config} is gone, but processes or mounts of the region are there ({paths.run}); "
            f"neargate up{paths.as_option} with the options of the last one writes it again, then take it down; "
            f"or end its tasks and remove it all: neargate down --force{paths.as_option}"
        )
    say(f"no region under {paths.data}; nothing to stop")


def _alone(paths: RegionPaths) -> int:
    """Two at once would each remove what the other still uses. `up` looks here too."""
    try:
        lock = locks.take(paths.down_lock)
    except PermissionError:
        raise Problem(f"{paths.down_lock} cannot be written by this user; run as root") from None
    if lock is None:
        other = processes.find(paths.down_lock)
        raise Problem(f"another neargate down{f' (pid {other.pid})' if other else ''} takes this region down already")
    with suppress(OSError):  # who it is helps others; a full disk must not keep a region up
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} {processes.start_ticks(os.getpid())}".encode(), 0)
    return lock


def _take_down(paths: RegionPaths, config: RegionConfig, say: Callable[[str], None], by_force: bool) -> None:
    supervisor = Supervisor([], say)
    if paths.run.exists():  # else nothing runs: a reboot or an earlier `down` emptied it
        prepare(paths, config)
        supervisor.children = [Child(program) for program in programs(paths, config)]
        supervisor.adopt()
    runs = is_up(paths) or any(child.running for child in supervisor.children) or force.held_tasks(paths) > 0
    if runs and by_force:
        _stop_by_force(paths, config, supervisor, say)
    elif runs:
        try:
            _stop_tasks(paths, config, supervisor, say)
        except Problem as problem:
            raise Problem(
                f"{problem}\nto stop every task of this machine without the API: neargate down --force{paths.as_option}"
            ) from None
    _stop_up(paths)
    supervisor.adopt()  # `up` may have started one again meanwhile
    end_former(paths)
    order = ("server", "agent", "images", "containerd")
    for child in sorted(supervisor.children, key=lambda child: order.index(child.program.name)):
        if child.running is not None and not processes.stop(child.running, timeout_s=15.0):
            say(f"{child.program.name} did not end by itself and was killed")
    _remove_all(paths, with_agents_code=config.runs_tasks)


def _stop_by_force(
    paths: RegionPaths, config: RegionConfig, supervisor: Supervisor, say: Callable[[str], None]
) -> None:
    """First `up` and the server end, so that nobody restarts or orders anything meanwhile."""
    force.end_up(paths)
    supervisor.adopt()
    for child in supervisor.children:
        if child.program.name == "server":
            force.end(child)
    force.stop_tasks(paths, config, supervisor, say)


def _stop_tasks(paths: RegionPaths, config: RegionConfig, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    """By the normal path. Without an `up` this process keeps the needed parts alive; with one, that does."""
    keeper = _Keeper(paths, config, supervisor, say)
    keeper.look()
    wait_ready(paths, config, keeper.look, [], with_images=False)
    deadline = time.monotonic() + STOP_TASKS_S
    progress = force.Progress(say)
    while left := _ask_to_stop(paths):
        progress.tell(left, time.monotonic())
        if time.monotonic() > deadline:
            raise Problem(f"tasks did not stop within {STOP_TASKS_S:.0f} s; see: neargate status{paths.as_option}")
        time.sleep(0.1)
        keeper.look()


class _Keeper:
    """Keeps the parts alive that stop tasks: where an `up` does so it is left to that, since two would start twice."""

    def __init__(
        self, paths: RegionPaths, config: RegionConfig, supervisor: Supervisor, say: Callable[[str], None]
    ) -> None:
        self._paths = paths
        self._config = config
        self._supervisor = supervisor
        self._say = say
        self._left_to_up = True
        self._silent_since: float | None = None
        self._ended: set[str] = set()

    def look(self) -> None:
        left_to_up = is_up(self._paths)
        if self._left_to_up and not left_to_up:
            self._supervisor.adopt()
            self._supervisor.start()
        self._left_to_up = left_to_up
        if not left_to_up:
            self._supervisor.look()
        self._end_what_hangs()

    def _end_what_hangs(self) -> None:
        """A process that lives and does not answer is worth a restart, once: nothing that counts is in its memory."""
        if agent_connected(self._paths):
            self._silent_since = None
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        name = "agent" if healthy(self._config.port) else "server"
        running = processes.find(self._paths.pid_file(name))
        if now - self._silent_since < patience.of(HANGS_S) or running is None or name in self._ended:
            return
        self._say(f"{name} (pid {running.pid}) does not answer and is started again")
        self._ended.add(name)
        self._silent_since = None
        processes.tell(running, signal.SIGKILL)


def _ask_to_stop(paths: RegionPaths) -> int:
    """How many tasks have not stopped; -1 while the server is being started again."""
    try:
        return int(ask(paths, "stop-all", ASK_S, reason="The region is going down.")["left"])
    except (Problem, OSError):
        if agent_connected(paths):
            raise
        return -1


def _stop_up(paths: RegionPaths) -> None:
    """End the supervisor first: it would start again what is stopped next."""
    if not is_up(paths):
        return
    watcher = processes.find(paths.up_lock)
    if watcher is not None:
        processes.tell(watcher, signal.SIGTERM)
    deadline = time.monotonic() + STOP_UP_S
    while is_up(paths):
        if time.monotonic() > deadline:
            pid = watcher.pid if watcher is not None else "unknown"
            raise Problem(f"neargate up (pid {pid}) did not end; kill it and try again")
        time.sleep(0.02)


def _remove_all(paths: RegionPaths, *, with_agents_code: bool) -> None:
    """Network, disks, cgroups and mounts of this instance, and its files below /run."""
    if with_agents_code and os.geteuid() == 0:
        _remove_traces(paths)
    leftovers.remove(paths)


def _remove_traces(paths: RegionPaths) -> None:
    """In a process of its own: it needs the agent's code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "neargate", "agent", "--data", str(paths.data), "--remove-all"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Problem(f"something of the region is left on this machine: {done.stderr.strip()}")
