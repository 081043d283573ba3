"""The skeleton of a VPC router's table: what is there whatever the plan says, and how everything else is named.

The way of a packet through it. `c_fragments`: the kernel joins datagrams (at -400) by addresses and a number alone, so
a forged part must not come so far. `c_raw`: an interface's packets have its own address (else they are dropped), and
the map that says so leads to the chain of its subnet, `s_`, where the route table gives the packet its mark. `c_fwd`: a
packet of a known flow goes on if its mark is one that the flow may have (`ways`), a new flow is asked for by the
sender's groups and by what its way demands; an error about a flow is taken from an interface only if it is an end of
that flow (`parties`), since what it says may be forged. `c_post`: the mark says which kind of link it may leave by,
after all translation; there the receiver's ACL and groups see what the receiver will get. Every base chain but the
first drops what nothing accepted. Most packets are of flows inside a VPC: for these alone the first lines of `c_fwd`
and `c_post` say without a look-up what the maps would say. Who is among the `crowd` (crowding.py) begins no flows; how
many flows an interface may begin in a second (`begun`) is bounded for all, so that it cannot fill the table in one; the
later packets of a flow that nobody answers are new to conntrack as well, but they begin nothing.
"""

import hashlib
import re

from ..model.network import REGION_ENDPOINT_ADDRESS, RESOLVER_ADDRESS, TASK_METADATA_ADDRESS
from .marks import EGRESS_ONLY_MARK, INTERNET_MARK, LOCAL_MARK, UPLINK_MARK

TABLE = "inet neargate"
UPLINK = "up0"
FLOWS_PER_S = 20_000  # that one interface may begin, or others with it
LOOKUPS_PER_S = 1024  # packets that one interface may send to the resolver: AWS's bound
# What an internet gateway carries to nobody.
NOT_ON_THE_INTERNET = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/3",
)
# Unique local addresses a region gives its VPCs in place of global ones; where they lead is the edge's to know.
NOT_ON_THE_INTERNET6 = ("fe80::/10", "ff00::/8")

# Sets and maps that exist in every router. The names of an ENI's elements refer to these.
FIXED_SETS: dict[str, str] = {
    "eni4": "map eni4 { type ifname . ipv4_addr : verdict; }",
    "eni6": "map eni6 { type ifname . ipv6_addr : verdict; }",
    "own4": "set own4 { type ifname . ipv4_addr; }",
    "own6": "set own6 { type ifname . ipv6_addr; }",
    "out4": "map out4 { type ifname . ipv4_addr : verdict; }",
    "out6": "map out6 { type ifname . ipv6_addr : verdict; }",
    "in4": "map in4 { type ipv4_addr : verdict; }",
    "in6": "map in6 { type ipv6_addr : verdict; }",
    "pub_in": "map pub_in { type ipv4_addr : ipv4_addr; }",
    "pub_out": "map pub_out { type ipv4_addr : ipv4_addr; }",
    "pub_own": "set pub_own { type ipv4_addr; }",
    "pools4": "set pools4 { type ipv4_addr; flags interval; }",
    "beyond4": "set beyond4 { type ipv4_addr; flags interval; }",
    "pub_self": "map pub_self { type ipv4_addr . ipv4_addr : verdict; }",
    "resolver": "set resolver { type ipv4_addr; }",
    "crowd4": "set crowd4 { type ipv4_addr; }",
    "crowd6": "set crowd6 { type ipv6_addr; }",
    "begun4": "set begun4 { type ipv4_addr; size 65536; flags dynamic,timeout; timeout 10s; }",
    "begun6": "set begun6 { type ipv6_addr; size 65536; flags dynamic,timeout; timeout 10s; }",
    "asked": "set asked { type ipv4_addr; size 65536; flags dynamic,timeout; timeout 60s; }",
    # By mark: what a new flow remembers, where it is looked at, and where each packet may leave.
    "flow_mark": "map flow_mark { type mark : mark; }",
    "onwards": "map onwards { type mark : verdict; }",
    "ways": "map ways { type ct_dir . mark . mark : verdict; }",
    "exits": "map exits { type mark : verdict; }",
    "translate": "map translate { type mark : verdict; }",
    "arrivals": "map arrivals { type ifname : mark; }",
    "nat_in": "map nat_in { type ipv4_addr : verdict; }",
}

