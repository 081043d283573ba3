"""The region's identities: durable tables and the read model that every decision is made from.

Owns all accounts and every change of what is in them. Must not know operations, sessions or signatures. Invariants: one
change of an account at a time, decided on what the database holds and guarded by the account's generation; memory holds
only what is durable; secrets are opened when asked for, and rest sealed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ...iam.document import PolicyKind
from ...iam.policy import Attached, Grants
from ...interfaces.store import Overloaded, Refused, Statement, Store
from ...model.knobs import DEFAULT_KNOBS, Knobs
from ...model.quotas import QuotaValues
from ...world import World
from ..regional.turn import Turn, keep_up
from . import pinning, schema
from .book import AccountBook
from .compiled import CompiledPolicies
from .records import AccessKey, AccountRecord, KeyRecord, LastUsed, Record, Role, RoleRecord, User

MIGRATIONS = schema.MIGRATIONS

T = TypeVar("T")


class Sealer(Protocol):
    """What keeps secrets unreadable in the database (`frontend/envelope.py`)."""

    def seal(self, plaintext: bytes, *, context: bytes) -> bytes: ...

    def open(self, sealed: bytes, *, context: bytes) -> bytes: ...


class Change(Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision wants kept and gone, and what its caller hears. `alias` is set when the account's changes."""

    result: T
    put: tuple[Record, ...] = ()
    drop: tuple[Record, ...] = ()
    alias: tuple[str | None] | None = None


Decide = Callable[[AccountBook], Change[T]]


async def open_identity(
    world: World, store: Store, sealer: Sealer, knobs: Knobs = DEFAULT_KNOBS, quotas: QuotaValues | None = None
) -> "IdentityRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = IdentityRegistry(world, store, sealer, knobs, quotas)
    await registry.load()
    return registry


