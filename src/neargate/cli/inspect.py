"""`neargate status` and `logs`: what the operator sees of a running region, asked at the operator's socket."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from . import config as configs
from .admin import ask
from .balancing.rows import balancer_rows, service_rows
from .paths import RegionPaths
from .problems import NoServer
from .spot import spot_line
from .uplink import status_line

NONE: dict[str, Any] = {"shown": [], "states": {}, "count": 0}
FOLLOW_S = 0.5
AWAY_S = 120.0  # how long a server may be gone before whoever follows is sent away


def status(paths: RegionPaths) -> str:
    """Endpoint, hosts with their room, load balancers, services, running tasks."""
    config = configs.load(paths)
    facts = ask(paths, "status")
    lines = [f"region {config.region}   account {config.account}   {config.endpoint}   auth {config.auth}", ""]
    rows: list[tuple[str, ...]] = [
        ("HOST", "ZONE", "STATE", "CPU FREE/ALL", "MEMORY FREE/ALL MiB", "DISK FREE/ALL GiB", "TASKS")
    ]
    for host in facts["hosts"]:
        state = "connected" if host["connected"] else "away"
        if host["connected"] and not host["accepts_tasks"]:
            state = f"takes no tasks: {host.get('reason') or 'full'}"
        if host["pool"]:
            state += f", kept for {host['pool']}"
        if host.get("tenant"):  # a server of the release before says nothing of it
            state += f", of {host['tenant']} alone"
        rows.append(
            (
                host["host_id"],
                host.get("zone") or "any",
                state,
                f"{host['free_cpu_units']}/{host['cpu_units']}",
                f"{host['free_memory_mib']}/{host['memory_mib']}",
                f"{host['free_disk_gib']}/{host['disk_gib']}",
                str(host["tasks"]),
            )
        )
    lines += table(rows[:21])
    if len(rows) > 21:
        lines.append(f"... and {len(rows) - 21} more hosts")
    lines += ["", room(facts["hosts"])]
    if "spot" in facts:  # a server of the release before says nothing of it
        lines.append(spot_line(facts["spot"]))
    if line := status_line(paths, config):
        lines.append(line)
    lines.append("")
    # A server of the release before says nothing of these.
    for rows, more in (balancer_rows(facts.get("balancers", NONE)), service_rows(facts.get("services", NONE))):
        lines += [*table(rows), *([more] if more else []), ""] if rows else []
    tasks = facts["tasks"]
    rows2: list[tuple[str, ...]] = [("TASK", "CLUSTER", "DEFINITION", "STATUS", "ADDRESS", "PUBLIC ADDRESS")]
    rows2 += [tuple(str(task.get(key) or "-") for key in _TASK_COLUMNS) for task in tasks]
    lines += table(rows2) if tasks else ["no tasks"]
    if facts["task_count"] > len(tasks):
        lines.append(f"... and {facts['task_count'] - len(tasks)} more tasks")
    return "\n".join(lines)


def room(hosts: Sequence[Mapping[str, Any]]) -> str:
    """How many more of Fargate's smallest tasks the hosts take, and what they run out of first."""
    sizes = {"CPU": ("cpu_units", 256), "memory": ("memory_mib", 512), "disk": ("disk_gib", 20)}
    taking = [host for host in hosts if host["connected"] and host["accepts_tasks"]]
    count, limits = 0, dict.fromkeys((*sizes, "hosts"), 0)
    for host in taking:
        fits = {name: max(0, host[f"free_{column}"]) // size for name, (column, size) in sizes.items()}
        if host.get("sharing") == "nobody":  # one task on a host
            fits["hosts"] = 0 if host["tasks"] else 1
        least = min(fits.values())
        count += least
        for name, number in fits.items():
            limits[name] += number == least
    if not taking:
        return "room for no task: no host takes any"
    limit = max(limits, key=lambda name: limits[name])
    tasks = f"{count} more task{'s' if count != 1 else ''}"
    return f"room for {tasks} of 256 CPU units, 512 MiB and 20 GiB disk; the limit is {limit}"


_TASK_COLUMNS = ("id", "cluster", "definition", "status", "address", "public_address")


def table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def logs(
    paths: RegionPaths, task: str, *, lines: int, follow: bool, say: Callable[[str], None], note: Callable[[str], None]
) -> None:
    """Print the last lines; with `follow`, go on until the task has stopped, also over restarts of the server.

    `note` is told what is not of the task's output.
    """
    configs.load(paths)
    answer = ask(paths, "logs", task=task, lines=lines, tokens={})
    if not answer["lines"]:
        note(answer.get("note") or f"{_nothing(answer)}; what happened to it: neargate why {task}{paths.as_option}")
    while True:
        for line in answer["lines"]:
            name = f"{line['container']}  " if answer["containers"] > 1 else ""
            say(f"{_clock(line['timestamp'] / 1000)}  {name}{line['message']}")
        if not follow or answer["stopped"]:
            return
        time.sleep(FOLLOW_S)
        answer = _ask_on(paths, task, answer["tokens"], note)


def _nothing(answer: dict[str, Any]) -> str:
    return "the task wrote nothing" if answer["stopped"] else "the task has written nothing yet"


def _ask_on(paths: RegionPaths, task: str, tokens: dict[str, str], note: Callable[[str], None]) -> dict[str, Any]:
    """The next lines. The task outlives its server, which is waited for; NoServer when it stays away."""
    deadline = time.monotonic() + AWAY_S
    told = False
    while True:
        try:
            answer = ask(paths, "logs", task=task, lines=0, tokens=tokens)
        except NoServer as problem:
            if time.monotonic() > deadline:
                raise
            if not told:
                note(f"{problem}; waiting for it up to {AWAY_S:.0f} s")
                told = True
            time.sleep(FOLLOW_S)
            continue
        return answer


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