# Dnat only on the uplink, so that a task calling a public address goes out through the edge and comes back (hairpin)
# and the target sees the sender's public address, as on AWS. A new flow to the sender's own public address is asked for
# by its ingress groups as it leaves: where both ends look alike, what comes in again is the answer to itself, of a flow
# that is known. What the operator calls public (`pools4`) is so for tasks, and answers whoever called: the network that
# finds it is mostly a private one. `beyond4`: private networks that he lets tasks reach. Chains that are empty here are
# the plan's.
_CHAINS = """
  chain inbound {
  }
  chain w_eni {
  }
  chain w_local {
  }
  chain w_up {
    oifname != "up0" drop
    ip daddr { NOWHERE4 } jump w_private
    ip6 daddr { NOWHERE6 } drop
    ct state new ip saddr . ip daddr vmap @pub_self
    ip saddr @pub_own accept
    meta nfproto ipv6 accept
    drop
  }
  chain w_private {
    ip daddr @pools4 return
    ip daddr @beyond4 return
    ct direction reply ip saddr @pools4 return
    drop
  }
  chain gateway_in {
    ip daddr vmap @nat_in
  }
  chain c_fragments {
    type filter hook prerouting priority -450; policy accept;
    ip frag-off & 0x3fff != 0 iifname "e*" iifname . ip saddr != @own4 drop
    exthdr frag exists iifname "e*" iifname . ip6 saddr != @own6 drop
  }
  chain c_raw {
    type filter hook prerouting priority -300; policy drop;
    iifname . ip saddr vmap @eni4
    iifname . ip6 saddr vmap @eni6
    iifname "up0" meta mark set FROMUPLINK jump gateway_in
    iifname { "lo", "up0" } accept
    meta mark set iifname map @arrivals jump gateway_in
    iifname "p*" meta mark != 0 accept
  }
  chain egress {
    iifname . ip saddr vmap @out4
    iifname . ip6 saddr vmap @out6
    drop
  }
  chain ingress {
    ip daddr vmap @in4
    ip6 daddr vmap @in6
    drop
  }
  chain known {
    ct direction . meta mark . ct mark vmap @ways
    drop
  }
  chain related {
    jump parties
    goto known
  }
  chain parties {
    iifname != "e*" return
    ct direction original iifname . ct original ip saddr @own4 return
    ct direction original iifname . ct original ip6 saddr @own6 return
    ct direction reply iifname . ct reply ip saddr @own4 return
    ct direction reply iifname . ct reply ip6 saddr @own6 return
    drop
  }
  chain crowded {
    ct status confirmed return
    iifname "e*" ip saddr @crowd4 drop
    iifname "e*" ip6 saddr @crowd6 drop
    iifname "e*" update @begun4 { ip saddr limit rate over FLOWS/second burst FLOWS packets } drop
    iifname "e*" update @begun6 { ip6 saddr limit rate over FLOWS/second burst FLOWS packets } drop
    iifname "e*" return
    ip daddr @crowd4 drop
    ip6 daddr @crowd6 drop
    update @begun4 { ip daddr limit rate over FLOWS/second burst FLOWS packets } drop
    update @begun6 { ip6 daddr limit rate over FLOWS/second burst FLOWS packets } drop
  }
  chain fresh {
    jump crowded
    ct mark set meta mark map @flow_mark
    iifname "e*" jump egress
    meta mark vmap @onwards
    drop
  }
  chain c_fwd {
    type filter hook forward priority 0; policy drop;
    ct state established ct mark WITHIN meta mark WITHIN accept
    ct state vmap { established : goto known, related : goto related, new : goto fresh }
  }
  chain c_input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ct state new jump crowded
    ip daddr RESOLVER update @asked { ip saddr limit rate over LOOKUPS/second burst LOOKUPS packets } drop
    iifname "e*" ip daddr METADATA tcp dport 80 accept
    iifname "e*" ip daddr ENDPOINT tcp dport PORT accept
    iifname "e*" ip daddr RESOLVER meta l4proto { tcp, udp } th dport 53 accept
    ct state established accept
    ct state related jump parties
    ct state related accept
  }
  chain c_dnat {
    type nat hook prerouting priority -100; policy accept;
    iifname "e*" ip daddr @resolver meta l4proto { tcp, udp } th dport 53 dnat ip to RESOLVER
    iifname "up0" dnat ip to ip daddr map @pub_in
  }
  chain c_snat {
    type nat hook postrouting priority 100; policy accept;
    meta mark vmap @translate
    oifname "up0" snat ip to ip saddr map @pub_out
  }
  chain c_post {
    type filter hook postrouting priority 110; policy drop;
    ct state established meta mark WITHIN oifname "e*" goto w_local
    meta mark vmap @exits
    meta mark != 0 drop
    oifname "lo" accept
    oifname "e*" accept
    oifname "up0" ip saddr @pub_own accept
  }
"""
EMPTY_CHAINS = ("inbound", "w_eni", "w_local")
FIXED_ELEMENTS: dict[str, dict[str, str]] = {
    "flow_mark": {f"{mark:#x}": f"{mark:#x}" for mark in (LOCAL_MARK, INTERNET_MARK, EGRESS_ONLY_MARK)}
    # What comes in from outside is answered by the way of the internet gateway, or not at all.
    | {f"{UPLINK_MARK:#x}": f"{INTERNET_MARK:#x}"},
    "onwards": {f"{mark:#x}": "accept" for mark in (LOCAL_MARK, INTERNET_MARK, EGRESS_ONLY_MARK)}
    | {f"{UPLINK_MARK:#x}": "goto inbound"},
    "ways": {
        f"original . {LOCAL_MARK:#x} . {LOCAL_MARK:#x}": "accept",
        f"reply . {LOCAL_MARK:#x} . {LOCAL_MARK:#x}": "accept",
        f"original . {INTERNET_MARK:#x} . {INTERNET_MARK:#x}": "accept",
        f"reply . {UPLINK_MARK:#x} . {INTERNET_MARK:#x}": "accept",
        f"original . {UPLINK_MARK:#x} . {INTERNET_MARK:#x}": "accept",
        f"reply . {INTERNET_MARK:#x} . {INTERNET_MARK:#x}": "accept",
        f"original . {EGRESS_ONLY_MARK:#x} . {EGRESS_ONLY_MARK:#x}": "accept",
        f"reply . {UPLINK_MARK:#x} . {EGRESS_ONLY_MARK:#x}": "accept",
    },
    "exits": {
        f"{LOCAL_MARK:#x}": "goto w_eni",
        f"{UPLINK_MARK:#x}": "goto w_eni",
        f"{INTERNET_MARK:#x}": "goto w_up",
        f"{EGRESS_ONLY_MARK:#x}": "goto w_up",
    },
}
_DECLARATIONS = {
    "m4": "set {} {{ type ipv4_addr; }}",
    "m6": "set {} {{ type ipv6_addr; }}",
    "q4": "set {} {{ type ipv4_addr; size 65536; flags dynamic,timeout; timeout 60s; }}",
    "q6": "set {} {{ type ipv6_addr; size 65536; flags dynamic,timeout; timeout 60s; }}",
    "i4": "set {} {{ type ipv4_addr; flags interval; }}",
    "i6": "set {} {{ type ipv6_addr; flags interval; }}",
    "r4": "map {} {{ type ipv4_addr : mark; flags interval; }}",
    "r6": "map {} {{ type ipv6_addr : mark; flags interval; }}",
}
_PLAIN_ID = re.compile(r"[a-z]{1,8}-[0-9a-z]{1,24}")


