"""The region's task definitions: a durable table and the read model that every operation is served from.

Owns families, revisions and their statuses. Must not know clusters or tasks: a cell copies the definition it runs.
Invariant: revisions of a family are gapless and never reused; what a caller was told is durable; the read model holds
only what is durable, so losing the process loses nothing.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ...definitions.normalise import stored_definition
from ...definitions.rules import check_size
from ...definitions.tags import Tags
from ...interfaces.store import Refused, Statement, Store
from ...model.arn import Arn
from ...model.errors import ClientError, ServiceUnavailable
from ...model.quotas import REVISIONS_PER_FAMILY, DefaultQuotas, QuotaValues
from ...world import World

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE task_definition_family (
        account TEXT NOT NULL,
        family TEXT NOT NULL,
        latest INTEGER NOT NULL,
        PRIMARY KEY (account, family)
    );
    CREATE TABLE task_definition (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        family TEXT NOT NULL,
        revision INTEGER NOT NULL,
        status TEXT NOT NULL,
        rev INTEGER NOT NULL,
        doc BLOB NOT NULL,
        tags BLOB NOT NULL,
        UNIQUE (account, family, revision)
    );
    """,
)

# One process serialises a family by its lock; a refusal can only come from another process over the same database.
REGISTER_ATTEMPTS = 5
DECODED_MAX = 512

ACTIVE, INACTIVE, DELETE_IN_PROGRESS = "ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"


class Revision(Struct, frozen=True, kw_only=True):
    """One revision as stored. `document` is wire JSON; `rev` guards the next change."""

    account: str
    family: str
    number: int
    status: str
    rev: int
    document: bytes
    tags: Tags


