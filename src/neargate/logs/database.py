"""The store as the logs package uses it: its overload is AWS's throttling."""

from collections.abc import Sequence

from ..interfaces.store import Overloaded, Row, Statement, Store, StoreFull, Value
from ..model.errors import ServiceUnavailable, Throttling


class Database:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Raises Refused, Throttling, ServiceUnavailable."""
        try:
            return await self._store.write(statements)
        except StoreFull:
            raise ServiceUnavailable from None
        except Overloaded:
            raise Throttling from None

    async def read(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Raises Throttling."""
        try:
            return await self._store.read(sql, params)
        except Overloaded:
            raise Throttling from None
