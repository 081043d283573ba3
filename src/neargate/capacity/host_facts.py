"""What a host says of itself, and its operator of it: whether it is worth a write, how it is shown. Pure."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs, to_builtins

from ..model.capacity import HostFacts, HostPlace
from ..placement.feasible import DRAINING
from .ledger import Host, Ledger
from .own_hosts import GIVEN_UP

_PASSING = ("refused_plans", "flow_log_skips", "machines", "used_memory_mib", "use", "old_machines")


def is_known(before: HostFacts, now: HostFacts) -> bool:
    """Whether nothing is new that a later process must know: these counts begin anew with the agent, or pass."""
    return before == structs.replace(now, **{name: getattr(before, name) for name in _PASSING})


def all_shown(ledger: Ledger) -> list[dict[str, Any]]:
    placed = ledger.placed_on()
    return [_shown(host, placed[host_id]) for host_id, host in ledger.hosts.items()]


def _shown(host: Host, nodes: int) -> dict[str, Any]:
    """For `neargate status`. CPU in units with overcommit, memory in MiB, disk in GiB with overcommit.

    `nodes`: how many load balancers' nodes, gateways and endpoints have their place there.
    """
    facts, view = host.facts, host.view
    return {
        "host_id": facts.host_id,
        "boot_id": facts.boot_id,
        "zone": facts.zone,
        "architecture": facts.architecture,
        "software": facts.software,
        "platform": None if facts.platform is None else structs.asdict(facts.platform),
        "sandbox": facts.sandbox,
        "connected": view.connected,
        "accepts_tasks": facts.accepts_tasks and not view.is_draining,
        "reason": DRAINING if view.is_draining else facts.reason,
        "strays": facts.strays,
        "last_stray": facts.last_stray,
        "refused_plans": facts.refused_plans,
        "flow_log_skips": facts.flow_log_skips,
        "refused_pools": facts.refused_pools,
        "pool": view.pool,
        "accounts": sorted(host.accounts),
        "tenant": view.tenant,
        "sharing": host.sharing.value,
        "tasks": host.tasks,
        "nodes": nodes,
        "overhead": structs.asdict(facts.overhead),
        "machines": facts.machines,
        "used_memory_mib": facts.used_memory_mib,
        "use": None if facts.use is None else to_builtins(facts.use),
        "capacity": structs.asdict(facts.capacity),
        "offered": structs.asdict(host.offered),
        "reserved": structs.asdict(host.reserved),
        "spot": structs.asdict(host.spot),
    }


def host_places(hosts: Mapping[str, Host], words: Mapping[str, str]) -> list[HostPlace]:
    """`words`: the operator's, by host; one that has not joined (its zone forgot it) may be given up too."""
    joined = [
        HostPlace(
            host_id=host_id,
            zone=host.view.zone,
            is_connected=host.view.connected,
            is_draining=host.view.is_draining,
            is_given_up=not host.view.connected and words.get(host_id) == GIVEN_UP,
        )
        for host_id, host in hosts.items()
    ]
    gone = [host_id for host_id, word in words.items() if word == GIVEN_UP and host_id not in hosts]
    return [
        *joined,
        *(HostPlace(host_id=one, is_connected=False, is_draining=True, is_given_up=True) for one in gone),
    ]