class _Family(Struct, kw_only=True):
    """A family in the read model. `active` is sorted."""

    latest: int = 0
    revisions: dict[int, Revision] = field(default_factory=dict)
    active: list[int] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class TaskDefinitionRegistry:
    """Reads are answered from memory at once; writes are durable when they return."""

    def __init__(self, world: World, store: Store, quotas: QuotaValues) -> None:
        self._world = world
        self._store = store
        self._quotas = quotas
        self._families: dict[tuple[str, str], _Family] = {}
        self._names: dict[str, list[str]] = {}  # account -> family names, sorted
        self._decoded: dict[tuple[str, str, int], dict[str, Any]] = {}

    async def load(self) -> None:
        """Fill the read model from the database; once, before anything is served."""
        families = await self._store.read("SELECT account, family, latest FROM task_definition_family")
        for account, family, latest in families:
            self._family(account, family).latest = latest
            insort(self._names.setdefault(account, []), family)
        rows = await self._store.read(
            "SELECT account, family, revision, status, rev, doc, tags FROM task_definition ORDER BY id"
        )
        for account, family, number, status, rev, document, tags in rows:
            self._remember(
                Revision(
                    account=account,
                    family=family,
                    number=number,
                    status=status,
                    rev=rev,
                    document=bytes(document),
                    tags=_decode_tags(tags),
                )
            )

    def find(self, account: str, family: str, number: int | None) -> Revision | None:
        """A revision, or the latest ACTIVE one when no number is given."""
        entry = self._families.get((account, family))
        if entry is None:
            return None
        if number is None:
            if not entry.active:
                return None
            number = entry.active[-1]
        return entry.revisions.get(number)

    def is_retired(self, arn: str) -> bool:
        """Whether the revision is known and can be run no more."""
        parsed = Arn.parse(arn)
        if parsed is None:
            return False
        family, _, number = parsed.resource.removeprefix("task-definition/").rpartition(":")
        found = self.find(parsed.account, family, int(number)) if number.isdecimal() else None
        return found is not None and found.status != ACTIVE

    def definition(self, revision: Revision) -> dict[str, Any]:
        """The document parsed; shared between callers, so it is read and never changed."""
        key = (revision.account, revision.family, revision.number)
        found = self._decoded.get(key)
        if found is None:
            if len(self._decoded) >= DECODED_MAX:
                self._decoded.pop(next(iter(self._decoded)))
            found = self._decoded[key] = msgspec.json.decode(revision.document, type=dict[str, Any])
        return found

    def revisions(
        self, account: str, *, family: str | None, status: str, descending: bool, after: tuple[str, int] | None
    ) -> Iterator[tuple[str, int]]:
        """(family, number) in order, from behind `after`; the caller takes as many as it wants."""
        if family is not None:
            names = [family] if (account, family) in self._families else []
        else:
            names = self._names.get(account, [])
        if after is not None:
            names = names[: bisect_right(names, after[0])] if descending else names[bisect_left(names, after[0]) :]
        for name in reversed(names) if descending else names:
            entry = self._families[account, name]
            numbers: Sequence[int] = entry.active if status == ACTIVE else sorted(entry.revisions)
            if after is not None and name == after[0]:
                numbers = (
                    numbers[: bisect_left(numbers, after[1])]
                    if descending
                    else numbers[bisect_right(numbers, after[1]) :]
                )
            for number in reversed(numbers) if descending else numbers:
                if entry.revisions[number].status == status:
                    yield name, number

    def families(self, account: str, *, prefix: str, status: str, after: str | None) -> Iterator[str]:
        """Names in order from behind `after`. `status` is ACTIVE, INACTIVE (no active revision) or ALL."""
        names = self._names.get(account, [])
        start = bisect_left(names, prefix)
        if after is not None:
            start = max(start, bisect_right(names, after))
        for name in names[start:]:
            if not name.startswith(prefix):
                return
            entry = self._families[account, name]
            if status == "ALL" or (status == ACTIVE) == bool(entry.active):
                yield name

    async def register(
        self,
        request: dict[str, Any],
        *,
        account: str,
        region: str,
        registered_by: str,
        tags: Tags,
        own_kernel: bool = False,
    ) -> Revision:
        """The next revision of the request's family. `request` passed `definitions.rules.check_definition`."""
        family = request["family"]
        entry = self._family(account, family)
        async with entry.lock:
            for _ in range(REGISTER_ATTEMPTS):
                number = entry.latest + 1
                if number > (self._quotas.value(account, REVISIONS_PER_FAMILY) or 0):
                    raise ClientError("The maximum number of revisions of this task definition family was reached.")
                document = stored_definition(
                    request,
                    account=account,
                    region=region,
                    revision=number,
                    registered_at=round(self._world.now(), 3),
                    registered_by=registered_by,
                    own_kernel=own_kernel,
                )
                encoded = msgspec.json.encode(document)
                check_size(encoded)
                revision = Revision(
                    account=account, family=family, number=number, status=ACTIVE, rev=1, document=encoded, tags=tags
                )
                try:
                    await self._store.write(_insert(revision))
                except Refused:
                    await self._reread(account, family)
                    continue
                self._publish(revision)
                return revision
        raise ClientError("Too many concurrent attempts to create a new revision of the specified family.")

    async def deregister(self, revision: Revision) -> Revision:
        """INACTIVE from now on; repeating it changes nothing."""
        return await self._retire(revision, from_status=ACTIVE, to_status=INACTIVE, stamp="deregisteredAt")

    async def delete(self, revision: Revision) -> Revision:
        """DELETE_IN_PROGRESS from now on. The caller made sure that it is INACTIVE; repeating it changes nothing."""
        return await self._retire(
            revision, from_status=INACTIVE, to_status=DELETE_IN_PROGRESS, stamp="deleteRequestedAt"
        )

    async def change_tags(self, revision: Revision, change: Callable[[Tags], Tags]) -> Revision:
        """`change` is pure: asked again when another process was faster."""
        entry = self._family(revision.account, revision.family)
        async with entry.lock:
            for _ in range(REGISTER_ATTEMPTS):
                current = entry.revisions[revision.number]
                tags = change(current.tags)
                if tags == current.tags:
                    return current
                changed = replace(current, tags=tags, rev=current.rev + 1)
                try:
                    await self._store.write([_change(changed, from_rev=current.rev)])
                except Refused:
                    await self._reread(current.account, current.family)
                    continue
                self._publish(changed)
                return changed
        raise ServiceUnavailable

    async def _retire(self, revision: Revision, *, from_status: str, to_status: str, stamp: str) -> Revision:
        entry = self._family(revision.account, revision.family)
        async with entry.lock:
            current = entry.revisions[revision.number]
            if current.status != from_status:
                return current
            document = dict(msgspec.json.decode(current.document, type=dict[str, Any]))
            document |= {"status": to_status, stamp: round(self._world.now(), 3)}
            changed = Revision(
                account=current.account,
                family=current.family,
                number=current.number,
                status=to_status,
                rev=current.rev + 1,
                document=msgspec.json.encode(document),
                tags=current.tags,
            )
            try:
                await self._store.write([_change(changed, from_rev=current.rev)])
            except Refused:
                # Another process retired it first: what it wrote is as good as ours.
                await self._reread(current.account, current.family)
                return entry.revisions[revision.number]
            self._publish(changed)
            return changed

    def _family(self, account: str, family: str) -> _Family:
        return self._families.setdefault((account, family), _Family())

    def _publish(self, revision: Revision) -> None:
        names = self._names.setdefault(revision.account, [])
        place = bisect_left(names, revision.family)
        if place == len(names) or names[place] != revision.family:
            names.insert(place, revision.family)
        self._remember(revision)

    def _remember(self, revision: Revision) -> None:
        entry = self._family(revision.account, revision.family)
        entry.latest = max(entry.latest, revision.number)
        entry.revisions[revision.number] = revision
        place = bisect_left(entry.active, revision.number)
        is_listed = place < len(entry.active) and entry.active[place] == revision.number
        if revision.status == ACTIVE and not is_listed:
            entry.active.insert(place, revision.number)
        elif revision.status != ACTIVE and is_listed:
            del entry.active[place]
        self._decoded.pop((revision.account, revision.family, revision.number), None)

    async def _reread(self, account: str, family: str) -> None:
        """After a refusal: what another process wrote to this family."""
        rows = await self._store.read(
            "SELECT revision, status, rev, doc, tags FROM task_definition WHERE account = ? AND family = ? ORDER BY id",
            (account, family),
        )
        for number, status, rev, document, tags in rows:
            self._publish(
                Revision(
                    account=account,
                    family=family,
                    number=number,
                    status=status,
                    rev=rev,
                    document=bytes(document),
                    tags=_decode_tags(tags),
                )
            )


