"""What the operator has set: quotas and rates of buckets, for one account or for all; and what accounts asked for.

Durable in the region's shard, read from memory. Must not know who counts. Invariants: what was told to the operator is
durable; an account's own value goes before the one of all accounts, and that before the mode's.
"""

from collections.abc import Sequence

from msgspec import Struct

from ...interfaces.store import Refused, Row, Statement, Store
from ...model.errors import IllegalArgument, ServiceUnavailable
from ...model.ids import uuid4
from ...model.quotas import BY_KEY as QUOTAS
from ...model.quotas import Quota, QuotaMode
from ...world import World
from ..regional.turn import keep_up
from .api_buckets import BY_KEY as BUCKETS
from .api_buckets import Bucket
from .token_bucket import Rate

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE quota_value (
        account TEXT NOT NULL,
        quota TEXT NOT NULL,
        value REAL NOT NULL,
        per_s REAL,
        PRIMARY KEY (account, quota)
    );
    CREATE TABLE quota_request (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        quota TEXT NOT NULL,
        desired REAL NOT NULL,
        status TEXT NOT NULL,
        requester TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL
    );
    CREATE UNIQUE INDEX quota_request_open ON quota_request (account, quota) WHERE status = 'PENDING';
    """,
)

ALL_ACCOUNTS = ""
PENDING, APPROVED, NOT_APPROVED = "PENDING", "APPROVED", "NOT_APPROVED"
VALUE_MAX = 1e10
CLOSED_REQUESTS_MAX = 100  # kept of one account

_REQUESTS = (
    "SELECT id, account, quota, desired, status, requester, created_at, updated_at FROM quota_request "
    "WHERE (? = '' OR account = ?) AND (? = '' OR status = ?) ORDER BY n DESC LIMIT 1000"
)


class IncreaseRequest(Struct, frozen=True, kw_only=True):
    id: str
    account: str
    quota: str  # key
    desired: float
    status: str
    requester: str
    created_at: float
    updated_at: float


class QuotaUnknown(Exception):
    """No quota and no bucket has this key."""


class OpenAlready(Exception):
    """The account has asked for this quota and was not answered yet."""


class QuotaRegistry:
    """Implements model.quotas.QuotaValues."""

    def __init__(self, world: World, store: Store, mode: QuotaMode) -> None:
        self.mode = mode
        self._world = world
        self._store = store
        self._values: dict[tuple[str, str], tuple[float, float | None]] = {}
        self._changes = 0

    async def load(self) -> None:
        changes = self._changes
        rows = await self._store.read("SELECT account, quota, value, per_s FROM quota_value")
        if changes == self._changes:  # else these rows may be older than what was set here meanwhile
            self._values = {(account, quota): (value, per_s) for account, quota, value, per_s in rows}

    async def follow(self, period_s: float) -> None:
        """With several servers: what the operator has set at another one. Never returns."""
        await keep_up(self._world, period_s, self.load, "quotas")

    # -- reads, from memory

    def value(self, account: str, quota: Quota) -> float | None:
        found = self._of(account, quota.key)
        if found is not None:
            return found[0]
        return None if quota.of_machine and self.mode is QuotaMode.MACHINE else quota.value

    def rate(self, account: str, bucket: Bucket) -> Rate | None:
        """None: calls of this bucket are not counted."""
        found = self._of(account, bucket.key)
        if found is not None:
            burst, per_s = found
            return None if per_s is None else Rate(burst, per_s)
        return bucket.rate if self.mode is QuotaMode.AWS else None

    def is_set(self, account: str, key: str) -> bool:
        return self._of(account, key) is not None

    def all_set(self) -> list[tuple[str, str, float, float | None]]:
        """(account or ALL_ACCOUNTS, key, value or burst, refill of a bucket), in order."""
        return [(account, key, *self._values[account, key]) for account, key in sorted(self._values)]

    def _of(self, account: str, key: str) -> tuple[float, float | None] | None:
        if not self._values:
            return None
        return self._values.get((account, key)) or self._values.get((ALL_ACCOUNTS, key))

    # -- changes by the operator

    async def set_value(self, account: str, key: str, value: float) -> None:
        """Of a quota. Answers the accounts' open requests for it. Raises QuotaUnknown, IllegalArgument."""
        if key not in QUOTAS:
            raise QuotaUnknown(key)
        _check(value)
        await self._put(account, key, value, None)
        await self._answer(account, key, value)

    async def set_rate(self, account: str, key: str, rate: Rate | None) -> None:
        """Of a bucket; None lifts it. Raises QuotaUnknown, IllegalArgument."""
        if key not in BUCKETS:
            raise QuotaUnknown(key)
        if rate is None:
            await self._put(account, key, 0.0, None)
            return
        _check(rate.burst)
        _check(rate.per_s)
        if rate.burst < 1:
            raise IllegalArgument("A burst below 1 would refuse every call.")
        if rate.per_s == 0:
            raise IllegalArgument("A rate of 0 would refuse every call once the burst is spent.")
        await self._put(account, key, rate.burst, rate.per_s)

    async def reset(self, account: str, key: str) -> None:
        """Back to what all accounts have, or to the mode's value. Raises QuotaUnknown."""
        if key not in QUOTAS and key not in BUCKETS:
            raise QuotaUnknown(key)
        await self._store.write([Statement("DELETE FROM quota_value WHERE account = ? AND quota = ?", (account, key))])
        self._values.pop((account, key), None)
        self._changes += 1

    async def _put(self, account: str, key: str, value: float, per_s: float | None) -> None:
        upsert = (
            "INSERT INTO quota_value (account, quota, value, per_s) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (account, quota) DO UPDATE SET value = excluded.value, per_s = excluded.per_s"
        )
        await self._store.write([Statement(upsert, (account, key, value, per_s))])
        self._values[account, key] = (value, per_s)
        self._changes += 1

    async def _answer(self, account: str, key: str, value: float) -> None:
        """Who asked for no more than this has it now; for one account a lower value is the answer to its request."""
        now = self._world.now()
        where = "quota = ? AND status = 'PENDING' AND (? = '' OR account = ?)"
        change = "UPDATE quota_request SET status = ?, updated_at = ? WHERE desired "
        statements = [Statement(f"{change} <= ? AND {where}", (APPROVED, now, value, key, account, account))]
        if account != ALL_ACCOUNTS:
            statements.append(Statement(f"{change} > ? AND {where}", (NOT_APPROVED, now, value, key, account, account)))
        await self._store.write(statements)

    # -- requests of accounts

    async def ask(self, account: str, quota: Quota, desired: float, requester: str) -> IncreaseRequest:
        """Raises OpenAlready. Recorded for the operator, who answers by `set_value`."""
        now = self._world.now()
        request = IncreaseRequest(
            id=uuid4(self._world.random.getrandbits).replace("-", ""),
            account=account,
            quota=quota.key,
            desired=desired,
            status=PENDING,
            requester=requester,
            created_at=now,
            updated_at=now,
        )
        insert = (
            "INSERT INTO quota_request (id, account, quota, desired, status, requester, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        row = (request.id, account, quota.key, desired, PENDING, requester, now, now)
        trim = (
            "DELETE FROM quota_request WHERE account = ? AND status <> 'PENDING' AND n NOT IN (SELECT n FROM "
            "quota_request WHERE account = ? AND status <> 'PENDING' ORDER BY n DESC LIMIT ?)"
        )
        try:
            await self._store.write(
                [Statement(insert, row), Statement(trim, (account, account, CLOSED_REQUESTS_MAX))],
            )
        except Refused:
            if any(item.quota == quota.key and item.status == PENDING for item in await self.requests(account)):
                raise OpenAlready from None
            raise ServiceUnavailable from None
        return request

    async def requests(self, account: str = ALL_ACCOUNTS, status: str = "") -> Sequence[IncreaseRequest]:
        """The newest first; of any status when none is given."""
        rows = await self._store.read(_REQUESTS, (account, account, status, status))
        return [_request(row) for row in rows]


def _request(row: Row) -> IncreaseRequest:
    names = IncreaseRequest.__struct_fields__
    return IncreaseRequest(**dict(zip(names, row, strict=True)))


def _check(value: float) -> None:
    if not 0 <= value <= VALUE_MAX:  # also refuses NaN
        raise IllegalArgument(f"A quota is a number from 0 to {VALUE_MAX:.0f}.")


async def open_quotas(world: World, store: Store, mode: QuotaMode) -> QuotaRegistry:
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = QuotaRegistry(world, store, mode)
    await registry.load()
    return registry
