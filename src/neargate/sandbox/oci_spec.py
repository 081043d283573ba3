"""The OCI runtime specification of one container, from its decided configuration. Pure.

Owns: capabilities, masked paths, mounts, limits: Docker's defaults as far as Fargate allows them. Must not know
containerd. Invariant: a field of ContainerConfig that has no effect here (or in the engine) does not exist.
"""

from typing import Any

from msgspec import Struct

from ..interfaces.sandbox import BindMount, ContainerConfig
from ..model.host_ids import IDS, UserNamespace
from ..model.launch import Tmpfs
from .seccomp import seccomp_profile
from .users import ResolvedUser

SHIM_GROUP_ANNOTATION = "io.containerd.runc.v2.group"
INIT_TARGET = "/dev/init"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CPU_SHARES_MIN = 2
_NOFILE_DEFAULT = 65535
# As any process of the host. Not 0: crun 1.8 takes that for nothing said, and leaves the shim's, next to the last.
OOM_SCORE = 1

DEFAULT_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
ADDABLE_CAPABILITIES = frozenset({"CAP_SYS_PTRACE"})

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
# The last: with cgroup version 1 crun leaves the directory of the hierarchies writable, a tmpfs without a bound.
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys/fs/cgroup")

_ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
    *("rtprio", "rttime", "sigpending", "stack"),
)
# Device nodes a task may use: null, zero, full, random, urandom, tty, console, ptmx and pty slaves, net/tun is not one.
_DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
_PTY_MAJOR = 136


class HostFacts(Struct, frozen=True, kw_only=True):
    """What the spec depends on besides the container. `hard_limits`: our own rlimits, by Docker's names."""

    architecture: str
    cgroup_v2: bool
    may_raise_limits: bool
    nr_open: int
    hard_limits: tuple[tuple[str, int], ...]
    limits_swap: bool
    init_path: str | None = None
    pause_program: str | None = None


def oci_spec(
    config: ContainerConfig, user: ResolvedUser, host: HostFacts, *, pid_namespace: str | None, shim_group: str
) -> dict[str, Any]:
    """`pid_namespace` is the path of the namespace to join, None for one of the container's own."""
    capabilities = effective_capabilities(config.capabilities_add, config.capabilities_drop)
    uses_init = config.init_process and host.init_path is not None
    args = [INIT_TARGET, "--", *config.args] if uses_init else list(config.args)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": config.terminal,
            "user": {
                "uid": user.uid,
                "gid": user.gid,
                "additionalGids": list(dict.fromkeys((user.gid, *user.additional_gids))),
            },
            "args": args,
            "env": [f"{name}={value}" for name, value in environment(config, user)],
            "cwd": config.working_directory or "/",
            "capabilities": process_capabilities(capabilities, user.uid),
            "rlimits": rlimits(config, host),
            "noNewPrivileges": False,
            "oomScoreAdj": OOM_SCORE,
        },
        "root": {"path": "rootfs", "readonly": config.readonly_root},
        "hostname": config.hostname,
        "mounts": [
            *_system_mounts(),
            *_own_mounts(config, host.init_path if uses_init else None),
        ],
        "annotations": {SHIM_GROUP_ANNOTATION: shim_group},
        "linux": {
            "cgroupsPath": config.cgroup_path,
            "namespaces": _namespaces(config, host, pid_namespace),
            **in_user_namespace(config.user_namespace),
            "resources": _resources(config, host),
            "seccomp": seccomp_profile(host.architecture, capabilities),
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            **({"sysctl": dict(config.ipc_controls)} if config.ipc_controls else {}),
        },
    }


def effective_capabilities(add: tuple[str, ...], drop: tuple[str, ...]) -> tuple[str, ...]:
    """Fargate lets a task drop any of the default capabilities and add SYS_PTRACE only."""
    dropped = {capability_name(name) for name in drop}
    kept = () if "CAP_ALL" in dropped else tuple(name for name in DEFAULT_CAPABILITIES if name not in dropped)
    added = tuple(name for name in map(capability_name, add) if name in ADDABLE_CAPABILITIES and name not in dropped)
    return tuple(dict.fromkeys((*kept, *added)))


def process_capabilities(capabilities: tuple[str, ...], uid: int) -> dict[str, list[str]]:
    """A user other than root starts without capabilities, but a set-uid program may gain those of the bounding set."""
    held = list(capabilities) if uid == 0 else []
    return {"bounding": list(capabilities), "effective": held, "permitted": held, "inheritable": [], "ambient": []}


def environment(config: ContainerConfig, user: ResolvedUser) -> list[tuple[str, str]]:
    """Docker's own variables, unless the container sets them."""
    given = dict(config.environment)
    defaults = {"PATH": _PATH, "HOSTNAME": config.hostname, "HOME": user.home}
    if config.terminal:
        defaults["TERM"] = "xterm"
    return [*((name, value) for name, value in defaults.items() if name not in given), *given.items()]


