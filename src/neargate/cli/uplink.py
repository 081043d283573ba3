"""`--uplink` for the operator: what `up` refuses and says beforehand, how it does now, what here is in its way.

Reads only; the agent makes and undoes (hostnet/uplink/). Rules of the firewall are root's to read: whoever is not
root is told what anybody may know.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..hostnet.edge import host_link_name
from ..hostnet.host_state import forwards
from ..hostnet.netlink import Netlink
from ..hostnet.nftables import Nftables, NftablesError, NftablesMissing
from ..hostnet.pool_consent import CONSENT_FILE, read_consent
from ..hostnet.underlay import read_state
from ..hostnet.uplink.legacy import LegacyRules
from ..hostnet.uplink.pasta import program
from ..hostnet.uplink.record import UplinkFiles, UplinkState
from ..interfaces.hostnet import HostError
from ..uplink.firewalls import let_pass, passage
from ..uplink.strays import clock
from ..uplink.texts import host_table_name, mark, settled_mode
from .config import RegionConfig
from .paths import RegionPaths
from .problems import Problem

Line = tuple[str, str]  # doctor's level and text
_INSTALL = "apt-get install passt"
_USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
_UNPRIVILEGED = Path("/proc/sys/kernel/unprivileged_userns_clone")
_TUN = Path("/dev/net/tun")
_EXAMPLE_POOL = "198.18.0.0/24"


def check_uplink(config: RegionConfig) -> None:
    """What the agent could only fail at. Raises Problem."""
    if config.runs_tasks and config.uplink == "user" and program() is None:
        raise Problem(f"--uplink user goes through pasta, which is not installed; {_INSTALL}, or choose nat or none")


def beforehand(paths: RegionPaths, config: RegionConfig) -> list[str]:
    """What `nat` is going to add to the host; nothing for the modes that add nothing."""
    if not config.runs_tasks or config.uplink != "nat":
        return []
    link = host_link_name(paths.instance)
    return [
        f"--uplink nat adds to this host: the nftables table {host_table_name(paths.instance)} (what tasks with public "
        f"addresses send is translated from {config.public_pool or 'the public pool'} to the host's address),",
        f"  forwarding on the links that lead out where it is off (of IPv6 where this kernel can by link), and where a "
        f"firewall drops what is forwarded a rule for {link}, marked {mark(paths.instance)}. "
        f"neargate down{paths.as_option} takes all of it back.",
    ]


def status_line(paths: RegionPaths, config: RegionConfig) -> str:
    """Empty where nothing is known."""
    state = _state(paths, config)
    return _told(state) if state is not None else ""


def _state(paths: RegionPaths, config: RegionConfig | None) -> UplinkState | None:
    if config is None or not config.runs_tasks:
        return None
    try:
        return UplinkFiles(paths.run / "net").state()
    except (OSError, ValueError):
        return None


def _told(state: UplinkState) -> str:
    asked = " (auto)" if state.asked == "auto" else ""
    if not state.works:
        return f"uplink {state.mode}{asked} does not work: {state.why}"
    how = {
        "nat": "what tasks with public addresses send is translated to this host's address",
        "user": f"tasks with public addresses reach out through pasta (pid {state.pid})",
        "none": "tasks reach nothing beyond this machine",
    }
    return f"uplink {state.mode}{asked}: {how.get(state.mode, '')}"


def findings(paths: RegionPaths, config: RegionConfig | None) -> Iterator[Line]:
    """For doctor. Without a region: what its defaults would find."""
    asked = (config or RegionConfig()).uplink
    mode = settled_mode(asked, has_pasta=program() is not None)
    state = _state(paths, config)
    if state is not None:
        yield ("ok" if state.works else "note"), _told(state)
        yield from (("ok", note) for note in state.notes)
        yield from (("note", f"a pool of public addresses is refused: {why}") for why in state.refused)
        yield from _allowed(paths)
        yield from _strays(paths)
    if config is not None and config.uplink_networks:
        named = ", ".join(config.uplink_networks)
        yield "ok", f"tasks reach these private networks beyond their gateways too (--uplink-networks): {named}"
    if mode == "user":
        yield from _in_pastas_way()
    elif mode == "none":
        yield _without(asked)
    yield from _in_the_way(paths, config, mode)


def _allowed(paths: RegionPaths) -> Iterator[Line]:
    """The file is root's to read."""
    if allowed := read_consent(paths.agent / CONSENT_FILE):
        named = ", ".join(f"{pool.cidr} ({pool.way})" for pool in allowed)
        yield "ok", f"this host lets the region have these public addresses (ip-pool allow): {named}"


