"""The interpreter of nftables text: what it answers by hand-made rule sets, and what it refuses to read."""

from collections.abc import Iterator

import pytest

from neargate.testing.nft_machine.machine import Ended, Left, Machine, Reached
from neargate.testing.nft_machine.packets import ICMP, TCP, UDP, NftError, Packet, packet
from neargate.testing.nft_machine.routing import MAIN, Route, RouteRule, Routing
from neargate.testing.nft_machine.table import Table

BASE = "type filter hook forward priority 0; policy drop;"
LINKS = (Route(destination="10.0.0.1/32", link="e1"), Route(destination="10.0.0.2/32", link="e2"))
ROUTES = Routing({MAIN: (*LINKS, Route(destination="0.0.0.0/0", link="up0"), Route(destination="10.0.0.0/16"))})
ASK = packet("10.0.0.1", "10.0.0.2", TCP, 80)


def machine(block: str, *commands: str, routing: Routing = ROUTES) -> Machine:
    table = Table()
    table.run(f"add table inet t\ndelete table inet t\ntable inet t {{\n{block}\n}}\n" + "\n".join(commands))
    return Machine(table, routing)


def forwards(block: str, *commands: str, asked: Packet = ASK) -> bool:
    return isinstance(machine(block, *commands).receive(asked, "e1"), Left)


def rule(text: str, sets: str = "") -> str:
    return f"{sets}\nchain f {{ {BASE} {text} }}\n"


@pytest.mark.parametrize(
    ("text", "port", "passes"),
    [
        ("accept", 80, True),
        ("", 80, False),
        ("drop; accept", 80, False),
        ("return; accept", 80, False),
        ("tcp dport 80 accept", 80, True),
        ("tcp dport 80 accept", 81, False),
        ("tcp dport != 80 accept", 81, True),
        ("udp dport != 80 accept", 81, False),  # what a packet does not have differs from nothing
        ("tcp dport 80-82 accept", 82, True),
        ("tcp dport { 22, 80-82 } accept", 81, True),
        ("tcp dport { 22, 80-82 } accept", 83, False),
        ('iifname "e*" oifname "e2" accept', 80, True),
        ('iifname { "up0", "e2" } accept', 80, False),
        ("ip saddr 10.0.0.0/30 ip daddr 10.0.0.2 accept", 80, True),
        ("ip saddr . ip daddr { 10.0.0.0/30 . 10.0.0.2-10.0.0.9 } accept", 80, True),
        ("ip6 saddr ::/0 accept", 80, False),
        ("ip6 saddr != 2001:db8::/32 accept", 80, False),
        ("meta nfproto ipv4 meta l4proto { tcp, udp } th dport 80 accept", 80, True),
        ("meta l4proto 6 counter accept", 80, True),
        ("ct state new accept", 80, True),
        ("ct state established,related accept", 80, False),
        ("ct state vmap { new : accept, invalid : drop }", 80, True),
        ("tcp dport vmap { 1-79 : drop, 80 : accept }", 80, True),
        ("meta mark set 7 meta mark 0x7 accept", 80, True),
        ("meta mark set ip saddr map { 10.0.0.9 : 7 } accept", 80, False),
        ("ct mark set 3 meta mark set ct mark meta mark 3 accept", 80, True),
        ("limit rate 10/second accept", 80, True),
        ("limit rate over 10/second burst 5 packets accept; drop", 80, False),
        ('log prefix "x { y" group 7 snaplen 64 accept', 80, True),
        ("ip saddr 10.0.0.1 continue; accept", 80, True),
    ],
)
def test_a_rule_decides(text: str, port: int, *, passes: bool) -> None:
    assert forwards(rule(text), asked=packet("10.0.0.1", "10.0.0.2", TCP, port)) is passes


def test_jump_comes_back_goto_does_not_and_return_is_of_its_own_chain() -> None:
    side = "chain s { tcp dport 22 return; tcp dport 23 accept; }\n"
    ports = {port: packet("10.0.0.1", "10.0.0.2", TCP, port) for port in (22, 23, 24)}
    jumps = {port: forwards(side + rule("jump s; accept"), asked=each) for port, each in ports.items()}
    goes = {port: forwards(side + rule("goto s; accept"), asked=each) for port, each in ports.items()}
    assert (jumps, goes) == ({22: True, 23: True, 24: True}, {22: False, 23: True, 24: False})
    # A goto inside a chain that was jumped to: its end is that chain's end.
    inner = side + "chain m { goto s; drop; }\n"
    assert forwards(inner + rule("jump m; accept"), asked=ports[24])


