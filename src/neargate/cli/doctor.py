"""`neargate doctor`: what this machine has and lacks, one line each, with the command that helps."""

import os
import platform
import resource
import shutil
import sys
from pathlib import Path

from msgspec import Struct

from ..hostnet.task_namespaces import NO_USERS_NOTE
from ..sandbox.pause import PROGRAMS as PAUSE_PROGRAMS
from ..sandbox.pause import is_static
from . import config as configs
from . import leftovers, uplink
from .balancing import findings as balancer_findings
from .config import RegionConfig
from .paths import RegionPaths
from .ports import holder
from .prepare import PROGRAMS
from .problems import Problem
from .processes import find
from .up import healthy

NOFILE_WANTED = 65535
DISK_LOW = 0.10


class Finding(Struct, frozen=True):
    """`level`: ok, note (works, but) or missing (tasks will not run)."""

    level: str
    text: str


def report(paths: RegionPaths) -> tuple[list[str], bool]:
    """The lines, and whether nothing is missing."""
    findings = [
        _python(),
        _root(),
        *_programs(),
        *_libraries(),
        _static_shell(),
        _kernel(),
        _cgroups(),
        _devices(),
        _limits(),
        _kvm(),
        _names(),
        _disk(paths),
        *_uplink(paths),
        *_region(paths),
        *(Finding("note", text) for text in balancer_findings.findings(paths)),
        *_leftovers(),
    ]
    marks = {"ok": "ok      ", "note": "note    ", "missing": "MISSING "}
    return [marks[f.level] + f.text for f in findings], all(f.level != "missing" for f in findings)


def _python() -> Finding:
    return Finding("ok", f"Python {platform.python_version()} ({sys.executable})")


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("ok", "running as root")
    return Finding("note", "not root: containers need root; --sandbox simulated works without")


def _which(program: str) -> str | None:
    """Also where only root's PATH leads."""
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))


def _programs() -> list[Finding]:
    found = []
    for program, package in PROGRAMS.items():
        path = _which(program)
        found.append(
            Finding("ok", f"{program}: {path}")
            if path
            else Finding("missing", f"{program}: not found; apt-get install {package}")
        )
    crun = _which("crun")
    found.append(
        Finding("ok", f"crun: {crun} (used where it works with this machine's cgroups, else runc)")
        if crun
        else Finding("note", "crun: not found, runc is used; starts are faster with: apt-get install crun")
    )
    return found


def _static_shell() -> Finding:
    program = next((path for path in PAUSE_PROGRAMS if is_static(path)), None)
    if program is None:
        return Finding("note", "no static busybox: tasks with pidMode task need it; apt-get install busybox-static")
    return Finding("ok", f"static busybox: {program} (for tasks with pidMode task)")


def _kernel() -> Finding:
    release = platform.release()
    lacking = [name for name in ("net", "pid", "mnt", "uts", "ipc") if not Path(f"/proc/self/ns/{name}").exists()]
    if lacking:
        return Finding("missing", f"kernel {release} lacks namespaces: {', '.join(lacking)}")
    return Finding("ok", f"kernel {release} with namespaces")


def _cgroups() -> Finding:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        have = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
        version = "v2"
    else:
        have = [name for name in ("memory", "cpu", "pids") if Path(f"/sys/fs/cgroup/{name}").is_dir()]
        version = "v1"
    lacking = {"memory", "cpu", "pids"} - set(have)
    if lacking:
        return Finding("missing", f"cgroup {version} lacks {', '.join(sorted(lacking))}; enable it on the kernel line")
    return Finding("ok", f"cgroup {version} with memory, cpu, pids")


def _names(switch: Path = Path("/etc/nsswitch.conf")) -> Finding:
    """Whether container tools find the registry by its name. Read, not tried: nobody outside is asked."""
    try:
        lines = switch.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    sources = {word for line in lines if line.startswith("hosts:") for word in line.split()}
    if sources & {"myhostname", "resolve"}:
        return Finding("ok", "names under localhost are this machine (for docker, podman, skopeo and the registry)")
    return Finding(
        "note",
        "names under localhost are not looked up: container tools reach the registry as 127.0.0.1:PORT/ACCOUNT/NAME; "
        "as ACCOUNT.dkr.ecr.REGION.localhost:PORT/NAME with: apt-get install libnss-myhostname",
    )


def _devices() -> Finding:
    if not Path("/dev/loop-control").exists():
        return Finding("missing", "loop devices: /dev/loop-control not found; modprobe loop")
    return Finding("ok", "loop devices")


