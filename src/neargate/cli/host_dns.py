"""`neargate dns install|uninstall`: this machine's own lookups find the region's names, and find them no more.

The listener is the agent's (agent/names/for_the_host.py), which reads a file that is written here first; what makes
the machine ask there is of host_dns_ways.py. Invariant: a machine whose region is down or gone looks up everything else
as before.
"""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..agent.names.for_the_host import HOST_DNS_FILE, HostDnsSettings
from . import config as configs
from . import host_dns_ways as ways
from .admin import NotThere, Silent, ask, exchange
from .paths import RegionPaths
from .problems import Problem

ROOT = Path("/")
ASK_S = 10.0
COMMAND_S = 60.0
_VPC_ID = re.compile(r"vpc-[0-9a-z]{1,24}")
Run = Callable[[Sequence[str]], bool]


def install(paths: RegionPaths, vpc: str, *, root: Path = ROOT, run: Run | None = None) -> str:
    """`vpc`: whose names; empty: the default VPC of the region's account. Repeatable: later names come with it."""
    _only_root()
    config = configs.load(paths)
    if not config.runs_tasks:
        raise Problem("simulated tasks have no addresses; dns install is for regions whose tasks run")
    facts = ask(paths, "dns-facts", vpc=vpc, account=config.account)
    listens = ways.address(paths.instance)
    way = ways.find_way(root, paths.instance)
    settings = _settings(facts, listens)
    _write(paths.agent / HOST_DNS_FILE, settings)
    try:
        _tell_agent(paths)
        for other in ways.take_out(root, paths.instance):
            if other.kind != way.kind:
                _hold(other, run or _run)
        ways.put(root, way, paths.instance, listens, settings.domains)
        _hold(way, run or _run)
    except Problem:
        with suppress(Problem):  # the first one says what is wrong
            _withdraw(paths, root, run or _run)
        raise
    return "\n".join(_told(way, settings, paths))


def _settings(facts: Mapping[str, Any], listens: str) -> HostDnsSettings:
    """The server is not root, and files of root's are made of what it says. Raises Problem."""
    vpc_id, domains = str(facts["vpc_id"]), tuple(filter(ways.is_plain, facts["domains"]))
    if _VPC_ID.fullmatch(vpc_id) is None:
        raise Problem("the server names no VPC; its log says more")
    if not domains:
        raise Problem(f"there are no names of {vpc_id} that a machine could look up")
    return HostDnsSettings(vpc_id=vpc_id, address=listens, domains=domains)


def uninstall(paths: RegionPaths, *, root: Path = ROOT, run: Run | None = None) -> str:
    """Also for a region that is down, or whose data is gone."""
    _only_root()
    found = _withdraw(paths, root, run or _run)
    if not found:
        return "this machine's lookups know nothing of the region"
    return f"this machine looks up names as before ({', '.join('/' + way.file for way in found)})"


def _withdraw(paths: RegionPaths, root: Path, run: Run) -> list[ways.Way]:
    """Lookups first: nobody is to ask where nobody listens. Raises Problem when all is done that could be."""
    found = ways.take_out(root, paths.instance)
    untold = [way for way in found if not _is_told(way, run)]
    (paths.agent / HOST_DNS_FILE).unlink(missing_ok=True)
    with suppress(NotThere, Silent):  # one that starts again finds no file
        exchange(paths.agent_socket, {"request": "dns-look"}, ASK_S)
    for way in untold:
        raise _not_told(way)
    return found


def _told(way: ways.Way, settings: HostDnsSettings, paths: RegionPaths) -> list[str]:
    lines = [
        f"this machine finds names of {settings.vpc_id} below {', '.join(settings.domains)}",
        f"{way.kind} asks {settings.address} for them (/{way.file})",
        "A task's name leads to its public address; one without has none here. "
        f"Undo it with: neargate dns uninstall{paths.as_option}",
    ]
    if way.kind == ways.PLAIN:
        lines.append("A program that writes /etc/resolv.conf anew (a DHCP client) takes it out: then install it again.")
    else:
        lines.append("Private namespaces and load balancers made later are found after another neargate dns install.")
    return lines


def _tell_agent(paths: RegionPaths) -> None:
    """Raises Problem."""
    try:
        answer = exchange(paths.agent_socket, {"request": "dns-look"}, ASK_S)
    except NotThere:
        raise Problem(f"the agent of this region does not run; start it with: neargate up{paths.as_option}") from None
    except Silent:
        raise Problem(f"the agent does not answer; its log: {paths.log_file('agent')}") from None
    if "error" in answer:
        raise Problem(
            f"nothing can listen at {ways.address(paths.instance)}:53 ({answer['error']}); where a DNS server of this "
            "machine takes all its addresses, let it take its own alone (dnsmasq: bind-interfaces)"
        )


def _write(file: Path, settings: HostDnsSettings) -> None:
    fresh = file.with_suffix(".new")
    with open(fresh, "wb") as written:
        written.write(msgspec.json.encode(settings))
        written.flush()
        os.fsync(written.fileno())
    fresh.replace(file)


def _hold(way: ways.Way, run: Run) -> None:
    """Raises Problem where nothing could make the program read its file."""
    if not _is_told(way, run):
        raise _not_told(way)


def _is_told(way: ways.Way, run: Run) -> bool:
    return not way.after or any(run(command) for command in way.after)


def _not_told(way: ways.Way) -> Problem:
    return Problem(f"{way.kind} could not be told to read /{way.file} again; do it: {' '.join(way.after[0])}")


def _run(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(list(command), capture_output=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _only_root() -> None:
    if os.geteuid() != 0:
        raise Problem("how this machine looks up names is root's to say; run as root")
