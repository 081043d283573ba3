"""`neargate agent`: this machine's half of a region. Root; started by `up`, or alone beside a server."""

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from msgspec.structs import replace

from ..agent import host_key
from ..agent.agent import Agent
from ..agent.credential_files import CredentialFiles, credential_files
from ..hostnet.cgroups import LinuxCgroups
from ..hostnet.disks import LinuxDisks
from ..hostnet.network import Trial
from ..hostnet.pool_consent import CONSENT_FILE, read_consent
from ..hostnet.secret_mount import mount_secret, unmount_secret
from ..hostnet.underlay import Underlay
from ..hostnet.uplink.uplink import Uplink, UplinkedNetwork
from ..interfaces.hostnet import HostCgroups
from ..interfaces.sandbox import Sandbox
from ..log import get_logger, write_to_stderr
from ..model.capacity import HostCapacity, HostFacts, HostPlatform
from ..model.host_ids import UserNamespace
from ..model.ids import ec2_id
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..sandbox import foreign
from ..sandbox.containerd_client import Containerd, EngineError
from ..sandbox.containerd_process import ContainerdInstance
from ..sandbox.engine import ContainerdSandbox, end_shims
from ..sandbox.host_facts import host_boot_id
from ..sandbox.images import HostImages
from ..sandbox.microvm.counters import MachineCgroups
from ..sandbox.microvm.engine import MicroVmSandbox
from ..sandbox.pull.credentials import AuthFile
from ..sandbox.pull.proxies import proxies_of
from ..sandbox.user_namespace_trial import why_no_user_namespaces
from ..world import OsWorld
from . import admin, locks, microvms, patience
from . import config as configs
from .allocator import keep_little
from .balancers import balancer_keys, balancer_runner, end_proxies
from .config import RegionConfig
from .desks import agent as agent_desk
from .kill_points import kill_points
from .own_words import own_words
from .paths import RegionPaths, region_paths
from .prepare import prepare
from .privileges import allow_open_files, forbid_core_dumps
from .problems import Problem
from .process_logs import bound_all
from .processes import claim, find_program, spawn
from .pull_ways import is_carried, pulls_by_task
from .supervisor import containerd_instance, containerd_program

SOFTWARE = "0.1.0"
REMOVE_ALL, KILL_ALL = "--remove-all", "--kill-all"
FIRST_POOL = "198.18.0.0/24"  # removal asks for none
MEMORY_KEPT_MIB = 1024  # for the system, the agent and containerd


