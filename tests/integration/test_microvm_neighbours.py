"""What root of a guest has and finds: its own devices, its own task's words, and nothing of a neighbour, alive or gone.

Root outside all containers, as after a break-out of one. The same search finds the task's own words, so that it is
known to look where words are.
"""

import os
from collections.abc import Iterator

import pytest

from neargate.interfaces.sandbox import ContainerConfig, PullRequest
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import ACCOUNT
from neargate.testing.word_search import files_with, words_in_memory
from neargate.world import OsWorld

from . import guest_root
from .engine_waits import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]
# Its shell holds the word, the disk has it (written through), and the log.
TELLS = 'word=$WORD; echo $word > /word; sync; echo $word; while :; do sleep 1000; echo "$word" > /dev/null; done'
CONSOLE, RANDOM, NETWORK, BLOCK = "0x0003", "0x0004", "0x0001", "0x0002"  # kinds of virtio
ACPI = {
    "ACPI0013": "events of the machine (it has none but the power button's)",
    "LNRO0005": "a virtio device in memory",
    "LNXSYBUS": "the kernel's own",
    "LNXSYSTM": "the kernel's own",
    "PNP0501": "the serial console, which the host keeps the end of",
    "PNP0B00": "the clock",
    "PNP0C0C": "the power button",
    "QEMU0002": "where the firmware read kernel, initramfs and command line",
}
# Buses of the kernel's own things, which are no devices of the machine.
NO_DEVICES = {"clockevents", "clocksource", "cpu", "event_source", "memory", "memory_tiering", "node", "workqueue"}
OF_THE_KERNEL = {"alarmtimer.0.auto", "pcspkr", "platform-framebuffer.0", "serial8250"}
PORTS = {
    "dma1", "dma2", "dma page reg", "pic1", "pic2", "timer0", "timer1", "keyboard", "fpu",  # the kernel's, there or not
    "rtc0", "serial", "QEMU0002",
}  # fmt: skip
# UNIX, IPv4, IPv6, netlink, packet, XDP: all inside the guest's own kernel. Not vsock (40), which leads to a host.
FAMILIES = {1, 2, 10, 16, 17, 44}


@pytest.fixture(scope="module")
def rig() -> Iterator[MachineRig]:
    made = MachineRig()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def reference(rig: MachineRig) -> str:
    return rig.containers.push("busybox", build_image([busybox_layer()]))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return guest_root.compiled(tmp_path_factory.mktemp("guest_root"))


def new_word() -> str:
    return f"word-{OsWorld().random.getrandbits(128):032x}"


async def task_with(engine: MicroVmSandbox, rig: MachineRig, reference: str, word: str) -> ContainerConfig:
    """A task that has it in its environment, its memory, its disk and its log."""
    image = await engine.pull_image(PullRequest(reference=reference, account=ACCOUNT), lambda *_: None)
    environment = (*image.environment, ("WORD", word))
    config = rig.config(image, "sh", "-c", TELLS, environment=environment)
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    await until(lambda: rig.log(config) == f"{word}\n")
    return config


async def look(engine: MicroVmSandbox, config: ContainerConfig, program: bytes, *words: str) -> list[str]:
    guest = engine.guest_of(config.task_id)
    assert guest is not None
    return await guest_root.said(guest, program, *words)


async def found_in(
    engine: MicroVmSandbox, config: ContainerConfig, program: bytes, *words: str
) -> dict[str, tuple[int, ...]]:
    """By place: bytes that were read, and how often each word was there."""
    lines = await look(engine, config, program, "find", *(guest_root.veiled(word) for word in words))
    assert lines.pop() == "end"
    fields = [line.split() for line in lines]
    return {place: tuple(map(int, rest)) for place, *rest in fields if rest[0].isdecimal()}


def names(lines: list[str], directory: str) -> set[str]:
    """What is in a directory of /sys."""
    return {
        line.removeprefix(f"{directory}/") for line in lines if line.startswith(f"{directory}/") and ": " not in line
    }


def told(lines: list[str], start: str) -> list[str]:
    """What the files say whose paths begin so."""
    return sorted(line.split(": ", 1)[1] for line in lines if line.startswith(start) and ": " in line)


