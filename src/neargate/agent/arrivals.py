"""What the server says, judged before anything on this host uses it. Pure; the only place that does it.

The server is unprivileged and this process is root: every id that arrives becomes a file's name, an interface, a cgroup
or a line of nftables, every path a mount, every number a loop's period. So a message that an honest server would not
send is refused here as a whole. Invariant: what passes names nothing outside its own task, its VPC and its host's
directories, waits for nothing that cannot happen, and fits the agent's database. Fields without use here pass.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..definitions.awslogs import BUFFER_MAX_BYTES
from ..definitions.reading import NAME, is_absolute_path
from ..definitions.sizes import EPHEMERAL_MAX_GIB
from ..definitions.splunk import VALUE_MAX_CHARS, is_splunk_option
from ..definitions.volumes import TMPFS_OPTIONS, TMPFS_VALUES
from ..link.messages import (
    EXECUTION_ROLE,
    TASK_ROLE,
    CredentialsIssued,
    CredentialsRefused,
    ExecOrder,
    LogAck,
    LogOpened,
    LogRefused,
    Pong,
    ReportAck,
    RunOrder,
    StopOrder,
    TagsTold,
    ToAgent,
    VpcPush,
)
from ..model.launch import ContainerLaunch, SplunkLogs, TaskLaunch, Tmpfs
from ..model.network import ENI_MAC_GATEWAY, Eni, SecurityGroup, SecurityGroupRule, VpcPlan
from .arrivals_extras import extras_problem

# Letters, digits, hyphens: no dot, so that no id is a hidden file, a suffix of ours or a step upwards.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SESSION = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
_MAC = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_HOST_NAME = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,9}")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]*")
_LIMIT_NAME = re.compile(r"[a-z]{1,16}")
_CAPABILITY = re.compile(r"[A-Z_]{1,40}")

INTEGER_MAX = 2**63 - 1  # of the agent's database
OFFSET_MAX = 2**62
_TEXT_MAX = 2048
_TAGS_MAX = 64  # ECS's fifty, and its own
_WORD_MAX = 128 * 1024  # the kernel's bound on one argument
_CONTAINERS_MAX = 10
_VOLUMES_MAX = 256
_LIST_MAX = 4096
_UNITS_MAX = 1 << 20
_MIB_MAX = 1 << 22
_PERIOD_MAX_S = 3600
_TIME_MAX = 253_402_300_799  # the last second that a date of four digits names
_CONDITIONS = frozenset({"START", "COMPLETE", "SUCCESS", "HEALTHY"})


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


def _check_log_refused(message: LogRefused) -> None:
    """It becomes a task's reason and a line of this host's log."""
    _plain("code", message.code, 256)
    _plain("operation", message.operation, 256)
    _need(len(message.message) <= _WORD_MAX, "the reason is too long")


def _check_credentials(message: CredentialsIssued | CredentialsRefused) -> None:
    """They become a file of this host and an answer to a task; whether they were asked for is seen there."""
    _id("task_id", message.task_id)
    _need(message.kind in (TASK_ROLE, EXECUTION_ROLE), "credentials of no role of a task")
    if isinstance(message, CredentialsRefused):
        _need(len(message.message) <= _WORD_MAX, "the reason is too long")
        return
    for name in ("role_arn", "access_key_id", "secret_access_key"):
        _plain(name, getattr(message, name), _TEXT_MAX)
    _plain("token", message.token, _WORD_MAX)
    _need(0 <= message.issued_at < message.expires_at <= _TIME_MAX, "credentials have no time")


def _check_tags(message: TagsTold) -> None:
    """They are shown to the task whose they are."""
    _id("task_id", message.task_id)
    _need(len(message.tags) <= _TAGS_MAX, "there are too many tags")
    _need(all(len(key) <= _TEXT_MAX and len(value) <= _TEXT_MAX for key, value in message.tags), "a tag is too long")


def _check_pong(message: Pong) -> None:
    _between("n", message.n, 0, INTEGER_MAX)


def _check_exec(message: ExecOrder) -> None:
    for name in ("task_id", "incarnation"):
        _id(name, getattr(message, name))
    _need(_SESSION.fullmatch(message.session) is not None, "session is no id")
    _names("container", [message.container], 1)
    _words("args", message.args)
    _need(bool(message.args) and bool(message.args[0]), "args name no command")


_CHECKS_BY_KIND: Mapping[type, Callable[..., None]] = {
    RunOrder: _check_run,
    VpcPush: _check_push,
    StopOrder: _check_stop,
    ReportAck: _check_ack,
    LogOpened: _check_log,
    LogAck: _check_log,
    LogRefused: _check_log_refused,
    CredentialsIssued: _check_credentials,
    CredentialsRefused: _check_credentials,
    TagsTold: _check_tags,
    ExecOrder: _check_exec,
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


# -- containers


def _check_container(container: ContainerLaunch, launch: TaskLaunch) -> None:
    _plain("image", container.image, _TEXT_MAX)
    _plain("image_pin", container.image_pin, _TEXT_MAX)
    _plain("arn", container.arn, _TEXT_MAX)
    _words("command", container.command or ())
    _words("entry_point", container.entry_point or ())
    _words("environment", [word for pair in container.environment for word in pair])
    _need(all(name and "=" not in name for name, _ in container.environment), "environment has a variable without name")
    _between("cpu_units", container.cpu_units, 0, _UNITS_MAX)
    for amount in (container.memory_mib, container.memory_reservation_mib):
        _between("memory", 1 if amount is None else amount, 1, _MIB_MAX)
    _plain("user", container.user or "", _TEXT_MAX)
    directory = container.working_directory
    _need(not directory or (directory.startswith("/") and len(directory) <= 4096), "working_directory is not absolute")
    _plain("working_directory", directory or "", 4096)
    _check_privileges(container)
    _count("mount_points", container.mount_points, _VOLUMES_MAX)
    for mount in container.mount_points:
        _need(mount.source_volume in launch.volumes, "a mount point names no volume of the task")
        _need(is_absolute_path(mount.container_path) and "\0" not in mount.container_path, "a mount point has no path")
    _count("tmpfs", container.tmpfs, _VOLUMES_MAX)
    for tmpfs in container.tmpfs:
        _check_tmpfs(tmpfs)
    _check_times(container)
    _check_secrets(container)
    extra = extras_problem(container)
    _need(extra is None, extra or "")
    if container.logs is not None:
        _between("max_buffer_bytes", container.logs.max_buffer_bytes, 1, BUFFER_MAX_BYTES)
    if container.splunk is not None:
        _check_splunk(container.splunk)


def _check_secrets(container: ContainerLaunch) -> None:
    """Names of variables, and references that become requests."""
    _words("secrets", [secret.name for secret in container.secrets])
    _need(all(item.name and "=" not in item.name for item in container.secrets), "a secret has no variable's name")
    for reference in (*(secret.value_from for secret in container.secrets), container.repository_credentials):
        _plain("a secret's reference", reference, _TEXT_MAX)


def _check_splunk(given: SplunkLogs) -> None:
    """Values become requests of this process: they are judged one by one where they are read."""
    names = [*(name for name, _ in given.options), *(item.name for item in given.secret_options)]
    _need(len(set(names)) == len(names), "a log option is given twice")
    _need(all(is_splunk_option(name) for name in names), "a log option is none of the splunk driver")
    _need(all(len(value) <= VALUE_MAX_CHARS for _, value in given.options), "a log option is too long")
    for item in given.secret_options:
        _plain("a secret's reference", item.value_from, _TEXT_MAX)
    _between("max_buffer_bytes", given.max_buffer_bytes, 1, BUFFER_MAX_BYTES)


def _check_privileges(container: ContainerLaunch) -> None:
    """Names only: what a task may have of them is the sandbox's to decide."""
    for capability in (*container.capabilities_add, *container.capabilities_drop):
        _need(_CAPABILITY.fullmatch(capability) is not None, "a capability has no capability's name")
    for limit in container.ulimits:
        _need(_LIMIT_NAME.fullmatch(limit.name) is not None, "a ulimit has no ulimit's name")
        _between("a ulimit", limit.soft, -1, INTEGER_MAX)
        _between("a ulimit", limit.hard, -1, INTEGER_MAX)


