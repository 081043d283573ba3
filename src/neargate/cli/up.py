"""`neargate up`: a whole region on this machine, in the foreground, or in the background with `--background`."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..model.knobs import DEFAULT_KNOBS
from . import config as configs
from . import footprint, image_storage, locks, processes
from .config import RegionConfig
from .environment import before_typing
from .paths import RegionPaths
from .pools import settled
from .ports import check_port
from .prepare import check_foreign_containerd, make_run_directory, prepare
from .problems import Problem, no_room
from .process_logs import bound_all
from .processes import Program
from .supervisor import USER, Child, Supervisor, check_proxies, end_former, programs

READY_S = 60.0
LOOK_S = 0.3
STOP_S = 10.0  # for one process that is asked to end


def up(paths: RegionPaths, wanted: RegionConfig, say: Callable[[str], None]) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP (its terminal is gone). Tasks, agent and containerd stay when it ends."""
    configs.check(wanted)
    before = footprint.look(paths)
    try:
        paths.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"the data directory {paths.data} cannot be made: {error.strerror}") from None
    _not_going_down(paths)
    lock = locks.take(paths.up_lock)
    if lock is None:
        raise Problem(f"this region is already up (data: {paths.data}); see: neargate status{paths.as_option}")
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {processes.start_ticks(os.getpid())}".encode(), 0)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    with before.removed_on_failure():
        config, supervisor = _made_ready(paths, wanted, say)
    supervisor.start()
    try:
        wait_ready(paths, config, supervisor.look, stopping)
        if not stopping:
            say(banner(paths, config, [child.program.name for child in supervisor.children if child.adopted]))
        while not stopping:
            time.sleep(LOOK_S)
            bound_all(paths.logs, DEFAULT_KNOBS.process_log_max_bytes)
            supervisor.look()
    except Problem as problem:
        raise Problem(f"{problem}{_left_behind(paths, supervisor)}") from None
    _leave(paths, supervisor, say)
    return 0


def _made_ready(
    paths: RegionPaths, wanted: RegionConfig, say: Callable[[str], None]
) -> tuple[RegionConfig, Supervisor]:
    """All but the start itself. The region exists from its end on."""
    with settled(paths, configs.settle(paths, wanted)) as config:
        prepare(paths, config)
        check_foreign_containerd(config)
        _check_machines(config)
        check_proxies(config)
        _check_uplink(config)
        _check_registry(config)
        config = _settled_storage(paths, config, say)
        supervisor = Supervisor([Child(program) for program in programs(paths, config)], say)
        end_former(paths)
        supervisor.adopt()
        _restart_changed(paths, config, supervisor)
        _check_ports(config, supervisor)
        configs.save(paths, config)
        _say_uplink(paths, config, say)
    return config, supervisor


def _check_machines(config: RegionConfig) -> None:
    if config.sandbox == "microvm":
        from .microvms import check  # not for those who run containers

        check(config)


def _check_uplink(config: RegionConfig) -> None:
    if config.uplink == "user":
        from .uplink import check_uplink  # few ask for it by name

        check_uplink(config)


def _say_uplink(paths: RegionPaths, config: RegionConfig, say: Callable[[str], None]) -> None:
    if config.uplink == "nat":
        from .uplink import beforehand  # it changes the host, so few ask for it

        for line in beforehand(paths, config):
            say(line)


def _say_pools(paths: RegionPaths, config: RegionConfig, say: Callable[[str], None]) -> None:
    """Tasks that run are not found there any more: nobody should have to look for why."""
    if config.runs_tasks:
        from .ip_pool import refused_here  # not for the process that stays

        with suppress(Problem):  # the region is up all the same; `ip-pool list` and `doctor` tell it, too
            for line in refused_here(paths):
                say(line)


def _check_registry(config: RegionConfig) -> None:
    """What the server could only die of. Raises Problem."""
    if config.registry_cert:
        from .registry_tls import check_files  # few have any

        check_files(config)


def _left_behind(paths: RegionPaths, supervisor: Supervisor) -> str:
    """What an `up` that gives up leaves to its user: a task is never ended by it."""
    kept = [
        f"{child.program.name} (pid {child.running.pid})"
        for child in supervisor.children
        if child.running is not None and child.running.alive
    ]
    if not kept:
        return ""
    return (
        f"\nstill running: {', '.join(kept)}, and the tasks. Mend it and type: neargate up{paths.as_option}; "
        f"or stop everything: neargate down --force{paths.as_option}"
    )


