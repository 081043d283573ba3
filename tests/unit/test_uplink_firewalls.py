"""What other firewalls would do with a packet that the host forwards, decided from nftables' own JSON."""

from typing import Any

import pytest
from msgspec.structs import replace

from neargate.uplink.firewalls import Packet, Stop, chains, gone, let_pass, marked_rules, passage, stops

Json = dict[str, Any]
PACKET = Packet(iifname="ng0a", oifname="eth0", saddr="198.18.7.1", daddr="1.1.1.1", state="new")
ACCEPT, DROP, RETURN = {"accept": None}, {"drop": None}, {"return": None}
COUNTER = {"counter": {"packets": 1, "bytes": 2}}
TABLE = {"table": {"family": "inet", "name": "fw", "handle": 1}}


def base(policy: str = "accept", name: str = "fwd", **change: Any) -> Json:
    chain = {"family": "inet", "table": "fw", "name": name, "type": "filter", "hook": "forward", "policy": policy}
    return {"chain": chain | change}


def plain(name: str) -> Json:
    return {"chain": {"family": "inet", "table": "fw", "name": name}}


def rule(handle: int, *expr: Json, chain: str = "fwd", **more: Any) -> Json:
    return {"rule": {"family": "inet", "table": "fw", "chain": chain, "handle": handle, "expr": list(expr)} | more}


def match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key: str) -> Json:
    return {"meta": {"key": key}}


def ip(field: str) -> Json:
    return {"payload": {"protocol": "ip", "field": field}}


STATE = {"ct": {"key": "state"}}


def stopped(*listing: Json, packet: Packet = PACKET) -> list[int | None]:
    return [stop.before for stop in stops(chains([TABLE, *listing]), packet)]


@pytest.mark.parametrize(
    ("expression", "does_match"),
    [
        (match(meta("iifname"), "ng0a"), True),
        (match(meta("iifname"), "ng*"), True),
        (match(meta("iifname"), "lan0"), False),
        (match(meta("iifname"), "lan0", "!="), True),
        (match(meta("oif"), "eth0"), True),
        (match(meta("oifname"), {"set": ["lan0", "eth0"]}), True),
        (match(meta("oifname"), {"set": ["lan0", "eth0"]}, "!="), False),
        (match(meta("oifname"), "@outer"), False),
        (match(meta("oifname"), "@outer", "!="), False),
        (match(meta("nfproto"), "ipv4"), True),
        (match(meta("nfproto"), "ipv6"), False),
        (match(meta("mark"), 1), False),
        (match(ip("saddr"), {"prefix": {"addr": "198.18.0.0", "len": 16}}), True),
        (match(ip("saddr"), {"prefix": {"addr": "10.0.0.0", "len": 8}}, "!="), True),
        (match(ip("daddr"), {"range": ["1.1.1.0", "1.1.1.9"]}), True),
        (match(ip("daddr"), {"range": ["1.1.2.0", "1.1.2.9"]}), False),
        (match(ip("daddr"), "1.1.1.1"), True),
        (match(ip("daddr"), {"set": ["1.1.1.1", "@more"]}), True),
        (match(ip("daddr"), {"set": ["1.1.1.2", "@more"]}, "!="), False),
        (match(ip("ttl"), 1), False),
        (match(STATE, ["established", "related"], "in"), False),
        (match(STATE, {"set": ["new", "untracked"]}), True),
        (match({"payload": {"protocol": "tcp", "field": "dport"}}, 80), False),
        (match({"ct": {"key": "mark"}}, 1), False),
        ({"xt": {"type": "match", "name": "conntrack"}}, False),
        ({"xt": None}, False),
        ({"xt": {"type": "match", "name": "comment"}}, True),
        ({"limit": {"rate": 1, "per": "second"}}, False),
        (COUNTER, True),
        ({"log": {"prefix": "x"}}, True),
    ],
)
def test_a_match_counts_where_it_is_certain(expression: Json, does_match: bool) -> None:
    assert stopped(base(), rule(7, expression, DROP)) == ([7] if does_match else [])
    assert stopped(base("drop"), rule(7, expression, ACCEPT)) == ([] if does_match else [None])


@pytest.mark.parametrize(
    "verdict",
    [DROP, {"reject": {"type": "icmpx"}}, {"reject": None}, {"xt": {"type": "target", "name": "REJECT"}}],
)
def test_what_stops(verdict: Json) -> None:
    assert stopped(base(), rule(7, COUNTER, verdict)) == [7]
    assert stopped(base(), rule(6, ACCEPT), rule(7, verdict)) == []


def test_other_targets_of_iptables_go_on() -> None:
    assert stopped(base("drop"), rule(7, {"xt": {"type": "target", "name": "LOG"}}), rule(8, ACCEPT)) == []


def test_each_base_chain_of_the_forward_hook_is_asked() -> None:
    one, two = base("drop", "one"), base("drop", "two")
    elsewhere = base("drop", "in", hook="input"), base("drop", "br", family="bridge"), base("drop", "nat", type="nat")
    found = stops(chains([TABLE, one, two, *elsewhere]), PACKET)
    assert [stop.chain for stop in found] == ["one", "two"]
    assert [str(stop) for stop in found[:1]] == ["chain one of table inet fw drops it by its policy"]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ([rule(20, DROP, chain="user")], [7]),
        ([rule(20, ACCEPT, chain="user")], []),
        ([rule(20, RETURN, chain="user"), rule(21, DROP, chain="user")], [9]),
        ([], [9]),
    ],
)
def test_jumps(inside: list[Json], expected: list[int]) -> None:
    listing = [base(), plain("user"), rule(7, {"jump": {"target": "user"}}), rule(9, DROP), *inside]
    assert stopped(*listing) == expected


