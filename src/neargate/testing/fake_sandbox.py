"""A sandbox engine in memory. It outlives the agent that uses it, so that dropping the agent is its kill -9.

Passes the same suite as the real engine (`testing.suites.sandbox`). Tests program what an image's process does
(`Program`), let containers end, and read what was asked of them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from msgspec import Struct, field

from ..interfaces.sandbox import (
    ContainerConfig,
    ContainerState,
    EngineUnavailable,
    ExecResult,
    Exit,
    Image,
    PauseConfig,
    PullRequest,
    SandboxError,
    SandboxFacts,
    Terminal,
)
from ..model.capacity import TaskOverhead
from .fake_faults import Faults
from .fake_terminal import FakeTerminal

SIGKILL = 9
MACHINE_OVERHEAD = TaskOverhead(memory_mib=32, memory_part=8)
SIGTERM = 15
PAUSE = "~pause"
SHELLS = ("sh", "/bin/sh")


class Program(Struct, frozen=True, kw_only=True):
    """What a container's process does. `term_exit_code` None: it ignores SIGTERM. `exit_code`: ends at once with it."""

    exit_code: int | None = None
    term_exit_code: int | None = 143
    output: bytes = b""
    start_error: str | None = None


class FakeContainer(Struct):
    config: ContainerConfig
    status: str = "created"
    pid: int | None = None
    exit_code: int | None = None
    exited_at: float | None = None
    reason: str | None = None  # why it will have ended
    oom_kills: int = 0
    paused: bool = False
    signals: list[int] = field(default_factory=list)
    starts: int = 0
    terminals: list[FakeTerminal] = field(default_factory=list)
    is_record_only: bool = False  # its creator was killed before the runtime was asked: shown as stopped, nothing ran


class FakeImage(Struct):
    image: Image
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)  # directory -> file name -> content


