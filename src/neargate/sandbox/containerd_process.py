"""Neargate's own containerd: its configuration file, command line and the program in front of its shims.

Owns: the directories `containerd` below the data and run directories. Starting, adopting and stopping the process is
the supervisor's. Invariant: nothing of Debian's own containerd (/etc/containerd, /run/containerd) is read or written.
"""

import json
import os
import shlex

from msgspec import Struct

from .capability import may_raise_limits

# Only the overlay snapshotter, the content store, the runtime and their services are needed. CRI would open ports and
# watch CNI; the other snapshotters would each warn about a filesystem this host does not have.
_DISABLED_PLUGINS = (
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.nri.v1.nri",
    "io.containerd.podsandbox.controller.v1.podsandbox",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.snapshotter.v1.zfs",
)

# Called in a container's bundle as containerd calls its shim. A container for which a shim waits is told its address;
# everything else is the shim program's own. Only what a shell does by itself, or little would be won. A socket that is
# gone is not told: containerd would wait 100 s for it.
_FRONT = """\
#!/bin/sh
case "$*" in
*" start")
    if read -r address 2>/dev/null < {told}/"${{PWD##*/}}" && [ -S "${{address#unix://}}" ]; then
        printf %s "$address" > address && printf %s "$address" && exit 0
    fi
    ;;
esac
exec containerd-shim-runc-v2 "$@"
"""

# A UNIX socket's path has 108 bytes at most, and the shims put theirs below the state directory's hash in /run.
_SOCKET_PATH_MAX = 107


def default_state_dir(address: str) -> str:
    """Where the containerd behind this socket keeps its bundles: its own default, or an instance of ours."""
    if address == "/run/containerd/containerd.sock":
        return "/run/containerd"
    return os.path.join(os.path.dirname(address), "containerd")


class ContainerdInstance(Struct, frozen=True, kw_only=True):
    """`data_dir` keeps images over reboots; `run_dir` must be on a filesystem that a reboot empties (tmpfs)."""

    data_dir: str
    run_dir: str

    @property
    def address(self) -> str:
        return os.path.join(self.run_dir, "containerd.sock")

    @property
    def state_dir(self) -> str:
        return default_state_dir(self.address)

    @property
    def front_path(self) -> str:
        """The program in front of the shims. Not below /run, which may forbid to execute."""
        return os.path.join(self.data_dir, "containerd", "shim")

    @property
    def told_dir(self) -> str:
        """Files named after containers: the addresses that the front tells."""
        return os.path.join(self.run_dir, "told")

    @property
    def _config_path(self) -> str:
        return os.path.join(self.data_dir, "containerd", "config.toml")

    def write_config(self) -> str:
        """Make directories, configuration and front (repeatable); returns the configuration's path."""
        if len(self.address.encode()) > _SOCKET_PATH_MAX:
            raise ValueError(f"the path of containerd's socket is too long: {self.address}")
        for directory in (self.data_dir, os.path.dirname(self._config_path), self.run_dir):
            os.makedirs(directory, mode=0o711, exist_ok=True)
        _replace(self.front_path, _FRONT.format(told=shlex.quote(self.told_dir)), mode=0o755)
        _replace(self._config_path, self._config(), mode=0o644)
        return self._config_path

    def command(self) -> list[str]:
        return ["containerd", "--config", self._config_path]

    def _config(self) -> str:
        # TOML's basic strings and JSON's agree for every path without control characters.
        return "\n".join(
            (
                "version = 2",
                f"root = {json.dumps(os.path.join(self.data_dir, 'containerd', 'root'))}",
                f"state = {json.dumps(self.state_dir)}",
                f"disabled_plugins = {json.dumps(list(_DISABLED_PLUGINS))}",
                # Only with CAP_SYS_RESOURCE can a process make itself a lesser victim.
                *(["oom_score = -999"] if may_raise_limits() else []),
                "[grpc]",
                f"address = {json.dumps(self.address)}",
                "[debug]",
                'level = "warn"',
                "[metrics]",
                'address = ""',
                '[plugins."io.containerd.gc.v1.scheduler"]',
                # Garbage is collected after deletions, never on the way of a launch.
                'startup_delay = "10s"',
                'schedule_delay = "1s"',
                "",
            )
        )


def _replace(path: str, text: str, *, mode: int) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    os.replace(path + ".new", path)
