"""QEMU's `microvm` by hand, with nothing of Neargate's but the guest: what a cold start is held against.

Two ends of a boot: `init_s`, when the first program runs (some 40 bytes of code that say so on the console; it is
in an archive of its own behind the initramfs, which is the guest's to the byte); and `word_s`, when the guest's own
first process has its modules and mounts and speaks on its port.
"""

import os
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 60.0
_LOOK_S = 0.001
_READ_BYTES = 65536
_WORD = b"#begun#"
# write(1, _WORD, 7), then pause(2) for ever.
_CODE = bytes.fromhex("b801000000bf01000000488d3510000000ba070000000f05b8220000000f05ebf7") + _WORD
_BASE, _HEADERS = 0x400000, 64 + 56
_CONSOLE_MODE, _PROGRAM_MODE, _DIRECTORY_MODE = 0o020600, 0o100755, 0o040755


class BareMachine:
    """Of the guest in `guest`, of that size. `accelerator`: a word of QEMU's `-accel`."""

    def __init__(self, guest: Path, *, vcpus: int, memory_mib: int, tsc_khz: int, tb_mib: int, kvm: bool) -> None:
        self._guest = guest
        accelerator = ["kvm"] if kvm else [f"tcg,thread=multi,tb-size={tb_mib}"]
        self._words = ["qemu-system-x86_64", "-M", "microvm,x-option-roms=off", "-accel", *accelerator]
        self._words += ["-cpu", "host" if kvm else "max", "-m", str(memory_mib), "-smp", str(vcpus)]
        self._words += ["-nodefaults", "-no-user-config", "-display", "none", "-kernel", str(guest / "vmlinux")]
        # A console, without its stream of words; an emulated guest cannot measure the rate itself.
        self._kernel = "console=ttyS0 quiet" if kvm else f"console=ttyS0 quiet tsc_early_khz={tsc_khz}"

    def init_s(self, *more: str) -> float:
        """`more`: words for the kernel."""
        with tempfile.TemporaryDirectory(prefix="neargate-bench-") as directory:
            initramfs = Path(directory) / "initramfs"
            initramfs.write_bytes(with_program((self._guest / "initramfs.cpio").read_bytes()))
            words = " ".join([self._kernel, *more, "rdinit=/bare"])
            options = ["-serial", "stdio", "-initrd", str(initramfs), "-append", words]
            began = time.perf_counter()
            with _running([*self._words, *options]) as process:
                assert process.stdout is not None
                _heard(process.stdout.fileno(), began, _WORD)
                return time.perf_counter() - began

    def word_s(self, wait_s: float = WAIT_S) -> float:
        with tempfile.TemporaryDirectory(prefix="neargate-bench-") as directory:
            path = f"{directory}/agent"
            options = ["-serial", "null", "-initrd", str(self._guest / "initramfs.cpio"), "-append", self._kernel]
            options += ["-chardev", f"socket,id=a,path={path},server=on,wait=off"]
            options += ["-device", "virtio-serial-device,max_ports=4", "-device", "virtserialport,chardev=a,name=agent"]
            began = time.perf_counter()
            with _running([*self._words, *options]), _connected(path, began) as port:
                _heard(port.fileno(), began, wait_s=wait_s)
                return time.perf_counter() - began

    def speaks_within(self, seconds: float) -> bool:
        try:
            return self.word_s(seconds) > 0
        except (OSError, RuntimeError):
            return False


@contextmanager
def _running(words: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _connected(path: str, began: float) -> socket.socket:
    while True:
        port = socket.socket(socket.AF_UNIX)
        try:
            port.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            port.close()
            if time.perf_counter() > began + WAIT_S:
                raise
            time.sleep(_LOOK_S)
        else:
            return port


def _heard(descriptor: int, began: float, word: bytes = b"", wait_s: float = WAIT_S) -> None:
    """That was said there, or anything. The kernel has a few words of its own before."""
    said = b""
    while not said or word not in said:
        ready, _, _ = select.select([descriptor], [], [], max(0, began + wait_s - time.perf_counter()))
        more = os.read(descriptor, _READ_BYTES) if ready else b""
        if not more:
            raise RuntimeError(f"a bare machine does not come up: {said!r}")
        said += more


def with_program(initramfs: bytes) -> bytes:
    """The archive, and behind it another one: the kernel unpacks both."""
    more = [("dev", _DIRECTORY_MODE, b""), ("dev/console", _CONSOLE_MODE, b""), ("bare", _PROGRAM_MODE, program())]
    members = [_member(number, name, mode, content) for number, (name, mode, content) in enumerate(more, 1)]
    return _padded(initramfs) + b"".join(members) + _member(0, "TRAILER!!!", 0, b"")


def program() -> bytes:
    """An executable of nothing but that code."""
    size = _HEADERS + len(_CODE)
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096)
    return identity + header + segment + _CODE


def _member(number: int, name: str, mode: int, content: bytes) -> bytes:
    """Of a `newc` archive; the console is device 5, 1."""
    device = (5, 1) if mode == _CONSOLE_MODE else (0, 0)
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(head) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
