"""Which log group a load balancer may write its access log to. An extension: AWS has buckets of Amazon S3.

Invariant: who names the group may write to it, and it is there; nobody is asked again while lines are stored.
"""

from ....model.errors import ResourceNotFound
from ...authorize import Resource, authorize, reads_resource_tags
from ...balancing import attributes
from ...balancing.errors import InvalidConfigurationRequest
from ...balancing.objects import LoadBalancer
from ...call import Call
from ...services import Services
from ..logs.names import GROUP_NAME, group_arn

_WRITES = ("logs:CreateLogStream", "logs:PutLogEvents")


async def check_access_log(call: Call, services: Services, balancer: LoadBalancer, given: attributes.Given) -> None:
    """Raises AccessDenied, InvalidConfigurationRequest, and what the attributes themselves are refused with."""
    attributes.balancer_changed(balancer, given)
    group = dict(given).get(attributes.ACCESS_LOG)
    if not group:
        return
    if GROUP_NAME.match(group) is None:
        raise InvalidConfigurationRequest(f"The value '{group[:255]}' of '{attributes.ACCESS_LOG}' names no log group")
    try:
        tags = await services.logs.group_tags(call.account, group) if reads_resource_tags(call) else {}
        for action in _WRITES:
            authorize(call, action, [Resource(arn=group_arn(call, group), tags=tags)])
        await services.logs.list_tags(call.account, group)
    except ResourceNotFound:
        raise InvalidConfigurationRequest(f"The log group '{group}' does not exist") from None
