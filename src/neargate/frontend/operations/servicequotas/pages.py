"""Pages of Service Quotas' lists: a token carries where the next page starts and for which operation it was given."""

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ....model.errors import InvalidPaginationToken
from ...call import Answer, Call, Params

PAGE_MAX = 100
T = TypeVar("T")


def paged(call: Call, params: Params, member: str, items: Sequence[T]) -> Answer:
    """The answer with one page of `items`. Raises InvalidPaginationToken."""
    start = _start(call, params.get("NextToken"))
    end = start + (params.get("MaxResults") or PAGE_MAX)
    answer: dict[str, object] = {member: list(items[start:end])}
    if end < len(items):
        answer["NextToken"] = base64.b64encode(msgspec.json.encode([call.operation, end])).decode()
    return answer


def _start(call: Call, token: str | None) -> int:
    if not token:
        return 0
    try:
        operation, start = msgspec.json.decode(base64.b64decode(token, validate=True), type=tuple[str, int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidPaginationToken from None
    if operation != call.operation or start < 0:
        raise InvalidPaginationToken
    return start
