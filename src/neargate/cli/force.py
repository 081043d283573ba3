"""`neargate down --force`: stops every task of this machine without the server, which may not start or not answer.

The order is a file that the agent obeys (agent/standing_order.py), written down before anybody is told, so a kill of
this command at any moment changes nothing that the next one would not repeat. Tasks end by the agent's normal way:
their signal, their grace, their last report, which the server hears when it is back. Only where no agent can live are
they killed, which is said. Invariant: nothing but this explicit command gives the order; a missing server never does.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ..agent.standing_order import StandingOrder
from . import patience, processes
from .admin import NotThere, Silent, exchange
from .config import RegionConfig
from .last_resort import end_containers
from .paths import RegionPaths
from .problems import Problem
from .supervisor import Child, Supervisor

REASON = "Stopped by the operator of the machine (neargate down --force)."
STOP_TASKS_S = 240.0  # the longest stopTimeout is 120 s, and each container's dependents stop before it
HANGS_S = 10.0
LOOK_S = 0.1
PROGRESS_S = 5.0
KILL_S = 60.0


def stop_tasks(paths: RegionPaths, config: RegionConfig, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    """Returns when no task of this region is left on this machine. Problem when some resist."""
    if config.sandbox == "simulated":
        return  # such a task is a timer of its agent and ends with it
    try:
        StandingOrder(paths.agent).give(REASON)
    except OSError as error:
        raise Problem(f"the order to stop cannot be written below {paths.agent}: {error.strerror}") from None
    parts = [child for child in supervisor.children if child.program.name in ("agent", "containerd")]
    try:
        _by_the_agent(paths, Supervisor(parts, say), say)
    except _NoAgent as why:
        say(f"{why}; its tasks are killed instead, without their signal and grace")
        for child in parts:
            if child.program.name == "agent" and child.running is not None:
                processes.stop(child.running, timeout_s=2.0)
                child.running = None
        kill_tasks(paths, say)


def held_tasks(paths: RegionPaths) -> int:
    """Containers outlive every process of ours. Each task's interface is on record before anything of it is made."""
    return sum(path.is_file() for path in (paths.run / "net" / "enis").glob("*"))


class Progress:
    """Tells a person who waits for tasks to stop why it takes long and that it goes on."""

    def __init__(self, say: Callable[[str], None], how: str = "") -> None:
        self._say = say
        self._how = how
        self._told = False
        self._at = 0.0

    def tell(self, left: int, now: float) -> None:
        """`left`: tasks that have not stopped; 0 or less says nothing."""
        if left <= 0:
            return
        tasks = f"{left} task{'s' if left != 1 else ''}"
        if not self._told:
            self._say(
                f"stopping {tasks}{self._how}; each has as long as its stopTimeout allows "
                "(30 s, or up to 120 s where its definition says so) ..."
            )
        elif now - self._at >= PROGRESS_S:
            self._say(f"  {tasks} left ...")
        else:
            return
        self._told, self._at = True, now


class _NoAgent(Exception):
    """No agent of this region can do it; the text says why."""


def _by_the_agent(paths: RegionPaths, keeper: Supervisor, say: Callable[[str], None]) -> None:
    """Tell it until none is left. One that hangs is started again, once: what it was about to do is durable."""
    deadline = time.monotonic() + STOP_TASKS_S
    heard = time.monotonic()
    restarted = False
    progress = Progress(say, how=" without the API")
    progress.tell(held_tasks(paths), time.monotonic())  # an agent that starts may have stopped them before it answers
    while True:
        _keep_alive(keeper)
        answer = _tell(paths)
        if answer is not None:
            heard = time.monotonic() if answer.get("ready") else heard
            left = int(answer.get("left", 0))
            if answer.get("ready") and not left:
                return
            progress.tell(left, time.monotonic())
        if time.monotonic() - heard > patience.of(2 * HANGS_S):
            running = processes.find(paths.pid_file("agent"))
            if restarted or running is None:
                raise _NoAgent(f"the agent does not come up (its log: {paths.log_file('agent')})")
            say(f"agent (pid {running.pid}) does not answer and is started again")
            processes.kill(running)
            restarted, heard = True, time.monotonic()
        if time.monotonic() > deadline:
            raise _NoAgent(f"tasks did not stop within {STOP_TASKS_S:.0f} s")
        time.sleep(LOOK_S)


def _keep_alive(keeper: Supervisor) -> None:
    """Also what an `up` left, which is not asked any more: it was ended first."""
    try:
        for child in keeper.children:
            if child.running is None and child.early_deaths == 0:
                child.running = processes.find_program(child.program)
        keeper.look()
    except Problem as cannot:
        raise _NoAgent(str(cannot).splitlines()[0].removesuffix(":")) from None


def _tell(paths: RegionPaths) -> dict[str, Any] | None:
    try:
        return exchange(paths.agent_socket, {"request": "stop-all"}, HANGS_S)
    except (NotThere, Silent):
        return None


def kill_tasks(paths: RegionPaths, say: Callable[[str], None]) -> None:
    """Every container of the region, by the engine or without one; the next agent obeys the order and tells why."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "neargate", "agent", "--data", str(paths.data), "--kill-all"],
            capture_output=True,
            text=True,
            check=False,
            timeout=KILL_S,
        )
        said = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = "the engine does not answer"
    if said:
        say(f"{said.splitlines()[-1].rpartition('Unavailable: ')[2]}; containers are ended without it")
        end_containers(paths)


def end(child: Child) -> None:
    """Now: what hangs or dies again and again is not waited for."""
    if child.running is not None:
        processes.kill(child.running)
        child.running = None


def end_up(paths: RegionPaths) -> None:
    """The supervisor, by SIGKILL: it may hang, and it would start again what is stopped next."""
    watcher = processes.find(paths.up_lock)
    if watcher is not None and watcher.pid != os.getpid():
        processes.kill(watcher)
