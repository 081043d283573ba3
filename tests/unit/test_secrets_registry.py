"""Secrets are durable and closed at rest, whoever is killed when; two servers over one database agree in the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.frontend.envelope import Envelope
from neargate.frontend.keys import registry as keys_part
from neargate.frontend.keys.records import KmsKey
from neargate.frontend.keys.registry import KeyRegistry, open_keys
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.frontend.secrets import registry as secrets_part
from neargate.frontend.secrets.errors import DecryptionFailed, MarkedDeleted, SecretLimit, SecretNotFound
from neargate.frontend.secrets.records import CURRENT, Opened, Secret, SecretValue, Version, value_name
from neargate.frontend.secrets.registry import SecretRegistry, check_room, gone_with, open_secrets
from neargate.frontend.secrets.stages import VERSIONS_MAX, with_new_version
from neargate.interfaces.store import Refused, Store
from neargate.model.errors import AwsError
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT, OTHER, REGION = "123456789012", "210987654321", "us-east-1"
MIGRATIONS = (keys_part.MIGRATIONS[0], secrets_part.MIGRATIONS[0])
WORD = b"correct-horse"


class Rig:
    """One server's registries over databases in memory that outlive it."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.world = OsWorld()
        self.disk = disk or MemoryDisk()
        self.store: Store
        self.keys: KeyRegistry
        self.secrets: SecretRegistry

    async def open(self) -> "Rig":
        self.store = await MemoryStores(self.world, DEFAULT_KNOBS, self.disk).open("region", MIGRATIONS)
        envelope = Envelope(bytes(range(32)), self.world)
        self.keys = await open_keys(self.world, self.store, envelope, region=REGION)
        self.secrets = await open_secrets(self.world, self.store, self.keys, region=REGION)
        return self

    async def create(self, name: str, value: bytes = WORD) -> Secret:
        new = Secret(
            account=ACCOUNT, name=name, region=REGION, suffix=self.secrets.new_suffix(), created=1.0, changed=1.0
        )
        new, kept = await self._with(new, "v1" * 16, value)

        def decide(shelf: Shelf) -> Change[Secret]:
            assert shelf.find(Secret, name) is None
            check_room(shelf, new)
            return Change(result=new, put=(new, kept))

        return await self.secrets.change(ACCOUNT, decide)

    async def put(self, secret: Secret, version_id: str, value: bytes) -> Secret:
        _, kept = await self._with(secret, version_id, value)
        version = Version(id=version_id, created=2.0, stages=(CURRENT,), key="k", size=len(value))
        return await self.secrets.change_secret(secret, lambda now: with_new_version(now, version), (kept,))

    async def _with(self, secret: Secret, version_id: str, value: bytes) -> tuple[Secret, SecretValue]:
        key: KmsKey = await self.keys.default_key(ACCOUNT, "secretsmanager")
        kept = self.secrets.sealed(secret, version_id, Opened(secret=value, is_binary=False), key)
        version = Version(id=version_id, created=1.0, stages=(CURRENT,), key=key.arn, size=len(value))
        return with_new_version(secret, version), kept

    def read(self, name: str) -> bytes:
        secret = self.secrets.find(ACCOUNT, name)
        assert secret is not None
        version = secret.staged(CURRENT)
        assert version is not None
        return self.secrets.opened(secret, version).secret

    async def rows(self) -> list[Any]:
        return await self.store.read("SELECT kind, name FROM secrets ORDER BY n")


