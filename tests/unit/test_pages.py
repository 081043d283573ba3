"""Pages of lists: whatever the size, each item comes once; a token that was not made for this question is refused."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.frontend.pages import page, place_of, token_of


class Refused(Exception):
    """Stands for a service's own error."""


def pages_of(items: list[int], size: int, *, descending: bool = False, start: str | None = None) -> list[list[int]]:
    found, token = [], start
    while True:
        chosen, token = page(
            items,
            lambda item: item,
            size=size,
            token=token,
            bound_to="List",
            refused=Refused,  # type: ignore[arg-type]  # any error will do
            descending=descending,
            kind=int,
        )
        found.append(chosen)
        if token is None:
            return found


@given(items=st.sets(st.integers(0, 99)), size=st.integers(1, 12), descending=st.booleans())
def test_each_item_comes_once_and_in_order(items: set[int], size: int, descending: bool) -> None:
    ordered = sorted(items, reverse=descending)
    found = pages_of(ordered, size, descending=descending)
    assert [item for chosen in found for item in chosen] == ordered
    assert all(len(chosen) == size for chosen in found[:-1])
    assert len(found) == max(1, -(-len(ordered) // size)), "no empty page at the end"


def test_a_token_stays_good_when_its_item_goes() -> None:
    assert pages_of([1, 2, 4], 2, start=token_of("List", 3)) == [[4]]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "%%%",
        "é",
        token_of("Other", 1),
        token_of("List", "a"),
        token_of("List", [1]),
        token_of("List", 1) + "AAAA",
        base64.b64encode(b"1").decode(),
        base64.b64encode(b'["List"]').decode(),
        base64.b64encode(b"\xff").decode(),
    ],
)
def test_what_was_not_made_for_this_list_is_refused(token: str) -> None:
    with pytest.raises(Refused):
        pages_of([1, 2, 3], 2, start=token)


@pytest.mark.parametrize(("place", "kind"), [("ü/1", str), (7, int), ((1.5, "a"), tuple[float, str])])
def test_a_place_comes_back_as_it_was_given(place: Any, kind: Any) -> None:
    assert place_of(token_of("List", place), "List", kind) == place


@given(st.text(max_size=40))
def test_no_text_is_more_than_refused(token: str) -> None:
    assert place_of(token, "List", str) is None