def _check_tmpfs(tmpfs: Tmpfs) -> None:
    """The runtime would take bind, remount and the like for what they say."""
    _need(is_absolute_path(tmpfs.container_path) and "\0" not in tmpfs.container_path, "a tmpfs has no path")
    _between("a tmpfs's size", tmpfs.size_mib, 1, _MIB_MAX)
    for option in tmpfs.mount_options:
        name, equals, value = option.partition("=")
        known = name in TMPFS_VALUES and value.isascii() and value.isdecimal() if equals else name in TMPFS_OPTIONS
        _need(known, "a tmpfs has an unknown option")


def _check_times(container: ContainerLaunch) -> None:
    """Periods of zero would be loops without a pause."""
    _between("start_timeout_s", container.start_timeout_s or 0, 0, _PERIOD_MAX_S)
    _between("stop_timeout_s", container.stop_timeout_s, 0, _PERIOD_MAX_S)
    check = container.health_check
    if check is None:
        return
    _words("a health check", check.command)
    _need(check.command[:1] != (), "a health check has no kind")
    _between("interval_s", check.interval_s, 1, _PERIOD_MAX_S)
    _between("timeout_s", check.timeout_s, 1, _PERIOD_MAX_S)
    _between("retries", check.retries, 1, 1000)
    _between("start_period_s", check.start_period_s, 0, _PERIOD_MAX_S)


