"""Volumes of a task and where containers mount them; the task's ephemeral disk; tmpfs.

Owns the rules only: the disk itself is the agent's. Invariant: every mount names a volume of the same definition, and
no path of the host can be named on Fargate.
"""

from ..model.errors import ClientError
from .reading import NAME, Document, is_absolute_path, members, not_yet, structure
from .sizes import EPHEMERAL_MAX_GIB, EPHEMERAL_MIN_GIB

TMPFS_OPTIONS = frozenset(
    [
        "defaults",
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "mand",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "unbindable",
        "runbindable",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
    ]
)
# Options with a value. AWS also lists bind, rbind, remount, mpol and nr_blocks (which `size` always overrules): they
# cannot take effect in a sandbox, so they are refused.
TMPFS_VALUES = frozenset({"mode", "uid", "gid", "nr_inodes"})


def check_volumes(request: Document) -> None:
    """For every launch type: names, and that mount points name a volume of this definition."""
    names: set[str] = set()
    for volume in members(request, "volumes"):
        name = volume.get("name")
        if not name:
            raise ClientError("Volume name should not be null or empty.")
        if not NAME.match(name):
            raise ClientError("Volume name contains invalid characters.")
        if name in names:
            raise ClientError(f"Volume names must be unique within a task definition. Duplicate volume '{name}'.")
        names.add(name)
    for container in request["containerDefinitions"]:
        _check_mount_points(container, names)


def _check_mount_points(container: Document, volumes: set[str]) -> None:
    paths: set[str] = set()
    for mount in members(container, "mountPoints"):
        if mount.get("sourceVolume") not in volumes:
            raise ClientError(f"Unknown volume '{mount.get('sourceVolume')}'.")
        path = mount.get("containerPath") or ""
        if not is_absolute_path(path):
            raise ClientError(f"Invalid 'containerPath' setting for volume '{mount['sourceVolume']}'.")
        if path.rstrip("/") in paths:
            raise ClientError(f"Container path '{path}' is used more than once in a container's mount points.")
        paths.add(path.rstrip("/"))


def check_fargate_volumes(request: Document) -> None:
    for volume in members(request, "volumes"):
        if structure(volume, "host").get("sourcePath"):
            raise ClientError("host.sourcePath should not be set for volumes in Fargate.")
        if volume.get("dockerVolumeConfiguration") is not None:
            raise ClientError("Fargate compatible task definitions do not support dockerVolumeConfiguration")
        if volume.get("fsxWindowsFileServerVolumeConfiguration") is not None:
            raise ClientError(
                "Fargate compatible task definitions do not support fsxWindowsFileServerVolumeConfiguration"
            )
        for kind in ("efsVolumeConfiguration", "s3filesVolumeConfiguration"):
            if volume.get(kind) is not None:
                raise not_yet(f"volumes with {kind}")
        if volume.get("configuredAtLaunch"):
            raise not_yet("volumes with configuredAtLaunch")


def check_ephemeral_storage(request: Document) -> None:
    storage = request.get("ephemeralStorage")
    if storage is None:
        return
    size = storage["sizeInGiB"]
    if size < EPHEMERAL_MIN_GIB:
        raise ClientError(f"EphemeralStorage size should be at least {EPHEMERAL_MIN_GIB}")
    if size > EPHEMERAL_MAX_GIB:
        raise ClientError(f"EphemeralStorage size should be at most {EPHEMERAL_MAX_GIB}")


def check_tmpfs(container: str, tmpfs: Document) -> None:
    if not is_absolute_path(tmpfs["containerPath"]):
        raise ClientError(f"Invalid 'tmpfs.containerPath' setting for container '{container}'.")
    if tmpfs["size"] < 1:
        raise ClientError(f"Invalid 'tmpfs.size' setting for container '{container}'.")
    for option in tmpfs.get("mountOptions") or ():
        name, _, value = option.partition("=")
        known = name in TMPFS_VALUES and value.isdecimal() if value else name in TMPFS_OPTIONS
        if not known:
            raise ClientError(f"The tmpfs mount option '{option}' of container '{container}' is not supported.")
