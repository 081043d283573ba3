"""`neargate down`: every task stopped by the normal path, then every process; nothing stays on the machine.

Works also when `up` does not run: tasks outlive it, so the parts that can stop them are started once more. Databases,
images and the tasks' logs stay on disk.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from . import config as configs
from . import processes
from .admin import ask
from .config import RegionConfig
from .paths import RegionPaths
from .prepare import prepare
from .problems import Problem
from .supervisor import Child, Supervisor, programs
from .up import agent_connected, is_up, wait_ready

STOP_TASKS_S = 180.0  # longer than the longest stopTimeout


def down(paths: RegionPaths, say: Callable[[str], None]) -> None:
    """Idempotent: a region that is down is down."""
    if not paths.config.exists():
        say(f"no region under {paths.data}; nothing to stop")
        return
    config = configs.load(paths)
    if _anything_left(paths):
        _stop_tasks(paths, config, say)
    _stop_up(paths)
    for name in ("server", "agent", "registry", "containerd"):
        running = processes.find(paths.pid_file(name))
        if running is not None and not processes.stop(running, timeout_s=15.0):
            say(f"{name} did not end by itself and was killed")
    if config.sandbox == "container" and os.geteuid() == 0:
        _remove_traces(paths)
    shutil.rmtree(paths.run, ignore_errors=True)
    say("the region is down; its databases stay under " + str(paths.data))


def _anything_left(paths: RegionPaths) -> bool:
    """Whether tasks may run: a process of ours is alive. After a reboot nothing is."""
    return is_up(paths) or any(
        processes.find(paths.pid_file(name)) is not None for name in ("server", "agent", "containerd")
    )


def _stop_tasks(paths: RegionPaths, config: RegionConfig, say: Callable[[str], None]) -> None:
    if not agent_connected(paths):
        prepare(paths, config)
        supervisor = Supervisor([Child(program) for program in programs(paths, config)], say)
        if not is_up(paths):
            supervisor.start()
        wait_ready(paths, config, supervisor.look if not is_up(paths) else lambda: None, [])
    deadline = time.monotonic() + STOP_TASKS_S
    left = int(ask(paths, "stop-all", reason="The region is going down.")["left"])
    if left:
        say(f"stopping {left} task{'s' if left != 1 else ''} ...")
    while left:
        if time.monotonic() > deadline:
            raise Problem(f"{left} tasks did not stop within {STOP_TASKS_S:.0f} s; see: neargate status")
        time.sleep(0.1)
        left = int(ask(paths, "stop-all", reason="The region is going down.")["left"])


def _stop_up(paths: RegionPaths) -> None:
    """End the supervisor first: it would start again what is stopped next."""
    try:
        pid = int((paths.data / "up.lock").read_text() or 0)
    except FileNotFoundError:
        return
    if not is_up(paths) or not pid:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20.0
    while is_up(paths):
        if time.monotonic() > deadline:
            raise Problem(f"neargate up (pid {pid}) did not end; kill it and try again")
        time.sleep(0.05)


def _remove_traces(paths: RegionPaths) -> None:
    """Network, disks, cgroups and mounts of this instance. In a process of its own: it needs the agent's code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "neargate", "agent", "--data", str(paths.data), "--remove-all"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Problem(f"something of the region is left on this machine: {done.stderr.strip()}")
