"""What passes between a task's eth0 and the tap of its machine: a table of nftables' netdev family, as text.

The namespace has a stack of its own, through which the agent speaks in the task's name, from local ports that nobody
else has (`AGENT_PORTS`). What comes to eth0 is the guest's, except for what answers the agent: segments and datagrams
to its ports, and errors that quote what it sent from them, without which it would not learn how long its packets may
be. Connections are begun by the agent alone. Pieces of datagrams are the guest's, whatever their port: only the first
names one, and what the agent says is never cut.

What the guest sends goes out by eth0 or nowhere, never to the namespace's stack. It speaks to its gateway, from the
ENI's MAC, IP only: neighbours are permanent at both ends, so nobody asks by ARP or would be answered. Its addresses are
the router's to check, as any task's. It may send neither from the agent's ports nor errors about what came to them,
and what cannot be read so far that this is known does not pass. Errors tell of what their sender was sent: so those of
the guest quote a packet to the ENI's address.
"""

from ipaddress import ip_address

from ..model.network import AGENT_PORTS, ENI_MAC_GATEWAY, Eni

TABLE = "netdev neargate"
_FIRST, _LAST = AGENT_PORTS
# Where the quoted packet has what, in bits from the beginning of the error: without options, after eight bytes.
_IPV4_LENGTH, _IPV4_PROTOCOL, _IPV4_SOURCE, _IPV4_TO, _IPV4_PORT, _IPV4_TO_PORT = 64, 136, 160, 192, 224, 240
_IPV6_PROTOCOL, _IPV6_SOURCE, _IPV6_TO, _IPV6_PORT, _IPV6_TO_PORT = 112, 128, 256, 384, 400
_WITHOUT_OPTIONS = "0x45"


def guest_rules(eni: Eni, *, interface: str, tap: str) -> str:
    """The whole table, in place of one that may be there."""
    to_guest, out = f'fwd to "{tap}"', f'fwd to "{interface}"'
    return f"""
table {TABLE}
delete table {TABLE}
table {TABLE} {{
 chain c_arrives {{
  type filter hook ingress device "{interface}" priority 0; policy drop;
  meta l4proto {{ tcp, udp }} th dport < {_FIRST} {to_guest}
  {_lines(_arrives(eni, to_guest))}
 }}
 chain c_tells4 {{
  {_lines(_tells_ipv4(eni, out))}
 }}
 chain c_tells6 {{
  {_lines(_tells_ipv6(eni, out))}
 }}
 chain c_read {{
  meta l4proto {{ tcp, udp }} th sport < {_FIRST} {out}
  ip frag-off & 0x1fff != 0 {out}
  frag frag-off != 0 {out}
  meta l4proto {{ tcp, udp }} drop
  icmp type {{ 3, 4, 5, 11, 12 }} goto c_tells4
  icmpv6 type 0-127 goto c_tells6
  {out}
 }}
 chain c_leaves {{
  type filter hook ingress device "{tap}" priority 0; policy drop;
  ether saddr != {eni.mac} drop
  ether daddr != {ENI_MAC_GATEWAY} drop
  ether type != {_kinds(eni)} drop
  meta l4proto 0-255 goto c_read
 }}
}}
"""


def _arrives(eni: Eni, to_guest: str) -> list[str]:
    """After what is nearly all. From its own address the agent is sent nothing: only the guest could have."""
    lines = [f"ip frag-off & 0x3fff != 0 {to_guest}", f"exthdr frag exists {to_guest}"]
    lines.append(f"ip saddr {eni.private_ipv4} drop")
    if eni.ipv6 is not None:
        lines.append(f"ip6 saddr {eni.ipv6} drop")
    lines += ["tcp flags & (syn|ack) == syn drop", "meta l4proto { tcp, udp } accept"]
    own = f"@th,{_IPV4_SOURCE},32 {_packed(eni.private_ipv4)} {_is_agents(_IPV4_PORT)}"
    lines.append(
        f"icmp type {{ 3, 11, 12 }} @th,{_IPV4_LENGTH},8 {_WITHOUT_OPTIONS} {_has_ports(_IPV4_PROTOCOL)} {own} accept"
    )
    if eni.ipv6 is not None:
        own = f"@th,{_IPV6_SOURCE},128 {_packed(eni.ipv6)} {_is_agents(_IPV6_PORT)}"
        lines.append(f"icmpv6 type 1-127 {_has_ports(_IPV6_PROTOCOL)} {own} accept")
    return [*lines, f"meta protocol {_kinds(eni)} {to_guest}"]


def _tells_ipv4(eni: Eni, out: str) -> list[str]:
    has_ports = _has_ports(_IPV4_PROTOCOL)
    return [
        "ip frag-off & 0x3fff != 0 drop",
        f"@th,{_IPV4_LENGTH},8 != {_WITHOUT_OPTIONS} drop",
        f"@th,{_IPV4_TO},32 != {_packed(eni.private_ipv4)} drop",
        f"{has_ports} {_is_agents(_IPV4_TO_PORT, False)} {out}",
        f"{has_ports} drop",
        out,
    ]


def _tells_ipv6(eni: Eni, out: str) -> list[str]:
    """What follows further headers is not read."""
    if eni.ipv6 is None:
        return ["drop"]
    return [
        "exthdr frag exists drop",
        f"@th,{_IPV6_TO},128 != {_packed(eni.ipv6)} drop",
        f"{_has_ports(_IPV6_PROTOCOL)} {_is_agents(_IPV6_TO_PORT, False)} {out}",
        f"@th,{_IPV6_PROTOCOL},8 58 {out}",
        "drop",
    ]


def _has_ports(where: int) -> str:
    return f"@th,{where},8 {{ 6, 17 }}"


def _is_agents(where: int, yes: bool = True) -> str:
    """By the bits that all of its ports begin with."""
    shared = 16 - (_FIRST ^ _LAST).bit_length()
    return f"@th,{where},{shared} {'==' if yes else '!='} {_FIRST >> (16 - shared):#x}"


def _kinds(eni: Eni) -> str:
    return "{ ip }" if eni.ipv6 is None else "{ ip, ip6 }"


def _packed(address: str) -> str:
    return "0x" + ip_address(address).packed.hex()


def _lines(rules: list[str]) -> str:
    return "\n  ".join(rules)
