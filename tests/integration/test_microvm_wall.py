"""What a program in a machine monitor's place can touch, all of it: started by the driver as QEMU is, with its plan.

`impostor.c` is that program. What it says of itself is held against the list of what a monitor needs; what cannot be
seen from inside says the host's /proc. Beside it stands QEMU itself, with its guest.
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.sandbox.microvm.qemu import QemuVmm
from neargate.sandbox.microvm.qemu_program import find_program
from neargate.world import OsWorld, within

from .own_tap import own_tap
from .vmm_rig import GUEST, WAIT_S, VmmPlace

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not (GUEST / "vmlinux").exists(), reason=f"no guest in {GUEST}: make guest"),
    pytest.mark.skipif(
        shutil.which("gcc") is None or not os.path.exists("/usr/include/stdio.h"), reason="no gcc with libc6-dev"
    ),
]
MAC = "02:00:00:00:00:01"
LIBRARY = re.compile(r"(/usr)?/lib(64|/x86_64-linux-gnu)/(ld-linux-x86-64|lib[A-Za-z0-9_+.-]+)\.so[.0-9]*")
OF_QEMU = {"/qemu", "/firmware/bios-microvm.bin", "/modules/accel-tcg-x86_64.so"}
OF_THE_MACHINE = {"/kernel", "/initramfs", "/disks/0", "/disks/1", "/disks/2"}
DISK = "/disks/2"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[VmmPlace]:
    place = VmmPlace(tmp_path)
    yield place
    assert place.processes() == [], "a monitor was left"
    place.remove()


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("impostor") / "impostor"
    source = Path(__file__).with_name("impostor.c")
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-Wall", "-o", program, source], check=True)
    for parent in program.parents[:3]:
        parent.chmod(0o755)  # a program is read by a user without rights
    return program


class Findings:
    """What the impostor said, by its first words."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def of(self, word: str) -> set[str]:
        return {line.removeprefix(f"{word} ") for line in self.lines if line.startswith(f"{word} ")}

    def rest(self, *known: str) -> list[str]:
        return [line for line in self.lines if not line.startswith(tuple(f"{word} " for word in known))]


def played(place: VmmPlace, impostor: Path, look: dict[str, str]) -> Findings:
    """The life of a machine whose monitor it is. `look`: what the host's /proc says of it, by file, is put there."""

    async def life() -> Findings:
        vmm = QemuVmm(OsWorld({"microvm": 4}), place.machines, allow_emulated=True, program=str(impostor))
        tap = own_tap()
        try:
            await vmm.create(place.spec("one", mac=MAC), tap)
            (state,) = await vmm.list_machines()
            findings = Findings(await all_of(await vmm.connect("one")))
            look.update(host_of(state.pid))
            return findings
        finally:
            os.close(tap)
            await vmm.destroy("one")
            await vmm.close()

    return asyncio.run(life())


def host_of(pid: int) -> dict[str, str]:
    names = ("net/dev", "net/unix", "net/fib_trie", "cgroup", "cmdline", "status", "mountinfo")
    return {name: Path(f"/proc/{pid}/{name}").read_text() for name in names}


async def all_of(connection: socket.socket) -> str:
    text = b""
    with connection:
        while more := await within(WAIT_S, asyncio.get_running_loop().sock_recv(connection, 65536)):
            text += more
    assert text.endswith(b"end\n"), text[-200:]
    return text.decode()


def test_who_takes_the_monitors_place_touches_its_machine_and_nothing_else(place: VmmPlace, impostor: Path) -> None:
    host: dict[str, str] = {}
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind("\0neargate-somebody-listens-here")
        ours.listen()
        said = played(place, impostor, host)
    uid = host["status"].split("Uid:\t")[1].split()[0]
    needed = {file.target for file in find_program(str(impostor)).files}
    libraries = needed - OF_QEMU
    assert all(LIBRARY.fullmatch(library) for library in libraries), libraries
    parents = {str(parent) for path in needed | OF_THE_MACHINE for parent in Path(path).parents}
    assert said.of("file") == {
        *(f"{path} regular" for path in needed | OF_THE_MACHINE),
        *(f"{path} directory" for path in parents),
    }
    assert said.of("executes") == libraries | {"/qemu"}
    assert said.of("writes") == said.of("owns") == {DISK}
    assert said.of("descriptor") == {
        *(f"{number} device 1:3" for number in (0, 1)),  # /dev/null
        "2 pipe",  # what it says at its end
        "3 listener",  # the guest's channel
        "4 listener",  # the driver's
        "5 device 10:200",  # the tap that it was given
    }
    assert said.of("users") == {f"{uid} {uid} {uid} groups {uid} {uid} {uid} more 0"} and int(uid) > 1 << 30
    assert said.of("host name") == {"machine"}
    assert said.of("environment") == {"QEMU_MODULE_DIR=/modules"}
    assert said.of("can") == {"fork", "make shared memory of its own"}
    known = ("file", "executes", "writes", "owns", "descriptor", "users", "host name", "environment", "can")
    assert said.rest(*known) == ["end"]  # no process, socket, capability
    check_host(place, host)


def check_host(place: VmmPlace, host: dict[str, str]) -> None:
    assert [line.split(":")[0].strip() for line in host["net/dev"].splitlines()[2:]] == ["lo"]
    assert host["net/fib_trie"] == "", "lo is up"
    assert len(host["net/unix"].splitlines()) == 1, "somebody's socket is in its network"
    ours = f"/{place.name}/one/machine"
    assert {line.split(":", 2)[2] for line in host["cgroup"].splitlines()} <= {ours, "/"}
    assert ours in host["cgroup"]
    assert str(place.files) not in host["cmdline"] and str(place.machines) not in host["cmdline"]
    assert "Seccomp:\t2" in host["status"] and "NoNewPrivs:\t1" in host["status"]
    writable = {line.split()[4] for line in host["mountinfo"].splitlines() if "rw" in line.split()[5].split(",")}
    assert writable == {DISK}
