"""Addresses: EC2's reserved ones are never given, a free one is always found, one is not used again at once."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.vpc.addresses import (
    AddressRange,
    address_number,
    address_text,
    elastic_ranges,
    mac_address,
    next_address,
    pool_range,
    pool_share,
    private_dns_name,
    public_dns_name,
    subnet_range,
)


def test_ec2_keeps_five_addresses_of_a_subnet() -> None:
    within = subnet_range("172.31.16.0/20")
    assert address_text(within.first) == "172.31.16.4" and address_text(within.last) == "172.31.31.254"
    assert within.size == 4096 - 5
    assert subnet_range("10.0.0.0/28").size == 11


@pytest.mark.parametrize(
    ("cidr", "tasks", "elastic"),
    [
        ("198.18.0.0/24", ("198.18.0.1", "198.18.0.191"), [("198.18.0.192", "198.18.0.254")]),
        ("198.18.0.0/28", ("198.18.0.1", "198.18.0.11"), [("198.18.0.12", "198.18.0.14")]),
        ("198.18.0.0/29", ("198.18.0.1", "198.18.0.5"), [("198.18.0.6", "198.18.0.6")]),
        ("198.18.0.0/30", ("198.18.0.1", "198.18.0.2"), []),
        ("198.18.0.6/31", ("198.18.0.6", "198.18.0.7"), []),
        ("198.18.0.7/32", ("198.18.0.7", "198.18.0.7"), []),
    ],
)
def test_the_last_quarter_of_the_pool_is_elastic(
    cidr: str, tasks: tuple[str, str], elastic: list[tuple[str, str]]
) -> None:
    assert _ends(pool_range(cidr)) == tasks
    assert [_ends(one) for one in elastic_ranges(cidr)] == elastic


def test_each_share_of_the_pool_has_elastic_addresses_of_its_own() -> None:
    assert [_ends(one) for one in elastic_ranges("198.18.0.0/24", 3)] == [
        ("198.18.0.48", "198.18.0.62"),
        ("198.18.0.112", "198.18.0.126"),
        ("198.18.0.176", "198.18.0.190"),
    ]
    assert elastic_ranges("198.18.0.0/28", 3) == ()


def _ends(within: AddressRange) -> tuple[str, str]:
    return address_text(within.first), address_text(within.last)


def test_shards_get_parts_of_the_pool_that_do_not_overlap() -> None:
    assert [pool_share("198.18.0.0/24", index, 3) for index in range(3)] == [
        "198.18.0.0/26",
        "198.18.0.64/26",
        "198.18.0.128/26",
    ]
    assert pool_share("198.18.0.0/24", 0, 1) == "198.18.0.0/24"
    with pytest.raises(ValueError, match="too small for 3 zones"):
        pool_share("198.18.0.0/32", 0, 3)


@given(st.integers(1, 40), st.sets(st.integers(1, 40)), st.integers(-5, 50))
def test_a_free_address_is_found_when_there_is_one(size: int, taken: set[int], cursor: int) -> None:
    within = AddressRange(1, size)
    found = next_address(within, taken, cursor)
    free = sorted(set(range(1, size + 1)) - taken)
    later = [address for address in free if cursor < address and 1 <= cursor < size]
    assert found == (later[0] if later else free[0] if free else None)


@given(st.integers(0, 2**32 - 1))
def test_text_and_number_are_the_same_address(number: int) -> None:
    assert address_number(address_text(number)) == number


def test_a_mac_is_local_and_no_group_address() -> None:
    mac = mac_address(random.Random(7).getrandbits)
    octets = [int(part, 16) for part in mac.split(":")]
    assert len(octets) == 6 and octets[0] == 0x0A
    assert octets[0] & 1 == 0 and octets[0] & 2 == 2


def test_names_are_as_ec2_forms_them() -> None:
    assert private_dns_name("172.31.0.5", "us-east-1") == "ip-172-31-0-5.ec2.internal"
    assert private_dns_name("172.31.0.5", "eu-central-1") == "ip-172-31-0-5.eu-central-1.compute.internal"
    assert public_dns_name("198.18.0.5", "us-east-1") == "ec2-198-18-0-5.compute-1.amazonaws.com"
    assert public_dns_name("198.18.0.5", "eu-west-1") == "ec2-198-18-0-5.eu-west-1.compute.amazonaws.com"


def test_the_search_goes_round_once() -> None:
    assert next_address(AddressRange(1, 9), {1, 7, 8, 9}, 6) == 2
    assert next_address(AddressRange(1, 9), set(range(1, 10)), 6) is None
    assert next_address(AddressRange(1, 9), set(), 9) == 1