class FakeSandbox:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.faults = Faults()
        self.old_machines: tuple[str, ...] = ()
        self.images: dict[str, FakeImage] = {}
        self.containers: dict[str, FakeContainer] = {}
        self.programs: dict[str, Program] = {}  # by container name
        self.exec_results: dict[str, ExecResult] = {}  # by container name
        self.terminals: dict[str, FakeTerminal] = {}  # open ones, by exec id
        self.is_down = False
        self.ever_started: list[str] = []
        self.pulls: list[PullRequest] = []
        self.spared: list[frozenset[str]] = []
        self.is_machine = False
        self._clock = clock
        self._pids = 1000
        self._subscribers: list[asyncio.Queue[Exit]] = []

    # -- what tests do

    def add_image(self, reference: str, *, files: dict[str, dict[str, bytes]] | None = None, **config: object) -> Image:
        """`config`: fields of `Image` beyond its names and sizes."""
        digest = f"sha256:{abs(_stable_hash(reference)):064x}"
        image = Image(
            reference=reference,
            digest=digest,
            index_digest=None,
            config_digest=digest,
            snapshot=digest,
            unpacked_bytes=4096,
            compressed_bytes=2048,
            **config,  # type: ignore[arg-type]  # tests name real fields; a wrong one fails at once
        )
        self.images[reference] = FakeImage(image=image, files=files or {})
        return image

    def named(self, name: str) -> FakeContainer:
        """The one container with this name."""
        found = [item for item in self.containers.values() if item.config.name == name]
        assert len(found) == 1, f"{len(found)} containers are named {name}"
        return found[0]

    def end(self, runtime_id: str, exit_code: int, *, oom_kills: int = 0, later_s: float = 0.0) -> None:
        """The container's first process ends; with `later_s` the machine's clock says so much more at that moment."""
        container = self.containers[runtime_id]
        if container.status == "stopped":
            return
        container.oom_kills += oom_kills
        container.status = "stopped"
        container.exit_code = exit_code
        container.exited_at = self._clock() + later_s
        container.paused = False
        for terminal in container.terminals:
            terminal.end(128 + SIGKILL)
        if not self.is_down:
            for queue in self._subscribers:
                queue.put_nowait(_exit(container, exit_code))
        # As the kernel does with a namespace whose first process ended.
        for other in list(self.containers.values()):
            if other.config.share_pid_with == runtime_id and other.status == "running":
                self.end(other.config.runtime_id, 128 + SIGKILL)

    def reboot(self) -> None:
        """The machine restarts: the engine's records stay, no process of a container does, and no exit is told."""
        for container in self.containers.values():
            container.status = "stopped"
            container.pid = container.exit_code = container.exited_at = None
            container.paused = False

    def write_log(self, runtime_id: str, data: bytes) -> None:
        """Bytes on the container's standard output."""
        path = self.containers[runtime_id].config.log_path
        if path is not None:
            with Path(path).open("ab") as log:
                log.write(data)

    # -- the seam

    @property
    def facts(self) -> SandboxFacts:
        if not self.is_machine:
            return SandboxFacts()
        return SandboxFacts(
            kind="microvm",
            overhead=MACHINE_OVERHEAD,
            guest_image="6.1 guest",
            vmm="fake 1",
            old_machines=self.old_machines,
        )

    async def start(self) -> None:
        await self._enter("start")
        for terminal in list(self.terminals.values()):
            await terminal.close()  # of an agent that was killed

    async def close(self) -> None:
        """The engine's processes are not this object's."""

    async def pull_image(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        await self._enter("pull_image")
        self.pulls.append(request)
        found = self.images.get(request.reference)
        if found is None:
            raise SandboxError(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
                f"{request.reference}: not found"
            )
        progress(found.image.compressed_bytes, found.image.compressed_bytes)
        await self.faults.after("pull_image")
        return found.image

    async def collect_images(self, spared: frozenset[str]) -> tuple[str, ...]:
        """It has all the room that there is; what it was asked to spare is kept for tests."""
        await self._enter("collect_images")
        self.spared.append(spared)
        await self.faults.after("collect_images")
        return ()

    async def seed_volume(self, image: Image, container_path: str, target_dir: str) -> bool:
        await self._enter("seed_volume")
        found = self.images.get(image.reference)
        files = None if found is None else found.files.get(container_path)
        for name, content in (files or {}).items():
            (Path(target_dir) / name).write_bytes(content)
        await self.faults.after("seed_volume")
        return files is not None

    async def create_container(self, config: ContainerConfig) -> None:
        await self._enter("create_container")
        known = self.containers.get(config.runtime_id)
        if known is None or known.is_record_only:
            if self.is_machine and self._has_started(config.task_id):
                raise SandboxError("CannotStartContainerError: the task's virtual machine has its disk already")
            if not config.args:
                raise SandboxError("CannotStartContainerError: no command specified")
            self.containers[config.runtime_id] = FakeContainer(config=config)
        await self.faults.after("create_container")

    async def create_pause(self, config: PauseConfig) -> None:
        await self._enter("create_pause")
        if config.runtime_id not in self.containers:
            self.containers[config.runtime_id] = FakeContainer(config=_as_container(config))
        await self.faults.after("create_pause")

    async def start_container(self, runtime_id: str) -> int:
        await self._enter("start_container")
        container = self.containers.get(runtime_id)
        if container is None:
            raise SandboxError(f"CannotStartContainerError: container {runtime_id} does not exist")
        if container.status == "created":
            self._begin(container)
        await self.faults.after("start_container")
        return container.pid or 0

    async def restart_container(self, runtime_id: str) -> int:
        await self._enter("restart_container")
        container = self.containers.get(runtime_id)
        if container is None or not container.config.may_restart:
            raise SandboxError("CannotStartContainerError: the container is gone")
        if container.status == "stopped":
            container.status = "created"
            container.exit_code = container.exited_at = None
        if container.status == "created":
            self._begin(container)
        await self.faults.after("restart_container")
        return container.pid or 0

    async def kill_container(self, runtime_id: str, signal: int) -> None:
        await self._enter("kill_container")
        container = self.containers.get(runtime_id)
        if container is None or container.status != "running":
            return
        container.signals.append(signal)
        program = self._program(container)
        if signal == SIGKILL:
            self.end(runtime_id, 128 + SIGKILL)
        elif not container.paused and program.term_exit_code is not None:
            self.end(runtime_id, program.term_exit_code)
        await self.faults.after("kill_container")

    async def delete_container(self, runtime_id: str) -> None:
        await self._enter("delete_container")
        container = self.containers.get(runtime_id)
        if container is not None and container.status == "running":
            self.end(runtime_id, 128 + SIGKILL)
        self.containers.pop(runtime_id, None)
        await self.faults.after("delete_container")

    async def get_container(self, runtime_id: str) -> ContainerState | None:
        await self._enter("get_container")
        container = self.containers.get(runtime_id)
        return None if container is None else _state(container)

    async def list_containers(self) -> list[ContainerState]:
        await self._enter("list_containers")
        return [_state(container) for container in self.containers.values()]

    async def exits(self) -> AsyncIterator[Exit]:
        queue: asyncio.Queue[Exit] = asyncio.Queue()
        self._subscribers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.remove(queue)

    async def exec(
        self, runtime_id: str, exec_id: str, args: tuple[str, ...], *, timeout_s: float, max_output: int = 4096
    ) -> ExecResult:
        await self._enter("exec")
        container = self.containers.get(runtime_id)
        if container is None or container.status != "running":
            return ExecResult(exit_code=128 + SIGKILL, output=b"")
        assert exec_id and args and timeout_s > 0, "an exec has an id, a command and an end"
        result = self.exec_results.get(container.config.name, ExecResult(exit_code=0, output=b""))
        return ExecResult(exit_code=result.exit_code, output=result.output[:max_output])

    async def open_terminal(self, runtime_id: str, exec_id: str, args: tuple[str, ...]) -> Terminal:
        await self._enter("open_terminal")
        container = self.containers.get(runtime_id)
        if container is None or container.status != "running":
            raise SandboxError(f"container {runtime_id} does not run")
        if args[0] not in SHELLS:
            raise SandboxError(f'exec: "{args[0]}": executable file not found in $PATH')
        assert exec_id not in self.terminals, "an exec id is used once"
        terminal = FakeTerminal(args, closed=lambda: self.terminals.pop(exec_id, None))
        self.terminals[exec_id] = terminal
        container.terminals.append(terminal)
        return terminal

    async def pause_container(self, runtime_id: str) -> None:
        await self._enter("pause_container")
        container = self.containers.get(runtime_id)
        if container is not None and container.status == "running":
            container.paused = True

    async def resume_container(self, runtime_id: str) -> None:
        await self._enter("resume_container")
        container = self.containers.get(runtime_id)
        if container is not None:
            container.paused = False

    async def oom_kills(self, runtime_id: str) -> int:
        await self._enter("oom_kills")
        container = self.containers.get(runtime_id)
        return 0 if container is None else container.oom_kills

    # -- inside

    async def _enter(self, method: str) -> None:
        await self.faults.before(method)
        if self.is_down:
            raise EngineUnavailable("the fake engine is down")

    def _program(self, container: FakeContainer) -> Program:
        return self.programs.get(container.config.name, Program())

    def _has_started(self, task_id: str) -> bool:
        containers = (item for item in self.containers.values() if item.config.task_id == task_id)
        return any(item.starts for item in containers if item.config.name != PAUSE)

    def _begin(self, container: FakeContainer) -> None:
        program = self._program(container)
        if program.start_error is not None:
            raise SandboxError(program.start_error)
        self._pids += 1
        container.pid = self._pids
        container.status = "running"
        container.starts += 1
        self.ever_started.append(container.config.runtime_id)
        if program.output:
            self.write_log(container.config.runtime_id, program.output)
        if program.exit_code is not None:
            self.end(container.config.runtime_id, program.exit_code)


def _as_container(config: PauseConfig) -> ContainerConfig:
    """Kept among the containers under a name that none of them can have."""
    image = Image(
        reference="",
        digest="",
        index_digest=None,
        config_digest="",
        snapshot="",
        unpacked_bytes=0,
        compressed_bytes=0,
    )
    return ContainerConfig(
        runtime_id=config.runtime_id,
        task_id=config.task_id,
        name=PAUSE,
        image=image,
        disk_path="",
        netns_path=config.netns_path,
        hostname="",
        args=("pause",),
        environment=(),
        cgroup_path=config.cgroup_path,
        labels=config.labels,
    )


def _exit(container: FakeContainer, exit_code: int) -> Exit:
    return Exit(
        runtime_id=container.config.runtime_id,
        exit_code=exit_code,
        exited_at=container.exited_at or 0.0,
        reason=container.reason,
    )


def _state(container: FakeContainer) -> ContainerState:
    return ContainerState(
        runtime_id=container.config.runtime_id,
        status="stopped" if container.is_record_only else container.status,
        pid=container.pid,
        exit_code=container.exit_code,
        exited_at=container.exited_at,
        reason=container.reason,
        labels=container.config.labels,
    )


def _stable_hash(text: str) -> int:
    """The same in every process, unlike `hash`."""
    value = 5381
    for character in text:
        value = (value * 33 + ord(character)) % (1 << 255)
    return value
