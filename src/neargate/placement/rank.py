"""Which host first: newest software, then best fit (least memory left over, then least CPU), then the id.

Pure. `choose` is `rank(...)[0]` in one pass without building anything, since it runs for every launch over every host.
"""

from collections.abc import Collection, Iterable

from .feasible import NO_CPU, NO_DISK, NO_MEMORY, HostView, Wanted, memory_on, refusal


def rank(hosts: Iterable[HostView], wanted: Wanted) -> tuple[HostView, ...]:
    """All hosts that may take the task, best first."""
    fitting = [host for host in hosts if refusal(host, wanted) is None]
    # Two stable sorts: releases descend, all else ascends.
    fitting.sort(key=lambda host: (host.free_memory_mib, host.free_cpu_units, host.host_id))
    fitting.sort(key=lambda host: host.software, reverse=True)
    return tuple(fitting)


def choose(hosts: Iterable[HostView], wanted: Wanted, lately: Collection[str] = ()) -> HostView | None:
    """The best host, or None. The comparisons of `refusal`, written out: a call per host costs more than the scan.

    `lately`: ids of hosts that count as connected although they are not.
    """
    best: HostView | None = None
    memory, cpu, disk = wanted.memory_mib, wanted.cpu_units, wanted.disk_gib
    zone, account, pool, needs_kernel = wanted.zone, wanted.account, wanted.pool, wanted.needs_kernel
    for host in hosts:
        if host.free_memory_mib < memory or host.free_cpu_units < cpu or host.free_disk_gib < disk:
            continue
        if not host.accepts_tasks or host.is_draining or host.pool != pool or host.architecture != wanted.architecture:
            continue
        if needs_kernel and not host.gives_kernel:
            continue
        if not host.connected and host.host_id not in lately:
            continue
        if (host.zone is not None and host.zone != zone) or (host.tenant is not None and host.tenant != account):
            continue
        if (best is None or _better(host, best)) and host.free_memory_mib >= memory_on(host, wanted):
            best = host
    return best


def _better(host: HostView, than: HostView) -> bool:
    if host.software != than.software:
        return host.software > than.software
    if host.free_memory_mib != than.free_memory_mib:
        return host.free_memory_mib < than.free_memory_mib
    if host.free_cpu_units != than.free_cpu_units:
        return host.free_cpu_units < than.free_cpu_units
    return host.host_id < than.host_id


def explain(hosts: Iterable[HostView], wanted: Wanted) -> str:
    """One sentence for the log and `why`: how many hosts refused for which reason, and how much the best has left."""
    counts: dict[str, int] = {}
    most: dict[str, int] = {}
    beside = 0
    for host in hosts:
        sentence = refusal(host, wanted)
        if sentence is not None:
            counts[sentence] = counts.get(sentence, 0) + 1
            beside = max(beside, host.overhead.of(wanted.memory_mib))
            left = {NO_CPU: host.free_cpu_units, NO_MEMORY: host.free_memory_mib, NO_DISK: host.free_disk_gib}
            most[sentence] = max(most.get(sentence, 0), left.get(sentence, 0))
    if not counts:
        return "the zone has no host"
    asked = {
        NO_CPU: f"{wanted.cpu_units} CPU units",
        NO_MEMORY: f"{wanted.memory_mib} MiB" + (f" and {beside} MiB beside them" if beside else ""),
        NO_DISK: f"{wanted.disk_gib} GiB",
    }
    return "; ".join(
        f"{count} x {sentence}" + (f" ({most[sentence]} of {asked[sentence]})" if sentence in asked else "")
        for sentence, count in sorted(counts.items())
    )
