"""IAM's lists: `MaxItems`, `Marker`, `IsTruncated`. A marker is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import pages
from ...call import Call, Params
from ...identity.errors import InvalidRequest

PAGE_DEFAULT, PAGE_MAX = 100, 1000

T = TypeVar("T")


def page(
    call: Call, params: Params, items: Sequence[T], place: Callable[[T], str], *, at_most: int = PAGE_MAX
) -> tuple[list[T], dict[str, Any]]:
    """This page's items, and `IsTruncated` with the `Marker` of the next. `items` are in order of their places.

    `at_most`: of large items; IAM, too, gives fewer than were asked for when it likes.
    """
    chosen, marker = pages.page(
        items,
        place,
        size=min(params.get("MaxItems") or PAGE_DEFAULT, at_most),
        token=params.get("Marker"),
        bound_to=call.operation,
        refused=lambda: InvalidRequest("Invalid Marker."),
    )
    return chosen, {"IsTruncated": False} if marker is None else {"IsTruncated": True, "Marker": marker}


def page_of_names(call: Call, params: Params, names: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    return page(call, params, sorted(names), lambda name: name)


def page_in_order(
    call: Call, params: Params, items: Sequence[T], *, at_most: int = PAGE_MAX
) -> tuple[list[T], dict[str, Any]]:
    """Of a list that has no names: the place is the number."""
    numbered, answer = page(call, params, list(enumerate(items)), lambda pair: f"{pair[0]:09d}", at_most=at_most)
    return [item for _, item in numbered], answer
