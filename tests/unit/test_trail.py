"""The record's store: what is found and in which order, its bounds, what a full disk and a broken call do to it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from neargate.interfaces.trail import NOBODY, Place, TrailEntry, TrailQuery
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.trail import losses
from neargate.trail.chunk import SPAN_MAX_MS, pack, split, unpack
from neargate.trail.store import Trail
from neargate.trail.sweep import too_much
from neargate.world import OsWorld

ME, OTHER = "123456789012", "999999999999"
NOW_MS = 1_795_300_000_000
DAY_MS = 24 * 3600 * 1000


class FixedClock(OsWorld):
    """The real world but for its wall clock, which tests set."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = NOW_MS / 1000

    def now(self) -> float:
        return self.wall


class Rig:
    def __init__(self, **knobs: Any) -> None:
        self.world = FixedClock()
        self.disk = MemoryDisk()
        self.knobs = Knobs(**knobs)

    async def open(self) -> Trail:
        return await Trail.open(self.world, MemoryStores(self.world, self.knobs, self.disk), self.knobs, "us-east-1")


def with_trail(body: Callable[[Trail, Rig], Awaitable[None]], **knobs: Any) -> None:
    async def main() -> None:
        rig = Rig(**knobs)
        await body(await rig.open(), rig)

    asyncio.run(main())


def entry(number: int, **changed: Any) -> TrailEntry:
    found = {
        "at_ms": NOW_MS + number,
        "event_id": f"event-{number}",
        "name": "RunTask" if number % 2 else "DescribeTasks",
        "source": "ecs.amazonaws.com",
        "read_only": number % 2 == 0,
        "username": "ann",
        "access_key_id": "AKIAANN",
        "resources": (("AWS::ECS::Task", f"arn:aws:ecs:us-east-1:{ME}:task/web/{number:04d}"),),
        "management": True,
        "document": f'{{"n":{number}}}',
        **changed,
    }
    return TrailEntry(**found)


def give(trail: Trail, *entries: TrailEntry, account: str = ME) -> None:
    for one in entries:
        trail.submit(account, 100, lambda one=one: one)  # type: ignore[misc]


async def ids(trail: Trail, **wanted: Any) -> list[str]:
    """All pages."""
    wanted.setdefault("account", ME)
    found: list[str] = []
    after: Place | None = None
    while True:
        page = await trail.lookup(TrailQuery(**wanted), after)
        found += [one.event_id for one in page.entries]
        after = page.more
        if after is None:
            return found


def test_calls_come_newest_first_over_chunks_and_pages() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        for first in (0, 20, 40):
            give(trail, *(entry(n) for n in range(first, first + 20)))
            await trail.flush()
        expected = [f"event-{n}" for n in reversed(range(60))]
        for limit in (1, 7, 20, 50):
            assert await ids(trail, limit=limit) == expected
        assert await ids(trail, oldest_first=True, limit=7) == expected[::-1]
        assert await ids(trail, account=None, oldest_first=True) == expected[::-1]
        assert await ids(trail, account=OTHER) == []

    with_trail(body, trail_chunk_max=8)


@pytest.mark.parametrize(
    ("attribute", "numbers"),
    [
        (("EventId", "event-5"), [5]),
        (("EventName", "RunTask"), [9, 7, 5, 3, 1]),
        (("ReadOnly", "true"), [8, 6, 4, 2, 0]),
        (("Username", "bob"), [3]),
        (("AccessKeyId", "AKIABOB"), [3]),
        (("EventSource", "ecs.amazonaws.com"), list(range(9, -1, -1))),
        (("ResourceType", "AWS::ECS::Task"), list(range(9, -1, -1))),
        (("ResourceName", f"arn:aws:ecs:us-east-1:{ME}:task/web/0004"), [4]),
        (("ResourceName", "0004"), [4]),
        (("ResourceName", "004"), []),
        (("EventName", "runtask"), []),
    ],
)
def test_each_attribute_finds_its_calls(attribute: tuple[str, str], numbers: list[int]) -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        for n in range(10):
            bob = {"username": "bob", "access_key_id": "AKIABOB"} if n == 3 else {}
            give(trail, entry(n, **bob))
            give(trail, entry(n, event_id=f"other-{n}"), account=OTHER)
            if n % 3 == 0:
                await trail.flush()
        await trail.flush()
        assert await ids(trail, attribute=attribute, limit=2) == [f"event-{n}" for n in numbers]

    with_trail(body)


def test_times_are_inclusive_and_data_events_are_for_the_operator() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        give(trail, *(entry(n, at_ms=NOW_MS + n * 50_000, management=n != 2) for n in range(6)))
        await trail.flush()
        assert await ids(trail, start_ms=NOW_MS + 50_000, end_ms=NOW_MS + 200_000) == ["event-4", "event-3", "event-1"]
        assert await ids(trail, end_ms=NOW_MS - 1) == []
        assert "event-2" in await ids(trail, management_only=False)

    with_trail(body)


