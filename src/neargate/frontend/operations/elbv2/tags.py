"""AddTags, RemoveTags, DescribeTags: of load balancers, target groups, listeners and rules."""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from ...authorize import Values, authorize, request_tags
from ...balancing import arns
from ...balancing.checks import tagged, tags_given
from ...balancing.errors import TrustStoreNotFound, ValidationError
from ...balancing.objects import DELETING, LoadBalancer
from ...call import Answer, Call, Params
from ...network.records.objects import Tags
from ...regional.shelves import Change, Shelf
from ...services import Services
from .asking import KINDS, Tagged, ask_to_describe, resource
from .shapes import tags_shown

_ARNS_MAX = 20


async def add_tags(call: Call, services: Services, params: Params) -> Answer:
    named = params["ResourceArns"]
    given = tags_given(params["Tags"])
    _ask(call, services, named, request_tags(dict(given)))
    return await _change(call, services, named, lambda tags: tagged(tags, given))


async def remove_tags(call: Call, services: Services, params: Params) -> Answer:
    named, gone = params["ResourceArns"], params["TagKeys"]
    _ask(call, services, named, {"aws:TagKeys": gone})
    return await _change(call, services, named, lambda tags: tuple(tag for tag in tags if tag[0] not in gone))


async def describe_tags(call: Call, services: Services, params: Params) -> Answer:
    ask_to_describe(call)
    named = params["ResourceArns"]
    _check(named)
    shelf = services.network.shelf(call.account)
    found = [_required(shelf, arn) for arn in dict.fromkeys(named)]
    return {"TagDescriptions": [{"ResourceArn": one.name, "Tags": tags_shown(one.tags)} for one in found]}


def _ask(call: Call, services: Services, named: Sequence[str], keys: Mapping[str, Values]) -> None:
    """Raises AccessDenied, ValidationError, TrustStoreNotFound."""
    _check(named)
    resources = [resource(call, services, arn, arns.kind_of(arn) or "") for arn in named]
    authorize(call, f"{arns.SERVICE}:{call.operation}", resources, keys)


def _check(named: Sequence[str]) -> None:
    """Raises ValidationError, TrustStoreNotFound."""
    if not named:
        raise ValidationError("At least one resource ARN must be specified")
    if len(named) > _ARNS_MAX:
        raise ValidationError(f"At most {_ARNS_MAX} resource ARNs can be specified")
    for arn in named:
        if arns.kind_of(arn) is None:
            if ":truststore/" in arn:
                raise TrustStoreNotFound.of_tags()
            raise ValidationError(f"'{arn[:255]}' is not a valid ELB resource ARN")


def _required(shelf: Shelf, arn: str) -> Tagged:
    """Raises the kind's own NotThere."""
    kind = arns.kind_of(arn) or ""
    found = shelf.find(KINDS[kind], arn)
    if found is None or (isinstance(found, LoadBalancer) and found.state == DELETING):
        raise arns.WORDS[kind].of_tags()
    return found


async def _change(call: Call, services: Services, named: Sequence[str], changed: Callable[[Tags], Tags]) -> Answer:
    """All of them, or none."""

    def decide(shelf: Shelf) -> Change[None]:
        before = [_required(shelf, arn) for arn in dict.fromkeys(named)]
        after = [replace(one, tags=changed(one.tags)) for one in before]
        return Change(result=None, put=tuple(one for one, was in zip(after, before, strict=True) if one != was))

    await services.network.change(call.account, decide)
    return {}
