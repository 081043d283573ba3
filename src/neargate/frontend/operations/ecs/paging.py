"""Pages of lists: bounds and opaque tokens.

Owns the token's form. A token carries where the next page starts and is bound to the operation that gave it.
Invariant: a token that was not made here is refused, never followed.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from ....model.errors import InvalidParameter
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
    return base64.urlsafe_b64encode(msgspec.json.encode([call.operation, *place])).decode()


def page_start(call: Call, params: Params, *kinds: type) -> list[str | int] | None:
    """The place a token names, each part of the given type; None for the first page."""
    token = params.get("nextToken")
    if not token:
        return None
    try:
        parts = msgspec.json.decode(base64.b64decode(token, altchars=b"-_", validate=True), type=list[str | int])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidParameter("Invalid token.") from None
    place = parts[1:]
    if parts[:1] != [call.operation] or [type(part) for part in place] != list(kinds):
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
