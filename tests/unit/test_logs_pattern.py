"""Filter patterns: plain terms, JSON, fields, regular expressions; none of them may take long, whatever is asked."""

import operator
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ('"a-b"', "a-b", True),
        ('"*"', "2 * 3", True),
        ("größe_1", "größe_1=2", True),
        ("%4[0-9]{2}%", "GET 404", True),
        ("%4[0-9]{2}%", "GET 200", False),
        ("ERROR %time(out)?%", "ERROR time", None),
        (r"ERROR %10\.0\.\d+% -retry", "ERROR of 10.0.7", True),
        (r"ERROR %10\.0\.\d+% -retry", "ERROR of 10.0.7, retry", False),
    ],
)
def test_terms(pattern: str, message: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(InvalidParameter, match="Invalid filter pattern"):
            parse_pattern(pattern)
        return
    parsed = parse_pattern(pattern)
    assert parsed.matches(message) is expected
    if expected:
        assert parsed.may_match(message.encode())


@pytest.mark.parametrize("pattern", ["{ $.level }", "[a, b", "%re", '"open', '-"open', 'a"b', '"a"b'])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid filter pattern"):
        parse_pattern(pattern)


@pytest.mark.parametrize("term", ["/pay", "a.b:c", "hel*", "a@b", "-a-b", "?x?", "*"])
def test_what_is_more_than_a_word_wants_quotes(term: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_pattern(f"ERROR {term}")
    assert caught.value.message == f"Invalid filter pattern: Invalid character(s) in term '{term}'"


def test_a_body_without_a_term_is_skipped() -> None:
    assert not parse_pattern("needle").may_match(b"hay\nhay")
    assert not parse_pattern("?a ?b").may_match(b"hxy")
    assert parse_pattern("-hay").may_match(b"hay\nhay")


MESSAGE = """{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.1.1", "arrayKey": ["value", "another value"],
 "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}], "SomeObject": null, "bandwidth": 80, "ok": true,
 "err": 404, "nested": {"x": {"y": "z"}}, "a b": 1, "ratio": -0.5}"""


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{$.eventType=UpdateTrail}", True),
        ('{ $.eventType = "update*" }', False),
        ("{ $.eventType = *Trail }", True),
        ('{ $.eventType = "U*d*T*l" }', True),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress = %111[.]111[.]\\d+% }", True),
        ('{ $.arrayKey[0] = "value" }', True),
        ('{ $.arrayKey[1] = "value" }', False),
        ('{ $.arrayKey[2] = "value" }', False),
        ('{ $.arrayKey = "value" }', False),
        ("{ $.objectList[1].id = 2 }", True),
        ("{ $.objectList[*].id = 2 }", True),
        ("{ $.objectList[*].id = 3 }", False),
        ("{ $.nested.*.y = z }", True),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.SomeOtherObject IS NULL }", False),
        ("{ $.SomeOtherObject NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ("{ $.ok IS TRUE }", True),
        ("{ $.ok IS FALSE }", False),
        ("{ $.err = 4* }", True),
        ("{ $.err = 404.0 }", True),
        ("{ $.err != 4* }", False),
        ("{ $.gone != 1 }", False),
        ("{ $.bandwidth > 75 }", True),
        ("{ $.bandwidth >= 8e1 }", True),
        ("{ $.bandwidth < 80 }", False),
        ("{ $.eventType > 75 }", False),
        ("{ $.ratio <= -.5 }", True),
        ("{ $['a b'] = 1 }", True),
        ("{ $.a = 1 && $.b = 2 || $.err = 404 }", True),
        ("{ $.err = 404 || $.a = 1 && $.b = 2 }", True),
        ("{ ($.err = 404 || $.a = 1) && $.b = 2 }", False),
        ("{ ($.bandwidth > 75) && (($.eventType = x) || ($.ok IS TRUE)) }", True),
    ],
)
def test_json(pattern: str, expected: bool) -> None:
    parsed = parse_pattern(pattern)
    assert parsed.matches(MESSAGE) is expected
    assert parsed.may_match(MESSAGE.encode())
    for other in ("", "ERROR", "{", '"text"', "17", MESSAGE[:-1], "[" * 100_000, '{"err": ' + "9" * 100_000 + "}"):
        parsed.matches(other)


