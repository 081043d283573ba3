"""The master keys come from a file that only the server reads, or from a command that is bounded."""

import base64
import shlex
import sys
from pathlib import Path

import pytest

from neargate.cli import config as configs
from neargate.cli import master_keys, prepare
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem

KEY = base64.b64encode(bytes(range(32))).decode()


def command(program: str) -> RegionConfig:
    config = RegionConfig(master_key_command=f"{sys.executable} -c {shlex.quote(program)}")
    configs.check(config)
    return config


@pytest.fixture
def paths(tmp_path: Path) -> RegionPaths:
    return RegionPaths(tmp_path)


def test_the_file_is_made_once_and_for_its_owner_only(paths: RegionPaths) -> None:
    paths.secrets.mkdir()
    prepare._master_key(paths, None)
    made = master_keys.load(paths, RegionConfig())
    assert len(made) == 1
    assert paths.master_keys.stat().st_mode & 0o777 == 0o600
    prepare._master_key(paths, None)
    assert master_keys.load(paths, RegionConfig()) == made, "a second start keeps what seals the databases"
    with paths.master_keys.open("a") as file:
        file.write(KEY + "\n")
    assert master_keys.load(paths, RegionConfig()) == (*made, bytes(range(32))), "an appended key is the newest"


def test_a_lost_file_is_named(paths: RegionPaths) -> None:
    with pytest.raises(Problem, match=r"master\.key.*restore"):
        master_keys.load(paths, RegionConfig())


def test_a_command_prints_the_keys(paths: RegionPaths) -> None:
    assert master_keys.load(paths, command(f"print({KEY!r})")) == (bytes(range(32)),)
    assert not paths.master_keys.exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("raise SystemExit(3)", "status 3"),
        ("pass", "0 master keys"),
        ("print('x' * 100_000)", "more than"),
        (f"print({KEY!r}[:-3])", "base64"),
    ],
)
def test_a_command_that_prints_none_is_a_problem(paths: RegionPaths, program: str, words: str) -> None:
    with pytest.raises(Problem, match=words) as refused:
        master_keys.load(paths, command(program))
    assert KEY[:20] not in str(refused.value)


@pytest.mark.parametrize("ending", ["", "os.close(1);"])
def test_a_command_that_does_not_end_is_ended(ending: str, monkeypatch: pytest.MonkeyPatch, paths: RegionPaths) -> None:
    monkeypatch.setattr(master_keys, "COMMAND_TIMEOUT_S", 1.0)
    told = paths.data / "pid"
    program = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); {ending} time.sleep(600)"
    with pytest.raises(Problem, match="did not end"):
        master_keys.load(paths, command(program))
    assert not Path("/proc", told.read_text()).exists()


@pytest.mark.parametrize("written", ["vault read", "'/bin/unclosed", "  "])
def test_a_command_names_its_program_whole(written: str) -> None:
    with pytest.raises(Problem, match="--master-key-command"):
        configs.check(RegionConfig(master_key_command=written))
