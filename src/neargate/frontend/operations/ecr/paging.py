"""ECR's lists: `maxResults` and `nextToken`, which is bound to the operation and what it was asked about. Pure."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ....model.errors import InvalidParameter
from ...call import Call, Params

PAGE_DEFAULT, PAGE_MAX = 100, 1000

T = TypeVar("T")


def page(call: Call, params: Params, items: Sequence[T], place: Callable[[T], str]) -> tuple[list[T], dict[str, Any]]:
    """This page's items, and `nextToken` where more follow. `items` are in order of their places."""
    token, size = params.get("nextToken"), params.get("maxResults") or PAGE_DEFAULT
    about = _about(call, params)
    if token:
        after = _after(token, about)
        items = [item for item in items if place(item) > after]
    chosen = list(items[: min(size, PAGE_MAX)])
    if len(items) <= len(chosen):
        return chosen, {}
    return chosen, {"nextToken": base64.b64encode(msgspec.json.encode([about, place(chosen[-1])])).decode()}


def _about(call: Call, params: Params) -> str:
    given = {key: value for key, value in params.items() if key not in ("nextToken", "maxResults")}
    return hashlib.sha256(msgspec.json.encode([call.operation, given], order="sorted")).hexdigest()[:16]


def _after(token: str, about: str) -> str:
    try:
        told, after = msgspec.json.decode(base64.b64decode(token, validate=True), type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        told, after = "", ""
    if told != about:
        raise InvalidParameter("Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
    return after
