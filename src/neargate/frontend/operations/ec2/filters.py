"""EC2's Filters: names with wildcard values, and what each item offers to them. Pure.

Values of one filter are alternatives, filters narrow one another. `*` is any run of characters, `?` any one, a
backslash takes the next literally. Matching is linear in its memory and never backtracks further than the last `*`:
the patterns come from strangers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ...network.errors.common import FilterLimitExceeded, InvalidParameterValue

T = TypeVar("T")
VALUES_MAX = 200
PATTERN_MAX = 1024

# The values of an item that a filter of this name looks at.
Field = Callable[[T], Iterable[str]]


def select(
    items: Iterable[T],
    filters: Sequence[Mapping[str, Any]] | None,
    fields: Mapping[str, Field[T]],
    tags: Callable[[T], Iterable[tuple[str, str]]] | None = None,
) -> list[T]:
    """The items that pass every filter. Raises InvalidParameterValue for a name that is not in `fields`."""
    chosen = list(items)
    given = filters or ()
    if sum(len(one.get("Values") or ()) for one in given) > VALUES_MAX:
        raise FilterLimitExceeded(VALUES_MAX)
    for one in given:
        field = _field(one.get("Name"), fields, tags)
        patterns = [_pattern(value) for value in one.get("Values") or ()]
        chosen = [item for item in chosen if any(_matches(pattern, v) for v in field(item) for pattern in patterns)]
    return chosen


def _field(
    name: str | None, fields: Mapping[str, Field[T]], tags: Callable[[T], Iterable[tuple[str, str]]] | None
) -> Field[T]:
    if name is None:
        raise InvalidParameterValue("The filter 'null' is invalid")
    if name in fields:
        return fields[name]
    if tags is not None:
        if name == "tag-key":
            return lambda item: (key for key, _ in tags(item))
        if name == "tag-value":  # not documented any more
            return lambda item: (value for _, value in tags(item))
        if name.startswith("tag:"):
            wanted = name[len("tag:") :]
            return lambda item: (value for key, value in tags(item) if key == wanted)
    raise InvalidParameterValue(f"The filter '{name[:255]}' is invalid")


_ANY_RUN, _ANY_ONE = object(), object()
_Token = str | object


def _pattern(value: str) -> list[_Token]:
    if len(value) > PATTERN_MAX:
        raise InvalidParameterValue("A filter value is too long")
    tokens: list[_Token] = []
    characters = iter(value)
    for character in characters:
        if character == "\\":
            tokens.append(next(characters, "\\"))
        else:
            tokens.append({"*": _ANY_RUN, "?": _ANY_ONE}.get(character, character))
    return tokens


def _matches(pattern: Sequence[_Token], text: str) -> bool:
    at = place = 0
    star, resume = -1, 0
    while at < len(text):
        token = pattern[place] if place < len(pattern) else None
        if token is _ANY_RUN:
            star, resume = place, at
            place += 1
        elif token is not None and (token is _ANY_ONE or token == text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            resume += 1
            at, place = resume, star + 1
        else:
            return False
    return all(token is _ANY_RUN for token in pattern[place:])
