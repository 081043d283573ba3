"""Which addresses of a range are taken: of a subnet, and of all that a zone's tasks may be given as public ones.

Pure bookkeeping of the ledger. Invariants: what a claim has is taken in whichever book it is of, also one that gives
nothing any more; while the operator has pools, nothing comes from the region's own block.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network

from msgspec import Struct, field

from ..vpc.addresses import AddressRange, next_address, parts_without


class Addresses(Struct, kw_only=True):
    """What is taken of one range, and where the search goes on."""

    within: AddressRange
    taken: set[int] = field(default_factory=set)
    cursor: int = 0
    kept: tuple[str, ...] = ()  # networks of which only those are given that are asked for
    _parts: tuple[AddressRange, ...] = ()  # what they leave

    def keep(self, networks: tuple[str, ...]) -> None:
        if networks != self.kept:
            self.kept, self._parts = networks, parts_without(self.within, networks)

    def has(self, address: int) -> bool:
        return self.within.has(address)

    def take_next(self) -> int | None:
        if len(self.taken) >= self.within.size:
            return None
        found = self._next_beside_kept() if self.kept else next_address(self.within, self.taken, self.cursor)
        if found is not None:
            self.taken.add(found)
            self.cursor = found
        return found

    def _next_beside_kept(self) -> int | None:
        """After the cursor first, then from the beginning."""
        after = (AddressRange(max(part.first, self.cursor + 1), part.last) for part in self._parts)
        for part in (*after, *self._parts):
            found = next_address(part, self.taken, part.first - 1)
            if found is not None:
                return found
        return None

    def taken_beside(self, networks: Iterable[str]) -> int:
        """How many are taken that are in none of these networks, which are apart from one another."""
        kept = [IPv4Network(one) for one in networks]
        if not kept:
            return len(self.taken)
        ranges = [(int(one.network_address), int(one.broadcast_address)) for one in kept]
        taken = sorted(self.taken)  # a subnet may have fifty networks and as many addresses as a /16 has
        within = sum(bisect_right(taken, last) - bisect_left(taken, first) for first, last in ranges)
        return len(taken) - within


class PublicAddresses:
    """`built_in`: the region's own block.

    An address of no book is counted nowhere: of a pool that is gone, or one of those that were tasks' before there
    were elastic ones.
    """

    def __init__(self, built_in: AddressRange) -> None:
        self._built_in = Addresses(within=built_in)
        self._pools: list[Addresses] = []
        self._last = 0

    @property
    def taken(self) -> set[int]:
        return set().union(*(book.taken for book in self._books))

    def take_next(self) -> int | None:
        for book in self._pools or [self._built_in]:
            found = book.take_next()
            if found is not None:
                return found
        return None

    def add(self, address: int) -> None:
        for book in self._books:
            if book.has(address):
                book.taken.add(address)

    def discard(self, address: int) -> None:
        for book in self._books:
            book.taken.discard(address)

    def replace(self, taken: Iterable[int]) -> None:
        """Exactly these are taken."""
        for book in self._books:
            book.taken.clear()
        for address in taken:
            self.add(address)

    def set_cursor(self, last: int) -> None:
        """The address that was given last, before a restart: pools are heard of later."""
        self._last = last
        self._built_in.cursor = last if self._built_in.has(last) else 0

    def become(self, pools: Sequence[AddressRange], taken: Iterable[int]) -> None:
        """The operator's pools, in the order in which they give, and all that claims have. Without any: the own
        block."""
        known = {(book.within.first, book.within.last): book for book in self._pools}
        self._pools = [
            known.get((one.first, one.last)) or Addresses(within=one, cursor=self._last if one.has(self._last) else 0)
            for one in pools
            if one.size
        ]
        self.replace(taken)

    @property
    def _books(self) -> list[Addresses]:
        return [self._built_in, *self._pools]
