"""Which elastic addresses of the region's pool are given out, to whom, and which comes next. Pure; its shelf is apart.

An account's shelf says what it has; this one, of no account, says of all accounts together that no address is given
twice. Invariant: an address is on this shelf before it is on an account's and leaves it after. What a crash left here
without an owner is `unowned` after a while.
"""

from collections.abc import Collection, Sequence

from ...vpc.addresses import AddressRange, address_number, address_text, next_address
from ..regional.shelves import Change, Kept, Shelf
from .address_errors import PoolExhausted
from .objects import ElasticAddress

POOL = "public-pool"  # the shelf's name; accounts are twelve digits


class GivenAddress(Kept, frozen=True, kw_only=True):
    """`name`: the address. Time in epoch seconds."""

    kind = "given-address"
    owner: str
    allocation_id: str
    given_at: float


class PoolCursor(Kept, frozen=True, kw_only=True):
    """Where the search goes on, so that an address that was given back is not given again at once."""

    kind = "pool-cursor"
    last: int


def give(
    pool: Shelf, ranges: Sequence[AddressRange], taken: Collection[str], owner: str, allocation_id: str, now: float
) -> Change[str]:
    """`taken`: addresses that interfaces have. Raises PoolExhausted."""
    cursor = next(iter(pool.all(PoolCursor)), None)
    used = {address_number(one) for one in taken} | {address_number(one.name) for one in pool.all(GivenAddress)}
    found = _next(ranges, used, cursor.last if cursor is not None else 0)
    if found is None:
        raise PoolExhausted
    address = address_text(found)
    return Change(
        result=address,
        put=(
            GivenAddress(account=POOL, name=address, owner=owner, allocation_id=allocation_id, given_at=now),
            PoolCursor(account=POOL, name="cursor", last=found),
        ),
    )


def take_back(pool: Shelf, address: str, allocation_id: str) -> Change[None]:
    """Repeatable: an address that was given to another since then stays with him."""
    given = pool.find(GivenAddress, address)
    if given is None or given.allocation_id != allocation_id:
        return Change(result=None)
    return Change(result=None, drop=(given,))


def unowned(pool: Shelf, owned: Collection[str], before: float) -> tuple[GivenAddress, ...]:
    """Those given before then whose account has no such allocation. `owned`: allocation ids of all accounts."""
    return tuple(one for one in pool.all(GivenAddress) if one.given_at < before and one.allocation_id not in owned)


def allocations(shelf: Shelf) -> set[str]:
    return {one.name for one in shelf.all(ElasticAddress)}


def _next(ranges: Sequence[AddressRange], used: Collection[int], cursor: int) -> int | None:
    later = [AddressRange(max(one.first, cursor + 1), one.last) for one in ranges]
    for within in (*later, *ranges):
        found = next_address(within, used, within.first - 1) if within.size else None
        if found is not None:
            return found
    return None
