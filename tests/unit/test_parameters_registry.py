"""The registry of parameters: durable, sealed at rest, one account's its own; decisions are made on what is there."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.frontend.envelope import Envelope, SealBroken
from neargate.frontend.parameters import changes
from neargate.frontend.parameters import registry as parameters_part
from neargate.frontend.parameters.book import ParameterBook, size_of
from neargate.frontend.parameters.changes import Wanted
from neargate.frontend.parameters.errors import ParameterAlreadyExists, ParameterLimitExceeded
from neargate.frontend.parameters.public import PublicParameters
from neargate.frontend.parameters.records import Parameter, Version
from neargate.frontend.parameters.registry import MIGRATIONS, Change, ParameterRegistry, open_parameters
from neargate.interfaces.store import Overloaded, Store
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT, OTHER = "123456789012", "210987654321"
MASTER = bytes(range(32))
PUBLIC = PublicParameters("us-east-1", (("us-east-1a", "use1-az1"),), ("ecs", "own"), 1.0)


class Rig:
    """A registry over a database in memory that outlives it."""

    def __init__(self) -> None:
        self.world = OsWorld()
        self.disk = MemoryDisk()
        self.store: Store
        self.registry: ParameterRegistry

    async def open(self, master: bytes = MASTER) -> ParameterRegistry:
        self.store = await MemoryStores(self.world, DEFAULT_KNOBS, self.disk).open("region", MIGRATIONS)
        self.registry = await open_parameters(self.world, self.store, Envelope(master, self.world), PUBLIC)
        return self.registry

    async def reopen(self, master: bytes = MASTER) -> ParameterRegistry:
        await self.store.close()
        return await self.open(master)

    async def put(self, name: str, value: str, *, account: str = ACCOUNT, overwrite: bool = False) -> Version:
        wanted = Wanted(name=name, value=value, overwrite=overwrite, user="me", type="String")
        sealed = self.registry.seal(account, name, value)

        def decide(book: ParameterBook) -> Change[Version]:
            return changes.put(book, wanted, changes.next_version(book, wanted, 1.0), sealed)

        return await self.registry.change(account, decide)

    def find(self, name: str, account: str = ACCOUNT) -> Parameter | None:
        return self.registry.book(account).find(name)

    async def values(self, name: str, account: str = ACCOUNT) -> list[str]:
        """Of all versions, the oldest first."""
        found = self.find(name, account)
        assert found is not None
        stored = await self.registry.versions(found, 1, 1000)
        assert [one.version.number for one in stored] == list(range(found.oldest, found.current.number + 1))
        return [self.registry.open(account, found.name, one.sealed) for one in stored]


def story(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        rig = Rig()
        await rig.open()
        await body(rig)
        await rig.store.close()

    asyncio.run(main())


def test_everything_is_there_after_a_restart_and_values_rest_sealed() -> None:
    async def body(rig: Rig) -> None:
        await rig.put("/a", "v1-plain")
        await rig.put("a", "v2-plain", overwrite=True)
        await rig.put("/b/c", "other")
        await rig.registry.change(ACCOUNT, partial(changes.label, name="/a", number=1, labels=["old"]))
        await rig.registry.change(ACCOUNT, partial(changes.tag, name="/a", given=[{"Key": "k", "Value": "v"}]))
        await rig.put("/gone", "x")
        await rig.registry.change(ACCOUNT, partial(changes.delete, names=["/gone"]))
        before = list(rig.registry.book(ACCOUNT).after(""))
        registry = await rig.reopen()
        assert list(registry.book(ACCOUNT).after("")) == before and len(before) == 2
        assert await rig.values("/a") == ["v1-plain", "v2-plain"]
        found = rig.find("/a")
        assert found is not None
        assert (found.labels, found.tags, found.current.number) == ((("old", 1),), (("k", "v"),), 2)
        rows = await rig.store.read("SELECT doc, sealed FROM ssm_versions")
        assert len(rows) == 3 and not any(b"plain" in column for row in rows for column in row)
        await rig.put("/a", "v3", overwrite=True)  # the generation was read, too
        registry = await rig.reopen(master=bytes(32))
        with pytest.raises(SealBroken):
            await rig.values("/a")

    story(body)


def test_a_sealed_value_opens_in_its_own_place_only() -> None:
    async def body(rig: Rig) -> None:
        sealed = rig.registry.seal(ACCOUNT, "/a", "value")
        assert rig.registry.open(ACCOUNT, "a", sealed) == "value"
        for account, name in ((OTHER, "/a"), (ACCOUNT, "/b")):
            with pytest.raises(SealBroken):
                rig.registry.open(account, name, sealed)

    story(body)


def test_accounts_do_not_see_each_other() -> None:
    async def body(rig: Rig) -> None:
        await rig.put("/a", "mine")
        assert rig.find("/a", OTHER) is None
        await rig.put("/a", "theirs", account=OTHER)
        assert await rig.values("/a") == ["mine"] and await rig.values("/a", OTHER) == ["theirs"]
        await rig.registry.change(OTHER, partial(changes.delete, names=["/a"]))
        await rig.reopen()
        assert await rig.values("/a") == ["mine"] and rig.find("/a", OTHER) is None

    story(body)


def test_versions_beyond_a_hundred_go_also_from_the_database() -> None:
    async def body(rig: Rig) -> None:
        for number in range(103):
            await rig.put("/a", f"v{number + 1}", overwrite=True)
        assert await rig.values("/a") == [f"v{number}" for number in range(4, 104)]
        assert await rig.store.read("SELECT COUNT(*), MIN(number) FROM ssm_versions") == [(100, 4)]

    story(body)


def test_what_is_deleted_begins_at_one_again_with_nothing_of_before() -> None:
    async def body(rig: Rig) -> None:
        for _ in range(2):
            await rig.put("/a", "x", overwrite=True)
        await rig.registry.change(ACCOUNT, partial(changes.delete, names=["/a", "a", "/none"]))
        assert await rig.store.read("SELECT COUNT(*) FROM ssm_versions") == [(0,)]
        assert (await rig.put("/a", "new")).number == 1
        assert await rig.values("/a") == ["new"]

    story(body)


def test_a_decision_on_an_older_view_is_made_again() -> None:
    """Two processes over one database: the second finds what the first did, not a name taken twice."""

    async def body(rig: Rig) -> None:
        first = rig.registry
        second = await open_parameters(rig.world, rig.store, Envelope(MASTER, rig.world), PUBLIC)
        await rig.put("/a", "1")
        rig.registry = second
        with pytest.raises(ParameterAlreadyExists):
            await rig.put("/a", "2")
        assert (await rig.put("/a", "2", overwrite=True)).number == 2
        rig.registry = first
        assert (await rig.put("/a", "3", overwrite=True)).number == 3
        assert await rig.values("/a") == ["1", "2", "3"]
        await second.catch_up()
        rig.registry = second
        assert await rig.values("/a") == ["1", "2", "3"]

    story(body)


def test_changes_at_the_same_time_are_made_one_after_another() -> None:
    async def body(rig: Rig) -> None:
        made = await asyncio.gather(*(rig.put("/a", str(n), overwrite=True) for n in range(20)))
        assert sorted(version.number for version in made) == list(range(1, 21))
        assert len(await rig.values("/a")) == 20

    story(body)


def test_what_the_database_refuses_never_was() -> None:
    async def body(rig: Rig) -> None:
        await rig.put("/a", "1")
        write = rig.store.write

        async def full(statements: Any) -> Any:
            raise Overloaded

        rig.store.write = full  # type: ignore[method-assign]
        with pytest.raises(Overloaded):
            await rig.put("/a", "2", overwrite=True)
        with pytest.raises(Overloaded):
            await rig.registry.change(ACCOUNT, partial(changes.delete, names=["/a"]))
        rig.store.write = write  # type: ignore[method-assign]
        assert await rig.values("/a") == ["1"]

    story(body)


def test_public_parameters_say_what_is_true_here() -> None:
    root = "/aws/service/global-infrastructure"
    found = {one.name: PUBLIC.value(one) for one in PUBLIC.book.after("")}
    assert found[f"{root}/regions/us-east-1"] == "us-east-1"
    assert found[f"{root}/availability-zones/use1-az1/parent-region"] == "us-east-1"
    assert found[f"{root}/regions/us-east-1/services/ecs"] == "ecs"
    assert not [name for name in found if "own" in name or "ami" in name]
    assert [one.name for one in PUBLIC.book.below(f"{root}/services")] == [
        f"{root}/services/ecs",
        f"{root}/services/ecs/regions/us-east-1",
    ]


def test_an_account_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters_part, "DEFAULT_KNOBS", replace(DEFAULT_KNOBS, parameters_max_bytes=2000))

    async def body(rig: Rig) -> None:
        async def tag(name: str, size: int) -> None:
            given = [{"Key": "k", "Value": "v" * size}]
            await rig.registry.change(ACCOUNT, lambda book: changes.tag(book, name, given))

        for name in "abc":
            await rig.put(name, "x")
        await tag("a", 1000)
        with pytest.raises(ParameterLimitExceeded, match="more than 2000 bytes"):
            await tag("b", 1000)
        await rig.put("a", "y", account=OTHER)
        await tag("a", 900)
        await rig.registry.change(ACCOUNT, lambda book: changes.delete(book, ["a"]))
        await tag("b", 1000)
        for registry in (rig.registry, await rig.reopen()):
            book = registry.book(ACCOUNT)
            found = [book.find(name) for name in "bc"]
            assert book.size_with(()) == sum(size_of(one) for one in found if one is not None)

    story(body)
