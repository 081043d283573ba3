"""`neargate quota`: what the desk answers over a registry in memory, and how the command shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.cli import quota
from neargate.cli.commands import parser as commands
from neargate.cli.commands import sharing as sharing_commands
from neargate.cli.desks.quota import LimitRefused, QuotaDesk, parse_rate
from neargate.cli.paths import RegionPaths
from neargate.frontend.limits.api_buckets import BY_KEY as BUCKETS
from neargate.frontend.limits.registry import MIGRATIONS, open_quotas
from neargate.frontend.limits.token_bucket import Rate
from neargate.model.knobs import Knobs
from neargate.model.quotas import BY_KEY as QUOTAS
from neargate.model.quotas import CLUSTERS_PER_ACCOUNT, QuotaMode
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ACCOUNT = "123456789012"
TASKS, CLUSTERS = "ecs/task-modify", CLUSTERS_PER_ACCOUNT.key


def story(body: Callable[[QuotaDesk], Awaitable[None]], mode: QuotaMode = QuotaMode.MACHINE) -> None:
    async def told() -> None:
        world = OsWorld()
        store = await MemoryStores(world, Knobs()).open("region", MIGRATIONS)
        await body(QuotaDesk(await open_quotas(world, store, mode), lambda account: account == ACCOUNT, lambda: 7))

    asyncio.run(told())


async def row(desk: QuotaDesk, key: str, account: str = "") -> dict[str, Any]:
    answer = await desk.listed({"account": account})
    [found] = [limit for limit in answer["limits"] if limit["key"] == key]
    return dict(found)


def test_every_limit_is_listed_with_what_holds() -> None:
    async def body(desk: QuotaDesk) -> None:
        answer = await desk.listed({})
        assert answer["refused"] == 7
        assert [limit["key"] for limit in answer["limits"]] == [*QUOTAS, *BUCKETS]
        found = await row(desk, TASKS)
        assert (found["value"], found["aws"], found["is_set"]) == ("none", "100/40", False)
        assert (await row(desk, "fargate/L-3032A538"))["value"] == "hosts"
        assert (await row(desk, CLUSTERS))["value"] == "10000"

    story(body)


def test_set_and_reset_for_all_and_for_one() -> None:
    async def body(desk: QuotaDesk) -> None:
        await desk.change({"key": TASKS, "value": "10/2.5"})
        await desk.change({"key": TASKS, "value": "none", "account": ACCOUNT})
        await desk.change({"key": CLUSTERS, "value": "12", "account": ACCOUNT})
        assert (await row(desk, TASKS))["value"] == "10/2.5"
        assert (await row(desk, TASKS, ACCOUNT))["value"] == "none"
        own = (await desk.listed({}))["own"]
        assert {(item["key"], item["value"]) for item in own} == {(TASKS, "none"), (CLUSTERS, "12")}
        await desk.reset({"key": TASKS, "account": ACCOUNT})
        assert (await row(desk, TASKS, ACCOUNT))["value"] == "10/2.5"
        await desk.reset({"key": TASKS})
        assert (await row(desk, TASKS))["value"] == "100/40"

    story(body, QuotaMode.AWS)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"key": "ecs/nothing", "value": "1"}, "no limit 'ecs/nothing'"),
        ({"key": "ecs/nothing", "value": "1/1"}, "no limit 'ecs/nothing'"),
        ({"key": TASKS, "value": "5"}, "BURST/PER_SECOND"),
        ({"key": TASKS, "value": "5/0"}, "rate of 0"),
        ({"key": TASKS, "value": "x/1"}, "'x' is not a number"),
        ({"key": TASKS, "value": "0/1"}, "burst below 1"),
        ({"key": CLUSTERS, "value": "nan"}, "not a number"),
        ({"key": CLUSTERS, "value": "-1"}, "from 0"),
        ({"key": CLUSTERS, "value": "1", "account": "999999999999"}, "no account '999999999999'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(request_: dict[str, Any], words: str) -> None:
    async def body(desk: QuotaDesk) -> None:
        with pytest.raises(LimitRefused, match=words):
            await desk.change(request_)

    story(body)


def test_a_rate_as_written() -> None:
    assert parse_rate("100/20") == Rate(100, 20)
    assert parse_rate("none") is None


def test_the_command_shows_requests_with_what_grants_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    facts = {
        "mode": "machine",
        "refused": 3,
        "limits": [{"key": TASKS, "value": "none", "aws": "100/40", "is_set": False, "name": ""}],
        "own": [{"account": ACCOUNT, "key": CLUSTERS, "value": "12"}],
        "requests": [{"account": ACCOUNT, "key": CLUSTERS, "desired": "20000", "requester": "arn:aws:iam::1:user/u"}],
    }
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(quota, "ask", lambda *args, **named: asked.append((*args[1:], named)) or facts)
    paths = RegionPaths(tmp_path)
    lines = quota.listed(paths, "").splitlines()
    assert any(line.split() == [TASKS, "none", "100/40", "-"] for line in lines)
    assert f"neargate quota set {CLUSTERS} 20000 --account {ACCOUNT} --data {tmp_path}" in lines[-1]
    assert quota.change(paths, TASKS, "5/1", "") == f"{TASKS} is now 5/1 for all accounts"
    assert asked[-1] == ("quota-set", {"key": TASKS, "value": "5/1", "account": ""})


@pytest.mark.parametrize(
    ("words", "function", "account"),
    [
        (["quota"], "quota_list", ""),
        (["quota", "list", "--account", ACCOUNT], "quota_list", ACCOUNT),
        (["quota", "set", TASKS, "5/1"], "_quota_set", ""),
        (["quota", "reset", TASKS, "--account", ACCOUNT], "_quota_reset", ACCOUNT),
    ],
)
def test_the_words_of_the_command(words: list[str], function: str, account: str) -> None:
    given = commands.parser().parse_args(words)
    assert given.command is getattr(sharing_commands, function) and given.account == account
    assert commands.parser().parse_args([*words, "--data", "/elsewhere"]).data == "/elsewhere"
