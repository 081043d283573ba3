"""The small judgements that everything said by a server has to pass: ids, texts, numbers, addresses. Pure.

Invariant: a refusal's sentence names the field and never the whole value, since it is logged.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ...definitions.reading import NAME

# Letters, digits, hyphens: no dot, so that no id is a hidden file, a suffix of ours or a step upwards.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f]*")

INTEGER_MAX = 2**63 - 1  # of the agent's database
LIST_MAX = 4096
WORD_MAX = 128 * 1024  # the kernel's bound on one argument


class Refused(Exception):
    """The sentence says which field, never the whole value: it is logged."""


def need(condition: bool, sentence: str) -> None:
    if not condition:
        raise Refused(sentence)


def check_id(name: str, text: str) -> None:
    need(ID.fullmatch(text) is not None, f"{name} is no id: {text[:80]!r}")


def check_plain(name: str, text: str, most: int) -> None:
    need(len(text) <= most and _PLAIN.fullmatch(text) is not None, f"{name} is too long or has control characters")


def check_between(name: str, value: int, low: int, high: int) -> None:
    need(low <= value <= high, f"{name} is not between {low} and {high}")


def check_count(name: str, values: Sequence[object], most: int) -> None:
    need(len(values) <= most, f"more than {most} {name}")


def check_names(name: str, values: Sequence[str], most: int) -> None:
    check_count(name, values, most)
    need(all(NAME.match(value) for value in values), f"{name} has a name with other than letters, digits, - and _")
    need(len(set(values)) == len(values), f"{name} has a name twice")


def check_words(name: str, words: Sequence[str]) -> None:
    """Arguments and variables: whatever a process may be given."""
    check_count(name, words, LIST_MAX)
    need(all("\0" not in word and len(word) <= WORD_MAX for word in words), f"{name} has a word too long or with NUL")


def read_address(name: str, text: str) -> IPv4Address | IPv6Address:
    need("%" not in text, f"{name} is an address of one link")  # what follows the sign would pass as it is
    try:
        return ip_address(text)
    except ValueError:
        raise Refused(f"{name} is no address") from None


def read_ipv4(name: str, text: str) -> IPv4Address:
    address = read_address(name, text)
    if not isinstance(address, IPv4Address) or is_special(address):
        raise Refused(f"{name} is no IPv4 address for a task")
    return address


def read_network(name: str, text: str) -> IPv4Network | IPv6Network:
    need("%" not in text, f"{name} is a network of one link")
    try:
        return ip_network(text)
    except ValueError:
        raise Refused(f"{name} is no network") from None


def is_special(address: IPv4Address | IPv6Address) -> bool:
    """Loopback, link-local (metadata, the region's endpoint, our hops), multicast: never a task's own."""
    return address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
