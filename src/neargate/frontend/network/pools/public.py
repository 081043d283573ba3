"""Which elastic addresses of the region's pool are given out, to whom, and which comes next. Pure; its shelf is apart.

An account's shelf says what it has; this one, of no account, says of all accounts together that no address is given
twice. Invariant: an address is on this shelf before it is on an account's and leaves it after. What a crash left here
without an owner is `unowned`: first its account says that it will never have it (`renounce`), then the pool takes it.
"""

from collections.abc import Collection, Sequence

from ....vpc.addresses import AddressRange, address_number, address_text, next_address
from ...regional.shelves import Change, Kept, Shelf
from ..errors.addresses import PoolExhausted
from ..records.objects import ElasticAddress

RENOUNCED_MAX = 256  # of an account, the newest: a call does not live for as long as so many crashes
POOL = "public-pool"  # the shelf's name; accounts are twelve digits


class GivenAddress(Kept, frozen=True, kw_only=True):
    """`name`: the address. Time in epoch seconds."""

    kind = "given-address"
    owner: str
    allocation_id: str
    given_at: float


class Renounced(Kept, frozen=True, kw_only=True):
    """`name`: an allocation that its account did not get recorded, and never will. On the account's shelf."""

    kind = "renounced-allocation"
    number: int


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


def unowned(pool: Shelf, owned: Collection[str]) -> tuple[GivenAddress, ...]:
    """Those whose account has no such allocation, or not yet. `owned`: allocation ids of all accounts."""
    return tuple(one for one in pool.all(GivenAddress) if one.allocation_id not in owned)


def renounce(shelf: Shelf, allocation_id: str) -> Change[bool]:
    """On the account's own shelf, so that it cannot be recorded there afterwards, however late its call comes.

    False: the account has it.
    """
    if shelf.find(ElasticAddress, allocation_id) is not None:
        return Change(result=False)
    known = sorted(shelf.all(Renounced), key=lambda one: one.number)
    if any(one.name == allocation_id for one in known):
        return Change(result=True)
    number = known[-1].number + 1 if known else 1
    made = Renounced(account=shelf.account, name=allocation_id, number=number)
    return Change(result=True, put=(made,), drop=tuple(known[: max(0, len(known) + 1 - RENOUNCED_MAX)]))


def allocations(shelf: Shelf) -> set[str]:
    return {one.name for one in shelf.all(ElasticAddress)}


def _next(ranges: Sequence[AddressRange], used: Collection[int], cursor: int) -> int | None:
    later = [AddressRange(max(one.first, cursor + 1), one.last) for one in ranges]
    for within in (*later, *ranges):
        found = next_address(within, used, within.first - 1) if within.size else None
        if found is not None:
            return found
    return None
