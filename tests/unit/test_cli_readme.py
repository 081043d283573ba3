"""README and `--help` name the same commands and options: who reads one is not misled by the other."""

import argparse
import re
from pathlib import Path

from neargate.cli.commands.parser import parser

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("\n## Commands\n")[2].partition("\n## ")[0]


def commands() -> dict[str, argparse.ArgumentParser]:
    found = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def options(command: argparse.ArgumentParser) -> set[str]:
    return {name for action in command._actions for name in action.option_strings if name.startswith("--")} - {"--help"}


def test_every_command_and_option_is_in_the_readme() -> None:
    table = set(re.findall(r"`neargate ([a-z][a-z-]*)", SECTION))
    assert table == set(commands())
    known = {name for command in commands().values() for name in options(command)}
    assert set(re.findall(r"--[a-z][a-z-]+", SECTION)) == known


def test_what_the_readme_types_can_be_typed() -> None:
    blocks = "".join(README.split("```")[1::2])
    typed = set(re.findall(r"(?<![/\w-])neargate ([a-z]+)", blocks))
    assert {"env", "why", "status"} <= typed <= set(commands())


def test_every_command_says_what_it_does() -> None:
    for name, command in commands().items():
        assert command.description, name
        assert all(action.help for action in command._actions), name
