"""Containers on containerd: each step of a container's life, blocking, repeatable.

Owns: what containerd stores of a container (record, labels, task) and the sentences of failed starts. Must not know
pulls or the event loop. Invariant: after any crash, repeating the same step or deleting the container is safe.
"""

import json
import os
import signal as signals
from typing import Any

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage

from ..interfaces.sandbox import BindMount, ContainerConfig, ContainerState, EngineUnavailable, PauseConfig
from . import containerd_pb2 as pb
from . import pause, rootfs, seeding
from .containerd_client import (
    SNAPSHOTTER,
    SPEC_TYPE,
    UNKNOWN_STATUS,
    AlreadyExists,
    Containerd,
    EngineError,
    NotFound,
)
from .id_mapped import Twins
from .oci_spec import HostFacts, oci_spec
from .sentences import as_runc, cannot_start
from .users import UnknownUser
from .warm_shims import ShimChoice

LABEL_TASK = "neargate/task"
LABEL_NAME = "neargate/name"
LABEL_DISK = "neargate/disk"
LABEL_SHARES_PID = "neargate/shares-pid"
LABEL_RESTART = "neargate/restart"  # what a new task of the container needs: _Restart as JSON

_OPTIONS_TYPE = "containerd.runc.v1.Options"
_STATUS = {UNKNOWN_STATUS: "unknown", 1: "created", 2: "running", 3: "stopped", 4: "running", 5: "running"}
_MADE = "neargate-made"
_PAUSED = (4, 5)  # paused, pausing: the processes are there


class _Restart(msgspec.Struct, frozen=True, kw_only=True):
    """What the request for a container's task says that its record does not."""

    snapshot: str
    stdout: str
    stderr: str
    terminal: bool
    interactive: bool
    first_id: int = 0  # the host's id of its root; 0: it has no user namespace


class StillCleaning(Exception):
    """containerd takes back what an attempt of a killed agent began (about two seconds). Wait a moment and repeat."""


