"""The patterns of AWS's models decide at once: a request is held to them before anybody is asked for leave."""

import itertools
import json
import re
from pathlib import Path

import pytest

import neargate.wire
from neargate.wire.violations import python_pattern

MODELS = Path(neargate.wire.__file__).parent / "models"
UNITS = (
    "a",
    "0",
    "A",
    "-",
    "_",
    ".",
    "/",
    "*",
    ":",
    "=",
    " ",
    "a-",
    "a.",
    "a_",
    "a/",
    "a:",
    "a,",
    "a=",
    "a0",
    "aA",
    "--",
)
BEGINNINGS = ("", "/", "a", "arn:aws:", "arn:aws:iam::123456789012:", "https://")
LONG = 400  # characters: what grows exponentially does not end
LONGER = 60_000


def patterns() -> list[str]:
    shapes = (json.loads(path.read_bytes())["shapes"].values() for path in sorted(MODELS.glob("*.json")))
    return sorted({one["pattern"] for one in itertools.chain(*shapes) if "pattern" in one})


@pytest.mark.timeout(60)
def test_no_text_keeps_a_pattern_busy() -> None:
    """A pattern that backtracks without end ends here with the test's time, and its name in the stack."""
    known = [text for text in map(python_pattern, patterns()) if text is not None]
    assert len(known) > 50
    for text in known:
        compiled = re.compile(text)
        for beginning, unit in itertools.product(BEGINNINGS, UNITS):
            compiled.search(beginning + unit * (LONG // len(unit)) + "\0")


@pytest.mark.timeout(60)
def test_no_pattern_takes_the_square_of_a_text() -> None:
    """Which may be as long as a request: a pattern that does takes half a minute for one of these."""
    for text in filter(None, map(python_pattern, patterns())):
        compiled = re.compile(text)
        for beginning, unit in itertools.product(("", "arn:aws:"), UNITS):
            compiled.search(beginning + unit * (LONGER // len(unit)) + "\0")


def test_an_arn_s_pattern_that_is_written_anew_has_the_same_language() -> None:
    given = r"arn:aws(-[\w]+)*:*:.+:[0-9]{12}:.+"
    assert given in patterns()
    anew = python_pattern(given)
    assert anew is not None and given not in anew
    whole = 0
    for length in range(8):
        for pieces in itertools.product((":", "-a", "123456789012", "x"), repeat=length):
            text = f"arn:aws{''.join(pieces)}"
            is_one = re.fullmatch(given, text, re.ASCII) is not None
            assert bool(re.search(anew, text)) == is_one, text
            whole += is_one
    assert whole > 100


def test_a_pattern_that_is_written_anew_has_the_same_language() -> None:
    given = r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$"
    assert given in patterns()
    anew = python_pattern(given)
    assert anew is not None and given not in anew
    for length in range(8):
        for letters in itertools.product("a*./-!", repeat=length):
            text = "".join(letters)
            assert bool(re.search(anew, text)) == bool(re.search(given[:-1] + r"\Z", text)), text
