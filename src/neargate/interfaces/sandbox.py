"""The sandbox seam: what an engine (container, microVM, simulated) does for the agent on one host.

Every method may be repeated: creating what exists and deleting what is gone succeed. All calls are made for one task's
containers by that task's single runner. Errors carry AWS's text as `reason`; the agent never rewords it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from ..model.capacity import TaskOverhead, WaitingMachines
from ..model.concealed import Concealed
from ..model.host_ids import UserNamespace
from ..model.launch import KernelRights, Tmpfs, Ulimit


class SandboxError(Exception):
    """Something the task's owner must read: `reason` is AWS's sentence (`CannotPullContainerError: ...`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EngineUnavailable(Exception):
    """The engine does not answer (containerd restarting). The caller waits and repeats; the task is not to blame."""


class Image(Struct, frozen=True, kw_only=True):
    """A pulled and unpacked image. Sizes in bytes. The config's fields are the image's own words, bounded in length."""

    reference: str
    digest: str  # of the manifest for this platform
    index_digest: str | None  # what the reference resolved to, when that was an index
    config_digest: str
    snapshot: str  # chain id: the name of the top snapshot
    unpacked_bytes: int
    compressed_bytes: int
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    user: str = ""
    working_directory: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()


class RegistryEndpoint(Struct, frozen=True, kw_only=True):
    """Where the region's own registry is asked, whatever its name means to others: plain HTTP, in a task's network."""

    address: str
    port: int


class PullRequest(Concealed, frozen=True, kw_only=True):
    """The authorisation is per account, repository and digest.

    `netns_path`: the network that the registry is asked in, awaited before the first request: what needs none waits
    for no network. None: the host's.
    """

    reference: str
    account: str
    netns_path: Callable[[], Awaitable[str]] | None = None
    architecture: str = "amd64"
    username: str | None = None
    password: str | None = None
    endpoint: RegistryEndpoint | None = None


class BindMount(Struct, frozen=True, kw_only=True):
    """`is_data`: one file that is only read: for no directory, and for nothing in a file system of the kernel's.

    `is_private`: its source becomes the container's user's own, whom its mode may let in alone.
    """

    source: str
    target: str
    read_only: bool = False
    is_data: bool = False
    is_private: bool = False


class TaskSize(Struct, frozen=True, kw_only=True):
    """What all containers of a task have together. An engine that makes the task a machine of its own asks for it."""

    cpu_units: int = 256
    memory_mib: int = 512
    pids: int = 16384


class ContainerConfig(Concealed, frozen=True, kw_only=True):
    """One container, everything decided. Paths are the host's. `runtime_id` is the engine's id."""

    runtime_id: str
    task_id: str
    name: str
    image: Image
    disk_path: str  # the task's disk: the engine makes this container's writable layer below it
    netns_path: str
    hostname: str
    args: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    working_directory: str = "/"
    user: str = ""  # as given: name, uid, name:group, uid:gid; resolved inside the image, never outside it
    readonly_root: bool = False
    terminal: bool = False
    interactive: bool = False
    init_process: bool = False
    capabilities_add: tuple[str, ...] = ()
    capabilities_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    mounts: tuple[BindMount, ...] = ()
    cgroup_path: str = ""  # below the hierarchy's root, e.g. /neargate-1a2b/TASK/CONTAINER
    cpu_shares: int = 2
    memory_limit_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    pids_limit: int = 4096
    may_restart: bool = False  # `restart_container` may be asked for it
    ipc_controls: tuple[tuple[str, str], ...] = ()  # kernel parameters of its own IPC namespace, checked by name
    share_pid_with: str | None = None  # runtime id of the task's pause container, whose pid namespace is shared
    task_size: TaskSize = TaskSize()
    network_controls: tuple[tuple[str, str], ...] = ()  # for an engine that `is_machine`, checked by name
    kernel: KernelRights | None = None  # for an engine that `is_machine`; others refuse it
    log_path: str | None = None  # file that receives stdout and stderr; None: discarded
    labels: tuple[tuple[str, str], ...] = ()
    user_namespace: UserNamespace | None = None  # of the task: the one that its network namespace belongs to


class PauseConfig(Struct, frozen=True, kw_only=True):
    """The process that holds a task's shared pid namespace: PID 1 of all its containers, which it outlives."""

    runtime_id: str
    task_id: str
    netns_path: str
    cgroup_path: str
    labels: tuple[tuple[str, str], ...] = ()
    user_namespace: UserNamespace | None = None


class ContainerState(Struct, frozen=True, kw_only=True):
    """`status`: created, running, stopped. Exit facts are there once stopped, kept until delete.

    Only a list says `unknown`, of one container that cannot be asked for the moment: nothing follows from it.
    `reason`: why it ended, where that is not its own doing (its machine ended); a sentence for the task's owner.
    """

    runtime_id: str
    status: str
    pid: int | None = None
    exit_code: int | None = None
    exited_at: float | None = None
    reason: str | None = None
    labels: tuple[tuple[str, str], ...] = ()


class Exit(Struct, frozen=True, kw_only=True):
    """`reason`: as of ContainerState."""

    runtime_id: str
    exit_code: int
    exited_at: float
    reason: str | None = None


class ExecResult(Struct, frozen=True, kw_only=True):
    """Output is bounded; the rest is dropped. `exit_code` None: it was killed at the time-out."""

    exit_code: int | None
    output: bytes


class Terminal(Protocol):
    """A process on a terminal of its own in a container. One reader, one writer."""

    async def read(self) -> bytes:
        """The next output; empty once it has ended and all was read. While nobody reads it must wait."""

    async def write(self, data: bytes) -> None:
        """Returns when it was taken. After the end it is dropped."""

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        """Its exit code, when what it had started is gone, too; 137 when the container ended under it."""

    async def close(self) -> None:
        """End it with all that it started; nothing of it is left. May be repeated, and is needed after any end."""


class SandboxFacts(Struct, frozen=True, kw_only=True):
    """`kind`: what isolates tasks, as `HostFacts.sandbox`. `overhead`: what a task takes of the host's memory beside
    its size. `machines`: how many run. `guest_image`, `vmm`: as `HostPlatform`. `waiting`: machines of no task, by
    size. `starts`: how many machines waited, went on from a saved one, booted, since the engine began.
    `old_machines`: as `HostFacts`."""

    kind: str = "container"
    overhead: TaskOverhead = TaskOverhead()
    machines: int = 0
    guest_image: str = ""
    vmm: str = ""
    waiting: tuple[WaitingMachines, ...] = ()
    starts: tuple[int, int, int] = (0, 0, 0)
    old_machines: tuple[str, ...] = ()


class Sandbox(Protocol):
    @property
    def is_machine(self) -> bool:
        """Whether each task has a machine of its own, made by the first start of a container: all of them are created
        before it, and from then on the task's disk is not the host's any more. Their network is the machine's, whose
        parameters are the engine's to set (`ContainerConfig.network_controls`)."""

    @property
    def facts(self) -> "SandboxFacts":
        """What the host says of it. After `start`; another once more is known, or less."""

    async def start(self) -> None:
        """Connect, probe the OCI runtime (crun where it works, else runc). Raises EngineUnavailable."""

    async def pull_image(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        """Resolve, authorise, fetch and unpack. `progress(done_bytes, total_bytes)`. Raises SandboxError."""

    async def collect_images(self, spared: frozenset[str]) -> tuple[str, ...]:
        """Give room back if the disk with the images runs low: those not used the longest go first, until it has room.

        `spared`: digests of what tasks of this host need, as `Image.digest`. What was used lately stays too. Returns
        the names of what went. Raises EngineUnavailable.
        """

    async def seed_volume(self, image: Image, container_path: str, target_dir: str) -> bool:
        """Copy what the image holds at `container_path` into the existing directory `target_dir` (owners, modes kept).

        False when the image has no such directory. The path is resolved inside the image, never outside it.
        Repeating it over a part-filled target completes it. Raises SandboxError (`CannotCreateVolumeError: ...`).
        """

    async def create_container(self, config: ContainerConfig) -> None:
        """Make it ready to start: rootfs on the task's disk, spec, runtime's create. Raises SandboxError."""

    async def create_pause(self, config: PauseConfig) -> None:
        """Make it ready to start; no image is needed. Started, killed, deleted and listed like a container.

        It runs until it is killed from outside: nothing that shares its namespace can end it. Raises SandboxError.
        """

    async def start_container(self, runtime_id: str) -> int:
        """Returns the pid in the host's namespace. Raises SandboxError (`CannotStartContainerError: ...`)."""

    async def restart_container(self, runtime_id: str) -> int:
        """A new run of a container that ended, in its writable layer, with its output; the pid. It forgets the exit.

        May be repeated: one that runs, or was made and not started, is left as it is or started. For containers with
        `may_restart`. Raises SandboxError.
        """

    async def kill_container(self, runtime_id: str, signal: int) -> None:
        """Signal PID 1 (SIGKILL reaches all processes). A container that is gone is no error."""

    async def delete_container(self, runtime_id: str) -> None:
        """Remove container, runtime state and writable-layer mount. Repeats on EBUSY, within a bound."""

    async def get_container(self, runtime_id: str) -> ContainerState | None: ...

    async def list_containers(self) -> list[ContainerState]:
        """All containers of this agent, with labels: what a restarted agent adopts."""

    def exits(self) -> AsyncIterator[Exit]:
        """Exits as they happen; survives engine restarts. Exits are not replayed: list after subscribing."""

    async def exec(
        self, runtime_id: str, exec_id: str, args: tuple[str, ...], *, timeout_s: float, max_output: int = 4096
    ) -> ExecResult:
        """A command that is not there gives 127; in a container that does not run (any more) nothing succeeds."""

    async def open_terminal(self, runtime_id: str, exec_id: str, args: tuple[str, ...]) -> Terminal:
        """Start a command as root, in the container's directory and environment, whatever its root filesystem allows.

        `exec_id`: unused so far. Terminals of an agent that was killed end at the next `start`. Raises SandboxError:
        the command is not there, the container does not run.
        """

    async def pause_container(self, runtime_id: str) -> None: ...

    async def resume_container(self, runtime_id: str) -> None: ...

    async def oom_kills(self, runtime_id: str) -> int:
        """Processes of this container that the kernel killed for memory; readable until it is deleted."""

    async def close(self) -> None: ...
