"""What an agent is told of a task: everything resolved, nothing left to look up. Sent over the link."""

from msgspec import Struct, field

from .concealed import Concealed
from .network import Eni


class PortMapping(Struct, frozen=True, kw_only=True):
    container_port: int
    host_port: int
    protocol: str = "tcp"
    name: str | None = None
    app_protocol: str | None = None


class MountPoint(Struct, frozen=True, kw_only=True):
    source_volume: str
    container_path: str
    read_only: bool = False


class VolumesFrom(Struct, frozen=True, kw_only=True):
    source_container: str
    read_only: bool = False


class Dependency(Struct, frozen=True, kw_only=True):
    container_name: str
    condition: str  # START, COMPLETE, SUCCESS, HEALTHY


class Ulimit(Struct, frozen=True, kw_only=True):
    name: str
    soft: int
    hard: int


class Tmpfs(Struct, frozen=True, kw_only=True):
    container_path: str
    size_mib: int
    mount_options: tuple[str, ...] = ()


class HealthCheck(Struct, frozen=True, kw_only=True):
    """`command` begins with CMD, CMD-SHELL or NONE, as registered."""

    command: tuple[str, ...]
    interval_s: int = 30
    timeout_s: int = 5
    retries: int = 3
    start_period_s: int = 0


class AwsLogs(Struct, frozen=True, kw_only=True):
    """The awslogs driver's options, parsed."""

    group: str
    region: str
    stream: str  # prefix/container/task-id
    create_group: bool = False
    blocking: bool = False
    max_buffer_bytes: int = 10 * 1024 * 1024
    event_start: str | None = None  # the expression that an event's first line matches; None: each line is an event


class InjectedSecret(Struct, frozen=True, kw_only=True):
    """A variable whose value the agent looks up when the task starts. `value_from`: where it is, as registered.

    `file_paths`: the value is in these files of the container, and then is no variable.
    """

    name: str
    value_from: str
    file_paths: tuple[str, ...] = ()


class SplunkLogs(Concealed, frozen=True, kw_only=True):
    """The splunk driver's options as registered; their values may be tokens."""

    options: tuple[tuple[str, str], ...]
    secret_options: tuple[InjectedSecret, ...] = ()  # options whose values the agent looks up when the task starts
    blocking: bool = False
    max_buffer_bytes: int = 10 * 1024 * 1024


class InlineFile(Struct, frozen=True, kw_only=True):
    """A file of the container whose text the definition says."""

    path: str
    text: str


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """A container that ended after it ran for the period begins again, unless its exit code is ignored."""

    attempt_period_s: int = 300
    ignored_exit_codes: tuple[int, ...] = ()


class Device(Struct, frozen=True, kw_only=True):
    """A device of the guest's kernel, of model/own_kernel.py. `access`: letters of r, w, m (mknod)."""

    kind: str
    path: str  # in the container
    access: str = "rwm"


class KernelRights(Struct, frozen=True, kw_only=True):
    """What of a container needs a kernel of its task's own. `capabilities`: those that Fargate would refuse.

    `max_swap_mib`: how much of its memory may lie on the task's disk; None says nothing of it.
    """

    privileged: bool = False
    capabilities: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    controls: tuple[tuple[str, str], ...] = ()  # kernel parameters of the whole guest
    max_swap_mib: int | None = None


