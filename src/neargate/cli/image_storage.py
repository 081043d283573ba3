"""`--image-storage FILE`: docker-registry's own `storage:` section says where the bytes of images are kept.

Owns which of it is taken over: one driver and its parameters; the rest of the keeper's settings stays ours, so that no
file opens a listener, lets a client round the door, or takes deleting away. Must not know what drivers do. Invariant:
what may hold credentials is in files that only root and the keeper's user read, and in no text for people.
"""

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ..model.concealed import Concealed
from . import private_files
from .config import RegionConfig
from .paths import RegionPaths
from .problems import Problem

DRIVERS = ("filesystem", "s3", "swift", "azure", "gcs", "oss")  # a docker-registry of Debian has the first three
UPLOADS_KEPT = "24h"  # since an upload began; as the region's own knob `image_upload_idle_s`
FILE_MAX_BYTES = 64 * 1024
MEMBERS_MAX = 500
_OURS = {
    "delete": "images of deleted repositories are removed",
    "redirect": "bytes pass the door, which asks policies",
    "maintenance": "what uploads leave behind is removed after a day",
    "cache": "digests are remembered by the region",
    "tag": "tags are the region's",
}
_EXAMPLE = "for example:\nstorage:\n  s3:\n    region: us-east-1\n    bucket: my-images"


class Storage(Concealed, frozen=True, kw_only=True):
    """`parameters` as docker-registry documents them; they may hold credentials."""

    driver: str
    parameters: dict[str, Any]

    @property
    def where(self) -> str:
        """For people and for region.json: a directory of this machine, or the driver's name with what is no secret."""
        if self.driver == "filesystem":
            return str(self.parameters["rootdirectory"])
        name = self.parameters.get("bucket") or self.parameters.get("container") or ""
        return f"{self.driver}:{name}" if isinstance(name, str) else self.driver


def section(storage: Storage | None, directory: Path) -> dict[str, Any]:
    """The keeper's `storage:`. `directory`: where bytes are when nothing else was said."""
    name, parameters = "filesystem", {"rootdirectory": str(directory)}
    if storage is not None:
        name, parameters = storage.driver, storage.parameters
    # Looking for what uploads leave behind reads the names of all repositories: elsewhere that costs money.
    interval = "1h" if name == "filesystem" else "24h"
    purging = {"enabled": True, "age": UPLOADS_KEPT, "interval": interval, "dryrun": False}
    return {
        name: parameters,
        "delete": {"enabled": True},
        "redirect": {"disable": True},
        "maintenance": {"uploadpurging": purging},
    }


def parse(text: bytes, source: str) -> Storage:
    """Raises Problem, which shows nothing of the text but names of members."""
    import yaml  # few regions have such a file

    if len(text) > FILE_MAX_BYTES:
        raise Problem(f"--image-storage {source}: longer than {FILE_MAX_BYTES} bytes")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise Problem(
            f"--image-storage {source} is no YAML{'' if line is None else f' (line {line + 1})'}; {_EXAMPLE}"
        ) from None
    return _judged(found, source)


def _judged(found: object, source: str) -> Storage:
    said = f"--image-storage {source}"
    if not isinstance(found, dict) or not isinstance(found.get("storage"), dict):
        raise Problem(f"{said} has no storage: section; {_EXAMPLE}")
    if others := [name for name in found if name not in ("storage", "version")]:
        raise Problem(f"{said}: {_shown(others[0])}: is Neargate's own; leave storage: alone in the file")
    inner = found["storage"]
    for name, why in _OURS.items():
        if name in inner:
            raise Problem(f"{said}: storage.{name} is Neargate's own ({why}); leave it out")
    if len(inner) != 1 or next(iter(inner)) not in DRIVERS:
        raise Problem(f"{said}: storage: must have one driver, {', '.join(DRIVERS[:-1])} or {DRIVERS[-1]}; {_EXAMPLE}")
    [(driver, parameters)] = inner.items()
    if not isinstance(parameters, dict):
        raise Problem(f"{said}: storage.{driver} has no parameters; {_EXAMPLE}")
    if (wrong := _unfit(parameters)) is not None:
        raise Problem(f"{said}: storage.{driver}.{wrong} is no text, number, list or mapping; write it in quotes")
    if driver == "filesystem":
        root = parameters.get("rootdirectory")
        if not isinstance(root, str) or not root.startswith("/"):
            raise Problem(f"{said}: storage.filesystem.rootdirectory must be a directory's whole path")
    return Storage(driver=driver, parameters=parameters)


