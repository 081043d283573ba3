"""Pages of Service Quotas' lists: a token carries where the next page starts and for which operation it was given."""

from collections.abc import Sequence
from typing import TypeVar

from ....model.errors import InvalidPaginationToken
from ... import pages
from ...call import Answer, Call, Params

PAGE_MAX = 100
T = TypeVar("T")


def paged(call: Call, params: Params, member: str, items: Sequence[T]) -> Answer:
    """The answer with one page of `items`. Raises InvalidPaginationToken."""
    start = _start(call, params.get("NextToken"))
    end = start + (params.get("MaxResults") or PAGE_MAX)
    answer: dict[str, object] = {member: list(items[start:end])}
    if end < len(items):
        answer["NextToken"] = pages.token_of(call.operation, end)
    return answer


def _start(call: Call, token: str | None) -> int:
    if not token:
        return 0
    start = pages.place_of(token, call.operation, int)
    if start is None or start < 0:
        raise InvalidPaginationToken
    return start
