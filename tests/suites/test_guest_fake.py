"""The fake guest keeps the promises of the real one."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.sandbox.microvm.guest import Guest
from neargate.testing.fake_guest_processes import (
    FakeProcess,
    Program,
    cat,
    leave_child,
    saying,
    sleep,
    trapping,
)
from neargate.testing.guest_rig import GuestRig
from neargate.testing.suites.guest import BIG, GuestSuite


async def _no_container(process: FakeProcess) -> int:
    await process.say(b"no\n")
    return 7


ACTS: dict[str, Program] = dict(
    zip(
        GuestSuite.PROGRAMS,
        (
            saying(b"", 3),
            saying(b"out\nerr\n"),
            sleep,
            cat,
            trapping(15, 5),
            saying(bytes(BIG)),
            leave_child,
            sleep,
            _no_container,
        ),
        strict=True,
    )
)


class TestFakeGuest(GuestSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.rig = GuestRig(tmp_path, {self.shell(line): act for line, act in ACTS.items()})

    def play(self, story: Callable[[Callable[[], Awaitable[Guest]]], Awaitable[None]]) -> None:
        async def life(rig: GuestRig) -> None:
            await story(rig.connect)

        self.rig.run(life)
        assert not self.rig.fake.complaints

    async def pause(self) -> None:
        await self.rig.world.sleep(0.01)
