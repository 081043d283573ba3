"""nft's data types: how a value of each is written, and when a field of an element covers a value.

A field is an interval of whole numbers, or the name of an interface (`e*`: all that begin so). Knows nothing of rules.
"""

from functools import cache
from ipaddress import ip_address, ip_network

from .packets import NftError

Value = int | str
Field = tuple[int, int] | str

STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
STATUSES = {"expected": 1, "seen-reply": 2, "assured": 4, "confirmed": 8, "snat": 16, "dnat": 32}
_ICMP_TYPES = {"echo-reply": 0, "destination-unreachable": 3, "echo-request": 8, "time-exceeded": 11}
_ICMPV6_TYPES = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "echo-request": 128,
    "echo-reply": 129,
    "nd-router-solicit": 133,
    "nd-router-advert": 134,
    "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136,
}
# type -> (largest value, names of values)
NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "inet_service": (65535, {}),
    "inet_proto": (255, {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58, "ipv6-icmp": 58}),
    "mark": (2**32 - 1, {}),
    "icmp_type": (255, _ICMP_TYPES),
    "icmpv6_type": (255, _ICMPV6_TYPES),
    "icmp_code": (255, {}),
    "icmpv6_code": (255, {}),
    "nf_proto": (255, {"ipv4": 2, "ipv6": 10}),
    "ct_state": (127, STATES),
    "ct_status": (2**16, STATUSES),
    "frag_off": (65535, {}),
    "boolean": (1, {"missing": 0, "exists": 1}),
    "ct_dir": (1, {"original": 0, "reply": 1}),
}
ADDRESSES = {"ipv4_addr": 4, "ipv6_addr": 6}
TYPES = {*NUMBERS, *ADDRESSES, "ifname", "verdict"}
BITS = {"ct_state", "ct_status"}


def field(kind: str, text: str) -> Field:
    if kind == "ifname":
        return text.strip('"')
    if kind in ADDRESSES:
        return _addresses(ADDRESSES[kind], text)
    if kind not in NUMBERS:
        raise NftError(f"{text}: values of {kind} are not known")
    low, dash, high = text.partition("-") if text[:1].isdigit() else (text, "", "")
    first = _number(kind, low)
    last = _number(kind, high) if dash else first
    if last < first:
        raise NftError(f"{text}: a range from high to low")
    return first, last


def single(kind: str, text: str) -> Value:
    """Of what must be one value: what a map gives, what a mark is set to."""
    found = field(kind, text)
    if isinstance(found, str):
        return found
    if found[0] != found[1]:
        raise NftError(f"{text}: one value is wanted")
    return found[0]


def covers(found: Field, value: Value) -> bool:
    if isinstance(found, str):
        assert isinstance(value, str), "an interface's name is compared with names only"
        return value.startswith(found[:-1]) if found.endswith("*") else value == found
    assert isinstance(value, int), "numbers are compared with numbers only"
    return found[0] <= value <= found[1]


def overlap(one: Field, other: Field) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        shorter, longer = sorted((one, other), key=lambda each: len(each.rstrip("*")))
        return covers(shorter, longer.rstrip("*"))
    assert not isinstance(one, str) and not isinstance(other, str), "both are of one type"
    return one[0] <= other[1] and other[0] <= one[1]


def is_exact(found: Field) -> bool:
    return not found.endswith("*") if isinstance(found, str) else found[0] == found[1]


def exact_value(found: Field) -> Value:
    return found if isinstance(found, str) else found[0]


def _number(kind: str, text: str) -> int:
    largest, names = NUMBERS[kind]
    if text in names:
        return names[text]
    try:
        number = int(text, 0)
    except ValueError:
        raise NftError(f"{text}: no {kind}") from None
    if not 0 <= number <= largest:
        raise NftError(f"{text}: out of range for {kind}")
    return number


@cache
def _addresses(version: int, text: str) -> tuple[int, int]:
    try:
        if "-" in text:
            low, high = (ip_address(each) for each in text.split("-"))
        else:
            network = ip_network(text, strict=False)
            low, high = network[0], network[-1]
    except ValueError:
        raise NftError(f"{text}: no address") from None
    if low.version != version or high.version != version or int(high) < int(low):
        raise NftError(f"{text}: no addresses of IPv{version}")
    return int(low), int(high)
