"""Where a region keeps its files. Everything a region names on the machine carries its instance id.

Durable things live under the data directory; sockets, pid files and namespaces under /run (short paths: a UNIX
socket's path may have 107 bytes), which is empty after a reboot as they are.
"""

import hashlib
import os
import shlex
from pathlib import Path

from msgspec import Struct

from .problems import Problem

DEFAULT_DATA = "/var/lib/neargate"


class RegionPaths(Struct, frozen=True):
    """All paths of one region on one machine, from its data directory."""

    data: Path

    @property
    def instance(self) -> str:
        """Six hex digits that keep two regions on one machine apart."""
        return hashlib.sha256(os.fsencode(self.data)).hexdigest()[:6]

    @property
    def run(self) -> Path:
        """Root's regions live under /run; another user's own (simulated) ones where that user may write.

        Asked by existence, not by user: the server asks again after it stepped down from root.
        """
        shared = Path("/run/neargate") / self.instance
        if os.geteuid() == 0 or shared.exists():
            return shared
        return Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp")) / f"neargate-{self.instance}"  # noqa: S108

    @property
    def data_link(self) -> Path:
        """In the run directory, to the data: it says whose it is where the data is gone."""
        return self.run / "data"

    @property
    def as_option(self) -> str:
        """` --data DIR` for commands shown to the user, quoted for a shell; empty for the default."""
        return "" if str(self.data) == DEFAULT_DATA else f" --data {shlex.quote(str(self.data))}"

    @property
    def config(self) -> Path:
        return self.data / "region.json"

    @property
    def up_lock(self) -> Path:
        """Held by the `up` that watches over the region; its content is that process."""
        return self.data / "up.lock"

    @property
    def down_lock(self) -> Path:
        """Held by the `down` that takes the region down; its content is that process."""
        return self.data / "down.lock"

    @property
    def administrator(self) -> Path:
        """The administrator's keys, made on first start; mode 0600."""
        return self.data / "administrator.json"

    @property
    def secrets(self) -> Path:
        """What the databases must not hold; mode 0700. A copy of the databases alone must not open what is sealed."""
        return self.data / "secrets"

    @property
    def master_keys(self) -> Path:
        """The keys that seal secrets in the databases, made on first start unless a command yields them; mode 0600."""
        return self.secrets / "master.key"

    @property
    def registry_authority(self) -> Path:
        """The region's own authority for its registry's certificates, its key sealed; made by the server."""
        return self.secrets / "registry-authority.json"

    @property
    def registry_auth(self) -> Path:
        """Operator's credentials for registries, in the form of docker's config.json; optional."""
        return self.data / "registry-auth.json"

    @property
    def databases(self) -> Path:
        return self.data / "db"

    @property
    def logs(self) -> Path:
        """The processes' own logs (not the tasks')."""
        return self.data / "log"

    @property
    def agent(self) -> Path:
        return self.data / "agent"

    @property
    def disks(self) -> Path:
        return self.data / "disks"

    @property
    def containerd(self) -> Path:
        return self.data / "containerd"

    @property
    def former_registry(self) -> Path:
        """Images of a release that had a registry without passwords. Nobody reads them; they are the operator's."""
        return self.data / "registry"

    @property
    def images(self) -> Path:
        """Bytes of the region's own (ECR) images. What is in them, the region's database knows."""
        return self.data / "images"

    @property
    def image_storage(self) -> Path:
        """What `--image-storage` said at the last `up`, root's alone: it may hold credentials."""
        return self.data / "image-storage.json"

    @property
    def images_socket(self) -> Path:
        """Of the process that keeps them: only the server's user reaches it, so that nobody walks around policies."""
        return self.server_run / "images.sock"

    @property
    def server_run(self) -> Path:
        """Directory of the server's sockets: the unprivileged user's own, nobody else's."""
        return self.run / "server"

    @property
    def link_socket(self) -> Path:
        return self.server_run / "link.sock"

    @property
    def admin_socket(self) -> Path:
        return self.server_run / "admin.sock"

    @property
    def tasks_socket(self) -> Path:
        """Of the API, for calls of tasks, which the agent hands on and says whose they are."""
        return self.server_run / "tasks.sock"

    @property
    def agent_socket(self) -> Path:
        """Of the agent, for this machine's operator: it answers also when no server runs."""
        return self.run / "agent.sock"

    @property
    def role_credentials(self) -> Path:
        """The agent's: credentials of task roles, in memory only; mode 0700."""
        return self.run / "credentials"

    def pid_file(self, process: str) -> Path:
        return self.run / f"{process}.pid"

    def log_file(self, process: str) -> Path:
        return self.logs / f"{process}.log"


def region_paths(data: str | None = None) -> RegionPaths:
    """The paths for `--data`, NEARGATE_DATA or the default, with symbolic links resolved."""
    if data is not None and not data.strip():
        raise Problem("--data is empty (an unset variable?); name a directory or leave the option out")
    chosen = data or os.environ.get("NEARGATE_DATA") or DEFAULT_DATA
    directory = Path(chosen).resolve()
    there = next(path for path in (directory, *directory.parents) if path == path.parent or os.path.lexists(path))
    if not os.path.isdir(there):
        raise Problem(f"--data {chosen}: {there} is a file; name a directory, or one that can be made")
    return RegionPaths(directory)


def region_of(run: Path) -> RegionPaths | None:
    """Whose run directory it is. None for what is not ours: in /tmp anybody may make a directory of any name."""
    try:
        if run.lstat().st_uid != os.geteuid():
            return None
        paths = RegionPaths(Path(os.readlink(run / "data")))
    except OSError:
        return None
    return paths if paths.run == run else None
