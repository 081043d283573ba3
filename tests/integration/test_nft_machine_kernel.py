"""The kernel agrees with the interpreter of nftables text: the same table, the same packets, the same outcome."""

import os
import random
import re
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet import libc, netlink
from neargate.hostnet.namespaces import write_sysctl
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.nftables import Nftables
from neargate.testing.nft_machine.frames import Seen, frame, seen
from neargate.testing.nft_machine.machine import Left, Machine
from neargate.testing.nft_machine.packets import ICMP, ICMPV6, TCP, UDP, Packet, packet
from neargate.testing.nft_machine.routing import MAIN, Route, Routing
from neargate.testing.nft_machine.table import Table

pytestmark = pytest.mark.root
# link -> what is behind it; the first address of each is a router's next hop as well
LINKS = {
    "e1": ("10.0.0.1", "10.0.0.11", "2001:db8::1"),
    "e2": ("10.0.0.2", "2001:db8::2"),
    "up0": ("192.0.2.1", "192.0.2.77", "198.18.0.1", "198.18.0.2", "198.18.0.3", "2001:db8:9::1"),
}
ROUTER_MAC, LEAF_MAC = "0e:ee:ee:ee:ee:ee", "0a:00:00:00:00:01"
IDLE_S = 0.05
SEEDS = 24
Packets = dict[int, tuple[str, Packet]]  # by number: the link, and what is sent or comes there
OUTGOING = 4


