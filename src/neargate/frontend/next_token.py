"""Lists of services that take `MaxResults` and `NextToken`, which is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..model.errors import AwsError
from . import pages
from .call import Call, Params

T = TypeVar("T")


def page(
    call: Call,
    params: Params,
    items: Sequence[T],
    place: Callable[[T], Any],
    *,
    default: int,
    refused: Callable[[], AwsError],
    descending: bool = False,
    kind: Any = str,
) -> tuple[list[T], dict[str, Any]]:
    """This page's items and the `NextToken` of the next. `items` are in the order of their places, of type `kind`.

    `default`: how many when the request says nothing. Raises what `refused` makes for a token that is none.
    """
    chosen, token = pages.page(
        items,
        place,
        size=params.get("MaxResults") or default,
        token=params.get("NextToken"),
        bound_to=call.operation,
        refused=refused,
        descending=descending,
        kind=kind,
    )
    return chosen, {} if token is None else {"NextToken": token}
