"""The private containerd that tests of the container engine share in a module, and the image that most of them run."""

from collections.abc import Iterator

import pytest

from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import build_image, busybox_layer


@pytest.fixture(scope="module")
def rig() -> Iterator[ContainerRig]:
    rig = ContainerRig()
    try:
        yield rig
    finally:
        rig.close()


@pytest.fixture(scope="module")
def reference(rig: ContainerRig) -> str:
    return rig.push("busybox", build_image([busybox_layer()]))
