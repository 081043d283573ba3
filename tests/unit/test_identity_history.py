"""Random histories of an account: memory is what the database holds, and what is gone leaves nothing behind.

Two registries over one database take turns, as two server processes would: each decides on what the other did.
"""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from neargate.frontend.envelope import Envelope
from neargate.frontend.identity import groups, holders, policies, profiles, providers, roles, tagging, users
from neargate.frontend.identity.book import AccountBook
from neargate.frontend.identity.errors import NoSuchEntity
from neargate.frontend.identity.records import KINDS, Group, InstanceProfile, ManagedPolicy, Record, Role, User
from neargate.frontend.identity.registry import MIGRATIONS, Change, open_identity
from neargate.frontend.identity.rules import required
from neargate.model.errors import AwsError
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryStores
from neargate.testing.virtual_time import VirtualWorld

ACCOUNT = "123456789012"
RUN = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"}]}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
    }
)
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
Decide = Callable[[AccountBook], Change[Any]]


class Histories:
    """Decisions with few names, so that they meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def name(self, kind: str) -> str:
        return f"{kind}{self.random.randrange(3)}"

    def arn(self) -> str:
        return self.random.choice([READ_ONLY, *(f"arn:aws:iam::{ACCOUNT}:policy/p{number}" for number in range(3))])

    def key_id(self) -> str:
        return f"AKIA{self.random.randrange(6)}"

    def decision(self) -> Decide:
        bits, name, arn = self.random.getrandbits, self.name, self.arn()
        user, group, role, policy, profile = name("u"), name("g"), name("r"), name("p"), name("i")
        kind: Any = self.random.choice([User, Group, Role])
        holder = name(kind.kind[0])
        own, url, key = f"arn:aws:iam::{ACCOUNT}:policy/{policy}", f"https://{name('h')}", self.key_id()
        version = f"v{self.random.randrange(1, 6)}"
        choices: list[Decide] = [
            lambda book: users.create_user(book, user, path="/", boundary=None, tags=None, now=1, bits=bits),
            lambda book: users.update_user(book, user, new_name=name("u"), new_path=None),
            lambda book: users.delete_user(book, user),
            lambda book: users.create_key(book, user, key_id=key, sealed=b"x", now=1),
            lambda book: users.delete_key(book, user, key),
            lambda book: groups.create_group(book, group, path="/", now=1, bits=bits),
            lambda book: groups.delete_group(book, group),
            lambda book: groups.add_user(book, group, user),
            lambda book: groups.remove_user(book, group, user),
            lambda book: roles.create_role(
                book,
                role,
                path="/",
                trust=TRUST,
                description=None,
                max_session_s=None,
                boundary=None,
                tags=None,
                now=1,
                bits=bits,
            ),
            lambda book: roles.delete_role(book, role),
            lambda book: holders.put_inline(book, kind, holder, "run", RUN),
            lambda book: holders.delete_inline(book, kind, holder, "run"),
            lambda book: holders.attach(book, kind, holder, arn),
            lambda book: holders.detach(book, kind, holder, arn),
            lambda book: holders.set_boundary(book, User, user, arn),
            lambda book: holders.set_boundary(book, Role, role, None),
            lambda book: policies.create_policy(
                book, policy, path="/", document=RUN, description=None, tags=None, now=1, bits=bits
            ),
            lambda book: policies.create_version(book, own, document=RUN, is_default=bool(bits(1)), now=1),
            lambda book: policies.delete_version(book, own, version, now=1),
            lambda book: policies.delete_policy(book, own),
            lambda book: profiles.create_profile(book, profile, path="/", tags=None, now=1, bits=bits),
            lambda book: profiles.add_role(book, profile, role),
            lambda book: profiles.remove_role(book, profile, role),
            lambda book: profiles.delete_profile(book, profile),
            lambda book: providers.create_provider(book, url, client_ids=(), thumbprints=(), tags=None, now=1),
            lambda book: tagging.tag(required(book, User, user), [{"Key": "k", "Value": str(bits(2))}]),
        ]
        return self.random.choice(choices)


def content(book: AccountBook) -> list[Record]:
    return [record for kind in KINDS for record in book.all(kind)]


def check(book: AccountBook) -> None:
    """Nothing names what is not there."""
    for holder in book.holders():
        for arn in (*holder.attached, getattr(holder, "boundary", None) or READ_ONLY):
            assert book.managed(arn) is not None
    for user in book.all(User):
        assert len(book.groups_of(user)) == len(user.groups)
        assert len(book.grants(user).identity) >= len(user.attached) + len(user.inline)
    for profile in book.all(InstanceProfile):
        assert all(isinstance(book.by_uid(uid), Role) for uid in profile.roles)
    for policy in book.all(ManagedPolicy):
        assert policy.version(policy.default) is not None
    owners = {user.uid for user in book.all(User)}
    keys = [key for owner in (*owners, None) for key in book.keys_of(owner)]
    assert len(keys) == book.count(KINDS[4])


@pytest.mark.parametrize("seed", range(8))
def test_memory_is_what_the_database_holds(seed: int) -> None:
    async def story() -> tuple[int, int]:
        world = VirtualWorld()
        store = await MemoryStores(world, DEFAULT_KNOBS).open("region", MIGRATIONS)
        envelope = Envelope(bytes(32), world)
        registries = [await open_identity(world, store, envelope) for _ in range(2)]
        await registries[0].ensure_account(ACCOUNT, "main")
        await registries[1].ensure_account(ACCOUNT, "main")
        histories, done, refused = Histories(seed), 0, 0
        for step in range(250):
            registry = histories.random.choice(registries)
            try:
                await registry.change(ACCOUNT, histories.decision())
                done += 1
            except AwsError:
                refused += 1
            if step % 10 == 0:
                # A change that changes nothing else brings the registry up to date, and then equals the database.
                await registry.change(
                    ACCOUNT, lambda book: tagging.set_alias(book, f"alias-{histories.random.random()}")
                )
                fresh = await open_identity(world, store, envelope)
                assert content(registry.book(ACCOUNT)) == content(fresh.book(ACCOUNT))
                assert registry.account(ACCOUNT) == fresh.account(ACCOUNT)
                check(registry.book(ACCOUNT))
        await store.close()
        return done, refused

    done, refused = asyncio.run(story())
    assert done > 50 and refused > 20


def test_a_caller_who_goes_away_leaves_memory_and_database_alike() -> None:
    async def story() -> None:
        world = VirtualWorld()
        store = await MemoryStores(world, DEFAULT_KNOBS).open("region", MIGRATIONS)
        registry = await open_identity(world, store, Envelope(bytes(32), world))
        await registry.ensure_account(ACCOUNT, "main")
        bits, writing, original = random.Random(1).getrandbits, asyncio.Event(), store.write

        async def write(statements: Any) -> Any:
            writing.set()
            return await original(statements)

        store.write = write  # type: ignore[method-assign]
        waiting = asyncio.ensure_future(
            registry.change(
                ACCOUNT,
                lambda book: users.create_user(book, "ann", path="/", boundary=None, tags=None, now=1, bits=bits),
            )
        )
        await writing.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        with pytest.raises(NoSuchEntity):  # waits its turn behind what was begun
            await registry.change(ACCOUNT, lambda book: users.delete_user(book, "bob"))
        stored = await store.read("SELECT name FROM iam_entities WHERE kind = 'user'")
        assert [name for (name,) in stored] == ["ann"] == [user.name for user in registry.book(ACCOUNT).all(User)]
        await store.close()

    asyncio.run(story())
