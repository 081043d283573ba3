"""What of QEMU is on this host: its version, the files that it needs to run a machine, and whether KVM is usable.

Blocking, asked once. Runs the program only to ask for its version, and the loader for its libraries.
"""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from .confinement import ConfinedFile
from .vmm import VmmMissing

VERSION_MIN = (7, 2)
FIRMWARE = "/firmware"
MODULES = "/modules"
_NAME = "qemu-system-x86_64"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_BIOS = "bios-microvm.bin"
_BIOS_DIRECTORIES = ("/usr/share/qemu", "/usr/share/seabios", "/usr/local/share/qemu")
_TCG = "accel-tcg-x86_64.so"
_MODULE_DIRECTORIES = ("/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib/qemu", "/usr/lib64/qemu")
_VERSION = re.compile(r"version (\d+)\.(\d+)[^\s,)]*")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_WAIT_S = 20
_KVM_GET_API_VERSION, _KVM_CREATE_VM, _KVM_API = 0xAE00, 0xAE01, 12


class QemuProgram(Struct, frozen=True, kw_only=True):
    """`files`: all that its process needs of the host. `identity`: changes with any of them."""

    path: str
    version: str
    files: tuple[ConfinedFile, ...]
    identity: str


def find_program(path: str | None = None) -> QemuProgram:
    """Raises VmmMissing."""
    program = path or shutil.which(_NAME, path=_PATH)
    if program is None or not os.path.exists(program):
        raise VmmMissing(f"{program or _NAME} is missing; install it with: apt-get install qemu-system-x86")
    found = _VERSION.search(said([program, "--version"]))
    if found is None or (int(found[1]), int(found[2])) < VERSION_MIN:
        raise VmmMissing(f"{program} is {found[0] if found else 'of no known version'}; 7.2 is the first that will do")
    bios = _first(_BIOS_DIRECTORIES, _BIOS)
    if bios is None:
        raise VmmMissing(f"QEMU's {_BIOS} is missing; install it with: apt-get install qemu-system-data seabios")
    module = _first(_MODULE_DIRECTORIES, _TCG)
    libraries = {line for file in (program, module) if file for line in _LIBRARY.findall(said(["ldd", file]))}
    files = [
        ConfinedFile(source=program, target="/qemu", is_program=True),
        ConfinedFile(source=bios, target=f"{FIRMWARE}/{_BIOS}"),
        *(ConfinedFile(source=library, target=library, is_program=True) for library in sorted(libraries)),
        *([ConfinedFile(source=module, target=f"{MODULES}/{_TCG}", is_program=True)] if module else []),
    ]
    told = [os.stat(file.source) for file in files]
    identity = " ".join(f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}" for found in told)
    return QemuProgram(path="/qemu", version=found[0].removeprefix("version "), files=tuple(files), identity=identity)


def kvm_refusal() -> str | None:
    """None: it opens and makes machines."""
    try:
        descriptor = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        version = fcntl.ioctl(descriptor, _KVM_GET_API_VERSION, 0)
        if version != _KVM_API:
            return f"/dev/kvm speaks version {version}, not {_KVM_API}"
        os.close(fcntl.ioctl(descriptor, _KVM_CREATE_VM, 0))
    except OSError as error:
        return f"/dev/kvm makes no machines: {error.strerror}"
    finally:
        os.close(descriptor)
    return None


def processor() -> str:
    """What a guest may see of the host's processor and kernel: a machine that was saved on others may not go on."""
    told = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    kept = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    lines = [line for line in told.splitlines() if line.partition(":")[0].strip() in kept]
    return "\n".join([os.uname().release, *lines])


def kvm_device() -> tuple[int, int]:
    """Major and minor number."""
    device = os.stat("/dev/kvm").st_rdev
    return os.major(device), os.minor(device)


def _first(directories: tuple[str, ...], name: str) -> str | None:
    return next((str(path) for path in (Path(one, name) for one in directories) if path.exists()), None)


def said(command: list[str]) -> str:
    """What it prints. Raises VmmMissing where it does not run."""
    environment = {"PATH": _PATH, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WAIT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise VmmMissing(f"{command[0]} does not run: {error}") from error
    return done.stdout.decode(errors="replace")
