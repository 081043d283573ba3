"""Every command, wrongly used or where no region can be: one line with the cause and what mends it, never a stack."""

import json
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import agent, server_start
from neargate.cli import config as configs
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import Problem

ASKING = (
    *(["env"], ["status"], ["logs", "x"], ["why", "x"], ["sample"], ["audit"]),
    *(["account"], ["account", "list"], ["account", "create", "x"], ["account", "keys", "1"]),
    *(["quota"], ["quota", "list"], ["quota", "set", "a", "b"], ["quota", "reset", "a"], ["hosts"]),
)
EVERY = (*ASKING, ["down"], ["down", "--force"], ["doctor"], ["up", "--sandbox", "simulated"])


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegionPaths:
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: tmp_path / "run"))
    return RegionPaths(tmp_path / "data")


def refusal(words: list[str], data: Path) -> str:
    with pytest.raises(Problem) as problem:
        commands.run([*words, "--data", str(data)])
    [line] = str(problem.value).splitlines()
    return line


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_without_a_region_each_says_how_to_start_one(paths: RegionPaths, words: list[str]) -> None:
    assert refusal(words, paths.data) == (
        f"no region under {paths.data}; start one with: neargate up --data {paths.data}"
    )
    assert not paths.data.exists()


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
@pytest.mark.parametrize("below", ["", "/sub/data"])
def test_a_file_is_no_data_directory(tmp_path: Path, words: list[str], below: str) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    assert refusal(words, Path(f"{file}{below}")) == (
        f"--data {file}{below}: {file} is a file; name a directory, or one that can be made"
    )
    assert file.read_text() == "precious"


@pytest.mark.parametrize("half", [server_start.start, agent.main], ids=["server", "agent"])
def test_the_halves_refuse_as_the_commands_do(half: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--frob"], ["frob"], ["--data"]):
        with pytest.raises(SystemExit) as left:
            half(words)
        said = capsys.readouterr().err
        assert left.value.code == 2 and len(said.splitlines()) == 1 and said.startswith("neargate: ")
        assert said.endswith(" --help\n")
    with pytest.raises(Problem, match="no region under"):
        half(["--data", str(tmp_path / "none")])
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="is a file"):
        half(["--data", str(tmp_path / "file")])


@pytest.mark.parametrize(
    "members",
    [
        {"port": "x"},
        {"port": 99_999_999},
        {"port": True},
        {"port": None},
        {"region": 5},
        {"sandbox": "bogus"},
        {"zones": [1]},
        {"zones": 5},
        {"hosts": 0},
        {"insecure_registries": [["nas"]]},
        {"containerd": "somewhere"},
        {"master_key_command": "vault"},
    ],
    ids=json.dumps,
)
def test_a_damaged_region_is_said_to_be_damaged(paths: RegionPaths, members: dict[str, Any]) -> None:
    """Whatever is in its file: a stack, or a port that nobody can listen at, would come of it later."""
    paths.data.mkdir()
    configs.save(paths, RegionConfig())
    paths.config.write_text(json.dumps({**json.loads(paths.config.read_text()), **members}))
    for words in (["status"], ["env"], ["down"], ["down", "--force"], ["up", "--sandbox", "simulated"]):
        line = refusal(words, paths.data)
        assert line.startswith(f"{paths.config} is damaged (") and line.endswith("); restore it from a backup")
    for half in (server_start.start, agent.main):
        with pytest.raises(Problem, match="is damaged"):
            half(["--data", str(paths.data)])


def test_what_an_older_release_wrote_is_read(paths: RegionPaths) -> None:
    """And what a newer one added is passed over."""
    paths.data.mkdir()
    paths.config.write_text(json.dumps({"region": "eu-west-1", "zones": ["a"], "port": 4570, "of_a_newer": {"x": 1}}))
    assert configs.load(paths) == RegionConfig(region="eu-west-1", zones=("a",), port=4570)


def test_an_account_that_is_none_has_no_record(paths: RegionPaths) -> None:
    paths.data.mkdir()
    configs.save(paths, RegionConfig())
    assert refusal(["audit", "--account", "x"], paths.data) == "--account 'x' is not an account id; write 12 digits"


def test_a_directory_reached_by_a_link_is_the_one_it_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert region_paths(str(tmp_path / "link")).data == tmp_path / "real"
