"""What a host says of itself: whether it is worth a write, and how it is shown to the operator. Pure."""

from typing import Any

from msgspec import structs

from ..model.capacity import HostFacts
from .ledger import Host


def is_known(before: HostFacts, now: HostFacts) -> bool:
    """Whether nothing is new that a later process must know: these counts begin anew with the agent."""
    return before == structs.replace(now, refused_plans=before.refused_plans, flow_log_skips=before.flow_log_skips)


def shown(host: Host) -> dict[str, Any]:
    """For `neargate status`. CPU in units with overcommit, memory in MiB, disk in GiB with overcommit."""
    facts, view = host.facts, host.view
    return {
        "host_id": facts.host_id,
        "boot_id": facts.boot_id,
        "zone": facts.zone,
        "architecture": facts.architecture,
        "software": facts.software,
        "sandbox": facts.sandbox,
        "connected": view.connected,
        "accepts_tasks": facts.accepts_tasks,
        "reason": facts.reason,
        "strays": facts.strays,
        "last_stray": facts.last_stray,
        "refused_plans": facts.refused_plans,
        "flow_log_skips": facts.flow_log_skips,
        "refused_pools": facts.refused_pools,
        "pool": view.pool,
        "tasks": host.tasks,
        "capacity": structs.asdict(facts.capacity),
        "offered": structs.asdict(host.offered),
        "reserved": structs.asdict(host.reserved),
        "spot": structs.asdict(host.spot),
    }
