"""`neargate logs`: what it prints, what it says beside that, and how it outlives the server it asks."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from neargate.cli import config as configs
from neargate.cli import inspect
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import NoServer, Problem

Asked = list[dict[str, Any]]


def answer(*messages: str, stopped: bool = False, token: str = "t", note: str | None = None) -> dict[str, Any]:
    lines = [{"container": "web", "timestamp": 0, "message": text} for text in messages]
    return {"lines": lines, "containers": 1, "stopped": stopped, "tokens": {"web": token}, "note": note}


@pytest.fixture
def told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], list[str], Asked]]:
    """Follows a task whose server gives these answers; what was printed, what was noted, what was asked."""
    paths = RegionPaths(tmp_path)
    configs.save(paths, RegionConfig())
    monkeypatch.setattr(inspect, "FOLLOW_S", 0.0)

    def run(answers: Sequence[dict[str, Any] | Problem], follow: bool = True) -> tuple[list[str], list[str], Asked]:
        left, asked = list(answers), []
        printed: list[str] = []
        noted: list[str] = []

        def ask(_paths: RegionPaths, request: str, **arguments: Any) -> dict[str, Any]:
            asked.append(arguments)
            given = left.pop(0)
            if isinstance(given, Problem):
                raise given
            return given

        monkeypatch.setattr(inspect, "ask", ask)
        inspect.logs(paths, "0123", lines=7, follow=follow, say=printed.append, note=noted.append)
        assert left == []
        return printed, noted, asked

    return run


def test_following_goes_on_where_it_was_when_the_server_is_back(told: Any) -> None:
    gone = NoServer("the API does not run")
    printed, noted, asked = told(
        [answer("one", token="a"), gone, gone, gone, answer("two", token="b"), gone, answer("three", stopped=True)]
    )
    assert [line.split()[-1] for line in printed] == ["one", "two", "three"]
    assert noted == ["the API does not run; waiting for it up to 120 s"] * 2, "once each time"
    assert [item["tokens"] for item in asked] == [{}, *[{"web": "a"}] * 4, *[{"web": "b"}] * 2]
    assert [item["lines"] for item in asked] == [7, *[0] * 6]


def test_a_server_that_stays_away_ends_it(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "AWAY_S", -1.0)
    with pytest.raises(NoServer):
        told([answer("one"), NoServer("gone")])


def test_without_a_server_at_first_nothing_is_waited_for(told: Any) -> None:
    with pytest.raises(NoServer):
        told([NoServer("gone")])
    with pytest.raises(Problem, match="no task"):
        told([answer("one"), Problem("no task begins with it")])


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (answer(stopped=True), "the task wrote nothing; what happened to it: neargate why 0123 --data "),
        (answer(), "the task has written nothing yet; what happened to it: neargate why 0123 --data "),
        (answer(note="no container logs"), "no container logs"),
    ],
)
def test_silence_is_said_and_where_to_look(told: Any, first: dict[str, Any], words: str) -> None:
    printed, noted, _ = told([first], follow=False)
    assert printed == [] and len(noted) == 1 and noted[0].startswith(words)