class Kernel:
    """A router in a namespace without a name, and for each of its links a namespace with nothing but a raw socket."""

    def __init__(self) -> None:
        self._open = ExitStack()
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._open.callback(os.close, home)
        try:
            self._set_up()
        finally:
            libc.setns(home, libc.CLONE_NEWNET)

    def close(self) -> None:
        self._open.close()

    def _set_up(self) -> None:
        leaves = {name: self._namespace() for name in LINKS}
        self._namespace()
        for scope in ("all", "default"):
            write_sysctl(f"ipv4/conf/{scope}/rp_filter", "0")
            write_sysctl(f"ipv4/conf/{scope}/send_redirects", "0")
        write_sysctl("ipv4/ip_forward", "1")
        write_sysctl("ipv6/conf/all/forwarding", "1")
        self.nft = Nftables()
        self._open.callback(self.nft.close)
        router = self._open.enter_context(Netlink())
        self._sockets: dict[str, socket.socket] = {}
        for name, leaf in leaves.items():
            router.run([netlink.veth(name, ROUTER_MAC, peer="eth0", peer_mac=LEAF_MAC, peer_namespace=leaf, mtu=1500)])
            index = router.existing(name).index
            router.run([netlink.no_autoconf(index), netlink.link_up(index, arp=False)])
            for address in LINKS[name]:
                host = f"{address}/{128 if ':' in address else 32}"
                router.run([netlink.neighbour(index, address, LEAF_MAC), netlink.route(host, index)])
        router.run([netlink.blackhole("10.0.0.0/16")])
        for name, leaf in leaves.items():
            libc.setns(leaf, libc.CLONE_NEWNET)
            with Netlink() as links:
                index = links.existing("eth0").index
                links.run([netlink.no_autoconf(index), netlink.link_up(index)])
                self._sockets[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                self._open.callback(self._sockets[name].close)
                self._sockets[name].bind(("eth0", 3))
                links.settle("eth0")
        for name in LINKS:
            router.settle(name)

    def _namespace(self) -> int:
        libc.unshare(libc.CLONE_NEWNET)
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._open.callback(os.close, made)
        return made

    def send(self, packets: Packets) -> Packets:
        """What came out, by number, and where."""
        macs = {"source_mac": _mac(LEAF_MAC), "to_mac": _mac(ROUTER_MAC)}
        found: Packets = {}
        for number, (link, each) in packets.items():
            self._sockets[link].send(frame(each, number, **macs))
        while ready := select.select(list(self._sockets.values()), [], [], IDLE_S)[0]:
            for name, one in self._sockets.items():
                came = self._received(one) if one in ready else None
                # What the router says itself about a packet has that packet's number.
                if came is not None and (came.packet.about is None) == (packets[came.number][1].about is None):
                    found[came.number] = (name, came.packet)
        return found

    def _received(self, one: socket.socket) -> Seen | None:
        data, address = one.recvfrom(4096)
        return seen(data) if address[2] != OUTGOING else None


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def routing() -> Routing:
    routes = [
        Route(destination=f"{address}/{128 if ':' in address else 32}", link=link)
        for link, addresses in LINKS.items()
        for address in addresses
    ]
    return Routing({MAIN: (*routes, Route(destination="10.0.0.0/16"))})


def simulated(machine: Machine, packets: Packets) -> Packets:
    outcomes = {number: machine.receive(each, link) for number, (link, each) in packets.items()}
    return {number: (each.link, each.packet) for number, each in outcomes.items() if isinstance(each, Left)}


def differences(kernel: Kernel, packets: Packets, expected: Packets) -> list[str]:
    found = kernel.send(packets)
    return [
        f"{packets[number]}: {found.get(number)} in the kernel, not {expected.get(number)}"
        for number in packets
        if found.get(number) != expected.get(number)
    ]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_tables_decide_as_in_the_kernel(kernel: Kernel, seed: int) -> None:
    stream = random.Random(seed)
    text = _table(stream)
    table = Table()
    table.run(text)
    kernel.nft.run(text)
    machine = Machine(table, routing())
    asked = {number: _probe(stream, number) for number in range(60)}
    expected = simulated(machine, asked)
    assert differences(kernel, asked, expected) == [], text
    # Answers to what came, to what did not come, and messages about both; then the same packets again.
    answers = {}
    for number, (link, each) in asked.items():
        there, came = expected.get(number, ("e2" if link != "e2" else "e1", each))
        answers[100 + number] = (there, came.answered())
        if each.has_ports and number % 3 == 0:
            answers[200 + number] = (there, _error(came))
    assert differences(kernel, answers, simulated(machine, answers)) == [], text
    again = {300 + number: each for number, each in asked.items()}
    assert differences(kernel, again, simulated(machine, again)) == [], text


def test_the_random_packets_meet_both_ends() -> None:
    """The comparison above would be of nothing if all were dropped, or nothing translated."""
    passed = changed = total = 0
    for seed in range(SEEDS):
        stream = random.Random(seed)
        table = Table()
        table.run(_table(stream))
        asked = {number: _probe(stream, number) for number in range(60)}
        came = simulated(Machine(table, routing()), asked)
        total, passed = total + 60, passed + len(came)
        changed += sum(each != asked[number][1] for number, (_, each) in came.items())
    assert total * 0.3 < passed < total * 0.8
    assert changed > total * 0.05


def _error(about: Packet) -> Packet:
    """From a third party: it cannot reach what the packet was for."""
    if about.version == 6:
        made = packet("2001:db8:9::1", "::", ICMPV6, icmp_type=1)
    else:
        made = packet("192.0.2.77", "0.0.0.0", ICMP, icmp_type=3)
    return replace(made, to=about.source, about=about)


def _probe(stream: random.Random, number: int) -> tuple[str, Packet]:
    link = stream.choice(sorted(LINKS))
    six = stream.random() < 0.25
    own = [each for each in LINKS[link] if (":" in each) == six]
    every = [each for addresses in LINKS.values() for each in addresses if (":" in each) == six]
    source = stream.choice(own if stream.random() < 0.85 else every)
    to = stream.choice([each for each in every if each not in own] + ([] if six else ["198.18.0.1", "10.0.0.99"]))
    protocol = stream.choice([TCP, TCP, UDP, UDP, ICMPV6 if six else ICMP, 50])
    types = (128, 128, 129) if six else (8, 8, 0, 13)
    made = packet(source, to, protocol, stream.choice((22, 53, 80, 443)), 30000 + number, stream.choice(types))
    return link, replace(made, icmp_id=1 + number if made.is_icmp else 1)


def _table(stream: random.Random) -> str:
    """Three plain chains, each jumping to later ones only, and a base chain at each place that routers use."""
    plain = [f"chain r{n} {{\n{_rules(stream, n + 1, base=False)}\n}}" for n in range(3)]
    base = [
        f"chain b{place} {{\ntype filter hook {hook} priority {priority}; policy {policy};\n{_rules(stream, 0)}\n}}"
        for place, (hook, priority, policy) in enumerate(_places(stream))
    ]
    members = stream.sample(['"e1" . 10.0.0.1', '"e1" . 10.0.0.11', '"e2" . 10.0.0.2', '"up0" . 192.0.2.1'], 3)
    return f"""add table inet neargate
delete table inet neargate
table inet neargate {{
  set members {{ type ifname . ipv4_addr; }}
  set nets {{ type ipv4_addr; flags interval; elements = {{ 10.0.0.2-10.0.0.11, 192.0.2.64/26 }} }}
  set pairs {{ type ipv4_addr . ipv4_addr; flags interval; }}
  map ways {{ type ipv4_addr : mark; flags interval; elements = {{ 10.0.0.0/24 : 1, 192.0.2.0/24 : 2 }} }}
  map who {{ typeof iifname . ip saddr : verdict; }}
  map pub_in {{ type ipv4_addr : ipv4_addr; }}
  map pub_out {{ type ipv4_addr : ipv4_addr; }}
  map by_mark {{ type mark : ipv4_addr; elements = {{ 2 : 198.18.0.3 }} }}
  {chr(10).join((*plain, *base))}
  chain n_in {{
    type nat hook prerouting priority -100; policy accept;
    {_translation(stream, 'iifname "up0"', "dnat ip to ip daddr map @pub_in", "dnat ip to 10.0.0.2")}
  }}
  chain n_out {{
    type nat hook postrouting priority 100; policy accept;
    {_translation(stream, 'oifname "up0"', *_SOURCES)}
  }}
}}
add element inet neargate members {{ {", ".join(members)} }}
add element inet neargate pairs {{ 10.0.0.0/28 . 10.0.0.2, 192.0.2.0/24 . 10.0.0.0-10.0.0.5 }}
add element inet neargate who {{ "e1" . 10.0.0.1 : goto r1, "e2" . 10.0.0.2 : jump r2, "up0" . 192.0.2.1 : drop }}
add element inet neargate pub_in {{ 198.18.0.1 : 10.0.0.1, 198.18.0.2 : 10.0.0.2 }}
add element inet neargate pub_out {{ 10.0.0.1 : 198.18.0.1, 10.0.0.2 : 198.18.0.2 }}
add rule inet neargate r2 {_rule(stream, 3, base=False)}
"""


def _places(stream: random.Random) -> list[tuple[Any, ...]]:
    places = [("prerouting", -300), ("prerouting", "mangle"), ("forward", -10), ("forward", 0), ("postrouting", 110)]
    return [(*place, "drop" if stream.random() < 0.03 else "accept") for place in places]


def _translation(stream: random.Random, condition: str, *statements: str) -> str:
    chosen = stream.sample(statements, stream.randrange(1, len(statements) + 1))
    others = (condition, condition, "meta l4proto udp")
    return "\n".join(f"{condition if 'l4proto' in each else stream.choice(others)} {each}" for each in chosen)


_SOURCES = (
    "snat ip to ip saddr map @pub_out",
    "snat ip to meta mark map @by_mark",
    "meta l4proto { tcp, udp } snat ip to 198.18.0.3:1-65535",
)


def _rules(stream: random.Random, first: int, *, base: bool = True) -> str:
    return "\n".join(_rule(stream, first, base=base) for _ in range(stream.randrange(1, 4)))


def _rule(stream: random.Random, first: int, *, base: bool = True) -> str:
    """`first`: the first of the plain chains that may be jumped to."""
    later = range(first, 3)
    verdicts = ["accept", "accept", "drop", "drop", "drop", "meta mark set 1", "ct mark set 2", "return", "counter"]
    verdicts += [f"{way} r{n}" for way in ("jump", "goto") for n in later]
    verdicts += [
        "meta mark set ip daddr map @ways",
        "meta mark set ct mark",
        "limit rate over 9000/second burst 9000 packets drop",
    ]
    if first < 2 and base:
        verdicts.append("iifname . ip saddr vmap @who")
    words: list[str] = [stream.choice(verdicts)]
    for _ in range(stream.choice((1, 2, 2, 3)) if words[0] == "drop" or stream.random() < 0.9 else 0):
        words.insert(0, stream.choice([each for each in _MATCHES if _fit(each, " ".join(words))]))
    return " ".join(words)


def _fit(one: str, other: str) -> bool:
    """nft refuses a rule that no packet can match."""
    for alike in (_FAMILIES, _PROTOCOLS):
        named = [{word for word in alike if re.search(rf"\b{word}\b", text)} for text in (one, other)]
        if all(named) and (named[0] != named[1] or alike is _PROTOCOLS):
            return False
    return True


_FAMILIES = ("ip|icmp|ipv4", "ip6|icmpv6|ipv6")
_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "l4proto")
_MATCHES = (
    'iifname "e*"',
    'iifname { "e1", "up0" }',
    'oifname != "e2"',
    "ip saddr 10.0.0.1",
    "ip daddr != 10.0.0.0/29",
    "ip daddr { 10.0.0.1-10.0.0.3, 198.18.0.0/30 }",
    "ip6 saddr 2001:db8::/64",
    "ip6 daddr != { 2001:db8::1, 2001:db8:9::/48 }",
    "iifname . ip saddr @members",
    "iifname . ip saddr != @members",
    "ip saddr @nets",
    "ip saddr . ip daddr @pairs",
    "ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.0/24 . 22-53 }",
    "tcp dport 80",
    "tcp dport != 22-80",
    "udp dport { 53, 100-500 }",
    "meta l4proto { tcp, udp } th dport 53-80",
    "meta l4proto 50",
    "meta nfproto ipv4",
    "meta nfproto != ipv6",
    "icmp type echo-request",
    "icmp type 13 icmp code 0",
    "icmpv6 type != 128",
    "ct state new",
    "ct state established,related",
    "ct state != { invalid, new }",
    "ct status dnat",
    "ct status snat,dnat",
    "ct direction reply",
    "ct original ip daddr 198.18.0.0/24",
    "ct mark 2",
    "meta mark 1",
    "meta mark != 0x2",
)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
