"""DescribeParameters."""

from collections.abc import Iterable

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...parameters import filters
from ...parameters.book import ParameterBook
from ...parameters.records import Parameter
from ...services import Services
from .paging import page, place_of
from .shapes import metadata_shown

PAGE_MAX = 50


async def describe_parameters(call: Call, services: Services, params: Params) -> Answer:
    """Nobody shares parameters with another account here, so that none are shared with this one."""
    authorize(call, "ssm:DescribeParameters", [call.arn("ssm", "*")])
    wanted = filters.described(params.get("ParameterFilters"), params.get("Filters"))
    place = place_of(call, params)
    if params.get("Shared"):
        return {"Parameters": []}
    items = _candidates(services.parameters.book(call.account), wanted.names, place)
    size = params.get("MaxResults") or PAGE_MAX
    chosen, more = page(call, items, size, lambda one: one.key, wanted.let_through)
    return {"Parameters": [metadata_shown(call, one) for one in chosen], **more}


def _candidates(book: ParameterBook, names: tuple[str, ...] | None, place: str) -> Iterable[Parameter]:
    """In order, behind `place`. `names`: when only these can be wanted."""
    if names is None:
        return book.after(place)
    found = (book.find(name) for name in sorted(set(names)))
    return [one for one in found if one is not None and one.key > place]
