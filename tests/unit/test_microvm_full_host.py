"""A host whose memory for records is full: that costs a task its start, and no task that runs, and never the agent.

`/dev/full` stands where a record is written first, so that each write ends as on a full file system.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, ContainerState, SandboxError
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.numbers import StreamNumbers
from neargate.testing.fake_guest_processes import FakeProcess, saying
from neargate.testing.microvm_rig import MicroVmRig

LOOKS = 400
LONG, QUICK = ("long",), ("quick",)
MACHINE, RUN, NUMBERS = ".machine", ".task-1-a.run", "streams.new"


async def long(process: FakeProcess) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.fixture
def rig(tmp_path: Path) -> MicroVmRig:
    made = MicroVmRig(tmp_path, {LONG: long, QUICK: saying(b"quick\n", 3)})
    made.images.add("r/a:1")
    return made


@contextmanager
def full(rig: MicroVmRig, *names: str) -> Iterator[None]:
    paths = [rig.base / "records" / "task-1" / name for name in names]
    for path in paths:
        path.symlink_to("/dev/full")
    try:
        yield
    finally:
        for path in paths:
            path.unlink()


async def made(rig: MicroVmRig, engine: MicroVmSandbox, *args: str) -> ContainerConfig:
    config = rig.config(rig.images.known["r/a:1"], "a", *args, task_id="task-1")
    await engine.create_container(config)
    return config


async def known(engine: MicroVmSandbox, config: ContainerConfig) -> ContainerState:
    state = await engine.get_container(config.runtime_id)
    assert state is not None
    return state


async def until(rig: MicroVmRig, is_so: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(LOOKS):
        if await is_so():
            return
        await rig.world.sleep(0.1)
    raise AssertionError("it does not happen")


async def stopped(rig: MicroVmRig, engine: MicroVmSandbox, config: ContainerConfig) -> ContainerState:
    async def is_stopped() -> bool:
        return (await known(engine, config)).status == "stopped"

    await until(rig, is_stopped)
    return await known(engine, config)


@pytest.mark.parametrize("record", [MACHINE, RUN])
def test_a_start_that_cannot_be_recorded_fails_and_leaves_nothing(rig: MicroVmRig, record: str) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, *LONG)
        with full(rig, record), pytest.raises(SandboxError, match="No space left on device"):
            await engine.start_container(config.runtime_id)
        assert (await known(engine, config)).status == "created"
        await engine.delete_container(config.runtime_id)
        assert rig.vmm.machines == {} and list((rig.base / "records").iterdir()) == []

    rig.run(story)


def test_a_machine_that_came_up_and_cannot_be_recorded_ends(rig: MicroVmRig) -> None:
    """Nobody may run a container in a machine that the next agent would throw away."""
    machine = rig.base / "records" / "task-1" / MACHINE

    async def fill_up() -> None:
        while rig.host.busy:
            await rig.world.sleep(0.001)
        machine.symlink_to("/dev/full")

    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, *LONG)
        rig.host.busy = 1
        filling = asyncio.ensure_future(fill_up())
        with pytest.raises(SandboxError, match="cannot record the virtual machine: No space left on device"):
            await engine.start_container(config.runtime_id)
        await filling
        assert rig.vmm.machines == {}
        machine.unlink()
        await engine.start_container(config.runtime_id)
        assert (await known(engine, config)).status == "running"

    rig.run(story)


def test_a_container_that_ends_is_told_of_though_that_cannot_be_recorded(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, *LONG)
        await engine.start_container(config.runtime_id)
        with full(rig, RUN):
            await engine.kill_container(config.runtime_id, 9)
            assert (await stopped(rig, engine, config)).exit_code == 137
            await engine.close()
        later = rig.agent()
        await later.start()
        assert (await stopped(rig, later, config)).exit_code == 137, "the guest is asked once more"
        await later.delete_container(config.runtime_id)
        await later.close()

    rig.run(story)


def test_a_machine_that_ends_is_told_of_though_that_cannot_be_recorded(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, *LONG)
        await engine.start_container(config.runtime_id)
        with full(rig, MACHINE, RUN):
            await rig.vmm.end("task-1")
            state = await stopped(rig, engine, config)
            assert state.reason == "InternalError: the virtual machine of the task was killed"
            await engine.close()
        later = rig.agent()
        await later.start()
        state = await stopped(rig, later, config)
        assert state.reason == "InternalError: the virtual machine of the task ended", "the next agent misses it"
        await later.delete_container(config.runtime_id)
        await later.close()

    rig.run(story)


def test_a_guest_is_reached_again_when_there_is_room(rig: MicroVmRig) -> None:
    """No stream number may be given twice, so nothing is said to it while none can be recorded."""

    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        later = rig.agent()
        with full(rig, NUMBERS):
            await later.start()
            assert [state.status for state in await later.list_containers()] == ["unknown"]

        async def is_known() -> bool:
            return [state.status for state in await later.list_containers()] == ["running"]

        await until(rig, is_known)
        await later.close()

    rig.run(story)


@pytest.mark.parametrize(("content", "why"), [("", "could not be reached"), ("no number", "No number can be given")])
def test_a_guest_that_may_not_be_spoken_to_ends_with_its_task_alone(rig: MicroVmRig, content: str, why: str) -> None:
    """Its numbers cannot be recorded for good, or are lost."""

    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        numbers = rig.base / "records" / "task-1" / "streams"
        if content:
            numbers.write_text(content)
        else:
            numbers.with_name(NUMBERS).symlink_to("/dev/full")
        later = rig.agent()
        await later.start()
        for _ in range(LOOKS):
            await rig.world.sleep(1)
        state = await stopped(rig, later, config)
        assert state.reason is not None and why in state.reason
        await later.delete_container(config.runtime_id)
        await later.close()

    rig.run(story)


def test_numbers_that_run_out_on_a_full_host_cut_the_connection_and_no_more(
    rig: MicroVmRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A health check asks the guest again and again."""
    taken = StreamNumbers._take_block
    is_full = False

    def take(self: StreamNumbers) -> tuple[int, int]:
        if is_full:
            raise OSError(28, "No space left on device")
        begin, _ = taken(self)
        return begin, begin + 64

    monkeypatch.setattr(StreamNumbers, "_take_block", take)

    async def story(engine: MicroVmSandbox) -> None:
        nonlocal is_full
        config = await made(rig, engine, *LONG)
        await engine.start_container(config.runtime_id)
        is_full = True
        for number in range(64):
            if any(state.status == "unknown" for state in await engine.list_containers()):
                break
            await engine.exec(config.runtime_id, f"health-{number}", QUICK, timeout_s=5)
        assert [state.status for state in await engine.list_containers()] == ["unknown"]
        is_full = False

        async def is_known() -> bool:
            return [state.status for state in await engine.list_containers()] == ["running"]

        await until(rig, is_known)

    rig.run(story)
