"""Keeps a region's processes running: adopts those that already run, starts the others, restarts what dies.

The list in `programs()` is the whole of what runs on a machine. Each process lives in a session of its own, so that
the supervisor itself may be killed at any moment; the next one adopts.
"""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from . import image_storage, patience, processes
from .config import RegionConfig
from .paths import RegionPaths
from .problems import Problem
from .processes import Program, Running

if TYPE_CHECKING:
    from ..sandbox.containerd_process import ContainerdInstance

EARLY_DEATHS_MAX = 12  # in a row, each soon after a start: it will not get better by itself
RESTART_MIN_S = 0.2
RESTART_MAX_S = 5.0
STABLE_S = 10.0  # who lived so long died of something new
FREE_RESTARTS = 3  # early deaths before waiting gets longer
USER = "neargate"
FORMER = ("registry",)  # a registry at the port after the API's, without passwords
_SECRET = re.compile(r"secret: ([0-9a-f]{64})\}")
# Of those who ask others: OpenID Connect providers, registries.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


class Child(Struct):
    """One supervised process and when it may be started again."""

    program: Program
    running: Running | None = None
    started_at: float = 0.0
    early_deaths: int = 0
    not_before: float = 0.0
    adopted: bool = False


class Supervisor(Struct):
    """`say` prints one line for the user."""

    children: list[Child]
    say: Callable[[str], None]

    def adopt(self) -> None:
        """Find what runs already."""
        found = processes.find_programs([child.program for child in self.children])
        for child in self.children:
            child.running = found.get(child.program.name)
            child.adopted = child.running is not None

    def start(self) -> None:
        """Start every process that does not run, in order. After `adopt`."""
        for child in self.children:
            if child.running is None:
                self._start(child)

    def _start(self, child: Child) -> None:
        child.running = processes.spawn(child.program)
        child.started_at = time.monotonic()

    def look(self) -> None:
        """One round: what died is started again, later each time it dies early."""
        processes.reap()
        now = time.monotonic()
        for child in self.children:
            if child.running is not None and child.running.alive:
                continue
            if child.running is not None:
                child.early_deaths = child.early_deaths + 1 if now - child.started_at < STABLE_S else 0
                child.not_before = now + patience.of(restart_delay_s(child.early_deaths))
                child.running = None
                self.say(f"{child.program.name} ended; starting it again (its log: {child.program.log_file})")
                if child.early_deaths >= EARLY_DEATHS_MAX:
                    raise Problem(_cannot_live(child))
            elif now >= child.not_before:
                self._start(child)


def _cannot_live(child: Child) -> str:
    log = child.program.log_file
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-6:]) if log.exists() else ""
    return f"the {child.program.name} ends each time it is started; the end of {log}:\n{tail}"


def restart_delay_s(early_deaths: int) -> float:
    """How long to wait after so many deaths soon after a start: at once at first, then doubling up to a bound."""
    return float(min(RESTART_MIN_S * 2 ** max(0, min(early_deaths, 32) - FREE_RESTARTS), RESTART_MAX_S))


def programs(paths: RegionPaths, config: RegionConfig) -> list[Program]:
    """What runs for this region on this machine, in the order of starting: the API first, it is waited for."""
    root = os.geteuid() == 0
    wanted = [_own(paths, "server")]
    if config.runs_tasks:
        if config.containerd == "own":
            wanted.append(containerd_program(paths))
        wanted.append(images_program(paths, USER if root else None))
    wanted.append(_own(paths, "agent"))
    return wanted


def end_former(paths: RegionPaths) -> None:
    """Programs of releases before this one that still run: nobody else would end them, and nothing stands on them."""
    for name in FORMER:
        running = processes.find(paths.pid_file(name))
        if running is not None:
            processes.stop(running, timeout_s=10.0)
        paths.pid_file(name).unlink(missing_ok=True)


def check_proxies(config: RegionConfig) -> None:
    """Before anything is started: the agent, which uses them, could only die of it. Raises Problem."""
    if config.runs_tasks and any(os.environ.get(name) for name in PROXY_VARIABLES):
        from ..sandbox.pull.proxies import proxies_of  # few have any

        try:
            proxies_of(os.environ)
        except ValueError as error:
            raise Problem(str(error)) from None


def _own(paths: RegionPaths, name: str) -> Program:
    """One of our own processes: the same Python, a small and known environment."""
    own = ("NEARGATE_KILL_FILE", "NEARGATE_GUEST_DIR", patience.VARIABLE)
    keep = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", *own, *PROXY_VARIABLES)
    return Program(
        name=name,
        argv=(sys.executable, "-P", "-m", "neargate", name, "--data", str(paths.data)),
        environment={key: os.environ[key] for key in keep if key in os.environ},
        log_file=paths.log_file(name),
        pid_file=paths.pid_file(name),
    )


def containerd_instance(paths: RegionPaths) -> "ContainerdInstance":
    from ..sandbox.containerd_process import ContainerdInstance  # not paid for by commands that start none

    return ContainerdInstance(data_dir=str(paths.containerd), run_dir=str(paths.run / "containerd"))


def containerd_program(paths: RegionPaths) -> Program:
    instance = containerd_instance(paths)
    instance.write_config()
    return Program(
        name="containerd",
        argv=tuple(instance.command()),
        environment={"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")},
        log_file=paths.log_file("containerd"),
        pid_file=paths.pid_file("containerd"),
    )


def images_program(paths: RegionPaths, user: str | None) -> Program:
    """Debian's docker-registry, unprivileged, on a UNIX socket that only the server reaches: it asks policies first."""
    # Not in the server's own directory: its user could put a link there, and root would write where it leads.
    settings = paths.run / "images.yml"
    known = settings.read_text() if settings.exists() else ""
    kept = _SECRET.search(known)
    # It signs what uploads under way carry, so it stays while the machine runs.
    text = images_settings(paths, kept[1] if kept else os.urandom(32).hex())
    if text != known:
        settings.touch(mode=0o600)
        settings.write_text(text)
    # Also where somebody was killed right after writing, and whatever the umask is.
    if user is not None:
        shutil.chown(settings, group=user)
    settings.chmod(0o640)
    return Program(
        name="images",
        argv=(registry_binary(), "serve", str(settings)),
        environment=images_environment(),
        log_file=paths.log_file("images"),
        pid_file=paths.pid_file("images"),
        user=user,
    )


def images_environment() -> dict[str, str]:
    """Its storage may be elsewhere, behind a proxy or an authority of the operator's."""
    keep = ("SSL_CERT_FILE", "SSL_CERT_DIR", *PROXY_VARIABLES)
    own = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
    return own | {key: os.environ[key] for key in keep if key in os.environ}


def images_settings(paths: RegionPaths, secret: str) -> str:
    """The configuration of the process that keeps images' bytes. It may hold credentials of the operator's storage."""
    storage = image_storage.section(image_storage.kept(paths), paths.images)
    return (
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {json.dumps(storage, ensure_ascii=False)}\n"
        f"http: {{net: unix, addr: {json.dumps(str(paths.images_socket))}, relativeurls: true, secret: {secret}}}\n"
    )


def registry_binary() -> str:
    binary = shutil.which("docker-registry")
    if binary is None:
        raise Problem("docker-registry is missing; install it with: apt-get install docker-registry")
    return binary
