"""TestMetricFilter; and metric and subscription filters: none can be made here, so there are none to show or delete."""

from ....model.errors import InvalidOperation, ResourceNotFound
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for
from .names import group_arn


async def test_metric_filter(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "logs:TestMetricFilter", ["*"])
    return {"matches": await services.logs.test_filter(params["filterPattern"], params["logEventMessages"])}


async def put_metric_filter(call: Call, services: Services, params: Params) -> Answer:
    await ask_for(call, services, params, params["logGroupName"])
    raise InvalidOperation("Metric filters are not supported.")


async def put_subscription_filter(call: Call, services: Services, params: Params) -> Answer:
    await ask_for(call, services, params, params["logGroupName"])
    raise InvalidOperation("Subscription filters are not supported.")


async def delete_metric_filter(call: Call, services: Services, params: Params) -> Answer:
    await ask_for(call, services, params, params["logGroupName"])
    await services.logs.list_tags(call.account, params["logGroupName"])  # a missing group is told first
    raise ResourceNotFound("The specified metric filter does not exist.")


async def delete_subscription_filter(call: Call, services: Services, params: Params) -> Answer:
    await ask_for(call, services, params, params["logGroupName"])
    await services.logs.list_tags(call.account, params["logGroupName"])
    raise ResourceNotFound("The specified subscription filter does not exist.")


async def describe_metric_filters(call: Call, services: Services, params: Params) -> Answer:
    group = params.get("logGroupName")
    authorize(call, "logs:DescribeMetricFilters", [group_arn(call, group or "")])
    if group is not None:
        await services.logs.list_tags(call.account, group)
    return {"metricFilters": []}


async def describe_subscription_filters(call: Call, services: Services, params: Params) -> Answer:
    await ask_for(call, services, params, params["logGroupName"])
    await services.logs.list_tags(call.account, params["logGroupName"])
    return {"subscriptionFilters": []}