LINE = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ip, user, username, timestamp, request, status_code, bytes]", True),
        ("[ip, user, username, timestamp, request, status_code]", False),
        ("[ip, user, username, timestamp, request, status_code = 4*, bytes > 1000]", True),
        ("[ip, user, username, timestamp, request =*.gif*, status_code = 404, bytes]", True),
        ("[..., status_code = 404, bytes]", True),
        ("[ip, ..., status_code != 404, bytes]", False),
        ("[ip = %127[.]0[.]0[.][1-9]%, ...]", True),
        ("[ip, user, username = bob || username = frank, ...]", True),
        ("[ip, user, username != bob && username != frank, ...]", False),
        ("[,,,,,,]", True),
        ("[...]", True),
        ('[ip, user, username, timestamp = "10/Oct/*", ...]', True),
        ("[..., bytes <= 1534.5]", True),
    ],
)
def test_fields(pattern: str, expected: bool) -> None:
    assert parse_pattern(pattern).matches(LINE) is expected


def test_what_a_pattern_names_is_told() -> None:
    assert parse_pattern("[ip, ..., status, size]").extracted(LINE) == {
        "$ip": "127.0.0.1",
        "$status": "404",
        "$size": "1534",
    }
    found = parse_pattern("{ $.err = 4* || $.ok IS TRUE || $.gone = 1 }").extracted(MESSAGE)
    assert found == {"$.err": "404", "$.ok": "true"}


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "{}",
            "{ }",
            "{ a = 1 }",
            "{ $ = 1 }",
            "{ $.x EXISTS }",
            "{ $.x IS NOT NULL }",
            "{ $.x IS 1 }",
            "{ $.x > y }",
        ),
        *("{ $.a = 1", "{ $.a = 1 } }", "{ ($.a = 1 }", "{ $.a = 1 && }", "{ $.a = 1 & $.b = 1 }", "{ $..a = 1 }"),
        *("{ $.*.* = 1 }", "{ $.*.a=1 && $.*.b=1 && $.*.c=1 && $.*.d=1 }", "{ " + "(" * 40 + "$.a=1" + ")" * 40 + " }"),
        *("[", "[a", "[a] b", "[a,...,...]", "[a b]", "[a = ]", "[a > b]"),
        *("%a!%", "%(a)%", "%é%", "%a", "%[%", "-%a%", "%a% %b% %c%", "{ $.a = %a% && $.b = %b% && $.c = %c% }"),
        "x" * 1025,
    ],
)
def test_what_aws_does_not_take_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid filter pattern"):
        parse_pattern(pattern)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='{}[]()$.*=!<>&|,"%\\ ab1-?IS', max_size=40), st.text(alphabet='{}[]" ab1:,\\', max_size=40))
def test_whatever_is_asked_of_whatever(pattern: str, message: str) -> None:
    try:
        parsed = parse_pattern(pattern)
    except InvalidParameter:
        return
    if parsed.matches(message):
        assert parsed.may_match(message.encode())
        parsed.extracted(message)


SCALARS = st.none() | st.booleans() | st.integers(-50, 50) | st.text("abc*", max_size=3)
KEYS = st.sampled_from(["a", "b"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner, max_size=3), max_leaves=8
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(KEYS, DOCUMENTS), st.lists(KEYS | st.integers(0, 2), min_size=1, max_size=3), st.integers(-50, 50)
)
def test_numbers_compare_as_numbers(document: dict[str, object], path: list[str | int], number: int) -> None:
    selector = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    found: object = document
    for step in path:
        try:
            found = found[step] if isinstance(found, dict | list) else None  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            found = None
    compared = found if isinstance(found, int) and not isinstance(found, bool) else None
    message = msgspec.json.encode(document).decode()
    for sign, compare in (("=", operator.eq), ("!=", operator.ne), ("<", operator.lt), (">=", operator.ge)):
        expected = compared is not None and compare(compared, number)
        if isinstance(found, str):  # a text is never a number, and differs from each
            expected = sign == "!="
        assert parse_pattern(f"{{ {selector} {sign} {number} }}").matches(message) is expected


@settings(max_examples=200, deadline=None)
@given(st.text("ab*", min_size=1, max_size=6), st.text("ab", max_size=8))
def test_a_star_stands_for_anything(pattern: str, text: str) -> None:
    expected = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None
    assert parse_pattern(f'{{ $.a = "{pattern}" }}').matches(msgspec.json.encode({"a": text}).decode()) is expected


@pytest.mark.parametrize("message", ["[" * 250_000, '"' * 250_000, '"\\' * 80_000, " [" * 80_000, "a " * 120_000])
def test_open_quotes_and_brackets_cost_one_pass(message: str) -> None:
    parse_pattern("[a, ..., b = x*y*z]").matches(message)
