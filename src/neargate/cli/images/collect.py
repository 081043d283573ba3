"""`neargate image collect`: gives back the room of layers that no image names any more.

Owns when that may be: while the region is down, since a layer that is just being pushed is nobody's, too. The keeper of
the bytes does it itself. Invariant: what a manifest names stays; manifests go only when the registry let go of them.
"""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import config as configs
from .. import image_storage, locks, processes
from ..paths import RegionPaths
from ..problems import Problem
from ..supervisor import USER, images_environment, images_settings, registry_binary

_NOTHING_YET = "Path not found: /docker/registry/v2/repositories"


def collect(paths: RegionPaths, say: Callable[[str], None]) -> None:
    """Raises Problem while the region runs, and when the keeper fails. Elsewhere than here nobody measures."""
    lock = locks.take(paths.up_lock)
    if lock is None or processes.find(paths.pid_file("images")) is not None:
        raise Problem(
            f"images are collected while the region is down; stop it with: neargate down{paths.as_option}, "
            f"then: neargate image collect{paths.as_option}"
        )
    try:
        config = configs.load(paths) if paths.config.exists() else configs.RegionConfig()
        directory = image_storage.local_directory(paths, config)
        if directory is None:
            _run(paths)
            say(f"what no image names any more was removed from {config.images_at}")
            return
        before = _used_bytes(directory)
        _run(paths)
        freed = max(before - _used_bytes(directory), 0)
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
        if as_user:
            os.chown(settings.name, as_user["user"], as_user["group"])  # its mode is 0600
        done = subprocess.run(
            [binary, "garbage-collect", settings.name],
            env=images_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **as_user,
        )
    if done.returncode != 0 and _NOTHING_YET not in done.stderr:
        raise Problem(f"docker-registry could not collect: {done.stderr.strip()[-500:]}")


def _used_bytes(directory: Path) -> int:
    found = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                found += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a name that went meanwhile
    return found
