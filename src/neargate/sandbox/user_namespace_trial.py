"""Whether containers can have user namespaces on this machine: by running one, as no version number tells it.

Owns that container: its root is put together as a task's, of two id-mapped mounts, it joins the namespaces that it is
given, and does what fails where something is missing: it writes, gives a file away, sees one of the disk's under its
owner, and has a /sys, which is refused where the network belongs to another user namespace. Blocking. Must not know how
namespaces are made. Invariant: nothing is left of it but after a kill, and the next trial removes that.
"""

import os
import shutil
from typing import Any

from ..model.host_ids import UserNamespace
from .id_mapped import Twins
from .oci_spec import in_user_namespace, user_namespaces
from .rootfs import layer_of, mounted_root, rootfs_mount, unmount_root
from .runtime_probe import NoRuntime, probe_runtime, run_throw_away, throw_away_spec

NAME = "user-namespace-trial"
_OWNER = 4711
# `test -O` asks whether root owns it: with the disk's own owners it would be nobody's.
_SCRIPT = f"set -e; test -O /given; echo word >> /given; cat < /kept > /written; chown {_OWNER}:{_OWNER} /written"
_DIRECTORIES = ("dev", "proc", "sys", "usr", "bin", "lib", "lib64")


def why_no_user_namespaces(
    users: UserNamespace, netns_path: str, *, run_dir: str, directory: str, cgroup_path: str
) -> str | None:
    """None when they work. `run_dir`: beside the engine's, which may look for its runtime at the same moment.

    `directory`: on the filesystem of images' layers; `cgroup_path`: one of the caller's own.
    """
    place, bundle = os.path.join(directory, NAME), os.path.join(run_dir, NAME)
    disk, lower = os.path.join(place, "disk"), os.path.join(place, "layers", "1", "fs")
    twins, layer = Twins(disk), layer_of(disk, NAME)
    try:
        runtime = probe_runtime(run_dir, cgroup_path)
        _remove(twins, place, bundle)
        _lay_out(place, disk, lower, bundle)
        twins.attach(users, [lower])
        root = rootfs_mount(twins.of_images([lower]), layer_of(twins.on_disk(disk), NAME))
        given = os.path.join(disk, "given")
        spec = _spec(users, netns_path, cgroup_path, twins.on_disk(given))
        with mounted_root(root, os.path.join(bundle, "rootfs")):
            failure = run_throw_away(runtime, bundle, spec)
        if failure is not None:
            return f"{os.path.basename(runtime)}: {failure}"
        owner = os.stat(os.path.join(layer.upper, "written")).st_uid
        return None if owner == _OWNER else f"what {_OWNER} owns in a task is {owner}'s on its disk"
    except NoRuntime as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    finally:
        _remove(twins, place, bundle)


def _lay_out(place: str, disk: str, lower: str, bundle: str) -> None:
    os.makedirs(place, mode=0o700)
    layer = layer_of(disk, NAME)
    for path in (layer.upper, layer.work, lower, os.path.join(bundle, "rootfs")):
        os.makedirs(path, mode=0o755)
    for name in _DIRECTORIES:
        os.mkdir(os.path.join(lower, name), 0o755)
    for path in (os.path.join(disk, "given"), os.path.join(lower, "given"), os.path.join(lower, "kept")):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _spec(users: UserNamespace, netns_path: str, cgroup_path: str, given: str) -> dict[str, Any]:
    """As the runtime's own trial, in the namespaces of a task, with a file from its disk and /sys."""
    spec = throw_away_spec(cgroup_path)
    linux = spec["linux"]
    kept = [item for item in linux["namespaces"] if item["type"] != "network"]
    linux["namespaces"] = [*kept, {"type": "network", "path": netns_path}, *user_namespaces(users)]
    linux |= in_user_namespace(users)
    spec["process"]["args"] = ["/bin/sh", "-c", _SCRIPT]
    spec["process"]["capabilities"] = {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")}
    spec["mounts"] += [
        {"destination": "/given", "type": "bind", "source": given, "options": ["bind", "rw", "nodev"]},
        {"destination": "/kept", "type": "bind", "source": given, "options": ["bind", "ro", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ]
    return spec


def _remove(twins: Twins, place: str, bundle: str) -> None:
    unmount_root(os.path.join(bundle, "rootfs"))
    twins.detach()
    for path in (place, bundle):
        shutil.rmtree(path, ignore_errors=True)
