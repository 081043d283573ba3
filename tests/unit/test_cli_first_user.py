"""The unprivileged user of the control plane: made once, also where two regions of a machine begin at the same time."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import pools, prepare
from neargate.cli.problems import Problem


class Users:
    """The machine's, and what `useradd` is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.known = False
        self.made: list[str] = []
        self.looks: list[bool] = []
        monkeypatch.setattr(prepare, "_USERS", directory)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(pwd, "getpwnam", self.found)
        monkeypatch.setattr(subprocess, "run", self.run)

    def found(self, name: str) -> str:
        self.looks.append(self.known)
        if not self.known:
            raise KeyError(name)
        return f"the user {name}"

    def run(self, words: list[str], **_: Any) -> None:
        self.made.append(words[-1])
        self.known = True


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Users:
    return Users(monkeypatch, tmp_path)


def test_it_is_made_once(users: Users) -> None:
    for _ in range(2):
        assert prepare._owner() == "the user neargate"
    assert users.made == ["neargate"]


def test_who_waited_for_another_start_makes_it_no_second_time(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = pools._taken

    def others_first(descriptor: int) -> bool:
        users.known = True
        return taken(descriptor)

    monkeypatch.setattr(pools, "_taken", others_first)
    assert prepare._owner() == "the user neargate"
    assert users.looks == [False, True] and users.made == []


def test_a_start_that_does_not_come_to_an_end_is_told_of(
    users: Users, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pools, "ALONE_S", 0.0)
    with pools.alone(tmp_path), pytest.raises(Problem, match="first start"):
        prepare._owner()
    assert users.made == []