class Containers:
    """`runtime` is the OCI runtime's program (crun or runc); `bundles` the directory of containerd's bundles.

    `pause_root` is a directory of our own for the root of pause containers.
    """

    def __init__(
        self, engine: Containerd, *, host: HostFacts, runtime: str, stdin_dir: str, bundles: str, pause_root: str
    ) -> None:
        self._engine = engine
        self._bundles = bundles
        self._host = host
        self._views = rootfs.Views(engine)
        self._stdin_dir = stdin_dir
        self._pause_root = pause_root
        self._runtime = runtime

    def _options(self, first_id: int) -> AnyMessage:
        """`first_id`: whose the pipes of its output are, or root there could not open /dev/stdout by its name."""
        options = pb.RuncOptions(binary_name=self._runtime, io_uid=first_id, io_gid=first_id)
        return AnyMessage(type_url=_OPTIONS_TYPE, value=options.SerializeToString())

    def seed(self, snapshot: str, mount_point: str, image_path: str, target_dir: str) -> bool:
        """A volume's first contents. Raises CannotSeed."""
        return seeding.seed(self._views.lowers(snapshot), mount_point, image_path, target_dir)

    def create(self, config: ContainerConfig, shim: ShimChoice) -> None:
        layer = rootfs.layer_of(config.disk_path, config.name)
        if not self._begin(config.runtime_id, layer):
            return
        lowers = self._views.lowers(config.image.snapshot)
        try:
            user = rootfs.prepare(config, lowers, layer)
            mounts = _attached(config, lowers)
        except UnknownUser as error:
            raise cannot_start(f"unable to start container process: {error}") from None
        except OSError as error:
            raise cannot_start(f"error preparing rootfs: {error.filename}: {error.strerror}") from None
        pid_namespace = self._shared_pid_namespace(config)
        root = _root(config.disk_path, config.name, lowers, is_mapped=config.user_namespace is not None)
        seen = msgspec.structs.replace(config, mounts=mounts)
        spec = oci_spec(seen, user, self._host, pid_namespace=pid_namespace, shim_group=shim.group)
        options = self._options(_first_id(config))
        self._record(config.runtime_id, _labels(config), spec, shim, options, image=config.image.reference)
        self._create_task(
            self._task_request(config, root, options),
            program=config.args[0] if config.args else "",
        )

    def create_pause(self, config: PauseConfig, shim: ShimChoice) -> None:
        if self._host.pause_program is None:
            raise cannot_start("pidMode task needs a static busybox on the host (package busybox-static)")
        if self._is_made(config.runtime_id):
            return
        if self._has_bundle(config.runtime_id):
            raise StillCleaning(config.runtime_id)
        spec = pause.pause_spec(config, self._host, pause.prepare_root(self._pause_root), shim_group=shim.group)
        labels = {**dict(config.labels), LABEL_TASK: config.task_id}
        options = self._options(_first_id(config))
        self._record(config.runtime_id, labels, spec, shim, options)
        request = pb.CreateTaskRequest(container_id=config.runtime_id, options=options)
        self._create_task(request, program="")

    def _begin(self, runtime_id: str, layer: rootfs.Layer) -> bool:
        """False when an earlier attempt got as far as the runtime. The layer's directories tell that there was one."""
        os.makedirs(layer.upper, mode=0o755, exist_ok=True)
        try:
            os.mkdir(layer.work, 0o700)
        except FileExistsError:
            if self._is_made(runtime_id):
                return False
            if self._has_bundle(runtime_id):
                raise StillCleaning(runtime_id) from None
            self._engine.delete_container(runtime_id)
        return True

    def _is_made(self, runtime_id: str) -> bool:
        """Whether it has a task that lasts. Takes back one whose creator was killed before it had the answer.

        containerd may be about to do so itself: such a task would end by its SIGKILL, as if it had run.
        """
        task = self._engine.get_task(runtime_id)
        if task is None:
            return False
        if _STATUS.get(task.status) == "running" or self._was_made(runtime_id):
            return True
        self.kill(runtime_id, signals.SIGKILL)
        self._delete_ended(runtime_id)
        return False

    def _was_made(self, runtime_id: str) -> bool:
        """Whether the creator of its task had the answer, without which nothing is started."""
        if os.path.exists(self._mark(runtime_id)):
            return True
        return not os.path.isdir(self._bundles)  # a containerd that is not ours, with its state elsewhere

    def _mark(self, runtime_id: str) -> str:
        """A file that tells that create's answer came. It goes with the bundle."""
        return os.path.join(self._bundles, runtime_id, _MADE)

    def _has_bundle(self, runtime_id: str) -> bool:
        """A bundle without a task: a create's caller went away and containerd is undoing it, shim and mount too."""
        return os.path.isdir(os.path.join(self._bundles, runtime_id))

    def _shared_pid_namespace(self, config: ContainerConfig) -> str | None:
        if config.share_pid_with is None:
            return None
        task = self._engine.get_task(config.share_pid_with)
        if task is None or task.pid == 0 or _STATUS.get(task.status) == "stopped":
            raise cannot_start("the container whose process namespace is shared is not running")
        return f"/proc/{task.pid}/ns/pid"

    def _record(
        self,
        runtime_id: str,
        labels: dict[str, str],
        spec: dict[str, Any],
        shim: ShimChoice,
        options: AnyMessage,
        *,
        image: str = "",
    ) -> None:
        container = pb.Container(
            id=runtime_id,
            labels=labels,
            image=image,
            runtime=pb.Runtime(name=shim.runtime(runtime_id), options=options),
            spec=AnyMessage(type_url=SPEC_TYPE, value=json.dumps(spec).encode()),
            snapshotter=SNAPSHOTTER,
        )
        try:
            self._engine.create_container(container)
        except AlreadyExists:
            # A record without a task, of an attempt on another disk or before a reboot: it may say something else.
            self._engine.delete_container(runtime_id)
            self._engine.create_container(container)

    def _task_request(self, config: ContainerConfig, root: pb.Mount, options: AnyMessage) -> pb.CreateTaskRequest:
        stdout, stderr = _outputs(config)
        return pb.CreateTaskRequest(
            container_id=config.runtime_id,
            rootfs=[root],
            stdin=self._open_stdin(config),
            stdout=stdout,
            stderr=stderr,
            terminal=config.terminal,
            options=options,
        )

    def _create_task(self, request: pb.CreateTaskRequest, *, program: str) -> None:
        try:
            self._make_task(request)
        except EngineError as error:
            self._engine.delete_container(request.container_id)
            raise cannot_start(as_runc(error.detail, program)) from None

    def _make_task(self, request: pb.CreateTaskRequest) -> None:
        """Raises EngineError, StillCleaning."""
        try:
            self._engine.create_task(request)
            os.close(os.open(self._mark(request.container_id), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except AlreadyExists:  # of an attempt whose answer was lost
            raise StillCleaning(request.container_id) from None
        except FileNotFoundError:
            if os.path.isdir(self._bundles):  # else there is nothing to mark (see `_is_made`)
                raise StillCleaning(request.container_id) from None  # deleted meanwhile

    def _open_stdin(self, config: ContainerConfig) -> str:
        """An interactive container's input stays open for ever: a fifo that nobody opens for writing."""
        if not config.interactive:
            return ""
        path = self._stdin_path(config.runtime_id)
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            pass  # of an earlier attempt; a fifo has no content
        return path

    def _stdin_path(self, runtime_id: str) -> str:
        return os.path.join(self._stdin_dir, runtime_id)

    def start(self, runtime_id: str) -> int:
        try:
            return self._engine.start_task(runtime_id)
        except NotFound:
            raise cannot_start("the container is gone") from None
        except EngineError as error:
            task = self._engine.get_task(runtime_id)
            if task is not None and _STATUS.get(task.status) != "created":
                return task.pid  # started by the attempt whose answer was lost; it may even have ended
            raise cannot_start(as_runc(error.detail)) from None

    def recreate(self, runtime_id: str) -> None:
        """A new task of a container whose task ended; its record, specification and layer stay. Raises SandboxError."""
        container = self._engine.get_container(runtime_id)
        kept = None if container is None else container.labels.get(LABEL_RESTART)
        if container is None or kept is None:
            raise cannot_start("the container is gone")
        task = self._engine.get_task(runtime_id)
        if task is not None and _STATUS.get(task.status) == "stopped":
            self._delete_ended(runtime_id)
        elif self._is_made(runtime_id):
            return  # by the attempt of a killed agent
        if self._has_bundle(runtime_id):
            raise StillCleaning(runtime_id)
        again = msgspec.json.decode(kept, type=_Restart)
        disk, name = container.labels[LABEL_DISK], container.labels[LABEL_NAME]
        root = _root(disk, name, self._views.lowers(again.snapshot), is_mapped=again.first_id > 0)
        request = pb.CreateTaskRequest(
            container_id=runtime_id,
            rootfs=[root],
            stdin=self._stdin_path(runtime_id) if again.interactive else "",
            stdout=again.stdout,
            stderr=again.stderr,
            terminal=again.terminal,
            options=self._options(again.first_id),
        )
        try:
            self._make_task(request)
        except EngineError as error:
            raise cannot_start(as_runc(error.detail)) from None

    def _delete_ended(self, runtime_id: str) -> None:
        try:
            self._engine.delete_task(runtime_id)
        except NotFound:
            pass  # by the attempt of a killed agent
        except EngineError:
            raise StillCleaning(runtime_id) from None  # its mount is busy for a moment

    def kill(self, runtime_id: str, signal: int) -> None:
        try:
            self._engine.kill_task(runtime_id, signal, all_processes=self._kills_all(runtime_id, signal))
        except NotFound:
            pass  # gone is what a kill is for
        except EngineError as error:
            if "process already finished" not in error.detail and "not running" not in error.detail:
                raise EngineUnavailable(f"kill: {error.detail}") from None
        if signal == signals.SIGKILL:
            self.resume(runtime_id)  # a frozen process dies only when it is thawed

    def _kills_all(self, runtime_id: str, signal: int) -> bool:
        """In a shared process namespace the kernel does not kill a container's processes with its first one."""
        if signal != signals.SIGKILL:
            return False
        container = self._engine.get_container(runtime_id)
        return container is not None and LABEL_SHARES_PID in container.labels

    def delete(self, runtime_id: str) -> bool:
        """False when the runtime is not ready for it yet: the caller waits a moment and repeats."""
        container = self._engine.get_container(runtime_id)
        try:
            self._engine.delete_task(runtime_id)
        except NotFound:
            # Never created, or its shim was killed: done, unless containerd still cleans up.
            if self._has_bundle(runtime_id):
                return False
        except EngineError:
            # Still running, or its mount is busy for a moment.
            self.kill(runtime_id, signals.SIGKILL)
            return False
        self._engine.delete_container(runtime_id)
        if container is not None and LABEL_DISK in container.labels:
            rootfs.clear(rootfs.layer_of(container.labels[LABEL_DISK], container.labels[LABEL_NAME]))
        try:
            os.unlink(self._stdin_path(runtime_id))
        except FileNotFoundError:
            pass  # only interactive containers have one
        return True

    def state(self, runtime_id: str) -> ContainerState | None:
        container = self._engine.get_container(runtime_id)
        if container is None:
            return None
        return self._state(container, self._engine.get_task(runtime_id))

    def states(self) -> list[ContainerState]:
        containers = self._engine.list_containers()
        tasks = {task.id: task for task in self._engine.list_tasks()}
        return [self._state(container, tasks.get(container.id)) for container in containers]

    def _state(self, container: pb.Container, task: pb.Process | None) -> ContainerState:
        labels = tuple(sorted(container.labels.items()))
        status = "stopped" if task is None else _STATUS.get(task.status, "stopped")
        if task is None or (status == "stopped" and not self._was_made(container.id)):
            # Never got a task that lasts (agent killed in between), or its shim was killed: either way nothing runs.
            return ContainerState(runtime_id=container.id, status="stopped", labels=labels)
        stopped = status == "stopped"
        return ContainerState(
            runtime_id=container.id,
            status=status,
            pid=task.pid or None,
            exit_code=task.exit_status if stopped else None,
            exited_at=_seconds(task) if stopped else None,
            labels=labels,
        )

    def pause(self, runtime_id: str) -> None:
        if self._paused(runtime_id) is False:
            self._engine.pause_task(runtime_id)

    def resume(self, runtime_id: str) -> None:
        if not self._paused(runtime_id):
            return
        try:
            self._engine.resume_task(runtime_id)
        except EngineError as error:
            # It ended at the same moment; or the runtime had thawed it itself for a SIGKILL and does not say so yet.
            if "not paused" not in error.detail and self._paused(runtime_id):
                raise

    def _paused(self, runtime_id: str) -> bool | None:
        """None when there is nothing that could be paused or resumed."""
        task = self._engine.get_task(runtime_id)
        return None if task is None or _STATUS.get(task.status) != "running" else task.status in _PAUSED

    def oom_kills(self, runtime_id: str) -> int:
        """The container's own counter: on cgroup v1 the oom event also names innocent siblings."""
        try:
            data = self._engine.metrics(runtime_id)
        except EngineError:
            return 0  # the shim is gone and its counters with it
        if data is None:
            return 0
        if data.type_url.endswith("cgroups.v2.Metrics"):
            return pb.MetricsV2.FromString(data.value).memory_events.oom_kill
        return pb.MetricsV1.FromString(data.value).memory_oom_control.oom_kill


def _first_id(config: ContainerConfig | PauseConfig) -> int:
    return 0 if config.user_namespace is None else config.user_namespace.first


def _attached(config: ContainerConfig, lowers: tuple[str, ...]) -> tuple[BindMount, ...]:
    """The container's mounts, after the task's disk and images were mounted for its user namespace. Raises OSError."""
    if config.user_namespace is None:
        return config.mounts
    twins = Twins(config.disk_path)
    twins.attach(config.user_namespace, lowers)
    return tuple(msgspec.structs.replace(mount, source=twins.on_disk(mount.source)) for mount in config.mounts)


def _root(disk_path: str, name: str, lowers: tuple[str, ...], *, is_mapped: bool) -> pb.Mount:
    """What the shim mounts as the container's root."""
    if not is_mapped:
        return rootfs.rootfs_mount(lowers, rootfs.layer_of(disk_path, name))
    twins = Twins(disk_path)
    return rootfs.rootfs_mount(twins.of_images(lowers), rootfs.layer_of(twins.on_disk(disk_path), name))


def _labels(config: ContainerConfig) -> dict[str, str]:
    labels = dict(config.labels)
    labels |= {LABEL_TASK: config.task_id, LABEL_NAME: config.name, LABEL_DISK: config.disk_path}
    if config.share_pid_with is not None:
        labels[LABEL_SHARES_PID] = config.share_pid_with
    if config.may_restart:
        stdout, stderr = _outputs(config)
        again = _Restart(
            snapshot=config.image.snapshot,
            stdout=stdout,
            stderr=stderr,
            terminal=config.terminal,
            interactive=config.interactive,
            first_id=_first_id(config),
        )
        labels[LABEL_RESTART] = msgspec.json.encode(again).decode()
    return labels


def _seconds(process: pb.Process | pb.TaskExit) -> float:
    return process.exited_at.seconds + process.exited_at.nanos / 1e9


def _outputs(config: ContainerConfig) -> tuple[str, str]:
    """The two streams' destination: one file under two names.

    The shim of containerd 1.6 opens a file once for two equal names (a `file://` URI gives both) and closes it as soon
    as stdout ends, which loses what stderr still has to say: the last words of a program that fails.
    """
    if config.log_path is None:
        return "", ""
    os.close(os.open(config.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o640))
    directory, name = os.path.split(config.log_path)
    return config.log_path, "" if config.terminal else f"{directory}/./{name}"
