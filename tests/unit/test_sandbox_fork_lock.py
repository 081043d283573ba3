"""The kernel's fork lock is kept warm while a container is made, by moves that change nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from neargate.sandbox.fork_lock import ForkLock, own_cgroup
from neargate.world import OsWorld

V1 = "5:memory:/elsewhere\n1:cpu,cpuacct:/user/session\n0::/\n"
V2 = "0::/system.slice/neargate.service\n"


def test_our_cgroup_is_the_cpu_controllers_on_version_1(tmp_path: Path) -> None:
    assert own_cgroup(V1, tmp_path) == tmp_path / "cpu" / "user" / "session"


def test_our_cgroup_is_the_only_one_on_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    assert own_cgroup(V2, tmp_path) == tmp_path / "system.slice" / "neargate.service"


@pytest.mark.parametrize("listed", ["", "0::/only-unified\n", "1:cpu:/../../above\n"])
def test_a_cgroup_that_we_cannot_see_is_refused(tmp_path: Path, listed: str) -> None:
    with pytest.raises(OSError, match="not listed"):
        own_cgroup(listed, tmp_path)


class CountingWorld(OsWorld):
    """Counts what is moved, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = 0
        self.moved = asyncio.Condition()
        self.loops: list[asyncio.Task[Any]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        self.loops.append(super().spawn(coroutine, name))
        return self.loops[-1]

    async def offload(self, lane: str, function: Callable[..., Any], *args: Any) -> Any:
        result = await super().offload(lane, function, *args)
        async with self.moved:
            self.moves += 1
            self.moved.notify_all()
        return result

    async def until(self, moves: int) -> None:
        async with self.moved:
            await asyncio.wait_for(self.moved.wait_for(lambda: self.moves >= moves), 10)


def machine(tmp_path: Path) -> tuple[Path, Path]:
    """(root, own): files in place of the kernel's."""
    own = tmp_path / "self"
    own.write_text("1:cpu:/here\n")
    (tmp_path / "cpu" / "here").mkdir(parents=True)
    (tmp_path / "cpu" / "here" / "cgroup.procs").write_text("")
    return tmp_path, own


def play(scenario: Callable[[CountingWorld], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario(CountingWorld())

    asyncio.run(whole())


def test_moves_repeat_while_anybody_makes_a_container_and_end_after(tmp_path: Path) -> None:
    root, own = machine(tmp_path)

    async def scenario(world: CountingWorld) -> None:
        lock = ForkLock(world, root=root, own=own)
        async with lock.kept_warm():
            async with lock.kept_warm():
                await world.until(2)
            await world.until(world.moves + 2)
        await asyncio.wait_for(world.loops[0], 10)
        assert (root / "cpu" / "here" / "cgroup.procs").read_text() == "0", "the writer itself, and nobody else"
        before = world.moves
        async with lock.kept_warm():
            await world.until(before + 1)
        await asyncio.wait_for(world.loops[1], 10)

    play(scenario)


def test_a_refusal_is_not_repeated_and_fails_nothing(tmp_path: Path) -> None:
    root, own = machine(tmp_path)
    (root / "cpu" / "here" / "cgroup.procs").unlink()

    async def scenario(world: CountingWorld) -> None:
        lock = ForkLock(world, root=root, own=own)
        async with lock.kept_warm():
            await asyncio.wait_for(world.loops[0], 10)
        async with lock.kept_warm():
            pass
        assert (len(world.loops), world.moves) == (1, 0)

    play(scenario)
