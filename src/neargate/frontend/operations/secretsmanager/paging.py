"""Secrets Manager's lists: `MaxResults` and `NextToken`, which is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import pages
from ...call import Call, Params
from ...secrets.errors import InvalidNextToken

T = TypeVar("T")


def page(
    call: Call,
    params: Params,
    items: Sequence[T],
    place: Callable[[T], Any],
    *,
    default: int,
    descending: bool = False,
    kind: Any = str,
) -> tuple[list[T], dict[str, Any]]:
    """This page's items and the `NextToken` of the next. `items` are in the order of their places, of type `kind`.

    Raises InvalidNextToken.
    """
    chosen, token = pages.page(
        items,
        place,
        size=params.get("MaxResults") or default,
        token=params.get("NextToken"),
        bound_to=call.operation,
        refused=InvalidNextToken,
        descending=descending,
        kind=kind,
    )
    return chosen, {} if token is None else {"NextToken": token}
