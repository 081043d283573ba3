"""A region whose data directory is gone: doctor names what it left, one command removes it, and nothing else's."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli import processes

from .region import LiveRegion, traces
from .test_up_down import HALVES, WAIT, new_region


@pytest.fixture
def doomed() -> Iterator[LiveRegion]:
    """A region with a running task. Its data is not there any more when the test ends."""
    region = new_region()
    try:
        region.up()
        region.push_images()
        region.wait_status(region.run(region.register(WAIT)), "RUNNING")
        yield region
    finally:
        done = region.command("down", "--force", check=False)
        shutil.rmtree(region.paths.data, ignore_errors=True)
        assert done.returncode == 0, done.stderr
        assert traces(region.paths) == []


def shim_sockets(region: LiveRegion) -> list[Path]:
    bundles = region.paths.run / "containerd/containerd/io.containerd.runtime.v2.task"
    return [Path(path.read_text().removeprefix("unix://")) for path in bundles.glob("*/*/address")]


@pytest.mark.parametrize("killed", [(), ("up", *HALVES)], ids=["all live", "all but the task killed"])
def test_what_a_region_without_data_left_is_named_and_removed(doomed: LiveRegion, killed: tuple[str, ...]) -> None:
    sockets = shim_sockets(doomed)
    assert sockets
    for name in killed:
        found = processes.find(doomed.paths.pid_file(name))
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        assert processes.wait_gone(found, 10)
    doomed.paths.config.unlink()
    shutil.rmtree(doomed.paths.data, ignore_errors=True)
    doctor = [
        line for line in doomed.command("doctor", check=False).stdout.splitlines() if str(doomed.paths.data) in line
    ]
    assert any(f"neargate down --force --data {doomed.paths.data}" in line and "left by" in line for line in doctor)
    refused = doomed.command("down", check=False)
    assert refused.returncode == 1 and "neargate down --force" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "is gone" in doomed.command("down", "--force").stdout
    assert traces(doomed.paths) == [] and not [path for path in sockets if path.exists()]
    assert "nothing to stop" in doomed.command("down", "--force").stdout, "twice is once"
    assert f"left by a region whose data {doomed.paths.data}" not in doomed.command("doctor", check=False).stdout
