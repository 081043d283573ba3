"""The interfaces whose traffic is logged, found by address and time: an address goes from one task to the next.

Knows nothing of flows. Invariant: an interface is found for the time from its own beginning to the next owner's.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct


class Interface(Struct, frozen=True, kw_only=True):
    """`addresses`: private ones, packed; `public`: packed, b"" without. `facts`: fields of a line that are the same in
    all of its lines. Times: epoch seconds, `until` None while it is there."""

    eni_id: str
    subnet_id: str
    vpc_id: str
    addresses: tuple[bytes, ...]
    public: bytes = b""
    router: bytes = b""  # the subnet's reserved address
    since: float = 0.0
    until: float | None = None
    facts: Mapping[str, str] = {}

    def was_there(self, begin: float, end: float) -> bool:
        return self.since < end and (self.until is None or self.until > begin)


class Interfaces:
    def __init__(self, interfaces: Iterable[Interface] = ()) -> None:
        self.all = tuple(sorted(interfaces, key=lambda interface: interface.since))
        self._by_address: dict[bytes, list[Interface]] = {}
        self._by_public: dict[bytes, list[Interface]] = {}
        for interface in self.all:
            for address in interface.addresses:
                self._by_address.setdefault(address, []).append(interface)
            if interface.public:
                self._by_public.setdefault(interface.public, []).append(interface)

    def find(self, address: bytes, at: float) -> Interface | None:
        """By a private address."""
        return _owner(self._by_address.get(address, ()), at)

    def find_public(self, address: bytes, at: float) -> Interface | None:
        return _owner(self._by_public.get(address, ()), at)


def _owner(owners: Iterable[Interface], at: float) -> Interface | None:
    """The last who had come by then, else the first: clocks of two machines may differ by a little."""
    found = None
    for owner in owners:
        if found is None or owner.since <= at:
            found = owner
    return found
