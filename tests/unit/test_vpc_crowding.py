"""Whoever has most of a table that fills begins no more; those with few are never among them."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from neargate.vpc.crowding import crowding, held_by, is_filling
from neargate.vpc.flows import Flow


def _flow(source: str, receiver: str) -> Flow:
    ends = (ip_address(source), ip_address(receiver))
    return Flow(source=ends[0], destination=ends[1], receiver=ends[1], seen_source=ends[0], mark=1)


def test_a_flow_is_its_senders_or_else_its_receivers() -> None:
    flows = [
        _flow("10.0.0.5", "10.0.0.6"),
        _flow("192.0.2.1", "10.0.0.6"),
        _flow("192.0.2.1", "192.0.2.2"),
        _flow("2001:db8::5", "10.0.0.6"),
    ]
    held = held_by(flows, ["10.0.0.5", "10.0.0.6", "10.0.0.7", "2001:db8::5"])
    assert held == {"10.0.0.5": 1, "10.0.0.6": 1, "10.0.0.7": 0, "2001:db8::5": 1}


def test_one_that_floods_is_alone_in_it() -> None:
    assert crowding({"a": 900, "b": 40, "c": 60, "d": 0}, 1000) == {"a"}
    assert crowding({"a": 450, "b": 440, "c": 110}, 1000) == {"a", "b"}
    assert crowding({"a": 260, "b": 250, "c": 240, "d": 250}, 1000) == {"a", "b", "c", "d"}, "all have their share"
    assert crowding({"a": 1000}, 1000) == {"a"}
    assert crowding({}, 1000) == frozenset() and crowding({"a": 0}, 0) == frozenset()


def test_half_a_table_is_for_everybody() -> None:
    assert [is_filling(count, 1000) for count in (0, 499, 500, 1000)] == [False, False, True, True]
    assert not is_filling(5, 0), "a kernel without a bound"


@given(st.lists(st.integers(0, 500), min_size=1, max_size=12), st.integers(0, 200))
def test_what_the_others_have_and_their_shares_are_half_of_it(counts: list[int], strangers: int) -> None:
    held = {str(number): count for number, count in enumerate(counts)}
    sampled = sum(counts) + strangers
    found = crowding(held, sampled)
    others = [count for interface, count in held.items() if interface not in found]
    assert sum(others) <= sampled // 2, "who may go on has left at least half free"
    assert all(count > other for interface in found for count in [held[interface]] for other in others)
    if not strangers and sampled > 1:
        assert found, "somebody has more than a share of half"
    for interface in found:
        assert held[interface] * (len(counts)) > (sampled // 2) - len(counts), "nobody with little"
