"""Which operations are remembered, and when a request is one that was answered before. Pure.

Invariant: an account's operations are bounded; the oldest leave first.
"""

from collections.abc import Iterator
from itertools import islice

from ...model.knobs import DEFAULT_KNOBS
from ..regional.shelves import Shelf
from .errors import DuplicateRequest
from .records import Outcome


def leaving(shelf: Shelf) -> tuple[Outcome, ...]:
    """What goes when one more comes."""
    too_many = shelf.count(Outcome) + 1 - DEFAULT_KNOBS.cloud_map_operations_max
    return tuple(islice(shelf.all(Outcome), max(too_many, 0)))


def earlier(shelf: Shelf, new: Outcome) -> Iterator[Outcome]:
    """Operations of the same type and CreatorRequestId that succeeded."""
    if not new.request:
        return iter(())
    return (
        one
        for one in shelf.all(Outcome)
        if one.request == new.request and one.type == new.type and one.error_code is None
    )


def repeated(new: Outcome, before: Outcome) -> Outcome:
    """The answer of the first time. `before` has the same request id. Raises DuplicateRequest if it was another."""
    if before.digest != new.digest:
        raise DuplicateRequest(before.id)
    return before