def peering_link(peering_id: str) -> str:
    """The link to the other VPC's router, the same name in both. Must not begin with `e`: those are ENIs'."""
    return "p" + hashlib.sha256(peering_id.encode()).hexdigest()[:14]


def object_name(prefix: str, object_id: str) -> str:
    """Readable where the id is of AWS's form; anything else is hashed, so that it cannot carry syntax or collide."""
    safe = object_id if _PLAIN_ID.fullmatch(object_id) else f"x_{hashlib.sha256(object_id.encode()).hexdigest()[:24]}"
    return f"{prefix}_{safe}"


def content_name(prefix: str, content: object) -> str:
    """Of something that is never changed: another content is another name, so one takes the other's place at once."""
    return f"{prefix}_{hashlib.sha256(repr(content).encode()).hexdigest()[:16]}"


def declaration(name: str) -> str:
    """Of a set or map by its name; the prefix is its type."""
    return FIXED_SETS.get(name) or _DECLARATIONS[name[:2]].format(name)


def whole_table(endpoint_port: int) -> str:
    chains = (
        _CHAINS.replace("METADATA", TASK_METADATA_ADDRESS)
        .replace("ENDPOINT", REGION_ENDPOINT_ADDRESS)
        .replace("RESOLVER", RESOLVER_ADDRESS)
        .replace("FLOWS", str(FLOWS_PER_S))
        .replace("LOOKUPS", str(LOOKUPS_PER_S))
        .replace("WITHIN", f"{LOCAL_MARK:#x}")
        .replace("FROMUPLINK", f"{UPLINK_MARK:#x}")
        .replace("NOWHERE4", ", ".join(NOT_ON_THE_INTERNET))
        .replace("NOWHERE6", ", ".join(NOT_ON_THE_INTERNET6))
        .replace("PORT", str(int(endpoint_port)))
    )
    sets = "\n".join(f"  {text}" for text in FIXED_SETS.values())
    # `add` before `delete`: deleting a table that is not there would fail the whole transaction.
    return f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{sets}\n{chains}\n}}"
