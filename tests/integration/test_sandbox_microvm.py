"""The microVM engine keeps the promises of the sandbox seam with real guests, emulated; and what only machines do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import ClassVar

import pytest

from neargate.interfaces.sandbox import ContainerConfig, Image, Sandbox
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import SandboxSuite

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]


class TestMicroVmSandbox(SandboxSuite):
    rig: ClassVar[MachineRig]
    reference = ""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _machine(cls) -> Iterator[None]:
        cls.rig = MachineRig()
        try:
            cls.reference = cls.rig.containers.push("busybox", build_image([busybox_layer()]))
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
