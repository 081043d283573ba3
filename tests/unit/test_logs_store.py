"""CloudWatch Logs' store: exactly once from agents, order of events, paging, limits, deletion."""

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from neargate.interfaces.roles import EventRange, GroupFilter, LogTarget, StreamOrder
from neargate.logs.store import Logs
from neargate.model.errors import (
    InvalidParameter,
    InvalidSequenceToken,
    ResourceAlreadyExists,
    ResourceNotFound,
)
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ME = "123456789012"
OTHER = "999999999999"
NOW = 1_700_000_000.0
NOW_MS = int(NOW * 1000)
DAY_MS = 24 * 3600 * 1000


class FixedClock(OsWorld):
    """The real world but for its wall clock, which tests set."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = NOW

    def now(self) -> float:
        return self.wall


def with_logs(body: Callable[[Logs], Awaitable[None]], knobs: Knobs | None = None) -> None:
    async def main() -> None:
        world = FixedClock()
        logs = await Logs.open(world, MemoryStores(world, Knobs()), knobs or Knobs(), "us-east-1")
        await logs.create_group(ME, "/app", {})
        await logs.create_stream(ME, "/app", "one")
        await body(logs)

    asyncio.run(main())


def target(stream: str = "one", group: str = "/app", create: bool = False, account: str = ME) -> LogTarget:
    return LogTarget(account=account, region="us-east-1", group=group, stream=stream, create_group=create)


async def get(logs: Logs, stream: str = "one", **wanted: Any) -> dict[str, Any]:
    return dict(json.loads(await logs.get_events(ME, "/app", stream, EventRange(**wanted))))


async def find(logs: Logs, pattern: str = "", streams: list[str] | None = None, **wanted: Any) -> dict[str, Any]:
    prefix = wanted.pop("prefix", None)
    wanted = {"from_head": True, **wanted}
    return dict(json.loads(await logs.filter_events(ME, "/app", streams, prefix, pattern, EventRange(**wanted))))


def messages(page: dict[str, Any]) -> list[str]:
    return [event["message"] for event in page["events"]]


def test_an_agents_lines_come_out_as_they_went_in() -> None:
    async def body(logs: Logs) -> None:
        opened = await logs.open_source(target("ecs/web/1"), "task/web")
        assert opened.offset == 0
        lines = "héllo\n\nbröken \n{}".encode().replace(b"br\xc3\xb6", b"br\xff")
        end = await logs.append(opened.stream_key, "task/web", 0, len(lines) + 1, [(NOW_MS, 3), (NOW_MS + 5, 1)], lines)
        assert end == len(lines) + 1
        page = await get(logs, "ecs/web/1", from_head=True)
        assert [(event["timestamp"], event["message"]) for event in page["events"]] == [
            (NOW_MS, "héllo"),
            (NOW_MS, "br\ufffdken "),
            (NOW_MS + 5, "{}"),
        ]
        assert {event["ingestionTime"] for event in page["events"]} == {NOW_MS}

    with_logs(body)


def test_a_chunk_sent_again_is_acknowledged_and_stored_once() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        assert await logs.append(key, "s", 0, 4, [(NOW_MS, 2)], b"a\nb") == 4
        assert await logs.append(key, "s", 0, 4, [(NOW_MS, 2)], b"a\nb") == 4
        assert await logs.append(key, "s", 0, 2, [(NOW_MS, 1)], b"a") == 4
        assert (await logs.open_source(target(), "s")).offset == 4
        assert messages(await get(logs)) == ["a", "b"]

    with_logs(body)


def test_an_overlapping_chunk_is_trimmed_at_a_line_or_answered_with_where_to_go_on() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        await logs.append(key, "s", 0, 4, [(NOW_MS, 2)], b"a\nb")
        assert await logs.append(key, "s", 2, 8, [(NOW_MS + 1, 2), (NOW_MS + 2, 1)], b"b\nc\nd") == 8
        assert messages(await get(logs)) == ["a", "b", "c", "d"]
        assert [event["timestamp"] - NOW_MS for event in (await get(logs))["events"]] == [0, 0, 1, 2]
        # A long line was split: the sums nearly fit, the places do not.
        assert await logs.append(key, "s", 6, 12, [(NOW_MS, 3)], b"d\nee\nf") == 8
        # Lines that are not the source's bytes cannot be cut: nothing is stored, the sender hears where to go on.
        assert await logs.append(key, "s", 6, 100, [(NOW_MS, 2)], b"d\ne") == 8
        assert len(messages(await get(logs))) == 4

    with_logs(body)


def test_a_chunk_beyond_the_stored_bytes_is_refused_with_the_offset() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        with pytest.raises(InvalidSequenceToken) as refused:
            await logs.append(key, "s", 10, 12, [(NOW_MS, 1)], b"x")
        assert refused.value.fields == {"expectedSequenceToken": "0"}
        assert messages(await get(logs)) == []

    with_logs(body)


def test_racing_senders_of_one_source_store_each_byte_once() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        await asyncio.gather(*(logs.append(key, "s", 0, 2, [(NOW_MS, 1)], b"a") for _ in range(20)))
        assert messages(await get(logs)) == ["a"]

    with_logs(body)


def test_a_chunk_of_dropped_lines_moves_the_offset_only() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        assert await logs.append(key, "s", 0, 50, [], b"") == 50
        assert (await logs.open_source(target(), "s")).offset == 50
        assert messages(await get(logs)) == []

    with_logs(body)


@pytest.mark.parametrize(
    ("start", "end", "runs", "lines"),
    [
        (0, 2, [(NOW_MS, 2)], b"a"),
        (0, 2, [(NOW_MS, 0), (NOW_MS, 1)], b"a"),
        (0, 2, [(-1, 1)], b"a"),
        (2, 0, [(NOW_MS, 1)], b"a"),
        (-1, 2, [(NOW_MS, 1)], b"a"),
        (0, 2, [(1 << 60, 1)], b"a"),
        (0, 3 * 1024 * 1024, [(NOW_MS, 1)], b"a" * (3 * 1024 * 1024)),
        (0, 200_000, [(NOW_MS, 100_000)], b"a\n" * 99_999 + b"a"),
    ],
)
def test_a_chunk_that_cannot_be_true_is_refused(
    start: int, end: int, runs: list[tuple[int, int]], lines: bytes
) -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        with pytest.raises(InvalidParameter):
            await logs.append(key, "s", start, end, runs, lines)
        assert messages(await get(logs)) == []

    with_logs(body)


def test_opening_a_source_in_a_missing_group_is_refused_unless_it_may_be_made() -> None:
    async def body(logs: Logs) -> None:
        with pytest.raises(ResourceNotFound, match=r"The specified log group does not exist\."):
            await logs.open_source(target(group="/new"), "s")
        first, second = await asyncio.gather(
            *(logs.open_source(target(group="/new", create=True), name) for name in ("s", "t"))
        )
        assert first.stream_key == second.stream_key
        with pytest.raises(InvalidParameter):
            await logs.open_source(
                LogTarget(account=ME, region="eu-west-1", group="/new", stream="x", create_group=True), "s"
            )

    with_logs(body)


def test_events_are_kept_over_a_restart() -> None:
    async def main() -> None:
        world = FixedClock()
        stores = MemoryStores(world, Knobs())
        logs = await Logs.open(world, stores, Knobs(), "us-east-1")
        key = (await logs.open_source(target(create=True), "s")).stream_key
        await logs.append(key, "s", 0, 2, [(NOW_MS, 1)], b"a")
        again = await Logs.open(FixedClock(), stores, Knobs(), "us-east-1")
        assert (await again.open_source(target(), "s")).offset == 2
        assert messages(await get(again)) == ["a"]

    asyncio.run(main())


def test_paging_forward_and_backward_shows_every_event_once_in_order() -> None:
    async def body(logs: Logs) -> None:
        rng = random.Random(7)
        expected = []
        for number in range(60):
            start = NOW_MS - rng.randrange(2000)
            batch = [(start + 10 * step, f"{number}.{step}") for step in range(rng.randrange(1, 30))]
            await logs.put_events(ME, "/app", "one", batch)
            expected += [(timestamp, place) for place, (timestamp, _) in enumerate(batch, len(expected))]
        times = [timestamp for timestamp, _ in sorted(expected)]
        for from_head, token_name in ((True, "nextForwardToken"), (False, "nextBackwardToken")):
            seen: list[dict[str, Any]] = []
            token = None
            while True:
                page = await get(logs, from_head=from_head, limit=37, token=token)
                if not page["events"]:
                    assert page[token_name] == token
                    break
                seen = [*seen, *page["events"]] if from_head else [*page["events"], *seen]
                token = page[token_name]
            assert [event["timestamp"] for event in seen] == times
            assert len({event["message"] for event in seen}) == len(expected)

    with_logs(body, Knobs(logs_step_max_bytes=500, logs_scan_max_bytes=1000))


def test_the_tokens_of_an_empty_page_turn_around_without_losing_the_last_event() -> None:
    async def body(logs: Logs) -> None:
        await logs.put_events(ME, "/app", "one", [(NOW_MS + step, str(step)) for step in range(4)])
        end = await get(logs, from_head=True)
        empty = await get(logs, token=end["nextForwardToken"])
        assert (empty["events"], empty["nextForwardToken"]) == ([], end["nextForwardToken"])
        assert messages(await get(logs, token=empty["nextBackwardToken"], limit=2)) == ["2", "3"]
        start = await get(logs, token=end["nextBackwardToken"])
        assert (start["events"], start["nextBackwardToken"]) == ([], end["nextBackwardToken"])
        assert messages(await get(logs, token=start["nextForwardToken"], limit=2)) == ["0", "1"]

    with_logs(body)


def test_following_by_token_sees_what_comes_later_also_in_an_empty_stream() -> None:
    async def body(logs: Logs) -> None:
        first = await get(logs)
        assert first["events"] == []
        await logs.put_events(ME, "/app", "one", [(NOW_MS, "a")])
        second = await get(logs, token=first["nextForwardToken"])
        assert messages(second) == ["a"]
        await logs.put_events(ME, "/app", "one", [(NOW_MS, "same millisecond")])
        assert messages(await get(logs, token=second["nextForwardToken"])) == ["same millisecond"]

    with_logs(body)


def test_times_bound_what_is_read_and_the_latest_come_first_by_default() -> None:
    async def body(logs: Logs) -> None:
        await logs.put_events(ME, "/app", "one", [(NOW_MS + step, str(step)) for step in range(10)])
        assert messages(await get(logs, start_ms=NOW_MS + 2, end_ms=NOW_MS + 5)) == ["2", "3", "4"]
        assert messages(await get(logs, limit=3)) == ["7", "8", "9"]
        assert messages(await get(logs, start_ms=(1 << 63) - 1)) == []
        assert len(messages(await get(logs, start_ms=0, end_ms=1 << 63))) == 10
        assert messages(await get(logs, limit=3, from_head=True)) == ["0", "1", "2"]

    with_logs(body)


def test_a_page_holds_about_a_mebibyte() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        line = b"x" * 99
        lines = b"\n".join([line] * 8000)
        at = 0
        for _ in range(3):
            at = await logs.append(key, "s", at, at + len(lines) + 1, [(NOW_MS, 8000)], lines)
        seen = 0
        token = None
        sizes = []
        while page := await get(logs, from_head=True, token=token):
            if not page["events"]:
                break
            seen += len(page["events"])
            sizes.append(sum(len(event["message"]) + 26 for event in page["events"]))
            token = page["nextForwardToken"]
        assert seen == 24_000
        assert max(sizes) <= 1_048_576
        assert len(sizes) == 3

    with_logs(body)


@pytest.mark.parametrize(
    "token", ["", "f/1", "x/" + "0" * 56, "f/" + "9" * 56 + "/s", "f/" + "1" * 57, "b/" + "0" * 55]
)
def test_an_invented_token_is_refused(token: str) -> None:
    async def body(logs: Logs) -> None:
        with pytest.raises(InvalidParameter, match=r"The specified nextToken is invalid\."):
            await get(logs, token=token)

    with_logs(body)


def test_filter_interleaves_the_groups_streams_and_pages_to_the_end() -> None:
    async def body(logs: Logs) -> None:
        for name in ("a", "b", "c"):
            await logs.create_stream(ME, "/app", name)
        for step in range(30):
            await logs.put_events(ME, "/app", "abc"[step % 3], [(NOW_MS + step, f"line {step}")])
        seen: list[dict[str, Any]] = []
        token = None
        while True:
            page = await find(logs, limit=7, token=token)
            seen += page["events"]
            token = page.get("nextToken")
            if token is None:
                break
        assert [event["message"] for event in seen] == [f"line {step}" for step in range(30)]
        assert [event["logStreamName"] for event in seen[:4]] == ["a", "b", "c", "a"]
        assert len({event["eventId"] for event in seen}) == 30
        assert messages(await find(logs, streams=["b"], limit=2)) == ["line 1", "line 4"]
        assert messages(await find(logs, prefix="c", limit=2)) == ["line 2", "line 5"]
        assert messages(await find(logs, from_head=False, limit=2)) == ["line 29", "line 28"]
        latest = await find(logs, from_head=False, limit=2)
        assert messages(await find(logs, limit=2, token=latest["nextToken"])) == ["line 27", "line 26"]

    with_logs(body)


def test_a_rare_term_is_found_over_several_answers_without_scanning_all_in_one() -> None:
    async def body(logs: Logs) -> None:
        for step in range(50):
            text = "needle" if step in (11, 44) else "hay"
            await logs.put_events(ME, "/app", "one", [(NOW_MS + step, f"{text} {step}")])
        found: list[str] = []
        pages = 0
        token = None
        while True:
            page = await find(logs, "needle", token=token)
            found += messages(page)
            pages += 1
            token = page.get("nextToken")
            if token is None:
                break
        assert found == ["needle 11", "needle 44"]
        assert pages > 5

    with_logs(body, Knobs(logs_step_max_bytes=100, logs_scan_max_bytes=200))


def test_accounts_do_not_see_each_other() -> None:
    async def body(logs: Logs) -> None:
        await logs.create_group(OTHER, "/app", {})
        with pytest.raises(ResourceNotFound, match=r"The specified log stream does not exist\."):
            await logs.get_events(OTHER, "/app", "one", EventRange())
        await logs.delete_group(OTHER, "/app")
        assert (await logs.describe_groups(OTHER, GroupFilter(), 50, None)) == ([], None)
        assert len((await logs.describe_groups(ME, GroupFilter(), 50, None))[0]) == 1

    with_logs(body)


def test_what_exists_cannot_be_made_again_and_what_is_missing_not_deleted() -> None:
    async def body(logs: Logs) -> None:
        with pytest.raises(ResourceAlreadyExists, match="The specified log group already exists"):
            await logs.create_group(ME, "/app", {})
        with pytest.raises(ResourceAlreadyExists, match="The specified log stream already exists"):
            await logs.create_stream(ME, "/app", "one")
        with pytest.raises(ResourceNotFound, match=r"The specified log group does not exist\."):
            await logs.create_stream(ME, "/nope", "one")
        with pytest.raises(ResourceNotFound, match=r"The specified log group does not exist\."):
            await logs.delete_group(ME, "/nope")
        with pytest.raises(ResourceNotFound, match=r"The specified log stream does not exist\."):
            await logs.delete_stream(ME, "/app", "nope")
        with pytest.raises(ResourceNotFound, match=r"The specified log stream does not exist\."):
            await logs.put_events(ME, "/app", "nope", [(NOW_MS, "a")])

    with_logs(body)


def test_a_deleted_group_is_gone_at_once_its_chunks_later_and_its_name_is_free() -> None:
    async def body(logs: Logs) -> None:
        opened = await logs.open_source(target(), "s")
        await logs.append(opened.stream_key, "s", 0, 2, [(NOW_MS, 1)], b"a")
        await logs.delete_group(ME, "/app")
        with pytest.raises(ResourceNotFound, match=r"The specified log stream does not exist\."):
            await logs.append(opened.stream_key, "s", 2, 4, [(NOW_MS, 1)], b"b")
        await logs.create_group(ME, "/app", {})
        await logs.create_stream(ME, "/app", "one")
        assert messages(await get(logs)) == []
        assert await logs.sweep() == "freed 1 chunks of deleted streams"
        assert await logs.sweep() == ""

    with_logs(body)


def test_a_deleted_streams_events_leave_its_group() -> None:
    async def body(logs: Logs) -> None:
        await logs.create_stream(ME, "/app", "two")
        for name in ("one", "two"):
            await logs.put_events(ME, "/app", name, [(NOW_MS, name)])
        await logs.delete_stream(ME, "/app", "one")
        assert messages(await find(logs)) == ["two"]
        assert (await logs.describe_groups(ME, GroupFilter(), 50, None))[0][0]["storedBytes"] == 3 + 26
        assert await logs.sweep() == "freed 1 chunks of deleted streams"
        assert messages(await find(logs)) == ["two"]

    with_logs(body)


def test_above_the_cap_the_oldest_chunks_go_and_are_counted() -> None:
    async def body(logs: Logs) -> None:
        key = (await logs.open_source(target(), "s")).stream_key
        rng = random.Random(1)
        at = 0
        for step in range(100):
            line = rng.randbytes(1000).hex().encode()
            at = await logs.append(key, "s", at, at + len(line) + 1, [(NOW_MS + step, 1)], line)
        assert "dropped the oldest" in await logs.sweep()
        kept = (await get(logs, from_head=True))["events"]
        assert 20 < len(kept) < 60
        assert kept[-1]["timestamp"] == NOW_MS + 99
        assert [event["timestamp"] for event in kept] == list(range(kept[0]["timestamp"], NOW_MS + 100))
        assert await logs.sweep() == ""

    with_logs(body, Knobs(logs_stored_max_bytes=64 * 1024))


def test_groups_are_listed_by_name_in_pages_with_prefix_and_pattern() -> None:
    async def body(logs: Logs) -> None:
        for name in ("/b/web", "/b/api", "/c"):
            await logs.create_group(ME, name, {"k": "v"})
        seen: list[str] = []
        token = None
        while True:
            groups, token = await logs.describe_groups(ME, GroupFilter(), 3, token)
            seen += [group["logGroupName"] for group in groups]
            if token is None:
                break
        assert seen == ["/app", "/b/api", "/b/web", "/c"]
        only = await logs.describe_groups(ME, GroupFilter(prefix="/b"), 50, None)
        assert [group["logGroupName"] for group in only[0]] == ["/b/api", "/b/web"]
        only = await logs.describe_groups(ME, GroupFilter(pattern="p"), 50, None)
        assert [group["logGroupName"] for group in only[0]] == ["/app", "/b/api"]
        only = await logs.describe_groups(ME, GroupFilter(names=("/c", "/x")), 50, None)
        assert only[0] == [
            {
                "logGroupName": "/c",
                "creationTime": NOW_MS,
                "metricFilterCount": 0,
                "arn": f"arn:aws:logs:us-east-1:{ME}:log-group:/c:*",
                "storedBytes": 0,
                "logGroupClass": "STANDARD",
                "logGroupArn": f"arn:aws:logs:us-east-1:{ME}:log-group:/c",
                "deletionProtectionEnabled": False,
            }
        ]

    with_logs(body)


@pytest.mark.parametrize("by_last_event", [False, True])
@pytest.mark.parametrize("descending", [False, True])
def test_streams_are_listed_in_either_order_in_pages(by_last_event: bool, descending: bool) -> None:
    async def body(logs: Logs) -> None:
        for place, name in enumerate(("d", "c", "b")):
            await logs.create_stream(ME, "/app", name)
            await logs.put_events(ME, "/app", name, [(NOW_MS + place, "x"), (NOW_MS + place + 10, "y")])
        order = StreamOrder(by_last_event=by_last_event, descending=descending)
        seen: list[dict[str, Any]] = []
        token = None
        while True:
            streams, token = await logs.describe_streams(ME, "/app", order, 3, token)
            seen += streams
            if token is None:
                break
        expected = ["one", "d", "c", "b"] if by_last_event else ["b", "c", "d", "one"]
        names = [stream["logStreamName"] for stream in seen]
        assert names == (expected[::-1] if descending else expected)
        found = next(stream for stream in seen if stream["logStreamName"] == "c")
        assert found["firstEventTimestamp"] == NOW_MS + 1
        assert found["lastEventTimestamp"] == NOW_MS + 11
        assert found["lastIngestionTime"] == NOW_MS
        assert found["arn"] == f"arn:aws:logs:us-east-1:{ME}:log-group:/app:log-stream:c"
        assert found["storedBytes"] == 0
        assert "lastEventTimestamp" not in next(stream for stream in seen if stream["logStreamName"] == "one")

    with_logs(body)


@pytest.mark.parametrize(
    "token",
    ["%%%", "é", "WzFd", "W10=", "eyJhIjoxfQ==", "WzEsMl0=", base64.b64encode(b"[" * 100_002).decode(), "WyL/Il0="],
    ids=range(8),
)
def test_an_invented_list_token_is_refused(token: str) -> None:
    async def body(logs: Logs) -> None:
        with pytest.raises(InvalidParameter, match=r"The specified nextToken is invalid\."):
            await logs.describe_groups(ME, GroupFilter(), 3, token)
        with pytest.raises(InvalidParameter, match=r"The specified nextToken is invalid\."):
            await logs.describe_streams(ME, "/app", StreamOrder(by_last_event=True), 3, token)

    with_logs(body)


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (
            [(NOW_MS, "b"), (NOW_MS - 1, "a")],
            "Log events in a single PutLogEvents request must be in chronological order.",
        ),
        (
            [(NOW_MS - DAY_MS - 1, "a"), (NOW_MS, "b")],
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ),
        ([(NOW_MS, "x" * 1_048_551)], "Upload too large: 1048577 bytes exceeds limit of 1048576"),
        ([(NOW_MS, "é" * 600_000)], "Upload too large: 1200026 bytes exceeds limit of 1048576"),
    ],
)
def test_a_batch_that_breaks_a_rule_is_refused_whole(events: list[tuple[int, str]], text: str) -> None:
    async def body(logs: Logs) -> None:
        with pytest.raises(InvalidParameter) as refused:
            await logs.put_events(ME, "/app", "one", events)
        assert refused.value.message == text
        assert messages(await get(logs)) == []

    with_logs(body)


def test_the_largest_allowed_batch_is_stored() -> None:
    async def body(logs: Logs) -> None:
        await logs.put_events(ME, "/app", "one", [(NOW_MS, "x" * 1_048_550)])
        assert [len(message) for message in messages(await get(logs))] == [1_048_550]

    with_logs(body)


def test_events_too_old_or_too_new_are_told_by_index_and_the_rest_is_stored() -> None:
    async def body(logs: Logs) -> None:
        old = NOW_MS - 14 * DAY_MS
        answer = await logs.put_events(ME, "/app", "one", [(old - 2, "a"), (old - 1, "b"), (old, "c")])
        assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
        new = NOW_MS + 2 * 3600 * 1000
        answer = await logs.put_events(ME, "/app", "one", [(new, "d"), (new + 1, "e")])
        assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
        assert messages(await get(logs)) == ["c", "d"]
        answer = await logs.put_events(ME, "/app", "one", [(new + 1, "e")])
        assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
        assert "rejectedLogEventsInfo" not in await logs.put_events(ME, "/app", "one", [(NOW_MS, "f")])

    with_logs(body)


def test_messages_with_newlines_stay_whole() -> None:
    async def body(logs: Logs) -> None:
        await logs.put_events(ME, "/app", "one", [(NOW_MS, "a\nb"), (NOW_MS, "c"), (NOW_MS, "\ud800")])
        assert messages(await get(logs)) == ["a\nb", "c", "?"]
        assert messages(await find(logs, '"a\nb"')) == ["a\nb"]

    with_logs(body)


def test_retention_removes_what_is_older_and_refuses_what_would_be() -> None:
    async def body(logs: Logs) -> None:
        old, young = NOW_MS - 3 * DAY_MS, NOW_MS - DAY_MS // 2
        await logs.put_events(ME, "/app", "one", [(old, "old")])
        await logs.put_events(ME, "/app", "one", [(young, "young")])
        assert await logs.sweep() == ""
        await logs.set_retention(ME, "/app", 1)
        assert await logs.sweep() == "expired 1 chunks"
        assert messages(await find(logs)) == ["young"]
        put = await logs.put_events(ME, "/app", "one", [(old, "old"), (old + DAY_MS - 1, "old")])
        assert put["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 2}
        await logs.set_retention(ME, "/app", None)
        await logs.put_events(ME, "/app", "one", [(old, "old again")])
        assert await logs.sweep() == ""
        assert messages(await find(logs)) == ["old again", "young"]
        with pytest.raises(ResourceNotFound):
            await logs.set_retention(OTHER, "/app", 1)

    with_logs(body)


def test_tags_changed_at_once_are_all_there() -> None:
    async def body(logs: Logs) -> None:
        await asyncio.gather(*(logs.tag_group(ME, "/app", {str(number): ""}) for number in range(5)))
        assert sorted(await logs.list_tags(ME, "/app")) == ["0", "1", "2", "3", "4"]
        await asyncio.gather(logs.untag_group(ME, "/app", ["0", "9"]), logs.tag_group(ME, "/app", {"5": ""}))
        assert sorted(await logs.list_tags(ME, "/app")) == ["1", "2", "3", "4", "5"]
        for call in (logs.list_tags(OTHER, "/app"), logs.tag_group(OTHER, "/app", {"a": ""})):
            with pytest.raises(ResourceNotFound):
                await call

    with_logs(body)


def test_an_agents_events_of_several_lines_stay_whole() -> None:
    async def body(logs: Logs) -> None:
        opened = await logs.open_source(target(), "task/web")
        runs = [(NOW_MS, 1), (NOW_MS + 1, 2)]
        lines = b"a\n at b\n" + b"c\n" + "é\n".encode()
        sizes = (8, 2, 3)
        assert await logs.append(opened.stream_key, "task/web", 0, 13, runs, lines, sizes) == 13
        assert await logs.append(opened.stream_key, "task/web", 0, 13, runs, lines, sizes) == 13  # was stored
        assert messages(await get(logs, from_head=True)) == ["a\n at b\n", "c\n", "é\n"]
        assert messages(await find(logs, "b c")) == []
        assert messages(await find(logs, "at")) == ["a\n at b\n"]
        wrong: list[tuple[Any, tuple[int, ...]]] = [
            (runs, (8, 2)),
            (runs, (8, 2, 4)),
            (runs, (8, 0, 5)),
            (runs, (-1, 9, 5)),
            ([(NOW_MS, 2)], (8, 2, 3)),
        ]
        for wrong_runs, wrong_sizes in wrong:
            with pytest.raises(InvalidParameter):
                await logs.append(opened.stream_key, "task/web", 13, 26, wrong_runs, lines, wrong_sizes)

    with_logs(body)
