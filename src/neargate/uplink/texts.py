"""How tasks with public addresses get beyond their machine: the modes of `--uplink`, and the rule texts of each.

Pure: texts and decisions. Knows neither namespaces nor processes. Invariant: whatever the mode, a task opens no
connection to an address of the machine itself, nor to what only a machine may ask (loopback, link-local: a cloud's
metadata service). These tables stand beside others': a drop in any of them holds, an accept in one holds in it alone.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from .pools import NOTHING_OUTSIDE, Outside
from .strays import EDGE_GROUP, host_group, strays_chain

MODES = ("auto", "nat", "user", "none")
PASTA = "pasta"  # the program of Debian's package `passt`

# Between the edge and the namespace where pasta's tap is. The edge's name for its end must not begin with a router's v.
EDGE_END, TAP_END, TAP = "out0", "edge0", "tap0"
EDGE_END_MAC, TAP_END_MAC = "0e:ee:ee:ee:03:01", "0e:ee:ee:ee:03:02"
EDGE_END_HOP, TAP_END_HOP = "169.254.254.5", "169.254.254.6"
TAP_ADDRESS, TAP_GATEWAY, TAP_PREFIX = "169.254.253.2", "169.254.253.1", 30
# Of IPv6: the one address that all tasks' packets leave the edge with, pasta's, and hops. None is found elsewhere.
_HOST_NETWORK6 = "fd6e:6761:7465:3::/64"
_EDGE_NETWORK6, TAP_ADDRESS6, TAP_GATEWAY6 = "fd6e:6761:7465:1::/64", "fd6e:6761:7465::2", "fd6e:6761:7465::1"
EDGE_END_HOP6, TAP_END_HOP6 = "fe80::5", "fe80::6"
HOST_HOP6, EDGE_HOST_HOP6 = "fe80::7", "fe80::8"
POOL_HOST_HOP6, POOL_EDGE_HOP6 = "fe80::9", "fe80::a"  # of pools of IPv6: there without an uplink, too
TAP_GATEWAY_MAC = "0e:ee:ee:ee:03:03"  # pasta takes a frame by what is in it

_TABLE = "inet neargate_uplink"  # in the edge and in the tap's namespace; the host's has the instance's name
_ON_THE_INTERNET6 = "2000::/3"
_NEVER = "{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 240.0.0.0/4 }"
# Those of pasta's sockets are the host's: from the range that any program may be given, and in no order.
_PORTS = "32768-60999"
_INSTANCE = re.compile(r"[0-9a-z]{1,16}")
_LINK = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")


def settled_mode(asked: str, *, has_pasta: bool) -> str:
    """nat, user or none."""
    if asked != "auto":
        return asked
    return "user" if has_pasta else "none"


def host_table_name(instance: str) -> str:
    """With its family, as nft writes it. Raises ValueError for an instance that is none."""
    if not _INSTANCE.fullmatch(instance):
        raise ValueError(f"{instance!r} is no instance")
    return f"inet {mark(instance)}"


def mark(instance: str) -> str:
    """The comment on rules of ours in chains of others, and our table's name."""
    return f"neargate_{instance}"


def edge_address6(pool: str) -> str:
    """The one address that a region's tasks leave its edge with by IPv6; regions of a machine have different pools."""
    return str(ip_network(_EDGE_NETWORK6)[int(IPv4Network(pool)[-1])])


def host_address6(pool: str) -> str:
    """What the machine calls tasks of IPv6 pools with: its own addresses, if it has any, may be on links alone."""
    return str(ip_network(_HOST_NETWORK6)[int(IPv4Network(pool)[-1])])


