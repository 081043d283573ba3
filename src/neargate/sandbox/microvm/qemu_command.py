"""QEMU's command line for a machine, and what its process is given: pure, specification in, plan out.

Knows QEMU's options and where files are inside its root; starts nothing. Invariant: no word of a specification gets
into an option but numbers, and serials and a MAC that were checked.
"""

import re
from hashlib import sha256

from .confinement import ConfinedDevice, ConfinedFile, Plan
from .qemu_program import FIRMWARE, MODULES, QemuProgram
from .vmm import DISKS_MAX, MachineDisk, MachineRefused, MachineSpec

AGENT, MONITOR, MORE = 3, 4, 5  # descriptors inside: the channel's listener, the monitor's, then tap and memory
CONSOLE = "console"
CONSOLE_BYTES = 65536
TB_MIB = 128  # of translated code, emulated
OVERHEAD_MIB = 64
# The kernel's check of its own ciphers is a fifth of an emulated boot, and says the same at each. No device of ours has
# a use for the 64 MiB that a machine of 4 GiB keeps for those that reach no further.
KERNEL_WORDS = ("no_timer_check", "panic=-1", "nowatchdog", "audit=0", "cryptomgr.notests", "swiotlb=noforce")
_LAYOUT = 2  # of the words below: to be counted up with every change of what a saved machine is made of
_SERIAL = re.compile(r"[a-z0-9][a-z0-9-]{0,19}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_FILE_MIN = 16 << 20
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def check(spec: MachineSpec, *, is_restored: bool = False) -> None:
    """Raises MachineRefused."""
    disks = all_disks(spec)
    if not 1 <= spec.vcpus <= 64 or not 64 <= spec.memory_mib <= 1 << 20:
        raise MachineRefused(f"a machine of {spec.vcpus} processors and {spec.memory_mib} MiB cannot be made")
    if len(disks) > DISKS_MAX:
        raise MachineRefused(f"{len(disks)} disks are more than the {DISKS_MAX} that a machine can have")
    if len({disk.serial for disk in disks}) < len(disks) or not all(_SERIAL.fullmatch(disk.serial) for disk in disks):
        raise MachineRefused("each disk needs a serial of its own, of 1 to 20 of a-z, 0-9 and -")
    if spec.mac is not None and not _MAC.fullmatch(spec.mac):
        raise MachineRefused(f"{spec.mac!r} is no MAC address")
    if not all(disk.path or disk.read_only for disk in disks) and not (spec.for_snapshot or is_restored):
        raise MachineRefused("a disk that is written and has no file is for machines that are saved")


def all_disks(spec: MachineSpec) -> tuple[MachineDisk, ...]:
    return (MachineDisk(serial="tools", path=spec.tools, read_only=True), *spec.disks)


def arguments(spec: MachineSpec, *, tsc_khz: int, memory: str | None, is_restored: bool, has_tap: bool) -> list[str]:
    """`memory`: the file that is the guest's memory, of a machine that is saved or was."""
    is_kvm = spec.accelerator == "kvm"
    words = ["-M", "microvm,x-option-roms=off,dump-guest-core=off" + (",memory-backend=m" if memory else "")]
    words += ["-accel", "kvm" if is_kvm else f"tcg,thread=multi,tb-size={TB_MIB}", "-cpu", "host" if is_kvm else "max"]
    words += ["-m", str(spec.memory_mib), "-smp", str(spec.vcpus)]
    if memory:
        share = "off" if is_restored else "on"
        words += ["-object", f"memory-backend-file,id=m,size={spec.memory_mib}M,mem-path={memory},share={share}"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-L", FIRMWARE, "-sandbox", _SANDBOX]
    # A guest that ends stays, standing still, until somebody has read what it said last.
    words += ["-action", "reboot=shutdown,shutdown=pause"]
    words += ["-chardev", f"ringbuf,id={CONSOLE},size={CONSOLE_BYTES}", "-serial", f"chardev:{CONSOLE}"]
    words += ["-chardev", f"socket,id=monitor,fd={MONITOR},server=on,wait=off", "-mon", "chardev=monitor,mode=control"]
    words += ["-chardev", f"socket,id=agent,fd={AGENT},server=on,wait=off"]
    words += ["-device", "virtio-serial-device,max_ports=4", "-device", "virtserialport,chardev=agent,name=agent"]
    words += ["-device", "virtio-rng-device"]
    if spec.mac is not None:
        net = f"tap,id=net,fd={MORE},vhost=off" if has_tap else "hubport,id=net,hubid=0"
        words += ["-netdev", net, "-device", f"virtio-net-device,netdev=net,mac={spec.mac}"]
    for number, disk in enumerate(all_disks(spec)):
        words += _disk_words(number, disk)
    words += ["-kernel", "/kernel", "-initrd", "/initramfs", "-append", _kernel_words(spec, tsc_khz)]
    return [*words, *(("-incoming", "defer", "-S") if is_restored else ())]


def _disk_words(number: int, disk: MachineDisk) -> list[str]:
    nothing = "file.driver=null-co,file.size=4096,file.read-zeroes=on"
    behind = f"file=/disks/{number}" if disk.path else nothing
    access = "readonly=on" if disk.read_only else "discard=unmap"
    device = f"virtio-blk-device,id=b{number},drive=d{number},serial={disk.serial},werror=report,rerror=report"
    return ["-drive", f"if=none,id=d{number},format=raw,{access},{behind}", "-device", device]


def _kernel_words(spec: MachineSpec, tsc_khz: int) -> str:
    words = ["console=ttyS0", "quiet", f"nr_cpus={spec.vcpus}", *KERNEL_WORDS]
    return " ".join([*words, *([] if spec.accelerator == "kvm" else [f"tsc_early_khz={tsc_khz}"])])


def files(spec: MachineSpec, program: QemuProgram, memory: str | None) -> tuple[ConfinedFile, ...]:
    """`memory`: of a machine that is to be saved, on the host."""
    found = [
        *program.files,
        ConfinedFile(source=spec.kernel, target="/kernel"),
        ConfinedFile(source=spec.initramfs, target="/initramfs"),
    ]
    for number, disk in enumerate(all_disks(spec)):
        if disk.path:
            found.append(ConfinedFile(source=disk.path, target=f"/disks/{number}", is_writable=not disk.read_only))
    if memory is not None:
        found.append(ConfinedFile(source=memory, target="/memory", is_writable=True))
    return tuple(found)


def limits(written_bytes: int, vcpus: int) -> dict[str, int]:
    """Of the process. `written_bytes`: of the largest file that it may write, which thereby cannot grow."""
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 512,
        "RLIMIT_NPROC": 256 + vcpus,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_FSIZE": max(_FILE_MIN, written_bytes),
    }


def plan(
    spec: MachineSpec,
    program: QemuProgram,
    words: list[str],
    *,
    uid: int,
    base: str,
    memory: str | None,
    descriptors: tuple[int, ...],
    errors: int,
    written_bytes: int,
    kvm: tuple[int, int] | None,
    has_proc: bool,
    cgroups: tuple[str, ...],
) -> Plan:
    return Plan(
        command=(program.path, *words),
        uid=uid,
        base=base,
        files=files(spec, program, memory),
        cgroups=cgroups,
        descriptors=descriptors,
        errors=errors,
        limits=limits(written_bytes, spec.vcpus),
        devices=(ConfinedDevice(target="/dev/kvm", major=kvm[0], minor=kvm[1]),) if kvm else (),
        has_proc=has_proc,
        environment={"QEMU_MODULE_DIR": MODULES},
    )


def key(spec: MachineSpec, program: QemuProgram, host: str, tsc_khz: int, contents: tuple[str, ...]) -> str:
    """`contents`: digests of kernel, initramfs and tools. The rate counts to 10 MHz: it is measured, and jitters."""
    kinds = "".join("r" if disk.read_only else "w" for disk in all_disks(spec))
    rate = 0 if spec.accelerator == "kvm" else round(tsc_khz / 10_000)
    sizes = (spec.vcpus, spec.memory_mib, rate, kinds, spec.mac is not None)
    told = (_LAYOUT, program.version, program.identity, host, spec.accelerator, sizes, contents)
    return sha256(repr(told).encode()).hexdigest()