def _unfit(parameters: dict[Any, Any]) -> str | None:
    """The name of a member that the keeper's settings cannot hold. Aliases are counted as often as they are named."""
    waiting: list[tuple[str, object]] = [("", parameters)]
    for _ in range(MEMBERS_MAX):
        if not waiting:
            return None
        name, value = waiting.pop()
        if isinstance(value, dict):
            if not all(isinstance(key, str) and key.isprintable() for key in value):
                return name or "its names"
            waiting += [(f"{name}.{key}" if name else key, item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [(name, item) for item in value]
        elif isinstance(value, str):
            if not value.replace("\n", "").isprintable():
                return name
        elif not isinstance(value, bool | int | float | None):
            return name
    return "(too many members)"


def settle(paths: RegionPaths, config: RegionConfig, user: str | None, end_keeper: Callable[[], None]) -> RegionConfig:
    """At each `up`: take over what the file says now. The configuration with `images_at`.

    `user`: the keeper's, None for who we are. A copy stays in the data directory, so that a region can be taken down
    when the file is gone. `end_keeper` is called before the copy changes: whatever comes between, no keeper goes on
    with what was said before. Raises Problem.
    """
    before = paths.image_storage.read_bytes() if paths.image_storage.exists() else b""
    if not config.image_storage:
        if before:
            end_keeper()
        paths.image_storage.unlink(missing_ok=True)
        return replace(config, images_at="")
    storage = _read(Path(config.image_storage))
    _check_directory(storage, user)
    content = json.dumps({"storage": {storage.driver: storage.parameters}}, sort_keys=True).encode()
    if content != before:
        end_keeper()
        private_files.write(paths.image_storage, content)
    return replace(config, images_at=storage.where)


def kept(paths: RegionPaths) -> Storage | None:
    """What the last `up` took over; None: the data directory. As root. Raises Problem."""
    try:
        return _judged(json.loads(paths.image_storage.read_bytes()), str(paths.image_storage))
    except FileNotFoundError:
        return None
    except ValueError:
        raise Problem(f"{paths.image_storage} is damaged; type neargate up with --image-storage FILE again") from None


def local_directory(paths: RegionPaths, config: RegionConfig) -> Path | None:
    """Where the bytes are, if that is a directory of this machine."""
    if not config.images_at:
        return paths.images
    return Path(config.images_at) if config.images_at.startswith("/") else None


def _check_directory(storage: Storage, user: str | None) -> None:
    """The keeper would make it: on this machine's own disk, where what should be mounted there is not."""
    if storage.driver != "filesystem":
        return
    path, said = Path(storage.where), f"--image-storage: the directory {storage.where}"
    try:
        facts = path.stat()
    except OSError as error:
        raise Problem(f"{said}: {error.strerror}; is it mounted? make it with: mkdir {path}") from None
    if not path.is_dir():
        raise Problem(f"{said} is a file")
    if user is not None:
        owner = pwd.getpwnam(user).pw_uid
        if facts.st_uid != owner or facts.st_mode & 0o700 != 0o700:
            raise Problem(f"{said} must be the user {user}'s: chown {user}: {path}; chmod 700 {path}")
        for parent in path.parents:
            if parent.stat().st_uid != owner and not parent.stat().st_mode & 0o001:
                raise Problem(f"{said}: the user {user} cannot enter {parent}")


def _read(path: Path) -> Storage:
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            text = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise Problem(f"--image-storage {path}: {error.strerror}") from None
    storage = parse(text, str(path))
    if facts.st_mode & 0o077 and storage.driver != "filesystem":
        raise Problem(f"--image-storage {path}: others may read it, and it may hold credentials: chmod 600 {path}")
    return storage


def _shown(name: object) -> str:
    return str(name)[:40] if isinstance(name, str) and name.isprintable() else "a member"
