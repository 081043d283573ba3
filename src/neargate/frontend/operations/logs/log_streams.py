"""CreateLogStream, DeleteLogStream, DescribeLogStreams."""

from ....interfaces.roles import StreamOrder
from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for
from .names import group_of

PAGE_MAX = 50


async def create_log_stream(call: Call, services: Services, params: Params) -> Answer:
    group, stream = params["logGroupName"], params["logStreamName"]
    await ask_for(call, services, params, group, stream)
    await services.logs.create_stream(call.account, group, stream)
    return {}


async def delete_log_stream(call: Call, services: Services, params: Params) -> Answer:
    group, stream = params["logGroupName"], params["logStreamName"]
    await ask_for(call, services, params, group, stream)
    await services.logs.delete_stream(call.account, group, stream)
    return {}


async def describe_log_streams(call: Call, services: Services, params: Params) -> Answer:
    group = group_of(call, params)
    await ask_for(call, services, params, group)
    prefix = params.get("logStreamNamePrefix")
    by_last_event = params.get("orderBy", "LogStreamName") == "LastEventTime"
    if prefix is not None and by_last_event:
        raise InvalidParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
    order = StreamOrder(prefix=prefix, by_last_event=by_last_event, descending=bool(params.get("descending")))
    streams, token = await services.logs.describe_streams(
        call.account, group, order, params.get("limit", PAGE_MAX), params.get("nextToken")
    )
    return {"logStreams": streams} | ({"nextToken": token} if token else {})
