"""Where things are inside a guest, and how the host's paths become the guest's. Pure.

Invariant: a path that is neither on the task's disk nor given in memory has no place in the guest, so that no file of
the host gets there by mistake.
"""

import os

DISK = "/disk"
IMAGES = "/images"
GIVEN = "/run/given"
CONTAINERS = "/run/containers"
PAUSE_ROOT = "/run/pause"
EXECUTIONS = "/run/executions"
CGROUPS = "/sys/fs/cgroup"
TASK_CGROUP = "/task"
# On the task's disk, put there by the host: the guest's own tools are few.
PROGRAMS = ".programs"
INIT, PAUSE = f"{PROGRAMS}/init", f"{PROGRAMS}/pause"
DISK_SERIAL = "disk"


def image_serial(number: int) -> str:
    return f"image-{number}"


def image_place(number: int) -> str:
    return f"{IMAGES}/{number}"


def bundle(runtime_id: str) -> str:
    return f"{CONTAINERS}/{runtime_id}"


def given(runtime_id: str, number: int) -> str:
    return f"{GIVEN}/{runtime_id}-{number}"


def swap(name: str) -> str:
    """Of the container of this name, below the task's disk."""
    return f".swap-{name}"


def cgroup(name: str) -> str:
    """A container's, by its name in the task. As the specification says it: below the hierarchy's root."""
    return f"{TASK_CGROUP}/{name}"


def on_disk(host_path: str, disk_path: str) -> str | None:
    """The guest's path of what lies on the task's disk; None for what lies elsewhere."""
    root = os.path.normpath(disk_path)
    path = os.path.normpath(host_path)
    if path == root:
        return DISK
    return f"{DISK}/{os.path.relpath(path, root)}" if path.startswith(root + "/") else None


def execution(group: str, number: int) -> str:
    """The cgroup of a command inside a container's: what it starts is ended with it."""
    return f"{group}/{execution_name(number)}"


def execution_name(number: int) -> str:
    return f"neargate-exec-{number}"
