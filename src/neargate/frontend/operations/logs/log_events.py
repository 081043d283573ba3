"""PutLogEvents, GetLogEvents, FilterLogEvents."""

from ....interfaces.roles import EventRange
from ....model.errors import InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params, RawBody
from ...services import Services
from .names import group_arn, group_of

EVENTS_MAX = 10_000


async def put_log_events(call: Call, services: Services, params: Params) -> Answer:
    """The sequence token is ignored, as on AWS."""
    group, stream = params["logGroupName"], params["logStreamName"]
    authorize(call, "logs:PutLogEvents", [group_arn(call, group, stream)])
    events = [(event["timestamp"], event["message"]) for event in params["logEvents"]]
    answer = await services.logs.put_events(call.account, group, stream, events)
    if params.get("entity"):
        answer["rejectedEntityInfo"] = {"errorType": "UnsupportedLogGroupType"}
    return answer


async def get_log_events(call: Call, services: Services, params: Params) -> Answer:
    group, stream = group_of(call, params), params["logStreamName"]
    authorize(call, "logs:GetLogEvents", [group_arn(call, group, stream)])
    _authorize_unmask(call, params, group, stream)
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
    authorize(call, "logs:FilterLogEvents", [group_arn(call, group)])
    _authorize_unmask(call, params, group, "")
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


def _authorize_unmask(call: Call, params: Params, group: str, stream: str) -> None:
    """Nothing is masked here; who asks for it still needs the permission."""
    if params.get("unmask"):
        authorize(call, "logs:Unmask", [group_arn(call, group, stream)])
