"""Systems Manager's pages: `MaxResults`, `NextToken`. A token is the place behind which the next page begins, bound to
the operation that gave it; one that was not made here is refused. Pure.
"""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

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
    try:
        decoded = base64.b64decode(token, altchars=b"-_", validate=True)
        operation, place = msgspec.json.decode(decoded, type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidNextToken from None
    if operation != call.operation:
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
            return chosen, {"NextToken": _token(call, last)}
        if wanted(item):
            chosen.append(item)
        last = place(item)
    return chosen, {}


def _token(call: Call, place: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([call.operation, place])).decode()
