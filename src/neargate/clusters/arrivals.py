"""What an agent says, judged before anything of the server uses it. Pure.

An agent is root on its own machine and may be taken over. Whether it may speak of a task at all is decided where the
task is looked up; here it is only made sure that its messages have a size, that their ids can be ids and that their
numbers fit a database. Invariant: what passes can be logged, stored and used as a key.
"""

import math
import re

import msgspec

from ..link.host_identity import KEY_BYTES
from ..link.messages import (
    HELLO_BALANCERS_MAX,
    HELLO_PLANS_MAX,
    CredentialsAsk,
    Hello,
    HostUpdate,
    LogAppend,
    LogOpen,
    NodeReports,
    ProtectionAsk,
    Report,
    TagsAsk,
)
from ..model.balancing import DRAINING, HEALTHY, INITIAL, UNHEALTHY, UNUSED, NodeReport
from ..model.capacity import OLD_MACHINES_MAX, HostFacts, HostPlatform, HostUse
from ..model.launch import ContainerReport, MemoryAtKill, TaskReport

INTEGER_MAX = 2**63 - 1  # SQLite's
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SHORT = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,255}")
_TEXT_MAX = 8192
_CONTAINERS_MAX = 32
NODES_MAX = 1024  # in one message
_TARGETS_MAX = 50_000
_STATES = frozenset({INITIAL, HEALTHY, UNHEALTHY, UNUSED, DRAINING})
_STAGES_MAX = 128
_WAITING_SIZES_MAX = 64
_SIZE_MAX = 2**40


def report_problem(report: TaskReport) -> str | None:
    """Why this report is not looked at; None when it may be."""
    if _ID.fullmatch(report.task_id) is None:
        return "its task id is none"
    if report.capacity_id and _ID.fullmatch(report.capacity_id) is None:
        return "its capacity id is none"
    if not 0 <= report.report_seq <= INTEGER_MAX:
        return "its sequence is out of range"
    if not _are_short(report.incarnation, report.known_status, report.stop_code or ""):
        return "a name is too long or has control characters"
    if len(report.stopped_reason or "") > _TEXT_MAX:
        return "its reason is too long"
    if len(report.containers) > _CONTAINERS_MAX:
        return "it has too many containers"
    if not all(_is_container(container) for container in report.containers):
        return "a container's texts are too long"
    stages = report.stages_ms
    if len(stages) > _STAGES_MAX or not _are_short(*stages) or not all(map(math.isfinite, stages.values())):
        return "its stages are no times by name"
    return None


def hello_problem(hello: Hello, reports_max: int) -> str | None:
    if len(hello.reports) > reports_max:
        return "too many reports in one hello"
    if len(hello.plans or ()) > HELLO_PLANS_MAX:
        return "too many VPCs in one hello"
    if not all(_ID.fullmatch(vpc_id) and 0 <= generation <= INTEGER_MAX for vpc_id, generation in hello.plans or ()):
        return "a VPC's id or its plan's generation is none"
    if len(hello.balancers or ()) > HELLO_BALANCERS_MAX:
        return "too many load balancers in one hello"
    if not all(_are_short(arn) and 0 <= generation <= INTEGER_MAX for arn, generation in hello.balancers or ()):
        return "a load balancer's ARN or its plan's generation is none"
    if len(hello.public_key) != KEY_BYTES:
        return "the host has no key"
    return facts_problem(hello.host) if _are_short(hello.process) else "a process's name has at most 255 characters"


def facts_problem(facts: HostFacts) -> str | None:
    """An agent is trusted with its host, not with our memory."""
    if not facts.host_id or _ID.fullmatch(facts.host_id) is None:
        return "a host's id has 1 to 64 letters, digits, hyphens and underscores"
    texts = (facts.boot_id, facts.software, facts.sandbox, facts.architecture, facts.zone or "", facts.reason or "")
    below = facts.platform or HostPlatform()
    releases = (below.kernel, below.guest_image, below.vmm)
    if not _are_short(*texts, *releases, facts.last_stray, facts.refused_pools):
        return "a host's texts have at most 255 characters"
    if len(facts.old_machines) > OLD_MACHINES_MAX or not all(map(_ID.fullmatch, facts.old_machines)):
        return "a host's old machines are too many, or the name of one is none"
    sizes = (facts.capacity.cpu_units, facts.capacity.memory_mib, facts.capacity.disk_gib)
    overhead = (facts.overhead.memory_mib, facts.overhead.memory_part)
    counts = (facts.strays, facts.refused_plans, facts.flow_log_skips, facts.machines, facts.used_memory_mib)
    if not all(0 <= count <= INTEGER_MAX for count in (*counts, *_use_counts(facts.use))):
        return "a host's count of strays, refused plans, skips, machines, starts or MiB is out of range"
    if facts.use is not None and len(facts.use.waiting) > _WAITING_SIZES_MAX:
        return "machines of too many sizes wait on a host"
    return None if all(0 <= size <= _SIZE_MAX for size in (*sizes, *overhead)) else "a host's capacity is out of range"


