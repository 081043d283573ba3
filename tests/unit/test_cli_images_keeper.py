"""How the process that keeps images' bytes is started: on a socket of the server's, with a secret that stays."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.supervisor import check_proxies, images_program, programs

pytestmark = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs docker-registry")


def test_its_settings_are_nobody_elses_and_keep_their_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    paths = RegionPaths(tmp_path / "data")
    paths.server_run.mkdir(parents=True)
    settings = Path(images_program(paths, None).argv[-1])
    text = settings.read_text()
    assert f"net: unix, addr: {json.dumps(str(paths.images_socket))}" in text
    assert paths.images_socket.parent == paths.server_run, "whose directory only its user enters"
    assert settings.parent == paths.run, "the server's user must not be able to put a link there"
    assert not stat.S_IMODE(settings.stat().st_mode) & 0o007
    settings.write_text(text.replace("level: error", "level: debug"))
    images_program(paths, None)
    assert settings.read_text() == text, "what another release wrote is written anew, its secret stays"
    settings.unlink()
    images_program(paths, None)
    assert settings.read_text() != text


def test_its_user_reads_them_whatever_the_umask_is_and_whoever_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    given: list[str] = []

    def chown(path: Path, group: str) -> None:
        given.append(group)
        if len(given) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "chown", chown)
    paths = RegionPaths(tmp_path / "data")
    paths.server_run.mkdir(parents=True)
    before = os.umask(0o077)
    try:
        with pytest.raises(KeyboardInterrupt):
            images_program(paths, "keeper")
        settings = Path(images_program(paths, "keeper").argv[-1])
    finally:
        os.umask(before)
    assert given == ["keeper", "keeper"], "the second time, too"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o640


def test_a_proxy_that_is_none_keeps_a_region_from_starting_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.lan:1080")
    config = RegionConfig(containerd="/run/other.sock")
    with pytest.raises(Problem, match="HTTPS_PROXY must be the URL of an HTTP proxy"):
        check_proxies(config)
    check_proxies(replace(config, sandbox="simulated"))
    paths = RegionPaths(tmp_path / "data")
    paths.server_run.mkdir(parents=True)
    assert "images" in [program.name for program in programs(paths, config)], "so that it can be taken down"
