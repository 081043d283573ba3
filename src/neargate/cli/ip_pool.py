"""`neargate ip-pool`: the region's public addresses, asked and changed at the operator's socket.

What the machine itself has against a pool is looked at here: the server may not know its routes. Nor is it believed
what it calls a pool: what is typed here is what this machine allows, `allow` and `forbid` say that alone.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_network
from typing import Any

from ..hostnet.edge import host_link_name
from ..hostnet.host_state import host_routes, own_networks, own_networks6
from ..hostnet.netlink import Netlink
from ..model.network import POOL_ANNOUNCED, POOL_LOCAL, POOL_ROUTED, POOL_WAYS, PublicPool
from ..uplink.consent import objection as unallowable
from ..uplink.consent import refusal
from ..uplink.pools import objection
from . import config as configs
from . import pool_consent
from .admin import ask
from .config import RegionConfig
from .inspect import table
from .paths import RegionPaths
from .pools import of_others
from .problems import NoServer, Problem

_FOUND = {
    "built-in": "by this machine only",
    POOL_LOCAL: "by this machine only",
    POOL_ROUTED: "by whoever has a route to this machine for it",
    POOL_ANNOUNCED: "by the neighbours on the uplink",
}


def listed(paths: RegionPaths) -> str:
    rows: list[tuple[str, ...]] = [("POOL", "TASKS", "ELASTIC", "STATE", "FOUND")]
    pools = ask(paths, "ip-pool-list")["pools"]
    for pool in pools:
        counts = [f"{pool[kind]} of {pool[f'{kind}_max']}" for kind in ("tasks", "elastic") if kind in pool]
        counts = counts or [f"of {pool['vpcs']} VPCs", "-"]
        state = "gives" if pool["gives"] else "gives none"
        rows.append((pool["cidr"], *counts, state, _FOUND.get(pool["way"], pool["way"])))
    return "\n".join([*table(rows), *_refused_here(paths, pools)])


def refused_here(paths: RegionPaths) -> list[str]:
    """Which of the region's pools this machine does not let it have, and what to type: all of them where a
    release that did not ask gave way to this one. Raises Problem."""
    return _refused_here(paths, ask(paths, "ip-pool-list")["pools"])


def _refused_here(paths: RegionPaths, pools: Iterable[dict[str, Any]]) -> list[str]:
    if not configs.load(paths).runs_tasks:
        return []
    allowed = pool_consent.allowed(paths)
    known = (PublicPool(cidr=pool["cidr"], way=pool["way"]) for pool in pools if pool["way"] in POOL_WAYS)
    return [f"this machine refuses a pool: {why}" for pool in known if (why := refusal(pool, allowed))]


def add(paths: RegionPaths, cidr: str, *, announce: bool, routed: bool) -> str:
    way = POOL_ANNOUNCED if announce else POOL_ROUTED if routed else POOL_LOCAL
    config = configs.load(paths)
    checked = _network(cidr)
    is_new, before = False, pool_consent.allowed(paths)
    if checked and config.runs_tasks:
        _check_machine(paths, config, checked, way)
        # Before the server has it: with the plan that names it, this machine's agent looks what is allowed.
        is_new = pool_consent.put(paths, PublicPool(cidr=checked, way=way))
    try:
        pool = ask(paths, "ip-pool-add", cidr=cidr, way=way)
    except NoServer:
        raise  # it may have been heard
    except Problem:
        if is_new:
            pool_consent.put_back(paths, checked, before)
        raise
    return "\n".join(_told(pool))


def remove(paths: RegionPaths, cidr: str, *, drain: bool) -> str:
    gone = ask(paths, "ip-pool-remove", cidr=cidr, drain=drain)
    if gone["kept"]:
        return f"{gone['kept']}\nit gives no address any more; remove it again when these are gone"
    if configs.load(paths).runs_tasks and pool_consent.take_back(paths, str(gone["cidr"])):
        pool_consent.tell_agent(paths)
    return f"{gone['cidr']} is no pool of this region any more"


def allow(paths: RegionPaths, cidr: str, *, announce: bool, routed: bool) -> str:
    """Raises Problem."""
    way = POOL_ANNOUNCED if announce else POOL_ROUTED if routed else POOL_LOCAL
    config = configs.load(paths)
    if not config.runs_tasks:
        raise Problem("simulated tasks have no addresses; ip-pool allow is for machines whose tasks run")
    if against := unallowable(cidr):
        raise Problem(against)
    network = str(ip_network(cidr))
    _check_machine(paths, config, network, way)
    pool_consent.put(paths, PublicPool(cidr=network, way=way), exactly=True)
    pool_consent.tell_agent(paths)
    return f"this machine lets its region have {network} as a pool of public addresses ({way})"


def forbid(paths: RegionPaths, cidr: str) -> str:
    """What is led to tasks of it is led no more. Raises Problem."""
    try:
        network = str(ip_network(cidr))
    except ValueError as error:
        raise Problem(f"{cidr!r} is no network: {error}") from None
    if not pool_consent.take_back(paths, network):
        allowed = ", ".join(f"{pool.cidr} ({pool.way})" for pool in pool_consent.allowed(paths))
        raise Problem(f"{network} is not allowed here; what is: {allowed or 'nothing'}")
    pool_consent.tell_agent(paths)
    return f"this machine no longer lets its region have {network} as a pool of public addresses"


def _told(pool: dict[str, Any]) -> list[str]:
    lines = (
        _told6(pool)
        if "vpcs" in pool
        else [
            f"{pool['cidr']} is a pool of this region: {pool['tasks_max']} addresses for tasks, {pool['elastic_max']} "
            "elastic ones.",
            "New public addresses come from the pools you add, and none from the region's own block any more.",
        ]
    )
    if pool["way"] == POOL_ANNOUNCED:
        lines.append(
            "This machine answers its neighbours for those that somebody has (ip neigh show proxy), and forwards what "
            "comes for them: security groups decide who is let in. It goes with the addresses."
        )
    elif pool["way"] == POOL_ROUTED:
        lines.append("What comes for those that somebody has is forwarded: security groups decide who is let in.")
    return lines


def _told6(pool: dict[str, Any]) -> list[str]:
    return [
        f"{pool['cidr']} is a pool of this region; its id is {pool['id']}.",
        f"A VPC takes a network of it: aws ec2 associate-vpc-cidr-block --vpc-id VPC --ipv6-pool {pool['id']}",
    ]


def _network(cidr: str) -> str:
    """As it is written everywhere; empty for what the server is going to refuse."""
    try:
        return str(ip_network(cidr))
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
        if ":" not in cidr and IPv4Network(other).overlaps(IPv4Network(cidr)):
            raise Problem(f"{cidr} overlaps {other}, the block of another region on this machine")
    with Netlink() as host:
        version = 6 if ":" in cidr else 4
        own = own_networks(host) if version == 4 else own_networks6(host)
        found = objection(cidr, way, host_routes(host, version), own, host_link_name(paths.instance))
    if found:
        raise Problem(found + ("; add --announce" if found.endswith("announced") else ""))
