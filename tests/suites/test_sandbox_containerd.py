"""The container engine keeps the promises of the sandbox seam."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar

import pytest

from neargate.interfaces.sandbox import ContainerConfig, Image, Sandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import SandboxSuite

pytestmark = pytest.mark.root


class TestContainerdSandbox(SandboxSuite):
    rig: ClassVar[ContainerRig]
    reference = ""
    user_namespaces: ClassVar[bool] = False

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _machine(cls) -> Iterator[None]:
        cls.rig = ContainerRig(user_namespaces=cls.user_namespaces)
        try:
            cls.reference = cls.rig.push("busybox", build_image([busybox_layer()]))
            yield
        finally:
            cls.rig.close()

    def play(self, story: Callable[[Sandbox], Awaitable[None]]) -> None:
        async def life(engine: Sandbox) -> None:
            await story(engine)

        self.rig.run(life)

    def config(self, image: Image, name: str, program: str) -> ContainerConfig:
        return self.rig.config(image, "sh", "-c", program, name=name, labels=(("suite", name),))

    async def pause(self) -> None:
        await asyncio.sleep(0.05)


class TestContainerdSandboxWithUserNamespaces(TestContainerdSandbox):
    """The same in a user namespace for each task."""

    user_namespaces = True
