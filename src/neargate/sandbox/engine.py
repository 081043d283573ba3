"""The container engine: interfaces.sandbox over containerd.

Owns: which thread lane each blocking step runs on, waiting between repeats, and putting the parts together. Each part
is a file of its own: pull/ (images), containers.py (life), exits.py (ends), execution.py (exec). Invariant: an engine
that does not answer raises EngineUnavailable and changes nothing that a repeat would not repair.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

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
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..model.lifecycle import REASON_MAX_CHARS
from ..world import World
from .containerd_client import Containerd, EngineError
from .containerd_process import ContainerdInstance, default_state_dir
from .containers import Containers, StillCleaning
from .execution import Executor
from .exits import ExitWatch
from .fork_lock import ForkLock
from .host_facts import read_host_facts
from .images import HostImages
from .pull.credentials import CredentialSource
from .pull.proxies import DIRECT, Proxies
from .runtime_probe import NoRuntime, probe_runtime
from .seeding import CannotSeed
from .shim_process import end_all
from .terminal import Terminals
from .warm_shims import ShimChoice, WarmShims

LANE = "sandbox"
_ATTEMPTS = 200
_PAUSE_S = 0.05
NO_KERNEL = "it asks for what only a kernel of its task's own gives, and all tasks of this host share the host's"
T = TypeVar("T")


class ContainerdSandbox:
    """Implements interfaces.sandbox.Sandbox.

    Lanes of the world: `sandbox` (2x cores), `pull` (8), `pull-net` (64), `sandbox-events` (1), `warm-shims` (1).
    `address` is containerd's socket, `own` its instance where it is ours (only beside it shims are kept warm),
    `state_dir` its state directory (as ContainerdInstance lays it out, or Debian's), `namespace` containerd's namespace
    of this instance, `run_dir` a directory of our own that a reboot empties. `insecure_registries` (`host` or
    `host:port`) may be asked over plain HTTP, and only they may be on this machine's own addresses.
    """

    def __init__(
        self,
        world: World,
        *,
        address: str,
        namespace: str,
        instance: str,
        run_dir: str,
        state_dir: str | None = None,
        own: ContainerdInstance | None = None,
        registry_auth: CredentialSource | None = None,
        insecure_registries: tuple[str, ...] = (),
        proxies: Proxies = DIRECT,
        carried: Callable[[str], bool] = lambda _: True,
        knobs: Knobs = DEFAULT_KNOBS,
    ) -> None:
        self._world = world
        self._instance = instance
        self._run_dir = run_dir
        self._bundles = os.path.join(
            state_dir or default_state_dir(address), "io.containerd.runtime.v2.task", namespace
        )
        self._engine = Containerd(address, namespace)
        self._images = HostImages(
            world,
            self._engine,
            registry_auth=registry_auth,
            insecure_registries=insecure_registries,
            proxies=proxies,
            carried=carried,
            knobs=knobs,
        )
        self._fork_lock = ForkLock(world)
        self.warm_shims = WarmShims(world, own=own, namespace=namespace, directory=_shims_dir(run_dir), knobs=knobs)
        self._runtime = ""
        self._is_swept = False  # of terminals that an agent before this one left
        self._parts: tuple[Containers, ExitWatch, Executor, Terminals] | None = None

    @property
    def is_machine(self) -> bool:
        return False

    @property
    def facts(self) -> SandboxFacts:
        """What shims take is the host's own."""
        return SandboxFacts()

    @property
    def runtime(self) -> str:
        """Path of the OCI runtime in use; empty before `start`."""
        return self._runtime

    async def start(self) -> None:
        """Connect, probe the OCI runtime, watch exits. May be repeated after EngineUnavailable."""
        await self._blocking(self._connect)
        if self._parts is None:
            await self._make_parts()
        if not self._is_swept:
            await self._started()[3].sweep()
            self._is_swept = True

    async def _make_parts(self) -> None:
        fifo_dir = os.path.join(self._run_dir, "fifos")
        os.makedirs(fifo_dir, mode=0o700, exist_ok=True)
        self._runtime = await self._blocking(self._probe)
        containers = Containers(
            self._engine,
            host=read_host_facts(),
            runtime=self._runtime,
            stdin_dir=fifo_dir,
            bundles=self._bundles,
            pause_root=os.path.join(self._run_dir, "pause"),
        )
        exits = ExitWatch(self._world, self._engine, containers.states, lane=LANE)
        executor = Executor(world=self._world, engine=self._engine, exits=exits, lane=LANE, fifo_dir=fifo_dir)
        terminals = Terminals(
            world=self._world,
            engine=self._engine,
            exits=exits,
            lane=LANE,
            directory=os.path.join(self._run_dir, "terminals"),
        )
        exits.start()
        await self.warm_shims.start()
        self._parts = (containers, exits, executor, terminals)

    def _connect(self) -> None:
        self._engine.version()
        self._engine.create_namespace()

    def _probe(self) -> str:
        try:
            return probe_runtime(self._run_dir, f"/neargate-{self._instance}-probe")
        except NoRuntime as error:
            raise EngineUnavailable(f"no OCI runtime works on this machine: {error}") from None

    async def pull_image(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        return await self._images.pull(request, progress)

    async def collect_images(self, spared: frozenset[str]) -> tuple[str, ...]:
        return await self._images.collect(spared)

    async def seed_volume(self, image: Image, container_path: str, target_dir: str) -> bool:
        mount_point = os.path.join(os.path.dirname(target_dir), f".seed-{os.path.basename(target_dir)}")
        try:
            return await self._blocking(self._containers.seed, image.snapshot, mount_point, container_path, target_dir)
        except CannotSeed as error:
            raise SandboxError(f"CannotCreateVolumeError: {error}"[:REASON_MAX_CHARS]) from None

    async def create_container(self, config: ContainerConfig) -> None:
        if config.kernel is not None:  # placement does not send it here; were it to, this is the host's own kernel
            raise SandboxError(f"CannotCreateContainerError: {NO_KERNEL}")
        for _ in range(_ATTEMPTS):
            try:
                async with self._making(config.task_id, config.runtime_id) as shim:
                    return await self._world.offload(LANE, self._containers.create, config, shim)
            except StillCleaning:
                await self._world.sleep(_PAUSE_S)
            except EngineError as error:
                # For one: the image was removed behind our back. The next task's pull must fetch it again.
                self._images.forget(config.image)
                raise SandboxError(f"CannotCreateContainerError: {error.detail}"[:REASON_MAX_CHARS]) from None
        raise EngineUnavailable(f"containerd does not finish cleaning up {config.runtime_id}")

    async def create_pause(self, config: PauseConfig) -> None:
        for _ in range(_ATTEMPTS):
            try:
                async with self._making(config.task_id, config.runtime_id) as shim:
                    return await self._blocking(self._containers.create_pause, config, shim)
            except StillCleaning:
                await self._world.sleep(_PAUSE_S)
        raise EngineUnavailable(f"containerd does not finish cleaning up {config.runtime_id}")

    async def start_container(self, runtime_id: str) -> int:
        pid = await self._blocking(self._containers.start, runtime_id)
        self._exits.started(runtime_id, pid)
        return pid

    async def restart_container(self, runtime_id: str) -> int:
        for _ in range(_ATTEMPTS):
            self._exits.forget(runtime_id)
            try:
                async with self._fork_lock.kept_warm():
                    await self._blocking(self._containers.recreate, runtime_id)
                return await self.start_container(runtime_id)
            except StillCleaning:
                await self._world.sleep(_PAUSE_S)
        raise EngineUnavailable(f"containerd does not finish cleaning up {runtime_id}")

    async def kill_container(self, runtime_id: str, signal: int) -> None:
        await self._blocking(self._containers.kill, runtime_id, signal)

    async def delete_container(self, runtime_id: str) -> None:
        for _ in range(_ATTEMPTS):
            if await self._blocking(self._containers.delete, runtime_id):
                self._exits.forget(runtime_id)
                self.warm_shims.deleted(runtime_id)
                return
            await self._world.sleep(_PAUSE_S)
        raise EngineUnavailable(f"{runtime_id} is still busy after {_ATTEMPTS} attempts to delete it")

    async def get_container(self, runtime_id: str) -> ContainerState | None:
        state = await self._blocking(self._containers.state, runtime_id)
        if state is not None:
            self._exits.seen(state)
        return state

    async def list_containers(self) -> list[ContainerState]:
        states = await self._blocking(self._containers.states)
        for state in states:
            self._exits.seen(state)
        return states

    def exits(self) -> AsyncIterator[Exit]:
        return self._exits.exits()

    async def exec(
        self, runtime_id: str, exec_id: str, args: tuple[str, ...], *, timeout_s: float, max_output: int = 4096
    ) -> ExecResult:
        return await self._executor.run(runtime_id, exec_id, args, timeout_s=timeout_s, max_output=max_output)

    async def open_terminal(self, runtime_id: str, exec_id: str, args: tuple[str, ...]) -> Terminal:
        return await self._started()[3].open(runtime_id, exec_id, args)

    async def pause_container(self, runtime_id: str) -> None:
        await self._blocking(self._containers.pause, runtime_id)

    async def resume_container(self, runtime_id: str) -> None:
        await self._blocking(self._containers.resume, runtime_id)

    async def oom_kills(self, runtime_id: str) -> int:
        return await self._blocking(self._containers.oom_kills, runtime_id)

    async def close(self) -> None:
        if self._parts is not None:
            await self._exits.close()
            await self.warm_shims.close()
        self._images.close()
        self._engine.close()

    # ---------------------------------------------------------------- plumbing

    @asynccontextmanager
    async def _making(self, task_id: str, runtime_id: str) -> AsyncIterator[ShimChoice]:
        async with self._fork_lock.kept_warm(), self.warm_shims.for_task(task_id, runtime_id) as shim:
            yield shim

    @property
    def _containers(self) -> Containers:
        return self._started()[0]

    @property
    def _exits(self) -> ExitWatch:
        return self._started()[1]

    @property
    def _executor(self) -> Executor:
        return self._started()[2]

    def _started(self) -> tuple[Containers, ExitWatch, Executor, Terminals]:
        if self._parts is None:
            raise EngineUnavailable("the engine was not started")
        return self._parts

    async def _blocking(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await self._world.offload(LANE, function, *arguments)
        except EngineError as error:
            # What containerd says and no part expected: nobody's task is to blame, so the caller repeats.
            raise EngineUnavailable(str(error)) from None


def end_shims(run_dir: str) -> None:
    """Those that wait for a task, after the last agent of this machine. Blocking. Raises OSError."""
    end_all(_shims_dir(run_dir))


def _shims_dir(run_dir: str) -> str:
    return os.path.join(run_dir, "shims")
