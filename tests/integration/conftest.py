"""What tests here share: a containerd or a guest for a module, the image most tests run, a network of a test's own."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import build_image, busybox_layer

from .guest_rig import DISKS, ROOT, Connection, Machine, make_disks, set_up
from .own_network import Run, in_network


@pytest.fixture(scope="module")
def rig() -> Iterator[ContainerRig]:
    with closing(ContainerRig()) as rig:
        yield rig


@pytest.fixture(scope="module")
def reference(rig: ContainerRig) -> str:
    return rig.push("busybox", build_image([busybox_layer()]))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a scenario in a network of its own."""
    return lambda scenario: asyncio.run(in_network(tmp_path / "run", scenario))


@pytest.fixture(scope="module")
def guest_build() -> Path:
    """The guest of these sources: built where it is not yet."""
    if given := os.environ.get("NEARGATE_TEST_GUEST"):
        return Path(given)
    programs = ("qemu-system-x86_64", "gcc", "musl-gcc", "mkfs.erofs", "lz4", "crun", "busybox", "apt-cache")
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"a guest needs {', '.join(missing)}")
    known = subprocess.run(["apt-cache", "show", "linux-image-cloud-amd64"], capture_output=True, check=False)
    if known.returncode != 0:
        pytest.skip("a guest needs Debian's linux-image-cloud-amd64, which this system's package lists don't have")
    cache = Path(os.environ.get("NEARGATE_GUEST_DIR") or "/var/cache/neargate/guest")
    if os.geteuid() != 0 and "NEARGATE_GUEST_DIR" not in os.environ:
        cache = Path.home() / ".cache" / "neargate" / "guest"
    subprocess.run([ROOT / "scripts" / "build-guest", "--directory", cache], check=True, stdout=subprocess.DEVNULL)
    return cache


@pytest.fixture(scope="module")
def guest_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ngg") as short:  # a socket's path has 107 bytes at most
        yield Path(short)


@pytest.fixture(scope="module")
def guest_disks(guest_directory: Path) -> list[str]:
    return make_disks(guest_directory)


@pytest.fixture(scope="module")
def machine(guest_build: Path, guest_directory: Path, guest_disks: list[str]) -> Iterator[Machine]:
    """Booted, with the task's disks; each test has a connection of its own, which kills what the last one left."""
    machine = Machine(guest_build, guest_directory / "cold", guest_disks, guest_directory / "memory")
    try:
        with machine.connection() as guest:
            guest.done(DISKS)
            set_up(guest)
        yield machine
    finally:
        machine.end()


@pytest.fixture
def guest(machine: Machine) -> Iterator[Connection]:
    with machine.connection() as guest:
        yield guest