def main(arguments: list[str]) -> None:
    """Runs until SIGTERM or SIGINT; tasks go on. `--remove-all` removes what the instance left on the machine.

    `--kill-all` kills its containers first, for an operator whose agent cannot live.
    """
    gc.freeze()  # modules stay
    gc.enable()
    given = own_words("neargate agent", arguments, (REMOVE_ALL, KILL_ALL))
    write_to_stderr()
    allow_open_files()
    keep_little()
    paths = region_paths(given.data)
    # What is left of a region can be removed also where its data is gone.
    config = RegionConfig() if REMOVE_ALL in given.switches and not paths.config.exists() else configs.load(paths)
    if REMOVE_ALL in given.switches:
        work = _remove_all(paths, config)
    elif KILL_ALL in given.switches:
        work = _kill_all(paths, config)
    else:
        forbid_core_dumps()
        _settle_in(paths, config)
        work = _run(paths, config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _settle_in(paths: RegionPaths, config: RegionConfig) -> None:
    """Alone, without `up`, the agent makes what that would have made; `up` and `down` find both by their pid files."""
    if not paths.server_run.exists():
        prepare(paths, config)
    claim(paths.pid_file("agent"), "the agent of this machine for this region")
    if config.runs_tasks and config.containerd == "own" and not locks.is_taken(paths.up_lock):
        engine = containerd_program(paths)
        if find_program(engine) is None:
            spawn(engine)


async def _run(paths: RegionPaths, config: RegionConfig) -> None:
    cores = os.cpu_count() or 1
    world = OsWorld(
        lanes={"sandbox": 2 * cores, "pull": 8, "pull-net": 64, "hostnet": 2, "image-disks": 2, "microvm": 2}
    )
    world.spawn(_bound_logs(world, paths), "process-logs")
    if config.sandbox == "simulated":
        await _until_signal(_run_simulated(world, paths, config))
        return
    network = _network(world, paths, config)
    disks = LinuxDisks(world, directory=paths.disks, knobs=DEFAULT_KNOBS)
    cgroups: HostCgroups = LinuxCgroups(world, instance=paths.instance)
    sandbox: Sandbox
    if config.sandbox == "microvm":
        sandbox = _machines(world, paths, config, disks, network)
        cgroups = MachineCgroups(cgroups, sandbox)
    else:
        own = None if config.foreign_containerd else containerd_instance(paths)
        sandbox = _sandbox(world, paths, config, own=own)
    facts, keys = _facts(paths, config), balancer_keys(paths)
    agent = Agent(
        world,
        facts=facts,
        socket_path=str(paths.link_socket),
        sandbox=sandbox,
        network=network,
        disks=disks,
        cgroups=cgroups,
        state_dir=paths.agent,
        endpoint=config.endpoint,
        api_socket=str(paths.tasks_socket),
        registry_domain=config.registry_domain,
        knobs=DEFAULT_KNOBS,
        credential_files=_credential_files(paths),
        reached=kill_points(paths),
        pulls_by_task=pulls_by_task(config, proxies_of(os.environ)),
        strays=lambda: network.strays,
        refused_pools=lambda: network.refused_pools,
        balancers=None if keys is None else balancer_runner(world, paths, config, facts.host_id),
        balancer_keys=keys,
    )
    await admin.serve(paths.agent_socket, agent_desk.handlers(agent, network.consider_pools))
    gc.freeze()
    await _until_signal(agent.run())
    if isinstance(sandbox, MicroVmSandbox):
        await sandbox.end_spares()


def _credential_files(paths: RegionPaths) -> CredentialFiles | None:
    """None when there is no memory to be had as a directory: then credentials end with this process."""
    found = credential_files(paths.role_credentials)
    if found is None:
        try:
            mount_secret(paths.role_credentials)
        except OSError as error:
            get_logger(__name__).warning("credentials of task roles are kept in this process only", why=str(error))
            return None
        found = credential_files(paths.role_credentials)
    return found


async def _bound_logs(world: OsWorld, paths: RegionPaths) -> None:
    """Those of every process of the region: the agent runs whenever another does."""
    while True:
        await world.offload("process-logs", bound_all, paths.logs, DEFAULT_KNOBS.process_log_max_bytes)
        await world.sleep(DEFAULT_KNOBS.process_log_look_s)


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run until the work ends or SIGTERM/SIGINT comes. Nothing is taken down: the next agent adopts what runs."""
    running = asyncio.get_running_loop().create_task(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        return


def _sandbox(
    world: OsWorld, paths: RegionPaths, config: RegionConfig, *, own: ContainerdInstance | None = None
) -> ContainerdSandbox:
    """`own`: a containerd of ours that tasks will be started on."""
    return ContainerdSandbox(
        world,
        address=_containerd_address(paths, config),
        namespace=f"neargate-{paths.instance}",
        instance=paths.instance,
        run_dir=str(paths.run / "sandbox"),
        state_dir=_containerd_state(config),
        own=own,
        registry_auth=AuthFile(str(paths.registry_auth), get_logger(__name__).warning),
        insecure_registries=config.insecure_registries,
        proxies=proxies_of(os.environ),
        carried=is_carried,
        knobs=_pull_knobs(),
    )


def _machines(
    world: OsWorld, paths: RegionPaths, config: RegionConfig, disks: LinuxDisks, network: UplinkedNetwork
) -> MicroVmSandbox:
    client = Containerd(_containerd_address(paths, config), f"neargate-{paths.instance}")
    images = HostImages(
        world,
        client,
        registry_auth=AuthFile(str(paths.registry_auth), get_logger(__name__).warning),
        insecure_registries=config.insecure_registries,
        proxies=proxies_of(os.environ),
        carried=is_carried,
        knobs=_pull_knobs(),
    )
    return microvms.engine(world, paths, config, client=client, images=images, disks=disks, network=network)


def _pull_knobs() -> Knobs:
    return replace(DEFAULT_KNOBS, pull_connect_timeout_s=patience.of(DEFAULT_KNOBS.pull_connect_timeout_s))


def _network(world: OsWorld, paths: RegionPaths, config: RegionConfig) -> UplinkedNetwork:
    made = UplinkedNetwork(
        world,
        instance=paths.instance,
        run_dir=paths.run / "net",
        public_pool=config.public_pool or FIRST_POOL,
        endpoint_port=config.port,
        private_beyond=config.uplink_networks,
        allowed_pools=lambda: read_consent(paths.agent / CONSENT_FILE),
        against_users=_against_users(world, paths, config),
        knobs=DEFAULT_KNOBS,
    )
    made.uplink = Uplink(
        world,
        asked=config.uplink,
        instance=paths.instance,
        run_dir=paths.run / "net",
        public_pool=config.public_pool or FIRST_POOL,
        log_file=paths.log_file("uplink"),
    )
    made.underlay = Underlay(
        world,
        instance=paths.instance,
        run_dir=paths.run / "net",
        log_file=paths.log_file("underlay"),
        has_host_table=config.uplink == "nat",
    )
    return made


def _against_users(world: OsWorld, paths: RegionPaths, config: RegionConfig) -> Trial | None:
    """What a start of the host's network asks before tasks get user namespaces; None: they get none."""
    if config.user_namespaces == "no" or config.sandbox != "container":
        return None

    async def ask(users: UserNamespace, netns_path: str) -> str | None:
        if config.foreign_containerd is not None:
            return "the layers of images are a containerd's that is not ours (--containerd)"
        return await world.offload(
            "sandbox",
            partial(
                why_no_user_namespaces,
                users,
                netns_path,
                run_dir=str(paths.run / "trial"),
                directory=str(paths.containerd),
                cgroup_path=f"/neargate-{paths.instance}-trial",
            ),
        )

    return ask


def _containerd_address(paths: RegionPaths, config: RegionConfig) -> str:
    return config.foreign_containerd or str(paths.run / "containerd" / "containerd.sock")


def _containerd_state(config: RegionConfig) -> str | None:
    """Where a containerd that is not ours keeps its bundles: the usual ones have their socket in there."""
    return os.path.dirname(config.foreign_containerd) if config.foreign_containerd else None


def _facts(paths: RegionPaths, config: RegionConfig) -> HostFacts:
    """This machine. The host id is made once and kept with the data."""
    warm_mib = config.warm_memory if config.sandbox == "microvm" else 0
    name = paths.agent / "host-id"
    if not name.exists():
        fresh = name.with_suffix(".new")  # a full disk leaves no host without a name
        fresh.write_text(ec2_id("h", OsWorld().random.getrandbits) + "\n")
        fresh.replace(name)
    memory = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) // 1024
    disk = os.statvfs(paths.disks)
    return HostFacts(
        host_id=name.read_text().strip(),
        boot_id=host_boot_id(),
        capacity=HostCapacity(
            cpu_units=1024 * (os.cpu_count() or 1),
            memory_mib=max(memory - MEMORY_KEPT_MIB - warm_mib, 512),
            disk_gib=disk.f_bavail * disk.f_frsize >> 30,
        ),
        software=SOFTWARE,
        platform=HostPlatform(kernel=os.uname().release),
    )


