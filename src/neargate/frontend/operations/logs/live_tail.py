"""StartLiveTail: a session that sends, each second, what its log groups got in that second."""

import msgspec

from ....interfaces.roles import LogTail, TailRequest
from ....model.arn import Arn
from ....model.errors import AwsError, InvalidParameter
from ....model.ids import uuid4
from ....wire import eventstream
from ....world import World
from ...authorize import Resource, authorize, reads_resource_tags
from ...call import Answer, Call, Params, Streamed
from ...errors import CONTENT_TYPES, JSON
from ...services import Services
from .names import group_arn, name_of_identifier

_CONTENT_TYPE = CONTENT_TYPES[JSON].decode()
SESSION_S = 3 * 3600.0  # AWS's
_encode = msgspec.json.Encoder().encode


async def start_live_tail(call: Call, services: Services, params: Params) -> Answer:
    names = tuple(dict.fromkeys(_group(call, identifier) for identifier in params["logGroupIdentifiers"]))
    asks_tags = reads_resource_tags(call)
    authorize(
        call,
        "logs:StartLiveTail",
        [
            Resource(
                arn=group_arn(call, name),
                tags=await services.logs.group_tags(call.account, name) if asks_tags else {},
            )
            for name in names
        ],
    )
    streams, prefixes = params.get("logStreamNames"), params.get("logStreamNamePrefixes")
    if streams is not None and prefixes is not None:
        raise InvalidParameter("LogStreamNamePrefixes and LogStreamNames are mutually exclusive parameters.")
    if len(names) > 1 and (streams is not None or prefixes is not None):
        raise InvalidParameter("Log streams can be chosen only when a single log group is specified.")
    request = TailRequest(
        groups=names,
        streams=None if streams is None else frozenset(streams),
        prefixes=None if prefixes is None else tuple(prefixes),
        pattern=params.get("logEventFilterPattern") or "",
    )
    tail = await services.logs.open_tail(call.account, request)
    return Streamed(LiveTailSession(services.world, tail, _start(call, services.world, params)))


def _group(call: Call, identifier: str) -> str:
    if Arn.parse(identifier) is None or identifier.endswith("*"):
        raise InvalidParameter(f"The log group identifier must be the ARN of a log group: {identifier}")
    return name_of_identifier(call, identifier, "logGroupIdentifiers")


def _start(call: Call, world: World, params: Params) -> bytes:
    shown = {
        "requestId": call.request_id,
        "sessionId": uuid4(world.random.getrandbits),
        "logGroupIdentifiers": params["logGroupIdentifiers"],
        "logStreamNames": params.get("logStreamNames") or [],
        "logStreamNamePrefixes": params.get("logStreamNamePrefixes") or [],
        "logEventFilterPattern": params.get("logEventFilterPattern") or "",
    }
    return _event("initial-response", {}) + _event("sessionStart", shown)


def _event(name: str, members: object) -> bytes:
    return eventstream.event(name, _encode(members), _CONTENT_TYPE)


class LiveTailSession:
    """Implements `frontend.streaming.EventStream`."""

    period_s = 1.0

    def __init__(self, world: World, tail: LogTail, start: bytes) -> None:
        self._world = world
        self._tail = tail
        self._start: bytes | None = start
        self._ends_at = world.monotonic() + SESSION_S
        self._is_over = False

    async def next(self) -> bytes | None:
        if self._start is not None:
            start, self._start = self._start, None
            return start
        if self._is_over:
            return None
        if self._world.monotonic() >= self._ends_at:
            return self._last("SessionTimeoutException", "The Live Tail session has reached its limit of three hours.")
        try:
            update = await self._tail.read()
        except AwsError as error:
            return self._last("SessionStreamingException", error.message)
        metadata = {"sampled": update.is_sampled}
        return _event("sessionUpdate", {"sessionMetadata": metadata, "sessionResults": update.events})

    def _last(self, name: str, text: str) -> bytes:
        self._is_over = True
        return eventstream.exception(name, _encode({"message": text}), _CONTENT_TYPE)

    def close(self) -> None:
        self._tail.close()