def _check_order(containers: Sequence[ContainerLaunch]) -> None:
    """Every container can be started some time: dependencies exist and have no cycle."""
    names = {container.name for container in containers}
    before: dict[str, set[str]] = {}
    for container in containers:
        wanted = {item.container_name for item in container.depends_on}
        wanted |= {item.source_container for item in container.volumes_from}
        _need(wanted <= names, "a container depends on one that the task does not have")
        _need(all(item.condition in _CONDITIONS for item in container.depends_on), "a dependency without condition")
        before[container.name] = wanted
    while before:
        ready = {name for name, wanted in before.items() if not wanted & before.keys()}
        _need(bool(ready), "the containers depend on each other in a circle")
        before = {name: wanted for name, wanted in before.items() if name not in ready}


# -- parts


def _need(condition: bool, sentence: str) -> None:
    if not condition:
        raise _Refused(sentence)


def _id(name: str, text: str) -> None:
    _need(_ID.fullmatch(text) is not None, f"{name} is no id: {text[:80]!r}")


def _plain(name: str, text: str, most: int) -> None:
    _need(len(text) <= most and _PLAIN.fullmatch(text) is not None, f"{name} is too long or has control characters")


def _between(name: str, value: int, low: int, high: int) -> None:
    _need(low <= value <= high, f"{name} is not between {low} and {high}")


def _count(name: str, values: Sequence[object], most: int) -> None:
    _need(len(values) <= most, f"more than {most} {name}")


def _names(name: str, values: Sequence[str], most: int) -> None:
    _count(name, values, most)
    _need(all(NAME.match(value) for value in values), f"{name} has a name with other than letters, digits, - and _")
    _need(len(set(values)) == len(values), f"{name} has a name twice")


def _words(name: str, words: Sequence[str]) -> None:
    """Arguments and variables: whatever a process may be given."""
    _count(name, words, _LIST_MAX)
    _need(all("\0" not in word and len(word) <= _WORD_MAX for word in words), f"{name} has a word too long or with NUL")


def _address(name: str, text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise _Refused(f"{name} is no address") from None


def _ipv4(name: str, text: str) -> IPv4Address:
    address = _address(name, text)
    if not isinstance(address, IPv4Address) or _is_special(address):
        raise _Refused(f"{name} is no IPv4 address for a task")
    return address


def _network(name: str, text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise _Refused(f"{name} is no network") from None


def _is_special(address: IPv4Address | IPv6Address) -> bool:
    """Loopback, link-local (metadata, the region's endpoint, our hops), multicast: never a task's own."""
    return address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
