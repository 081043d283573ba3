"""What tests here share: a containerd for a module, the image that most tests run, a network of a test's own."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import build_image, busybox_layer

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
