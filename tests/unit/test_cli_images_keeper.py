"""How the process that keeps images' bytes is started: on a socket of the server's, with a secret that stays."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from neargate.cli.paths import RegionPaths
from neargate.cli.supervisor import images_program

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
