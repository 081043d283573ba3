"""ECS's pages: `maxResults` and `nextToken`, which is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ....model.errors import InvalidParameter
from ... import pages
from ...call import Call, Params

PAGE_MAX = 100

T = TypeVar("T")


def page_limit(params: Params, most: int = PAGE_MAX) -> int:
    limit = params.get("maxResults")
    if limit is None:
        return most
    if not 1 <= limit <= most:
        raise InvalidParameter(f"maxResults should be between 1 and {most}")
    return int(limit)


def next_token(call: Call, place: Sequence[str | int]) -> str:
    return pages.token_of(call.operation, place)


def page_start(call: Call, params: Params, *kinds: type) -> list[str | int] | None:
    """The place a token names, each part of the given type; None for the first page."""
    token = params.get("nextToken")
    if not token:
        return None
    place = pages.place_of(token, call.operation, list[str | int])
    if place is None or [type(part) for part in place] != list(kinds):
        raise InvalidParameter("Invalid token.")
    return place


def take(
    items: Iterator[T], limit: int, call: Call, place: Callable[[T], Sequence[str | int]]
) -> tuple[list[T], str | None]:
    """One page of an endless look at a list, and the token behind it when there is more."""
    page: list[T] = []
    for item in items:
        if len(page) == limit:
            return page, next_token(call, place(page[-1]))
        page.append(item)
    return page, None