def host_table(
    instance: str,
    link: str,
    pool: str,
    opened: Sequence[str],
    *,
    shut: bool,
    outside: Outside = NOTHING_OUTSIDE,
    opened6: Sequence[str] = (),
) -> str:
    """The table that `nat` adds to the host, whole, in one transaction. What a task sends and may not is a stray.

    `opened` are links on which we switched forwarding on, `opened6` that of IPv6: the host goes on to forward nothing
    from there but answers to tasks. By IPv6 nothing else ever goes to them. `shut`: chains of others were told to let
    our link pass, so nothing new comes in by it. What the operator himself sends to a task (DNAT) still does, and what
    comes for the pools of his that others find; these are not translated.
    """
    table = host_table_name(instance)
    open4 = [cidr for cidr in outside.open_cidrs if ":" not in cidr]
    found = _listed(open4)
    known, hidden = _listed((pool, *outside.cidrs)), _listed({pool, *outside.cidrs} - {*outside.open_cidrs})
    edge6, found6 = edge_address6(pool), _listed6(outside.open_cidrs6)
    known6 = f"{{ {', '.join((edge6, *_collapsed6(outside.open_cidrs6)))} }}" if outside.open_cidrs6 else edge6
    if not _LINK.fullmatch(link):
        raise ValueError(f"{link!r} is no network interface")
    guards = ""
    if names := _quoted(name for name in opened if name not in opened6):
        guards += f"    iifname {{ {names} }} meta nfproto ipv6 accept\n"
    if names := _quoted(opened):
        guards += f'    iifname {{ {names} }} oifname "{link}" drop\n'
        guards += f'    iifname {{ {names} }} oifname != "ng*" drop\n'
    if names := _quoted(opened6):
        guards += f'    iifname {{ {names} }} oifname != "ng*" meta nfproto ipv6 drop\n'
    welcome = f'    oifname "{link}" ip daddr {found} accept\n' if open4 else ""
    welcome6 = f'    oifname "{link}" ip6 daddr {found6} accept\n' if outside.open_cidrs6 else ""
    if shut:
        guards += f'    oifname "{link}" drop\n'
    return f"""add table {table}
delete table {table}
table {table} {{
{strays_chain(host_group(instance))}
  chain c_input {{
    type filter hook input priority -10; policy accept;
    iifname "{link}" ct state {{ established, related }} accept
    iifname "{link}" goto strays
  }}
  chain c_fwd {{
    type filter hook forward priority -10; policy accept;
    iifname "{link}" ip saddr != {known} goto strays
    iifname "{link}" ip6 saddr != {known6} goto strays
    iifname "{link}" ct state {{ established, related }} accept
    iifname "{link}" ct status dnat goto strays
    iifname "{link}" oifname "{link}" drop
    iifname "{link}" ip daddr {_NEVER} goto strays
    iifname "{link}" ip6 daddr != {_ON_THE_INTERNET6} drop
    iifname "{link}" accept
    oifname "{link}" ct state {{ established, related }} accept
{welcome6}    oifname "{link}" meta nfproto ipv6 drop
    oifname "{link}" ct status dnat accept
{welcome}{guards}  }}
  chain c_nat {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {hidden} oifname != "{link}" masquerade
    ip6 saddr {edge6} oifname != "{link}" masquerade
  }}
}}
"""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names if _LINK.fullmatch(name))


def _listed(cidrs: Iterable[str]) -> str:
    networks = [network for network in map(ip_network, cidrs) if isinstance(network, IPv4Network)]
    return f"{{ {', '.join(map(str, collapse_addresses(networks)))} }}"


def _listed6(cidrs: Iterable[str]) -> str:
    return f"{{ {', '.join(_collapsed6(cidrs))} }}"


def _collapsed6(cidrs: Iterable[str]) -> list[str]:
    return [str(network) for network in collapse_addresses(IPv6Network(cidr) for cidr in cidrs)]


def host_table_gone(instance: str) -> str:
    table = host_table_name(instance)
    return f"add table {table}\ndelete table {table}\n"


