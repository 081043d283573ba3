"""The regular expressions of strangers: they find what Python's find, in one pass, and say what they do not take."""

import re
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neargate.regex import linear
from neargate.regex.linear import LinearRegex, TooComplex
from neargate.regex.syntax import BadRegex

ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", r"\d", r"\w", r"\S", r"\b", r"\B", "1", " ", "^", "$"])


def repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,}", "*?"])
    some = st.tuples(inner, signs).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    return some | st.lists(inner, min_size=1, max_size=4).map("".join) | st.tuples(inner, inner).map("|".join)


EXPRESSIONS = st.recursive(ATOMS, repeated, max_leaves=8)
TEXTS = st.text(alphabet="abc1 _-é", max_size=30)


@settings(max_examples=300, deadline=None)
@given(expression=EXPRESSIONS, texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_finds_what_pythons_find(expression: str, texts: list[str]) -> None:
    ours = LinearRegex(expression)
    for text in texts:  # the same machine again: what it has learned of one text holds for the next
        assert ours.found_in(text) is bool(re.search(expression, text, re.ASCII)), (expression, text)


@settings(max_examples=200, deadline=None)
@given(expression=EXPRESSIONS, texts=st.lists(TEXTS.filter(bool), min_size=1, max_size=4), most=st.integers(1, 4))
def test_what_is_forgotten_is_learned_again(expression: str, texts: list[str], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear, "_STATES_MAX", most)
        ours = LinearRegex(expression)
        for text in texts * 2:
            assert ours.found_in(text) is bool(re.search(expression, text, re.ASCII)), (expression, text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=r"ab()[]{}|*+?^$\.-:,0129xQEPi<>", max_size=25), TEXTS)
def test_whatever_is_written_is_read_or_refused(expression: str, text: str) -> None:
    try:
        machine = LinearRegex(expression)
    except BadRegex:
        return
    machine.found_in(text)


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("(?i)error", "an ErRoR", True),
        ("(?i:e)rror", "Error", True),
        ("(?i:e)rror", "ERROR", False),
        (r"^\[[A-Z]+\]", "[INFO] x", True),
        ("[[:digit:]]{4}-", "at 2024-01", True),
        ("[[:^alpha:]]", "abc", False),
        (r"\Qa.b\E+", "a.bb", True),
        (r"\Qa.b\E", "axb", False),
        (r"\x41\x{1F600}", "A😀", True),
        ("(?P<year>[0-9]+)!", "12!", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b$", "a\nb\nc", False),
        (".", "\n", False),
        ("(?s).", "\n", True),
        ("a{,2}", "a{,2}", True),
        ("[]a]x", "]x", True),
        ("[a-]+", "-", True),
        (r"\z", "", True),
    ],
)
def test_the_syntax_of_re2(expression: str, text: str, expected: bool) -> None:
    assert LinearRegex(expression).found_in(text) is expected


@pytest.mark.parametrize(
    "expression",
    ["(", "a)", "[", "[b-a]", "*a", "a**", r"\1", r"(?=a)", r"(?<!a)", r"\p{L}", "a{1001}", "(" * 99 + ")" * 99, "\\"],
)
def test_what_is_no_expression_is_said(expression: str) -> None:
    with pytest.raises(BadRegex):
        LinearRegex(expression)


@pytest.mark.parametrize("expression", ["((a{100}){100}){100}", "(a|b|c){900}{900}", "(?:x{1000}){1000}"])
def test_what_would_be_huge_is_refused_before_it_is_made(expression: str) -> None:
    with pytest.raises(BadRegex):
        LinearRegex(expression)


@pytest.mark.parametrize("expression", ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*a){12}b", "a?" * 30 + "a" * 30 + "b"])
def test_what_is_catastrophic_elsewhere_takes_one_pass(expression: str) -> None:
    assert LinearRegex(expression).found_in("a" * 200_000) is False


def test_an_expression_of_ever_new_states_runs_out_of_credit() -> None:
    bits = 0x9E3779B97F4A7C15
    text = "".join("ab"[(bits * (n + 1) * (n + 7) >> 13) & 1] for n in range(200_000))
    machine = LinearRegex("[ab]*a[ab]{300}c")
    with pytest.raises(TooComplex):
        machine.found_in(text)
    assert LinearRegex("[ab]*ac").found_in(text) is False


def test_what_was_learned_of_short_texts_costs_nothing_again() -> None:
    """Empty and short lines earn little: thousands of them must not use up what an expression may learn with."""
    words = [first + second for first in "abcdefghijklmnopqrst" for second in "abcdefghijklmnopqrst"]
    machine = LinearRegex(f"^(?:{'|'.join(words)})$")
    for _ in range(2000):
        assert not machine.found_in("") and not machine.found_in("x") and machine.found_in("ab")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("".join(f"[^{chr(0x4E00 + 2 * n)}]" for n in range(1024)), "".join(map(chr, range(0x4E00, 0x5600)))),
        ("[ab]*a[ab]{900}c", "".join("ab"[(0x9E3779B97F4A7C15 * n * (n + 7) >> 13) & 1] for n in range(20_000))),
    ],
)
def test_no_expression_takes_much_memory_whatever_it_learns(expression: str, text: str) -> None:
    tracemalloc.start()
    try:
        machine = LinearRegex(expression)
        for _ in range(40):  # each earns some credit more
            with suppress(TooComplex):
                machine.found_in(text)
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
