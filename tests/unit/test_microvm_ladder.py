"""The ladder of starts: a saved machine where there is one, and whatever fails with it a machine that boots."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.interfaces.hostnet import TaskLimits
from neargate.interfaces.sandbox import ContainerConfig, SandboxError, TaskSize
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.record import Rung
from neargate.sandbox.microvm.shapes import IMAGES_MAX
from neargate.testing.fake_guest import CLOCK, DISKS, ENTROPY
from neargate.testing.fake_guest_processes import FakeProcess
from neargate.testing.microvm_rig import MicroVmRig

LONG = ("long",)
LOOKS = 400


async def long(process: FakeProcess) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.fixture
def rig(tmp_path: Path) -> MicroVmRig:
    made = MicroVmRig(tmp_path, {LONG: long}, saves=True)
    made.images.add("r/a:1")
    return made


def saved(rig: MicroVmRig) -> list[str]:
    return sorted(path.name for path in rig.snapshots.glob("*"))


async def until(rig: MicroVmRig, is_so: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if is_so():
            return
        await rig.world.sleep(0.1)
    raise AssertionError(f"it does not happen: {rig.notes}")


async def started(
    rig: MicroVmRig, engine: MicroVmSandbox, task_id: str, memory_mib: int = 512
) -> tuple[ContainerConfig, Rung | None]:
    config = rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id=task_id)
    config = replace(config, task_size=TaskSize(memory_mib=memory_mib))
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    return config, engine.rung_of(task_id)


async def saves_one(rig: MicroVmRig, engine: MicroVmSandbox, task_id: str = "task-1", memory_mib: int = 512) -> None:
    before = saved(rig)
    _, rung = await started(rig, engine, task_id, memory_mib)
    assert rung is Rung.COLD
    await until(rig, lambda: len(saved(rig)) > len(before) and not rig.cgroups.tasks)


def test_the_first_machine_of_a_size_boots_and_the_next_goes_on_from_one_like_it(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        assert sorted(rig.vmm.machines) == ["task-1"], "the one that was saved is gone"
        config, rung = await started(rig, engine, "task-2")
        assert rung is Rung.SNAPSHOT and rig.vmm.restored == ["task-2"]
        assert await started(rig, engine, "task-3", 1024) == (rig_config(rig, "task-3", 1024), Rung.COLD)
        assert engine.starts == {Rung.WARM: 0, Rung.SNAPSHOT: 1, Rung.COLD: 2}
        spec = next(spec for spec in rig.vmm.made if spec.machine_id == "task-2")
        assert [disk.serial for disk in spec.disks] == ["disk", *(f"image-{n}" for n in range(IMAGES_MAX))]
        assert [bool(disk.path) for disk in spec.disks] == [True, True] + [False] * (IMAGES_MAX - 1)
        guest = rig.vmm.guest("task-2")
        assert guest.clocks and len(guest.entropy) == 64 and guest.disks == 2, "its own: the other places stay empty"
        assert config.runtime_id in guest.containers and guest.complaints == []

    rig.run(story)


def rig_config(rig: MicroVmRig, task_id: str, memory_mib: int) -> ContainerConfig:
    config = rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id=task_id)
    return replace(config, task_size=TaskSize(memory_mib=memory_mib))


def test_time_and_randomness_come_before_anything_of_the_task_and_are_each_guests_own(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        await started(rig, engine, "task-2")
        await started(rig, engine, "task-3")
        second, third = rig.vmm.guest("task-2"), rig.vmm.guest("task-3")
        assert rig.vmm.restored == ["task-2", "task-3"] and second.entropy != third.entropy
        for guest in (second, third):
            assert guest.asked.index(CLOCK) < guest.asked.index(ENTROPY) < guest.asked.index(DISKS)

    rig.run(story)


def test_the_saved_machine_has_nothing_of_a_task(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        (spec,) = [spec for spec in rig.vmm.made if spec.for_snapshot]
        assert not any(disk.path for disk in spec.disks) and spec.mac == "02:00:00:00:00:01"
        assert "task" not in spec.cgroup_path and spec.machine_id.startswith("spare-")

    rig.run(story)


def test_a_saved_machine_that_is_silent_is_thrown_away_and_the_task_boots(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        (broken,) = saved(rig)
        rig.vmm.silent = 1
        _, rung = await started(rig, engine, "task-2")
        assert rung is Rung.COLD and rig.vmm.restored == ["task-2"]
        await until(rig, lambda: len(saved(rig)) == 1 and saved(rig) != [broken] and not rig.cgroups.tasks)
        _, rung = await started(rig, engine, "task-3")
        assert rung is Rung.SNAPSHOT

    rig.run(story)


def test_a_guest_that_cannot_be_made_the_tasks_falls_to_one_that_boots(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        rig.vmm.spoils = lambda guest: guest.refusals.update({8: 5})
        _, rung = await started(rig, engine, "task-2")
        assert rung is Rung.COLD and "Input/output error" in "".join(rig.notes)

    rig.run(story)


def test_a_size_that_cannot_be_saved_is_tried_a_few_times_and_its_tasks_boot(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.vmm.saves_nothing = True
        for number in range(6):
            _, rung = await started(rig, engine, f"task-{number}")
            assert rung is Rung.COLD
            await rig.world.sleep(60)
        assert sum(spec.for_snapshot for spec in rig.vmm.made) == 3
        assert saved(rig) == [] and rig.cgroups.tasks == {}
        assert not [name for name in rig.vmm.machines if name.startswith("spare-")]

    rig.run(story)


def test_few_sizes_are_kept_those_that_were_used_last(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        for number in range(rig.knobs.microvm_snapshots_max):
            await saves_one(rig, engine, f"task-{number}", 512 * (number + 1))
        assert (await started(rig, engine, "again", 512))[1] is Rung.SNAPSHOT
        _, rung = await started(rig, engine, "one-more", 8192)
        assert rung is Rung.COLD
        await until(rig, lambda: any("-8492-" in name for name in saved(rig)) and not rig.cgroups.tasks)
        await until(rig, lambda: len(saved(rig)) == rig.knobs.microvm_snapshots_max)
        assert (await started(rig, engine, "first", 512))[1] is Rung.SNAPSHOT
        assert (await started(rig, engine, "second", 1024))[1] is Rung.COLD, "it was used the longest ago"

    rig.run(story)


def test_a_task_with_more_images_than_places_boots(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        for number in range(IMAGES_MAX + 1):
            image = rig.images.add(f"r/many-{number}:1")
            config = rig.config(image, f"c{number}", *LONG, task_id="task-2")
            await engine.create_container(config)
        await engine.start_container("task-2-c0")
        assert engine.rung_of("task-2") is Rung.COLD

    rig.run(story)


def test_the_next_agent_goes_on_from_what_an_earlier_one_saved_unless_the_host_is_another(rig: MicroVmRig) -> None:
    async def first(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)

    async def second(engine: MicroVmSandbox) -> None:
        assert (await started(rig, engine, "task-2"))[1] is Rung.SNAPSHOT

    async def third(engine: MicroVmSandbox) -> None:
        assert saved(rig) == []
        assert (await started(rig, engine, "task-3"))[1] is Rung.COLD

    rig.run(first)
    rig.run(second)
    rig.vmm.version = "another"
    rig.run(third)


def test_what_an_agent_left_that_was_killed_while_it_saved_one_goes(rig: MicroVmRig) -> None:
    async def left() -> None:
        (rig.snapshots / "tcg-1-586-0123456789abcdef-00000000.new").mkdir(parents=True)
        (rig.snapshots / "something").mkdir()
        spec = next(spec for spec in rig.vmm.made if spec.for_snapshot)
        await rig.vmm.create(spec, None)
        await rig.cgroups.create_task(spec.machine_id, TaskLimits(cpu_units=1024, memory_mib=512))
        await rig.cgroups.create_task("spare-without-a-machine", TaskLimits(cpu_units=1024, memory_mib=512))

    async def first(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        await left()
        (whole,) = [name for name in saved(rig) if not name.endswith(".new") and name != "something"]
        await engine.close()
        after = rig.agent()
        await after.start()
        assert saved(rig) == [whole]
        assert rig.cgroups.tasks == {} and list(rig.vmm.machines) == ["task-1"]
        await after.close()

    rig.run(first)


def test_an_agent_that_ends_while_one_is_saved_leaves_nothing_of_it(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(rig, engine, "task-1")
        rig.vmm.silent = 1
        await until(rig, lambda: any(name.startswith("spare-") for name in rig.vmm.machines))
        before = rig.world.monotonic()
        await engine.close()
        assert rig.world.monotonic() - before < 1, "it waits for no guest"
        assert list(rig.vmm.machines) == ["task-1"] and rig.cgroups.tasks == {} and saved(rig) == []

    rig.run(story)


def test_without_any_machine_at_all_the_lowest_rung_says_why(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await saves_one(rig, engine)
        rig.vmm.refuses = frozenset({"kvm", "tcg"})
        with pytest.raises(SandboxError, match="makes no machines"):
            await started(rig, engine, "task-2")

    rig.run(story)


@pytest.fixture
def pooled(tmp_path: Path) -> MicroVmRig:
    """With room for three machines of 512 MiB that wait."""
    made = MicroVmRig(tmp_path, {LONG: long}, saves=True, waiting_mib=280)
    made.images.add("r/a:1")
    return made


def waiting(rig: MicroVmRig) -> list[str]:
    """Those that stand still."""
    return [name for name, machine in rig.vmm.machines.items() if name.startswith("spare-") and machine.guest.is_deaf]


async def has_waiting(rig: MicroVmRig, count: int) -> None:
    await until(rig, lambda: len(waiting(rig)) == count and len(rig.cgroups.tasks) == count)


def test_a_machine_that_waits_becomes_a_tasks_and_another_waits_in_its_place(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        began = pooled.world.monotonic()
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        assert pooled.world.monotonic() - began < pooled.knobs.microvm_pool_look_s, "as soon as one is saved"
        (name,) = waiting(pooled)
        spare = pooled.vmm.machines[name].spec
        assert not any(disk.path for disk in spare.disks) and "task" not in spare.cgroup_path
        config, rung = await started(pooled, engine, "task-2")
        assert rung is Rung.WARM and name not in pooled.vmm.machines
        (spec,) = pooled.vmm.assigned
        assert (spec.machine_id, spec.cgroup_path) == ("task-2", "/test/task-2")
        assert spec.disks[0].path == "/disks/task-2.given" and spec.disks[1].path.startswith("/images/")
        guest = pooled.vmm.guest("task-2")
        assert guest.has_disks and len(guest.clocks) == 1 and len(guest.entropy) == 64
        assert config.runtime_id in guest.containers and guest.complaints == []
        await until(pooled, lambda: waiting(pooled) not in ([], [name]))

    pooled.run(story)


async def burst(rig: MicroVmRig, engine: MicroVmSandbox, name: str, count: int) -> list[Rung | None]:
    """All at once."""
    found = await asyncio.gather(*(started(rig, engine, f"{name}-{number}") for number in range(count)))
    return [rung for _, rung in found]


def test_a_burst_that_empties_the_pool_goes_on_from_the_saved_one(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        assert await burst(pooled, engine, "burst", 5) == [Rung.WARM, *[Rung.SNAPSHOT] * 4]
        await has_waiting(pooled, 3)
        await pooled.world.sleep(60)
        assert len(waiting(pooled)) == 3, "the budget is for no more"
        assert await burst(pooled, engine, "again", 4) == [Rung.WARM] * 3 + [Rung.SNAPSHOT]

    pooled.run(story)


def test_without_wants_nothing_waits_any_more(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        await pooled.world.sleep(pooled.knobs.microvm_pool_kept_s + pooled.knobs.microvm_pool_look_s)
        await has_waiting(pooled, 0)

    pooled.run(story)


def test_a_machine_that_waits_and_cannot_be_given_away_falls_to_the_saved_one(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        (name,) = waiting(pooled)
        pooled.vmm.assigns_nothing = True
        _, rung = await started(pooled, engine, "task-2")
        assert rung is Rung.SNAPSHOT
        await until(pooled, lambda: name not in pooled.vmm.machines and name not in pooled.cgroups.tasks)

    pooled.run(story)


def test_a_machine_that_ends_while_it_waits_is_given_to_nobody(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        (name,) = waiting(pooled)
        await pooled.vmm.end(name)
        await until(pooled, lambda: waiting(pooled) not in ([], [name]))
        assert name not in pooled.vmm.machines and name not in pooled.cgroups.tasks
        assert (await started(pooled, engine, "task-2"))[1] is Rung.WARM

    pooled.run(story)


def test_machines_that_wait_end_with_their_agent(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        await engine.close()
        assert list(pooled.vmm.machines) == ["task-1"] and pooled.cgroups.tasks == {}

    pooled.run(story)


def test_a_stream_of_starts_that_does_not_end_keeps_no_machine_from_being_made(pooled: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        await started(pooled, engine, "task-1")
        await has_waiting(pooled, 1)
        rungs = []
        for number in range(60):
            rungs.append((await started(pooled, engine, f"stream-{number}"))[1])
            await pooled.world.sleep(0.5)
        assert rungs[0] is Rung.WARM and Rung.WARM in rungs[20:]
        await has_waiting(pooled, 3)

    pooled.run(story)
