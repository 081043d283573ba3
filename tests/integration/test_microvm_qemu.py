"""QEMU's machines for real, emulated: what is true of their lives, whoever dies in between."""

import asyncio
import fcntl
import os
import signal
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from neargate.sandbox.microvm.qemu import QemuVmm
from neargate.sandbox.microvm.vmm import MachineEnd, MachineGone, MachineRefused, VmmMissing
from neargate.world import OsWorld, within

from .vmm_rig import GUEST, WAIT_S, VmmPlace, hello

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not (GUEST / "vmlinux").exists(), reason=f"no guest in {GUEST}: make guest"),
    pytest.mark.skipif(not os.path.exists("/usr/bin/qemu-system-x86_64"), reason="no qemu-system-x86"),
]
MAC = "02:00:00:00:00:01"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[VmmPlace]:
    place = VmmPlace(tmp_path)
    yield place
    assert place.processes() == [], "a monitor was left"
    assert not place.machines.exists() or list(place.machines.iterdir()) == [], "a machine's directory was left"
    place.remove()


def driver(place: VmmPlace) -> QemuVmm:
    return QemuVmm(OsWorld({"microvm": 4}), place.machines, allow_emulated=True)


@asynccontextmanager
async def running(place: VmmPlace) -> AsyncIterator[QemuVmm]:
    """A driver; at the end every machine is destroyed by another one."""
    vmm = driver(place)
    await vmm.start()
    try:
        yield vmm
    finally:
        await vmm.close()
        last = driver(place)
        for state in await last.list_machines():
            await last.destroy(state.machine_id)
        await last.close()


def scenario(work: Callable[[QemuVmm], Awaitable[None]], place: VmmPlace) -> None:
    async def run() -> None:
        async with running(place) as vmm:
            await work(vmm)

    asyncio.run(run())


def runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def next_end(vmm: QemuVmm) -> MachineEnd:
    return await within(WAIT_S, anext(aiter(vmm.ended())))


