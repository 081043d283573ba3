"""Names of parameters: what they may be, what a name with a selector or an ARN means, and that one ARN is one name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.frontend.parameters.errors import HierarchyLevelLimitExceeded, InvalidRequest
from neargate.frontend.parameters.names import NAME_MAX, check_new, check_path, reference
from neargate.frontend.parameters.records import parameter_arn, rooted
from neargate.model.errors import AccessDenied, AwsError

ARN = "arn:aws:ssm:us-east-1:123456789012:parameter"
PIECE = st.text("abcXYZ019_.-", min_size=1, max_size=8)
GOOD = st.one_of(PIECE, st.lists(PIECE, min_size=1, max_size=15).map(lambda pieces: "/" + "/".join(pieces))).filter(
    lambda name: not name.lower().removeprefix("/").startswith(("aws", "ssm"))
)
ANY = st.one_of(GOOD, st.text(max_size=40), st.text("ab/:.", max_size=12))


def problem(name: str) -> AwsError | None:
    try:
        check_new(name)
    except AwsError as error:
        return error
    return None


@given(GOOD)
def test_good_names_are_good(name: str) -> None:
    assert problem(name) is None


@given(ANY)
def test_whatever_is_accepted_is_a_name_by_the_rules(name: str) -> None:
    if problem(name) is None:
        assert re.fullmatch(r"[a-zA-Z0-9_.\-]+|(/[a-zA-Z0-9_.\-]+){1,15}", name, re.ASCII)
        assert not re.match(r"/?(aws|ssm)", name, re.IGNORECASE)
        assert len(name) <= NAME_MAX


@given(ANY, ANY)
def test_two_names_with_one_arn_are_one_parameter(left: str, right: str) -> None:
    same_arn = parameter_arn("r", "a", left) == parameter_arn("r", "a", right)
    assert same_arn == (rooted(left) == rooted(right))


@given(GOOD, st.one_of(st.none(), st.text("abc123._-", min_size=1, max_size=10)))
def test_a_reference_says_what_went_in(name: str, selector: str | None) -> None:
    given = name if selector is None else f"{name}:{selector}"
    found = reference(given)
    assert (found.name, found.selector, found.account, found.given) == (name, selector, None, given)
    by_arn = reference(ARN + rooted(given))
    assert (by_arn.name, by_arn.selector) == (rooted(name), selector)
    assert (by_arn.account, by_arn.region) == ("123456789012", "us-east-1")


@given(st.text(max_size=60))
def test_a_reference_is_made_of_anything(text: str) -> None:
    assert reference(text).given == text
    assert reference(f"{ARN}/{text}").name.startswith("/")


@pytest.mark.parametrize("name", ["/aws/x", "/AWS/x", "/awsome/x", "/aws/service/x"])
def test_aws_own_paths_are_reserved(name: str) -> None:
    found = problem(name)
    assert isinstance(found, AccessDenied) and found.message == f"No access to reserved parameter name: {name}."


@pytest.mark.parametrize("name", ["aws", "awsx", "SSM", "ssm.x", "/aws", "/ssmx"])
def test_prefixes_of_plain_names(name: str) -> None:
    found = problem(name)
    assert isinstance(found, InvalidRequest)
    assert found.message == 'Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).'


@pytest.mark.parametrize("name", ["/ssm/x", "a b", "a@b", "/a//b", "/a/", "/", "é", "a\n"])
def test_what_no_name_holds(name: str) -> None:
    found = problem(name)
    assert isinstance(found, InvalidRequest)
    assert found.message.endswith("numbers and the following 3 symbols .-_")


def test_a_path_begins_at_the_root_and_has_fifteen_levels() -> None:
    found = problem("a/b")
    assert found is not None and found.message == "Parameter name must be a fully qualified name."
    assert problem("/x" * 15) is None
    assert isinstance(problem("/x" * 16), HierarchyLevelLimitExceeded)
    assert problem("x" * NAME_MAX) is None
    assert isinstance(problem("x" * (NAME_MAX + 1)), InvalidRequest)


def test_paths_to_look_below() -> None:
    assert [check_path(path) for path in ("/", "/a", "/a/", "/a/b/")] == ["", "/a", "/a", "/a/b"]
    for path in ("a", "", "/a//b", "/a b", "/a\n", "//"):
        with pytest.raises(InvalidRequest, match="must begin with a forward slash"):
            check_path(path)
