"""Machines that go on from a saved one, with real guests, emulated: as if booted, and strangers to each other."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from neargate.interfaces.sandbox import ContainerConfig, Image, PullRequest, Sandbox
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.record import Rung
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import ACCOUNT, SandboxSuite
from neargate.world import OsWorld

from .engine_waits import stopped

LOOKS = 1200
DAY_S = 86_400
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]


@pytest.fixture(scope="module")
def rig() -> Iterator[MachineRig]:
    made = MachineRig(saves=True)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def reference(rig: MachineRig) -> str:
    """A machine of the tasks' size is saved by now."""
    reference = rig.containers.push("busybox", build_image([busybox_layer()]))
    if not saved(rig):
        inside(rig, reference, "true")
    return reference


def saved(rig: MachineRig) -> list[Path]:
    return sorted(path for path in rig.snapshots.glob("*") if path.suffix != ".new")


async def is_saved(rig: MachineRig) -> None:
    for _ in range(LOOKS):
        if saved(rig):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no machine was saved: {rig.notes}")


def inside(rig: MachineRig, reference: str, script: str, task_id: str = "") -> tuple[str, Rung | None]:
    """What a shell script prints in a task of its own, and how that came by its machine. A machine is saved then."""
    found: list[tuple[str, Rung | None]] = []

    async def story(engine: MicroVmSandbox) -> None:
        image = await engine.pull_image(PullRequest(reference=reference, account=ACCOUNT), lambda *_: None)
        config = rig.config(image, "sh", "-c", script, task_id=task_id)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        state = await stopped(engine, config.runtime_id)
        rung = engine.rung_of(config.task_id)
        await engine.delete_container(config.runtime_id)
        found.append((rig.log(config), rung))
        assert state.exit_code == 0, found
        await is_saved(rig)

    rig.run(story)
    return found[0]


class TestMicroVmSandbox(SandboxSuite):
    """The whole suite of the seam, with machines that all go on from one."""

    rig: ClassVar[MachineRig]
    reference = ""

    @pytest.fixture(autouse=True)
    @classmethod
    def _machine(cls, rig: MachineRig, reference: str) -> None:
        cls.rig, cls.reference = rig, reference

    def play(self, story: Callable[[Sandbox], Awaitable[None]]) -> None:
        async def life(engine: MicroVmSandbox) -> None:
            await story(engine)
            assert engine.starts[Rung.COLD] == 0, self.rig.notes

        self.rig.run(life)

    def config(self, image: Image, name: str, program: str) -> ContainerConfig:
        return self.rig.config(image, "sh", "-c", program, name=name, labels=(("suite", name),))

    async def pause(self) -> None:
        await asyncio.sleep(0.05)


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the host's clock: what was saved before is a day behind."""
    monkeypatch.setattr(OsWorld, "now", lambda _: time.time() + DAY_S)


@pytest.mark.usefixtures("tomorrow")
def test_machines_from_one_snapshot_are_strangers_with_the_right_time(rig: MachineRig, reference: str) -> None:
    script = (
        "head -c 32 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid;"
        "date +%s; cat /sys/class/net/eth0/address; hostname; ls /sys/block | grep -c ^vd"
    )
    told = []
    for _ in range(3):
        said, rung = inside(rig, reference, script)
        assert rung is Rung.SNAPSHOT, rig.notes
        *random, date, mac, name, disks = said.splitlines()
        assert disks == "3", "the tools, an image and its own: places without a disk stay places"
        assert abs(int(date) - time.time() - DAY_S) < 60
        assert (mac, name) == ("02:00:00:00:00:77", "ip-10-0-0-1"), "its own, not that of the saved machine"
        told += random
    assert len(set(told)) == len(told) == 9


def test_what_a_task_leaves_behind_is_nowhere_in_the_next_ones_machine(rig: MachineRig, reference: str) -> None:
    before = {path: path.read_bytes() for path in saved(rig)[0].iterdir()}
    mark = os.urandom(16).hex()
    half = len(mark) // 2
    # In the memory of a process and of the kernel, on a memory file system and on the disk.
    write = f"for n in $(seq 200); do echo {mark}; done > /dev/shm/mark; cp /dev/shm/mark /left; sync; cat /left"
    said, rung = inside(rig, reference, write)
    assert rung is Rung.SNAPSHOT and said.count(mark) == 200
    seek = f"ls /left /dev/shm/mark 2>/dev/null; grep -c {mark[:half]}''{mark[half:]} /dev/vdb"
    said, rung = inside(rig, reference, f"{seek}; true")
    assert rung is Rung.SNAPSHOT and "mark" not in said and "left" not in said
    assert {path: path.read_bytes() for path in saved(rig)[0].iterdir()} == before
    assert all(mark.encode() not in content for content in before.values())


