"""Filters of parameters against a naive reference, their refusals in AWS's words, and pages that miss nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.frontend.call import Call, Principal
from neargate.frontend.operations.ssm.paging import page, place_of
from neargate.frontend.parameters import filters
from neargate.frontend.parameters.book import ParameterBook
from neargate.frontend.parameters.errors import (
    InvalidFilterKey,
    InvalidFilterOption,
    InvalidFilterValue,
    InvalidNextToken,
    InvalidRequest,
)
from neargate.frontend.parameters.records import Parameter, Version
from neargate.model.errors import AwsError

PIECE = st.text("abA.", min_size=1, max_size=2)
NAMES = st.lists(PIECE, min_size=1, max_size=4).map(lambda pieces: "/" + "/".join(pieces)) | PIECE
PATHS = st.lists(PIECE, max_size=3).map(lambda pieces: "/" + "/".join(pieces))


def parameter(name: str, *, labels: tuple[tuple[str, int], ...] = (), **more: Any) -> Parameter:
    tags = more.pop("tags", ())
    given: dict[str, Any] = {
        "number": 3,
        "type": "String",
        "tier": "Standard",
        "data_type": "text",
        "modified": 1.0,
        "user": "u",
    }
    return Parameter(account="1", name=name, current=Version(**given | more), labels=labels, tags=tags)


def call(operation: str = "DescribeParameters") -> Call:
    principal = Principal(account="1", arn="", user_id="", access_key_id="", is_administrator=True)
    return Call(
        service="ssm", operation=operation, protocol="json", region="r", principal=principal, request_id="", now=0.0
    )


def passes(one: Parameter, key: str, *values: str, option: str | None = None) -> bool:
    wanted = {"Key": key, "Values": list(values)} | ({"Option": option} if option else {})
    return filters.described([wanted], None).let_through(one)


@given(NAMES, PATHS, st.booleans())
def test_paths_against_a_naive_reference(name: str, path: str, recursive: bool) -> None:
    parts, wanted = name.strip("/").split("/"), [part for part in path.split("/") if part]
    below = parts[: len(wanted)] == wanted and len(parts) > len(wanted)
    expected = below and (recursive or len(parts) == len(wanted) + 1)
    found = parameter(name)
    assert passes(found, "Path", path, option="Recursive" if recursive else "OneLevel") == expected
    assert passes(found, "Path", path) == (below and len(parts) == len(wanted) + 1)


@given(NAMES, st.text("abA./", min_size=1, max_size=4))
def test_names_against_a_naive_reference(name: str, value: str) -> None:
    bare = value.removeprefix("/")
    found = parameter(name)
    assert passes(found, "Name", value) == (name.removeprefix("/") == bare)
    assert passes(found, "Name", value, option="BeginsWith") == name.removeprefix("/").startswith(bare)
    assert passes(found, "Name", value, option="Contains") == (value in name)


@given(st.sets(NAMES, max_size=12), st.integers(1, 4), PATHS)
def test_pages_together_are_the_whole(names: set[str], size: int, path: str) -> None:
    book = ParameterBook("1")
    for name in sorted(names):
        book.apply([parameter(name)], ())
    wanted = filters.described([{"Key": "Path", "Option": "Recursive", "Values": [path]}], None)
    seen: list[str] = []
    params: dict[str, Any] = {}
    for _ in range(len(names) + 2):
        items = book.after(place_of(call(), params))
        chosen, params = page(call(), items, size, lambda one: one.key, wanted.let_through)
        assert len(chosen) <= size
        seen += [one.key for one in chosen]
        if not params:
            break
    expected = {one.key for one in book.after("") if wanted.let_through(one)}
    assert seen == sorted(expected)
    assert [one.key for one in book.below(path.rstrip("/"))] == seen


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=20))
def test_a_book_counts_and_orders_what_it_holds(changes: list[tuple[str, bool]]) -> None:
    book, naive = ParameterBook("1"), dict[str, str]()
    for number, (name, is_put) in enumerate(changes):
        found = book.find(name)
        if is_put:
            tier = "Advanced" if number % 2 else "Standard"
            book.apply([parameter(name if found is None else found.name, tier=tier)], ())
            naive[parameter(name).key] = tier
        elif found is not None:
            book.apply((), [found])
            del naive[found.key]
    assert [one.key for one in book.after("")] == sorted(naive)
    assert [book.count(tier) for tier in ("Standard", "Advanced")] == [
        list(naive.values()).count(tier) for tier in ("Standard", "Advanced")
    ]


def test_the_other_keys() -> None:
    one = parameter("/a", key_id="alias/mine", type="SecureString", tags=(("team", "red"), ("env", "")))
    assert passes(one, "Type", "String", "SecureString") and not passes(one, "Type", "String")
    assert passes(one, "KeyId", "alias/", option="BeginsWith") and not passes(parameter("/b"), "KeyId", "alias/mine")
    assert passes(one, "Tier", "Standard") and not passes(one, "Tier", "Intelligent-Tiering")
    assert passes(one, "DataType", "text") and not passes(one, "DataType", "aws:ec2:image")
    assert passes(one, "tag:team") and passes(one, "tag:team", "blue", "red") and passes(one, "tag:env", "")
    assert not passes(one, "tag:team", "blue") and not passes(one, "tag:Team") and not passes(one, "tag:none")
    assert passes(one, "tag:team", "r", option="BeginsWith")


def test_a_label_chooses_the_version_that_has_it() -> None:
    one = parameter("/a", labels=(("prod", 1), ("test", 3), ("old", 2)))
    wanted = filters.by_path([{"Key": "Label", "Values": ["prod", "old"]}])
    assert wanted.let_through(one) and wanted.labelled(one) == 2
    assert not wanted.let_through(parameter("/b"))
    assert filters.by_path(None).labelled(one) is None


def test_former_filters_mean_the_same() -> None:
    old = filters.described(None, [{"Key": "Name", "Values": ["/a"]}, {"Key": "Type", "Values": ["String"]}])
    assert old.let_through(parameter("/ab")) and not old.let_through(parameter("/b"))
    with pytest.raises(InvalidRequest):
        filters.described([{"Key": "Name", "Values": ["/a"]}], [{"Key": "Name", "Values": ["/a"]}])


def test_only_whole_names_need_no_search() -> None:
    assert filters.described([{"Key": "Name", "Values": ["a", "/b"]}], None).names == ("/a", "/b")
    assert filters.described([{"Key": "Name", "Option": "Contains", "Values": ["a"]}], None).names is None
    assert filters.described(None, None).names is None


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            {"Key": "Label", "Values": ["x"]},
            InvalidFilterKey,
            "The following filter key is not valid: Label. Valid filter keys include: [Path, Name, Type, KeyId, Tier, "
            "DataType].",
        ),
        (
            {"Key": "Name", "Values": []},
            InvalidFilterValue,
            "The following filter values are missing : null for filter key Name.",
        ),
        (
            {"Key": "Path", "Values": ["/a"], "Option": "Equals"},
            InvalidFilterOption,
            "The following filter option is not valid: Equals. Valid options include: [Recursive, OneLevel].",
        ),
        (
            {"Key": "Type", "Values": ["Number"]},
            InvalidFilterValue,
            "The following filter value is not valid: Number. Valid values include: [String, StringList, "
            "SecureString].",
        ),
        (
            {"Key": "Path", "Values": ["/SSM/x"]},
            InvalidRequest,
            'Filters for common parameters can\'t be prefixed with "aws" or "ssm" (case-insensitive). When using '
            "global parameters, please specify within a global namespace.",
        ),
    ],
)
def test_refusals(given: dict[str, Any], error: type[AwsError], text: str) -> None:
    with pytest.raises(error) as caught:
        filters.described([given], None)
    assert caught.value.message == text


def test_keys_stand_once_and_paths_take_few() -> None:
    one = {"Key": "Type", "Values": ["String"]}
    with pytest.raises(InvalidFilterKey, match="duplicated in the request: Type"):
        filters.by_path([one, one])
    for key in ("Name", "Path", "Tier", "tag:x"):
        with pytest.raises(InvalidFilterKey, match=r"Valid filter keys include: \[Type, KeyId, Label\]"):
            filters.by_path([{"Key": key, "Values": ["/x"]}])
    for path in ("a", "//", "/a//b", "/a//", "/a b", "/" + "a" * 1022 + "!"):
        with pytest.raises(InvalidRequest, match="must begin with a forward slash"):
            passes(parameter("/a"), "Path", path)
    with pytest.raises(InvalidFilterKey, match="at most"):
        filters.described([{"Key": f"tag:{number}"} for number in range(61)], None)


@given(st.text(max_size=40))
def test_tokens_of_nobody_are_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidNextToken):
            place_of(call(), {"NextToken": token})


def test_a_token_is_for_one_operation() -> None:
    _, more = page(call(), ["a", "b"], 1, str, lambda _: True)
    assert place_of(call(), more) == "a"
    with pytest.raises(InvalidNextToken):
        place_of(call("GetParametersByPath"), more)