def test_goto_does_not_come_back() -> None:
    listing = [base(), plain("user"), rule(7, {"goto": {"target": "user"}}), rule(9, DROP)]
    assert stopped(*listing) == []


def test_chains_that_lead_in_circles_are_given_up() -> None:
    listing = [
        base(),
        plain("a"),
        rule(7, {"jump": {"target": "a"}}),
        *(rule(20 + n, {"jump": {"target": "a"}}, chain="a") for n in range(40)),
    ]
    assert stopped(*listing) == []


def test_verdict_maps() -> None:
    data = {"set": [["invalid", DROP], ["established", ACCEPT]]}
    by_state = rule(7, {"vmap": {"key": STATE, "data": data}})
    assert stopped(base("drop"), by_state) == [None]
    assert stopped(base("drop"), by_state, packet=replace(PACKET, state="established")) == []
    assert stopped(base("drop"), rule(7, {"vmap": {"key": STATE, "data": "@named"}}), rule(8, ACCEPT)) == []


def ours(*listing: Json) -> Any:
    return passage([TABLE, *listing], link="ng0a", pool="198.18.7.0/24", outer="eth0", mark="neargate_0a")


def own_rule(handle: int, key: str, chain: str = "fwd") -> Json:
    return rule(handle, match(meta(key), "ng0a"), ACCEPT, chain=chain, comment="neargate_0a")


def test_nothing_is_added_where_nothing_stops() -> None:
    found = ours(base(), rule(7, match(meta("iifname"), "lan0"), DROP))
    assert (found.needed, found.text) == ((), "")


def test_a_policy_is_passed_at_the_end_and_a_rule_before_it() -> None:
    assert ours(base("drop")).text == (
        'add rule inet fw fwd iifname "ng0a" accept comment "neargate_0a"\n'
        'add rule inet fw fwd oifname "ng0a" accept comment "neargate_0a"\n'
    )
    established = rule(6, match(STATE, ["established", "related"], "in"), ACCEPT)
    assert ours(base(), established, rule(7, DROP)).text == (
        'insert rule inet fw fwd position 7 iifname "ng0a" accept comment "neargate_0a"\n'
    )


def test_what_is_there_already_is_left() -> None:
    found = ours(base("drop"), own_rule(8, "iifname"), own_rule(9, "oifname"))
    assert len(found.needed) == 2
    assert found.text == ""


def test_what_somebody_put_before_ours_is_passed_anew() -> None:
    found = ours(base("drop"), rule(7, DROP), own_rule(8, "iifname"), own_rule(9, "oifname"))
    assert found.text == (
        "delete rule inet fw fwd handle 8\ndelete rule inet fw fwd handle 9\n"
        'insert rule inet fw fwd position 7 iifname "ng0a" accept comment "neargate_0a"\n'
        'insert rule inet fw fwd position 7 oifname "ng0a" accept comment "neargate_0a"\n'
    )


def test_what_nothing_needs_any_more_goes() -> None:
    found = ours(base(), own_rule(8, "iifname"))
    assert (found.needed, found.text) == ((), "delete rule inet fw fwd handle 8\n")


def test_our_own_table_is_never_in_our_way() -> None:
    own = {
        "chain": {
            "family": "inet",
            "table": "neargate_0a",
            "name": "c",
            "type": "filter",
            "hook": "forward",
            "policy": "drop",
        }
    }
    assert ours(own).needed == ()


def test_only_marked_rules_are_ours() -> None:
    listing = [base(), rule(7, ACCEPT, comment="neargate_0b"), rule(8, ACCEPT), own_rule(9, "iifname")]
    assert [found.handle for found in marked_rules(listing, "neargate_0a")] == [9]


def test_names_are_quoted_where_nft_would_read_words() -> None:
    stop = Stop(family="ip", table="a b", chain="DOCKER-USER", before=3)
    assert let_pass(stop, "x", "y") == 'insert rule ip "a b" DOCKER-USER position 3 x accept comment "y"\n'
    assert gone(marked_rules([own_rule(9, "iifname", chain="a;b")], "neargate_0a")[0]) == (
        'delete rule inet fw "a;b" handle 9\n'
    )


@pytest.mark.parametrize(
    "expression",
    [
        {"match": {}},
        {"match": {"op": "==", "left": [], "right": {}}},
        match(ip("saddr"), {"prefix": {"addr": "x", "len": 99}}),
        match(ip("saddr"), {"range": []}),
        {"vmap": {}},
        {"vmap": {"key": STATE, "data": {"set": [["new"]]}}},
        {"jump": None},
        {"jump": {"target": []}},
        {"xt": 7},
        {},
    ],
)
def test_words_of_a_later_nftables_decide_nothing(expression: Json) -> None:
    assert stopped(base("drop"), rule(7, expression, DROP), rule(8, ACCEPT)) == []
