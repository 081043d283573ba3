"""From a container's launch and its image to what the engine is told. Pure.

Owns Docker's rules of combining image and definition (entry point, command, user, directory) and the environment that
every container of a Fargate task gets. Must not know how a container is made.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ..interfaces.hostnet import TaskNetwork
from ..interfaces.sandbox import BindMount, ContainerConfig, Image, PauseConfig, TaskSize
from ..model.concealed import Concealed
from ..model.host_ids import UserNamespace
from ..model.launch import ContainerLaunch, TaskLaunch, Ulimit, VolumesFrom
from ..model.network import TASK_METADATA_ADDRESS, VpcPlan
from .image_volumes import own_directories
from .metadata_credentials import relative_uri

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_NOFILE = 65535
MIN_CPU_SHARES = 2
MIB = 1024 * 1024

LABEL_TASK = "neargate.task"
LABEL_CONTAINER = "neargate.container"
LABEL_INCARNATION = "neargate.incarnation"
LABEL_CAPACITY = "neargate.capacity"
LABEL_ESSENTIAL = "neargate.essential"
LABEL_STOP_SIGNAL = "neargate.stop-signal"
LABEL_STOP_TIMEOUT = "neargate.stop-timeout"
# On the pause container only, which has none of the labels that tell of a container.
LABEL_PAUSE = "neargate.pause"
# No container of a definition can have this name.
PAUSE_CGROUP = "~pause"


class Surroundings(Concealed, frozen=True, kw_only=True):
    """What the task's hooks made for its containers. `volumes`: name to host directory, the images' own among them."""

    disk_path: str
    netns_path: str
    cgroup_path: str
    hostname: str
    endpoint_url: str
    etc: tuple[BindMount, ...]
    volumes: tuple[tuple[str, str], ...]
    credentials_id: str
    log_path: str | None
    share_pid_with: str | None
    looked_up: tuple[tuple[str, str], ...] = ()  # the container's secrets
    files: tuple[BindMount, ...] = ()  # the container's, its secrets' among them
    task_size: TaskSize = TaskSize()
    user_namespace: UserNamespace | None = None


def container_config(
    task: TaskLaunch, container: ContainerLaunch, runtime_id: str, image: Image, around: Surroundings
) -> ContainerConfig:
    """Everything decided for one container."""
    return ContainerConfig(
        runtime_id=runtime_id,
        task_id=task.task_id,
        name=container.name,
        image=image,
        disk_path=around.disk_path,
        netns_path=around.netns_path,
        hostname=around.hostname,
        args=arguments(container, image),
        environment=environment(task, container, runtime_id, image, around),
        working_directory=container.working_directory or image.working_directory or "/",
        user=container.user or image.user,
        readonly_root=container.readonly_root,
        terminal=container.pseudo_terminal,
        interactive=container.interactive,
        init_process=container.init_process,
        capabilities_add=container.capabilities_add,
        capabilities_drop=container.capabilities_drop,
        ulimits=ulimits(container.ulimits),
        tmpfs=container.tmpfs,
        may_restart=container.restart_policy is not None,
        ipc_controls=container.ipc_controls,
        mounts=(
            # Docker makes these read-only together with the root.
            *(replace(mount, read_only=container.readonly_root) for mount in around.etc),
            *mounts(task.containers, container, dict(around.volumes)),
            *around.files,
        ),
        cgroup_path=f"{around.cgroup_path}/{container.name}",
        cpu_shares=max(container.cpu_units, MIN_CPU_SHARES),
        memory_limit_bytes=None if container.memory_mib is None else container.memory_mib * MIB,
        memory_reservation_bytes=(
            None if container.memory_reservation_mib is None else container.memory_reservation_mib * MIB
        ),
        share_pid_with=around.share_pid_with,
        task_size=around.task_size,
        network_controls=container.network_controls,
        kernel=container.kernel,
        log_path=around.log_path,
        labels=engine_labels(task, container, image),
        user_namespace=around.user_namespace,
    )


def pause_config(task: TaskLaunch, network: TaskNetwork, task_cgroup_path: str) -> PauseConfig:
    """`pidMode: task`: what holds the namespace of the task's processes."""
    return PauseConfig(
        runtime_id=pause_runtime_id(task.task_id),
        task_id=task.task_id,
        netns_path=network.netns_path,
        cgroup_path=f"{task_cgroup_path}/{PAUSE_CGROUP}",
        labels=((LABEL_TASK, task.task_id), (LABEL_INCARNATION, task.incarnation), (LABEL_PAUSE, "1")),
        user_namespace=network.user_namespace,
    )


def pause_runtime_id(task_id: str) -> str:
    """Found again by the task's id alone. Containers' ids end in a number."""
    return f"{task_id}-pause"


def arguments(container: ContainerLaunch, image: Image) -> tuple[str, ...]:
    """Docker's rule: an entry point of the definition clears the image's command as well."""
    if container.entry_point:
        return (*container.entry_point, *(container.command or ()))
    return (*image.entry_point, *(container.command or image.command))


