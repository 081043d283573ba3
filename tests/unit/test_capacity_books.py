"""A subnet's book with networks that are kept for who names an address: what is given, and how many are counted."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from neargate.capacity.books import Addresses
from neargate.vpc.addresses import AddressRange, parts_without, subnet_range

SUBNET = IPv4Network("10.0.0.0/26")
WITHIN = subnet_range(str(SUBNET))
BLOCKS = [str(one) for prefix in (28, 29, 30, 32) for one in SUBNET.subnets(new_prefix=prefix)]


@st.composite
def kept_networks(draw: st.DrawFn) -> tuple[str, ...]:
    """Apart from one another, as reservations of a subnet are."""
    chosen: list[IPv4Network] = []
    for text in draw(st.lists(st.sampled_from(BLOCKS), max_size=6)):
        one = IPv4Network(text)
        if not any(one.overlaps(other) for other in chosen):
            chosen.append(one)
    return tuple(map(str, chosen))


def inside(number: int, networks: tuple[str, ...]) -> bool:
    return any(IPv4Address(number) in IPv4Network(one) for one in networks)


@given(kept_networks())
def test_what_is_left_of_a_range_is_all_beside_the_networks(kept: tuple[str, ...]) -> None:
    parts = parts_without(WITHIN, kept)
    left = [number for part in parts for number in range(part.first, part.last + 1)]
    assert left == [one for one in range(WITHIN.first, WITHIN.last + 1) if not inside(one, kept)]


@given(kept_networks(), st.sets(st.integers(WITHIN.first, WITHIN.last)), st.integers(WITHIN.first - 3, WITHIN.last + 3))
def test_all_that_is_beside_them_is_given_once_and_nothing_else(
    kept: tuple[str, ...], taken: set[int], cursor: int
) -> None:
    book = Addresses(within=WITHIN, taken=set(taken), cursor=cursor)
    book.keep(kept)
    free = {one for one in range(WITHIN.first, WITHIN.last + 1) if one not in taken and not inside(one, kept)}
    first, *rest = [book.take_next() for _ in range(len(free) + 1)]
    later = [one for one in sorted(free) if one > cursor]
    if kept and free:
        assert first == (later or sorted(free))[0]
    assert {first, *rest} - {None} == free and (rest[-1] if rest else first) is None
    assert book.taken_beside(kept) == sum(not inside(one, kept) for one in book.taken)


def test_networks_that_are_kept_no_longer_are_given_again() -> None:
    book = Addresses(within=AddressRange(WITHIN.first, WITHIN.last))
    book.keep((str(SUBNET),))
    assert book.take_next() is None
    book.keep(())
    assert book.take_next() == WITHIN.first
