"""The kernel agrees: a table changed step by step is the table loaded whole."""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.hostnet import libc
from neargate.hostnet.nftables import Nftables, NftablesError
from neargate.model.network import SecurityGroup
from neargate.testing.netlab import eni, plan, rule
from neargate.vpc.ruleset import RouterRules, local_eni, render, transaction

pytestmark = pytest.mark.root
GROUPS = [f"sg-0{letter}" for letter in "abcd"]
PEERS = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32", *GROUPS, "sg-0gone"]


@pytest.fixture
def nft() -> Iterator[Nftables]:
    """A context in a namespace without a name, which ends with it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    libc.unshare(libc.CLONE_NEWNET)
    try:
        context = Nftables()
    finally:
        libc.setns(home, libc.CLONE_NEWNET)
        os.close(home)
    yield context
    context.close()


@pytest.mark.parametrize("seed", range(8))
def test_steps_and_the_whole_give_the_same_table(nft: Nftables, seed: int) -> None:
    stream = random.Random(seed)
    current: RouterRules | None = None
    attached: dict[int, Any] = {}
    vpc = plan(0)
    for step in range(25):
        choice = stream.random()
        if choice < 0.3:
            vpc = plan(step, *(_group(stream, name) for name in stream.sample(GROUPS, 3)))
        elif choice < 0.5 and attached:
            attached.pop(stream.choice(sorted(attached)))
        else:
            number = stream.randrange(1, 60)
            groups = stream.sample(GROUPS, stream.randrange(0, 3))
            public = f"198.18.9.{number}" if stream.random() < 0.4 else None
            attached[number] = local_eni(f"e{number}", eni(number, *groups, public=public, ipv6=stream.random() < 0.5))
        wanted = render(vpc, attached.values(), endpoint_port=4566, previous=current)
        nft.run(transaction(current, wanted))
        current = wanted
    assert current is not None
    by_steps = _table(nft)
    nft.run(transaction(None, render(vpc, attached.values(), endpoint_port=4566)))
    assert by_steps == _table(nft)


def test_a_refused_transaction_changes_nothing_and_says_why(nft: Nftables) -> None:
    nft.run(transaction(None, render(plan(1), [], endpoint_port=4566)))
    before = _table(nft)
    with pytest.raises(NftablesError, match="No such file"):
        nft.run("add element inet neargate pub_own { 10.0.0.1 }\nflush chain inet neargate nowhere\n")
    assert _table(nft) == before


def _group(stream: random.Random, name: str) -> SecurityGroup:
    def rules() -> Any:
        return tuple(_rule(stream) for _ in range(stream.randrange(0, 6)))

    return SecurityGroup(group_id=name, ingress=rules(), egress=rules(), remote_members=("10.9.9.9", "2001:db8:9::9"))


def _rule(stream: random.Random) -> Any:
    protocol = stream.choice(["-1", "tcp", "udp", "icmp", "icmpv6", "50"])
    first = stream.randrange(0, 200) if protocol in ("tcp", "udp", "icmp") and stream.random() < 0.7 else None
    last = None if first is None else first + (stream.randrange(0, 50) if protocol != "icmp" else 0)
    return rule(protocol, first, last, peer=stream.choice(PEERS))


def _table(nft: Nftables) -> list[str]:
    """The table's lines without their order: chains and elements are listed in the order in which they came."""
    text = nft.run("list table inet neargate").replace("elements = {", "").replace("}", "")
    items = [item.strip() for line in text.splitlines() for item in line.split(",")]
    return sorted(item for item in items if item and not item.startswith("{"))


def test_the_listing_compared_above_shows_elements(nft: Nftables) -> None:
    member = local_eni("e7", eni(7, "sg-0a"))
    nft.run(transaction(None, render(plan(1), [member], endpoint_port=4566)))
    assert any("172.31.1.7" in line for line in _table(nft))
