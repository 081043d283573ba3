"""A guest in a real QEMU without KVM, and a host's end of protocol 2 that believes nothing (decision 0053's table).

A second reading of the table, apart from the one that Neargate uses: what both understand is what it says.
"""

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUSYBOX = Path("/usr/bin/busybox")  # static: Debian's busybox-static
SHELL = "/run/busybox"  # where a guest of the tests has it
IMAGES = 10
MS_RDONLY, MS_BIND = 1, 4096
WAIT_S = 20.0
HELLO_S = 0.5  # then once more, as Neargate does it, with twice the time
MEMORY_MIB = 256
HELLO, RUN, INPUT, SIGNAL, CLOCK, ENTROPY, FILE, DISKS = range(1, 9)
MOUNT, DIRECTORY, NETLINK, WINDOW, RESIZE, FORGET, READ = range(9, 16)
OUTPUT, ENDED, EXIT, FAILED, DONE, CONTENT, STARTED, TAKEN, STREAM = range(16, 25)
TERMINAL, CONTAINER, KEPT = 1, 2, 4
EVERYTHING = 2**40  # a limit that no output comes to
PAYLOAD_MAX, SAID_MAX = 65536, 32768 - 9


def words(*each: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in each)


@dataclass
class Told:
    """What was said of one stream on one connection."""

    begin: int = 0  # offset of the output's first byte here
    output: bytearray = field(default_factory=bytearray)
    length: int | None = None
    code: int | None = None
    pid: int | None = None
    taken: int = 0
    errno: int | None = None
    content: bytes | None = None
    is_done: bool = False
    kept: tuple[int, ...] | None = None  # flags, pid, exited, code, ended, acknowledged, produced

    @property
    def is_answered(self) -> bool:
        return self.is_done or self.errno is not None or self.content is not None

    @property
    def is_over(self) -> bool:
        return self.code is not None and self.length is not None


