"""What a task writes cannot command the terminal of whoever reads its log."""

import argparse
import io
import sys
from pathlib import Path

import pytest

from neargate.cli import doctor, terminal, trace_path
from neargate.cli.commands import looking
from neargate.cli.paths import region_paths


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


def test_what_accounts_named_does_not_command_the_terminal_of_who_asks_doctor_or_for_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "the certificate of \x1b]0;owned\x07 expired"
    monkeypatch.setattr(doctor, "report", lambda _: ([told], True))
    monkeypatch.setattr(trace_path, "run", lambda *_: trace_path.Traced(told, is_open=True))
    monkeypatch.setattr(sys, "stdout", shown := _Terminal())
    looking.doctor(argparse.Namespace(), region_paths(str(tmp_path)))
    looking.trace_path(argparse.Namespace(task="t", to="web:80", protocol="tcp"), region_paths(str(tmp_path)))
    assert shown.getvalue() == "the certificate of \\x1b]0;owned\\x07 expired\n" * 2
