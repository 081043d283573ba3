"""The halves' words are taken without argparse; what is no such word gets its answers."""

import subprocess
import sys

import pytest

from neargate.cli.own_words import OwnWords, own_words

SWITCHES = ("--remove-all", "--kill-all")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], OwnWords()),
        (["--data", "/d"], OwnWords(data="/d")),
        (["--data=/d"], OwnWords(data="/d")),
        (["--data", "/d", "--remove-all"], OwnWords(data="/d", switches=frozenset({"--remove-all"}))),
        (["--kill-all"], OwnWords(switches=frozenset({"--kill-all"}))),
    ],
)
def test_what_is_understood(words: list[str], found: OwnWords) -> None:
    assert own_words("neargate agent", words, SWITCHES) == found


@pytest.mark.parametrize("words", [["--data"], ["--dat", "/d"], ["/d"], ["--data", "/d", "more"], ["--remove"]])
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        own_words("neargate agent", words, SWITCHES)
    assert ended.value.code == 2 and "see: neargate agent --help" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        own_words("neargate server", ["--help"])
    assert ended.value.code == 0 and "--data" in capsys.readouterr().out


@pytest.mark.parametrize("half", ["agent", "server"])
def test_neither_half_loads_argparse(half: str) -> None:
    program = f"import sys, neargate.cli.{half}; sys.exit('argparse' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
