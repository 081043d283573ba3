"""What users write, on its way into a proxy's configuration: it means itself there, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.model.balancing import Condition, FixedResponse, Forward, Redirect, WeightedGroup
from neargate.proxying import actions, conditions, names
from neargate.proxying.words import in_format, matching, quoted, url_part

HOSTILE = "a'b\"c $HOME ${X} %[src] \\ \n global\n#é%\r\t\x00"


def wild(pattern: str, text: str) -> bool:
    """Another way to say it: `*` is anything, `?` one character."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(wild(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and wild(pattern[1:], text[1:])


@given(st.text("ab?*.'\\(", max_size=8), st.text("ab.'\\(", max_size=10))
def test_a_pattern_matches_what_its_wild_characters_say(pattern: str, text: str) -> None:
    assert bool(re.fullmatch(matching(pattern), text)) == wild(pattern, text)


@given(st.text(max_size=40))
def test_a_pattern_is_written_in_an_alphabet_without_meaning(pattern: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9\\^$.*?()>]*", matching(pattern))
    assert quoted(matching(pattern)).count("'") == 2


@given(st.text(max_size=40))
def test_a_url_has_no_character_that_ends_a_word_or_a_line(text: str) -> None:
    written = in_format(url_part(text))
    assert written.isascii() and written.isprintable() and not set(written) & set(" '\"\\#")
    assert "%" not in written.replace("%%", "")


def test_a_word_with_a_quote_in_it_is_no_word() -> None:
    with pytest.raises(AssertionError):
        quoted("it's")


@pytest.mark.parametrize("field", ["host-header", "path-pattern", "http-request-method", "source-ip", "http-header"])
def test_a_hostile_value_of_a_condition_stays_one_word(field: str) -> None:
    for line in conditions.lines("r0c0", Condition(field=field, values=(HOSTILE,), name="x-name")):
        assert line.startswith("acl r0c0 ") and line.isprintable()
        assert line.count("'") in (0, 2, 4)
        assert "global" not in line.split()


def test_the_zone_of_an_address_is_no_way_into_the_configuration() -> None:
    sources = Condition(field="source-ip", values=("fe80::%a\nglobal\nb/10", "fe80::%a/10", "2001:db8::/32"))
    assert conditions.lines("r", sources) == ["acl r src -m ip -- 2001:db8::/32"]


def test_what_cannot_be_asked_for_never_holds() -> None:
    header = Condition(field="http-header", name=HOSTILE, values=("a",))
    assert conditions.lines("r", header) == ["acl r always_false"]
    assert conditions.lines("r", Condition(field="source-ip", values=("nowhere",))) == ["acl r always_false"]
    assert conditions.lines("r", Condition(field="what-comes-next")) == ["acl r always_false"]


def test_a_prefix_of_a_path_is_compared_and_not_matched() -> None:
    assert conditions.lines("r", Condition(field="path-pattern", values=("/img/*",))) == [
        "acl r path -m beg -- '/img/'"
    ]


def query(pair: tuple[str | None, str], asked: str) -> bool:
    (line,) = conditions.lines("r", Condition(field="query-string", pairs=(pair,)))
    return re.search(line.split("'")[1], asked, re.IGNORECASE) is not None


@pytest.mark.parametrize(
    ("pair", "asked", "holds"),
    [
        (("version", "v1"), "version=v1", True),
        (("version", "v1"), "a=b&version=v1&c=d", True),
        (("version", "v1"), "conversion=v1", False),
        (("version", "v1"), "version=v12", False),
        (("version", "v*"), "version=v12&x=y", True),
        (("v*n", "?1"), "VERSION=V1", True),
        ((None, "*example*"), "any=an-example-of-it", True),
        ((None, "example"), "example=other", False),
    ],
)
def test_a_query_is_asked_for_its_parameters(pair: tuple[str | None, str], asked: str, holds: bool) -> None:
    assert query(pair, asked) is holds


def test_a_redirect_keeps_what_it_is_told_to_keep() -> None:
    first, second = actions.lines(Redirect(code=301, protocol="HTTPS", port="443"), "r0c0", "http", 80, (), "/x")
    where = "https://%[var(txn.host)]:443/%[path,regsub(^/,)]"
    page = "http-request return status 301 content-type text/html file '/x/pages/301.html' hdr Server awselb/2.0"
    assert first == f"{page} hdr Location '{where}?%[query]' if !chosen r0c0 {{ query -m len gt 0 }}"
    assert second == f"{page} hdr Location '{where}' if !chosen r0c0"


def test_a_hostile_redirect_is_a_strange_address_and_no_more() -> None:
    action = Redirect(code=302, host=HOSTILE, path=HOSTILE, query=HOSTILE, port=HOSTILE, protocol=HOSTILE)
    (line,) = actions.lines(action, "", "http", 80, (), "/x")
    location = line.split(" hdr Location ")[1]
    assert line.isprintable() and line.count("'") == 4 and location.count("'") == 2
    assert "%[" not in line.replace("%%", "")


def test_a_body_is_a_file_and_no_word() -> None:
    action = FixedResponse(code=200, content_type=HOSTILE, body=HOSTILE)
    (line,) = actions.lines(action, "", "http", 80, (), "/x")
    assert line == (
        "http-request return status 200 content-type text/plain "
        f"file '/x/{actions.body_file(action)}' hdr Server awselb/2.0 if !chosen"
    )


def test_weights_are_shares_of_a_draw() -> None:
    groups = (WeightedGroup(arn="a", weight=3), WeightedGroup(arn="b", weight=0), WeightedGroup(arn="c", weight=2))
    lines = actions.forward(Forward(groups=groups), "", {"a", "b", "c"})
    assert lines == [
        "set-var(txn.draw) rand(5) if !chosen",
        f"set-var(txn.to) str({names.backend('a')}) if !chosen  {{ var(txn.draw) -m int lt 3 }}",
        f"set-var(txn.to) str({names.backend('c')}) if !chosen  {{ var(txn.draw) -m int lt 5 }}",
    ]


def test_a_group_that_is_not_there_gets_nobody() -> None:
    (line,) = actions.forward(Forward(groups=(WeightedGroup(arn="gone"),)), "", set())
    assert line == "set-var(txn.to) str(nowhere) if !chosen"