def _limits() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < NOFILE_WANTED:
        return Finding("note", f"open files are limited to {hard}: tasks get that instead of Fargate's {NOFILE_WANTED}")
    return Finding("ok", f"open files: tasks get Fargate's {NOFILE_WANTED}")


def _kvm() -> Finding:
    if Path("/dev/kvm").exists():
        return Finding("ok", "KVM, for --sandbox microvm")
    return Finding("note", "no /dev/kvm: no --sandbox microvm, but for emulated machines (--allow-emulated yes)")


def _libraries() -> list[Finding]:
    import ctypes
    import ssl

    try:
        ctypes.CDLL("libnftables.so.1")
    except OSError:
        found = [Finding("missing", "libnftables: not found; apt-get install libnftables1")]
    else:
        found = [Finding("ok", "libnftables")]
    # As the agent finds them: also by SSL_CERT_FILE and SSL_CERT_DIR.
    trusted = ssl.get_default_verify_paths()
    if trusted.cafile or (trusted.capath and os.listdir(trusted.capath)):
        return [*found, Finding("ok", f"authorities for https registries: {trusted.cafile or trusted.capath}")]
    text = "no authorities: images of https registries cannot be pulled; apt-get install ca-certificates"
    return [*found, Finding("note", text)]


def _disk(paths: RegionPaths) -> Finding:
    place = next(path for path in (paths.data, *paths.data.parents) if path.exists())
    usage = shutil.disk_usage(place)
    text = f"disk of {paths.data}: {usage.free >> 30} GiB free of {usage.total >> 30}"
    if usage.free < DISK_LOW * usage.total:
        return Finding("note", f"{text}; below {DISK_LOW:.0%} this machine takes no tasks")
    return Finding("ok", text)


def _region(paths: RegionPaths) -> list[Finding]:
    try:
        config = configs.load(paths)
    except Problem as problem:
        return [Finding("note", str(problem))]
    found = _former(paths)
    for name in ("server", "agent"):
        running = find(paths.pid_file(name))
        found.append(
            Finding("ok", f"{name} runs (pid {running.pid})")
            if running
            else Finding("note", f"{name} does not run; neargate up{paths.as_option}")
        )
    found += _user_namespaces(paths, config)
    if config.images_at:
        found.append(Finding("ok", f"images are kept at {config.images_at} (--image-storage)"))
    if config.registry_listen:
        text = (
            f"the image registry listens at {config.registry_listen} for other machines, for {config.registry_domain}"
        )
        found.append(Finding("ok", text))
    if config.metrics_listen:
        found.append(Finding("ok", f"metrics are served at http://{config.metrics_listen}/metrics"))
    if healthy(config.port):
        found.append(Finding("ok", f"the API answers at {config.endpoint}"))
    else:
        found += _not_answering(paths, config.port)
    return found


def _user_namespaces(paths: RegionPaths, config: RegionConfig) -> list[Finding]:
    """What the trial at the agent's last start found."""
    note = paths.run / "net" / NO_USERS_NOTE
    if config.user_namespaces == "no" or not note.exists():
        return []
    if reason := note.read_text().strip():
        return [Finding("note", f"tasks run without user namespaces, which fail here: {reason}")]
    return [Finding("ok", "tasks run in user namespaces")]


def _uplink(paths: RegionPaths) -> list[Finding]:
    try:
        config = configs.load(paths)
    except Problem:
        config = None  # _region says so
    return [Finding(level, text) for level, text in uplink.findings(paths, config)]


def _former(paths: RegionPaths) -> list[Finding]:
    """What an earlier release kept elsewhere and nobody reads any more."""
    if not paths.former_registry.exists():
        return []
    text = f"{paths.former_registry} has the images of an earlier release, which no task can pull: load or remove them"
    return [Finding("note", f"{text} (docs/images.md, From an earlier release)")]


def _leftovers() -> list[Finding]:
    """Of regions that nobody can name any more, since their data is gone."""
    return [
        Finding(
            "note",
            f"left by a region whose data {item.paths.data} is gone: {item}; end and remove it: "
            f"neargate down --force{item.paths.as_option}",
        )
        for item in leftovers.found()
    ]


def _not_answering(paths: RegionPaths, port: int) -> list[Finding]:
    """Its own server that hangs is another thing than somebody else on its port."""
    who, server = holder(port), find(paths.pid_file("server"))
    if who is None:
        return []
    if server is not None and server.pid == who.pid:
        text = f"the server (pid {who.pid}) listens at port {port} and does not answer; its log: "
        return [Finding("note", f"{text}{paths.log_file('server')}; end it with: neargate down{paths.as_option}")]
    return [Finding("note", f"port {port} is taken by {who}")]
