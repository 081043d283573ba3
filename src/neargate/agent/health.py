"""Container health checks: Docker's rules as a pure step, and the coroutines that ask.

A check begins one interval after the container's start. Failures within the start period do not count; the first
success ends it. The image's own HEALTHCHECK is ignored, as on Fargate. A standalone task goes on whatever its health.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ..interfaces.sandbox import EngineUnavailable, SandboxError
from ..model.launch import ContainerLaunch, HealthCheck
from .task_context import TaskContext


class HealthState(Struct, frozen=True, kw_only=True):
    status: str = "UNKNOWN"
    failures: int = 0


def next_health(state: HealthState, check: HealthCheck, *, passed: bool, running_s: float) -> HealthState:
    """One result of the check, `running_s` after the container's start."""
    if passed:
        return HealthState(status="HEALTHY")
    if state.status == "UNKNOWN" and running_s < check.start_period_s:
        return state
    failures = state.failures + 1
    return replace(state, failures=failures, status="UNHEALTHY" if failures >= check.retries else state.status)


def check_arguments(check: HealthCheck) -> tuple[str, ...] | None:
    """What is executed; None when the check is switched off or begins with a word that means nothing, as in Docker."""
    kind, *rest = check.command or ("NONE",)
    match kind:
        case "CMD":
            return tuple(rest)
        case "CMD-SHELL":
            # More words than one are the script's parameters, as in Docker: only the first is what runs.
            return ("/bin/sh", "-c", *rest)
        case _:
            return None


class HealthMonitor:
    """Follows the running containers of one task; tells changes of status."""

    def __init__(self, task: TaskContext, changed: Callable[[str, str], None]) -> None:
        self._task = task
        self._changed = changed
        self._asking: dict[str, asyncio.Task[Any]] = {}
        self._ended = False

    def follow(self) -> None:
        """Watch from now on: containers begin to be asked when they run."""
        if self._ended:
            return
        for container in self._task.launch.containers:
            check = container.health_check
            if check is None or container.name in self._asking or check_arguments(check) is None:
                continue
            loop = self._ask(container, check)
            self._asking[container.name] = self._task.parts.world.spawn(loop, f"health-{container.name}")

    def end(self) -> None:
        self._ended = True
        for asking in self._asking.values():
            asking.cancel()

    async def _ask(self, container: ContainerLaunch, check: HealthCheck) -> None:
        while self._task.container(container.name).started_at is None:
            if self._task.container(container.name).is_stopped:
                return
            await self._task.changed(self._task.version)
        # After a restart of the agent the streak is unknown, the status is not.
        state = HealthState(status=self._task.container(container.name).health_status)
        while True:
            await self._task.parts.world.sleep(check.interval_s)
            known = self._task.container(container.name)
            if known.is_stopped or known.started_at is None:
                return
            passed = await self._passes(known.runtime_id, check)
            if passed is None:
                continue
            running_s = self._task.now() - known.started_at
            after = next_health(state, check, passed=passed, running_s=running_s)
            if after.status != state.status:
                self._changed(container.name, after.status)
            state = after

    async def _passes(self, runtime_id: str, check: HealthCheck) -> bool | None:
        """None: the engine could not be asked, or the host's disk is full, which says nothing of the container."""
        parts = self._task.parts
        exec_id = f"health-{parts.world.random.getrandbits(64):016x}"
        try:
            result = await parts.sandbox.exec(
                runtime_id,
                exec_id,
                check_arguments(check) or (),
                timeout_s=check.timeout_s,
                max_output=parts.knobs.exec_output_max_bytes,
            )
        except (EngineUnavailable, OSError):
            return None
        except SandboxError:
            # A command that cannot be executed is a failed check, as in Docker.
            return False
        return result.exit_code == 0
