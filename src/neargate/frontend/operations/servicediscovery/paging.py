"""Cloud Map's lists: a hundred to a page, and what it says of a token that is none. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import next_token
from ...call import Call, Params
from ...cloudmap.errors import InvalidInput

T = TypeVar("T")
PAGE_DEFAULT = 100


def page(
    call: Call, params: Params, items: Sequence[T], place: Callable[[T], str], *, descending: bool = False
) -> tuple[list[T], dict[str, Any]]:
    """As `next_token.page`. Raises InvalidInput."""
    return next_token.page(call, params, items, place, default=PAGE_DEFAULT, refused=_refused, descending=descending)


def _refused() -> InvalidInput:
    return InvalidInput("The NextToken is invalid.")
