"""ListServices, ListServiceQuotas, GetServiceQuota and the two that answer AWS's defaults."""

from typing import Any

from ....model.errors import NoSuchResource, ServiceUnavailable
from ....model.quotas import BY_KEY, QUOTAS, SERVICE_NAMES, Quota
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...limits.limits import Limits
from ...services import Services
from .pages import paged

CPU_UNITS_PER_VCPU = 1024
_AT_ACCOUNT = ("ACCOUNT", "ALL", None)


async def list_services(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize(call, "servicequotas:ListServices", ["*"])
    items = [{"ServiceCode": code, "ServiceName": name} for code, name in SERVICE_NAMES.items()]
    return paged(call, params, "Services", items)


async def list_service_quotas(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicequotas:ListServiceQuotas", ["*"])
    code, only = params["ServiceCode"], params.get("QuotaCode")
    quotas = [quota for quota in of_service(code) if only in (None, quota.code)]
    if params.get("QuotaAppliedAtLevel") not in _AT_ACCOUNT:
        quotas = []  # no quota here belongs to a single resource
    return paged(call, params, "Quotas", [await _applied(call, services, quota) for quota in quotas])


async def get_service_quota(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "servicequotas:GetServiceQuota", [named_arn(call, params)])
    return {"Quota": await _applied(call, services, required(params))}


async def list_aws_default_service_quotas(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize(call, "servicequotas:ListAWSDefaultServiceQuotas", ["*"])
    return paged(
        call, params, "Quotas", [_shown(call, quota, quota.value) for quota in of_service(params["ServiceCode"])]
    )


async def get_aws_default_service_quota(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize(call, "servicequotas:GetAWSDefaultServiceQuota", ["*"])
    quota = required(params)
    return {"Quota": _shown(call, quota, quota.value)}


def of_service(code: str) -> list[Quota]:
    """Raises NoSuchResource."""
    if code not in SERVICE_NAMES:
        raise NoSuchResource("The request failed because the specified service does not exist.")
    return [quota for quota in QUOTAS if quota.service == code]


def required(params: Params) -> Quota:
    """The quota that a request names. Raises NoSuchResource."""
    of_service(params["ServiceCode"])
    quota = BY_KEY.get(f"{params['ServiceCode']}/{params['QuotaCode']}")
    if quota is None:
        raise NoSuchResource("The request failed because the specified quota does not exist.")
    return quota


def named_arn(call: Call, params: Params) -> str:
    """Of the quota that a request names, whether there is one or not."""
    return call.arn("servicequotas", f"{params['ServiceCode']}/{params['QuotaCode']}")


def limits_of(services: Services) -> Limits:
    if services.limits is None:
        raise ServiceUnavailable
    return services.limits


async def applied_value(call: Call, services: Services, quota: Quota) -> float:
    """What holds for the caller's account. Where nothing was set and the machine decides: what its hosts offer."""
    found = limits_of(services).quotas.value(call.account, quota)
    if found is not None:
        return found
    managers = {id(manager): manager for manager in services.capacities.values()}.values()
    hosts = [host for manager in managers for host in await manager.hosts()]
    return float(sum(host["offered"]["cpu_units"] for host in hosts) // CPU_UNITS_PER_VCPU)


async def _applied(call: Call, services: Services, quota: Quota) -> dict[str, Any]:
    shown = _shown(call, quota, await applied_value(call, services, quota))
    return {**shown, "QuotaAppliedAtLevel": "ACCOUNT"}


def quota_arn(call: Call, quota: Quota) -> str:
    region = "" if quota.is_global else call.region
    return f"arn:aws:servicequotas:{region}:{call.account}:{quota.key}"


def _shown(call: Call, quota: Quota, value: float) -> dict[str, Any]:
    return {
        "ServiceCode": quota.service,
        "ServiceName": SERVICE_NAMES[quota.service],
        "QuotaArn": quota_arn(call, quota),
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": value,
        "Unit": "None",
        "Adjustable": quota.adjustable,
        "GlobalQuota": quota.is_global,
        "Description": quota.description,
    }