class ContainerLaunch(Struct, frozen=True, kw_only=True):
    """One container of the task with the run's overrides applied. None means: as the image says."""

    name: str
    image: str
    arn: str
    essential: bool = True
    command: tuple[str, ...] | None = None
    entry_point: tuple[str, ...] | None = None
    environment: tuple[tuple[str, str], ...] = ()
    cpu_units: int = 0
    memory_mib: int | None = None
    memory_reservation_mib: int | None = None
    user: str | None = None
    working_directory: str | None = None
    readonly_root: bool = False
    interactive: bool = False
    pseudo_terminal: bool = False
    init_process: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    port_mappings: tuple[PortMapping, ...] = ()
    mount_points: tuple[MountPoint, ...] = ()
    volumes_from: tuple[VolumesFrom, ...] = ()
    docker_labels: tuple[tuple[str, str], ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    start_timeout_s: int | None = None
    stop_timeout_s: int = 30
    health_check: HealthCheck | None = None
    logs: AwsLogs | None = None
    splunk: SplunkLogs | None = None
    secrets: tuple[InjectedSecret, ...] = ()
    files: tuple[InlineFile, ...] = ()
    restart_policy: RestartPolicy | None = None
    ipc_controls: tuple[tuple[str, str], ...] = ()  # kernel parameters of the container's own IPC namespace
    network_controls: tuple[tuple[str, str], ...] = ()  # and of the task's network namespace
    repository_credentials: str = ""  # ARN of the secret that opens the image's registry
    image_pin: str = ""  # the digest that the image's tag had for the revision's first task, if it keeps that
    kernel: KernelRights | None = None  # only where the task has a kernel of its own

    @property
    def keeps_output(self) -> bool:
        """A log driver receives what it writes."""
        return self.logs is not None or self.splunk is not None


class TaskLaunch(Struct, frozen=True, kw_only=True):
    """The order to run one task. `incarnation` names the cell's database: a stop must come from the same one."""

    task_id: str
    task_arn: str
    incarnation: str
    capacity_id: str
    account: str
    region: str
    zone: str
    zone_id: str
    cluster: str
    cluster_arn: str
    family: str
    revision: int
    group: str
    started_by: str | None = None
    created_at: float = 0.0
    cpu_units: int
    memory_mib: int
    ephemeral_gib: int = 20
    share_pid_namespace: bool = False
    execution_role_arn: str | None = None
    task_role_arn: str | None = None
    eni: Eni
    volumes: tuple[str, ...] = ()
    containers: tuple[ContainerLaunch, ...]
    tags: tuple[tuple[str, str], ...] = ()
    platform_version: str = "1.4.0"
    launch_type: str = "FARGATE"
    service_name: str | None = None
    executes_commands: bool = False  # enableExecuteCommand: else no terminal is ever opened in it

    def container(self, name: str) -> ContainerLaunch:
        """The order's own container of this name, which exists."""
        return next(container for container in self.containers if container.name == name)


class MemoryAtKill(Struct, frozen=True, kw_only=True):
    """What the kernel had counted of a container when it had killed processes of it for want of memory.

    A limit of 0: it has none of its own. `kills`: processes of this container.
    """

    kills: int
    peak_bytes: int
    limit_bytes: int
    task_peak_bytes: int
    task_limit_bytes: int


class ContainerReport(Struct, frozen=True, kw_only=True):
    """One container as the host knows it. Times are epoch seconds (UTC)."""

    name: str
    known_status: str = "PENDING"  # PENDING, RUNNING, STOPPED
    runtime_id: str | None = None
    image_digest: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    health_status: str = "UNKNOWN"  # UNKNOWN (no check), UNKNOWN (starting), HEALTHY, UNHEALTHY
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    log_bytes_dropped: int = 0  # by the non-blocking log mode
    memory_at_kill: MemoryAtKill | None = None  # shown by `neargate why`, by nothing of AWS's


class TaskReport(Struct, frozen=True, kw_only=True):
    """The full known state of a task on a host. `report_seq` only grows, also over agent restarts.

    The first one registers the task's sandbox: it names the order's `capacity_id`, which is empty where it is not known
    any more.
    """

    task_id: str
    incarnation: str
    capacity_id: str = ""
    report_seq: int
    known_status: str  # a LastStatus
    eni_attached: bool = False
    containers: tuple[ContainerReport, ...] = ()
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    connectivity_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    # Stage name -> milliseconds: the breakdown that `neargate why` and the benchmark show.
    stages_ms: dict[str, float] = field(default_factory=dict)
