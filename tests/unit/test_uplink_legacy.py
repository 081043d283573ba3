"""The rules of the older iptables: read as those of nftables are, passed by the commands that it understands."""

import pytest

from neargate.uplink.legacy_rules import needed, removal

MARK, LINK = "neargate_0a", "ng0a"
OWN = f"-m comment --comment {MARK} -j ACCEPT"


def commands(*lines: str) -> list[str]:
    text = "\n".join(lines) + "\n"
    _, found = needed(text, link=LINK, pool="198.18.7.0/24", outer="eth0", mark=MARK)
    return [" ".join(words) for words in found]


def test_nothing_is_done_where_nothing_stops() -> None:
    assert commands("-P FORWARD ACCEPT") == []
    assert commands("-P INPUT DROP", "-P FORWARD ACCEPT", "-A INPUT -j DROP") == []
    assert commands() == []


def test_a_policy_is_passed_at_the_end() -> None:
    assert commands("-P FORWARD DROP", "-N USER", "-A FORWARD -j USER") == [
        f"-A FORWARD -i {LINK} {OWN}",
        f"-A FORWARD -o {LINK} {OWN}",
    ]


def test_answers_that_pass_by_their_state_need_no_rule() -> None:
    found = commands("-P FORWARD DROP", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    assert found == [f"-A FORWARD -i {LINK} {OWN}"]


@pytest.mark.parametrize(
    "drop", ["-j DROP", "-j REJECT --reject-with icmp-port-unreachable", "-i ng+ -j DROP", "-g BAD"]
)
def test_a_rule_is_passed_before_it(drop: str) -> None:
    found = commands(
        "-P FORWARD ACCEPT", "-N BAD", "-A FORWARD -i lan0 -j ACCEPT", f"-A FORWARD {drop}", "-A BAD -j DROP"
    )
    assert found[0] == f"-I FORWARD 2 -i {LINK} {OWN}"


@pytest.mark.parametrize(
    "rule",
    [
        "-i lan0 -j DROP",
        "! -i ng+ -o wlan0 -j DROP",
        "-d 10.0.0.0/8 -j DROP",
        "-p tcp -m tcp --dport 25 -j DROP",
        "-m set --match-set bad dst -j DROP",
        "-m conntrack --ctstate INVALID -j DROP",
        '-m comment --comment "a b" -m limit --limit 1/sec -j DROP',
        "-j LOG --log-prefix DROP",
        "-j RETURN",
    ],
)
def test_what_is_forbidden_in_special_stays_so(rule: str) -> None:
    assert commands("-P FORWARD ACCEPT", f"-A FORWARD {rule}") == []


def test_what_is_there_is_left_and_what_is_not_needed_goes() -> None:
    ours = (f"-A FORWARD -i {LINK} {OWN}", f"-A FORWARD -o {LINK} {OWN}")
    assert commands("-P FORWARD DROP", *ours) == []
    gone = [f"-D FORWARD -i {LINK} {OWN}", f"-D FORWARD -o {LINK} {OWN}"]
    assert commands("-P FORWARD ACCEPT", *ours) == gone


def test_places_are_counted_without_ours() -> None:
    found = commands(
        "-P FORWARD ACCEPT", "-A FORWARD -i lan0 -j ACCEPT", f"-A FORWARD -i {LINK}x {OWN}", "-A FORWARD -j DROP"
    )
    assert found == [
        f"-D FORWARD -i {LINK}x {OWN}",
        f"-I FORWARD 2 -i {LINK} {OWN}",
        f"-I FORWARD 2 -o {LINK} {OWN}",
    ]


def test_only_marked_rules_are_removed() -> None:
    text = f"-A FORWARD -j DROP\n-A FORWARD -i x -m comment --comment neargate_0b -j ACCEPT\n-A FORWARD -i y {OWN}\n"
    assert removal(text, MARK) == [f"-D FORWARD -i y {OWN}".split()]
