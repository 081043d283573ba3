"""The microVM engine keeps the promises of the sandbox seam, over a guest that keeps those of the protocol."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, Image, Sandbox
from neargate.sandbox.pause import PAUSE_ARGS
from neargate.testing.fake_guest_processes import FakeProcess, Program, saying
from neargate.testing.microvm_rig import MicroVmRig
from neargate.testing.suites.sandbox import SandboxSuite


async def sleep(process: FakeProcess) -> int:
    await asyncio.Event().wait()
    return 0


async def handler(process: FakeProcess) -> int:
    process.trapped.add(15)
    await process.signalled()
    return 5


ACTS: dict[tuple[str, ...], Program] = {
    ("sh", "-c", program): act
    for program, act in zip(SandboxSuite.PROGRAMS, (saying(b"", 3), sleep, handler, saying(b"out\nerr\n")), strict=True)
}


class TestMicroVmSandbox(SandboxSuite):
    reference = "registry.example/shell:1"

    @pytest.fixture(autouse=True)
    def _host(self, tmp_path: Path) -> None:
        self.rig = MicroVmRig(tmp_path, {**ACTS, PAUSE_ARGS: sleep})
        self.rig.images.add(self.reference)

    def play(self, story: Callable[[Sandbox], Awaitable[None]]) -> None:
        self.rig.run(story)

    def config(self, image: Image, name: str, program: str) -> ContainerConfig:
        config = self.rig.config(image, name, "sh", "-c", program)
        Path(config.disk_path).mkdir(parents=True)
        return config

    async def pause(self) -> None:
        await self.rig.world.sleep(0.1)
