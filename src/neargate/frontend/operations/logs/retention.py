"""PutRetentionPolicy, DeleteRetentionPolicy."""

from ....model.errors import InvalidParameter
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for

DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


async def put_retention_policy(call: Call, services: Services, params: Params) -> Answer:
    name, days = params["logGroupName"], params["retentionInDays"]
    await ask_for(call, services, params, name)
    if days not in DAYS:
        allowed = ", ".join(map(str, DAYS))
        raise InvalidParameter(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{allowed}]"
        )
    await services.logs.set_retention(call.account, name, days)
    return {}


async def delete_retention_policy(call: Call, services: Services, params: Params) -> Answer:
    name = params["logGroupName"]
    await ask_for(call, services, params, name)
    await services.logs.set_retention(call.account, name, None)
    return {}