def run(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario(await Rig().open())

    asyncio.run(whole())


def test_what_was_answered_is_there_after_a_kill() -> None:
    async def scenario(rig: Rig) -> None:
        made = await rig.create("db")
        rig.disk.crash()
        again = await Rig(rig.disk).open()
        assert again.secrets.find(ACCOUNT, "db") == made
        assert again.read("db") == WORD

    run(scenario)


def test_a_value_is_nowhere_in_the_database_and_in_no_text_of_an_object() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.create("db")
        stored = "\n".join(rig.disk.databases["region"].iterdump()).encode()
        assert b"db-" in stored and WORD not in stored and WORD.hex().upper().encode() not in stored
        opened = rig.secrets.opened(secret, secret.versions[0])
        assert opened.secret == WORD and "horse" not in repr(opened)

    run(scenario)


def test_a_sealed_value_opens_for_its_own_secret_and_version_only() -> None:
    async def scenario(rig: Rig) -> None:
        secret, other = await rig.create("db"), await rig.create("api")
        blob = rig.secrets.kept_value(secret, secret.versions[0].id)
        assert blob is not None
        for owner, version_id in ((other, other.versions[0].id), (secret, "v2" * 16)):
            with pytest.raises(DecryptionFailed):
                rig.secrets.opened_value(owner, version_id, blob)

    run(scenario)


def test_a_change_that_loses_against_another_servers_is_decided_anew() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.create("db")
        other = await Rig(rig.disk).open()
        await rig.put(secret, "v2" * 16, b"two")
        await other.put(secret, "v3" * 16, b"three")
        assert other.read("db") == b"three"
        await rig.secrets.catch_up()
        found = rig.secrets.find(ACCOUNT, "db")
        assert found is not None and [one.id[:2] for one in found.versions] == ["v1", "v2", "v3"]
        assert rig.secrets.find(ACCOUNT, "db") == other.secrets.find(ACCOUNT, "db")

    run(scenario)


def test_a_caller_who_goes_away_leaves_memory_as_the_database_is() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.create("db")
        change = asyncio.ensure_future(rig.put(secret, "v2" * 16, b"two"))
        for _ in range(3):
            await asyncio.sleep(0)
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
        # One more change waits for its turn behind the first, whatever became of that.
        await rig.secrets.change_secret(secret, lambda now: replace(now, description="later"))
        again = await Rig(rig.disk).open()
        assert again.secrets.find(ACCOUNT, "db") == rig.secrets.find(ACCOUNT, "db")
        assert again.read("db") == rig.read("db")

    run(scenario)


def test_a_secret_that_is_gone_leaves_no_row() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.put(await rig.create("db"), "v2" * 16, b"two")
        assert len(await rig.rows()) == 3

        def away(shelf: Shelf) -> Change[None]:
            return Change(result=None, drop=gone_with(shelf, secret))

        await rig.secrets.change(ACCOUNT, away)
        assert await rig.rows() == [] and rig.secrets.find(ACCOUNT, "db") is None
        with pytest.raises(SecretNotFound):
            await rig.secrets.change_secret(secret, lambda now: replace(now, description="x"))

    run(scenario)


def test_the_value_of_a_version_that_made_room_leaves_its_row() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.create("db")
        for number in range(VERSIONS_MAX):
            secret = await rig.put(secret, f"{number:032d}", b"x")
        rows = await rig.rows()
        assert len(rows) == 1 + VERSIONS_MAX
        assert ("value", value_name("db", secret.suffix, "v1" * 16)) not in rows

    run(scenario)


def test_one_that_is_marked_is_changed_by_nobody_but_who_restores_it() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.create("db")
        ends = rig.world.now() + 1000
        await rig.secrets.change_secret(secret, lambda now: replace(now, deletion=ends))
        with pytest.raises(MarkedDeleted):
            await rig.put(secret, "v2" * 16, b"two")
        await rig.secrets.change_secret(secret, lambda now: replace(now, deletion=None), also_deleted=True)
        await rig.put(secret, "v2" * 16, b"two")
        await rig.secrets.change_secret(secret, lambda now: replace(now, deletion=rig.world.now() - 1))
        assert rig.secrets.find(ACCOUNT, "db") is None and rig.secrets.secrets(ACCOUNT) == []

    run(scenario)


def test_an_account_fills_its_own_room_only() -> None:
    async def scenario(rig: Rig) -> None:
        secret = await rig.create("db")
        shelf = Shelf(ACCOUNT)
        shelf.apply((secret,), ())
        full = DEFAULT_KNOBS.secrets_max_bytes
        huge = Version(id="x", created=1.0, stages=("big",), key="k", size=full)
        with pytest.raises(SecretLimit):
            check_room(shelf, with_new_version(secret, huge), secret)
        strangers = with_new_version(replace(secret, account=OTHER, versions=()), huge)
        check_room(Shelf(OTHER), strangers)
        check_room(shelf, strangers, leaving=[secret])

    run(scenario)


@pytest.mark.parametrize("seed", range(6))
def test_memory_is_what_the_database_holds(seed: int) -> None:
    """Two servers take turns at random; what each has in the end is what a third reads."""

    def away(shelf: Shelf, *, name: str) -> Change[None]:
        found = shelf.find(Secret, name)
        return Change(result=None, drop=() if found is None else gone_with(shelf, found))

    async def scenario(first: Rig) -> None:
        rigs, chance, done = [first, await Rig(first.disk).open()], random.Random(seed), 0
        for step in range(60):
            rig = chance.choice(rigs)
            await rig.keys.catch_up()
            name = f"s{chance.randrange(3)}"
            secret = rig.secrets.find(ACCOUNT, name)
            try:
                if secret is None:
                    await rig.create(name, str(step).encode())
                elif chance.random() < 0.2:
                    await rig.secrets.change(ACCOUNT, partial(away, name=name))
                else:
                    await rig.put(secret, f"{step:032d}", str(step).encode())
                done += 1
            except (AwsError, AssertionError, Refused):
                pass  # the other server was first
        for rig in rigs:
            await rig.keys.catch_up()
            await rig.secrets.catch_up()
        third = await Rig(first.disk).open()
        assert done > 20
        for rig in rigs:
            assert rig.secrets.secrets(ACCOUNT) == third.secrets.secrets(ACCOUNT)
            for secret in third.secrets.secrets(ACCOUNT):
                assert rig.read(secret.name) == third.read(secret.name)
        listed = {
            value_name(one.name, one.suffix, version.id)
            for one in third.secrets.secrets(ACCOUNT)
            for version in one.versions
        }
        assert {name for kind, name in await first.rows() if kind == "value"} == listed

    run(scenario)
