"""The driver of Firecracker over a scripted one in a real jail: what is on the host, and what is left of it.

The peer is `neargate.testing.fake_firecracker`, which answers as the published API does; no machine runs.
"""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import neargate
from neargate.hostnet import libc
from neargate.sandbox.microvm import firecracker_program, qemu_program
from neargate.sandbox.microvm.firecracker import FirecrackerVmm
from neargate.sandbox.microvm.firecracker_command import JailedInterface
from neargate.sandbox.microvm.vmm import MachineGone, MachineRefused, MachineSpec, Vmm, VmmMissing
from neargate.world import OsWorld, within

from .vmm_rig import WAIT_S, VmmPlace

pytestmark = pytest.mark.root
MS_NOEXEC = 8
MAC = "02:00:00:00:00:01"
JAILER = """#!{python} -I
import sys
sys.path[:0] = {path!r}
from neargate.testing.fake_firecracker import jailer
jailer()
"""
FIRECRACKER = "#!/bin/sh\necho Firecracker {version}\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VmmPlace]:
    monkeypatch.setattr(qemu_program, "kvm_refusal", lambda: None)
    place = VmmPlace(tmp_path)
    for name in ("vmlinux", "initramfs", "tools"):
        (place.files / name).write_text(name)
        (place.files / name).chmod(0o644)
    install(place.files)
    yield place
    assert place.processes() == [], "a monitor was left"
    assert not place.machines.exists() or list(place.machines.iterdir()) == [], "a machine's directory was left"
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(tmp_path) not in mounts, "a mount was left"
    place.remove()


def install(files: Path, version: str = "v1.14.0") -> None:
    source = str(Path(neargate.__file__).parents[1])
    (files / "jailer").write_text(JAILER.format(python=sys.executable, path=[source, *sys.path[1:]]))
    (files / "firecracker").write_text(FIRECRACKER.format(version=version))
    for name in ("jailer", "firecracker"):
        (files / name).chmod(0o755)


def driver(place: VmmPlace, **more: Any) -> FirecrackerVmm:
    programs = {"program": str(place.files / "firecracker"), "jailer": str(place.files / "jailer")}
    return FirecrackerVmm(OsWorld({"microvm": 4}), place.machines, **(programs | more))


def spec(place: VmmPlace, machine_id: str, *, for_snapshot: bool = False, mac: str | None = None) -> MachineSpec:
    return replace(
        place.spec(machine_id, for_snapshot=for_snapshot, mac=mac),
        kernel=str(place.files / "vmlinux"),
        initramfs=str(place.files / "initramfs"),
        tools=str(place.files / "tools"),
        accelerator="kvm",
    )


def scenario(work: Callable[[FirecrackerVmm], Awaitable[None]], place: VmmPlace, **more: Any) -> None:
    async def run() -> None:
        vmm = driver(place, **more)
        seam: Vmm = vmm  # all that it must do
        await seam.start()
        try:
            await work(vmm)
        finally:
            for state in await vmm.list_machines():
                await vmm.destroy(state.machine_id)
            await vmm.close()

    asyncio.run(run())


async def echoes(vmm: FirecrackerVmm, machine_id: str, said: bytes) -> bool:
    loop = asyncio.get_running_loop()
    with await vmm.connect(machine_id) as connection:
        await within(WAIT_S, loop.sock_sendall(connection, said))
        heard = b""
        while len(heard) < len(said):
            heard += await within(WAIT_S, loop.sock_recv(connection, 65536))
        return heard == said


def runs(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def user_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("Uid:\t")[1].split()[0])


