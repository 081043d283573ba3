"""How an operation of ELBv2 asks leave: by the ARN that it names, with the tags of what has it.

What is not there is asked for, too: nobody learns without leave what there is. What a call makes has no id yet.
"""

from collections.abc import Mapping, Sequence

from ...authorize import Resource, Values, authorize, request_tags
from ...balancing import arns
from ...balancing.limits import Limits, limits
from ...balancing.objects import Listener, LoadBalancer, Rule, TargetGroup
from ...call import Call
from ...network.records.objects import Tags
from ...services import Services

Tagged = LoadBalancer | TargetGroup | Listener | Rule
KINDS: Mapping[str, type[LoadBalancer] | type[TargetGroup] | type[Listener] | type[Rule]] = {
    arns.BALANCER: LoadBalancer,
    arns.GROUP: TargetGroup,
    arns.LISTENER: Listener,
    arns.RULE: Rule,
}
_AnyKeys = Mapping[str, Values]


def resource(call: Call, services: Services, arn: str, kind: str) -> Resource:
    """Raises ValidationError for what is no ARN of this kind."""
    found = services.network.shelf(call.account).find(KINDS[kind], arns.checked(arn, kind))
    return Resource(arn=arn, tags={} if found is None else dict(found.tags))


def ask_for(call: Call, services: Services, arn: str, kind: str, keys: _AnyKeys | None = None) -> str:
    """The ARN, after leave for it. Raises AccessDenied, ValidationError."""
    authorize(call, f"{arns.SERVICE}:{call.operation}", [resource(call, services, arn, kind)], keys)
    return arn


def limits_of(call: Call, services: Services) -> Limits:
    """Of the caller's account, as the operator has set them."""
    return limits(lambda quota: services.network.quota(call.account, quota))


def ask_to_describe(call: Call) -> None:
    authorize(call, f"{arns.SERVICE}:{call.operation}", ["*"])


def ask_to_make(
    call: Call, asked: Sequence[Resource], made: str, tags: Tags, keys: Mapping[str, Values] | None = None
) -> None:
    """`asked`: on what the action is asked for; `made`: the ARN that tags are asked for on, its id left open."""
    given = request_tags(dict(tags)) if tags else {}
    authorize(call, f"{arns.SERVICE}:{call.operation}", asked, {**given, **(keys or {})})
    if tags:
        authorize(call, f"{arns.SERVICE}:AddTags", [made], {**given, f"{arns.SERVICE}:CreateAction": call.operation})
