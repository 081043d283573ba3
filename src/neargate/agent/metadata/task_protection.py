"""`$ECS_AGENT_URI/task-protection/v1/state`: a task asks to be protected, as it asks ECS's agent on AWS.

Owns what is asked and answered, in that agent's words, and who waits for which answer. Must not know policies, by
which the server decides. Invariant: the wait is bounded, and nothing is answered that the server did not say.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from ...link.messages import ProtectionAsk, ProtectionTold
from ...model.knobs import Knobs
from ...model.task_protection import MINUTES_DEFAULT
from ...world import World
from ..task_record import TaskRecord

PATH = re.compile(r"^/api/([0-9a-f]{32}-[0-9]{10})/task-protection/v1/state/?\Z")
INVALID = "InvalidParameterException"
_LOOK_S = 0.02
_WAITING_MAX = 1024
_MINUTES_TOLD_MAX = 2**31
_SERVER_ERRORS = ("ServerException", "ServiceUnavailableException")

Answer = tuple[int, dict[str, Any]]


class _Asked(
    Struct, rename={"enabled": "ProtectionEnabled", "minutes": "ExpiresInMinutes"}, forbid_unknown_fields=True
):
    enabled: bool | None = None
    minutes: int | None = None


_decode = msgspec.json.Decoder(_Asked).decode


class TaskProtection:
    """`ask` says whether there is somebody to answer."""

    def __init__(self, world: World, knobs: Knobs, ask: Callable[[ProtectionAsk], bool]) -> None:
        self._world = world
        self._knobs = knobs
        self._ask = ask
        self._number = 0
        self._waiting: dict[int, asyncio.Event] = {}
        self._told: dict[int, ProtectionTold] = {}

    async def answer(self, record: TaskRecord, body: bytes | None) -> Answer:
        """(HTTP status, document). `body` None: of a GET."""
        if body is None:
            return await self._exchanged(record, None, 0)
        try:
            asked = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _error(record, 400, INVALID, "UpdateTaskProtection: failed to decode request")
        if asked.enabled is None:
            return _error(record, 400, INVALID, "Invalid request: does not contain 'ProtectionEnabled' field")
        minutes = MINUTES_DEFAULT if asked.minutes is None else asked.minutes
        return await self._exchanged(record, asked.enabled, max(0, min(minutes, _MINUTES_TOLD_MAX)))

    def answered(self, told: ProtectionTold) -> None:
        """What nobody asked for is not kept."""
        waiting = self._waiting.get(told.number)
        if waiting is not None:
            self._told[told.number] = told
            waiting.set()

    async def _exchanged(self, record: TaskRecord, enabled: bool | None, minutes: int) -> Answer:
        self._number += 1
        number = self._number
        ask = ProtectionAsk(number=number, task_id=record.task_id, enabled=enabled, expires_in_minutes=minutes)
        if len(self._waiting) >= _WAITING_MAX or not self._ask(ask):
            return _error(record, 500, "ServerException", "Unable to reach ECS")
        answered = self._waiting[number] = asyncio.Event()
        until = self._world.monotonic() + self._knobs.metadata_protection_wait_s
        try:
            while not answered.is_set() and self._world.monotonic() < until:
                await self._world.sleep(_LOOK_S)
        finally:  # a task that is cut off while it waits leaves nothing: the places are those of all tasks of the host
            del self._waiting[number]
            told = self._told.pop(number, None)
        if told is None:
            return _error(record, 504, "RequestCanceled", "Timed out calling ECS Task Protection API")
        return _shown(record, told)


def _shown(record: TaskRecord, told: ProtectionTold) -> Answer:
    arn = record.launch.task_arn
    if told.code:
        return _error(record, 500 if told.code in _SERVER_ERRORS else 400, told.code, told.message)
    if told.reason:
        return 200, {"failure": {"Arn": arn, "Detail": None, "Reason": told.reason}}
    expires = None
    if told.expires_at is not None:
        expires = datetime.fromtimestamp(told.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return 200, {"protection": {"ExpirationDate": expires, "ProtectionEnabled": told.enabled, "TaskArn": arn}}


def _error(record: TaskRecord, status: int, code: str, message: str) -> Answer:
    return status, {"error": {"Arn": record.launch.task_arn, "Code": code, "Message": message}}
