"""`neargate audit`: every record of a time once, oldest first, in answers that the operator's socket can carry."""

import asyncio
import json
from typing import Any

import pytest

from neargate.cli.audit import moment
from neargate.cli.desks.audit import AuditDesk, task_calls
from neargate.cli.problems import Problem
from neargate.interfaces.trail import NOBODY, TrailEntry
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.trail.store import Trail
from neargate.world import OsWorld

ME, OTHER = "123456789012", "999999999999"
NOW = 1_795_300_000.0
TASK = f"arn:aws:ecs:us-east-1:{ME}:task/web/0123"


def entry(number: int, name: str = "ListClusters", size: int = 10, **record: Any) -> TrailEntry:
    document = {
        "n": number,
        "pad": "x" * size,
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{ME}:user/ann"},
        "sourceIPAddress": "192.0.2.7",
        "requestID": f"r-{number}",
        **record,
    }
    return TrailEntry(
        at_ms=int(NOW * 1000) + number,
        event_id=f"e-{number}",
        name=name,
        source="ecs.amazonaws.com",
        read_only=False,
        username="ann",
        access_key_id="AKIA",
        resources=(("AWS::ECS::Task", TASK),),
        management=number % 2 == 0,
        document=json.dumps(document),
    )


async def trail_of(entries: list[tuple[str, TrailEntry]]) -> Trail:
    world, knobs = OsWorld(), Knobs()
    trail = await Trail.open(world, MemoryStores(world, knobs), knobs, "us-east-1")
    for account, one in entries:
        trail.submit(account, 1, lambda one=one: one)  # type: ignore[misc]
    return trail


async def pages(desk: AuditDesk, **wanted: Any) -> list[list[int]]:
    found: list[list[int]] = []
    after = None
    while True:
        answer = json.loads(json.dumps(await desk.page({"end_ms": 1 << 50, "after": after, **wanted})))
        found.append([json.loads(record)["n"] for record in answer["records"]])
        after = answer["after"]
        if after is None:
            return found


def test_every_record_comes_once_also_nobodys_and_what_was_just_called() -> None:
    async def story() -> None:
        given = [((ME, OTHER, NOBODY)[n % 3], entry(n)) for n in range(600)]
        desk = AuditDesk(await trail_of(given))
        assert sorted(n for page in await pages(desk) for n in page) == list(range(600))
        assert [n for page in await pages(desk, account=ME) for n in page] == list(range(0, 600, 3))
        start = int(NOW * 1000)
        assert (await pages(desk, account=ME, start_ms=start + 3, end_ms=start + 9))[0] == [3, 6, 9]

    asyncio.run(story())


def test_large_records_come_in_more_answers() -> None:
    async def story() -> None:
        desk = AuditDesk(await trail_of([(ME, entry(n, size=200_000)) for n in range(12)]))
        found = await pages(desk)
        assert [n for page in found for n in page] == list(range(12)) and max(map(len, found)) <= 5

    asyncio.run(story())


def test_who_ran_and_stopped_a_task() -> None:
    async def story() -> None:
        calls = [
            entry(2, "RunTask"),
            entry(4, "DescribeTasks"),
            entry(6, "StopTask", errorCode="AccessDenied"),
            entry(8, "StopTask"),
        ]
        found = await task_calls(await trail_of([(ME, call) for call in calls]), TASK)
        assert [(call["name"], call["request_id"]) for call in found] == [("RunTask", "r-2"), ("StopTask", "r-8")]
        assert found[0]["by"].endswith("user/ann") and found[0]["from"] == "192.0.2.7"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW - 1800),
        ("7d", NOW - 7 * 86_400),
        ("2026-11-21T22:26:40Z", NOW),
        ("2026-11-21T22:26:40", NOW),
        ("2026-11-21", NOW - NOW % 86_400),
    ],
)
def test_times(text: str, expected: float) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "5y", "-1h", "2026-13-01", "99999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="is no time"):
        moment(text, NOW)
