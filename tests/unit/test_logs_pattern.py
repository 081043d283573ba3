"""Filter patterns of plain terms."""

import pytest

from neargate.logs.pattern import parse_pattern
from neargate.model.errors import InvalidParameter


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("   ", "anything", True),
        ("ERROR", "[ERROR] x", True),
        ("error", "[ERROR] x", False),
        ("ERROR main", "main: ERROR", True),
        ("ERROR main", "ERROR", False),
        ('"out of memory"', "killed: out of memory", True),
        ('"out of memory"', "memory out of", False),
        (r'"a \"b\" c"', 'say a "b" c', True),
        ("-debug", "info", True),
        ("-debug", "debug", False),
        ("ERROR -retry", "ERROR retry", False),
        ("ERROR -retry", "ERROR", True),
        ('-"two words"', "with two words", False),
        ("?ERROR ?WARN", "WARN", True),
        ("?ERROR ?WARN", "INFO", False),
        ("?ERROR main", "main", True),
        ("a-b", "a-b", True),
        ("*", "2 * 3", True),
    ],
)
def test_terms(pattern: str, message: str, expected: bool) -> None:
    parsed = parse_pattern(pattern)
    assert parsed.matches(message) is expected
    if expected:
        assert parsed.may_match(message.encode())


@pytest.mark.parametrize("pattern", ["{ $.level = 1 }", "[a, b]", "%re%", '"open', '-"open', 'a"b', '"a"b'])
def test_what_is_not_plain_terms_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid filter pattern"):
        parse_pattern(pattern)


def test_a_body_without_a_term_is_skipped() -> None:
    assert not parse_pattern("needle").may_match(b"hay\nhay")
    assert not parse_pattern("?a ?b").may_match(b"hxy")
    assert parse_pattern("-hay").may_match(b"hay\nhay")
