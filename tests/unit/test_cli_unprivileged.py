"""What a user without root is told. Under root the user's part is played by nobody."""

import ctypes
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli import agent, doctor, entry, leftovers, server
from neargate.cli import config as configs
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.up import up, up_in_background

NOBODY = 65534
assert ctypes and ssl and up and up_in_background and server and agent, (
    "imported before the user changes, who may not read where Python is"
)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[None]:
    before = os.geteuid()
    parents = [path for path in (tmp_path, *tmp_path.parents) if path.stat().st_uid == before and path != Path("/")]
    modes = [(path, path.stat().st_mode) for path in parents]
    if before == 0:
        for path, mode in modes:
            path.chmod(mode | 0o011)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)
        for path, mode in modes:
            path.chmod(mode & 0o7777)


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("more", [[], ["--background"], ["--containerd", "system"]], ids=str)
def test_up_says_first_that_it_needs_root(tmp_path: Path, more: list[str]) -> None:
    """Also where the user may not even make the data directory, as with the default one."""
    data = tmp_path / "not" / "made"
    with pytest.raises(Problem, match="running containers needs root"):
        commands.run(["up", "--data", str(data), *more])
    assert not data.parent.exists()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that the user may not even search. To be made before `user`."""
    path = tmp_path / "closed"
    path.mkdir(0o700 if os.geteuid() == 0 else 0)
    yield path
    path.chmod(0o700)


def test_what_lies_where_the_user_may_not_look_is_not_the_users(
    closed: Path, user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root's runtime state, once there is any: a region that this user started keeps nothing there."""
    monkeypatch.setattr(leftovers, "RUNTIME_STATE", closed)
    leftovers.remove(RegionPaths(tmp_path / "none"))


@pytest.mark.usefixtures("user")
def test_doctor_looks_at_what_everybody_may_see(tmp_path: Path) -> None:
    lines, _ = doctor.report(RegionPaths(tmp_path / "none"))
    assert any(line.startswith("note    not root: containers need root") for line in lines)
    assert any("libnftables" in line for line in lines)


@pytest.mark.skipif(not Path("/usr/sbin/mkfs.ext4").exists(), reason="needs e2fsprogs in /usr/sbin")
def test_doctor_finds_what_only_roots_path_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ok      mkfs.ext4: /usr/sbin/mkfs.ext4" in doctor.report(RegionPaths(tmp_path))[0]


@pytest.mark.parametrize(("cafile", "word"), [("bundle.pem", "ok  "), ("nowhere.pem", "note")])
def test_doctor_says_whether_https_registries_can_be_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cafile: str, word: str
) -> None:
    (tmp_path / "bundle.pem").write_text("")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / cafile))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "empty"))
    [line] = [line for line in doctor.report(RegionPaths(tmp_path))[0] if "authorities" in line]
    assert line.startswith(word)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to play two users")
@pytest.mark.parametrize("half", ["server", "agent"])
def test_a_half_of_somebody_elses_region_is_refused_in_a_line(
    tmp_path: Path, half: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = RegionPaths(tmp_path)
    configs.save(paths, RegionConfig(sandbox="simulated"))
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: self.data / "run"))
    paths.server_run.mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["neargate", half, "--data", str(tmp_path)])
    parents = [path for path in (tmp_path, *tmp_path.parents) if path != Path("/")]
    modes = [(path, path.stat().st_mode) for path in parents]
    for path, mode in modes:
        path.chmod(mode | 0o011)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(SystemExit) as left:
            entry.main()
    finally:
        os.seteuid(0)
        for path, mode in modes:
            path.chmod(mode & 0o7777)
    assert left.value.code == 1
    assert capsys.readouterr().err == f"neargate: {paths.run / half}.lock is not open to this user; run as root\n"
