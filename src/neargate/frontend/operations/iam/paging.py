"""IAM's lists: `MaxItems`, `Marker`, `IsTruncated`. A marker is the place behind which the next page begins, bound to
the operation that gave it; one that was not made here is refused. Pure.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

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
    marker, size = params.get("Marker"), min(params.get("MaxItems") or PAGE_DEFAULT, at_most)
    if marker:
        after = _decode(call, marker)
        items = [item for item in items if place(item) > after]
    chosen = list(items[:size])
    if len(items) <= size:
        return chosen, {"IsTruncated": False}
    return chosen, {"IsTruncated": True, "Marker": _encode(call, place(chosen[-1]))}


def page_of_names(call: Call, params: Params, names: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    return page(call, params, sorted(names), lambda name: name)


def page_in_order(
    call: Call, params: Params, items: Sequence[T], *, at_most: int = PAGE_MAX
) -> tuple[list[T], dict[str, Any]]:
    """Of a list that has no names: the place is the number."""
    numbered, answer = page(call, params, list(enumerate(items)), lambda pair: f"{pair[0]:09d}", at_most=at_most)
    return [item for _, item in numbered], answer


def _encode(call: Call, place: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([call.operation, place])).decode()


def _decode(call: Call, marker: str) -> str:
    try:
        operation, place = msgspec.json.decode(
            base64.b64decode(marker, altchars=b"-_", validate=True), type=tuple[str, str]
        )
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidRequest("Invalid Marker.") from None
    if operation != call.operation:
        raise InvalidRequest("Invalid Marker.")
    return place