def test_an_accept_ends_its_base_chain_only_and_a_drop_ends_all() -> None:
    second = "chain g { type filter hook forward priority filter + 10; policy accept; tcp dport 80 drop; }"
    assert not forwards(rule("accept") + second)
    assert forwards(rule("accept") + second, asked=packet("10.0.0.1", "10.0.0.2", TCP, 81))


def test_chains_run_in_order_of_priority() -> None:
    early = "chain g { type filter hook forward priority -10; meta mark set 5; }"
    assert forwards(rule("meta mark 5 accept") + early)


def test_elements_come_and_go_by_commands() -> None:
    block = rule("iifname . ip saddr @s accept", "set s { type ifname . ipv4_addr; }")
    add, gone = (f'{verb} element inet t s {{ "e1" . 10.0.0.1, "e1" . 10.0.0.7 }}' for verb in ("add", "delete"))
    assert [forwards(block), forwards(block, add), forwards(block, add, gone)] == [False, True, False]


def test_the_longest_prefix_does_not_count_in_an_interval_map_since_none_overlap() -> None:
    ranged = "map m { type ipv4_addr : mark; flags interval; elements = { 10.0.0.0/30 : 1, 10.0.1.0/24 : 2 } }\n"
    assert forwards(rule("meta mark set ip daddr map @m meta mark 1 accept", ranged))
    with pytest.raises(NftError, match="overlaps"):
        machine(ranged, "add element inet t m { 10.0.0.0/16 : 3 }")


def test_a_connection_is_known_by_its_answer_and_not_before() -> None:
    block = rule("ct state vmap { established : accept, invalid : drop }\niifname e1 ct state new tcp dport 80 accept")
    router = machine(block)
    assert router.receive(ASK.answered(), "e2") == Ended(where="f")  # nobody asked: a SYN-ACK is invalid
    assert isinstance(router.receive(ASK, "e1"), Left)
    assert isinstance(router.receive(ASK.answered(), "e2"), Left)
    closed = packet("10.0.0.1", "10.0.0.2", TCP, 81)
    assert isinstance(router.receive(closed, "e1"), Ended)
    assert isinstance(router.receive(closed.answered(), "e2"), Ended)
    router.conntrack.flush()
    assert isinstance(router.receive(ASK.answered(), "e2"), Ended)


def test_a_dropped_packet_leaves_no_connection() -> None:
    post = "chain p { type filter hook postrouting priority 110; policy drop; }\n"
    router = machine(post + rule("ct state established accept; ct state new udp dport 53 accept"))
    asked = packet("10.0.0.1", "10.0.0.2", UDP, 53)
    assert router.receive(asked, "e1") == Ended(where="p: policy")
    assert router.receive(asked.answered(), "e2") == Ended(where="f: policy")


def test_an_error_is_related_to_the_connection_it_is_about() -> None:
    router = machine(rule("ct state established,related accept; ct state new iifname e1 accept"))
    asked = packet("10.0.0.1", "10.0.0.2", UDP, 53)
    error = packet("10.0.0.2", "10.0.0.1", ICMP, icmp_type=3)
    about = Packet(**{name: getattr(error, name) for name in error.__struct_fields__} | {"about": asked})
    assert router.receive(about, "e2") == Ended(where="f: policy")
    router.receive(asked, "e1")
    assert router.receive(about, "e2") == Left(packet=about, link="e1")


NAT = """
  map in { type ipv4_addr : ipv4_addr; elements = { 198.18.0.1 : 10.0.0.1 } }
  map out { type ipv4_addr : ipv4_addr; elements = { 10.0.0.1 : 198.18.0.1 } }
  chain c_dnat { type nat hook prerouting priority -100; iifname "up0" dnat ip to ip daddr map @in; }
  chain c_snat { type nat hook postrouting priority 100; oifname "up0" jump c_own; }
  chain c_own { snat ip to ip saddr map @out; }
"""


