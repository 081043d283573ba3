"""Secrets Manager's lists: `MaxResults` and `NextToken`. A token is the place behind which the next page begins,
bound to the operation that gave it. Pure.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

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
    token, size = params.get("NextToken"), params.get("MaxResults") or default
    if token:
        after = _decoded(call, token, kind)
        items = [item for item in items if (place(item) < after if descending else place(item) > after)]
    chosen = list(items[:size])
    if len(items) <= size:
        return chosen, {}
    encoded = msgspec.json.encode([call.operation, place(chosen[-1])])
    return chosen, {"NextToken": base64.urlsafe_b64encode(encoded).decode()}


def _decoded(call: Call, token: str, kind: Any) -> Any:
    try:
        plain = base64.b64decode(token, altchars=b"-_", validate=True)
        operation, place = msgspec.json.decode(plain, type=tuple[str, kind])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidNextToken from None
    if operation != call.operation:
        raise InvalidNextToken
    return place
