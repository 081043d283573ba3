"""The fake sandbox keeps the promises of the real one."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, Image, Sandbox
from neargate.testing.fake_sandbox import FakeSandbox, Program
from neargate.testing.suites.sandbox import SandboxSuite
from neargate.testing.virtual_time import VirtualWorld, run_virtual

ACTS = dict(
    zip(
        SandboxSuite.PROGRAMS,
        (
            Program(exit_code=3),
            Program(term_exit_code=None),
            Program(term_exit_code=5),
            Program(output=b"out\nerr\n", exit_code=0),
        ),
        strict=True,
    )
)


class TestFakeSandbox(SandboxSuite):
    reference = "registry.example/shell:1"

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.base = tmp_path
        self.world = VirtualWorld()
        self.engine = FakeSandbox(self.world.now)
        self.engine.add_image(self.reference)

    def play(self, story: Callable[[Sandbox], Awaitable[None]]) -> None:
        async def life() -> None:
            await self.engine.start()
            await story(self.engine)

        run_virtual(life())

    def config(self, image: Image, name: str, program: str) -> ContainerConfig:
        self.engine.programs[name] = ACTS[program]
        disk = self.base / name
        disk.mkdir()
        return ContainerConfig(
            runtime_id=f"id-{name}",
            task_id=f"task-{name}",
            name=name,
            image=image,
            disk_path=str(disk),
            netns_path="/fake",
            hostname="host",
            args=("sh", "-c", program),
            environment=(),
            log_path=str(self.base / f"{name}.log"),
            labels=(("suite", name),),
        )

    async def pause(self) -> None:
        await self.world.sleep(0.1)
