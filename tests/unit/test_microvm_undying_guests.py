"""What a guest cannot keep: its machine, by letting nothing of it end. Who owns its kernel answers as he likes."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, EngineUnavailable, SandboxError
from neargate.sandbox.microvm import runtime
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.guest import Guest
from neargate.sandbox.microvm.machine import TaskMachine
from neargate.sandbox.microvm.record import Blueprint
from neargate.testing.fake_guest import FILE, FakeFile
from neargate.testing.fake_guest_processes import FakeProcess
from neargate.testing.microvm_rig import FakeCreation, MicroVmRig
from neargate.world import within

LONG = ("long",)
LOOK_S = 5.0
BOUND_S = 900.0


async def long(process: FakeProcess) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.fixture
def rig(tmp_path: Path) -> MicroVmRig:
    made = MicroVmRig(tmp_path, {LONG: long})
    made.images.add("r/a:1")
    return made


async def running(rig: MicroVmRig, engine: MicroVmSandbox, *names: str) -> list[ContainerConfig]:
    configs = [rig.config(rig.images.known["r/a:1"], name, *LONG, task_id="task-1") for name in names]
    for config in configs:
        await engine.create_container(config)
    for config in configs:
        await engine.start_container(config.runtime_id)
    return configs


async def gone_on_with(rig: MicroVmRig, call: Callable[[], Awaitable[object]], *, until: Callable[[], bool]) -> None:
    """As an agent does it: whatever does not answer is asked again."""
    for _ in range(int(BOUND_S / LOOK_S)):
        try:
            await within(BOUND_S, call())
            if until():
                return
        except EngineUnavailable:
            pass
        await rig.world.sleep(LOOK_S)
    raise AssertionError("it does not end")


def test_a_container_that_a_guest_does_not_kill_ends_with_its_machine(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first, second = await running(rig, engine, "a", "b")
        rig.vmm.guest("task-1")._kill = lambda group: None  # type: ignore[method-assign]
        await gone_on_with(
            rig, lambda: engine.kill_container(first.runtime_id, 9), until=lambda: rig.vmm.machines == {}
        )
        for config in (first, second):
            state = await engine.get_container(config.runtime_id)
            assert state is not None and state.status == "stopped" and state.exit_code == 137
            assert state.reason is not None and "did not end when it was killed" in state.reason

    rig.run(story)


def test_a_container_that_ends_when_it_is_killed_leaves_its_machine_alone(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first, second = await running(rig, engine, "a", "b")
        await engine.kill_container(first.runtime_id, 9)
        await rig.world.sleep(BOUND_S)
        await engine.kill_container(first.runtime_id, 9)
        state = await engine.get_container(second.runtime_id)
        assert state is not None and state.status == "running"

    rig.run(story)


def test_a_runtime_that_does_not_end_is_not_waited_for(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first, second = await running(rig, engine, "a", "b")

        async def hang(process: FakeProcess, words: list[str], log: str) -> int:
            await asyncio.Event().wait()
            return 0

        rig.vmm.guest("task-1").programs._delete = hang  # type: ignore[attr-defined]
        for config in (first, second):
            delete = partial(engine.delete_container, config.runtime_id)
            await gone_on_with(rig, delete, until=lambda: True)
        assert rig.vmm.machines == {}
        assert await engine.list_containers() == []

    rig.run(story)


def test_a_machine_that_nobody_can_reach_is_ended(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        (config,) = await running(rig, engine, "a")
        (rig.base / "machines" / "task-1" / "agent.sock").unlink()
        rig.vmm.guest("task-1").cut()
        await gone_on_with(
            rig, lambda: engine.kill_container(config.runtime_id, 15), until=lambda: rig.vmm.machines == {}
        )
        state = await engine.get_container(config.runtime_id)
        assert state is not None and state.status == "stopped"
        assert state.reason is not None and "could not be reached" in state.reason

    rig.run(story)


def test_a_machine_whose_containers_nobody_knows_is_ended_by_the_next_agent(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await running(rig, engine, "a")
        await engine.close()
        for blueprint in (rig.base / "records").rglob("*.blueprint"):
            blueprint.write_bytes(b"of another release")
        after = rig.agent()
        await after.start()
        assert rig.vmm.machines == {} and list((rig.base / "records").iterdir()) == []
        await after.close()

    rig.run(story)


def test_a_task_without_any_container_leaves_nothing(rig: MicroVmRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeCreation, config: ContainerConfig) -> Blueprint:
        raise SandboxError("no users matching")

    async def story(engine: MicroVmSandbox) -> None:
        config = rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id="task-1")
        with monkeypatch.context() as patched:
            patched.setattr(FakeCreation, "container", refuse)
            results = await asyncio.gather(*(engine.create_container(config) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [SandboxError] * 3
        assert engine._machines == {} and list((rig.base / "records").iterdir()) == []
        await running(rig, engine, "b")
        assert [state.status for state in await engine.list_containers()] == ["running"]

    rig.run(story)


def test_a_guest_that_is_slow_to_say_what_is_left_is_not_waited_for(
    rig: MicroVmRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(guest: Guest, group: str) -> bool:
        await rig.world.sleep(50)
        return True

    async def story(engine: MicroVmSandbox) -> None:
        (config,) = await running(rig, engine, "a")
        monkeypatch.setattr(runtime, "kill_execution", slow)
        rig.vmm.guest("task-1").cut()
        await rig.world.sleep(1)
        await gone_on_with(rig, lambda: engine.delete_container(config.runtime_id), until=lambda: True)
        assert rig.vmm.machines == {}

    rig.run(story)


def test_a_monitor_may_end_in_the_moment_in_which_its_guest_is_waited_for_no_longer(rig: MicroVmRig) -> None:
    async def waited(machine: TaskMachine) -> None:
        async with asyncio.timeout(0) as machine._patience:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await machine.gone("its monitor ended")  # while what waited is cleaned up
                raise

    async def story(engine: MicroVmSandbox) -> None:
        with pytest.raises(TimeoutError):
            await waited(engine._machine("task-1"))

    rig.run(story)


def test_the_end_of_a_terminal_is_told_though_the_guest_ends_nothing_that_it_left(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        (config,) = await running(rig, engine, "a")
        terminal = await engine.open_terminal(config.runtime_id, "session", ("sh",))
        guest = rig.vmm.guest("task-1")
        guest.executions.clear()  # whose state is the guest's word from here on
        events = "/sys/fs/cgroup/task/a/neargate-exec-0/cgroup.events"
        guest.files[events] = FakeFile(b"populated 1\n", 0o444, 0, 0)
        guest.refusals[FILE] = errno.ENOSPC
        await terminal.write(b"exit 3\n")
        assert await within(BOUND_S, terminal.wait()) == 3
        await terminal.close()

    rig.run(story)


def test_what_a_guest_says_of_a_failure_is_printable(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        (config,) = await running(rig, engine, "a")
        blueprint = engine._machines["task-1"].containers[config.runtime_id].blueprint
        guest = rig.vmm.guest("task-1")

        async def fail(process: FakeProcess, words: list[str], log: str) -> int:
            guest.files[log].content += b'{"msg": "no\\u001b[2J\\u0000\\u202e such\\nthing"}\n'
            return 1

        guest.programs._create = fail  # type: ignore[attr-defined]
        running_guest = engine._machines["task-1"].connected()
        with pytest.raises(runtime.RuntimeFailed) as failed:
            await runtime.create(running_guest, blueprint, await running_guest.number())
        assert failed.value.said == "no [2J   such thing"

    rig.run(story)
