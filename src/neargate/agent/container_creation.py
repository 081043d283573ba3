"""What brings one container up to its start: its configuration out of what the task's hooks made, and its creation.

Shared by the hook that creates the first containers and by the one that starts them. Must not know order or stops.
Invariant: a container that is created runs nothing of its image: its network and log stream may still be missing.
"""

from ..interfaces.sandbox import ContainerConfig
from ..model.launch import ContainerLaunch
from .container_config import Surroundings, container_config, hostname_of, pause_runtime_id
from .points import Point
from .task_context import LaunchFailed, TaskContext


async def create(task: TaskContext, name: str) -> None:
    """May be repeated, also by another process of the agent. Raises SandboxError."""
    if name in task.resources.created:
        return
    launch = next(container for container in task.launch.containers if container.name == name)
    async with task.stage("containers.create"):
        config = await _config(task, launch)
        await task.engine(lambda: task.parts.sandbox.create_container(config))
        task.resources.created.add(name)
        task.change_container(name, created_at=task.container(name).created_at or task.now())
        task.reached(Point.CONTAINER_CREATED)


async def give_up(task: TaskContext, name: str, reason: str) -> None:
    """The task goes on without a container that is not essential, as on AWS. Raises LaunchFailed for one that is."""
    launch = next(container for container in task.launch.containers if container.name == name)
    task.change_container(name, known_status="STOPPED", reason=reason)
    if launch.essential:
        raise LaunchFailed(reason, name)
    await task.report()


async def _config(task: TaskContext, launch: ContainerLaunch) -> ContainerConfig:
    resources = task.resources
    assert resources.disk is not None and resources.network is not None, "earlier steps made them"
    runtime_id = task.container(launch.name).runtime_id
    log_path = None
    if launch.keeps_output:
        log_path = await task.parts.logs.file(task.launch, launch.name, runtime_id)
    around = Surroundings(
        disk_path=resources.disk.path,
        netns_path=resources.network.netns_path,
        cgroup_path=task.parts.cgroups.task_path(task.record.task_id),
        hostname=hostname_of(task.launch),
        endpoint_url=task.parts.endpoint_url,
        etc=resources.etc,
        volumes=tuple(resources.volumes.items()),
        credentials_id=task.record.credentials_id,
        log_path=log_path,
        share_pid_with=pause_runtime_id(task.record.task_id) if task.launch.share_pid_namespace else None,
        looked_up=resources.secrets.by_container.get(launch.name, ()),
        files=resources.files.get(launch.name, ()),
        task_size=task.size,
        user_namespace=resources.network.user_namespace,
    )
    return container_config(task.launch, launch, runtime_id, resources.images[launch.name], around)
