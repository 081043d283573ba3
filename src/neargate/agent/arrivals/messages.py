"""What the server says, judged before anything on this host uses it. Pure; the only place that does it.

The server is unprivileged and this process is root: every id that arrives becomes a file's name, an interface, a cgroup
or a line of nftables, every path a mount, every number a loop's period. So a message that an honest server would not
send is refused here as a whole. Invariant: what passes names nothing outside its own task, its VPC and its host's
directories, waits for nothing that cannot happen, and fits the agent's database. Fields without use here pass.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from ...definitions.awslogs import BUFFER_MAX_BYTES
from ...definitions.reading import is_absolute_path
from ...definitions.sizes import EPHEMERAL_MAX_GIB
from ...definitions.splunk import VALUE_MAX_CHARS, is_splunk_option
from ...definitions.volumes import TMPFS_OPTIONS, TMPFS_VALUES
from ...link.messages import (
    EXECUTION_ROLE,
    TASK_ROLE,
    BalancerPush,
    BalancerWithdraw,
    CredentialsIssued,
    CredentialsRefused,
    ExecOrder,
    LogAck,
    LogOpened,
    LogRefused,
    Pong,
    ProtectionTold,
    ReportAck,
    RunOrder,
    StopOrder,
    TagsTold,
    ToAgent,
    VpcPush,
    VpcWithdraw,
)
from ...model.launch import ContainerLaunch, SplunkLogs, TaskLaunch, Tmpfs
from .balancers import check_balancer
from .extras import extras_problem
from .judging import (
    ID,
    INTEGER_MAX,
    WORD_MAX,
    Refused,
    check_between,
    check_count,
    check_id,
    check_names,
    check_plain,
    check_words,
    need,
)
from .network import check_eni, check_plan

_SESSION = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
_LIMIT_NAME = re.compile(r"[a-z]{1,16}")
_CAPABILITY = re.compile(r"[A-Z_]{1,40}")

OFFSET_MAX = 2**62
_TEXT_MAX = 2048
_TAGS_MAX = 64  # ECS's fifty, and its own
_CONTAINERS_MAX = 10
_VOLUMES_MAX = 256
_UNITS_MAX = 1 << 20
_MIB_MAX = 1 << 22
_PERIOD_MAX_S = 3600
_TIME_MAX = 253_402_300_799  # the last second that a date of four digits names
_CONDITIONS = frozenset({"START", "COMPLETE", "SUCCESS", "HEALTHY"})


def problem(message: ToAgent) -> str | None:
    """Why this message is not obeyed; None when it may be."""
    check = _CHECKS_BY_KIND.get(type(message))
    if check is None:
        return None
    try:
        check(message)
    except Refused as refused:
        return f"{type(message).__name__}: {refused}"
    return None


def is_task(task_id: str, incarnation: str) -> bool:
    """Whether these can name a task of this host at all, so that a refusal of it can be reported."""
    return ID.fullmatch(task_id) is not None and ID.fullmatch(incarnation) is not None


# -- messages


def _check_run(message: RunOrder) -> None:
    launch = message.launch
    for name in ("task_id", "incarnation", "capacity_id"):
        check_id(name, getattr(launch, name))
    for name in ("task_arn", "account", "region", "zone", "zone_id", "cluster", "cluster_arn", "family", "group"):
        check_plain(name, getattr(launch, name), _TEXT_MAX)
    check_between("revision", launch.revision, 0, INTEGER_MAX)
    check_between("cpu_units", launch.cpu_units, 1, _UNITS_MAX)
    check_between("memory_mib", launch.memory_mib, 1, _MIB_MAX)
    check_between("ephemeral_gib", launch.ephemeral_gib, 1, EPHEMERAL_MAX_GIB)
    check_eni(launch.eni)
    check_names("volumes", launch.volumes, _VOLUMES_MAX)
    check_names("containers", [container.name for container in launch.containers], _CONTAINERS_MAX)
    need(len(launch.containers) > 0, "a task without containers")
    for container in launch.containers:
        _check_container(container, launch)
    _check_order(launch.containers)


def _check_push(message: VpcPush) -> None:
    check_plan(message.plan)


def _check_withdraw(message: VpcWithdraw) -> None:
    check_id("vpc_id", message.vpc_id)
    check_between("generation", message.generation, 0, INTEGER_MAX)


def _check_balancer(message: BalancerPush) -> None:
    check_balancer(message.plan)


def _check_balancer_withdraw(message: BalancerWithdraw) -> None:
    check_plain("arn", message.arn, 512)
    check_between("generation", message.generation, 0, INTEGER_MAX)


def _check_stop(message: StopOrder) -> None:
    check_id("task_id", message.task_id)
    check_id("incarnation", message.incarnation)
    check_plain("stop_code", message.stop_code, 64)
    need(len(message.reason) <= WORD_MAX, "the reason is too long")


def _check_ack(message: ReportAck) -> None:
    check_id("task_id", message.task_id)
    check_between("report_seq", message.report_seq, 0, INTEGER_MAX)


def _check_log(message: LogOpened | LogAck) -> None:
    """An offset is where a file is read and given back."""
    check_between("offset", message.offset, 0, OFFSET_MAX)
    check_between("stream_key", message.stream_key, 0, INTEGER_MAX)


def _check_log_refused(message: LogRefused) -> None:
    """It becomes a task's reason and a line of this host's log."""
    check_plain("code", message.code, 256)
    check_plain("operation", message.operation, 256)
    need(len(message.message) <= WORD_MAX, "the reason is too long")


def _check_credentials(message: CredentialsIssued | CredentialsRefused) -> None:
    """They become a file of this host and an answer to a task; whether they were asked for is seen there."""
    check_id("task_id", message.task_id)
    need(message.kind in (TASK_ROLE, EXECUTION_ROLE), "credentials of no role of a task")
    if isinstance(message, CredentialsRefused):
        need(len(message.message) <= WORD_MAX, "the reason is too long")
        return
    for name in ("role_arn", "access_key_id", "secret_access_key"):
        check_plain(name, getattr(message, name), _TEXT_MAX)
    check_plain("token", message.token, WORD_MAX)
    need(0 <= message.issued_at < message.expires_at <= _TIME_MAX, "credentials have no time")


def _check_tags(message: TagsTold) -> None:
    """They are shown to the task whose they are."""
    check_id("task_id", message.task_id)
    need(len(message.tags) <= _TAGS_MAX, "there are too many tags")
    need(all(len(key) <= _TEXT_MAX and len(value) <= _TEXT_MAX for key, value in message.tags), "a tag is too long")


def _check_protection(message: ProtectionTold) -> None:
    """Shown to the task that asked."""
    for name in ("reason", "code"):
        check_plain(name, getattr(message, name), _TEXT_MAX)
    need(len(message.message) <= WORD_MAX, "the message is too long")
    need(message.expires_at is None or 0 <= message.expires_at <= _TIME_MAX, "protection has no time")


def _check_pong(message: Pong) -> None:
    check_between("n", message.n, 0, INTEGER_MAX)


def _check_exec(message: ExecOrder) -> None:
    for name in ("task_id", "incarnation"):
        check_id(name, getattr(message, name))
    need(_SESSION.fullmatch(message.session) is not None, "session is no id")
    check_names("container", [message.container], 1)
    check_words("args", message.args)
    need(bool(message.args) and bool(message.args[0]), "args name no command")


_CHECKS_BY_KIND: Mapping[type, Callable[..., None]] = {
    RunOrder: _check_run,
    VpcPush: _check_push,
    VpcWithdraw: _check_withdraw,
    BalancerPush: _check_balancer,
    BalancerWithdraw: _check_balancer_withdraw,
    StopOrder: _check_stop,
    ReportAck: _check_ack,
    LogOpened: _check_log,
    LogAck: _check_log,
    LogRefused: _check_log_refused,
    CredentialsIssued: _check_credentials,
    CredentialsRefused: _check_credentials,
    TagsTold: _check_tags,
    ProtectionTold: _check_protection,
    ExecOrder: _check_exec,
    Pong: _check_pong,
}


# -- containers


def _check_container(container: ContainerLaunch, launch: TaskLaunch) -> None:
    check_plain("image", container.image, _TEXT_MAX)
    check_plain("image_pin", container.image_pin, _TEXT_MAX)
    check_plain("arn", container.arn, _TEXT_MAX)
    check_words("command", container.command or ())
    check_words("entry_point", container.entry_point or ())
    check_words("environment", [word for pair in container.environment for word in pair])
    need(all(name and "=" not in name for name, _ in container.environment), "environment has a variable without name")
    check_between("cpu_units", container.cpu_units, 0, _UNITS_MAX)
    for amount in (container.memory_mib, container.memory_reservation_mib):
        check_between("memory", 1 if amount is None else amount, 1, _MIB_MAX)
    check_plain("user", container.user or "", _TEXT_MAX)
    directory = container.working_directory
    need(not directory or (directory.startswith("/") and len(directory) <= 4096), "working_directory is not absolute")
    check_plain("working_directory", directory or "", 4096)
    _check_privileges(container)
    check_count("mount_points", container.mount_points, _VOLUMES_MAX)
    for mount in container.mount_points:
        need(mount.source_volume in launch.volumes, "a mount point names no volume of the task")
        need(is_absolute_path(mount.container_path) and "\0" not in mount.container_path, "a mount point has no path")
    check_count("tmpfs", container.tmpfs, _VOLUMES_MAX)
    for tmpfs in container.tmpfs:
        _check_tmpfs(tmpfs)
    _check_times(container)
    _check_secrets(container)
    extra = extras_problem(container)
    need(extra is None, extra or "")
    if container.logs is not None:
        check_between("max_buffer_bytes", container.logs.max_buffer_bytes, 1, BUFFER_MAX_BYTES)
    if container.splunk is not None:
        _check_splunk(container.splunk)


def _check_secrets(container: ContainerLaunch) -> None:
    """Names of variables, and references that become requests."""
    check_words("secrets", [secret.name for secret in container.secrets])
    need(all(item.name and "=" not in item.name for item in container.secrets), "a secret has no variable's name")
    for reference in (*(secret.value_from for secret in container.secrets), container.repository_credentials):
        check_plain("a secret's reference", reference, _TEXT_MAX)


def _check_splunk(given: SplunkLogs) -> None:
    """Values become requests of this process: they are judged one by one where they are read."""
    names = [*(name for name, _ in given.options), *(item.name for item in given.secret_options)]
    need(len(set(names)) == len(names), "a log option is given twice")
    need(all(is_splunk_option(name) for name in names), "a log option is none of the splunk driver")
    need(all(len(value) <= VALUE_MAX_CHARS for _, value in given.options), "a log option is too long")
    for item in given.secret_options:
        check_plain("a secret's reference", item.value_from, _TEXT_MAX)
    check_between("max_buffer_bytes", given.max_buffer_bytes, 1, BUFFER_MAX_BYTES)


def _check_privileges(container: ContainerLaunch) -> None:
    """Names only: what a task may have of them is the sandbox's to decide."""
    for capability in (*container.capabilities_add, *container.capabilities_drop):
        need(_CAPABILITY.fullmatch(capability) is not None, "a capability has no capability's name")
    for limit in container.ulimits:
        need(_LIMIT_NAME.fullmatch(limit.name) is not None, "a ulimit has no ulimit's name")
        check_between("a ulimit", limit.soft, -1, INTEGER_MAX)
        check_between("a ulimit", limit.hard, -1, INTEGER_MAX)


