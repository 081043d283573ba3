"""Lists of ELBv2: `PageSize` and `Marker`, in order of what the items' place is."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import pages
from ...balancing.errors import ValidationError
from ...call import Call, Params

T = TypeVar("T")
PAGE_MAX = 400


def page(
    call: Call, params: Params, items: Sequence[T], place: Callable[[T], Any], kind: Any = str
) -> tuple[list[T], dict[str, Any]]:
    """This page's items and `NextMarker`. Raises ValidationError."""
    chosen, token = pages.page(
        items,
        place,
        size=params.get("PageSize") or PAGE_MAX,
        token=params.get("Marker"),
        bound_to=call.operation,
        refused=lambda: ValidationError("The marker is not valid"),
        kind=kind,
    )
    return chosen, {} if token is None else {"NextMarker": token}