def test_addresses_are_translated_both_ways() -> None:
    router = machine(NAT)
    out = router.receive(packet("10.0.0.1", "192.0.2.1", TCP, 80), "e1")
    assert out == Left(packet=packet("198.18.0.1", "192.0.2.1", TCP, 80), link="up0")
    back = router.receive(out.packet.answered(), "up0")
    assert back == Left(packet=packet("10.0.0.1", "192.0.2.1", TCP, 80).answered(), link="e1")
    inwards = packet("192.0.2.1", "198.18.0.1", TCP, 22)
    came = router.receive(inwards, "up0")
    assert came == Left(packet=packet("192.0.2.1", "10.0.0.1", TCP, 22), link="e1")
    assert router.receive(came.packet.answered(), "e1") == Left(packet=inwards.answered(), link="up0")


def test_an_error_about_a_translated_packet_is_translated_with_the_packet_inside() -> None:
    router = machine(NAT)
    asked = packet("10.0.0.1", "192.0.2.1", UDP, 80)
    out = router.receive(asked, "e1")
    assert isinstance(out, Left)
    error = {
        name: getattr(packet("203.0.113.9", "198.18.0.1", ICMP, icmp_type=11), name) for name in ASK.__struct_fields__
    }
    got = router.receive(Packet(**error | {"about": out.packet}), "up0")
    assert isinstance(got, Left) and got.link == "e1"
    assert (got.packet.to, got.packet.about) == (asked.source, asked)


def test_the_state_of_translation_is_seen() -> None:
    chain = f'chain f {{ {BASE} iifname "up0" ct status dnat accept; ct original ip daddr 198.18.0.9 accept; }}'
    router = machine(NAT + chain)
    assert isinstance(router.receive(packet("192.0.2.1", "198.18.0.1", TCP, 22), "up0"), Left)
    assert isinstance(router.receive(packet("192.0.2.1", "10.0.0.1", TCP, 22), "up0"), Ended)


def test_two_behind_one_address_have_ports_of_their_own() -> None:
    shared = 'chain c { type nat hook postrouting priority srcnat; oifname "up0" snat ip to 198.18.0.9; }'
    router = machine(shared)
    one, two = (router.receive(packet(f"10.0.0.{n}", "192.0.2.1", TCP, 80), f"e{n}") for n in (1, 2))
    assert isinstance(one, Left) and isinstance(two, Left)
    assert one.packet.source_port == 40000 != two.packet.source_port >= 1024
    for n, sent in ((1, one), (2, two)):
        back = router.receive(sent.packet.answered(), "up0")
        assert isinstance(back, Left) and (back.link, back.packet.port) == (f"e{n}", 40000)


def test_translation_keeps_a_port_that_is_within_bounds() -> None:
    shared = "chain c { type nat hook postrouting priority srcnat; meta l4proto udp snat ip to 198.18.0.9:1024-2047; }"
    ports = []
    for port in (1030, 80, 3000):
        left = machine(shared).receive(packet("10.0.0.1", "192.0.2.1", UDP, 53, port), "e1")
        assert isinstance(left, Left)
        ports.append(left.packet.source_port)
    assert ports[0] == 1030 and all(1024 <= port <= 2047 for port in ports)


def test_a_mark_chooses_the_table() -> None:
    marks = "chain m { type filter hook prerouting priority mangle; iifname e1 meta mark set 5; }"
    rules = (
        RouteRule(priority=100, table=MAIN, suppress_prefixlength=0),
        RouteRule(priority=200, table=5, mark=5),
        RouteRule(priority=300, table=6),
    )
    tables = {
        MAIN: (*LINKS, Route(destination="0.0.0.0/0", link="never")),
        5: (Route(destination="0.0.0.0/0", link="up0"),),
    }
    router = machine(marks, routing=Routing(tables, rules=rules, own=("10.0.0.250",)))
    outside = packet("10.0.0.1", "192.0.2.1", TCP, 80)
    assert router.receive(outside, "e1") == Left(packet=outside, link="up0")
    assert router.receive(outside, "e2") == Ended(where="route")
    assert router.receive(ASK, "e2") == Left(packet=ASK, link="e2")
    own = packet("10.0.0.1", "10.0.0.250", UDP, 53)
    assert router.receive(own, "e1") == Reached(packet=own)
    assert router.send(own.answered()) == Left(packet=own.answered(), link="e1")