def environment(
    task: TaskLaunch, container: ContainerLaunch, runtime_id: str, image: Image, around: Surroundings
) -> tuple[tuple[str, str], ...]:
    """Docker's defaults, the image's words, the platform's, and last the definition's, which win, its secrets too."""
    agent = f"http://{TASK_METADATA_ADDRESS}"
    values: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": around.hostname}
    if container.pseudo_terminal:
        values["TERM"] = "xterm"
    values.update(image.environment)
    values.update(
        {
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_REGION": task.region,
            "AWS_DEFAULT_REGION": task.region,
            "AWS_ENDPOINT_URL": around.endpoint_url,
            "ECS_AGENT_URI": f"{agent}/api/{runtime_id}",
            "ECS_CONTAINER_METADATA_URI": f"{agent}/v3/{runtime_id}",
            "ECS_CONTAINER_METADATA_URI_V4": f"{agent}/v4/{runtime_id}",
        }
    )
    if around.credentials_id:
        values["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = relative_uri(around.credentials_id)
    values.update(container.environment)
    in_files = {secret.name for secret in container.secrets if secret.file_paths}
    values.update((name, value) for name, value in around.looked_up if name not in in_files)
    return tuple(values.items())


def ulimits(given: Sequence[Ulimit]) -> tuple[Ulimit, ...]:
    """Fargate's default for open files unless the definition says otherwise."""
    if any(limit.name == "nofile" for limit in given):
        return tuple(given)
    return (*given, Ulimit(name="nofile", soft=DEFAULT_NOFILE, hard=DEFAULT_NOFILE))


def mounts(
    containers: Sequence[ContainerLaunch],
    container: ContainerLaunch,
    volumes: Mapping[str, str],
) -> tuple[BindMount, ...]:
    """Own mount points win over those inherited with `volumesFrom`, and these over the image's own volumes."""
    by_target = _mounts_by_target({item.name: item for item in containers}, container, volumes)
    # Outer paths first, so that a mount inside another one is not covered by it.
    return tuple(by_target[path] for path in sorted(by_target))


def _mounts_by_target(
    containers: Mapping[str, ContainerLaunch],
    container: ContainerLaunch,
    volumes: Mapping[str, str],
) -> dict[str, BindMount]:
    """A source hands on what it inherited itself, as in Docker. Registration refused cycles."""
    by_target = {
        path: BindMount(source=source, target=path) for path, source in own_directories(container.name, volumes).items()
    }
    last: dict[str, VolumesFrom] = {}
    for inherited in container.volumes_from:
        # Each source once: named sixty times over, in each of ten containers, it would never come to an end.
        last.pop(inherited.source_container, None)
        last[inherited.source_container] = inherited
    for inherited in last.values():
        source = containers.get(inherited.source_container)
        if source is None:
            continue
        for mount in _mounts_by_target(containers, source, volumes).values():
            by_target[mount.target] = replace(mount, read_only=mount.read_only or inherited.read_only)
    for point in container.mount_points:
        by_target[point.container_path] = BindMount(
            source=volumes[point.source_volume], target=point.container_path, read_only=point.read_only
        )
    return by_target


def engine_labels(task: TaskLaunch, container: ContainerLaunch, image: Image) -> tuple[tuple[str, str], ...]:
    """The agent's own: enough to register and stop the container with its cell when every other record was lost."""
    return (
        (LABEL_TASK, task.task_id),
        (LABEL_CONTAINER, container.name),
        (LABEL_INCARNATION, task.incarnation),
        (LABEL_CAPACITY, task.capacity_id),
        (LABEL_ESSENTIAL, "1" if container.essential else "0"),
        (LABEL_STOP_SIGNAL, image.stop_signal),
        (LABEL_STOP_TIMEOUT, str(container.stop_timeout_s)),
    )


def shown_labels(task: TaskLaunch, container: ContainerLaunch) -> dict[str, str]:
    """Labels as the metadata endpoint shows them: the platform's and the definition's dockerLabels."""
    return {
        **dict(container.docker_labels),
        "com.amazonaws.ecs.cluster": task.cluster_arn,
        "com.amazonaws.ecs.container-name": container.name,
        "com.amazonaws.ecs.task-arn": task.task_arn,
        "com.amazonaws.ecs.task-definition-family": task.family,
        "com.amazonaws.ecs.task-definition-version": str(task.revision),
    }


def hostname_of(task: TaskLaunch) -> str:
    """As EC2 names the interface: ip-172-31-0-5.ec2.internal."""
    return task.eni.private_dns_name or "ip-" + task.eni.private_ipv4.replace(".", "-")


def search_list(plan: VpcPlan | None, domain: str) -> tuple[str, ...]:
    """Where a task looks for short names: what its VPC's DHCP options say, else the domain of its own name."""
    if plan is not None and plan.dns is not None and plan.dns.search is not None:
        return plan.dns.search
    return (domain,) if domain else ()


def image_runtime_ids(task_id: str, numbers: Sequence[int]) -> tuple[str, ...]:
    """Fargate's container ids: the task id and a ten-digit number."""
    return tuple(f"{task_id}-{number:010d}" for number in numbers)


def signal_number(name: str) -> int:
    """STOPSIGNAL as an image gives it (SIGQUIT, QUIT, 3); SIGTERM when absent or unknown."""
    text = name.strip().upper()
    if text.isdigit():
        number = int(text)
        return number if 0 < number < 65 else 15
    return _SIGNALS.get(text.removeprefix("SIG"), 15)


_SIGNALS = {
    "HUP": 1, "INT": 2, "QUIT": 3, "ABRT": 6, "KILL": 9, "USR1": 10, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
    "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24,
    "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28, "POLL": 29, "PWR": 30, "SYS": 31,
    "RTMIN": 34, **{f"RTMIN+{n}": 34 + n for n in range(1, 16)},
    "RTMAX": 64, **{f"RTMAX-{n}": 64 - n for n in range(1, 15)},
}  # fmt: skip