def check_jail(place: VmmPlace, name: str, pid: int) -> None:
    found = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    uid = found["Uid"].split()[0]
    assert found["Uid"].split() == [uid] * 4 and int(uid) > 1 << 30
    assert (found["NoNewPrivs"], found["CapEff"]) == ("1", "0" * 16)
    assert str((place.files / f"disk-{name}").stat().st_uid) == uid
    for kind in ("mnt", "pid", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert sorted(os.listdir(f"/proc/{pid}/root")) == [
        *("api.sock", "channel.sock", "dev", "disks", "firecracker", "initramfs", "kernel"),
    ]
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    ours = {mount[4]: mount[5].split(",") for mount in mounts if mount[4].startswith("/disks/")}
    assert {path for path, options in ours.items() if "rw" in options} == {"/disks/2"}
    assert all({"nosuid", "nodev", "noexec"} <= set(options) for options in ours.values())
    assert f"/{place.name}/{name}/machine" in Path(f"/proc/{pid}/cgroup").read_text()


def test_a_machine_is_made_in_a_jail_stands_still_goes_on_and_is_gone(place: VmmPlace) -> None:
    async def work(vmm: FirecrackerVmm) -> None:
        facts = await vmm.probe()
        assert facts.version == "v1.14.0" and facts.emulation_refusal is not None
        one = spec(place, "one")
        await vmm.create(one, None)
        await vmm.create(one, None)  # is kept
        (state,) = await vmm.list_machines()
        assert place.processes() == [state.pid]
        check_jail(place, "one", state.pid)
        assert await echoes(vmm, "one", b"frames" * 20_000)
        await vmm.pause("one")
        await vmm.resume("one")
        assert "Running Firecracker" in await vmm.console("one")
        await vmm.destroy("one")
        await vmm.destroy("one")
        assert not runs(state.pid)
        with pytest.raises(MachineGone):
            await vmm.pause("one")

    scenario(work, place)


def test_a_jail_has_its_devices_and_its_program_also_where_the_host_allows_neither(place: VmmPlace) -> None:
    """As on /run, where machines are best."""
    place.machines.mkdir()
    options = libc.MS_NOSUID | libc.MS_NODEV | MS_NOEXEC
    libc.mount("tmpfs", str(place.machines), "tmpfs", options)

    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.create(spec(place, "one"), None)
        assert await echoes(vmm, "one", b"here")

    try:
        scenario(work, place)
    finally:
        libc.umount(str(place.machines))


def test_a_machine_goes_on_from_a_saved_one(place: VmmPlace) -> None:
    snapshot = place.files / "snapshot"

    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.create(spec(place, "saved", for_snapshot=True), None)
        await vmm.snapshot("saved", str(snapshot))
        with pytest.raises(MachineRefused, match="saved"):
            await vmm.resume("saved")
        with pytest.raises(MachineRefused, match="already"):
            await vmm.snapshot("saved", str(place.files / "other"))
        await vmm.destroy("saved")
        assert {path.name: (path.stat().st_uid, path.stat().st_mode & 0o222) for path in snapshot.iterdir()}.keys() == {
            "key",
            "memory",
            "state",
        }
        assert stat.S_IMODE(snapshot.stat().st_mode) == 0o700 and (snapshot / "memory").stat().st_uid == 0
        await vmm.restore(spec(place, "one"), None, str(snapshot))
        assert await echoes(vmm, "one", b"restored")
        with pytest.raises(MachineRefused, match="another kind"):
            await vmm.restore(replace(spec(place, "two"), memory_mib=512), None, str(snapshot))
        with pytest.raises(MachineRefused, match="takes no disk into a jail that is closed"):
            await vmm.assign("one", spec(place, "task"))
        with pytest.raises(MachineRefused, match="takes no disk into a jail that is closed"):
            await vmm.add_disks("one", spec(place, "one"))
        for late in (vmm.assign, vmm.add_disks):
            with pytest.raises(MachineGone):
                await late("nobody", spec(place, "task"))
        (place.files / "snapshot.new").mkdir()  # what a killed agent was making or removing
        for _ in range(2):
            await vmm.discard(str(snapshot))
            assert not any(path.name.startswith("snapshot") for path in place.files.iterdir())
        assert await echoes(vmm, "one", b"it goes on")
        with pytest.raises(MachineRefused, match="is no snapshot"):
            await vmm.restore(spec(place, "three"), None, str(snapshot))

    scenario(work, place)


def test_what_a_monitor_planted_as_its_snapshot_is_no_snapshot(place: VmmPlace) -> None:
    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.create(spec(place, "saved", for_snapshot=True), None)
        (state,) = await vmm.list_machines()
        root = place.machines / "saved" / "jail" / "firecracker" / "saved" / "root"
        (root / "saved-memory").symlink_to("/elsewhere")  # in its jail it leads there; on the host to another file
        with pytest.raises(MachineRefused, match="saved-memory is no file of its own"):
            await vmm.snapshot("saved", str(place.files / "snapshot"))
        assert not [path.name for path in place.files.iterdir() if path.name.startswith("snapshot")]
        assert runs(state.pid)

    scenario(work, place)


def test_a_socket_that_leads_elsewhere_is_not_followed(place: VmmPlace) -> None:
    """Who got into the monitor owns its jail's root, and may put a link to any socket of the host there."""

    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.create(spec(place, "one"), None)
        root = place.machines / "one" / "jail" / "firecracker" / "one" / "root"
        async with await asyncio.start_unix_server(_never, str(place.files / "somebody.sock")):
            (root / "api.sock").unlink()
            (root / "api.sock").symlink_to(place.files / "somebody.sock")
            with pytest.raises(MachineGone):
                await vmm.pause("one")

    scenario(work, place)


async def _never(*_: object) -> None:
    raise AssertionError("the driver has spoken to another")


def test_ends_are_told_of_with_their_reason_and_the_next_driver_finds_what_runs(place: VmmPlace) -> None:
    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.create(spec(place, "one"), None)
        await vmm.create(spec(place, "two"), None)
        pids = {state.machine_id: state.pid for state in await vmm.list_machines()}
        os.kill(pids["one"], signal.SIGKILL)
        told = await within(WAIT_S, anext(aiter(vmm.ended())))
        assert (told.machine_id, told.kind) == ("one", "killed") and "SIGKILL" in told.detail
        await vmm.close()
        second = driver(place)
        await second.start()
        await second.create(spec(place, "two"), None)  # is kept
        assert {state.machine_id: state.pid for state in await second.list_machines()}["two"] == pids["two"]
        assert await echoes(second, "two", b"to the next driver")
        await second.close()

    scenario(work, place)


def test_what_cannot_be_is_refused_and_leaves_nothing(place: VmmPlace) -> None:
    async def work(vmm: FirecrackerVmm) -> None:
        good = spec(place, "one")
        wrong = [
            replace(good, accelerator="tcg"),
            replace(good, kernel=str(place.files / "absent")),
            replace(good, cgroup_path="/neargate-absent/one"),
            replace(good, machine_id="../one"),
            replace(good, mac=MAC),  # and no tap by its name
            replace(good, vcpus=33),
        ]
        for one in wrong:
            with pytest.raises(MachineRefused):
                await vmm.create(one, None)
            assert place.processes() == []
            assert not place.machines.exists() or os.listdir(place.machines) == []

    scenario(work, place)


def test_a_jailer_that_fails_is_told_of_in_its_words(place: VmmPlace) -> None:
    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.probe()
        (place.files / "jailer").write_text("#!/bin/sh\necho no such hierarchy >&2\nexit 1\n")
        with pytest.raises(MachineRefused, match="Firecracker ended: no such hierarchy"):
            await vmm.create(spec(place, "one"), None)

    scenario(work, place)


def test_its_network_is_the_one_of_its_tap(place: VmmPlace) -> None:
    asked: list[tuple[str, int]] = []

    def interface(machine_id: str, uid: int) -> JailedInterface:
        asked.append((machine_id, uid))
        return JailedInterface(namespace="/proc/self/ns/net", name="tap0")

    async def work(vmm: FirecrackerVmm) -> None:
        await vmm.create(spec(place, "one", mac=MAC), None)
        (state,) = await vmm.list_machines()
        assert asked == [("one", user_of(state.pid))]

    scenario(work, place, interface=interface)


def test_programs_that_others_could_change_or_of_another_release_are_not_run(place: VmmPlace) -> None:
    program, jailer = place.files / "firecracker", place.files / "jailer"

    def refused(words: str) -> None:
        with pytest.raises(VmmMissing, match=words):
            firecracker_program.find_programs(str(program), str(jailer))

    firecracker_program.find_programs(str(program), str(jailer))
    program.chmod(0o775)
    refused("nobody else can write")
    program.chmod(0o755)
    os.chown(jailer, 65534, 65534)
    refused("nobody else can write")
    os.chown(jailer, 0, 0)
    install(place.files, "v1.11.9")
    refused("v1.11.9; 1.12 is the first")
    install(place.files, "v1.15.0")
    refused("both must be of one release")
    program.unlink()
    refused("No such file")
