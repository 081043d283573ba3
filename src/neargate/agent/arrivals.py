"""What the server says, judged before anything on this host uses it. Pure; the only place that does it.

The server is unprivileged and this process is root: every id that arrives becomes a file's name, an interface, a cgroup
or a line of nftables, every path a mount, every number a loop's period. So a message that an honest server would not
send is refused here as a whole. Invariant: what passes names nothing outside its own task, its VPC and its host's
directories, waits for nothing that cannot happen, and fits the agent's database. Fields without use here pass.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from ..definitions.reading import NAME, is_absolute_path
from ..definitions.sizes import EPHEMERAL_MAX_GIB
from ..definitions.volumes import TMPFS_OPTIONS, TMPFS_VALUES
from ..link.messages import (
    LogAck,
    LogOpened,
    Pong,
    ReportAck,
    RunOrder,
    StopOrder,
    ToAgent,
    VpcPush,
)
from ..model.launch import ContainerLaunch, HealthCheck, TaskLaunch, Tmpfs
from ..model.network import ENI_MAC_GATEWAY, Eni, SecurityGroup, SecurityGroupRule, VpcPlan

# Letters, digits, hyphens: no dot, so that no id is a hidden file, a suffix of ours or a step upwards.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MAC = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_HOST_NAME = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,9}")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]*")
_LIMIT_NAME = re.compile(r"[a-z]{1,16}")
_CAPABILITY = re.compile(r"[A-Z_]{1,40}")

INTEGER_MAX = 2**63 - 1  # of the agent's database
OFFSET_MAX = 2**62
_TEXT_MAX = 2048
_WORD_MAX = 128 * 1024  # the kernel's bound on one argument
_CONTAINERS_MAX = 10
_VOLUMES_MAX = 256
_LIST_MAX = 4096
_UNITS_MAX = 1 << 20
_MIB_MAX = 1 << 22
_PERIOD_MAX_S = 3600
_CONDITIONS = frozenset({"START", "COMPLETE", "SUCCESS", "HEALTHY"})
_CHECKS = frozenset({"NONE", "CMD", "CMD-SHELL"})


class _Refused(Exception):
    """The sentence says which field, never the whole value: it is logged."""


def problem(message: ToAgent) -> str | None:
    """Why this message is not obeyed; None when it may be."""
    check = _CHECKS_BY_KIND.get(type(message))
    if check is None:
        return None
    try:
        check(message)
    except _Refused as refused:
        return f"{type(message).__name__}: {refused}"
    return None


def is_task(task_id: str, incarnation: str) -> bool:
    """Whether these can name a task of this host at all, so that a refusal of it can be reported."""
    return _ID.fullmatch(task_id) is not None and _ID.fullmatch(incarnation) is not None


# -- messages


def _check_run(message: RunOrder) -> None:
    launch = message.launch
    for name in ("task_id", "incarnation", "capacity_id"):
        _id(name, getattr(launch, name))
    for name in ("task_arn", "account", "region", "zone", "zone_id", "cluster", "cluster_arn", "family", "group"):
        _plain(name, getattr(launch, name), _TEXT_MAX)
    _between("revision", launch.revision, 0, INTEGER_MAX)
    _between("cpu_units", launch.cpu_units, 1, _UNITS_MAX)
    _between("memory_mib", launch.memory_mib, 1, _MIB_MAX)
    _between("ephemeral_gib", launch.ephemeral_gib, 1, EPHEMERAL_MAX_GIB)
    _check_eni(launch.eni)
    _names("volumes", launch.volumes, _VOLUMES_MAX)
    _names("containers", [container.name for container in launch.containers], _CONTAINERS_MAX)
    _need(len(launch.containers) > 0, "a task without containers")
    for container in launch.containers:
        _check_container(container, launch)
    _check_order(launch.containers)


def _check_push(message: VpcPush) -> None:
    plan = message.plan
    _id("vpc_id", plan.vpc_id)
    _between("generation", plan.generation, 0, INTEGER_MAX)
    _count("cidrs", plan.cidrs, 64)
    _check_cidrs(plan)
    _count("groups", plan.groups, _LIST_MAX)
    for group in plan.groups:
        _check_group(group)


def _check_stop(message: StopOrder) -> None:
    _id("task_id", message.task_id)
    _id("incarnation", message.incarnation)
    _plain("stop_code", message.stop_code, 64)
    _need(len(message.reason) <= _WORD_MAX, "the reason is too long")


def _check_ack(message: ReportAck) -> None:
    _id("task_id", message.task_id)
    _between("report_seq", message.report_seq, 0, INTEGER_MAX)


def _check_log(message: LogOpened | LogAck) -> None:
    """An offset is where a file is read and given back."""
    _between("offset", message.offset, 0, OFFSET_MAX)
    _between("stream_key", message.stream_key, 0, INTEGER_MAX)


def _check_pong(message: Pong) -> None:
    _between("n", message.n, 0, INTEGER_MAX)


_CHECKS_BY_KIND: Mapping[type, Callable[..., None]] = {
    RunOrder: _check_run,
    VpcPush: _check_push,
    StopOrder: _check_stop,
    ReportAck: _check_ack,
    LogOpened: _check_log,
    LogAck: _check_log,
    Pong: _check_pong,
}


# -- network


def _check_eni(eni: Eni) -> None:
    for name in ("eni_id", "attachment_id", "vpc_id", "subnet_id"):
        _id(name, getattr(eni, name))
    _need(_MAC.fullmatch(eni.mac) is not None and eni.mac != ENI_MAC_GATEWAY, "mac is none of an interface")
    subnet = _network("subnet_cidr", eni.subnet_cidr)
    private = _ipv4("private_ipv4", eni.private_ipv4)
    # The first address is the gateway; a /30 is the smallest block with another one.
    inside = isinstance(subnet, IPv4Network) and subnet.prefixlen <= 30 and private in subnet and private != subnet[1]
    _need(inside, "private_ipv4 is no address for a task in subnet_cidr")
    if eni.public_ipv4 is not None:
        _ipv4("public_ipv4", eni.public_ipv4)
    if eni.ipv6 is not None:
        address = _address("ipv6", eni.ipv6)
        _need(address.version == 6 and not _is_special(address), "ipv6 is no address for a task")
    _count("security_groups", eni.security_groups, 64)
    for group_id in eni.security_groups:
        _id("security_groups", group_id)
    named = eni.private_dns_name == "" or _HOST_NAME.fullmatch(eni.private_dns_name) is not None
    _need(named, "private_dns_name is no host name")


def _check_cidrs(plan: VpcPlan) -> None:
    for text in plan.cidrs:
        network = _network("cidrs", text)
        _need(network.prefixlen >= 8 and not _is_special(network.network_address), "cidrs holds no block of a VPC")


def _check_group(group: SecurityGroup) -> None:
    """Rules that cannot be expressed allow nothing and are named by the rule set; here only what could hurt."""
    _id("group_id", group.group_id)
    _count("remote_members", group.remote_members, _LIST_MAX)
    for text in group.remote_members:
        _address("remote_members", text)
    for rules in (group.ingress, group.egress):
        _count("rules", rules, _LIST_MAX)
        for rule in rules:
            _check_rule(rule)


def _check_rule(rule: SecurityGroupRule) -> None:
    for text in (rule.protocol, rule.cidr_ipv4 or "", rule.cidr_ipv6 or ""):
        _plain("a rule", text, 64)
    _need(rule.protocol.isascii(), "a rule has no protocol's name")
    if rule.peer_group is not None:
        _id("peer_group", rule.peer_group)
    for port in (rule.from_port, rule.to_port):
        _between("a rule's port", port or 0, -1, 65535)


def _ipv4(name: str, text: str) -> IPv4Address:
    address = _address(name, text)
    if not isinstance(address, IPv4Address) or _is_special(address):
        raise _Refused(f"{name} is no IPv4 address for a task")
    return address


def _address(name: str, text: str) -> "IPv4Address | object | Any":
    raise AssertionError


# -- containers


def _check_container(container: ContainerLaunch, launch: TaskLaunch) -> None:
    _plain("image", container.image, _TEXT_MAX)
    _plain("arn", container.arn, _TEXT_MAX)
    for words in (container.command or (), container.entry_point or ()):
        _words("command", words)
    _count("environment", container.environment, _LIST_MAX)
    for name, value in container.environment:
        _need(name != "" and "=" not in name, "environment has a variable without a name")
        _words("environment", (name, value))
    _between("cpu_units", container.cpu_units, 0, _UNITS_MAX)
    for amount in (container.memory_mib, container.memory_reservation_mib):
        _between("memory", 1 if amount is None else amount, 1, _MIB_MAX)
    _plain("user", container.user or "", _TEXT_MAX)
    directory = container.working_directory
    _need(not directory or (directory.startswith("/") and len(directory) <= 4096), "working_directory is not absolute")
    _plain("working_directory", directory or "", 4096)
    for capability in (*container.capabilities_add, *container.capabilities_drop):
        _need(_CAPABILITY.fullmatch(capability) is not None, "a capability has no capability's name")
    for limit in container.ulimits:
        _need(_LIMIT_NAME.fullmatch(limit.name) is not None, "a ulimit has no ulimit's name")
        for value in (limit.soft, limit.hard):
            _between("a ulimit", value, -1, INTEGER_MAX)
    for tmpfs in container.tmpfs:
        _check_tmpfs(tmpfs)
    _count("mount_points", container.mount_points, _LIST_MAX)
    for mount in container.mount_points:
        _need(mount.source_volume in launch.volumes, "a mount point names no volume of the task")
        _path("a mount point", mount.container_path)
    _check_times(container)
    if container.logs is not None:
        _between("max_buffer_bytes", container.logs.max_buffer_bytes, 1, 1 << 30)