class IdentityRegistry:
    """Reads are from memory and never wait; what a change returned is durable."""

    def __init__(
        self, world: World, store: Store, sealer: Sealer, knobs: Knobs, quotas: QuotaValues | None = None
    ) -> None:
        self._knobs = knobs
        self._quotas = quotas
        self._world = world
        self._store = store
        self._sealer = sealer
        self._policies = CompiledPolicies()
        self._books: dict[str, AccountBook] = {}
        self._key_accounts: dict[str, str] = {}
        self._opened: dict[str, KeyRecord] = {}
        self._last_used: dict[str, LastUsed] = {}
        self._unwritten: dict[str, LastUsed] = {}
        self._turn = Turn(world, "identity")

    async def load(self) -> None:
        """Fill the read model from the database; once, before anything is served."""
        for account in await schema.read_accounts(self._store):
            self._books[account.number] = AccountBook(account, self._policies, self._quotas)
        for record in await schema.read_entities(self._store):
            self._books[record.account].apply((record,), ())
            self._index_key(record)
        self._last_used = await schema.read_last_used(self._store)

    # -- reads

    def accounts(self) -> list[AccountRecord]:
        return [book.account for _, book in sorted(self._books.items())]

    def account(self, number: str) -> AccountRecord | None:
        book = self._books.get(number)
        return None if book is None else book.account

    def book(self, account: str) -> AccountBook:
        """Of an account that is known here. Raises KeyError."""
        return self._books[account]

    def key(self, access_key_id: str) -> KeyRecord | None:
        found = self._opened.get(access_key_id)
        if found is not None:
            return found
        account = self._key_accounts.get(access_key_id)
        if account is None:
            return None
        book = self._books[account]
        record = book.find(AccessKey, access_key_id)
        if record is None:
            return None
        user = None if record.user is None else book.by_uid(record.user)
        if record.user is not None and not isinstance(user, User):
            return None  # the key of nobody proves nobody
        opened = KeyRecord(
            access_key_id=access_key_id,
            secret=self._sealer.open(record.sealed, context=_context(account, access_key_id)).decode(),
            account=account,
            user=None if user is None else user.name,
            active=record.is_active,
        )
        if len(self._opened) >= self._knobs.opened_secrets_max:
            self._opened.pop(next(iter(self._opened)))
        self._opened[access_key_id] = opened
        return opened

    def user(self, account: str, name: str) -> User | None:
        book = self._books.get(account)
        return None if book is None else book.find(User, name)

    def principal(self, uid: str) -> User | Role | None:
        """Who has this unique id, in any account."""
        for book in self._books.values():
            found = book.by_uid(uid)
            if isinstance(found, User | Role):
                return found
        return None

    def pinned(self, document: str) -> str:
        """A resource or trust policy whose principals of this region are named by unique id. Raises MalformedPolicy."""
        return pinning.pin(document, self._books.get, self.principal)

    def shown(self, document: str) -> str:
        """A pinned document with the principals' ARNs of now."""
        return pinning.shown(document, self.principal)

    def user_grants(self, account: str, name: str) -> Grants:
        """Of a user that does not exist: none, which allow nothing."""
        user = self.user(account, name)
        return Grants() if user is None else self._books[account].grants(user)

    def role(self, account: str, name: str) -> RoleRecord | None:
        book = self._books.get(account)
        role = None if book is None else book.find(Role, name)
        if role is None:
            return None
        return RoleRecord(
            account=account,
            name=role.name,
            path=role.path,
            arn=role.arn,
            unique_id=role.uid,
            trust=self._policies.policy(role.trust, PolicyKind.TRUST),
            max_session_s=role.max_session_s,
            tags=role.tags,
            boundary=role.boundary,
            is_service_linked=role.is_service_linked,
        )

    def role_grants(self, account: str, name: str, session: tuple[Attached, ...] | None = None) -> Grants:
        """`session`: the session's own policies, as it was made with them. No such role: nothing is allowed."""
        book = self._books.get(account)
        role = None if book is None else book.find(Role, name)
        if book is None or role is None:
            return Grants(session=())
        grants = book.grants(role)
        return grants if session is None else replace(grants, session=session)

    def last_used(self, uid: str) -> LastUsed | None:
        """Of an access key (by its id) or a role (by its unique id)."""
        return self._unwritten.get(uid) or self._last_used.get(uid)

    # -- use, told with each call and written rarely

    def note_use(self, uid: str, *, service: str, region: str) -> None:
        """An access key or a role was just used. Lost with the process when that ends before the next flush.

        Told with every call, also of keys and users of which nobody keeps that.
        """
        if uid not in self._key_accounts and not isinstance(self.principal(uid), Role):
            return
        self._unwritten[uid] = LastUsed(at=int(self._world.now()), service=service, region=region)

    async def flush_uses(self) -> None:
        uses, self._unwritten = self._unwritten, {}
        self._last_used |= uses
        try:
            if uses:
                await self._store.write(schema.put_last_used(sorted(uses.items())))
        except Overloaded:
            self._unwritten = uses | self._unwritten  # with the next flush

    async def run(self) -> None:
        """Writes down the uses noted, for as long as the process lives."""
        while True:
            await self._world.sleep(self._knobs.last_used_flush_s)
            await self.flush_uses()

    # -- changes

    async def ensure_account(self, number: str, name: str) -> AccountRecord:
        """The account with this number; made when it is not there. As on AWS, nobody has a role yet."""
        async with self._turn:
            if number not in self._books:
                account = AccountRecord(
                    number=number, name=name, alias=None, created=int(self._world.now()), generation=1
                )
                try:
                    await self._store.write([schema.insert_account(account)])
                except Refused:
                    pass  # another process made it; what it made is read below
                await self._reload(number)
            return self._books[number].account

    async def change(self, account: str, decide: Decide[T]) -> T:
        """`decide` is pure and may be asked more than once. What it raises, the caller gets."""
        return await self._turn.change(lambda: self._attempt(account, decide), read_again=lambda: self._reload(account))

    def seal_secret(self, account: str, access_key_id: str, secret: str) -> bytes:
        return self._sealer.seal(secret.encode(), context=_context(account, access_key_id))

    async def _attempt(self, number: str, decide: Decide[T]) -> T:
        book = self._books[number]
        change = decide(book)
        if not change.put and not change.drop and change.alias is None:
            return change.result
        account = book.account
        alias = account.alias if change.alias is None else change.alias[0]
        await self._store.write(_statements(book, alias, change))
        book.apply(change.put, change.drop, replace(account, alias=alias, generation=account.generation + 1))
        self._forget(change.drop)
        for record in change.put:
            self._index_key(record)
        self._opened.clear()
        return change.result

    # -- changes by other processes

    async def follow(self, period_s: float) -> None:
        """With several servers. Never returns."""
        await keep_up(self._world, period_s, self.catch_up, "identities")

    async def catch_up(self) -> None:
        """Read again the accounts whose generation is another than here. Of thousands this reads one row each."""
        for account in await schema.read_accounts(self._store):
            known = self._books.get(account.number)
            if known is None or known.account.generation != account.generation:
                async with self._turn:
                    await self._reload(account.number)

    async def _reload(self, number: str) -> None:
        for account in await schema.read_accounts(self._store, number):
            book = AccountBook(account, self._policies, self._quotas)
            book.apply(await schema.read_entities(self._store, number), ())
            self._books[number] = book
            for key in book.all(AccessKey):
                self._index_key(key)
        self._opened.clear()

    def _forget(self, gone: Sequence[Record]) -> None:
        for record in gone:
            if isinstance(record, AccessKey):
                self._key_accounts.pop(record.name, None)
            self._last_used.pop(record.uid, None)
            self._unwritten.pop(record.uid, None)

    def _index_key(self, record: Record) -> None:
        """A key that another process deleted stays listed here; its account's book then says that it is gone."""
        if isinstance(record, AccessKey):
            self._key_accounts[record.name] = record.account


def _context(account: str, access_key_id: str) -> bytes:
    """Binds a sealed secret to its place: copied to another row, it does not open."""
    return f"iam-access-key/{account}/{access_key_id}".encode()


def _statements(book: AccountBook, alias: str | None, change: Change[Any]) -> list[Statement]:
    dropped = [statement for record in change.drop for statement in schema.drop(record)]
    put = [schema.insert(record) if book.by_uid(record.uid) is None else schema.update(record) for record in change.put]
    return [schema.next_generation(book.account, alias=alias), *dropped, *put]