def _use_counts(use: HostUse | None) -> list[int]:
    if use is None:
        return []
    waiting = [count for one in use.waiting[:_WAITING_SIZES_MAX] for count in (one.vcpus, one.memory_mib, one.count)]
    return [use.cpu_units, use.disk_mib, use.came_warm, use.came_saved, use.came_cold, *waiting]


def source_problem(message: LogOpen | LogAppend) -> str | None:
    """Its source's name is kept for as long as the connection lasts."""
    if _ID.fullmatch(message.task_id) is None or not message.container or not _are_short(message.container):
        return "the name of a log source is none"
    return None


def nodes_problem(message: NodeReports) -> str | None:
    """What nodes say of targets is shown to callers."""
    if len(message.reports) > NODES_MAX or sum(map(_targets_in, message.reports)) > _TARGETS_MAX:
        return "a report of nodes says too much"
    return None if all(map(_is_node_report, message.reports)) else "a report of nodes has what is none"


def _targets_in(report: NodeReport) -> int:
    return len(report.groups) + len(report.requests) + sum(len(group.targets) for group in report.groups)


def _is_node_report(report: NodeReport) -> bool:
    named = _ID.fullmatch(report.place) is not None and 0 <= report.generation <= INTEGER_MAX
    texts = [report.arn, report.why, *(group.group for group in report.groups), *(arn for arn, _ in report.requests)]
    texts += [text for group in report.groups for one in group.targets for text in (one.key, one.reason, one.detail)]
    counts = [count for _, each in report.requests for count in each]
    counts += [one.in_flight for group in report.groups for one in group.targets]
    traffic = report.traffic
    counts += [traffic.requests, traffic.connections, traffic.active, traffic.received, traffic.sent]
    counts += [*traffic.own, traffic.lost_lines]
    states = {one.state for group in report.groups for one in group.targets}
    return named and states <= _STATES and _are_short(*texts) and all(0 <= count <= INTEGER_MAX for count in counts)


def problem(message: object, reports_max: int) -> str | None:
    """The same by kind of message; what is of no kind named here carries nothing that could hurt."""
    match message:
        case Hello():
            return hello_problem(message, reports_max)
        case HostUpdate():
            return facts_problem(message.host)
        case Report():
            return report_problem(message.report)
        case NodeReports():
            return nodes_problem(message)
        case LogOpen() | LogAppend():
            return source_problem(message)
        case CredentialsAsk():
            wrong = _ID.fullmatch(message.task_id) is None or not _are_short(message.kind)
            return "an ask for credentials names no task" if wrong else None
        case ProtectionAsk():
            wrong = _ID.fullmatch(message.task_id) is None
            wrong |= not 0 <= message.number <= INTEGER_MAX or not 0 <= message.expires_in_minutes <= INTEGER_MAX
            return "an ask for protection names no task" if wrong else None
        case TagsAsk():
            return "an ask for tags names no task" if _ID.fullmatch(message.task_id) is None else None
        case _:
            return None


def _is_container(container: ContainerReport) -> bool:
    names = (container.name, container.known_status, container.health_status)
    return (
        _are_short(*names, container.runtime_id or "", container.image_digest or "")
        and len(container.reason or "") <= _TEXT_MAX
        and _are_counts(container.memory_at_kill)
    )


def _are_counts(memory: MemoryAtKill | None) -> bool:
    return memory is None or all(0 <= count <= INTEGER_MAX for count in msgspec.structs.astuple(memory))


def _are_short(*texts: str) -> bool:
    return all(_SHORT.fullmatch(text) is not None for text in texts)