def test_a_machine_boots_stands_still_goes_on_and_is_gone(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        facts = await vmm.probe()
        assert facts.version.startswith(("7.", "8.", "9.", "10.")) and facts.tsc_khz > 100_000
        spec = place.spec("one")
        await vmm.create(spec, None)
        await vmm.create(spec, None)
        (state,) = await vmm.list_machines()
        assert state.machine_id == "one" and place.processes() == [state.pid]
        with await vmm.connect("one") as channel:
            await hello(channel, b"cold")
            await vmm.pause("one")
            await vmm.pause("one")
            with pytest.raises(TimeoutError):
                await within(0.3, hello(channel, b"while it stands"))
            await vmm.resume("one")
            await vmm.resume("one")
        with await vmm.connect("one") as channel:
            await hello(channel, b"again")
        await vmm.destroy("one")
        await vmm.destroy("one")
        assert not runs(state.pid)
        assert await vmm.list_machines() == []
        with pytest.raises(MachineGone):
            await vmm.pause("one")

    scenario(work, place)


def check_process(place: VmmPlace, name: str, pid: int) -> str:
    """Its user."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    uid = status["Uid"].split()[0]
    assert uid not in ("0", str(os.getuid()))
    assert {int(status[cap], 16) for cap in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    assert {mount[4] for mount in mounts if "rw" in mount[5].split(",")} == {"/disks/2"}
    assert not os.path.exists(f"/proc/{pid}/root/proc") and not os.path.exists(f"/proc/{pid}/root/etc")
    assert str((place.files / f"disk-{name}").stat().st_uid) == uid
    held = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    files = {link for link in held if link.startswith("/") and not link.startswith("/disks/")}
    assert files <= {"/null", f"/{name}/errors", str(place.machines / name / "errors")}, files
    return uid


def test_its_process_has_nothing_but_its_machine(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        for name in ("one", "two"):
            await vmm.create(place.spec(name), None)
        states = {state.machine_id: state.pid for state in await vmm.list_machines()}
        owners = {check_process(place, name, pid) for name, pid in states.items()}
        assert len(owners) == 2

    scenario(work, place)


def test_a_killed_monitor_is_told_of_once_and_can_be_destroyed(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        await vmm.create(place.spec("one"), None)
        ((state),) = await vmm.list_machines()
        os.kill(state.pid, signal.SIGKILL)
        told = await next_end(vmm)
        assert (told.machine_id, told.kind) == ("one", "killed") and "SIGKILL" in told.detail
        assert [(one.machine_id, one.pid) for one in await vmm.list_machines()] == [("one", 0)]
        with pytest.raises(MachineGone):
            await vmm.connect("one")
        await vmm.destroy("one")

    scenario(work, place)


def test_the_next_driver_finds_what_a_killed_one_left(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        await vmm.create(place.spec("one"), None)
        await vmm.create(place.spec("two"), None)
        with await vmm.connect("one") as channel:
            await hello(channel, b"first")
        states = await vmm.list_machines()
        await vmm.close()  # machines know nothing of it
        end(states[1].pid)
        second = driver(place)
        await second.start()
        assert (await next_end(second)).machine_id == "two"
        await second.create(place.spec("one"), None)  # is kept
        assert (await second.list_machines())[0] == states[0]
        with await second.connect("one") as channel:
            await hello(channel, b"second")
        os.kill(states[0].pid, signal.SIGKILL)
        told = await next_end(second)
        assert (told.machine_id, told.kind) == ("one", "killed")
        await second.close()

    scenario(work, place)


def test_a_machine_that_a_killed_driver_had_half_made_is_made_anew(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        await vmm.create(place.spec("one"), None)
        (before,) = await vmm.list_machines()
        record = place.machines / "one" / "machine.json"
        record.write_text(record.read_text().replace('"is_ready":true', '"is_ready":false'))
        await vmm.create(place.spec("one"), None)
        (after,) = await vmm.list_machines()
        assert before.pid != after.pid and not runs(before.pid)
        with await vmm.connect("one") as channel:
            await hello(channel, b"anew")

    scenario(work, place)


def test_a_guest_that_ends_itself_is_told_of_with_its_last_words(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        spec = place.spec("one")
        empty = place.files / "empty.cpio"
        empty.write_bytes(b"")
        await vmm.create(_with(spec, initramfs=str(empty)), None)
        told = await next_end(vmm)
        assert (told.machine_id, told.kind) == ("one", "panicked")
        assert "Kernel panic" in told.detail
        await vmm.destroy("one")

    scenario(work, place)


def test_machines_go_on_from_a_saved_one_and_change_nothing_of_it(place: VmmPlace) -> None:
    snapshot = place.files / "snapshot"

    async def work(vmm: QemuVmm) -> None:
        spec = place.spec("saved", for_snapshot=True, mac=MAC)
        await vmm.create(spec, None)
        with await vmm.connect("saved") as channel:
            await hello(channel, b"to be saved")
        await vmm.snapshot("saved", str(snapshot))
        with pytest.raises(MachineRefused, match="saved"):
            await vmm.resume("saved")
        with pytest.raises(MachineRefused, match="already"):
            await vmm.snapshot("saved", str(place.files / "other"))
        await vmm.destroy("saved")
        assert sorted(path.name for path in snapshot.iterdir()) == ["memory", "saved.json", "state"]
        before = (snapshot / "memory").read_bytes()
        tap = _tap()
        try:
            await vmm.restore(place.spec("one", mac=MAC), tap, str(snapshot))
        finally:
            os.close(tap)
        with await vmm.connect("one") as channel:
            await hello(channel, b"restored")
        with pytest.raises(MachineRefused, match="another kind"):
            await vmm.restore(_with(place.spec("two"), memory_mib=512), None, str(snapshot))
        (state,) = await vmm.list_machines()
        _check_sealed(state.pid)
        assert (snapshot / "memory").read_bytes() == before

    scenario(work, place)


def _check_sealed(pid: int) -> None:
    """Its memory is open for writing in it, and cannot be written."""
    names = [name for name in os.listdir(f"/proc/{pid}/fd") if "memfd:memory" in os.readlink(f"/proc/{pid}/fd/{name}")]
    assert names
    for name in names:
        descriptor = os.open(f"/proc/{pid}/fd/{name}", os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.pwrite(descriptor, b"x", 0)
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)


def test_what_cannot_be_is_refused_and_leaves_nothing(place: VmmPlace) -> None:
    async def work(vmm: QemuVmm) -> None:
        spec = place.spec("one")
        wrong = [
            _with(spec, kernel=str(place.files / "absent")),
            _with(spec, kernel=str(place.files / "image")),  # no kernel at all
            _with(spec, cgroup_path="/neargate-absent/one"),
            _with(spec, machine_id="../one"),
            _with(spec, directory=str(place.files / "one")),
            _with(spec, vcpus=0),
            _with(spec, mac="02:00:00:00:00:01,romfile=/x"),
            _with(spec, disks=(_with(spec.disks[0], serial="a,b"),)),
            _with(spec, disks=spec.disks * 2),
            _with(spec, disks=(_with(spec.disks[1], path="/dev/null"),)),
        ]
        for one in wrong:
            with pytest.raises(MachineRefused):
                await vmm.create(one, None)
            assert place.processes() == []
            assert not place.machines.exists() or os.listdir(place.machines) == []
        strict = QemuVmm(OsWorld(), place.machines)
        with pytest.raises(VmmMissing, match="security boundary"):
            await strict.create(spec, None)
        absent = QemuVmm(OsWorld(), place.machines, program="/absent/qemu")
        with pytest.raises(VmmMissing, match="apt-get install"):
            await absent.probe()

    scenario(work, place)


def _tap() -> int:
    """In the namespace of the test, without an address; gone when it is closed."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"ngvmm%d", 0x0002 | 0x1000 | 0x4000))
    return tap


def _with(struct_: Struct, **changed: object) -> Any:
    return replace(struct_, **changed)
