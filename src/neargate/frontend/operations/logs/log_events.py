"""PutLogEvents, GetLogEvents, FilterLogEvents."""

from ....interfaces.roles import EventRange
from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params, RawBody
from ...services import Services
from .asking import ask_for
from .names import group_of

EVENTS_MAX = 10_000


async def put_log_events(call: Call, services: Services, params: Params) -> Answer:
    """The sequence token is ignored, as on AWS."""
    group, stream = params["logGroupName"], params["logStreamName"]
    await ask_for(call, services, params, group, stream)
    events = [(event["timestamp"], event["message"]) for event in params["logEvents"]]
    answer = await services.logs.put_events(call.account, group, stream, events)
    if params.get("entity"):
        answer["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}
    return answer


async def get_log_events(call: Call, services: Services, params: Params) -> Answer:
    group, stream = group_of(call, params), params["logStreamName"]
    await ask_for(call, services, params, group, stream)
    wanted = EventRange(
        start_ms=params.get("startTime"),
        end_ms=params.get("endTime"),
        limit=params.get("limit", EVENTS_MAX),
        from_head=bool(params.get("startFromHead", False)),
        token=params.get("nextToken"),
    )
    return RawBody(await services.logs.get_events(call.account, group, stream, wanted))


async def filter_log_events(call: Call, services: Services, params: Params) -> Answer:
    """Always interleaved: AWS ignores `interleaved` too and treats it as true."""
    group = group_of(call, params)
    await ask_for(call, services, params, group)
    streams, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if streams is not None and prefix is not None:
        raise InvalidParameter("LogStreamNamePrefix and LogStreamNames are mutually exclusive parameters.")
    end_ms = params.get("endTime")
    wanted = EventRange(
        start_ms=params.get("startTime"),
        end_ms=None if end_ms is None else end_ms + 1,  # inclusive in this operation
        limit=params.get("limit", EVENTS_MAX),
        from_head=bool(params.get("startFromHead", True)),
        token=params.get("nextToken"),
    )
    pattern = params.get("filterPattern") or ""
    return RawBody(await services.logs.filter_events(call.account, group, streams, prefix, pattern, wanted))
