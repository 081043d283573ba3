"""`neargate status`, `logs` and `why`: what the operator sees of a running region, asked at the operator's socket."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from . import config as configs
from .admin import ask
from .paths import RegionPaths

FOLLOW_S = 0.5


def status(paths: RegionPaths) -> str:
    """Endpoint, hosts with their room, running tasks."""
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
    lines += _table(rows[:21])
    if len(rows) > 21:
        lines.append(f"... and {len(rows) - 21} more hosts")
    lines.append("")
    tasks = facts["tasks"]
    rows2: list[tuple[str, ...]] = [("TASK", "CLUSTER", "DEFINITION", "STATUS", "ADDRESS", "PUBLIC ADDRESS")]
    rows2 += [tuple(str(task.get(key) or "-") for key in _TASK_COLUMNS) for task in tasks]
    lines += _table(rows2) if tasks else ["no tasks"]
    if facts["task_count"] > len(tasks):
        lines.append(f"... and {facts['task_count'] - len(tasks)} more tasks")
    return "\n".join(lines)


_TASK_COLUMNS = ("id", "cluster", "definition", "status", "address", "public_address")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def logs(paths: RegionPaths, task: str, *, lines: int, follow: bool, say: Callable[[str], None]) -> None:
    """Print the last lines; with `follow`, go on until the task has stopped."""
    tokens: dict[str, str] = {}
    first = True
    while True:
        answer = ask(paths, "logs", task=task, lines=lines if first else 0, tokens=tokens)
        for line in answer["lines"]:
            name = f"{line['container']}  " if answer["containers"] > 1 else ""
            say(f"{_clock(line['timestamp'] / 1000)}  {name}{line['message']}")
        if first and not answer["lines"] and answer.get("note"):
            say(answer["note"])
        tokens, first = answer["tokens"], False
        if not follow or answer["stopped"]:
            return
        time.sleep(FOLLOW_S)


def why(paths: RegionPaths, task: str) -> str:
    """The story of a task in plain lines."""
    facts = ask(paths, "why", task=task)
    doc: dict[str, Any] = facts["task"]
    definition = doc["taskDefinitionArn"].rpartition("/")[2]
    lines = [f"task {doc['taskArn']}", f"  definition {definition}, {doc['cpu']} CPU units, {doc['memory']} MiB"]
    lines.append(f"  status {doc['lastStatus']} (wanted {doc['desiredStatus']}) in {doc['availabilityZone']}")
    lines.append(f"  host {facts['host']}")
    if doc.get("stopCode"):
        lines.append(f"  stopped: {doc['stopCode']}: {doc.get('stoppedReason', '')}")
    lines += [_container_line(container) for container in doc.get("containers", [])]
    lines.append("  what happened:")
    lines += [f"    {_clock(event['at'])}  {_event_text(event)}" for event in facts["events"]]
    if facts["stages_ms"]:
        lines.append("  where its time went (ms):")
        lines += [f"    {name:<24} {value:8.1f}" for name, value in facts["stages_ms"].items()]
    if facts["last_lines"]:
        lines.append("  last log lines:")
        lines += [f"    {line}" for line in facts["last_lines"]]
    return "\n".join(lines)


def _container_line(container: dict[str, Any]) -> str:
    text = f"  container {container['name']}: {container.get('lastStatus')}"
    if container.get("exitCode") is not None:
        text += f", exit code {container['exitCode']}"
    if container.get("healthStatus", "UNKNOWN") != "UNKNOWN":
        text += f", {container['healthStatus']}"
    return f"{text}: {container['reason']}" if container.get("reason") else text


def _event_text(event: dict[str, Any]) -> str:
    text = str(event["lastStatus"])
    if event["desiredStatus"] != "RUNNING" and event["lastStatus"] in ("PROVISIONING", "PENDING", "RUNNING"):
        text += f", to stop: {event.get('stoppedReason', '')}"
    return text


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
