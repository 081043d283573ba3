"""`neargate ip-pool list|add|remove`: the region's public addresses, asked and changed at the operator's socket.

What the machine itself has against a pool is looked at here: the server may not know its routes.
"""

from ipaddress import IPv4Network
from typing import Any

from ..hostnet.edge import host_link_name
from ..hostnet.host_state import host_routes, own_networks
from ..hostnet.netlink import Netlink
from ..model.network import POOL_ANNOUNCED, POOL_LOCAL, POOL_ROUTED
from ..uplink.pools import objection
from . import config as configs
from .admin import ask
from .config import RegionConfig
from .inspect import table
from .paths import RegionPaths
from .pools import of_others
from .problems import Problem

_FOUND = {
    "built-in": "by this machine only",
    POOL_LOCAL: "by this machine only",
    POOL_ROUTED: "by whoever has a route to this machine for it",
    POOL_ANNOUNCED: "by the neighbours on the uplink",
}


def listed(paths: RegionPaths) -> str:
    rows: list[tuple[str, ...]] = [("POOL", "TASKS", "ELASTIC", "STATE", "FOUND")]
    for pool in ask(paths, "ip-pool-list")["pools"]:
        counts = [f"{pool[kind]} of {pool[f'{kind}_max']}" for kind in ("tasks", "elastic")]
        state = "gives" if pool["gives"] else "gives none"
        rows.append((pool["cidr"], *counts, state, _FOUND.get(pool["way"], pool["way"])))
    return "\n".join(table(rows))


def add(paths: RegionPaths, cidr: str, *, announce: bool, routed: bool) -> str:
    way = POOL_ANNOUNCED if announce else POOL_ROUTED if routed else POOL_LOCAL
    config = configs.load(paths)
    checked = _network(cidr)
    if checked and config.sandbox == "container":
        _check_machine(paths, config, checked, way)
    pool = ask(paths, "ip-pool-add", cidr=cidr, way=way)
    return "\n".join(_told(pool))


def remove(paths: RegionPaths, cidr: str, *, drain: bool) -> str:
    gone = ask(paths, "ip-pool-remove", cidr=cidr, drain=drain)
    if gone["kept"]:
        return f"{gone['kept']}\nit gives no address any more; remove it again when these are gone"
    return f"{gone['cidr']} is no pool of this region any more"


def _told(pool: dict[str, Any]) -> list[str]:
    lines = [
        f"{pool['cidr']} is a pool of this region: {pool['tasks_max']} addresses for tasks, {pool['elastic_max']} "
        "elastic ones.",
        "New public addresses come from the pools you add, and none from the region's own block any more.",
    ]
    if pool["way"] == POOL_ANNOUNCED:
        lines.append(
            "This machine answers its neighbours for those that somebody has (ip neigh show proxy), and forwards what "
            "comes for them: security groups decide who is let in. It goes with the addresses."
        )
    elif pool["way"] == POOL_ROUTED:
        lines.append("What comes for those that somebody has is forwarded: security groups decide who is let in.")
    return lines


def _network(cidr: str) -> str:
    """As it is written everywhere; empty for what the server is going to refuse."""
    try:
        return str(IPv4Network(cidr))
    except ValueError:
        return ""


def _check_machine(paths: RegionPaths, config: RegionConfig, cidr: str, way: str) -> None:
    """Raises Problem."""
    if way != POOL_LOCAL and config.uplink != "nat":
        how = "--announce" if way == POOL_ANNOUNCED else "--routed"
        raise Problem(
            f"{how}: this machine has to forward what comes for tasks, which --uplink nat lets it (now: "
            f"{config.uplink}); change that with: neargate down{paths.as_option}, then neargate up --uplink nat"
        )
    for other in of_others(paths):
        if IPv4Network(other).overlaps(IPv4Network(cidr)):
            raise Problem(f"{cidr} overlaps {other}, the block of another region on this machine")
    with Netlink() as host:
        found = objection(cidr, way, host_routes(host), own_networks(host), host_link_name(paths.instance))
    if found:
        raise Problem(found + ("; add --announce" if found.endswith("announced") else ""))