def rlimits(config: ContainerConfig, host: HostFacts) -> list[dict[str, Any]]:
    """The task's ulimits; nofile is 65535 as on Fargate. Nothing above what this process may give away itself."""
    wanted = {"nofile": (_NOFILE_DEFAULT, _NOFILE_DEFAULT)}
    wanted |= {ulimit.name: (ulimit.soft, ulimit.hard) for ulimit in config.ulimits if ulimit.name in _ULIMITS}
    own = dict(host.hard_limits)
    limits = []
    for name, (soft, hard) in wanted.items():
        ceiling = host.nr_open if name == "nofile" else None
        if not host.may_raise_limits and name in own:
            ceiling = own[name] if ceiling is None else min(ceiling, own[name])
        hard, soft = _clamp(hard, ceiling), _clamp(soft, ceiling)
        limits.append({"type": f"RLIMIT_{name.upper()}", "soft": min(soft, hard), "hard": hard})
    return limits


def _clamp(value: int, ceiling: int | None) -> int:
    unlimited = 2**64 - 1
    wanted = unlimited if value < 0 else value  # -1 means unlimited
    return wanted if ceiling is None else min(wanted, ceiling)


def capability_name(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def _system_mounts() -> list[dict[str, Any]]:
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ]


def _own_mounts(config: ContainerConfig, init_path: str | None) -> list[dict[str, Any]]:
    """The task's mounts, outer ones before those inside them, whatever their kind."""
    init = () if init_path is None else (BindMount(source=init_path, target=INIT_TARGET, read_only=True),)
    is_mapped = config.user_namespace is not None
    binds = [_bind(mount, is_mapped=is_mapped) for mount in (*init, *config.mounts)]
    mounts = [*binds, *map(_tmpfs, config.tmpfs)]
    return sorted(mounts, key=lambda mount: str(mount["destination"]).rstrip("/").count("/"))


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _bind(mount: BindMount, *, is_mapped: bool = False) -> dict[str, Any]:
    """`is_mapped`: in a user namespace nobody may make a mount of the host's laxer, nor read-only without saying again
    what it is, which older runtimes forget: a task's disk has no devices."""
    access = "ro" if mount.read_only else "rw"
    plain = ("nosuid", "nodev", "noexec") if mount.is_data else ("nodev",) if is_mapped else ()
    return _mount(mount.target, "bind", mount.source, "rbind", "rprivate", access, *plain)


def _tmpfs(mount: Tmpfs) -> dict[str, Any]:
    defaults = ("nosuid", "nodev", "noexec")
    # A given option wins over the default that it contradicts.
    kept = [option for option in defaults if option.removeprefix("no") not in mount.mount_options]
    # `defaults` is a word of mount(8) that takes nothing away, in Docker too; the kernel does not know it.
    given = (option for option in mount.mount_options if option != "defaults")
    options = list(dict.fromkeys((*kept, *given, f"size={mount.size_mib}m")))
    return _mount(mount.container_path, "tmpfs", "tmpfs", *options)


def _namespaces(config: ContainerConfig, host: HostFacts, pid_namespace: str | None) -> list[dict[str, str]]:
    pid = {"type": "pid"} if pid_namespace is None else {"type": "pid", "path": pid_namespace}
    namespaces = [pid, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
    namespaces.append({"type": "network", "path": config.netns_path})
    if host.cgroup_v2:
        namespaces.append({"type": "cgroup"})
    return [*namespaces, *user_namespaces(config.user_namespace)]


def user_namespaces(users: UserNamespace | None) -> list[dict[str, str]]:
    return [] if users is None else [{"type": "user", "path": users.path}]


def in_user_namespace(users: UserNamespace | None) -> dict[str, Any]:
    """Runtimes join it by its path and want its maps all the same: runc refuses a path without them, and
    containerd opens its own to who is root there by them."""
    if users is None:
        return {}
    ids = [{"containerID": 0, "hostID": users.first, "size": IDS}]
    return {"uidMappings": ids, "gidMappings": ids}


def _resources(config: ContainerConfig, host: HostFacts) -> dict[str, Any]:
    devices: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    devices.extend(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in _DEVICES
    )
    devices.append({"allow": True, "type": "c", "major": _PTY_MAJOR, "access": "rwm"})
    memory: dict[str, int] = {}
    if config.memory_limit_bytes is not None:
        memory = {"limit": config.memory_limit_bytes}
        if host.limits_swap:
            # No swap, as on Fargate: OCI's `swap` is memory and swap together.
            memory["swap"] = config.memory_limit_bytes
    if config.memory_reservation_bytes is not None:
        memory["reservation"] = config.memory_reservation_bytes
    return {
        "devices": devices,
        "cpu": {"shares": max(_CPU_SHARES_MIN, config.cpu_shares)},
        "pids": {"limit": config.pids_limit},
        **({"memory": memory} if memory else {}),
    }
