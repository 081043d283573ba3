"""`neargate spot [show] | share PERCENT | reclaim --task ID | --count N`, asked at the operator's socket."""

from collections.abc import Mapping
from typing import Any

from .admin import ask
from .paths import RegionPaths
from .problems import Problem


def show(paths: RegionPaths) -> str:
    return spot_line(ask(paths, "spot-show"))


def share(paths: RegionPaths, percent: str) -> str:
    return spot_line(ask(paths, "spot-share", percent=percent))


def reclaim(paths: RegionPaths, task: str, count: int | None) -> str:
    if bool(task) == (count is not None):
        raise Problem("write which Spot tasks are to go: --task ID, or --count N for the newest N")
    tasks = ask(paths, "spot-reclaim", task=task, count=count)["tasks"]
    if not tasks:
        return "no Spot task runs"
    return "\n".join(f"{task} is interrupted: it has until its stopTimeout to end" for task in tasks)


def spot_line(facts: Mapping[str, Any]) -> str:
    """One sentence, also of `neargate status`."""
    if not facts["percent"] and not facts["tasks"]:
        return "Spot: no room is spare (neargate spot share PERCENT marks some)"
    held = f"{facts['cpu_units']} CPU units, {facts['memory_mib']} MiB and {facts['disk_gib']} GiB disk"
    tasks = f"{facts['tasks']} task{'s' if facts['tasks'] != 1 else ''} on it"
    return f"Spot: {facts['percent']}% of all room is spare; {tasks}" + (f", {held}" if facts["tasks"] else "")