def edge_table(
    own: Iterable[str], pool: str, *, to_host: bool, own6: Iterable[str] = (), found6: Sequence[str] = ()
) -> str:
    """Of the edge: `own` are the host's addresses and whatever else it takes for itself, as CIDRs of IPv4; `own6` of
    IPv6. What tasks send by IPv6 leaves with one address that is not routed back, so nothing new comes in; but that
    of the pools `found6`, which others find, as it is.

    `to_host`: whether what tasks send beyond their machine passes through the host. An address of the pool that nobody
    has is no stray: its task may just have ended.
    """
    elements = _elements(collapse_addresses(IPv4Network(text) for text in own))
    elements6 = _elements(collapse_addresses(IPv6Network(text) for text in own6))
    plain = f'\n    oifname "host0" ip6 saddr {_listed6(found6)} accept' if found6 else ""
    host = "" if to_host else '\n    iifname "v*" oifname "host0" goto strays'
    return f"""add table {_TABLE}
add set {_TABLE} own {{ type ipv4_addr; flags interval; }}
add set {_TABLE} own6 {{ type ipv6_addr; flags interval; }}
flush set {_TABLE} own
flush set {_TABLE} own6
flush table {_TABLE}
table {_TABLE} {{
  set own {{ type ipv4_addr; flags interval;{elements} }}
  set own6 {{ type ipv6_addr; flags interval;{elements6} }}
{strays_chain(EDGE_GROUP)}
  chain c_fwd {{
    type filter hook forward priority -10; policy accept;
    ct state {{ established, related }} accept
    iifname "v*" ip daddr @own goto strays
    iifname "v*" oifname != "v*" ip daddr {ip_network(pool)} drop
    iifname "v*" ip daddr {_NEVER} goto strays{host}
    iifname "v*" ip6 daddr @own6 goto strays
    iifname "v*" oifname != "v*" ip6 daddr != {_ON_THE_INTERNET6} drop
    iifname "v*" oifname != "v*" meta nfproto ipv6 ct state invalid drop
    iifname "{EDGE_END}" drop
  }}
  chain c_nat {{
    type nat hook postrouting priority 100; policy accept;{plain}
    oifname {{ "host0", "{EDGE_END}" }} meta nfproto ipv6 snat ip6 to {edge_address6(pool)}
  }}
}}
"""


def _elements(networks: Iterable[IPv4Network | IPv6Network]) -> str:
    listed = ", ".join(str(network) for network in networks)
    return f" elements = {{ {listed} }};" if listed else ""


def tap_table() -> str:
    """Of the namespace with pasta's tap, which knows one address. Pasta itself may do anything in there.

    Pasta sends what comes in to the address that it was last sent from. So nothing goes to it from another: neither
    what is not translated, being of no connection, nor what the kernel says of itself (duplicate detection, from `::`).
    """
    return f"""add table {_TABLE}
delete table {_TABLE}
table {_TABLE} {{
  chain c_input {{ type filter hook input priority 0; policy drop;
  }}
  chain c_fwd {{
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
    iifname "{TAP_END}" oifname "{TAP}" accept
    iifname "{TAP}" oifname "{TAP_END}" ct state {{ established, related }} accept
  }}
  chain c_output {{
    type filter hook output priority 0; policy accept;
    oifname "{TAP}" drop
  }}
  chain c_nat {{
    type nat hook postrouting priority 100; policy accept;
    oifname "{TAP}" meta l4proto {{ tcp, udp }} masquerade to :{_PORTS} fully-random
    oifname "{TAP}" masquerade
  }}
}}
"""


def edge_table_gone() -> str:
    return f"add table {_TABLE}\ndelete table {_TABLE}\n"


def pasta_command(program: str, marked: str, tun: str | None) -> list[str]:
    """Root's command that becomes pasta of the user nobody, in a user and network namespace of its own.

    No port is forwarded either way, and no address leads to the host's loopback. It runs one program in there whose
    namespace the tap is in, and which dies with it. `marked` is a word by which the process is found again. `tun` is a
    directory for a device node of our own, where /dev/net/tun is root's alone: seen by this process only.
    """
    ports = [word for option in "tuTU" for word in (f"-{option}", "none")]
    silent = ["--no-dhcp", "--no-ndp", "--no-ra", "--no-dhcpv6", "-D", "none", "-S", "none"]
    net = ["--config-net", "-I", TAP, "-a", TAP_ADDRESS, "-n", str(TAP_PREFIX), "-g", TAP_GATEWAY, "-m", "1500"]
    net += ["-a", TAP_ADDRESS6, "-g", TAP_GATEWAY6]  # where the host has no way for IPv6, pasta leaves it out
    held = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "sh", "-c", "exec sleep infinity", marked]
    pasta = [program, "-f", "-e", "-q", *net, "--no-map-gw", *ports, *silent, "--", *held]
    # The right to make its namespaces also where users have none (Ubuntu's AppArmor); it is gone within them. That it
    # gets no new privileges is its own doing: told before, AppArmor would refuse it the program inside.
    right = ["--inh-caps", "+sys_admin", "--ambient-caps", "+sys_admin"]
    nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *right, *pasta]
    if tun is None:
        return nobody
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _OWN_TUN, tun, *nobody]


_OWN_TUN = (
    'mount -t tmpfs -o size=4k,mode=755 tmpfs "$0" && mknod -m 666 "$0/tun" c 10 200 '
    '&& mount --bind "$0/tun" /dev/net/tun && exec "$@"'
)
