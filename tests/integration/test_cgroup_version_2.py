"""A machine has one version of cgroups: what holds with the second, and that some tests pass there wherever this runs.

Where it is the first, a virtual machine has the second (tests/vm); all that it is made for: `make test-vm`.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.cgroup_paths import ROOT as CGROUPS
from neargate.testing.container_rig import ContainerRig

from .engine_waits import stopped

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
LOOKS = 400
HAS_VERSION_2 = (CGROUPS / "cgroup.controllers").exists()
CONTAINERS = "tests/integration/test_sandbox_containers.py"
SOME = (
    "tests/integration/test_cgroups.py",
    "tests/integration/test_cgroup_version_2.py::test_crun_runs_containers_and_shows_them_no_cgroup_but_theirs",
    "tests/integration/test_cgroup_version_2.py::test_containers_and_commands_in_them_end_before_the_hosts_own",
    f"{CONTAINERS}::test_out_of_memory",
    f"{CONTAINERS}::test_limits_of_cpu_and_processes",
)


@pytest.mark.skipif(not HAS_VERSION_2, reason="this machine has cgroup version 1")
def test_crun_runs_containers_and_shows_them_no_cgroup_but_theirs(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        assert engine.runtime == shutil.which("crun")
        look = "cat /proc/self/cgroup; ls -d /sys/fs/cgroup/neargate* 2>/dev/null; cat /sys/fs/cgroup/memory.max"
        image = await rig.pull(engine, reference)
        config = rig.config(image, "sh", "-c", look, memory_limit_bytes=24 << 20)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        await stopped(engine, config.runtime_id)
        assert rig.log(config).splitlines() == ["0::/", str(24 << 20)]
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_containers_and_commands_in_them_end_before_the_hosts_own(rig: ContainerRig, reference: str) -> None:
    """Where the host's memory ends; containerd and its shims, from which they come, are its last."""

    async def story(engine: ContainerdSandbox) -> None:
        # A command's score is written when it runs already.
        score = "/proc/self/oom_score_adj"
        look = ("sh", "-c", f"until grep -qx 1 {score}; do sleep 0.1; done; cat {score}")
        image = await rig.pull(engine, reference)
        config = rig.config(image, "sh", "-c", f"cat {score}; exec sleep 100")
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        done = await engine.exec(config.runtime_id, "look", look, timeout_s=60)
        for _ in range(LOOKS):
            if rig.log(config):
                break
            await asyncio.sleep(0.05)
        await engine.delete_container(config.runtime_id)
        assert (rig.log(config), done.output) == ("1\n", b"1\n")

    rig.run(story)


@pytest.mark.skipif(HAS_VERSION_2, reason="this machine has cgroup version 2 itself")
def test_cgroups_and_containers_in_a_machine_that_has_version_2(guest_build: Path) -> None:
    command = [sys.executable, "-m", "tests.vm", "-q", *SOME]
    environment = os.environ | {"NEARGATE_GUEST_DIR": str(guest_build)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout, done.stdout
