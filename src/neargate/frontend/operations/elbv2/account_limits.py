"""DescribeAccountLimits: what there may be, by AWS's names."""

from ...balancing.limits import told
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_to_describe
from .paging import page


async def describe_account_limits(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    limits = told(lambda quota: services.network.quota(call.account, quota))
    chosen, more = page(call, params, sorted(limits.items()), lambda one: one[0])
    return {"Limits": [{"Name": name, "Max": str(value)} for name, value in chosen], **more}
