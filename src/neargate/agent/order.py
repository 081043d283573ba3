"""In which order the containers of a task start and stop. Pure: facts and `now` in, a plan out.

A dependency holds a container back until its condition is true; one that can no longer become true, or did not within
the start timeout of the container depended on, makes the dependent give up. Stopping runs the same graph backwards.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from ..model.launch import ContainerLaunch, Dependency
from .task_record import ContainerRecord, TaskRecord


class StartPlan(Struct, frozen=True, kw_only=True):
    """`give_up`: (container, reason). `wake_at`: when a time-out must be looked at. `done`: nothing is pending."""

    start: tuple[str, ...] = ()
    give_up: tuple[tuple[str, str], ...] = ()
    wake_at: float | None = None
    done: bool = False


class _Verdict(Enum):
    MET = "met"
    WAIT = "wait"
    NEVER = "never"


def next_starts(record: TaskRecord, now: float, default_timeout_s: float) -> StartPlan:
    """Which pending containers may start now, which never will."""
    start: list[str] = []
    give_up: list[tuple[str, str]] = []
    deadlines: list[float] = []
    pending = False
    for container in start_order(record.launch.containers):
        if record.container(container.name).known_status != "PENDING":
            continue
        reason: str | None = None
        waiting = False
        for dependency in _needs(container):
            verdict = _verdict(dependency, record.container(dependency.container_name))
            if verdict is _Verdict.NEVER:
                reason = _never(dependency.container_name, container.name)
            elif verdict is _Verdict.WAIT:
                waiting = True
                deadline = _deadline(record, dependency, default_timeout_s)
                if deadline is not None and deadline <= now:
                    reason = _timed_out(dependency.container_name, container.name)
                elif deadline is not None:
                    deadlines.append(deadline)
        if reason is not None:
            give_up.append((container.name, reason))
        elif not waiting:
            start.append(container.name)
        else:
            pending = True
    return StartPlan(
        start=tuple(start),
        give_up=tuple(give_up),
        wake_at=min(deadlines, default=None),
        done=not (start or give_up or pending),
    )


def next_stops(record: TaskRecord) -> tuple[str, ...]:
    """Running containers that nothing running depends on, last started first."""
    running = {container.name for container in record.containers if container.known_status == "RUNNING"}
    needed = {
        dependency.container_name
        for container in record.launch.containers
        if container.name in running
        for dependency in container.depends_on
    }
    ordered = reversed(start_order(record.launch.containers))
    return tuple(item.name for item in ordered if item.name in running and item.name not in needed)


def start_order(containers: Sequence[ContainerLaunch]) -> tuple[ContainerLaunch, ...]:
    """Dependencies first; ties as defined. Registration refused cycles; what is left in one comes last, as defined."""
    placed: list[ContainerLaunch] = []
    names: set[str] = set()
    rest = list(containers)
    while rest:
        ready = [item for item in rest if all(need.container_name in names for need in _needs(item))] or rest
        placed.extend(ready)
        names.update(item.name for item in ready)
        rest = [item for item in rest if item.name not in names]
    return tuple(placed)


def _needs(container: ContainerLaunch) -> tuple[Dependency, ...]:
    """What must come before: `dependsOn`, and the containers whose volumes it takes."""
    sources = (Dependency(container_name=item.source_container, condition="START") for item in container.volumes_from)
    return (*container.depends_on, *sources)


def _verdict(dependency: Dependency, needed: ContainerRecord) -> _Verdict:
    if needed.is_stopped and needed.started_at is None:
        return _Verdict.NEVER
    match dependency.condition:
        case "START":
            return _met(needed.started_at is not None)
        case "COMPLETE":
            return _met(needed.is_stopped)
        case "SUCCESS":
            if needed.is_stopped:
                return _Verdict.MET if needed.exit_code == 0 else _Verdict.NEVER
            return _Verdict.WAIT
        case _:
            if needed.is_stopped:
                return _Verdict.NEVER
            return _met(needed.health_status == "HEALTHY")


def _met(condition: bool) -> _Verdict:
    return _Verdict.MET if condition else _Verdict.WAIT


def _deadline(record: TaskRecord, dependency: Dependency, default_timeout_s: float) -> float | None:
    """The start timeout belongs to the container depended on and runs from its start."""
    needed = record.container(dependency.container_name)
    if needed.started_at is None:
        return None
    launch = record.launch.container(dependency.container_name)
    return needed.started_at + (launch.start_timeout_s or default_timeout_s)


def _never(needed: str, target: str) -> str:
    return (
        f"dependency graph: failed to resolve container ordering dependency [{needed}] for target [{target}]"
        " as dependency did not exit successfully."
    )


def _timed_out(needed: str, target: str) -> str:
    return f"dependency graph: container ordering dependency [{needed}] for target [{target}] has timed out."
