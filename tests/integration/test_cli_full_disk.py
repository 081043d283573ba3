"""Where a region's data cannot be written, a start says why in one line and leaves nothing. Real filesystems."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli.paths import RegionPaths

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
HOW = pytest.mark.parametrize("how", [[], ["--background"]], ids=["foreground", "background"])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """64 KiB, which everybody may enter."""
    place = tmp_path / "small"
    place.mkdir()
    for parent in (place, *place.parents):
        parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def refused(data: Path, *how: str) -> str:
    command = [sys.executable, "-m", "neargate", "up", "--data", str(data), "--sandbox", "simulated", *how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and done.stdout == ""
    assert not RegionPaths(data).run.exists() and not (data / "region.json").exists()
    [line] = done.stderr.splitlines()
    return line


@HOW
def test_a_full_disk(small: Path, how: list[str]) -> None:
    try:
        (small / "fill").write_bytes(bytes(1024 * 1024))
    except OSError:
        assert os.statvfs(small).f_bavail == 0
    assert refused(small / "data", *how).startswith(f"neargate: no room is left on the disk of {small / 'data'}; make")


@HOW
def test_a_filesystem_that_is_read_only(small: Path, how: list[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    line = refused(small, *how)
    assert "ead-only" in line and str(small) in line