class Connection:
    """From its HELLO on; numbers of streams are given by the machine, and never twice."""

    def __init__(self, path: Path, numbers: Iterator[int], before: bytes = b"") -> None:
        """`before`: what an earlier host left unended, and the guest has not seen gone."""
        self._numbers = numbers
        self.words: dict[str, object] = {}
        self.told: dict[int, Told] = {}
        self.hellos = 0
        while not self.words:
            self._greet(connected(path), before, HELLO_S * 2**self.hellos)
        self.ask(CLOCK, struct.pack("<QI", int(time.time()), 0))  # answered after all that is kept was told

    def _greet(self, port: socket.socket, before: bytes, wait_s: float) -> None:
        self._socket = port
        self._bytes = bytearray()
        self._nonce = os.urandom(16).hex()
        self.hellos += 1
        self.send_raw(before + struct.pack("<IBI", 32, HELLO, 0) + self._nonce.encode())
        try:
            self.until(lambda: bool(self.words), wait_s)
        except AssertionError:
            port.close()
            if wait_s > WAIT_S:
                raise

    @property
    def kept(self) -> dict[int, tuple[int, ...]]:
        return {number: told.kept for number, told in self.told.items() if told.kept is not None}

    def close(self) -> None:
        self._socket.close()

    def send(self, kind: int, stream: int, payload: bytes = b"") -> None:
        self.send_raw(struct.pack("<IBI", len(payload), kind, stream) + payload)

    def send_raw(self, frame: bytes) -> None:
        self._socket.sendall(frame)

    def ask(self, kind: int, payload: bytes = b"", stream: int | None = None) -> Told:
        """A request, answered; on that stream, or one of its own."""
        number = next(self._numbers) if stream is None else stream
        told = self.told.setdefault(number, Told())
        told.is_done, told.errno, told.content = False, None, None
        self.send(kind, number, payload)
        self.until(lambda: told.is_answered)
        return told

    def done(self, kind: int, payload: bytes = b"", stream: int | None = None) -> None:
        told = self.ask(kind, payload, stream)
        assert told.is_done, os.strerror(told.errno or 0)

    def file(self, path: str, content: bytes, mode: int = 0o600, *, more: bool = False) -> None:
        room = PAYLOAD_MAX - 13 - len(words(path))
        for at in range(0, max(len(content), 1), room):
            head = struct.pack("<IIIB", mode, 0, 0, more or at > 0) + words(path)
            self.done(FILE, head + content[at : at + room])

    def read(self, path: str) -> bytes:
        told = self.ask(READ, words(path))
        assert told.content is not None, os.strerror(told.errno or 0)
        return told.content

    def mount(self, source: str, target: str, kind: str = "", data: str = "", flags: int = 0) -> int | None:
        """Errno."""
        return self.ask(MOUNT, struct.pack("<I", flags) + words(source, target, kind, data)).errno

    def run(self, *argv: str, flags: int = 0, size: tuple[int, int] = (0, 0), limit: int = EVERYTHING) -> int:
        """The stream, of a command that began (or makes a container yet)."""
        number = next(self._numbers)
        self.told[number] = Told()
        self.send(RUN, number, struct.pack("<IHH", flags, *size) + words(*argv))
        if limit:
            self.window(number, 0, limit)
        return number

    def window(self, number: int, acknowledged: int, limit: int) -> None:
        told = self.told.setdefault(number, Told())
        told.begin = max(told.begin, acknowledged) if not told.output else told.begin
        self.send(WINDOW, number, struct.pack("<QQ", acknowledged, limit))

    def end(self, number: int) -> tuple[int | None, str]:
        """Exit code and output, when both are over; the stream is forgotten."""
        told = self.told[number]
        self.until(lambda: told.is_over)
        assert told.length == told.begin + len(told.output)
        self.done(FORGET, stream=number)
        return told.code, told.output.decode()

    def shell(self, script: str) -> str:
        code, output = self.end(self.run(SHELL, "sh", "-c", script))
        assert code == 0, (code, output)
        return output

    def until(self, is_so: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        deadline = time.monotonic() + wait_s
        while not is_so():
            ready, _, _ = select.select([self._socket], [], [], max(deadline - time.monotonic(), 0))
            assert ready, ("the guest said nothing more", self.told)
            received = self._socket.recv(1 << 20)
            assert received, "QEMU ended"
            self._bytes += received
            while (frame := self._next()) is not None:
                self._take(*frame)

    def unheard_bytes(self) -> int:
        """What has come and was not looked at."""
        count = struct.pack("i", 0)
        return int(struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, count))[0])

    def unread_bytes(self) -> int:
        """What was sent and the guest has not read: of a socket that is its port."""
        count = struct.pack("i", 0)
        return int(struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, count))[0])

    def quiet(self) -> None:
        """Hears all that the guest has to say by now: what is asked last is answered last."""
        self.ask(READ, words("/proc/version"))

    def _next(self) -> tuple[int, int, bytes] | None:
        if len(self._bytes) < 9:
            return None
        length, kind, stream = struct.unpack("<IBI", self._bytes[:9])
        assert length <= SAID_MAX, "no frame"
        if len(self._bytes) < 9 + length:
            return None
        payload = bytes(self._bytes[9 : 9 + length])
        del self._bytes[: 9 + length]
        return kind, stream, payload

    def _take(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == HELLO and payload.endswith(b"}" + self._nonce.encode()):
            self.words = json.loads(payload.removesuffix(self._nonce.encode()))
        elif self.words:  # what comes before was meant for somebody else
            told = self.told.setdefault(stream, Told())
            SAYS[kind](told, payload)


def _output(told: Told, payload: bytes) -> None:
    (offset,) = struct.unpack("<Q", payload[:8])
    assert offset == told.begin + len(told.output) and len(payload) > 8, (offset, told.begin, len(told.output))
    told.output += payload[8:]


def _ended(told: Told, payload: bytes) -> None:
    assert told.length is None, "ended twice"
    (told.length,) = struct.unpack("<Q", payload)


def _exit(told: Told, payload: bytes) -> None:
    assert told.code is None, "exited twice"
    (told.code,) = struct.unpack("<i", payload)


def _failed(told: Told, payload: bytes) -> None:
    (told.errno,) = struct.unpack("<i", payload)
    assert told.errno and told.errno > 0


def _done(told: Told, payload: bytes) -> None:
    assert not payload and not told.is_done
    told.is_done = True


def _content(told: Told, payload: bytes) -> None:
    told.content = payload


def _started(told: Told, payload: bytes) -> None:
    assert told.pid is None, "started twice"
    (told.pid,) = struct.unpack("<i", payload)


def _taken(told: Told, payload: bytes) -> None:
    (taken,) = struct.unpack("<Q", payload)
    assert taken > told.taken
    told.taken = taken


def _stream(told: Told, payload: bytes) -> None:
    told.kept = struct.unpack("<IiBiBQQ", payload)
    told.pid = told.kept[1] or None
    told.begin = told.kept[5]
    told.code = told.kept[3] if told.kept[2] else None


SAYS: dict[int, Callable[[Told, bytes], None]] = {
    OUTPUT: _output,
    ENDED: _ended,
    EXIT: _exit,
    FAILED: _failed,
    DONE: _done,
    CONTENT: _content,
    STARTED: _started,
    TAKEN: _taken,
    STREAM: _stream,
}


class Machine:
    """One QEMU, whose sockets lie in `directory`: connections may come and go."""

    def __init__(self, build: Path, directory: Path, disks: list[str], memory: Path, *, restored: bool = False) -> None:
        directory.mkdir()
        self._directory = directory
        self._numbers = iter(range(1, 1 << 30))
        command = qemu(build, directory, disks, memory, restored=restored)
        self._process = subprocess.Popen(["nice", *command], stdin=subprocess.DEVNULL)
        self._monitor: socket.socket | None = None
        self._said = b""

    def connect(self) -> Connection:
        return Connection(self._directory / "agent", self._numbers)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        connection = self.connect()
        try:
            yield connection
        finally:
            connection.close()

    def monitor(self, command: str, handle: int | None = None, **arguments: object) -> dict[str, object]:
        """One command of QEMU's monitor."""
        if self._monitor is None:
            self._monitor = connected(self._directory / "monitor")
            self.monitor("qmp_capabilities")
        request = json.dumps({"execute": command, "arguments": arguments}).encode()
        socket.send_fds(self._monitor, [request], [] if handle is None else [handle])
        while True:
            while b"\n" not in self._said:
                ready, _, _ = select.select([self._monitor], [], [], WAIT_S)
                assert ready, "QEMU said nothing"
                self._said += self._monitor.recv(65536)
            line, _, self._said = self._said.partition(b"\n")
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                result: dict[str, object] = answer["return"]
                return result

    def save(self, state: Path) -> None:
        self._prepare(state, os.O_WRONLY | os.O_CREAT)
        self.monitor("stop")
        self.monitor("migrate", uri="fd:state")
        until(lambda: self.monitor("query-migrate").get("status") == "completed")

    def restore(self, state: Path) -> None:
        self._prepare(state, os.O_RDONLY)
        self.monitor("migrate-incoming", uri="fd:state")
        until(lambda: self.monitor("query-status").get("status") != "inmigrate")
        self.monitor("cont")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._monitor is not None:
            self._monitor.close()

    def _prepare(self, state: Path, flags: int) -> None:
        # The memory is a file that is shared anyhow: only the devices' state is written.
        capability = {"capability": "x-ignore-shared", "state": True}
        self.monitor("migrate-set-capabilities", capabilities=[capability])
        handle = os.open(state, flags, 0o600)
        self.monitor("getfd", handle, fdname="state")
        os.close(handle)


def qemu(build: Path, directory: Path, disks: list[str], memory: Path, *, restored: bool) -> list[str]:
    rate = subprocess.check_output([build / "tsc_khz"], text=True).strip()
    kernel = f"console=ttyS0 quiet tsc_early_khz={rate} no_timer_check panic=-1 nr_cpus=1 nowatchdog audit=0"
    share = "off" if restored else "on"
    options = f"""
        -M microvm,x-option-roms=off,memory-backend=m -accel tcg,thread=multi,tb-size=128 -cpu max
        -m {MEMORY_MIB} -smp 1
        -object memory-backend-file,id=m,size={MEMORY_MIB}M,mem-path={memory},share={share}
        -nodefaults -no-user-config -display none -no-reboot -serial file:{directory}/console
        -kernel {build}/vmlinux -initrd {build}/initramfs.cpio
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -chardev socket,id=agent,path={directory}/agent,server=on,wait=off -device virtio-serial-device,max_ports=4
        -device virtserialport,chardev=agent,name=agent -device virtio-rng-device
        -chardev socket,id=monitor,path={directory}/monitor,server=on,wait=off -mon chardev=monitor,mode=control
        -drive if=none,id=tools,format=raw,readonly=on,file={build}/tools.erofs
        -device virtio-blk-device,drive=tools,serial=tools
    """.split()
    for number, disk in enumerate(disks):
        name = f"image-{number}" if number < IMAGES else "disk"
        access = "readonly=on" if number < IMAGES else "discard=unmap"
        options += ["-drive", f"if=none,id={name},format=raw,{access},{disk}"]
        options += ["-device", f"virtio-blk-device,drive={name},serial={name}"]
    incoming = ["-incoming", "defer", "-S"] if restored else []
    return ["qemu-system-x86_64", *options, "-append", kernel, *incoming]


def make_disks(directory: Path) -> list[str]:
    """Ten images that say which they are, of ten sizes, and one disk to write on."""
    disks = []
    for number in range(IMAGES):
        root, image = directory / f"root-{number}", directory / f"image-{number}"
        for name in ("bin", "dev", "proc"):
            (root / name).mkdir(parents=True)
        for name in ("sh", "cat", "sleep", "echo", "true"):
            (root / "bin" / name).symlink_to("busybox")
        (root / "bin" / "busybox").write_bytes(BUSYBOX.read_bytes())
        (root / "bin" / "busybox").chmod(0o755)
        (root / "which").write_text(f"image {number}\n")
        (root / "more").write_bytes(bytes(4096 * number))
        subprocess.run(["mkfs.erofs", "--quiet", image, root], check=True)
        disks.append(image)
    return [*(f"file={disk}" for disk in disks), make_disk(directory / "disk")]


def make_disk(path: Path) -> str:
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", path], check=True)
    return f"file={path}"


def set_up(guest: Connection) -> None:
    """A shell, and cgroups that containers' limits can be set in."""
    assert guest.mount("serial:image-0", "/run/image-0", "erofs", flags=MS_RDONLY) is None
    assert guest.mount("/run/image-0/bin/busybox", SHELL, flags=MS_BIND) is None
    assert guest.mount("serial:disk", "/run/disk", "ext4") is None
    guest.done(DIRECTORY, struct.pack("<III", 0o755, 0, 0) + words("/sys/fs/cgroup/task"))
    for name in ("memory", "pids"):
        guest.file("/sys/fs/cgroup/task/cgroup.subtree_control", f"+{name}\n".encode())


def sh(guest: Connection, script: str, flags: int = 0, limit: int = EVERYTHING) -> int:
    return guest.run(SHELL, "sh", "-c", script, flags=flags, limit=limit)


def no_disks() -> list[str]:
    """As many that are nothing yet: a guest is saved before its disks are there."""
    return ["file.driver=null-co,file.size=4096,file.read-zeroes=on"] * (IMAGES + 1)


def connected(path: Path) -> socket.socket:
    result: list[socket.socket] = []

    def try_it() -> bool:
        attempt = socket.socket(socket.AF_UNIX)
        try:
            attempt.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            attempt.close()
            return False
        result.append(attempt)
        return True

    until(try_it)
    return result[0]


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