def test_a_guest_has_the_devices_of_its_task_and_no_others(rig: MachineRig, reference: str, program: bytes) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await task_with(engine, rig, reference, new_word())
        lines = await look(engine, config, program, "devices")
        await engine.delete_container(config.runtime_id)
        buses = {line.split("/")[3] for line in lines if line.startswith("/sys/bus/")} - NO_DEVICES
        assert buses == {"acpi", "platform", "pnp", "virtio"}  # none of PCI, USB, SCSI, ISA
        for bus in ("acpi", "platform"):
            kinds = {name.split(":")[0] for name in names(lines, f"/sys/bus/{bus}/devices")}
            assert kinds <= set(ACPI) | OF_THE_KERNEL, bus
        # The disks: the tools, the image, the task's own.
        assert told(lines, "/sys/bus/virtio/") == sorted([NETWORK, CONSOLE, RANDOM, BLOCK, BLOCK, BLOCK])
        assert names(lines, "/sys/block") == {"vda", "vdb", "vdc"}
        assert names(lines, "/sys/class/net") == {"eth0", "lo"}
        assert told(lines, "/sys/class/virtio-ports/") == ["agent"]
        ports = {line.split(" : ")[1].split(":")[0] for line in told(lines, "/proc/ioports")}
        assert ports <= PORTS
        assert {int(line.split()[1]) for line in lines if line.startswith("family ")} <= FAMILIES

    rig.run(story)


@pytest.mark.timeout(400)  # some gigabytes are read by an emulated processor
def test_root_of_a_guest_finds_its_own_words_and_none_of_a_neighbour_alive_or_gone(
    rig: MachineRig, reference: str, program: bytes
) -> None:
    ours, neighbours, hosts = new_word(), new_word(), new_word()
    (rig.base / "of-the-host").write_text(hosts)

    async def story(engine: MicroVmSandbox) -> None:
        neighbour = await task_with(engine, rig, reference, neighbours)
        config = await task_with(engine, rig, reference, ours)
        check(await found_in(engine, config, program, ours, neighbours, hosts))
        pids = await rig.monitor_pids()
        assert words_in_memory(pids[config.task_id], (ours, neighbours, hosts)) == {ours}
        assert words_in_memory(pids[neighbour.task_id], (ours, neighbours, hosts)) == {neighbours}
        assert rig.log(config) == f"{ours}\n"
        await engine.delete_container(neighbour.runtime_id)
        check_thrown_away(rig, neighbour, neighbours, pids[neighbour.task_id])
        await engine.delete_container(config.runtime_id)
        after = await task_with(engine, rig, reference, ours)
        check(await found_in(engine, after, program, ours, neighbours, hosts))
        pids = await rig.monitor_pids()
        assert words_in_memory(pids[after.task_id], (ours, neighbours)) == {ours}
        await engine.delete_container(after.runtime_id)

    rig.run(story)


def check(found: dict[str, tuple[int, ...]]) -> None:
    """The first word is there, no other is anywhere."""
    assert found["kcore"][0] > 500 << 20 and found["kcore"][1] > 0, found
    assert set(found) >= {"/dev/vda", "/dev/vdb", "/dev/vdc"} and not {"/dev/vdd", "/dev/hvc0"} & set(found)
    assert found["/dev/vdc"][1] > 0, "its own disk"
    assert any(one[1] for place, one in found.items() if place.endswith("/environ"))
    assert not {place: one for place, one in found.items() if any(one[2:])}


def check_thrown_away(rig: MachineRig, config: ContainerConfig, word: str, pid: int) -> None:
    """Of a task that ended: the engine has nothing of it left; disk and log are its disk's and log's owner's."""
    assert not os.path.exists(f"/proc/{pid}")
    left = [str(path) for path in rig.base.rglob("*") if config.task_id in str(path)]
    assert sorted(left) == sorted(
        [str(rig.base / f"disk-{config.task_id}"), str(rig.base / f"{config.task_id}.img"), str(config.log_path)]
    )
    owners = {str(rig.base / f"{config.task_id}.img"), config.log_path}
    assert {str(path) for path in files_with((rig.base,), (word,))} <= owners