async def _run_simulated(world: OsWorld, paths: RegionPaths, config: RegionConfig) -> None:
    """`--hosts` simulated machines in each zone."""
    from ..agent.simulated import SimulatedFleet  # a real machine's agent does without

    hosts = [
        HostFacts(
            host_id=f"h-simulated-{zone}-{n:05d}",
            boot_id="simulated",
            capacity=HostCapacity(cpu_units=config.host_cpu, memory_mib=config.host_memory, disk_gib=100_000),
            software=SOFTWARE,
            sandbox="simulated",
            zone=zone,
        )
        for zone, _ in config.zone_names
        for n in range(config.hosts)
    ]
    seed = host_key.load_or_make(world, paths.agent)
    await SimulatedFleet(world, hosts, socket_path=str(paths.link_socket), knobs=DEFAULT_KNOBS, seed=seed).run()


async def _remove_all(paths: RegionPaths, config: RegionConfig) -> None:
    """What a region may leave: disks, cgroups, interfaces, namespaces, mounts. After all tasks have stopped."""
    world = OsWorld()
    await microvms.end_machines(world, paths)
    disks = LinuxDisks(world, directory=paths.disks, knobs=DEFAULT_KNOBS)
    for task_id in await disks.list_disks():
        await disks.delete_disk(task_id)
    cgroups = LinuxCgroups(world, instance=paths.instance)
    for task_id in await cgroups.list_tasks():
        await cgroups.delete_task(task_id)
    end_proxies(paths)
    await _network(world, paths, config).remove_all()
    unmount_secret(paths.role_credentials)
    await world.offload("shims", end_shims, str(paths.run / "sandbox"))
    if config.runs_tasks and config.foreign_containerd is not None:
        try:
            foreign.leave(config.foreign_containerd, f"neargate-{paths.instance}")
        except EngineError as error:
            raise Problem(f"the containerd at {config.foreign_containerd} keeps something: {error.detail}") from None


async def _kill_all(paths: RegionPaths, config: RegionConfig) -> None:
    """Every container of the instance, without a grace. Their tasks' records stay for the next agent to tell of."""
    world = OsWorld(lanes={"sandbox": 8, "microvm": 2})
    sandbox: Sandbox = _sandbox(world, paths, config)
    if config.sandbox == "microvm":
        disks = LinuxDisks(world, directory=paths.disks, knobs=DEFAULT_KNOBS)
        sandbox = _machines(world, paths, config, disks, _network(world, paths, config))
    await sandbox.start()
    for state in await sandbox.list_containers():
        await sandbox.kill_container(state.runtime_id, signal.SIGKILL)
        await sandbox.delete_container(state.runtime_id)
