"""A region whose run directory is what Debian and Ubuntu mount: a tmpfs without devices, programs and set-uid."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from neargate.cli.paths import RegionPaths
from neargate.testing.registry import free_port

from .region import LiveRegion, data_directory, traces


@pytest.fixture
def strict() -> Iterator[LiveRegion]:
    data = data_directory()
    region = LiveRegion(paths=RegionPaths(data), port=free_port())
    run = region.paths.run
    run.mkdir(parents=True)
    options = "nosuid,nodev,noexec,mode=755,size=200m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(run)], check=True)
    try:
        yield region
    finally:
        done = region.command("down", "--force", check=False)
        subprocess.run(["umount", str(run)], check=True)
        run.rmdir()
        shutil.rmtree(data)
        assert done.returncode == 0, done.stderr
        assert traces(region.paths) == []


@pytest.mark.parametrize("members", [{}, {"pidMode": "task"}], ids=["plain", "shared processes"])
def test_tasks_run(strict: LiveRegion, members: dict[str, str]) -> None:
    strict.up()
    strict.push_images()
    said = {"command": ["echo", "here"], "logConfiguration": strict.log_config("/test/output")}
    arn = strict.run(strict.register(said, **members))
    task = strict.wait_status(arn, "STOPPED")
    assert task["stoppedReason"] == "Essential container in task exited"
    assert strict.output_of(arn) == ["here"]
