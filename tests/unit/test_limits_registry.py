"""What the operator sets is durable and found by account, then for all accounts, then by the mode."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pytest

from neargate.frontend.limits.api_buckets import BY_KEY, LAUNCH_ON_DEMAND
from neargate.frontend.limits.registry import (
    ALL_ACCOUNTS,
    CLOSED_REQUESTS_MAX,
    MIGRATIONS,
    OpenAlready,
    QuotaRegistry,
    QuotaUnknown,
    open_quotas,
)
from neargate.frontend.limits.token_bucket import Rate
from neargate.interfaces.store import Overloaded, Row, Statement, Store, Value
from neargate.model.errors import IllegalArgument
from neargate.model.knobs import Knobs
from neargate.model.quotas import CLUSTERS_PER_ACCOUNT, FARGATE_ON_DEMAND_VCPU, IAM_QUOTAS, QuotaMode
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.world import OsWorld

ONE, TWO = "111111111111", "222222222222"
ROLES_PER_ACCOUNT = IAM_QUOTAS["RolesPerAccount"]
TASKS = BY_KEY["ecs/task-modify"]
Open = Callable[..., Awaitable[QuotaRegistry]]


def story(body: Callable[[Open], Awaitable[None]]) -> None:
    """`body` is given what opens the registry anew over the same disk, as the next process would."""

    async def told() -> None:
        world, disk = OsWorld(), MemoryDisk()

        async def opened(mode: QuotaMode = QuotaMode.MACHINE) -> QuotaRegistry:
            store = await MemoryStores(world, Knobs(), disk).open("region", MIGRATIONS)
            return await open_quotas(world, store, mode)

        await body(opened)

    asyncio.run(told())


def test_the_mode_says_what_holds_where_nothing_is_set() -> None:
    async def body(opened: Open) -> None:
        machine, aws = await opened(QuotaMode.MACHINE), await opened(QuotaMode.AWS)
        assert machine.rate(ONE, TASKS) is None and aws.rate(ONE, TASKS) == Rate(100, 40)
        assert machine.rate(ONE, LAUNCH_ON_DEMAND) is None and aws.rate(ONE, LAUNCH_ON_DEMAND) == Rate(100, 20)
        assert machine.value(ONE, FARGATE_ON_DEMAND_VCPU) is None and aws.value(ONE, FARGATE_ON_DEMAND_VCPU) == 6
        assert machine.value(ONE, CLUSTERS_PER_ACCOUNT) == aws.value(ONE, CLUSTERS_PER_ACCOUNT) == 10_000

    story(body)


def test_an_accounts_own_value_goes_first_and_outlives_the_process() -> None:
    async def body(opened: Open) -> None:
        quotas = await opened()
        await quotas.set_rate(ALL_ACCOUNTS, TASKS.key, Rate(10, 1))
        await quotas.set_rate(ONE, TASKS.key, Rate(7, 2))
        await quotas.set_value(TWO, CLUSTERS_PER_ACCOUNT.key, 3)
        for found in (quotas, await opened(), await opened(QuotaMode.AWS)):
            assert found.rate(ONE, TASKS) == Rate(7, 2) and found.rate(TWO, TASKS) == Rate(10, 1)
            assert found.value(ONE, CLUSTERS_PER_ACCOUNT) == 10_000 and found.value(TWO, CLUSTERS_PER_ACCOUNT) == 3

        await quotas.reset(ONE, TASKS.key)
        assert quotas.rate(ONE, TASKS) == (await opened()).rate(ONE, TASKS) == Rate(10, 1)
        await quotas.reset(ALL_ACCOUNTS, TASKS.key)
        assert (await opened()).rate(ONE, TASKS) is None

    story(body)


def test_a_rate_is_lifted_for_one_account() -> None:
    async def body(opened: Open) -> None:
        quotas = await opened(QuotaMode.AWS)
        await quotas.set_rate(ONE, TASKS.key, None)
        assert quotas.rate(ONE, TASKS) is None and quotas.rate(TWO, TASKS) == TASKS.rate
        assert (await opened(QuotaMode.AWS)).rate(ONE, TASKS) is None

    story(body)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e11])
def test_a_value_that_cannot_be_is_refused(value: float) -> None:
    async def body(opened: Open) -> None:
        quotas = await opened()
        with pytest.raises(IllegalArgument):
            await quotas.set_value(ONE, CLUSTERS_PER_ACCOUNT.key, value)
        with pytest.raises(IllegalArgument):
            await quotas.set_rate(ONE, TASKS.key, Rate(10, value))
        with pytest.raises(IllegalArgument):
            await quotas.set_rate(ONE, TASKS.key, Rate(0.5, 1))
        assert quotas.all_set() == []

    story(body)


def test_a_key_that_nobody_knows_is_refused() -> None:
    async def body(opened: Open) -> None:
        quotas = await opened()
        for key in ("ecs/L-00000000", "ecs/nothing", ""):
            with pytest.raises(QuotaUnknown):
                await quotas.set_value(ONE, key, 1)
            with pytest.raises(QuotaUnknown):
                await quotas.set_rate(ONE, key, None)
            with pytest.raises(QuotaUnknown):
                await quotas.reset(ONE, key)

    story(body)


def test_setting_a_value_answers_what_accounts_have_asked_for() -> None:
    async def body(opened: Open) -> None:
        quotas = await opened()
        for account, desired in ((ONE, 20_000), (TWO, 30_000)):
            await quotas.ask(account, CLUSTERS_PER_ACCOUNT, desired, "arn:aws:iam::1:user/u")
        await quotas.ask(ONE, ROLES_PER_ACCOUNT, 2000, "arn:aws:iam::1:user/u")
        with pytest.raises(OpenAlready):
            await quotas.ask(ONE, CLUSTERS_PER_ACCOUNT, 40_000, "arn:aws:iam::1:user/u")

        await quotas.set_value(ALL_ACCOUNTS, CLUSTERS_PER_ACCOUNT.key, 25_000)
        assert await statuses(quotas) == {
            (ONE, CLUSTERS_PER_ACCOUNT.key): "APPROVED",
            (TWO, CLUSTERS_PER_ACCOUNT.key): "PENDING",
            (ONE, ROLES_PER_ACCOUNT.key): "PENDING",
        }
        await quotas.set_value(TWO, CLUSTERS_PER_ACCOUNT.key, 26_000)
        assert (await statuses(await opened()))[TWO, CLUSTERS_PER_ACCOUNT.key] == "NOT_APPROVED"
        assert {item.account for item in await quotas.requests(TWO)} == {TWO}

    story(body)


async def statuses(quotas: QuotaRegistry) -> dict[tuple[str, str], str]:
    return {(item.account, item.quota): item.status for item in await quotas.requests()}


def test_answered_requests_are_kept_up_to_a_bound() -> None:
    async def body(opened: Open) -> None:
        quotas = await opened()
        for n in range(CLOSED_REQUESTS_MAX + 5):
            await quotas.ask(ONE, CLUSTERS_PER_ACCOUNT, n + 1, "arn:aws:iam::1:user/u")
            await quotas.set_value(ONE, CLUSTERS_PER_ACCOUNT.key, n + 1)
        await quotas.ask(ONE, CLUSTERS_PER_ACCOUNT, 10_000, "arn:aws:iam::1:user/u")
        kept = await quotas.requests(ONE)
        assert len(kept) == CLOSED_REQUESTS_MAX + 1 and kept[0].desired == 10_000

    story(body)


def test_what_was_set_at_one_server_holds_at_the_other_before_long() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        store = await MemoryStores(world, Knobs(), disk).open("region", MIGRATIONS)
        here, there = [await open_quotas(world, store, QuotaMode.MACHINE) for _ in range(2)]
        world.spawn(there.follow(5.0), "quotas")
        await here.set_rate(ONE, TASKS.key, Rate(7, 2))
        assert there.rate(ONE, TASKS) is None
        await world.sleep(5.5)
        assert there.rate(ONE, TASKS) == Rate(7, 2)
        await here.reset(ONE, TASKS.key)
        await world.sleep(5.5)
        assert there.rate(ONE, TASKS) is None

    run_virtual(told())


class Interrupted:
    """A store between whose reading and answer something happens, once."""

    def __init__(self, store: Store) -> None:
        self.meanwhile: list[Callable[[], Awaitable[None]]] = []
        self._store = store

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        return await self._store.write(statements)

    async def read(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        rows = await self._store.read(sql, params)
        while self.meanwhile:
            await self.meanwhile.pop()()
        return rows


def interrupted(body: Callable[[VirtualWorld, Interrupted, QuotaRegistry], Awaitable[None]]) -> None:
    """`body` is given a registry that follows others every five seconds."""

    async def told() -> None:
        world = VirtualWorld()
        store = Interrupted(await MemoryStores(world, Knobs(), MemoryDisk()).open("region", MIGRATIONS))
        quotas = await open_quotas(world, cast("Store", store), QuotaMode.MACHINE)
        world.spawn(quotas.follow(5.0), "quotas")
        await body(world, store, quotas)
        assert not world.failures

    run_virtual(told())


def test_a_database_with_too_much_to_do_is_read_again_later() -> None:
    async def body(world: VirtualWorld, store: Interrupted, quotas: QuotaRegistry) -> None:
        async def refuse() -> None:
            raise Overloaded("reads: too many are waiting")

        other = await open_quotas(world, cast("Store", store), QuotaMode.MACHINE)
        await other.set_rate(ONE, TASKS.key, Rate(7, 2))
        store.meanwhile.append(refuse)
        await world.sleep(5.5)
        assert quotas.rate(ONE, TASKS) is None
        await world.sleep(5.0)
        assert quotas.rate(ONE, TASKS) == Rate(7, 2)

    interrupted(body)


def test_what_is_set_while_the_others_changes_are_read_holds_at_once() -> None:
    async def body(world: VirtualWorld, store: Interrupted, quotas: QuotaRegistry) -> None:
        async def set_one() -> None:
            await quotas.set_rate(ONE, TASKS.key, Rate(7, 2))

        async def reset() -> None:
            await quotas.reset(ONE, TASKS.key)

        store.meanwhile.append(set_one)
        await world.sleep(5.5)
        assert quotas.rate(ONE, TASKS) == Rate(7, 2)
        store.meanwhile.append(reset)
        await world.sleep(5.0)
        assert quotas.rate(ONE, TASKS) is None

    interrupted(body)