def _check_tmpfs(tmpfs: Tmpfs) -> None:
    """The runtime would take bind, remount and the like for what they say."""
    need(is_absolute_path(tmpfs.container_path) and "\0" not in tmpfs.container_path, "a tmpfs has no path")
    check_between("a tmpfs's size", tmpfs.size_mib, 1, _MIB_MAX)
    for option in tmpfs.mount_options:
        name, equals, value = option.partition("=")
        known = name in TMPFS_VALUES and value.isascii() and value.isdecimal() if equals else name in TMPFS_OPTIONS
        need(known, "a tmpfs has an unknown option")


def _check_times(container: ContainerLaunch) -> None:
    """Periods of zero would be loops without a pause."""
    check_between("start_timeout_s", container.start_timeout_s or 0, 0, _PERIOD_MAX_S)
    check_between("stop_timeout_s", container.stop_timeout_s, 0, _PERIOD_MAX_S)
    check = container.health_check
    if check is None:
        return
    check_words("a health check", check.command)
    need(check.command[:1] != (), "a health check has no kind")
    check_between("interval_s", check.interval_s, 1, _PERIOD_MAX_S)
    check_between("timeout_s", check.timeout_s, 1, _PERIOD_MAX_S)
    check_between("retries", check.retries, 1, 1000)
    check_between("start_period_s", check.start_period_s, 0, _PERIOD_MAX_S)


def _check_order(containers: Sequence[ContainerLaunch]) -> None:
    """Every container can be started some time: dependencies exist and have no cycle."""
    names = {container.name for container in containers}
    before: dict[str, set[str]] = {}
    for container in containers:
        wanted = {item.container_name for item in container.depends_on}
        wanted |= {item.source_container for item in container.volumes_from}
        need(wanted <= names, "a container depends on one that the task does not have")
        need(all(item.condition in _CONDITIONS for item in container.depends_on), "a dependency without condition")
        before[container.name] = wanted
    while before:
        ready = {name for name, wanted in before.items() if not wanted & before.keys()}
        need(bool(ready), "the containers depend on each other in a circle")
        before = {name: wanted for name, wanted in before.items() if name not in ready}