def _not_going_down(paths: RegionPaths) -> None:
    if locks.is_taken(paths.down_lock):
        other = processes.find(paths.down_lock)
        raise Problem(
            f"neargate down{f' (pid {other.pid})' if other else ''} takes this region down; try again when it has ended"
        )


def _settled_storage(paths: RegionPaths, config: RegionConfig, say: Callable[[str], None]) -> RegionConfig:
    """Where images' bytes are, from the operator's file as it is now. Raises Problem."""

    def end_keeper() -> None:
        running = processes.find(paths.pid_file("images"))
        if running is not None:
            processes.stop(running, timeout_s=STOP_S)

    before = configs.load(paths).images_at if paths.config.exists() else config.images_at
    found = image_storage.settle(paths, config, USER if os.geteuid() == 0 else None, end_keeper)
    if before != found.images_at:
        kept, at = before or paths.images, found.images_at or paths.images
        say(f"images are kept at {at} from now on; those that were kept at {kept} stay there: copy them yourself")
    return found


def _restart_changed(paths: RegionPaths, config: RegionConfig, supervisor: Supervisor) -> None:
    """What runs has the options of the last `up`; with others it is ended, to start with these. Tasks do not notice."""
    if not paths.config.exists():
        return
    before = configs.load(paths)
    if before == config:
        return
    running = [name for name in ("server", "agent", "containerd") if processes.find(paths.pid_file(name)) is not None]
    if running and (before.containerd, before.sandbox) != (config.containerd, config.sandbox):
        raise Problem(
            f"{' and '.join(running)} still run with --containerd {before.containerd} --sandbox {before.sandbox}; "
            f"stop them with: neargate down{paths.as_option}"
        )
    for child in supervisor.children:
        if child.program.name != "containerd" and child.running is not None:
            processes.stop(child.running, timeout_s=STOP_S)
            child.running, child.adopted = None, False


def _check_ports(config: RegionConfig, supervisor: Supervisor) -> None:
    if any(child.program.name == "server" and child.running is None for child in supervisor.children):
        check_port(config.port)
        if config.registry_listen:
            from .registry_tls import check_listen  # few have any

            check_listen(config.registry_listen)
        if config.metrics_listen:
            from .metrics.listener import check_listen as check_metrics  # it serves, and few ask for it

            check_metrics(config.metrics_listen)


def _leave(paths: RegionPaths, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    """End what only answers callers; keep what tasks stand on, unless `down` waits to end that as well."""
    kept = []
    for child in supervisor.children:
        name = child.program.name
        if name in ("server", "images") and child.running is not None:
            processes.stop(child.running, timeout_s=STOP_S)
        elif child.running is not None and child.running.alive:
            kept.append(f"{name} (pid {child.running.pid})")
    if locks.is_taken(paths.down_lock):
        say("neargate down ended the API and stops everything else.")
    elif kept:
        say(f"the API stopped. Tasks keep running, and so do {', '.join(kept)}.")
        data = paths.as_option
        say(f"neargate up{data} takes them over again; neargate down{data} stops everything.")


def is_up(paths: RegionPaths) -> bool:
    """Whether an `up` watches over this region."""
    return locks.is_taken(paths.up_lock)


def up_in_background(paths: RegionPaths, arguments: list[str], config: RegionConfig, say: Callable[[str], None]) -> int:
    """Start `neargate up` in a session of its own and return when the region answers."""
    if is_up(paths):
        return _join(paths, config, say)
    configs.check(config)
    before = footprint.look(paths)
    try:
        paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"the data directory {paths.data} cannot be made: {error.strerror}") from None
    make_run_directory(paths)
    log = paths.log_file("up")
    size = log.stat().st_size if log.exists() else 0
    running = processes.spawn(
        Program(
            name="up",
            argv=(sys.executable, "-P", "-m", "neargate", "up", *arguments),
            environment=dict(os.environ),
            log_file=log,
            pid_file=paths.pid_file("up"),
        )
    )

    def still_there() -> None:
        processes.reap()
        if not running.alive:
            with log.open() as lines:
                lines.seek(min(size, log.stat().st_size))
                said = lines.read().strip().removeprefix("neargate: ")
            full = os.statvfs(log.parent).f_bavail == 0  # it could not even say so
            before.remove_unless_up()
            raise Problem(said or (no_room(paths.data) if full else f"up ended; its log: {log}"))

    while processes.find(paths.up_lock) != running:
        processes.reap()
        if not running.alive and is_up(paths):
            return _join(paths, config, say)  # another was a moment earlier
        still_there()
        time.sleep(0.02)
    wait_ready(paths, config, still_there, [])
    settled_config = configs.load(paths)
    _say_uplink(paths, settled_config, say)
    say(banner(paths, settled_config, []))
    _say_pools(paths, settled_config, say)
    return 0


