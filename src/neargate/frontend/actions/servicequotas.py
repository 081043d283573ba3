"""What each Service Quotas operation asks leave for. Source: Service Authorization Reference, "Service Quotas"."""

from .rules import Actions, Level, Rule, rule

_QUOTA = "{service}/{quota}"
_KEYS = ("servicequotas:service",)


def _all(name: str, level: Level) -> tuple[Rule, ...]:
    return (rule(f"servicequotas:{name}", level, "*"),)


ACTIONS: Actions = {
    "GetAWSDefaultServiceQuota": _all("GetAWSDefaultServiceQuota", Level.READ),
    "GetRequestedServiceQuotaChange": _all("GetRequestedServiceQuotaChange", Level.READ),
    "GetServiceQuota": (rule("servicequotas:GetServiceQuota", Level.READ, _QUOTA, keys=_KEYS),),
    "ListAWSDefaultServiceQuotas": _all("ListAWSDefaultServiceQuotas", Level.READ),
    "ListRequestedServiceQuotaChangeHistory": _all("ListRequestedServiceQuotaChangeHistory", Level.READ),
    "ListRequestedServiceQuotaChangeHistoryByQuota": (
        rule("servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota", Level.READ, _QUOTA, keys=_KEYS),
    ),
    "ListServiceQuotas": _all("ListServiceQuotas", Level.READ),
    "ListServices": _all("ListServices", Level.READ),
    "ListTagsForResource": _all("ListTagsForResource", Level.READ),
    "RequestServiceQuotaIncrease": (
        rule("servicequotas:RequestServiceQuotaIncrease", Level.WRITE, _QUOTA, keys=_KEYS),
    ),
}
