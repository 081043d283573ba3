"""The proxies of load balancers' nodes for one region's agent: where their files are.

Invariant: private keys of certificates are written to memory alone; a host without such a place runs no nodes.
"""

import os
import resource

from ..agent.balancers.keys import KeyFiles, key_files
from ..agent.balancers.loopback import LoopbackDoors, WithDoors
from ..agent.balancers.runner import ProxyRunner
from ..hostnet.namespaces import Namespaces
from ..hostnet.proxy_process import LinuxProxies
from ..hostnet.secret_mount import mount_secret, unmount_secret
from ..interfaces.proxies import BalancerRunner
from ..log import get_logger
from ..model.knobs import DEFAULT_KNOBS
from ..world import OsWorld, World
from . import listener_ports
from .config import RegionConfig
from .paths import RegionPaths
from .registry_options import address_and_port

_CONNECTIONS_MAX = 20_000
_FILES_KEPT = 200
_MEMORY_MIN_MIB, _MEMORY_SHARE = 512, 8


def balancer_keys(paths: RegionPaths) -> KeyFiles | None:
    """In memory, with the proxies' own files. None where there is no memory to be had as a directory."""
    home = paths.run / "balancers"
    home.mkdir(mode=0o711, exist_ok=True)
    try:
        mount_secret(home)
    except OSError as error:
        get_logger(__name__).warning("no memory of its own for keys of load balancers", why=str(error))
    found = key_files(home / "keys")
    if found is None:
        get_logger(__name__).error("no nodes of load balancers run here: their keys would lie on a disk")
    return found


def balancer_runner(world: World, paths: RegionPaths, config: RegionConfig, host_id: str) -> BalancerRunner:
    """Those that face the internet are at this machine's loopback too: where the operator lets them, but for the ports
    that the region has there."""
    note = get_logger(__name__).bind(host=host_id).warning
    allowed = listener_ports.parse(config.listener_ports)
    local = LoopbackDoors(DEFAULT_KNOBS, host_id, note, kept=own_ports(config), allowed=allowed)
    return WithDoors(proxy_runner(world, paths, host_id), local)


def own_ports(config: RegionConfig) -> frozenset[int]:
    """Of the region's server, whatever listens there now."""
    listens = (address_and_port(text) for text in (config.metrics_listen, config.registry_listen) if text)
    return frozenset((config.port, *(found[1] for found in listens if found is not None)))


def proxy_runner(world: World, paths: RegionPaths, host_id: str) -> ProxyRunner:
    # Each connection of a client has one of a target.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    connections = _CONNECTIONS_MAX if files == resource.RLIM_INFINITY else (files - _FILES_KEPT) // 2
    host = _proxies(world, paths)
    return ProxyRunner(
        world, DEFAULT_KNOBS, host, host_id, connections_max=max(100, min(connections, _CONNECTIONS_MAX))
    )


def end_proxies(paths: RegionPaths) -> None:
    """All of the region's on this machine, and their files."""
    host = _proxies(OsWorld(), paths)
    for eni_id in host.nodes():
        host.end(eni_id)
    unmount_secret(paths.run / "balancers")


def _proxies(world: World, paths: RegionPaths) -> LinuxProxies:
    namespaces = Namespaces(paths.run / "net" / "netns", world.die)
    return LinuxProxies(paths.run / "balancers", namespaces, memory_max_mib=memory_max_mib(_machines_mib()))


def memory_max_mib(machines_mib: int) -> int:
    """Of one node at worst: thousands of clients that read large answers slowly, or hostile ones."""
    return max(_MEMORY_MIN_MIB, machines_mib // _MEMORY_SHARE)


def _machines_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
