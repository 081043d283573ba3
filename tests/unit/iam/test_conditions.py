"""Condition operators as the tables of AWS's user guide have them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.iam.conditions import condition
from neargate.iam.dates import seconds
from neargate.iam.patterns import arn_pattern, pattern
from neargate.iam.request import Keys


def holds(operator: str, wanted: str | list[str], *values: str, **others: str) -> bool:
    keys: dict[str, tuple[str, ...]] = {name.replace("_", ":"): (value,) for name, value in others.items()}
    if values:
        keys["k:key"] = values
    listed = [wanted] if isinstance(wanted, str) else wanted
    return condition(operator, "K:Key", listed, variables=True)(keys)


@pytest.mark.parametrize(
    ("operator", "wanted", "yes", "no"),
    [
        ("StringEquals", "a*", "a*", "ab"),
        ("StringNotEquals", ["a", "b"], "c", "b"),
        ("StringEqualsIgnoreCase", "Prod", "pROD", "prod2"),
        ("StringNotEqualsIgnoreCase", "Prod", "dev", "PROD"),
        ("StringLike", "p?o*", "prod", "pod"),
        ("StringNotLike", "p*", "dev", "prod"),
        ("NumericEquals", "10", "10.0", "11"),
        ("NumericNotEquals", "10", "11", "10"),
        ("NumericLessThan", ["1", "5"], "4", "5"),
        ("NumericLessThanEquals", "5", "5", "5.1"),
        ("NumericGreaterThan", "9007199254740992", "9007199254740993", "9007199254740992"),
        ("NumericGreaterThanEquals", "5", "5", "x"),
        ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:01Z"),
        ("DateNotEquals", "2026-01-01", "2026-01-02", "2026-01"),
        ("DateLessThan", "2026-01-01T00:00:00Z", "1767225599", "1767225600"),
        ("DateGreaterThanEquals", "2026-01-01T00:00:00Z", "1767225600", "never"),
        ("Bool", "true", "True", "false"),
        ("BinaryEquals", "YQ==", "YQ==", "Yg=="),
        ("IpAddress", "203.0.113.0/24", "203.0.113.9", "203.0.114.9"),
        ("IpAddress", "2001:DB8:1234:5678::/64", "2001:db8:1234:5678:1::", "2001:db8::1"),
        ("IpAddress", "10.0.0.0/8", "::ffff:10.0.0.1", "not an address"),
        ("NotIpAddress", "10.0.0.0/8", "192.0.2.1", "::ffff:10.0.0.1"),
        (
            "ArnLike",
            "arn:aws:ecs:*:1:cluster/p*",
            "arn:aws:ecs:eu-west-1:1:cluster/prod",
            "arn:aws:ecs:eu:1:1:cluster/p",
        ),
        ("ArnEquals", "arn:aws:ecs:*:1:*", "arn:aws:ecs:eu:1:a:b", "arn:aws:ecs:eu:2:a"),
        ("ArnNotLike", "arn:aws:ecs:*:1:*", "arn:aws:ecs:eu:2:a", "arn:aws:ecs:eu:1:a"),
        ("ArnNotEquals", "arn:aws:ecs:*:1:*", "no arn", "arn:aws:ecs:eu:1:a"),
    ],
)
def test_an_operator(operator: str, wanted: Any, yes: str, no: str) -> None:
    assert holds(operator, wanted, yes)
    assert not holds(operator, wanted, no)


@pytest.mark.parametrize(
    ("operator", "when_absent"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringLikeIfExists", True),
        ("NumericLessThan", False),
        ("NotIpAddress", True),
        ("IpAddressIfExists", True),
        ("BoolIfExists", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", True),
        ("ForAllValues:StringEquals", True),
        ("ForAllValues:StringNotEquals", True),
    ],
)
def test_a_key_that_is_not_there(operator: str, when_absent: bool) -> None:
    wanted = {"Numeric": "1", "NotIp": "10.0.0.0/8", "IpAdd": "10.0.0.0/8", "BoolI": "true"}.get(operator[:5], "1")
    assert holds(operator, wanted) is when_absent
    empty: Keys = {"k:key": ()}
    assert condition(operator, "k:key", [wanted], variables=True)(empty) is when_absent


def test_null_asks_whether_a_key_is_there() -> None:
    assert holds("Null", "true") and not holds("Null", "true", "x")
    assert holds("Null", "false", "x") and not holds("Null", "FALSE")


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("ForAllValues:StringEquals", ("a", "b"), True),
        ("ForAllValues:StringEquals", ("a", "c"), False),
        ("ForAllValues:StringEquals", ("",), True),  # resolves to nothing
        ("ForAllValues:StringEquals", ("", "c"), False),
        ("ForAllValues:StringNotEquals", ("c", "d"), True),
        ("ForAllValues:StringNotEquals", ("c", "a"), False),
        ("ForAnyValue:StringEquals", ("c", "a"), True),
        ("ForAnyValue:StringEquals", ("c", "d"), False),
        ("ForAnyValue:StringNotEquals", ("a", "c"), True),
        ("ForAnyValue:StringNotEquals", ("a", "b"), False),
        # Without a set operator a negated one is the opposite of any match.
        ("StringEquals", ("c", "a"), True),
        ("StringNotEquals", ("c", "a"), False),
    ],
)
def test_keys_with_several_values(operator: str, values: tuple[str, ...], expected: bool) -> None:
    assert holds(operator, ["a", "b"], *values) is expected


def test_no_value_in_the_policy_matches_nothing() -> None:
    assert not holds("StringEquals", [], "a")
    assert holds("StringNotEquals", [], "a")


def test_variables_are_values_and_not_patterns() -> None:
    assert holds("StringLike", "home/${aws:username}/*", "home/al/x", aws_username="al")
    assert not holds("StringLike", "home/${aws:username}/*", "home/bo/x", aws_username="*")
    assert holds("StringEquals", "${AWS:UserName}", "al", aws_username="al")
    assert holds("StringEqualsIgnoreCase", "X${aws:username}", "xal", aws_username="AL")
    assert holds("StringEquals", "${aws:PrincipalTag/team, 'none'}", "none")
    assert holds("StringLike", "${*}${?}${$}", "*?$") and not holds("StringLike", "${*}", "a")
    assert holds("ArnLike", "${aws:sourcearn}", "arn:aws:a:b:c:d:e", aws_sourcearn="arn:aws:a:b:c:d:e")


def test_a_variable_without_a_value_equals_nothing() -> None:
    assert not holds("StringEquals", "${aws:username}", "")
    assert not holds("StringLike", "*${aws:username}", "x")
    assert holds("StringNotEquals", "${aws:username}", "x")
    several: Keys = {"k:key": ("a",), "aws:tagkeys": ("a", "b")}
    assert not condition("StringEquals", "k:key", ["${aws:TagKeys}"], variables=True)(several)


def test_the_old_version_knows_no_variables() -> None:
    keys: Keys = {"k:key": ("${aws:username}",), "aws:username": ("al",)}
    assert condition("StringEquals", "k:key", ["${aws:username}"], variables=False)(keys)


@pytest.mark.parametrize("text", ["${", "${}", "${a", "${a, none}", "${a, 'x}", "${a${b}}", "${a b}"])
def test_malformed_variables_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"variable|default"):
        pattern(text, variables=True)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
def test_patterns_match_as_the_table_of_prefixes_says(text: str, value: str) -> None:
    row = [True] + [False] * len(value)
    for char in text:
        following = [char == "*" and row[0]]
        for index, other in enumerate(value):
            if char == "*":
                following.append(row[index + 1] or following[index])
            else:
                following.append(row[index] and char in ("?", other))
        row = following
    assert pattern(text)(value, {}) is row[-1]


def test_hostile_patterns_stay_cheap() -> None:
    """Each would take longer than the universe has if a star could be tried again."""
    value = "a" * 2000
    for text in ("*a" * 1000 + "b", "*a?" * 600 + "b", "*" * 2000 + "b", "?*" * 1000 + "b"):
        assert not pattern(text)(value, {})
        assert not arn_pattern("arn:aws:s3:::" + text)("arn:aws:s3:::" + value, {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1970-01-01", 0),
        ("1970-01", 0),
        ("1970", 1970),  # digits alone are seconds
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.25+01:00", 0.25),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2000-03-01", 951868800),
        ("-0001-01-01", -62198755200),
        ("2026-06", 1780272000),
    ],
)
def test_dates(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["", "T", "x", "2026-13", "2026-1-1-1", "1970-01-01T24", "1970-01-01T00:00:00+1", "1_0", "²", "9" * 100]
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  int's own words differ by Python version
        seconds(text)
