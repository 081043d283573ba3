"""Which namespaces, services and operations a list's filters choose: all of them must match. Pure.

Each name has its own conditions, as AWS documents them; EQ where a filter has none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ...cloudmap.errors import InvalidInput
from ...cloudmap.records import Namespace, Outcome, Service

T = TypeVar("T")
_EQ, _IN, _BEGINS, _BETWEEN = "EQ", "IN", "BEGINS_WITH", "BETWEEN"
_SELF, _OTHERS = "SELF", "OTHER_ACCOUNTS"  # nothing here is shared by other accounts
_SUCCEED = "SUCCEED"  # how the documentation of filters spells SUCCESS


def matching_namespaces(items: Sequence[Namespace], filters: Sequence[dict[str, Any]]) -> list[Namespace]:
    """Raises InvalidInput."""
    texts: Mapping[str, Callable[[Namespace], str]] = {
        "TYPE": lambda one: one.type,
        "NAME": lambda one: one.called,
        "HTTP_NAME": lambda one: one.http_name,
        "RESOURCE_OWNER": lambda _: _SELF,
    }
    conditions = dict.fromkeys(texts, (_EQ, _BEGINS)) | {"RESOURCE_OWNER": (_EQ,)}
    return _matching(items, filters, texts, conditions)


def matching_services(items: Sequence[Service], filters: Sequence[dict[str, Any]]) -> list[Service]:
    """A namespace may be named by its ARN. Raises InvalidInput."""
    texts: Mapping[str, Callable[[Service], str]] = {
        "NAMESPACE_ID": lambda one: one.namespace,
        "RESOURCE_OWNER": lambda _: _SELF,
    }
    plain = [
        {**one, "Values": [_id_of(value) for value in one["Values"]]} if one["Name"] == "NAMESPACE_ID" else one
        for one in filters
    ]
    return _matching(items, plain, texts, dict.fromkeys(texts, (_EQ,)))


def matching_operations(items: Sequence[Outcome], filters: Sequence[dict[str, Any]]) -> list[Outcome]:
    """Raises InvalidInput."""
    texts: Mapping[str, Callable[[Outcome], str]] = {
        "NAMESPACE_ID": lambda one: one.target("NAMESPACE") or "",
        "SERVICE_ID": lambda one: one.target("SERVICE") or "",
        "STATUS": lambda one: one.status,
        "TYPE": lambda one: one.type,
    }
    conditions = dict.fromkeys(("NAMESPACE_ID", "SERVICE_ID"), (_EQ,)) | dict.fromkeys(("STATUS", "TYPE"), (_EQ, _IN))
    dates = [one for one in filters if one["Name"] == "UPDATE_DATE"]
    plain = [
        {**one, "Values": ["SUCCESS" if value == _SUCCEED else value for value in one["Values"]]}
        for one in filters
        if one["Name"] != "UPDATE_DATE"
    ]
    chosen = _matching(items, plain, texts, conditions)
    for one in dates:
        begin, end = _dates(one)
        chosen = [outcome for outcome in chosen if begin <= outcome.at <= end]
    return chosen


def _matching(
    items: Sequence[T],
    filters: Sequence[dict[str, Any]],
    texts: Mapping[str, Callable[[T], str]],
    conditions: Mapping[str, Sequence[str]],
) -> list[T]:
    tests = [_test(one, texts[one["Name"]], conditions[one["Name"]]) for one in filters]
    return [item for item in items if all(test(item) for test in tests)]


def _test(given: dict[str, Any], text: Callable[[T], str], allowed: Sequence[str]) -> Callable[[T], bool]:
    condition: str = given.get("Condition") or _EQ
    values: list[str] = given["Values"]
    if condition not in allowed:
        raise InvalidInput(f"The condition {condition} is not supported for the filter {given['Name']}.")
    if not values or (condition != _IN and len(values) != 1):
        raise InvalidInput(f"The filter {given['Name']} takes one value with the condition {condition}.")
    if given["Name"] == "RESOURCE_OWNER" and values[0] not in (_SELF, _OTHERS):
        raise InvalidInput(f"The values of the filter RESOURCE_OWNER are {_SELF} and {_OTHERS}.")
    if condition == _BEGINS:
        return lambda item: text(item).startswith(values[0])
    return lambda item: text(item) in values


def _dates(given: dict[str, Any]) -> tuple[float, float]:
    values = given["Values"]
    if given.get("Condition") != _BETWEEN or len(values) != 2:
        raise InvalidInput("The filter UPDATE_DATE takes the condition BETWEEN, and a start date and an end date.")
    try:
        begin, end = (float(value) for value in values)
    except ValueError:
        raise InvalidInput("The values of the filter UPDATE_DATE are times in Unix format.") from None
    if not begin <= end:
        raise InvalidInput("The start date of the filter UPDATE_DATE must be the first value.")
    return begin, end


def _id_of(named: str) -> str:
    return named.rpartition("/")[2] if named.startswith("arn:") else named
