"""What a user without root is told. Under root the user's part is played by nobody."""

import ctypes
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli import commands, doctor
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.up import up, up_in_background

NOBODY = 65534
assert ctypes and ssl and up and up_in_background, "imported before the user changes, who may not read where Python is"


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
