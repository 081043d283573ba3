"""A place for machines of a test: a task's cgroup for each, disks, and a look whether anything is left."""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from neargate.sandbox.microvm.vmm import MachineDisk, MachineSpec
from neargate.world import OsWorld, within

CGROUPS = Path("/sys/fs/cgroup")
GUEST = Path(os.environ.get("NEARGATE_GUEST_DIR") or "/var/cache/neargate/guest")
WAIT_S = 60.0
_HELLOS = 12
_HELLO = 1


class VmmPlace:
    def __init__(self, directory: Path) -> None:
        self.machines = directory / "machines"
        self.files = directory / "files"
        self.files.mkdir()
        self.name = f"neargate-vmm{OsWorld().random.getrandbits(24):06x}"

    def spec(self, machine_id: str, *, for_snapshot: bool = False, mac: str | None = None) -> MachineSpec:
        """With a read-only disk and one to write on; both empty for a machine that is to be saved."""
        for root in self._roots():
            (root / self.name / machine_id).mkdir(parents=True, exist_ok=True)
        paths = [self.files / "image", self.files / f"disk-{machine_id}"]
        for path in paths:
            path.touch()
            path.chmod(0o644)
            os.truncate(path, 1 << 20)
        image, disk = ("", "") if for_snapshot else map(str, paths)
        return MachineSpec(
            machine_id=machine_id,
            vcpus=1,
            memory_mib=256,
            kernel=str(GUEST / "vmlinux"),
            initramfs=str(GUEST / "initramfs.cpio"),
            tools=str(GUEST / "tools.erofs"),
            disks=(
                MachineDisk(serial="image-0", path=image, read_only=True),
                MachineDisk(serial="disk", path=disk, read_only=False),
            ),
            mac=mac,
            directory=str(self.machines / machine_id),
            cgroup_path=f"/{self.name}/{machine_id}",
            accelerator="tcg",
            for_snapshot=for_snapshot,
        )

    def processes(self) -> list[int]:
        """Of all its machines, and those that call themselves after one of its directories."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdecimal() and self.name in Path(f"/proc/{name}/cgroup").read_text():
                    found.append(int(name))
            except OSError:
                continue  # it ended while we looked
        return found

    def remove(self) -> None:
        """Raises OSError when a process or a cgroup of a machine is left."""
        for root in self._roots():
            for task in sorted((root / self.name).glob("*/")):
                task.rmdir()
            if (root / self.name).exists():
                (root / self.name).rmdir()

    def _roots(self) -> list[Path]:
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS]
        return [CGROUPS / name for name in ("memory", "cpu", "pids")]


async def hello(connection: socket.socket, nonce: bytes) -> bytes:
    """What the guest says until it has repeated the nonce: it lives, and the channel goes both ways."""
    loop = asyncio.get_running_loop()
    nonce = nonce.ljust(32, b".")
    received = b""
    for _ in range(_HELLOS):
        # Again, as an agent does: what comes before a guest has heard of the connection is dropped.
        await loop.sock_sendall(connection, struct.pack("<IBI", len(nonce), _HELLO, 0) + nonce)
        with suppress(TimeoutError):
            while nonce not in received:
                more = await within(WAIT_S / _HELLOS, loop.sock_recv(connection, 65536))
                assert more, received
                received += more
            return received
    raise AssertionError(received)
