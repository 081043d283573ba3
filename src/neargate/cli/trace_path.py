"""`neargate trace-path --from TASK --to ADDRESS:PORT`: which rule or route lets a task's packet pass, or stops it."""

from collections.abc import Mapping
from typing import Any

from ..tracing.flows import Kind
from . import config as configs
from .admin import ask
from .path_model import traced
from .paths import RegionPaths
from .ports import is_own_address
from .problems import Problem

DROPPED_HERE = "this machine's own address: what tasks send to the machine itself is dropped"


def run(paths: RegionPaths, task: str, to: str, protocol: str) -> str:
    """One line for each object on the way there and back. Raises Problem."""
    address, port = _target(to)
    begun = ask(paths, "path-begin", task=task) | {"private_beyond": _private_beyond(paths)}

    def network(operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return ask(paths, "path-network", account=begun["account"], operation=operation, params=params)

    found = traced(network, begun, address, port, protocol)
    if found["delivered"] and found["path"][-1]["kind"] == Kind.OUTSIDE and is_own_address(address):
        stopped = {**found["path"][-1], "rule": DROPPED_HERE, "passed": False}
        found = found | {"delivered": False, "path": [*found["path"][:-1], stopped]}
    lines = [_line(step) for step in found["path"]]
    if not found["delivered"]:
        return "\n".join([*lines, f"{to} is not reached: see the line with ✗"])
    lines.append(f"{to} is reached, and sees {found['source']}" if found["source"] else f"{to} is reached")
    if found["reply"] is None:
        return "\n".join(lines)
    lines += ["the answer:", *(_line(step) for step in found["reply_path"])]
    lines.append("the answer comes back" if found["reply"] else "the answer does not come back: see the line with ✗")
    return "\n".join(lines)


def _private_beyond(paths: RegionPaths) -> tuple[str, ...]:
    """Whoever may ask the region and not read its options is told what AWS would do."""
    try:
        return configs.load(paths).uplink_networks
    except Problem:
        return ()


def _target(to: str) -> tuple[str, int]:
    """10.0.0.1:80, [fd00::1]:80, or an address alone (ICMP has no ports)."""
    if to.startswith("["):
        address, _, rest = to[1:].partition("]")
        port = rest.removeprefix(":")
    elif to.count(":") == 1:
        address, _, port = to.partition(":")
    else:
        address, port = to, ""
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise Problem(f"{port!r} is no port; write --to ADDRESS:PORT")
    return address, int(port or 0)


def _line(step: Mapping[str, Any]) -> str:
    mark = " " if step["passed"] else "✗"
    what = " ".join([str(step["kind"]).replace("-", " "), *step["ids"]])
    return f"{mark} {what}" + (f": {step['rule']}" if step["rule"] else "")
