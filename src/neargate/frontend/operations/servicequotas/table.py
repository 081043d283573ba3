"""The Service Quotas operations there are. Literal; the rest answers that it is unknown."""

from ...services import Operation
from .quotas import (
    get_aws_default_service_quota,
    get_service_quota,
    list_aws_default_service_quotas,
    list_service_quotas,
    list_services,
)
from .requests import (
    get_requested_service_quota_change,
    list_requested_service_quota_change_history,
    list_requested_service_quota_change_history_by_quota,
    request_service_quota_increase,
)

OPERATIONS: dict[str, Operation] = {
    "GetAWSDefaultServiceQuota": get_aws_default_service_quota,
    "GetRequestedServiceQuotaChange": get_requested_service_quota_change,
    "GetServiceQuota": get_service_quota,
    "ListAWSDefaultServiceQuotas": list_aws_default_service_quotas,
    "ListRequestedServiceQuotaChangeHistory": list_requested_service_quota_change_history,
    "ListRequestedServiceQuotaChangeHistoryByQuota": list_requested_service_quota_change_history_by_quota,
    "ListServiceQuotas": list_service_quotas,
    "ListServices": list_services,
    "RequestServiceQuotaIncrease": request_service_quota_increase,
}