def test_a_search_for_what_is_not_there_ends_page_by_page() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        for n in range(40):
            give(trail, entry(n, management=False))
            await trail.flush()
        page = await trail.lookup(TrailQuery(account=ME), None)
        assert page.entries == [] and page.more is not None
        assert await ids(trail) == []

    with_trail(body, trail_scan_max_chunks=16)


def test_what_was_flushed_survives_a_kill_and_numbers_go_on() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        give(trail, entry(1))
        await trail.flush()
        give(trail, entry(2))  # not flushed: this is what a kill may lose
        rig.disk.crash()
        again = await rig.open()
        give(again, entry(3))
        await again.flush()
        assert await ids(again) == ["event-3", "event-1"]

    with_trail(body)


def test_a_full_disk_keeps_calls_waiting_and_counts_what_finds_no_room() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        rig.disk.is_full = True
        give(trail, *(entry(n) for n in range(4)))
        await trail.flush()
        give(trail, *(entry(n) for n in range(4, 12)))
        await trail.flush()
        assert await ids(trail) == []
        rig.disk.is_full = False
        await trail.flush()
        found = await trail.lookup(TrailQuery(account=ME), None)
        said = [msgspec.json.decode(one.document) for one in found.entries if one.name == losses.EVENT_NAME]
        assert [one["serviceEventDetails"]["count"] for one in said] == [2]
        assert said[0]["serviceEventDetails"]["reason"] == losses.NO_ROOM
        kept = sorted(int(one.event_id[6:]) for one in found.entries if one.name != losses.EVENT_NAME)
        assert kept == list(range(10))

    with_trail(body, trail_queue_max=10)


def test_the_queue_is_bounded_by_bytes_too() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        give(trail, *(entry(n) for n in range(5)))  # 100 bytes each
        await trail.flush()
        assert len([one for one in await ids(trail) if one.startswith("event")]) == 3
        give(trail, *(entry(n) for n in range(10, 12)))
        await trail.flush()
        assert {"event-10", "event-11"} <= set(await ids(trail))

    with_trail(body, trail_queue_max_bytes=350)


def test_a_call_that_cannot_be_described_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> TrailEntry:
        raise ValueError("planted-secret")

    async def body(trail: Trail, rig: Rig) -> None:
        give(trail, entry(1))
        trail.submit(ME, 1, broken)
        give(trail, entry(2))
        await trail.flush()
        found = await ids(trail)
        assert {"event-1", "event-2"} <= set(found) and len(found) == 3

    with_trail(body)
    assert "call_not_recorded" in caplog.text and "planted-secret" not in caplog.text


def test_old_calls_are_forgotten_and_their_terms_with_them() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        give(trail, entry(1), entry(2, at_ms=NOW_MS - 100 * DAY_MS))
        await trail.flush()
        assert await trail.sweep() == "forgot 1 calls that were too old"
        assert await ids(trail) == ["event-1"]
        assert await trail.sweep() == ""
        rig.world.wall += 91 * DAY_MS / 1000
        await trail.sweep()
        shard = rig.disk.databases["trail"]
        assert shard.execute("SELECT count(*) FROM trail_terms").fetchone() == (0,)
        assert shard.execute("SELECT sum(stored) FROM trail_accounts").fetchone() == (0,)

    with_trail(body)


def test_beyond_its_size_the_oldest_of_who_has_most_go() -> None:
    async def body(trail: Trail, rig: Rig) -> None:
        give(trail, entry(0, event_id="early"), account=OTHER)
        await trail.flush()
        for n in range(1, 40):
            give(trail, entry(n))
            await trail.flush()
        assert (await trail.sweep()).startswith("dropped the oldest ")
        left = await ids(trail)
        assert 0 < len(left) < 39 and left == [f"event-{n}" for n in range(39, 39 - len(left), -1)]
        assert await ids(trail, account=OTHER) == ["early"]

    with_trail(body, trail_stored_max_bytes=15_000, trail_sweep_batch_max=4)


def test_nobody_pushes_out_nobody() -> None:
    knobs = Knobs(trail_stored_max_bytes=1000, trail_nobody_share=0.1)
    assert too_much({NOBODY: 101, ME: 10}, knobs) == NOBODY
    assert too_much({NOBODY: 100, ME: 900}, knobs) is None
    assert too_much({NOBODY: 100, ME: 500, OTHER: 401}, knobs) == ME


def test_chunks_are_small_alone_and_cover_a_bounded_time() -> None:
    entries = [entry(n, at_ms=NOW_MS + n * SPAN_MAX_MS // 2) for n in range(5)]
    runs = list(split(reversed(entries), 256))
    assert [len(run) for run in runs] == [3, 2]
    assert unpack(pack(ME, entries).body) == entries
    document = (
        '{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDACKCEVSQ6C2EXAMPLE","arn":"arn:aws:'
        'iam::123456789012:user/ann","accountId":"123456789012","accessKeyId":"AKIAIOSFODNN7EXAMPLE","userName":"ann"}'
        ',"eventTime":"2026-11-22T00:00:00Z","eventSource":"ecs.amazonaws.com","eventName":"DescribeTasks"}'
    )
    assert len(pack(ME, [entry(1, document=document)]).body) < len(document) * 0.75
