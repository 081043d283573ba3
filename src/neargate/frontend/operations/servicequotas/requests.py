"""RequestServiceQuotaIncrease and the history of requests. The operator answers them with `neargate quota set`."""

from typing import Any

from ....model.errors import IllegalArgument, NoSuchResource, ResourceAlreadyExists
from ....model.quotas import BY_KEY, SERVICE_NAMES
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...limits.registry import IncreaseRequest, OpenAlready
from ...services import Services
from .pages import paged
from .quotas import applied_value, limits_of, named_arn, of_service, quota_arn, required


async def request_service_quota_increase(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicequotas:RequestServiceQuotaIncrease", [named_arn(call, params)])
    quota, desired = required(params), params["DesiredValue"]
    if params.get("ContextId"):
        raise IllegalArgument("The quota does not apply at the resource level.")
    if not quota.adjustable:
        raise IllegalArgument("The quota is not adjustable.")
    if desired <= await applied_value(call, services, quota):
        raise IllegalArgument("You must provide a quota value greater than the current quota value.")
    try:
        asked = await limits_of(services).quotas.ask(call.account, quota, desired, call.principal.arn)
    except OpenAlready:
        raise ResourceAlreadyExists("Only one open service quota increase request is allowed per quota.") from None
    return {"RequestedQuota": _shown(call, asked)}


async def get_requested_service_quota_change(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicequotas:GetRequestedServiceQuotaChange", ["*"])
    for asked in await limits_of(services).quotas.requests(call.account):
        if asked.id == params["RequestId"]:
            return {"RequestedQuota": _shown(call, asked)}
    raise NoSuchResource("The request failed because the specified request does not exist.")


async def list_requested_service_quota_change_history(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicequotas:ListRequestedServiceQuotaChangeHistory", ["*"])
    service = params.get("ServiceCode")
    if service is not None:
        of_service(service)
    return await _history(call, services, params, "" if service is None else f"{service}/")


async def list_requested_service_quota_change_history_by_quota(
    call: Call, services: Services, params: Params
) -> Answer:
    authorize(call, "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota", [named_arn(call, params)])
    return await _history(call, services, params, required(params).key)


async def _history(call: Call, services: Services, params: Params, key_prefix: str) -> Answer:
    found = [
        _shown(call, asked)
        for asked in await limits_of(services).quotas.requests(call.account)
        if asked.quota.startswith(key_prefix) and params.get("Status") in (None, asked.status)
    ]
    if params.get("QuotaRequestedAtLevel") == "RESOURCE":
        found = []
    return paged(call, params, "RequestedQuotas", found)


def _shown(call: Call, asked: IncreaseRequest) -> dict[str, Any]:
    quota = BY_KEY[asked.quota]
    return {
        "Id": asked.id,
        "RequestType": "ManualManagement",
        "ServiceCode": quota.service,
        "ServiceName": SERVICE_NAMES[quota.service],
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "DesiredValue": asked.desired,
        "Status": asked.status,
        "Created": asked.created_at,
        "LastUpdated": asked.updated_at,
        "Requester": asked.requester,
        "QuotaArn": quota_arn(call, quota),
        "GlobalQuota": quota.is_global,
        "Unit": "None",
        "QuotaRequestedAtLevel": "ACCOUNT",
    }
