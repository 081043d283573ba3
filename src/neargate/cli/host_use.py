"""What `neargate hosts` shows of each host's use: how much of what is reserved is used, and how machines came. Pure.

What hosts say was bounded when it came (clusters/arrivals.py). Waste is what is reserved for tasks and not used: what
they are larger than their work.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .inspect import table

Host = Mapping[str, Any]
_COLUMNS = (
    *("HOST", "CPU UNITS USED/RESERVED/WASTE", "MEMORY MiB USED/RESERVED/WASTE", "DISK GiB USED/RESERVED/WASTE"),
    *("MACHINES", "WAITING", "CAME WAITING/SAVED/BOOTED"),
)

_SIZES_SHOWN = 4
_WITH_MACHINES = ("microvm", "emulated")


def used(hosts: Sequence[Host]) -> list[str]:
    """A table of the hosts that are connected and say it; nothing where none does."""
    rows = [_row(host, host["use"]) for host in hosts if host.get("use") and host.get("connected")]
    return ["", *table([_COLUMNS, *rows])] if rows else []


def waste(is_used: float, reserved: float) -> float:
    """Tasks may use more than is reserved: of processors, while nobody else wants them."""
    return max(0.0, reserved - is_used)


def _row(host: Host, use: Mapping[str, Any]) -> tuple[str, ...]:
    reserved, has_machines = host["reserved"], host.get("sandbox") in _WITH_MACHINES
    return (
        str(host["host_id"]),
        _of(use["cpu_units"], reserved["cpu_units"]),
        _of(host["used_memory_mib"], reserved["memory_mib"]),
        _of(use["disk_mib"] / 1024, reserved["disk_gib"]),
        str(host["machines"]) if has_machines else "-",
        _waiting(use["waiting"]) if has_machines else "-",
        f"{use['came_warm']}/{use['came_saved']}/{use['came_cold']}" if has_machines else "-",
    )


def _of(is_used: float, reserved: float) -> str:
    return "/".join(_number(one) for one in (is_used, reserved, waste(is_used, reserved)))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _waiting(sizes: Sequence[Mapping[str, int]]) -> str:
    """Those of each size: how many, of how many processors, and how much memory. A host of ours saves four sizes."""
    shown = [f"{one['count']} of {one['vcpus']} vCPU {one['memory_mib']} MiB" for one in sizes[:_SIZES_SHOWN]]
    more = sum(one["count"] for one in sizes[_SIZES_SHOWN:])
    return ", ".join([*shown, *([f"{more} of other sizes"] if more else [])]) or "0"
