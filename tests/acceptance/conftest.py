"""A real region for the tests of this folder: `neargate up` with its own data directory, port and instance.

Started once, taken down at the end, and then the machine is looked over: whatever carries the instance's name must be
gone. Tests share the region; each makes its own families and security groups.
"""

import fcntl
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli import patience
from neargate.cli.paths import RegionPaths
from neargate.testing.registry import free_port

from .machines import SLOWER, options_of_a_region
from .region import LiveRegion, data_directory, end_abandoned, traces
from .registries import end_abandoned_registries, end_registry


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs root; a run without it says so by name. Where all are machines tests may take longer."""
    for item in items:
        if "acceptance" in item.path.parts:
            bound = item.get_closest_marker("timeout")
            usual = bound.args[0] if bound else float(item.config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(usual * SLOWER), append=False)
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root"))


def start_region(*options: str) -> LiveRegion:
    """`neargate up --background` in a fresh data directory that the unprivileged user can enter.

    With a login shell's limit of open files, whatever this process has.
    """
    region = LiveRegion(paths=RegionPaths(data_directory()), port=free_port())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        region.up(*options_of_a_region(options))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return region


def end_region(region: LiveRegion) -> None:
    """Down, then nothing of the instance may be left."""
    region.command("down")
    left = traces(region.paths)
    shutil.rmtree(region.paths.data)
    assert not left, "left on the machine:\n" + "\n".join(left)


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_killed_runs() -> Iterator[None]:
    if os.geteuid() == 0:
        alone = os.open("/var/lib", os.O_RDONLY)  # two parts of a run begin at once
        try:
            fcntl.flock(alone, fcntl.LOCK_EX)
            end_abandoned()
            end_abandoned_registries()
        finally:
            os.close(alone)
    yield
    end_registry()


@pytest.fixture(scope="session")
def region() -> Iterator[LiveRegion]:
    """With the extensions, which nobody notices who does not ask for them."""
    live = start_region("--extensions", "files")
    try:
        live.push_images()
        yield live
    finally:
        end_region(live)


@pytest.fixture(scope="session")
def sampled_region(region: LiveRegion) -> LiveRegion:
    """The shared one, with the image and the role that `neargate sample` leaves, which walk-throughs use."""
    region.leave_sample()
    return region


@pytest.fixture
def own_region() -> Iterator[LiveRegion]:
    """A region of the test's own, for tests that kill its processes."""
    live = start_region()
    try:
        live.push_images()
        yield live
    finally:
        end_region(live)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, and what `up` watches over, give up sooner on processes that never come up or never answer."""
    monkeypatch.setenv(patience.VARIABLE, "0.4")


@pytest.fixture(scope="session")
def neargate() -> str:
    """The command as installed beside this Python."""
    path = Path(sys.executable).parent / "neargate"
    assert subprocess.run([str(path), "--help"], capture_output=True, check=False).returncode == 0
    return str(path)
