"""Systems Manager's pages: `MaxResults`, `NextToken`. A token is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ... import pages
from ...call import Call, Params
from ...parameters.errors import InvalidNextToken

# Looked at for one page: behind that it ends, full or not, as AWS's pages do.
LOOKED_AT_MAX = 5_000

T = TypeVar("T")


def place_of(call: Call, params: Params) -> str:
    """Empty for the first page. Raises InvalidNextToken."""
    token = params.get("NextToken")
    if not token:
        return ""
    place = pages.place_of(token, call.operation, str)
    if place is None:
        raise InvalidNextToken
    return place


def page(
    call: Call, items: Iterable[T], size: int, place: Callable[[T], str], wanted: Callable[[T], bool]
) -> tuple[list[T], dict[str, Any]]:
    """At most `size` of those `items` that are `wanted`, and `NextToken` when there may be more.

    `items` are in order of their places, those behind `place_of` the request.
    """
    chosen: list[T] = []
    last = ""
    for looked_at, item in enumerate(items):
        if len(chosen) == size or looked_at == LOOKED_AT_MAX:
            return chosen, {"NextToken": pages.token_of(call.operation, last)}
        if wanted(item):
            chosen.append(item)
        last = place(item)
    return chosen, {}
