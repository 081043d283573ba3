"""What the compilers of a plan add to: sets and chains by name, with the few shapes that several of them need.

The only mutable thing of the package: it lives while one plan is compiled. Invariant: a set named by its content is
never added to afterwards.
"""

from ipaddress import ip_address

from ..model.network import LOCAL
from .routing import EGRESS_ONLY, INTERNET, Ranges, Way
from .table import FIXED_ELEMENTS, FIXED_SETS, content_name, object_name

UPLINK_CHAIN, ENI_CHAIN = "w_up", "w_eni"


class Parts:
    def __init__(self) -> None:
        self.sets: dict[str, dict[str, str]] = {name: dict(FIXED_ELEMENTS.get(name, {})) for name in FIXED_SETS}
        self.chains: dict[str, tuple[str, ...]] = {}

    def named(self, prefix: str, elements: dict[str, str]) -> str | None:
        """The set with exactly this content; None for nothing."""
        if not elements:
            return None
        name = content_name(prefix, elements)
        self.sets[name] = elements
        return name

    def where(self, ranges: Ranges[Way], version: int, way: Way) -> str | None:
        """The set of destinations that take this way."""
        found = (range_text(first, last, version) for first, last, taken in ranges if taken == way)
        return self.named(f"i{version}", dict.fromkeys(found, ""))

    def exit_chain(self, exit_of_way: str) -> str:
        """Which link what leaves this way must leave by."""
        if exit_of_way == LOCAL:
            return ENI_CHAIN
        return UPLINK_CHAIN if exit_of_way in (INTERNET, EGRESS_ONLY) else object_name("w", exit_of_way)


def range_text(first: int, last: int, version: int) -> str:
    # Of bytes: a small number alone would be read as an IPv4 address.
    start, end = (ip_address(number.to_bytes(4 if version == 4 else 16, "big")) for number in (first, last))
    return str(start) if first == last else f"{start}-{end}"
