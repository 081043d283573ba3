"""The machine that tests run in: the kernel of microVMs' guests on QEMU's microvm board, with one disk to start from.

Owns QEMU's command and what comes back: what pytest prints, as it prints it, and its status. There is no network.
"""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
MEMORY_MIB = 3072
PROCESSORS = 2
TRANSLATED_MIB = 512  # of code, emulated: Python's working set
LONGEST_S = 3600
NO_ANSWER = 1


def run(scratch: Path, disk: Path, guest: Path, root: Path, accelerator: str, log: Path | None) -> int:
    """pytest's exit status. A machine that ended without saying one has failed; its console is printed then."""
    code, console = scratch / "code", log or scratch / "console"
    initramfs = first_files(scratch, guest)
    words = command(guest, disk, initramfs, code=code, console=console, accelerator=accelerator)
    words += ["-append", kernel_words(guest, root, accelerator)]
    subprocess.run(words, stdin=subprocess.DEVNULL, check=False, timeout=LONGEST_S)
    said = code.read_text().strip() if code.exists() else ""
    if not said:
        print(*console.read_text(errors="replace").splitlines()[-40:], sep="\n")  # noqa: T201
    return int(said or NO_ANSWER)


def first_files(scratch: Path, guest: Path) -> Path:
    """The guest's own, whose drivers are of use here, and after them the first program: the kernel unpacks both."""
    tree = scratch / "first"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), tree / "bin" / "busybox")
    shutil.copy(HERE / "first", tree / "first")
    packing = ["busybox", "cpio", "-o", "-H", "newc"]
    names = b"bin\nbin/busybox\nfirst\n"
    ours = subprocess.run(packing, cwd=tree, input=names, capture_output=True, check=True).stdout
    (scratch / "initramfs").write_bytes((guest / "initramfs.cpio").read_bytes() + ours)
    return scratch / "initramfs"


def kernel_words(guest: Path, root: Path, accelerator: str) -> str:
    words = f"console=ttyS0 quiet no_timer_check panic=-1 nowatchdog audit=0 rdinit=/first suite={root}"
    if accelerator == "kvm":
        return words
    # What an emulated machine cannot measure: without it some never start (docs/microvms.md).
    return f"{words} tsc_early_khz={subprocess.check_output([guest / 'tsc_khz'], text=True).strip()}"


def command(guest: Path, disk: Path, initramfs: Path, *, code: Path, console: Path, accelerator: str) -> list[str]:
    is_kvm = accelerator == "kvm"
    words = ["qemu-system-x86_64", "-M", "microvm,x-option-roms=off", "-cpu", "host" if is_kvm else "max"]
    words += ["-accel", "kvm" if is_kvm else f"tcg,thread=multi,tb-size={TRANSLATED_MIB}"]
    words += ["-m", str(MEMORY_MIB), "-smp", str(PROCESSORS), "-no-reboot"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{console}"]
    words += ["-kernel", str(guest / "vmlinux"), "-initrd", str(initramfs), "-device", "virtio-rng-device"]
    # Nobody wants this disk after a power failure.
    words += ["-drive", f"if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file={disk}"]
    words += ["-device", "virtio-blk-device,drive=disk"]
    words += ["-drive", f"if=none,id=tools,format=raw,readonly=on,file={guest / 'tools.erofs'}"]
    words += ["-device", "virtio-blk-device,drive=tools", "-device", "virtio-serial-device,max_ports=4"]
    # Files, since a socket or terminal that nobody reads or writes any more would stop the machine.
    for name, path in (("output", "/dev/stdout"), ("code", code)):
        words += ["-chardev", f"file,id={name},append=on,path={path}"]
        words += ["-device", f"virtserialport,chardev={name},name={name}"]
    return words
