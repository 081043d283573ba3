"""The run directory as Debian and Ubuntu mount /run: a tmpfs that allows no devices, no programs and no set-uid."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.sandbox.runtime_probe import probe_runtime
from neargate.testing.cgroup_paths import cgroup_paths

pytestmark = pytest.mark.root


@pytest.fixture
def run_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="neargate-test-", dir="/run"))
    options = "nosuid,nodev,noexec,mode=755,size=16m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)
        directory.rmdir()


def test_a_runtime_is_found_that_works_there(run_dir: Path) -> None:
    name = f"neargate-test-{os.getpid()}-probe"
    runtime = probe_runtime(str(run_dir), f"/{name}")
    assert os.path.basename(runtime) in ("crun", "runc")
    assert [path.name for path in run_dir.iterdir()] == ["oci-runtime.json"], "nothing else is left"
    assert not [path for path in cgroup_paths() if path.endswith(f"/{name}")]
