"""How every command takes its words: wrong usage is one line, as every other error."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from .paths import DEFAULT_DATA

TASK_HELP = "task id or ARN; the first digits are enough"


class Parser(argparse.ArgumentParser):
    """An option is written whole, as its meaning may grow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"neargate: {message}; see: {self.prog} --help\n")


def command_apart(words: Sequence[str], valued: frozenset[str]) -> tuple[list[str], list[str]]:
    """(what is ours, another's command): from the second operand on nothing is ours, whatever it looks like.

    `valued`: options whose value is the next word.
    """
    options: list[str] = []
    operands: list[str] = []
    rest = list(words)
    while rest and len(operands) < 2:
        word = rest.pop(0)
        if word == "--":
            operands += rest
            rest = []
        elif word.startswith("-"):
            options.append(word)
            if word in valued and rest:
                options.append(rest.pop(0))
        else:
            operands.append(word)
    return [*options, *(["--"] if operands else []), *operands[:1]], [*operands[1:], *rest]


def data_option(made: argparse.ArgumentParser) -> None:
    """Before the command or after it. The latter has no default, which would overwrite the former."""
    text = f"data directory of the region (default {DEFAULT_DATA}, or NEARGATE_DATA)"
    made.add_argument("--data", metavar="DIR", help=text, default=argparse.SUPPRESS)
