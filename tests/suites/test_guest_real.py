"""The guest that `make guest` builds keeps the promises, in a QEMU without KVM and without root: one boot for all."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from neargate.sandbox.microvm.errors import GuestBroke, GuestGone
from neargate.sandbox.microvm.guest import Guest
from neargate.sandbox.microvm.numbers import StreamNumbers
from neargate.testing.suites.guest import GuestSuite
from neargate.world import OsWorld

BUSYBOX = Path("/usr/bin/busybox")  # static: Debian's busybox-static
BUILT = Path(os.environ.get("NEARGATE_TEST_GUEST") or "/var/cache/neargate/guest")
NEEDED = [str(path) for path in (BUSYBOX, BUILT / "vmlinux") if not path.exists()]
if shutil.which("qemu-system-x86_64") is None:
    NEEDED.append("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"a real guest needs {', '.join(NEEDED)}")
SHELL = "/run/busybox"
BOOT_S = 60.0
PAUSE_S = 0.05


def qemu(directory: Path) -> list[str]:
    rate = subprocess.check_output([BUILT / "tsc_khz"], text=True).strip()
    kernel = f"console=ttyS0 quiet tsc_early_khz={rate} no_timer_check panic=-1 nr_cpus=1 nowatchdog audit=0"
    options = f"""
        -M microvm,x-option-roms=off -accel tcg,thread=multi,tb-size=128 -cpu max -m 256 -smp 1
        -nodefaults -no-user-config -display none -no-reboot -serial file:{directory}/console
        -kernel {BUILT}/vmlinux -initrd {BUILT}/initramfs.cpio
        -chardev socket,id=agent,path={directory}/agent,server=on,wait=off -device virtio-serial-device,max_ports=4
        -device virtserialport,chardev=agent,name=agent -device virtio-rng-device
        -drive if=none,id=tools,format=raw,readonly=on,file={BUILT}/tools.erofs
        -device virtio-blk-device,drive=tools,serial=tools
    """.split()
    return ["nice", "qemu-system-x86_64", *options, "-append", kernel]


class TestRealGuest(GuestSuite):
    directory: ClassVar[str]
    world: ClassVar[OsWorld]
    busybox: ClassVar[bytes]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _machine(cls) -> Iterator[None]:
        cls.world, cls.busybox = OsWorld(), BUSYBOX.read_bytes()
        with tempfile.TemporaryDirectory(prefix="ngg") as directory:
            cls.directory = directory
            process = subprocess.Popen(qemu(Path(directory)), stdin=subprocess.DEVNULL)
            try:
                asyncio.run(cls._boot())
                yield
            finally:
                process.kill()
                process.wait()

    @classmethod
    async def _connect(cls) -> Guest:
        numbers = StreamNumbers(cls.world, f"{cls.directory}/streams")
        return await Guest.connect(cls.world, directory=cls.directory, name="agent", numbers=numbers)

    @classmethod
    async def _boot(cls) -> None:
        deadline = cls.world.monotonic() + BOOT_S
        while True:
            try:
                guest = await cls._connect()
                break
            except GuestGone as gone:
                if isinstance(gone, GuestBroke) or cls.world.monotonic() > deadline:
                    raise
                await asyncio.sleep(PAUSE_S)  # QEMU has not made its socket yet
        await guest.file(SHELL, cls.busybox, mode=0o755)
        assert await (await guest.run((SHELL, "mkdir", "/run/bin"))).wait() == 0
        assert await (await guest.run((SHELL, "--install", "-s", "/run/bin"))).wait() == 0
        await guest.close()

    def shell(self, line: str) -> tuple[str, ...]:
        return (SHELL, "sh", "-c", f"PATH=/run/bin; export PATH; {line}")

    def play(self, story: Callable[[Callable[[], Awaitable[Guest]]], Awaitable[None]]) -> None:
        guests: list[Guest] = []

        async def connect() -> Guest:
            guests.append(await self._connect())
            return guests[-1]

        async def life() -> None:
            try:
                await story(connect)
            finally:
                for guest in guests:
                    await guest.close()
            last = await self._connect()
            for process in last.processes.values():
                await process.end()
            await last.close()

        asyncio.run(life())

    async def pause(self) -> None:
        await asyncio.sleep(PAUSE_S)
