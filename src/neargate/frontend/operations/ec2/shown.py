"""Filters over what a Describe operation shows: the values at a path of its members. Pure.

For families whose filters look at members of the answer. Invariant: what is absent offers nothing to a filter.
"""

from typing import Any

from .filters import Field

Shown = dict[str, Any]


def at(*path: str) -> Field[Shown]:
    """The values at a path of members; lists on the way are walked."""

    def values(item: Shown) -> list[str]:
        found: list[Any] = [item]
        for name in path:
            found = [one[name] for one in found if name in one]
            found = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
        return [_text(one) for one in found]

    return values


def tags_of(item: Shown) -> list[tuple[str, str]]:
    return [(tag["Key"], tag["Value"]) for tag in item.get("Tags") or ()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
