"""A task's machine comes up while the disks of its images are still made: an image that is new costs no second wait."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, SandboxError
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.record import Rung
from neargate.sandbox.microvm.vmm import MachineSpec
from neargate.testing.fake_guest_processes import FakeProcess
from neargate.testing.microvm_rig import MicroVmRig

LONG = ("long",)
LOOKS = 400
FULL = "CannotPullContainerError: cannot make a disk of the image: no space left on device"


async def long(process: FakeProcess) -> int:
    await asyncio.Event().wait()
    return 0


@pytest.fixture
def rig(tmp_path: Path) -> MicroVmRig:
    made = MicroVmRig(tmp_path, {LONG: long}, saves=True, waiting_mib=400)
    made.images.add("r/a:1")
    made.images.add("r/b:1")
    return made


async def until(rig: MicroVmRig, is_so: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if is_so():
            return
        await rig.world.sleep(0.1)
    raise AssertionError(f"it does not happen: {rig.notes}")


async def created(rig: MicroVmRig, engine: MicroVmSandbox, task_id: str, *images: str) -> ContainerConfig:
    for number, image in enumerate(images):
        config = rig.config(rig.images.known[image], f"c{number}", *LONG, task_id=task_id)
        await engine.create_container(config)
    return config


def paths(spec: MachineSpec) -> dict[str, str]:
    return {disk.serial: disk.path for disk in spec.disks if disk.path}


def disk_of(rig: MicroVmRig, image: str) -> str:
    return f"/images/{rig.images.known[image].digest}.erofs"


def test_a_machine_boots_while_the_disks_of_its_images_are_made(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.images.gate = asyncio.Event()
        config = await created(rig, engine, "task-1", "r/a:1", "r/b:1")
        starting = asyncio.ensure_future(engine.start_container(config.runtime_id))
        await until(rig, lambda: "task-1" in rig.vmm.machines and bool(rig.vmm.guest("task-1").entropy))
        assert paths(rig.vmm.made[0]) == {"disk": "/disks/task-1.given"}
        assert not rig.vmm.guest("task-1").has_disks and not starting.done()
        rig.images.gate.set()
        await starting
        assert [paths(spec) for spec in rig.vmm.added] == [
            {"image-0": disk_of(rig, "r/a:1"), "image-1": disk_of(rig, "r/b:1")}
        ]
        assert [disk.serial for disk in rig.vmm.added[0].disks] == ["image-0", "image-1", "disk"]
        guest = rig.vmm.guest("task-1")
        assert guest.disks == 3 and config.runtime_id in guest.containers and guest.complaints == []

    rig.run(story)


def test_a_machine_begins_with_the_disks_that_are_there(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await created(rig, engine, "task-1", "r/a:1")
        await engine.start_container(config.runtime_id)
        assert paths(rig.vmm.made[0]) == {"image-0": disk_of(rig, "r/a:1"), "disk": "/disks/task-1.given"}
        assert rig.vmm.added == []

    rig.run(story)


@pytest.mark.parametrize("rung", [Rung.SNAPSHOT, Rung.WARM])
def test_quicker_ways_get_late_disks_in_the_places_they_have(rig: MicroVmRig, rung: Rung) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first = await created(rig, engine, "task-1", "r/a:1")
        await engine.start_container(first.runtime_id)
        await until(rig, lambda: engine.saved == 1 and engine.waiting == 1)
        if rung is Rung.SNAPSHOT:
            taken = await created(rig, engine, "task-2", "r/a:1")
            await engine.start_container(taken.runtime_id)
        rig.images.gate = asyncio.Event()
        config = await created(rig, engine, "task-3", "r/b:1")
        starting = asyncio.ensure_future(engine.start_container(config.runtime_id))
        await until(rig, lambda: "task-3" in rig.vmm.machines and bool(rig.vmm.guest("task-3").entropy))
        rig.images.gate.set()
        await starting
        assert engine.rung_of("task-3") is rung
        (late,) = rig.vmm.added
        assert paths(late) == {"image-0": disk_of(rig, "r/b:1")}
        assert [disk.serial for disk in late.disks][:2] == ["disk", "image-0"], "as the saved one has them"

    rig.run(story)


def test_a_disk_that_cannot_be_made_ends_the_machine_that_came_up_meanwhile(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.images.gate, rig.images.refusal = asyncio.Event(), FULL
        config = await created(rig, engine, "task-1", "r/a:1")
        starting = asyncio.ensure_future(engine.start_container(config.runtime_id))
        await until(rig, lambda: "task-1" in rig.vmm.machines and bool(rig.vmm.guest("task-1").entropy))
        rig.images.gate.set()
        with pytest.raises(SandboxError, match="no space left on device"):
            await starting
        assert rig.vmm.machines == {}

    rig.run(story)
