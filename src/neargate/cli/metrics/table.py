"""The region's metrics as data: what each is called, of what kind it is, what it says, and by which labels.

The one list of them: the desk fills it, the exposition shows it in this order, docs/operating.md tells it. Must not
know how they are read. Invariant: a label's values are bounded by the region itself, never by what callers send.
"""

from typing import Literal

from msgspec import Struct

Readings = dict[str, list[tuple[list[str], float]]]  # metric -> (its labels' values, value)


class Metric(Struct, frozen=True, kw_only=True):
    """A counter grows from the start of the process that counts, a gauge is of now. `said`: a line for people."""

    name: str
    kind: Literal["counter", "gauge"]
    said: str
    labels: tuple[str, ...] = ()


def _gauge(name: str, said: str, *labels: str) -> Metric:
    return Metric(name=f"neargate_{name}", kind="gauge", said=said, labels=labels)


def _counter(name: str, said: str, *labels: str) -> Metric:
    return Metric(name=f"neargate_{name}_total", kind="counter", said=said, labels=labels)


METRICS = (
    _gauge("build_info", "Always 1: the release that serves, and the region's name.", "version", "region"),
    _gauge("hosts", "Hosts: connected (take tasks), refusing (connected, take none), away.", "state"),
    _gauge("host_offered_vcpus", "vCPUs that a host offers to tasks, overcommit included.", "host"),
    _gauge("host_reserved_vcpus", "vCPUs that tasks hold of it.", "host"),
    _gauge("host_offered_memory_bytes", "Memory that a host offers to tasks.", "host"),
    _gauge("host_reserved_memory_bytes", "Memory that tasks hold of it.", "host"),
    _gauge("host_offered_disk_bytes", "Disk that a host offers to tasks, overcommit included.", "host"),
    _gauge("host_reserved_disk_bytes", "Disk that tasks hold of it.", "host"),
    _gauge("host_used_vcpus", "vCPUs that its tasks use, over half a minute, rounded up.", "host"),
    _gauge("host_used_memory_bytes", "Memory that its tasks use, rounded up.", "host"),
    _gauge("host_used_disk_bytes", "Disk that its tasks' disks take of it, rounded up.", "host"),
    _gauge("host_machines", "microVMs of tasks that run on a host.", "host"),
    _gauge("host_waiting_machines", "microVMs that wait for a task on a host.", "host"),
    _counter("machine_starts", "microVMs of tasks by how they came: waiting, saved, booted.", "host", "came"),
    _gauge("hosts_not_shown", "Hosts that have no metrics of their own here, because there are too many."),
    _counter(
        "underlay_stray_packets",
        "Packets that a host's underlay dropped: tasks' that were neither overlay nor link.",
        "host",
    ),
    _counter("refused_plans", "Times that a host did not take or could not put in force a VPC's plan.", "host"),
    _counter("flow_log_skips", "SKIPDATA records that a host wrote to flow logs.", "host"),
    _gauge("tasks", "Tasks that have not stopped.", "zone", "status"),
    _counter("task_launches", "Tasks that RunTask and services launched."),
    _counter("task_launches_refused", "Tasks that RunTask answered with a failure: no room, or above a limit."),
    _counter("registrations_refused", "Sandboxes, and hosts, that the cell did not take for what they said.", "reason"),
    _counter("task_stops", "Tasks that have stopped, by AWS's stop code.", "stop_code"),
    _counter(
        "api_requests",
        "Requests that the API answered: by service, operation and class of status (2xx, 4xx, 5xx).",
        *("service", "operation", "status"),
    ),
    _gauge("load_balancers_not_shown", "Load balancers that have no metrics of their own here, as there are too many."),
    _counter("load_balancer_requests", "Requests that came to a load balancer (RequestCount).", "load_balancer"),
    _counter(
        "load_balancer_responses",
        "Answers that a load balancer gave itself: 3xx, 4xx, 5xx (HTTPCode_ELB_..._Count).",
        *("load_balancer", "status"),
    ),
    _counter(
        "load_balancer_connections",
        "Connections that clients made to a load balancer (NewConnectionCount, NewFlowCount).",
        "load_balancer",
    ),
    _gauge(
        "load_balancer_active_connections",
        "Connections that clients have now (ActiveConnectionCount, ActiveFlowCount).",
        "load_balancer",
    ),
    _counter(
        "load_balancer_bytes",
        "Bytes from a load balancer's clients (in) and to them (out) (ProcessedBytes).",
        *("load_balancer", "direction"),
    ),
    _counter("load_balancer_lost_log_lines", "Lines that are missing in its access log.", "load_balancer"),
    _counter(
        "target_group_responses",
        "Answers of a group's targets: 2xx, 3xx, 4xx, 5xx (HTTPCode_Target_..._Count).",
        *("load_balancer", "target_group", "status"),
    ),
    _counter(
        "target_group_connection_errors",
        "Connections to a group's targets that failed (TargetConnectionErrorCount).",
        *("load_balancer", "target_group"),
    ),
    _gauge(
        "target_group_targets",
        "A group's targets: healthy, unhealthy, initial, draining, unused (HealthyHostCount, UnHealthyHostCount).",
        *("load_balancer", "target_group", "state"),
    ),
    _gauge("queue_depth", "What waits in a queue of the control plane, or to be done for tasks.", "queue"),
)
