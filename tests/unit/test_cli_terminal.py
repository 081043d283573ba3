"""What a task writes cannot command the terminal of whoever reads its log."""

import io
import sys

import pytest

from neargate.cli import terminal


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain ü 漢字 🚀", "plain ü 漢字 🚀"),
        ("a\tb", "a\tb"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),
        ("50 %\r100 %", r"50 %\r100 %"),
        ("\x9b6n\x7f\x00", r"\x9b6n\x7f\x00"),
        ("safe\u202etxt.exe", r"safe\u202etxt.exe"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;38;5;9mred\x1b[0m done", "\x1b[1;38;5;9mred\x1b[0m done\x1b[0m"),
        ("\x1b[31", r"\x1b[31"),
        ("\ud800", r"\ud800"),
    ],
)
def test_only_letters_tabs_and_colours_reach_a_terminal(written: str, shown: str) -> None:
    assert terminal.safe(written) == shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_what_was_written_and_a_terminal_too_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one\x1b[2J\ntwo"
    assert terminal.for_reader(text) == text, "no terminal here"
    monkeypatch.setattr(sys, "stdout", _Terminal())
    assert terminal.for_reader(text) == "one\\x1b[2J\ntwo"
    assert terminal.for_reader(text, raw=True) == text