def test_what_is_sent_to_the_router_by_another_name_is_answered_by_that_name() -> None:
    block = "chain c { type nat hook prerouting priority -100; ip daddr 10.0.0.9 udp dport 53 dnat ip to 10.0.0.250; }"
    router = machine(block, routing=Routing({MAIN: LINKS}, own=("10.0.0.250",)))
    asked = packet("10.0.0.1", "10.0.0.9", UDP, 53)
    reached = router.receive(asked, "e1")
    assert isinstance(reached, Reached) and reached.packet.to != asked.to
    assert router.send(reached.packet.answered()) == Left(packet=asked.answered(), link="e1")


def refused() -> Iterator[str]:
    yield from (rule(text) for text in ("queue num 1", "tcp dport 80 accept please", "reject", "tcp flags syn accept"))
    yield from (
        rule(text) for text in ("tcp dport 70000 accept", "ip saddr 10.0.0.300 accept", "tcp dport 80,81 accept")
    )
    yield from (
        rule(text) for text in ("jump nowhere", "ip saddr @none accept", "dnat ip to 10.0.0.1", "ct state up accept")
    )
    yield rule("ip saddr @s accept", "set s { type ipv6_addr; }")
    yield rule("ip saddr @s accept", "set s { type ipv4_addr; elements = { 10.0.0.0/24 } }")
    yield rule("ip saddr @s accept", "set s { type ipv4_addr; unheard of; }")
    yield rule("ip saddr { 10.0.0.0/8, 10.1.0.0/16 } accept")
    yield "chain c { type nat hook prerouting priority -100; snat ip to 10.0.0.1; }"
    yield "chain c { type nat hook forward priority 0; }"
    yield "chain dnat { }"
    yield "chain c { type nat hook postrouting priority 100; udp dport 1 snat ip to 10.0.0.1:9-7; }"
    yield "chain c { type nat hook postrouting priority 100; snat ip to 10.0.0.1:7-9; }"
    yield "chain s { snat ip to 10.0.0.1; }\n" + rule("jump s")
    yield "chain s { jump s; }\n" + rule("jump s")
    yield "chain s { drop; }\n" + rule(
        "ip saddr vmap @m", "map m { type ipv4_addr : verdict; elements = { 10.0.0.1 : jump f } }"
    )
    yield "flowtable f { hook ingress priority 0; }"


@pytest.mark.parametrize("block", list(refused()))
def test_what_is_not_understood_or_refused_by_the_kernel_is_an_error(block: str) -> None:
    with pytest.raises(NftError):
        machine(block)


@pytest.mark.parametrize(
    "command",
    [
        "delete element inet t s { 10.0.0.1 }",
        "add element inet t m { 10.0.0.1 : jump nowhere }",
        "add element inet t m { 10.0.0.9 : drop }",
        "delete chain inet t side",
        "delete set inet t s",
        "add rule inet other f accept",
        "add rule inet t nowhere accept",
        "rename chain inet t f g",
        "add rule ip t f accept",
    ],
)
def test_a_refused_command_changes_nothing_of_its_transaction(command: str) -> None:
    sets = "set s { type ipv4_addr; }\nmap m { type ipv4_addr : verdict; elements = { 10.0.0.9 : goto side } }"
    router = machine("chain side { drop; }\n" + rule("ip saddr @s accept", sets))
    with pytest.raises(NftError):
        router.table.run(
            f"flush chain inet t f\nadd rule inet t f accept\nadd rule inet t f ip daddr @s accept\n{command}"
        )
    assert [each.text for each in router.table.chains["f"].rules] == ["ip saddr @s accept"]
    router.table.run("flush chain inet t f\nadd rule inet t f accept\ndelete set inet t s")
    assert isinstance(router.receive(ASK, "e1"), Left)


def test_what_is_asked_of_a_packet_without_ports_is_not_guessed() -> None:
    router = machine(rule("th dport 53 accept"))
    with pytest.raises(NftError, match="th"):
        router.receive(packet("10.0.0.1", "10.0.0.2", ICMP), "e1")
