"""ECR's lists: `maxResults` and `nextToken`, which is bound to the operation and what it was asked about. Pure."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ....model.errors import InvalidParameter
from ... import pages
from ...call import Call, Params

PAGE_DEFAULT, PAGE_MAX = 100, 1000

T = TypeVar("T")


def page(call: Call, params: Params, items: Sequence[T], place: Callable[[T], str]) -> tuple[list[T], dict[str, Any]]:
    """This page's items, and `nextToken` where more follow. `items` are in order of their places."""
    chosen, token = pages.page(
        items,
        place,
        size=min(params.get("maxResults") or PAGE_DEFAULT, PAGE_MAX),
        token=params.get("nextToken"),
        bound_to=_about(call, params),
        refused=_refused,
    )
    return chosen, {} if token is None else {"nextToken": token}


def _about(call: Call, params: Params) -> str:
    given = {key: value for key, value in params.items() if key not in ("nextToken", "maxResults")}
    return hashlib.sha256(msgspec.json.encode([call.operation, given], order="sorted")).hexdigest()[:16]


def _refused() -> InvalidParameter:
    return InvalidParameter("Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
