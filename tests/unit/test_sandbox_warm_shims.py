"""Which shim a container goes into: given away once, none started on a launch's way, off where it cannot be."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neargate.model.knobs import Knobs
from neargate.sandbox import shim_process
from neargate.sandbox.containerd_client import RUNTIME
from neargate.sandbox.containerd_process import ContainerdInstance
from neargate.sandbox.shim_process import NoShim, WaitingShim
from neargate.sandbox.warm_shims import WarmShims
from neargate.world import OsWorld


class Machine(OsWorld):
    """Shims are noted instead of started. `refusal` is raised by each attempt. A pause lasts until it is let `go`."""

    def __init__(self, own: ContainerdInstance, *, shims: int = 1) -> None:
        super().__init__()
        self.own = own
        self.started: list[str] = []
        self.ended: list[str] = []
        self.refusal: Exception | None = None
        self.pauses = asyncio.Semaphore(0)
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.warm = WarmShims(
            self, own=own, namespace="n", directory=str(own.run_dir) + "/shims", knobs=Knobs(warm_shims=shims)
        )

    async def sleep(self, seconds: float) -> None:
        await self.pauses.acquire()

    async def offload(self, lane: str, function: Callable[..., Any], *args: Any) -> Any:
        if function is shim_process.start:
            own, _, group, directory = args
            self.started.append(group)
            if self.refusal is not None:
                raise self.refusal
            return WaitingShim(own=own, group=group, directory=directory, address="/nobody")
        if function.__name__ == "_let_go":
            self.ended.append(args[0].group)
            await self.may_end.wait()
        return None

    async def pass_a_pause(self) -> None:
        """And let what waits for it come to its end."""
        self.pauses.release()
        await self.go_on()

    async def go_on(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def own(tmp_path: Path) -> ContainerdInstance:
    return ContainerdInstance(data_dir=str(tmp_path / "data"), run_dir=str(tmp_path / "run"))


def test_a_shim_is_given_to_one_task_only(own: ContainerdInstance) -> None:
    async def story() -> None:
        machine = Machine(own)
        await machine.warm.start()
        assert machine.started == [], "none before the pause"
        await machine.pass_a_pause()
        assert machine.warm.ready == 1
        async with machine.warm.for_task("t1", "c1") as first, machine.warm.for_task("t2", "c2") as second:
            assert first.group == machine.started[0] and first.waiting is not None
            assert second.group == "t2" and second.waiting is None
            assert second.runtime("c2") == RUNTIME
        async with machine.warm.for_task("t1", "c3") as later:
            assert later.group == first.group and later.waiting is None
        machine.warm.deleted("c1")
        async with machine.warm.for_task("t1", "c4") as after:
            assert after.group == "t1"

    asyncio.run(story())


def test_a_task_that_began_without_one_goes_on_without(own: ContainerdInstance) -> None:
    async def story() -> None:
        machine = Machine(own)
        await machine.warm.start()
        async with machine.warm.for_task("t1", "c1"):
            pass
        await machine.pass_a_pause()
        assert machine.warm.ready == 1
        async with machine.warm.for_task("t1", "c2") as second:
            assert second.group == "t1" and second.waiting is None

    asyncio.run(story())


def test_none_is_started_or_let_go_while_a_container_is_made(own: ContainerdInstance) -> None:
    async def story() -> None:
        machine = Machine(own)
        await machine.warm.start()
        await machine.pass_a_pause()
        async with machine.warm.for_task("t1", "c1"):
            async with machine.warm.for_task("t2", "c2"):
                pass
            await machine.pass_a_pause()
            assert len(machine.started) == 1 and machine.ended == []
        await machine.pass_a_pause()
        assert len(machine.started) == 2 and machine.ended == machine.started[:1]
        await machine.pass_a_pause()
        assert len(machine.started) == 2, "one waits already"

    asyncio.run(story())


def test_one_given_away_while_another_is_let_go_is_not_let_go_before_its_container(own: ContainerdInstance) -> None:
    """Without its container it would be asked to go, and the create would fail."""

    async def story() -> None:
        machine = Machine(own, shims=2)
        await machine.warm.start()
        await machine.pass_a_pause()
        async with machine.warm.for_task("t1", "c1") as first:
            pass
        machine.may_end.clear()
        await machine.pass_a_pause()
        assert machine.ended == [first.group]
        async with machine.warm.for_task("t2", "c2") as second:
            assert second.waiting is not None
            machine.may_end.set()
            await machine.go_on()
            assert machine.ended == [first.group]
        await machine.pass_a_pause()
        assert machine.ended == [first.group, second.group]

    asyncio.run(story())


def test_a_repeat_after_a_failure_does_not_count_on_the_same_shim(own: ContainerdInstance) -> None:
    async def story() -> None:
        machine = Machine(own)
        await machine.warm.start()
        await machine.pass_a_pause()
        with pytest.raises(RuntimeError):
            async with machine.warm.for_task("t1", "c1"):
                raise RuntimeError
        async with machine.warm.for_task("t1", "c1") as again:
            assert again.group == "t1" and again.waiting is None
        await machine.pass_a_pause()
        assert machine.ended == machine.started[:1]

    asyncio.run(story())


@pytest.mark.parametrize(("refusal", "attempts"), [(NoShim("never"), 1), (OSError("not now"), 2)])
def test_a_refusal_is_for_good_and_a_failure_is_not(own: ContainerdInstance, refusal: Exception, attempts: int) -> None:
    async def story() -> None:
        machine = Machine(own)
        machine.refusal = refusal
        await machine.warm.start()
        await machine.pass_a_pause()
        async with machine.warm.for_task("t1", "c1") as choice:
            assert choice.group == "t1"
        await machine.pass_a_pause()
        assert len(machine.started) == attempts and machine.warm.ready == 0

    asyncio.run(story())


@pytest.mark.parametrize("shims", [0, 3])
def test_so_many_wait(own: ContainerdInstance, shims: int) -> None:
    async def story() -> None:
        machine = Machine(own, shims=shims)
        await machine.warm.start()
        await machine.pass_a_pause()
        assert machine.warm.ready == shims

    asyncio.run(story())
