"""What the operator's socket answers about metrics: all of them as they are now, as names and numbers.

Reads what the control plane knows anyway and writes nothing. Must not know the form in which they are shown: whoever
asks makes the text (metrics/text.py).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...model.knobs import Knobs
from ...model.lifecycle import LastStatus
from ...region import Region
from ..admin import Handler
from ..metrics.balancers import balancer_readings
from ..metrics.table import Readings
from ..version import VERSION
from .hosts_seen import all_hosts

Answer = dict[str, Any]
MIB = 1024 * 1024
CPU_UNITS_PER_VCPU = 1024
_LIVE = tuple(status.value for status in LastStatus if status is not LastStatus.STOPPED)
# Of a host: metric, which room, member, how many of the metric's units one of ours is.
_ROOM = (
    ("vcpus", "cpu_units", 1 / CPU_UNITS_PER_VCPU),
    ("memory_bytes", "memory_mib", MIB),
    ("disk_bytes", "disk_gib", 1024 * MIB),
)
# What a host's agent counts; the last two from its own start, so that they are true only while it is connected.
_COUNTED = (
    ("neargate_underlay_stray_packets_total", "strays", True),
    ("neargate_refused_plans_total", "refused_plans", False),
    ("neargate_flow_log_skips_total", "flow_log_skips", False),
)


class MetricsDesk:
    """`stores`: how many (writes, reads) wait for each shard. `knobs`: how much is shown one by one."""

    def __init__(self, region: Region, stores: Callable[[], Mapping[str, tuple[int, int]]], knobs: Knobs) -> None:
        self._region = region
        self._stores = stores
        self._hosts_max = knobs.metrics_hosts_max
        self._balancers_max = knobs.metrics_balancers_max
        self._groups_max = knobs.metrics_groups_max

    def handlers(self) -> dict[str, Handler]:
        return {"metrics": self.told}

    async def told(self, _: Answer) -> Answer:
        """{"metrics": Readings}."""
        return {"metrics": await self.readings()}

    async def readings(self) -> Readings:
        """Raises Overloaded."""
        region = self._region
        hosts = sorted(await all_hosts(region), key=lambda host: str(host["host_id"]))
        found: Readings = {
            "neargate_build_info": [([VERSION, region.services.region], 1)],
            "neargate_hosts": list(_by_state(hosts)),
            "neargate_hosts_not_shown": [([], max(0, len(hosts) - self._hosts_max))],
            "neargate_tasks": self._tasks(await region.cell.operator.counted()),
            "neargate_queue_depth": self._queues(await region.cell.operator.outbox()),
            **self._counts(),
            **balancer_readings(region, self._balancers_max, self._groups_max),
        }
        for host in hosts[: self._hosts_max]:
            for name, value in _of_host(host):
                found.setdefault(name, []).append(([host["host_id"]], value))
            for came, value in _machine_starts(host):
                found.setdefault("neargate_machine_starts_total", []).append(([host["host_id"], came], value))
        return found

    def _tasks(self, counted: Iterable[tuple[str, str, int]]) -> list[tuple[list[str], float]]:
        """Each zone and status, also those of nobody: a series that comes and goes cannot be watched."""
        known = {(zone, status): 0 for zone, _ in self._region.services.zones for status in _LIVE}
        known |= {(zone, status): count for zone, status, count in counted}
        return [(list(key), count) for key, count in known.items()]

    def _queues(self, outbox: Mapping[str, int]) -> list[tuple[list[str], float]]:
        known = {"reports": self._region.cell.reports_waiting, "record-of-calls": self._region.trail.waiting, **outbox}
        for shard, (writes, reads) in self._stores().items():
            known |= {f"write-{shard}": writes, f"read-{shard}": reads}
        return [([name], count) for name, count in known.items()]

    def _counts(self) -> Readings:
        tasks = self._region.cell.counts
        requests = sorted(self._region.frontend.requests.by_key.items())
        return {
            "neargate_task_launches_total": [([], tasks.launched)],
            "neargate_task_launches_refused_total": [([], tasks.refused)],
            "neargate_registrations_refused_total": [
                ([why.value], count) for why, count in self._region.cell.refusals.counts.items()
            ],
            "neargate_task_stops_total": [([code], count) for code, count in tasks.stopped.items()],
            "neargate_api_requests_total": [
                ([service, operation, f"{status}xx"], count) for (service, operation, status), count in requests
            ],
        }


def _by_state(hosts: Iterable[Answer]) -> Iterable[tuple[list[str], float]]:
    known = {"connected": 0, "refusing": 0, "away": 0}
    for host in hosts:
        known["away" if not host["connected"] else "connected" if host["accepts_tasks"] else "refusing"] += 1
    return [([state], count) for state, count in known.items()]


def _of_host(host: Answer) -> Iterable[tuple[str, float]]:
    for unit, member, factor in _ROOM:
        for part in ("offered", "reserved"):
            yield f"neargate_host_{part}_{unit}", host[part][member] * factor
    for name, member, is_kept in _COUNTED:
        if is_kept or host["connected"]:
            yield name, host[member]
    use = host["use"]
    if use is not None and host["connected"]:
        yield "neargate_host_used_vcpus", use["cpu_units"] / CPU_UNITS_PER_VCPU
        yield "neargate_host_used_memory_bytes", host["used_memory_mib"] * MIB
        yield "neargate_host_used_disk_bytes", use["disk_mib"] * MIB
        yield "neargate_host_machines", host["machines"]
        yield "neargate_host_waiting_machines", sum(one["count"] for one in use["waiting"])


def _machine_starts(host: Answer) -> Iterable[tuple[str, float]]:
    use = host["use"]
    if use is None or not host["connected"]:
        return []
    return [("waiting", use["came_warm"]), ("saved", use["came_saved"]), ("booted", use["came_cold"])]