async def open_task_definitions(
    world: World, store: Store, quotas: QuotaValues | None = None
) -> TaskDefinitionRegistry:
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = TaskDefinitionRegistry(world, store, quotas or DefaultQuotas())
    await registry.load()
    return registry


def _insert(revision: Revision) -> list[Statement]:
    """Both statements hold only while nobody else took the number."""
    key = (revision.account, revision.family)
    if revision.number == 1:
        claim = Statement(
            "INSERT INTO task_definition_family (account, family, latest) VALUES (?, ?, 1) ON CONFLICT DO NOTHING",
            key,
            expect=1,
            name="family is new",
        )
    else:
        claim = Statement(
            "UPDATE task_definition_family SET latest = ? WHERE account = ? AND family = ? AND latest = ?",
            (revision.number, *key, revision.number - 1),
            expect=1,
            name="revision is next",
        )
    insert = Statement(
        "INSERT INTO task_definition (account, family, revision, status, rev, doc, tags) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*key, revision.number, revision.status, revision.rev, revision.document, msgspec.json.encode(revision.tags)),
        expect=1,
        name="revision",
    )
    return [claim, insert]


def _change(revision: Revision, *, from_rev: int) -> Statement:
    return Statement(
        "UPDATE task_definition SET status = ?, rev = ?, doc = ?, tags = ? "
        "WHERE account = ? AND family = ? AND revision = ? AND rev = ?",
        (
            revision.status,
            revision.rev,
            revision.document,
            msgspec.json.encode(revision.tags),
            revision.account,
            revision.family,
            revision.number,
            from_rev,
        ),
        expect=1,
        name="revision unchanged",
    )


def _decode_tags(encoded: bytes) -> Tags:
    return msgspec.json.decode(encoded, type=Tags)
