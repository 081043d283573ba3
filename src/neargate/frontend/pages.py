"""Pages of lists, for every service: opaque tokens, and what of a list stands behind one. Pure.

A token is the place behind which the next page begins, bound to what it was given for, so it stays good while things
come and go. Owns the token's form; must not know parameters or errors of a service. Invariant: a token that was not
made here, or for something else, is refused, never followed.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ..model.errors import AwsError

T = TypeVar("T")
P = TypeVar("P")


def token_of(bound_to: str, place: object) -> str:
    """`place` is a string, a number, or a sequence of these; `bound_to`: the operation, or more of the question."""
    return base64.urlsafe_b64encode(msgspec.json.encode([bound_to, place])).decode()


def place_of(token: str, bound_to: str, kind: type[P]) -> P | None:
    """The place that `token_of` was given; None for what is no token of this question."""
    try:
        plain = base64.b64decode(token, altchars=b"-_", validate=True)
        told, place = msgspec.json.decode(plain, type=tuple[str, kind])  # type: ignore[valid-type]  # a type, at runtime
    except ValueError:  # base64's errors are, and msgspec's and Unicode's
        return None
    return place if told == bound_to else None


def page(
    items: Sequence[T],
    place: Callable[[T], Any],
    *,
    size: int,
    token: str | None,
    bound_to: str,
    refused: Callable[[], AwsError],
    descending: bool = False,
    kind: Any = str,
) -> tuple[list[T], str | None]:
    """This page's items, and the token of the next where more follow. `items` are in order of their places.

    `kind` is the places' type. Raises what `refused` makes for a token that is none.
    """
    if token:
        after = place_of(token, bound_to, kind)
        if after is None:
            raise refused()
        items = [item for item in items if (place(item) < after if descending else place(item) > after)]
    chosen = list(items[:size])
    return chosen, token_of(bound_to, place(chosen[-1])) if len(items) > size else None
