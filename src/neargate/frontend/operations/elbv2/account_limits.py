"""DescribeAccountLimits: what there may be, by AWS's names."""

from ....model.quotas import APPLICATION_LOAD_BALANCERS, NETWORK_LOAD_BALANCERS, TARGET_GROUPS
from ...balancing.limits import FIXED
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_to_describe
from .paging import page

_QUOTAS = {
    "application-load-balancers": APPLICATION_LOAD_BALANCERS,
    "network-load-balancers": NETWORK_LOAD_BALANCERS,
    "target-groups": TARGET_GROUPS,
}


async def describe_account_limits(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    network = services.network
    limits = {**FIXED, **{name: int(network.quota(call.account, quota)) for name, quota in _QUOTAS.items()}}
    chosen, more = page(call, params, sorted(limits.items()), lambda one: one[0])
    return {"Limits": [{"Name": name, "Max": str(value)} for name, value in chosen], **more}