def _strays(paths: RegionPaths) -> Iterator[Line]:
    """What tasks sent to where nothing of theirs may be. Of an attack it may be the one trace."""
    try:
        state = read_state(paths.run / "net")
    except OSError:
        return
    if state.deaf:
        yield "note", state.deaf
    if state.packets:
        yield (
            "note",
            f"the underlay dropped {state.packets} packets ({state.bytes} bytes) of tasks that were neither overlay "
            f"nor link, the last that was seen at {clock(state.last_at)}, {state.last or 'of nobody'}; "
            f"their flows: {paths.log_file('underlay')}",
        )
    else:
        yield "ok", "the underlay: no packet of a task was where it may not be"


def _without(asked: str) -> Line:
    if asked == "none":
        return "ok", "--uplink none: tasks reach nothing beyond this machine, as was asked for"
    return "note", f"pasta: not found; tasks reach nothing beyond this machine: {_INSTALL}, or up with --uplink nat"


def _in_pastas_way() -> Iterator[Line]:
    found = program()
    if found is None:
        yield "note", f"pasta: not found, and --uplink user needs it; {_INSTALL}"
        return
    lacking = []
    if not _TUN.exists():
        lacking.append(f"{_TUN} is not there: modprobe tun")
    if _number(_USER_NAMESPACES) == 0:
        lacking.append("user namespaces are off: sysctl -w user.max_user_namespaces=10000")
    if _number(_UNPRIVILEGED) == 0:
        lacking.append("user namespaces are root's alone: sysctl -w kernel.unprivileged_userns_clone=1")
    for text in lacking:
        yield "note", f"pasta cannot work: {text}"
    if not lacking:
        yield "ok", f"pasta: {found} (tasks' way out, without a change of this host)"


def _in_the_way(paths: RegionPaths, config: RegionConfig | None, mode: str) -> Iterator[Line]:
    """Of what the host would forward. With nat the agent mends it; otherwise it is told to whoever forwards himself."""
    level = "note" if mode == "nat" else "ok"
    if forwards("all") is False and mode != "nat":
        yield (
            "ok",
            "forwarding is off (net.ipv4.ip_forward), which --uplink nat alone would need on the links that lead out",
        )
    link = host_link_name(paths.instance)
    try:
        stops, outer = _asked(paths, config, link)
    except (OSError, NftablesError, NftablesMissing, ValueError):
        yield from _by_files()
        return
    how = "nat adds it by itself" if mode == "nat" else f"--uplink {mode} does not need it, nat would add it"
    for sentence, rule in stops:
        yield level, f"what is forwarded from {link} to {outer}: {sentence}; the rule that helps ({how}): nft '{rule}'"
    older = _asked_legacy(paths, config, link, outer)
    for sentence, rule in older:
        yield level, f"what is forwarded from {link} to {outer}: {sentence}; the rule that helps ({how}): {rule}"
    if not stops and not older:
        yield "ok", "no firewall is in the way of what is forwarded"


def _asked_legacy(paths: RegionPaths, config: RegionConfig | None, link: str, outer: str) -> list[Line]:
    """The same of the older iptables, which nftables does not show."""
    rules = LegacyRules(link, _pool(config), mark(paths.instance))
    try:
        found, commands = rules.needed(rules.read(), outer)
    except HostError:
        return []
    added = [shlex.join(["iptables-legacy", *words]) for words in commands if words[0] != "-D"]
    return [(str(stop), rule) for (stop, _), rule in zip(found.needed, added, strict=False)]


def _pool(config: RegionConfig | None) -> str:
    return (config.public_pool if config is not None else "") or _EXAMPLE_POOL


def _asked(paths: RegionPaths, config: RegionConfig | None, link: str) -> tuple[list[Line], str]:
    """(why, rule) of each chain that stops it now, and the link that leads out."""
    if os.geteuid() != 0:
        raise PermissionError("rules are root's to read")
    with Netlink() as host:
        default = host.links_to("0.0.0.0/0")
        outer = next((found.name for found in host.links() if found.index in default), "the uplink")
    rules = Nftables()
    try:
        listing = rules.ruleset()
    finally:
        rules.close()
    name = mark(paths.instance)
    found = passage(listing, link=link, pool=_pool(config), outer=outer, mark=name)
    if not found.text:
        return [], outer  # nothing stops it, or rules of ours help already
    return [(str(stop), let_pass(stop, match, name).strip()) for stop, match in found.needed], outer


def _by_files() -> Iterator[Line]:
    """Of the two that Debian and Ubuntu users have: these files are everybody's."""
    ufw = Path("/etc/ufw/ufw.conf")
    active = "ENABLED=yes" in ufw.read_text() if ufw.exists() else False
    names = [name for name, there in (("ufw", active), ("Docker", Path("/sys/class/net/docker0").exists())) if there]
    if names:
        yield "note", f"{' and '.join(names)} filter what is forwarded; as root doctor says what that means"
    else:
        yield "ok", "no firewall of Docker or ufw in the way"


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
