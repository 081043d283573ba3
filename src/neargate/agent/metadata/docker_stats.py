"""Two samples of counters into Docker's stats document, which the metadata endpoint hands out. Pure."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from ...interfaces.hostnet import BlockIo, CgroupStats, InterfaceStats
from .documents import timestamp


class Sample(Struct, frozen=True, kw_only=True):
    """Counters of one container at one moment (epoch seconds). `host_cpu_ns`: busy and idle time of the machine."""

    at: float
    cgroup: CgroupStats
    interface: InterfaceStats | None
    host_cpu_ns: int
    online_cpus: int


# What the kernel's first cgroup version, and so Docker and Fargate, show for "no limit of its own".
UNLIMITED = 2**63 - 4096


def docker_stats(
    runtime_id: str, name: str, before: Sample, after: Sample, *, task_memory_bytes: int
) -> dict[str, Any]:
    """A container without a limit of its own is bounded by its task's, which is the hierarchical limit."""
    memory = after.cgroup
    limit = memory.memory_limit or UNLIMITED
    document: dict[str, Any] = {
        "read": timestamp(after.at),
        "preread": timestamp(before.at),
        "name": name,
        "id": runtime_id,
        "num_procs": 0,
        "pids_stats": {"current": memory.pids},
        "blkio_stats": _blkio(after.cgroup.block_io),
        "storage_stats": {},
        "cpu_stats": _cpu(after),
        "precpu_stats": _cpu(before),
        "memory_stats": {
            "usage": memory.memory_usage,
            "max_usage": memory.memory_max_usage,
            "limit": limit,
            "stats": {
                "cache": memory.memory_cache,
                "rss": memory.memory_rss,
                "total_cache": memory.memory_cache,
                "total_rss": memory.memory_rss,
                "hierarchical_memory_limit": min(limit, task_memory_bytes),
            },
        },
    }
    if after.interface is not None:
        document["networks"] = {"eth0": _network(after.interface)}
        if before.interface is not None:
            document["network_rate_stats"] = _rates(before, after, before.interface, after.interface)
    return document


def _blkio(counted: tuple[BlockIo, ...]) -> dict[str, Any]:
    """Docker's lists: bytes and operations by device and kind. The others were a scheduler's that Linux dropped."""

    def entries(values: Iterable[int]) -> list[dict[str, Any]]:
        pairs = zip(counted, values, strict=True)
        return [{"major": io.major, "minor": io.minor, "op": io.kind, "value": value} for io, value in pairs]

    return {
        "io_service_bytes_recursive": entries(io.served_bytes for io in counted),
        "io_serviced_recursive": entries(io.operations for io in counted),
        "io_queue_recursive": [],
        "io_service_time_recursive": [],
        "io_wait_time_recursive": [],
        "io_merged_recursive": [],
        "io_time_recursive": [],
        "sectors_recursive": [],
    }


def _cpu(sample: Sample) -> dict[str, Any]:
    counters = sample.cgroup
    return {
        "cpu_usage": {
            "total_usage": counters.cpu_total_ns,
            "usage_in_kernelmode": counters.cpu_system_ns,
            "usage_in_usermode": counters.cpu_user_ns,
        },
        "system_cpu_usage": sample.host_cpu_ns,
        "online_cpus": sample.online_cpus,
        "throttling_data": {
            "periods": counters.cpu_periods,
            "throttled_periods": counters.cpu_throttled_periods,
            "throttled_time": counters.cpu_throttled_ns,
        },
    }


def _network(counters: InterfaceStats) -> dict[str, int]:
    return {
        "rx_bytes": counters.rx_bytes,
        "rx_packets": counters.rx_packets,
        "rx_errors": counters.rx_errors,
        "rx_dropped": counters.rx_dropped,
        "tx_bytes": counters.tx_bytes,
        "tx_packets": counters.tx_packets,
        "tx_errors": counters.tx_errors,
        "tx_dropped": counters.tx_dropped,
    }


def _rates(before: Sample, after: Sample, then: InterfaceStats, now: InterfaceStats) -> dict[str, float]:
    elapsed_s = max(after.at - before.at, 0.001)
    return {
        "rx_bytes_per_sec": max(0, now.rx_bytes - then.rx_bytes) / elapsed_s,
        "tx_bytes_per_sec": max(0, now.tx_bytes - then.tx_bytes) / elapsed_s,
    }
