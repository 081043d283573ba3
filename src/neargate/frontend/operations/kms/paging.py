"""KMS's lists: `Limit`, `Marker`, `Truncated`. A marker is the name behind which the next page begins. Pure."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ...call import Call, Params
from ...keys.errors import InvalidMarker

PAGE_DEFAULT = 100

T = TypeVar("T")


def page(
    call: Call, params: Params, items: Sequence[T], name: Callable[[T], str], *, default: int = PAGE_DEFAULT
) -> tuple[list[T], dict[str, Any]]:
    """This page's items, in order of their names, and what the answer says of the next one. Raises InvalidMarker."""
    marker, size = params.get("Marker"), params.get("Limit") or default
    if marker:
        after = _decoded(call, marker)
        items = [item for item in items if name(item) > after]
    chosen = list(items[:size])
    if len(items) <= size:
        return chosen, {"Truncated": False}
    place = f"{call.operation}/{name(chosen[-1])}"
    return chosen, {"Truncated": True, "NextMarker": base64.urlsafe_b64encode(place.encode()).decode()}


def _decoded(call: Call, marker: str) -> str:
    try:
        place = base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidMarker("Invalid marker.") from None
    operation, _, name = place.partition("/")
    if operation != call.operation:
        raise InvalidMarker("Invalid marker.")
    return name
