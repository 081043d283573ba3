"""Which block of public addresses a region of this machine has: chosen at its first start, and from then on its own.

Must not know how addresses are given or routed. Invariant: no two regions have the same block at once. Who chooses is
alone on this machine until its region.json says what it has, and passes over what the others' say: a block is routed
only seconds later, by the agent. A kill leaves no claim behind, since there is none but region.json. Regions that are
down are others too: until the machine is booted, a list beside the run directories says where their data is.
"""

import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from . import config as configs
from .config import RegionConfig
from .paths import RegionPaths, region_of
from .problems import Problem

ALONE_S = 30.0  # others' first starts take a second each
LOOK_S = 0.02
ROUTES = Path("/proc/net/route")
KNOWN = "known"  # the list's name; data directories, each with a zero byte behind it


@contextmanager
def settled(paths: RegionPaths, config: RegionConfig) -> Iterator[RegionConfig]:
    """The options with the region's pool, until they are saved. Raises Problem. A simulation routes nothing."""
    routes_it = config.runs_tasks
    if config.public_pool:
        if routes_it:
            _check_way(paths, config.public_pool)
        yield config
        if routes_it and paths.data not in _known(paths.run.parent):
            with alone(paths.run.parent):
                _remember(paths)
    elif not routes_it:
        yield replace(config, public_pool=choose(()))
    else:
        with alone(paths.run.parent):
            yield replace(config, public_pool=choose(of_others(paths)))
            _remember(paths)


def choose(taken: tuple[str, ...]) -> str:
    """The first 198.18.N.0/24 that neither a route of the host nor another region meets. Raises Problem."""
    from ..hostnet.netlink import Netlink  # at the first start only
    from ..hostnet.pool import candidate_pools, choose_public_pool
    from ..interfaces.hostnet import HostError

    with Netlink() as links:
        routes = links.routes()
    try:
        return choose_public_pool(candidate_pools(), [*routes, *taken])
    except HostError:
        raise Problem(
            "every 198.18.N.0/24 meets a route of this machine; no pool of public addresses is left"
        ) from None


def of_others(paths: RegionPaths) -> tuple[str, ...]:
    """The blocks of the other regions of this machine: up, being started, or down since it was booted."""
    runs = paths.run.parent
    there = (region_of(run) for run in runs.iterdir())
    others = {other for other in there if other is not None}.union(map(RegionPaths, _known(runs))) - {paths}
    found = []
    for other in sorted(others, key=lambda one: one.data):
        try:
            pool = configs.load(other).public_pool
        except Problem:
            continue  # without data it has only its route; what is damaged there is told where that region is asked for
        if _is_network(pool):
            found.append(pool)
    return tuple(found)


def _known(runs: Path) -> list[Path]:
    try:
        return [Path(os.fsdecode(name)) for name in (runs / KNOWN).read_bytes().split(b"\0") if name]
    except FileNotFoundError:
        return []


def _remember(paths: RegionPaths) -> None:
    """Who does it is alone. Regions whose data is gone are forgotten."""
    runs = paths.run.parent
    kept = [data for data in _known(runs) if data != paths.data and RegionPaths(data).config.exists()]
    fresh = runs / f"{KNOWN}.new"
    fresh.write_bytes(b"".join(os.fsencode(data) + b"\0" for data in (*kept, paths.data)))
    fresh.replace(runs / KNOWN)


def _is_network(text: str) -> bool:
    """What came from a file is any text."""
    address, _, length = text.partition("/")
    try:
        socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError):
        return False
    return length.isdecimal() and int(length) <= 32


@contextmanager
def alone(runs: Path) -> Iterator[None]:
    """Nobody else chooses meanwhile. The lock is the directory's own, so nothing is left; it ends with this process."""
    descriptor = os.open(runs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + ALONE_S
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise Problem("another region's first start on this machine does not come to an end; try again")
            time.sleep(LOOK_S)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_way(paths: RegionPaths, pool: str) -> None:
    """A region that was down may find that its block went to another: the block is free for whoever comes then."""
    strangers = links_to(pool, ROUTES.read_text())
    if not strangers:
        return
    from ..hostnet.edge import host_link_name, instance_of  # not paid for by a start after `down`

    for link in strangers:
        if link != host_link_name(paths.instance):
            other = region_of(paths.run.parent / instance_of(link))
            whose = f"the region under {other.data}; take that down first" if other else f"the network interface {link}"
            raise Problem(f"the public addresses of this region's tasks, {pool}, lead to {whose}")


def links_to(pool: str, routes: str) -> list[str]:
    """Names of the links of the routes with exactly this destination. `routes`: as /proc/net/route says them."""
    address, _, length = pool.partition("/")
    mask = struct.pack(">I", 0xFFFFFFFF << (32 - int(length)) & 0xFFFFFFFF)
    wanted = [f"{number:08X}" for number in struct.unpack("=II", socket.inet_aton(address) + mask)]
    rows = [line.split() for line in routes.splitlines()[1:]]
    return [row[0] for row in rows if [row[1], row[7]] == wanted]
