"""Load balancers and services as `neargate status` lists them. Pure: from what the operator's socket answers to rows.

Invariant: a page, however many there are: each is a few rows, and what does not fit is counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
Rows = list[tuple[str, ...]]
ROWS_MAX = 24
_HEALTHY = "healthy"


def balancer_rows(facts: Facts) -> tuple[Rows, str]:
    """Rows with their heading, and a line of those that are not there. `facts`: those that are not well come first."""
    rows: Rows = []
    shown = 0
    for one in facts["shown"]:
        own = _rows(one)
        if rows and len(rows) + len(own) > ROWS_MAX:
            break
        rows += own[:ROWS_MAX]
        shown += 1
    more = sum(facts["states"].values()) - shown
    told = ", ".join(f"{count} {state}" for state, count in sorted(facts["states"].items()))
    heading = ("LOAD BALANCER", "STATE", "LISTENERS", "NODES", "HOST", "ADDRESS", "HEALTHY/ALL TARGETS")
    return [heading, *rows] if rows else [], f"... and {more} more load balancers; of all: {told}" if more else ""


def _rows(one: Facts) -> Rows:
    """Its nodes below each other, its target groups beside them, each column by itself."""
    state = f"{one['state']}: {one['reason']}" if one["reason"] else one["state"]
    columns = [
        [one["name"]],
        [state],
        _in_lines(one["ports"]) or ["none"],
        [_node(node) for node in one["nodes"]] or ["none"],
        [node["host"] or "-" for node in one["nodes"]],
        [", ".join(filter(None, (node["address"], node["public_address"]))) or "-" for node in one["nodes"]],
        [_group(group) for group in one["groups"]] or ["-"],
    ]
    height = max(map(len, columns))
    return [tuple(column[n] if n < len(column) else "" for column in columns) for n in range(height)]


def _in_lines(ports: Sequence[str]) -> list[str]:
    return [", ".join(ports[n : n + 2]) for n in range(0, len(ports), 2)]


def _node(node: Facts) -> str:
    if node["serves"]:
        return str(node["zone"])
    return f"{node['zone']}: {'its host is away' if node['is_away'] else 'does not serve'}"


def _group(group: Facts) -> str:
    return f"{group['name']} {group['counts'].get(_HEALTHY, 0)}/{sum(group['counts'].values())}"


def service_rows(facts: Facts) -> tuple[Rows, str]:
    """As of load balancers; those that are not steady come first."""
    shown = facts["shown"]
    if not shown:
        return [], ""
    rows: Rows = [("SERVICE", "CLUSTER", "STATUS", "RUNNING/DESIRED", "ROLLOUT")]
    for one in shown:
        running = f"{one['running']}/{one['desired']}"
        rows.append((one["name"], one["cluster"], one["status"], running, _rollout(one)))
    more = facts["count"] - len(shown)
    steady = f"; {facts['steady']} of {facts['count']} are steady" if more else ""
    return rows, f"... and {more} more services{steady}" if more else ""


def _rollout(one: Facts) -> str:
    if one["is_steady"]:
        return f"{one['rollout']}, steady"
    return f"{one['rollout']}, {one['deployments']} deployments" if one["deployments"] > 1 else one["rollout"]
