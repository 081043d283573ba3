"""`neargate trace-path --from TASK --to ADDRESS:PORT`: which rule or route lets a task's packet pass, or stops it.

In the place of the address, a load balancer: then hop by hop to its targets (balancing/trace.py).
"""

from ipaddress import ip_address
from typing import Any, NamedTuple

from ..tracing.flows import Kind
from ..tracing.region import Region
from . import config as configs
from .admin import ask
from .balancing.trace import port_of, traced_balancer
from .path_model import Ask, describe, step_line, traced
from .paths import RegionPaths
from .ports import is_own_address
from .problems import NoServer, Problem

DROPPED_HERE = "this machine's own address: what tasks send to the machine itself is dropped"
NOT_REACHED = "{} is not reached: see the line with ✗"


class Traced(NamedTuple):
    """`text`: one line for each object on the way there and back. `is_open`: nothing stops it, nor an answer."""

    text: str
    is_open: bool


def run(paths: RegionPaths, task: str, to: str, protocol: str) -> Traced:
    """Raises Problem."""
    address, port = _target(to)
    begun = ask(paths, "path-begin", task=task) | {"private_beyond": private_beyond(paths)}
    network = asked_network(paths, begun["account"])
    if not _is_address(address):
        return _to_balancer(paths, network, begun, address, port, protocol)
    found = traced(network, begun, address, port, protocol)
    if found["delivered"] and found["path"][-1]["kind"] == Kind.OUTSIDE and is_own_address(address):
        stopped = {**found["path"][-1], "rule": DROPPED_HERE, "passed": False}
        found = found | {"delivered": False, "path": [*found["path"][:-1], stopped]}
    lines = [step_line(step) for step in found["path"]]
    if not found["delivered"]:
        return Traced("\n".join([*lines, NOT_REACHED.format(to)]), is_open=False)
    lines.append(f"{to} is reached, and sees {found['source']}" if found["source"] else f"{to} is reached")
    if found["reply"] is None:
        return Traced("\n".join(lines), is_open=True)
    lines += ["the answer:", *(step_line(step) for step in found["reply_path"])]
    lines.append("the answer comes back" if found["reply"] else "the answer does not come back: see the line with ✗")
    return Traced("\n".join(lines), is_open=bool(found["reply"]))


def _to_balancer(
    paths: RegionPaths, network: Ask, begun: dict[str, Any], name: str, port: int, protocol: str
) -> Traced:
    """`port` 0: its only listener's."""
    if protocol != "tcp":
        raise Problem(f"load balancers here take TCP alone, and no {protocol}")
    try:
        facts = ask(paths, "balancer", name=name, account=begun["account"])
    except NoServer:
        raise
    except Problem as unknown:
        raise Problem(f"{name!r} is no address, and {unknown}; write --to ADDRESS:PORT, with numbers") from None
    wanted = port or port_of(facts["balancer"])
    region = Region(describe(network, int(begun["endpoint_port"]), begun["private_beyond"]))
    if begun["interface"] not in region.interfaces:
        raise Problem(f"the interface of task {begun['task']} is gone: a path begins at a task that runs")
    lines, is_reached = traced_balancer(region, begun["interface"], facts, wanted)
    to = f"{facts['balancer']['name']}:{wanted}"
    last = f"{to} is reached, and answers" if is_reached else NOT_REACHED.format(to)
    return Traced("\n".join([*lines, last]), is_reached)


def asked_network(paths: RegionPaths, account: str) -> Ask:
    """Describe* operations of EC2 in the account's name."""

    def network(operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return ask(paths, "path-network", account=account, operation=operation, params=params)

    return network


def private_beyond(paths: RegionPaths) -> tuple[str, ...]:
    """Whoever may ask the region and not read its options is told what AWS would do."""
    try:
        return configs.load(paths).uplink_networks
    except Problem:
        return ()


def _target(to: str) -> tuple[str, int]:
    """10.0.0.1:80, [fd00::1]:80, or an address alone (ICMP has no ports); a load balancer's name or ARN, alone or with
    a port."""
    if to.startswith("["):
        address, _, rest = to[1:].partition("]")
        port = rest.removeprefix(":")
    elif to.startswith("arn:") and not to.rpartition(":")[2].isdecimal():
        address, port = to, ""
    elif to.count(":") == 1 or to.startswith("arn:"):
        address, _, port = to.rpartition(":")
    else:
        address, port = to, ""
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise Problem(f"{port!r} is no port; write --to ADDRESS:PORT")
    return address, int(port or 0)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