def test_a_broken_snapshot_is_removed_and_made_anew_while_its_task_boots(rig: MachineRig, reference: str) -> None:
    (broken,) = saved(rig)
    with open(broken / "memory", "r+b") as file:
        file.seek(20 << 20)
        file.write(os.urandom(4096))
    said, rung = inside(rig, reference, "echo whole")
    assert (said, rung) == ("whole\n", Rung.COLD)
    assert any("not what was saved" in note for note in rig.notes)
    (anew,) = saved(rig)
    assert anew != broken
    assert inside(rig, reference, "echo again") == ("again\n", Rung.SNAPSHOT)


@pytest.fixture(scope="module")
def pooled() -> Iterator[MachineRig]:
    """With room for one machine that waits."""
    made = MachineRig(saves=True, waiting_mib=280)
    try:
        yield made
    finally:
        made.close()


def test_a_machine_that_waited_is_one_tasks_and_knows_nothing_of_another(pooled: MachineRig) -> None:
    reference = pooled.containers.push("busybox", build_image([busybox_layer()]))
    script = (
        "cat /proc/sys/kernel/random/uuid; date +%s; cat /sys/class/net/eth0/address; ls /left 2>/dev/null;"
        "echo kept > /left; dd if=/dev/zero of=/large bs=1M count=20 2>/dev/null; sync; cat /left; df -k / | tail -1"
    )
    told: list[list[str]] = []

    async def story(engine: MicroVmSandbox) -> None:
        image = await engine.pull_image(PullRequest(reference=reference, account=ACCOUNT), lambda *_: None)
        for number in range(3):
            config = pooled.config(image, "sh", "-c", script)
            await engine.create_container(config)
            await engine.start_container(config.runtime_id)
            state = await stopped(engine, config.runtime_id)
            expected = Rung.WARM if number else Rung.COLD
            assert (state.exit_code, engine.rung_of(config.task_id)) == (0, expected), pooled.notes
            told.append(pooled.log(config).splitlines())
            assert f"/{config.task_id}/machine" in cgroups_of((await pooled.monitor_pids())[config.task_id])
            await engine.delete_container(config.runtime_id)
            await one_waits(pooled, engine)
        assert engine.starts == {Rung.WARM: 2, Rung.SNAPSHOT: 0, Rung.COLD: 1}
        said = engine.facts
        assert said.starts == (2, 0, 1) and [one.count for one in said.waiting] == [1], "what `neargate hosts` shows"

    pooled.run(story)
    assert asyncio.run(pooled.monitor_pids()) == {}, "it ended with its agent"
    for _, date, mac, kept, size in told:
        assert abs(int(date) - time.time()) < 60 and (mac, kept) == ("02:00:00:00:00:77", "kept")
        assert 40_000 < int(size.split()[1]) < 64 << 10, "the disk has its own size"
    assert len({words[0] for words in told}) == 3


def cgroups_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


async def one_waits(rig: MachineRig, engine: MicroVmSandbox) -> None:
    for _ in range(LOOKS):
        if engine.waiting == 1:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no machine waits: {rig.notes}")


def test_an_agent_that_is_killed_while_it_saves_a_machine_leaves_nothing_to_the_next() -> None:
    rig = MachineRig(saves=True)
    try:
        # A process of its own, before this one has connections of its own: it ends as by SIGKILL.
        child = os.fork()
        if child == 0:
            try:
                rig.run(lambda engine: _killed_while_it_saves(rig, engine))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -9
        left = asyncio.run(rig.monitor_pids())
        (spare,) = [name for name in left if name.startswith("spare-")]
        assert "task-1" in left and asyncio.run(rig.spare_cgroups()) == [spare]

        async def after(engine: MicroVmSandbox) -> None:
            assert list(await rig.monitor_pids()) == ["task-1"] and await rig.spare_cgroups() == []
            assert list(rig.snapshots.iterdir()) == []
            state = await engine.get_container("task-1-main")
            assert state is not None and state.status == "running"
            await engine.delete_container("task-1-main")

        rig.run(after)
    finally:
        rig.close()


async def _killed_while_it_saves(rig: MachineRig, engine: MicroVmSandbox) -> None:
    reference = rig.containers.push("busybox", build_image([busybox_layer()]))
    image = await engine.pull_image(PullRequest(reference=reference, account=ACCOUNT), lambda *_: None)
    config = rig.config(image, "sleep", "1000")
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    for _ in range(5 * LOOKS):
        if any(name.startswith("spare-") and pid for name, pid in (await rig.monitor_pids()).items()):
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.01)
