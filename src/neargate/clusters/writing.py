"""One way of writing to the cell's store: what the store cannot take becomes an answer that callers retry."""

from collections.abc import Sequence

from ..interfaces.store import Overloaded, Row, Statement, Store
from ..model.errors import ServiceUnavailable


async def write(store: Store, statements: Sequence[Statement]) -> list[list[Row]]:
    """Raises Refused as the store does; a full queue (or disk) is ServiceUnavailable, and nothing was written."""
    try:
        return await store.write(statements)
    except Overloaded:
        raise ServiceUnavailable from None
