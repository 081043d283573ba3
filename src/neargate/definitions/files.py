"""Files that a container definition gives its container: two labels, their rules, and what a launch carries of them.

`neargate.file:PATH` is a file's text; `neargate.secret-file:PATH` names the entry of `secrets` whose value becomes the
file, and then is no variable. Must not know whether the region has the extension: without it nobody comes here, and a
label is a label. Invariant: with it, a label under our prefix is one of these two, or is refused: a typing error must
not leave a secret in the environment.
"""

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from ..model.errors import ClientError
from ..model.launch import ContainerLaunch, InlineFile
from .reading import Document, members, structure

PREFIX = "neargate."
FILE, SECRET_FILE = "neargate.file:", "neargate.secret-file:"
FILES_MAX = 32  # of one container, both kinds together; their text is bounded by the definition's 64 KiB
PATH_MAX_CHARS = 512
DEPTH_MAX = 32

_NAME_MAX_BYTES = 255  # the kernel's
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The kernel's own file systems, and what the platform itself puts into every container.
_KERNELS = frozenset({"proc", "sys", "dev"})
_PLATFORMS = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def check_files(request: Document) -> None:
    """Raises ClientException. `request` passed `rules.check_definition`, or is a stored definition."""
    containers = {container["name"]: container for container in request["containerDefinitions"]}
    for container in containers.values():
        _check_container(container, containers)


def with_files(launches: Sequence[ContainerLaunch], definition: Document) -> tuple[ContainerLaunch, ...]:
    """A task's containers with what their labels give them; the definition passed `check_files`."""
    return tuple(map(_with_files, launches, definition["containerDefinitions"]))


def paths_problem(paths: Sequence[str]) -> str | None:
    """What is wrong with these as the files of one container, in half a sentence; None: nothing."""
    if len(paths) > FILES_MAX:
        return f"there are more than {FILES_MAX} files"
    for number, path in enumerate(paths):
        if path in _PLATFORMS:
            return "the platform itself writes this file into every container"
        if not is_file_path(path):
            return (
                "a path must be absolute and normalised, without control characters, and not below /proc, /sys or /dev"
            )
        if any(_overlaps(path, other) for other in paths[:number]):
            return "two files have the same path, or one lies below the other"
    return None


def is_file_path(path: str) -> bool:
    """Whether a file may be put there, as far as its text says: what the image has there is found out later."""
    parts = path.split("/")[1:]
    try:
        fits = len(parts) <= DEPTH_MAX and all(0 < len(part.encode()) <= _NAME_MAX_BYTES for part in parts)
    except UnicodeEncodeError:
        return False  # half of a pair of surrogates: no file has such a name
    return (
        fits
        and len(path) <= PATH_MAX_CHARS
        and path.startswith("/")
        and not {".", ".."} & set(parts)
        and not _CONTROL.search(path)
        and parts[0] not in _KERNELS
        and path not in _PLATFORMS
    )


def _with_files(launch: ContainerLaunch, container: Document) -> ContainerLaunch:
    paths: dict[str, list[str]] = {}
    for path, name in _labelled(container, SECRET_FILE):
        paths.setdefault(name, []).append(path)
    return replace(
        launch,
        files=tuple(InlineFile(path=path, text=text) for path, text in _labelled(container, FILE)),
        secrets=tuple(replace(item, file_paths=tuple(paths.get(item.name, ()))) for item in launch.secrets),
    )


def _check_container(container: Document, containers: Mapping[str, Document]) -> None:
    labels = structure(container, "dockerLabels")
    for label in labels:
        if label.startswith(PREFIX) and not label.startswith((FILE, SECRET_FILE)):
            raise _invalid(container, label, f"only '{FILE}PATH' and '{SECRET_FILE}PATH' begin with '{PREFIX}'")
    names = {secret["name"] for secret in members(container, "secrets")}
    for path, name in _labelled(container, SECRET_FILE):
        if name not in names:
            raise _invalid(container, f"{SECRET_FILE}{path}", "its value is no name of the container's 'secrets'")
    mounts = _mount_paths(container, containers)
    given = [(kind, path) for kind in (FILE, SECRET_FILE) for path, _ in _labelled(container, kind)]
    for number, (kind, path) in enumerate(given, start=1):
        # One after the other, so that the refusal names the one that is too much.
        problem = paths_problem([other for _, other in given[:number]]) or _covered(path, mounts, container)
        if problem is not None:
            raise _invalid(container, f"{kind}{path}", problem)


def _covered(path: str, mounts: Collection[str], container: Document) -> str | None:
    """A volume may be others' too: they would find the file's mount point in it, and could take it away."""
    for mount in mounts:
        if _overlaps(path, mount):
            return f"it lies at, above or below the mount point '{mount}'"
    for tmpfs in members(structure(container, "linuxParameters"), "tmpfs"):
        mount = _normal(tmpfs["containerPath"])
        if path == mount or mount.startswith(f"{path}/"):
            return f"it lies at or above the tmpfs '{mount}'"
    return None


def _mount_paths(container: Document, containers: Mapping[str, Document]) -> list[str]:
    """Also those that `volumesFrom` brings. Each container is looked at once, however often it is named."""
    reached, waiting = set(), [container["name"]]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [source["sourceContainer"] for source in members(containers[name], "volumesFrom")]
    return sorted(
        {_normal(mount["containerPath"]) for name in reached for mount in members(containers[name], "mountPoints")}
    )


def _labelled(container: Document, kind: str) -> Iterator[tuple[str, str]]:
    """(path, the label's value), in the definition's order."""
    for label, value in structure(container, "dockerLabels").items():
        if label.startswith(kind):
            yield label.removeprefix(kind), value


def _overlaps(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _invalid(container: Document, label: str, why: str) -> ClientError:
    shown = label if len(label) <= PATH_MAX_CHARS else f"{label[:PATH_MAX_CHARS]}..."
    return ClientError(f"Invalid 'dockerLabels' setting for container '{container['name']}'. '{shown}': {why}.")
