"""KMS's lists: `Limit`, `Marker`, `Truncated`. A marker is bound to the operation that gave it. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import pages
from ...call import Call, Params
from ...keys.errors import InvalidMarker

PAGE_DEFAULT = 100

T = TypeVar("T")


def page(
    call: Call, params: Params, items: Sequence[T], name: Callable[[T], str], *, default: int = PAGE_DEFAULT
) -> tuple[list[T], dict[str, Any]]:
    """This page's items, in order of their names, and what the answer says of the next one. Raises InvalidMarker."""
    chosen, marker = pages.page(
        items,
        name,
        size=params.get("Limit") or default,
        token=params.get("Marker"),
        bound_to=call.operation,
        refused=lambda: InvalidMarker("Invalid marker."),
    )
    return chosen, {"Truncated": False} if marker is None else {"Truncated": True, "NextMarker": marker}
