"""`neargate exec`: which words are its own and which the container's."""

from typing import Any

import pytest

from neargate.cli.commands import parser as commands

ID = "0123456789abcdef"


def parsed(*words: str) -> Any:
    return commands.parsed(["exec", *words])


@pytest.mark.parametrize(
    ("words", "task", "container", "command"),
    [
        ((ID,), ID, "", []),
        ((ID, "sh"), ID, "", ["sh"]),
        ((ID, "sh", "-c", "exit 3"), ID, "", ["sh", "-c", "exit 3"]),
        ((ID, "-c", "web", "sh", "-c", "x"), ID, "web", ["sh", "-c", "x"]),
        (("-c", "web", ID, "ls", "--data", "/x"), ID, "web", ["ls", "--data", "/x"]),
        ((ID, "--container=web", "ls", "-l"), ID, "web", ["ls", "-l"]),
        ((ID, "--", "-x", "--container", "y"), ID, "", ["-x", "--container", "y"]),
        ((ID, "ls", "--", "-x"), ID, "", ["ls", "--", "-x"]),
        (("--data", "/d", ID, "true"), ID, "", ["true"]),
    ],
)
def test_what_follows_the_command_is_the_containers(
    words: tuple[str, ...], task: str, container: str, command: list[str]
) -> None:
    given = parsed(*words)
    assert (given.task, given.container, given.words) == (task, container, command)
    assert given.data == ("/d" if "/d" in words else None)


@pytest.mark.parametrize("words", [(), ("--container",), (ID, "--nothing"), ("-c", "web")])
def test_wrong_usage_is_told(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("neargate: ")


def test_help_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--help")
    assert ended.value.code == 0 and "COMMAND" in capsys.readouterr().out
