"""Log groups and log streams: making, finding, listing and deleting them.

Deleting removes the rows that name the events at once, in one small transaction; the chunks follow later (sweep.py).
Every lookup is by account: one account's names do not exist for another.
"""

import base64
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ..interfaces.roles import GroupFilter, StreamOrder
from ..interfaces.store import Refused, Row, Statement, Value
from ..model.arn import Arn
from ..model.errors import InvalidParameter, ResourceAlreadyExists, ResourceNotFound, Throttling, TooManyTags
from .database import Database

NO_GROUP = "The specified log group does not exist."
NO_STREAM = "The specified log stream does not exist."
TAGS_MAX = 50
_LAST_CHARACTER = "\U0010ffff"


class Group(Struct, frozen=True, kw_only=True):
    key: int
    span_ms: int


class Stream(Struct, frozen=True, kw_only=True):
    key: int
    group: int
    retention_days: int | None  # of its group
    span_ms: int


class Catalog:
    def __init__(self, database: Database, region: str) -> None:
        self._database = database
        self._region = region

    async def create_group(self, account: str, name: str, tags: Mapping[str, str], now_ms: int) -> None:
        try:
            await self._database.write([_new_group(account, name, tags, now_ms)])
        except Refused:
            raise ResourceAlreadyExists("The specified log group already exists") from None

    async def find_group(self, account: str, name: str) -> Group:
        rows = await self._database.read(
            "SELECT n, span FROM log_groups WHERE account = ? AND name = ?", (account, name)
        )
        if not rows:
            raise ResourceNotFound(NO_GROUP)
        return Group(key=rows[0][0], span_ms=rows[0][1])

    async def group_tags(self, account: str, name: str) -> dict[str, str]:
        """None of a group that is not there."""
        rows = await self._database.read("SELECT tags FROM log_groups WHERE account = ? AND name = ?", (account, name))
        return msgspec.json.decode(rows[0][0], type=dict[str, str]) if rows else {}

    async def set_retention(self, account: str, name: str, days: int | None) -> None:
        set_days = "UPDATE log_groups SET retention_days = ? WHERE account = ? AND name = ?"
        try:
            await self._database.write([Statement(set_days, (days, account, name), 1, "group")])
        except Refused:
            raise ResourceNotFound(NO_GROUP) from None

    async def tags_of(self, account: str, name: str) -> dict[str, str]:
        """Raises ResourceNotFound."""
        rows = await self._database.read("SELECT tags FROM log_groups WHERE account = ? AND name = ?", (account, name))
        if not rows:
            raise ResourceNotFound(NO_GROUP)
        return msgspec.json.decode(rows[0][0], type=dict[str, str])

    async def change_tags(
        self, account: str, name: str, added: Mapping[str, str], removed: Collection[str] = ()
    ) -> None:
        """Raises ResourceNotFound, TooManyTags."""
        change = "UPDATE log_groups SET tags = ? WHERE account = ? AND name = ? AND tags = ?"
        for _ in range(8):  # each refusal means that somebody else changed them in between
            old = await self.tags_of(account, name)
            new = {key: value for key, value in (old | dict(added)).items() if key not in removed}
            if len(new) > TAGS_MAX and len(new) > len(old):
                raise TooManyTags(f"The resource has more than {TAGS_MAX} tags.", resourceName=name)
            texts = [msgspec.json.encode(tags).decode() for tags in (new, old)]
            try:
                await self._database.write([Statement(change, (texts[0], account, name, texts[1]), 1, "tags")])
            except Refused:
                continue
            return
        raise Throttling

    async def find_stream(self, account: str, group: str, name: str) -> Stream:
        rows = await self._database.read(
            "SELECT g.n, g.retention_days, s.n, s.span FROM log_groups g "
            "LEFT JOIN log_streams s ON s.grp = g.n AND s.name = ? WHERE g.account = ? AND g.name = ?",
            (name, account, group),
        )
        if not rows:
            raise ResourceNotFound(NO_GROUP)
        group_key, retention_days, key, span_ms = rows[0]
        if key is None:
            raise ResourceNotFound(NO_STREAM)
        return Stream(key=key, group=group_key, retention_days=retention_days, span_ms=span_ms)

    async def check_streams(self, group: int, names: Collection[str]) -> None:
        """Raises ResourceNotFound when one of them is missing: AWS then refuses to look into the others too."""
        wanted = sorted(set(names))
        marks = ", ".join("?" * len(wanted))
        sql = f"SELECT count(*) FROM log_streams WHERE grp = ? AND name IN ({marks})"  # noqa: S608
        if (await self._database.read(sql, (group, *wanted)))[0][0] < len(wanted):
            raise ResourceNotFound(NO_STREAM)

    async def delete_group(self, account: str, name: str) -> None:
        where = (account, name)
        trash = (
            "INSERT INTO log_trash (stream) SELECT s.n FROM log_streams s JOIN log_groups g ON g.n = s.grp "
            "WHERE g.account = ? AND g.name = ?"
        )
        try:
            await self._database.write(
                [
                    Statement(trash, where),
                    Statement("DELETE FROM log_groups WHERE account = ? AND name = ?", where, 1, "group"),
                ]
            )
        except Refused:
            raise ResourceNotFound(NO_GROUP) from None

    async def create_stream(self, account: str, group: str, name: str, now_ms: int) -> None:
        found = await self.find_group(account, group)
        try:
            await self._database.write([_new_stream(found.key, name, now_ms)])
        except Refused:
            await self.find_group(account, group)  # deleted meanwhile: then that is the answer
            raise ResourceAlreadyExists("The specified log stream already exists") from None

    async def delete_stream(self, account: str, group: str, name: str) -> None:
        found = await self.find_stream(account, group, name)
        forget = (
            "UPDATE log_groups SET bytes = bytes - coalesce((SELECT sum(bytes) FROM log_chunks WHERE stream = ?), 0) "
            "WHERE n = ?"
        )
        try:
            await self._database.write(
                [
                    Statement(forget, (found.key, found.group)),
                    Statement("INSERT INTO log_trash (stream) VALUES (?)", (found.key,)),
                    Statement("DELETE FROM log_streams WHERE n = ?", (found.key,), 1, "stream"),
                ]
            )
        except Refused:
            raise ResourceNotFound(NO_STREAM) from None

    async def open_source(
        self,
        account: str,
        group: str,
        stream: str,
        source: str,
        now_ms: int,
        *,
        create_group: bool,
        create_stream: bool = True,
    ) -> tuple[int, int]:
        """(stream's key, bytes of the source stored so far); makes what is missing, or raises ResourceNotFound."""
        for _ in range(8):  # each refusal means that somebody else made or deleted it in between
            rows = await self._database.read(
                "SELECT g.n, s.n, x.stored FROM log_groups g LEFT JOIN log_streams s ON s.grp = g.n AND s.name = ? "
                "LEFT JOIN log_sources x ON x.stream = s.n AND x.source = ? WHERE g.account = ? AND g.name = ?",
                (stream, source, account, group),
            )
            if not rows and not create_group:
                raise ResourceNotFound(NO_GROUP)
            group_key, stream_key, stored = rows[0] if rows else (None, None, None)
            if stored is not None:
                return int(stream_key), int(stored)
            if stream_key is None and not create_stream:
                raise ResourceNotFound(NO_STREAM)
            try:
                await self._make_missing(account, group, stream, source, group_key, stream_key, now_ms)
            except Refused:
                continue
        raise ResourceNotFound(NO_GROUP)

    async def _make_missing(
        self, account: str, group: str, stream: str, source: str, group_key: Value, stream_key: Value, now_ms: int
    ) -> None:
        if group_key is None:
            await self._database.write([_new_group(account, group, {}, now_ms)])
        elif stream_key is None:
            await self._database.write([_new_stream(group_key, stream, now_ms)])
        else:
            add = "INSERT INTO log_sources (stream, source, stored) VALUES (?, ?, 0)"
            await self._database.write([Statement(add, (stream_key, source), 1, "source")])

    async def describe_groups(
        self, account: str, wanted: GroupFilter, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        (after,) = _read_token(token, (str,)) if token else ("",)
        prefix = wanted.prefix or ""
        sql = (
            "SELECT name, created, retention_days, bytes FROM log_groups "
            "WHERE account = ? AND name > ? AND name >= ? AND name < ? AND instr(name, ?) > 0"
        )
        params: list[Value] = [account, after, prefix, prefix + _LAST_CHARACTER, wanted.pattern or ""]
        if wanted.names is not None:
            sql += f" AND name IN ({', '.join('?' * len(wanted.names))})"
            params += wanted.names
        rows = await self._database.read(f"{sql} ORDER BY name LIMIT ?", (*params, limit + 1))
        groups = [self._show_group(account, row) for row in rows[:limit]]
        return groups, _show_token([rows[limit - 1][0]]) if len(rows) > limit else None

    def _show_group(self, account: str, row: Row) -> dict[str, Any]:
        name, created, retention_days, size = row
        arn = str(Arn("logs", self._region, account, f"log-group:{name}"))
        shown: dict[str, Any] = {
            "logGroupName": name,
            "creationTime": created,
            "metricFilterCount": 0,
            "arn": f"{arn}:*",
            "storedBytes": max(size, 0),
            "logGroupClass": "STANDARD",
            "logGroupArn": arn,
            "deletionProtectionEnabled": False,
        }
        if retention_days is not None:
            shown["retentionInDays"] = retention_days
        return shown

    async def describe_streams(
        self, account: str, group: str, order: StreamOrder, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        found = await self.find_group(account, group)
        columns = "name, created, first_ts, last_ts, ingested, n"
        prefix = order.prefix or ""
        sql = f"SELECT {columns} FROM log_streams WHERE grp = ? AND name >= ? AND name < ?"  # noqa: S608
        params: list[Value] = [found.key, prefix, prefix + _LAST_CHARACTER]
        keys = "(last_ts, name)" if order.by_last_event else "(name)"
        direction, sign = ("DESC", "<") if order.descending else ("ASC", ">")
        if token:
            after = _read_token(token, (int, str) if order.by_last_event else (str,))
            sql += f" AND {keys} {sign} ({', '.join('?' * len(after))})"
            params += after
        ordered = ", ".join(f"{key} {direction}" for key in keys.strip("()").split(", "))
        rows = await self._database.read(f"{sql} ORDER BY {ordered} LIMIT ?", (*params, limit + 1))
        streams = [self._show_stream(account, group, row) for row in rows[:limit]]
        if len(rows) <= limit:
            return streams, None
        last = rows[limit - 1]
        return streams, _show_token([last[3], last[0]] if order.by_last_event else [last[0]])

    def _show_stream(self, account: str, group: str, row: Row) -> dict[str, Any]:
        name, created, first_ts, last_ts, ingested, key = row
        shown: dict[str, Any] = {
            "logStreamName": name,
            "creationTime": created,
            "uploadSequenceToken": sequence_token(key, ingested or 0),
            "arn": str(Arn("logs", self._region, account, f"log-group:{group}:log-stream:{name}")),
            "storedBytes": 0,  # AWS reports zero for every stream since 2019
        }
        if first_ts is not None:
            shown |= {"firstEventTimestamp": first_ts, "lastEventTimestamp": last_ts, "lastIngestionTime": ingested}
        return shown


def sequence_token(stream: int, ingested_ms: int) -> str:
    """AWS ignores sequence tokens and still returns them."""
    return f"{49_000_000_000_000_000 + ingested_ms:017d}{stream:039d}"


def _new_group(account: str, name: str, tags: Mapping[str, str], now_ms: int) -> Statement:
    return Statement(
        "INSERT INTO log_groups (account, name, created, tags) VALUES (?, ?, ?, ?)",
        (account, name, now_ms, msgspec.json.encode(dict(tags)).decode()),
        1,
        "new group",
    )


def _new_stream(group: Value, name: str, now_ms: int) -> Statement:
    return Statement(
        "INSERT INTO log_streams (grp, name, created) VALUES (?, ?, ?)", (group, name, now_ms), 1, "new stream"
    )


def _show_token(key: list[Value]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode()


def _read_token(token: str, types: tuple[type, ...]) -> list[Value]:
    """The key after which a list goes on; whatever a client invents is refused. Raises InvalidParameter."""
    try:
        plain = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        key = msgspec.json.decode(plain, type=list[str | int])
    except ValueError:  # base64's errors are, and msgspec's and Unicode's
        key = []
    fits = tuple(type(part) for part in key) == types
    if not fits or any(isinstance(part, int) and abs(part) >= 1 << 62 for part in key):
        raise InvalidParameter("The specified nextToken is invalid.")
    return list(key)
