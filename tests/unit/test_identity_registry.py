"""The identity registry: what the rest of the front end reads of it, and that it is durable and forgets at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.frontend.envelope import Envelope, SealBroken
from neargate.frontend.identity import holders, roles, users
from neargate.frontend.identity.errors import EntityAlreadyExists, LimitExceeded, NoSuchEntity
from neargate.frontend.identity.records import Role, User
from neargate.frontend.identity.registry import MIGRATIONS, IdentityRegistry, open_identity
from neargate.iam.evaluate import decide
from neargate.iam.policy import Grants
from neargate.iam.request import Caller, Request
from neargate.interfaces.store import Store
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT, OTHER = "123456789012", "210987654321"
MASTER = bytes(range(32))
NOW = 1_795_000_000
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ALLOW_RUN = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"}]}
)
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


class Rig:
    """A registry over a database in memory that outlives it."""

    def __init__(self) -> None:
        self.world = OsWorld()
        self.disk = MemoryDisk()
        self.store: Store
        self.registry: IdentityRegistry

    async def open(self, master: bytes = MASTER) -> IdentityRegistry:
        self.store = await MemoryStores(self.world, DEFAULT_KNOBS, self.disk).open("region", MIGRATIONS)
        self.registry = await open_identity(self.world, self.store, Envelope(master, self.world))
        return self.registry

    async def reopen(self, master: bytes = MASTER) -> IdentityRegistry:
        await self.store.close()
        return await self.open(master)

    async def user(self, name: str, account: str = ACCOUNT) -> User:
        bits = self.world.random.getrandbits
        return await self.registry.change(
            account,
            lambda book: users.create_user(book, name, path="/", boundary=None, tags=None, now=NOW, bits=bits),
        )

    async def role(self, name: str) -> Role:
        bits = self.world.random.getrandbits
        return await self.registry.change(
            ACCOUNT,
            lambda book: roles.create_role(
                book,
                name,
                path="/",
                trust=TRUST,
                description=None,
                max_session_s=None,
                boundary=None,
                tags=None,
                now=NOW,
                bits=bits,
            ),
        )

    async def key(self, user: str | None, key_id: str, secret: str, account: str = ACCOUNT) -> None:
        sealed = self.registry.seal_secret(account, key_id, secret)
        await self.registry.change(
            account, lambda book: users.create_key(book, user, key_id=key_id, sealed=sealed, now=NOW)
        )


def story(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        rig = Rig()
        await rig.open()
        await rig.registry.ensure_account(ACCOUNT, "main")
        await body(rig)
        await rig.store.close()

    asyncio.run(main())


def allowed(grants: Grants, action: str) -> bool:
    caller = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/ann", user_id="AIDAX")
    return decide(Request(action=action, resource="*"), caller, grants).allowed


def test_a_key_proves_its_user_also_after_a_restart_and_rests_sealed() -> None:
    async def body(rig: Rig) -> None:
        await rig.user("ann")
        await rig.key("ann", "AKIAANN", "s3cret-of-ann")
        await rig.key(None, "AKIAROOT", "root")
        registry = await rig.reopen()
        key = registry.key("AKIAANN")
        assert key is not None
        assert (key.secret, key.account, key.user, key.active) == ("s3cret-of-ann", ACCOUNT, "ann", True)
        root = registry.key("AKIAROOT")
        assert root is not None and root.user is None
        assert registry.key("AKIANOBODY") is None
        rows = await rig.store.read("SELECT doc FROM iam_entities")
        assert rows and not any(b"s3cret" in doc for (doc,) in rows)
        registry = await rig.reopen(master=bytes(32))
        with pytest.raises(SealBroken):
            registry.key("AKIAANN")

    story(body)


def test_grants_follow_each_change_at_once() -> None:
    async def body(rig: Rig) -> None:
        registry = rig.registry
        await rig.user("ann")
        assert not allowed(registry.user_grants(ACCOUNT, "ann"), "ecs:RunTask")
        await registry.change(ACCOUNT, lambda book: holders.put_inline(book, User, "ann", "run", ALLOW_RUN))
        assert allowed(registry.user_grants(ACCOUNT, "ann"), "ecs:RunTask")
        await registry.change(ACCOUNT, lambda book: holders.attach(book, User, "ann", READ_ONLY))
        grants = registry.user_grants(ACCOUNT, "ann")
        assert [one.name for one in grants.identity] == ["run", READ_ONLY]
        assert allowed(grants, "ecs:DescribeTasks")
        await registry.change(ACCOUNT, lambda book: holders.delete_inline(book, User, "ann", "run"))
        assert not allowed(registry.user_grants(ACCOUNT, "ann"), "ecs:RunTask")
        assert registry.user_grants(ACCOUNT, "nobody") == Grants()

    story(body)


def test_a_role_and_its_grants() -> None:
    async def body(rig: Rig) -> None:
        made = await rig.role("task")
        await rig.registry.change(ACCOUNT, lambda book: holders.put_inline(book, Role, "task", "run", ALLOW_RUN))
        registry = await rig.reopen()
        role = registry.role(ACCOUNT, "task")
        assert role is not None
        assert (role.arn, role.unique_id, role.max_session_s) == (
            f"arn:aws:iam::{ACCOUNT}:role/task",
            made.uid,
            3600,
        )
        service = Caller(account="", arn="", user_id="", service="ecs-tasks.amazonaws.com")
        request = Request(action="sts:AssumeRole", resource=role.arn)
        assert decide(request, service, Grants(), role.trust).allowed
        assert allowed(registry.role_grants(ACCOUNT, "task"), "ecs:RunTask")
        assert not allowed(registry.role_grants(ACCOUNT, "task", ()), "ecs:RunTask")
        assert registry.role(ACCOUNT, "other") is None
        assert registry.role_grants(ACCOUNT, "other") == Grants(session=())
        assert registry.role(ACCOUNT, "AWSServiceRoleForECS") is None
        bits = rig.world.random.getrandbits
        for _ in range(2):  # once with each cluster that is made
            await registry.change(ACCOUNT, lambda book: roles.ensure_ecs_role(book, now=NOW, bits=bits))
        linked = registry.role(ACCOUNT, "AWSServiceRoleForECS")
        assert linked is not None and linked.is_service_linked

    story(body)


def test_accounts_do_not_see_each_other() -> None:
    async def body(rig: Rig) -> None:
        await rig.registry.ensure_account(OTHER, "other")
        await rig.user("ann")
        await rig.user("bob", OTHER)
        assert rig.registry.user(OTHER, "ann") is None
        assert rig.registry.user("999999999999", "ann") is None
        with pytest.raises(NoSuchEntity):
            await rig.key("ann", "AKIAX", "x", OTHER)
        assert [one.number for one in rig.registry.accounts()] == [ACCOUNT, OTHER]

    story(body)


def test_names_differ_by_more_than_case_and_keys_are_two() -> None:
    async def body(rig: Rig) -> None:
        await rig.user("Ann")
        with pytest.raises(EntityAlreadyExists, match="User with name ANN already exists"):
            await rig.user("ANN")
        with pytest.raises(EntityAlreadyExists):
            await rig.user("Administrator")
        assert rig.registry.user(ACCOUNT, "ann") is None
        await rig.key("Ann", "AKIA1", "1")
        await rig.key("Ann", "AKIA2", "2")
        with pytest.raises(LimitExceeded, match="Cannot exceed quota for AccessKeysPerUser: 2"):
            await rig.key("Ann", "AKIA3", "3")
        with pytest.raises(LimitExceeded):
            await rig.key("Ann", "AKIA4", "4")
        assert rig.registry.key("AKIA3") is None

    story(body)


def test_a_decision_on_an_older_view_is_made_again() -> None:
    """Two processes over one database: the second finds what the first did, not a name taken twice."""

    async def body(rig: Rig) -> None:
        second = await open_identity(rig.world, rig.store, Envelope(MASTER, rig.world))
        await rig.user("ann")
        first, rig.registry = rig.registry, second
        with pytest.raises(EntityAlreadyExists):
            await rig.user("ann")
        await rig.user("bob")
        assert [one.name for one in second.book(ACCOUNT).all(User)] == ["ann", "bob"]
        rig.registry = first
        await rig.user("cid")
        assert [one.name for one in first.book(ACCOUNT).all(User)] == ["ann", "bob", "cid"]

    story(body)


def test_a_second_process_hears_of_what_the_first_changed_without_changing_anything() -> None:
    async def body(rig: Rig) -> None:
        first, second = rig.registry, await open_identity(rig.world, rig.store, Envelope(MASTER, rig.world))
        await rig.user("ann")
        await rig.key("ann", "AKIAANN", "1")
        await first.ensure_account("210987654321", "other")
        assert second.key("AKIAANN") is None and second.account("210987654321") is None
        await second.catch_up()
        opened, other = second.key("AKIAANN"), second.account("210987654321")
        assert opened is not None and opened.user == "ann" and other is not None and other.name == "other"
        await first.change(ACCOUNT, lambda book: users.delete_key(book, "ann", "AKIAANN"))
        book = second.book("210987654321")
        await second.catch_up()
        assert second.key("AKIAANN") is None
        assert second.book("210987654321") is book, "what nobody changed is not read again"

    story(body)


def test_the_last_use_is_written_rarely_and_goes_with_its_key() -> None:
    async def body(rig: Rig) -> None:
        await rig.user("ann")
        await rig.key("ann", "AKIAANN", "1")
        writes: list[Any] = []
        original = rig.store.write

        async def write(statements: Any) -> Any:
            writes.append(statements)
            return await original(statements)

        rig.store.write = write  # type: ignore[method-assign]
        for service in ("ecs", "ecs", "logs"):
            rig.registry.note_use("AKIAANN", service=service, region="us-east-1")
        rig.registry.note_use("AKIAGONE", service="ecs", region="us-east-1")
        assert not writes
        await rig.registry.flush_uses()
        await rig.registry.flush_uses()
        assert len(writes) == 1
        registry = await rig.reopen()
        used = registry.last_used("AKIAANN")
        assert used is not None and used.service == "logs"
        assert registry.last_used("AKIAGONE") is None
        await registry.change(ACCOUNT, lambda book: users.delete_key(book, "ann", "AKIAANN"))
        assert registry.key("AKIAANN") is None and registry.last_used("AKIAANN") is None
        assert await rig.store.read("SELECT uid FROM iam_last_used") == []

    story(body)
