"""What this machine allows: read once when the agent starts.

Owns: the reading of rlimits, cgroup hierarchy and the init program. Must not know containers.
"""

import os
import platform
import resource

from .capability import may_raise_limits
from .oci_spec import HostFacts
from .pause import PROGRAMS as PAUSE_PROGRAMS
from .pause import is_static

# Static ones only: the program runs inside images that may have no C library. Debian: package tini, or docker.io.
_INIT_PROGRAMS = ("/usr/bin/tini-static", "/usr/bin/docker-init", "/usr/libexec/docker/docker-init")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LIMITS = {
    "core": resource.RLIMIT_CORE,
    "cpu": resource.RLIMIT_CPU,
    "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nice": resource.RLIMIT_NICE,
    "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC,
    "rss": resource.RLIMIT_RSS,
    "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME,
    "sigpending": resource.RLIMIT_SIGPENDING,
    "stack": resource.RLIMIT_STACK,
}


def host_boot_id() -> str:
    """Of the machine's life since its kernel started: another one after each start."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def read_host_facts() -> HostFacts:
    hard = ((name, resource.getrlimit(number)[1]) for name, number in _LIMITS.items())
    return HostFacts(
        architecture=host_architecture(),
        cgroup_v2=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        may_raise_limits=may_raise_limits(),
        nr_open=_read_number("/proc/sys/fs/nr_open", 1024 * 1024),
        hard_limits=tuple((name, value) for name, value in hard if value != resource.RLIM_INFINITY),
        limits_swap=_limits_swap(),
        init_path=next((path for path in _INIT_PROGRAMS if os.access(path, os.X_OK)), None),
        pause_program=next((path for path in PAUSE_PROGRAMS if is_static(path)), None),
    )


def host_architecture() -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise RuntimeError(f"Neargate runs containers on x86_64 and aarch64, not on {machine}")
    return _ARCHITECTURES[machine]


def _limits_swap() -> bool:
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return True  # the runtime leaves swap alone where the kernel has none
    return os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")


def _read_number(path: str, otherwise: int) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return otherwise
