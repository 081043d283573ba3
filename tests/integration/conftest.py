"""The private containerd that tests of the container engine share in a module, and the image that most of them run."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import build_image, busybox_layer


@pytest.fixture(scope="module")
def rig() -> Iterator[ContainerRig]:
    with closing(ContainerRig()) as rig:
        yield rig


@pytest.fixture(scope="module")
def reference(rig: ContainerRig) -> str:
    return rig.push("busybox", build_image([busybox_layer()]))
