"""`neargate image collect`: gives back the room of layers that no image names any more.

Owns when that may be: while the region is down, since a layer that is just being pushed is nobody's, too. The keeper of
the bytes does it itself. Invariant: what a manifest names stays; manifests go only when the registry let go of them.
"""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from . import locks, processes
from .paths import RegionPaths
from .problems import Problem
from .supervisor import USER, images_settings, registry_binary


def collect(paths: RegionPaths, say: Callable[[str], None]) -> None:
    """Raises Problem while the region runs, and when the keeper fails."""
    lock = locks.take(paths.up_lock)
    if lock is None or processes.find(paths.pid_file("images")) is not None:
        raise Problem(
            f"images are collected while the region is down; stop it with: neargate down{paths.as_option}, "
            f"then: neargate image collect{paths.as_option}"
        )
    try:
        before = _used_bytes(paths)
        _run(paths)
        freed = max(before - _used_bytes(paths), 0)
        say(f"{freed / 1024**2:.1f} MiB of {before / 1024**2:.1f} MiB are free again")
    finally:
        os.close(lock)


def _run(paths: RegionPaths) -> None:
    """As the user whose the files are. Never with --delete-untagged: tags are in our records, the keeper has none."""
    binary = registry_binary()
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam(USER)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as settings:
        settings.write(images_settings(paths, "none"))
        settings.flush()
        os.chmod(settings.name, 0o644)
        done = subprocess.run(
            [binary, "garbage-collect", settings.name],
            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **as_user,
        )
    nothing_yet = not any(paths.images.iterdir()) if paths.images.is_dir() else True
    if done.returncode != 0 and not nothing_yet:
        raise Problem(f"docker-registry could not collect: {done.stderr.strip()[-500:]}")


def _used_bytes(paths: RegionPaths) -> int:
    found = 0
    for folder, _, files in os.walk(paths.images):
        for name in files:
            try:
                found += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a name that went meanwhile
    return found
