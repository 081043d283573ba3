"""Cloud Map's lists: `MaxResults` and `NextToken`, which is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import pages
from ...call import Call, Params
from ...cloudmap.errors import InvalidInput

T = TypeVar("T")
PAGE_DEFAULT = 100


def page(
    call: Call, params: Params, items: Sequence[T], place: Callable[[T], str], *, descending: bool = False
) -> tuple[list[T], dict[str, Any]]:
    """This page's items, and the `NextToken` of the next. `items` are in the order of their places.

    Raises InvalidInput.
    """
    chosen, token = pages.page(
        items,
        place,
        size=params.get("MaxResults") or PAGE_DEFAULT,
        token=params.get("NextToken"),
        bound_to=call.operation,
        refused=_refused,
        descending=descending,
    )
    return chosen, {} if token is None else {"NextToken": token}


def _refused() -> InvalidInput:
    return InvalidInput("The NextToken is invalid.")
