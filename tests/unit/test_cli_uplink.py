"""What the operator is told of `--uplink`, before and after."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.cli import config as configs
from neargate.cli import uplink
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.hostnet.uplink.record import UplinkFiles, UplinkState
from neargate.uplink.texts import MODES


class Paths(RegionPaths):
    @property
    def run(self) -> Path:
        return self.data / "run"


@pytest.fixture
def paths(tmp_path: Path) -> RegionPaths:
    return Paths(tmp_path)


def config(mode: str, sandbox: str = "container") -> RegionConfig:
    return replace(RegionConfig(), uplink=mode, sandbox=sandbox, public_pool="198.18.7.0/24")


def test_the_modes_are_those_that_the_option_takes() -> None:
    for mode in MODES:
        configs.check(config(mode))
    with pytest.raises(Problem, match="--uplink 'bridge': choose auto or nat or user or none"):
        configs.check(config("bridge"))


def test_user_without_pasta_is_refused_and_auto_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "program", lambda: None)
    for mode in ("auto", "nat", "none"):
        uplink.check_uplink(config(mode))
    uplink.check_uplink(config("user", "simulated"))
    with pytest.raises(Problem, match="apt-get install passt, or choose nat or none"):
        uplink.check_uplink(config("user"))


def test_only_nat_says_what_it_adds(paths: RegionPaths) -> None:
    for mode in ("auto", "user", "none"):
        assert uplink.beforehand(paths, config(mode)) == []
    assert uplink.beforehand(paths, config("nat", "simulated")) == []
    said = "\n".join(uplink.beforehand(paths, config("nat")))
    for words in (f"table inet neargate_{paths.instance} ", "198.18.7.0/24", "forwarding", "neargate down"):
        assert words in said


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (UplinkState(asked="auto", mode="user", works=True, pid=7), "uplink user [(]auto[)]: .* pasta [(]pid 7[)]"),
        (UplinkState(asked="nat", mode="nat", works=True), "uplink nat: .* translated to this host's address"),
        (UplinkState(asked="none", mode="none", works=True), "uplink none: tasks reach nothing beyond this machine"),
        (UplinkState(asked="user", mode="user", why="pasta ended: x"), "uplink user does not work: pasta ended: x"),
    ],
)
def test_how_it_does(paths: RegionPaths, state: UplinkState, line: str) -> None:
    assert uplink.status_line(paths, config("auto")) == "", "no agent has said anything"
    UplinkFiles(paths.run / "net").tell(state)
    found = uplink.status_line(paths, config("auto"))
    assert found
    assert re.fullmatch(line, found)
    assert uplink.status_line(paths, config("auto", "simulated")) == ""
    levels = [level for level, text in uplink.findings(paths, config("auto")) if text == found]
    assert levels == ["ok" if state.works else "note"]


def test_a_damaged_state_is_none(paths: RegionPaths) -> None:
    UplinkFiles(paths.run / "net").tell(UplinkState(asked="nat", mode="nat", works=True))
    (paths.run / "net" / "uplink-state.json").write_bytes(b"{")
    assert uplink.status_line(paths, config("nat")) == ""


def test_what_pasta_lacks_is_said(paths: RegionPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "program", lambda: None)
    assert any("apt-get install passt, or up with --uplink nat" in text for _, text in _notes(paths, "auto"))
    assert any("--uplink user needs it; apt-get install passt" in text for _, text in _notes(paths, "user"))
    assert not any("pasta" in text for _, text in _notes(paths, "none"))
    monkeypatch.setattr(uplink, "program", lambda: "/usr/bin/pasta")
    monkeypatch.setattr(uplink, "_TUN", tmp_path / "tun")
    (tmp_path / "most").write_text("0\n")
    monkeypatch.setattr(uplink, "_USER_NAMESPACES", tmp_path / "most")
    said = "\n".join(text for _, text in _notes(paths, "auto"))
    assert "modprobe tun" in said
    assert "user.max_user_namespaces=10000" in said
    (tmp_path / "tun").touch()
    (tmp_path / "most").write_text("5\n")
    assert not any("pasta" in text for _, text in _notes(paths, "auto"))


def _notes(paths: RegionPaths, mode: str) -> list[tuple[str, str]]:
    return [(level, text) for level, text in uplink.findings(paths, config(mode)) if level != "ok"]