def _differs(name: str, wanted: RegionConfig, config: RegionConfig) -> bool:
    """What a first start chooses by itself is nobody's wish."""
    return name not in ("public_pool", "images_at") and getattr(wanted, name) != getattr(config, name)


def _join(paths: RegionPaths, wanted: RegionConfig, say: Callable[[str], None]) -> int:
    """Somebody else's `up` watches over it, and may only have begun."""

    def still_there() -> None:
        if not is_up(paths):
            raise Problem(f"the up that ran has ended (its log: {paths.log_file('up')}); try again")

    say(f"the region is already up (data: {paths.data})")
    while not paths.config.exists():
        still_there()
        time.sleep(0.02)
    config = configs.load(paths)
    if others := [name for name in RegionConfig.__struct_fields__ if _differs(name, wanted, config)]:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        raise Problem(f"it keeps its options; for another {named}: neargate down{paths.as_option}, then up with it")
    wait_ready(paths, config, still_there, [])
    say(banner(paths, config, []))
    return 0


def wait_ready(
    paths: RegionPaths,
    config: RegionConfig,
    each: Callable[[], None],
    stopping: list[int],
    *,
    with_images: bool = True,
) -> None:
    """Until the API answers, this machine's agent is connected and images can be pushed. `each` runs at every look."""
    deadline = time.monotonic() + READY_S
    while not stopping:
        late = _late(paths, config, with_images and config.runs_tasks)
        if not late:
            return
        if time.monotonic() > deadline:
            log = paths.log_file(late)
            tail = "\n".join(_tail(log))
            raise Problem(f"the {late} did not come up within {READY_S:.0f} s; the end of {log}:\n{tail}")
        each()
        time.sleep(0.02)


def _late(paths: RegionPaths, config: RegionConfig, with_images: bool) -> str:
    """The process that is not ready yet; empty when all are."""
    if not healthy(config.port):
        return "server"
    if not agent_connected(paths):
        return "agent"
    return "images" if with_images and not images_kept(paths) else ""


def _tail(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-15:] if path.exists() else []


def healthy(port: int) -> bool:
    """Whether the API answers on loopback. Raw HTTP: an HTTP library's import would cost more than the question."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"GET /_neargate/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def agent_connected(paths: RegionPaths) -> bool:
    """Whether a host stands ready. Asked through the operator's socket."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(paths.admin_socket))
            connection.sendall(b'{"request": "ready"}\n')
            with connection.makefile("rb") as lines:
                return bool(json.loads(lines.readline() or b"{}").get("ready"))
    except (OSError, ValueError):
        return False


def images_kept(paths: RegionPaths) -> bool:
    """Whether the process that keeps images' bytes listens: else the first push would be told that it is away."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(paths.images_socket))
            return True
    except OSError:
        return False


def banner(paths: RegionPaths, config: RegionConfig, adopted: list[str]) -> str:
    """What the user reads when the region is up: where it is and what to type next."""
    data = paths.as_option
    lines = [
        f"Neargate region {config.region} is up at {config.endpoint} (account {config.account})",
        *(f"  first of all:  {line}" for line in before_typing()),
        f'  use it here:   eval "$(neargate env{data})"   then: aws ecs list-clusters',
        f"  look around:   neargate status{data}     neargate doctor{data}",
        f"  stop it all:   neargate down{data}",
    ]
    if adopted:
        lines.insert(1, f"  taken over, still running: {', '.join(adopted)}")
    if config.registry_domain:
        lines.append(f"  images:        https://{config.account}.dkr.ecr.{config.region}.{config.registry_domain}")
    if config.metrics_listen:
        lines.append(f"  metrics:       http://{config.metrics_listen}/metrics")
    if config.tenancy == "shared" and config.may_share_kernels:
        what = "kernel" if config.sandbox == "container" else "emulator, which is no security boundary"
        lines.append(f"  WARNING: --tenancy shared: tasks of all accounts share this machine's {what}.")
    if config.auth == "open":
        lines.append("  WARNING: --auth open: every key is the administrator. For tests on this machine only.")
    return "\n".join(lines)
