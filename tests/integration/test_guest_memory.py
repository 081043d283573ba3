"""No frame of a host ends a guest's first process: its code as a program that checks its own memory, fed with anything.

Its kernel would panic. A test of the guest's C alone, without a machine: guest_harness.c says what is real of it.
"""

import os
import random
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from .guest_rig import (
    CLOCK,
    CONTAINER,
    DIRECTORY,
    DISKS,
    ENTROPY,
    EVERYTHING,
    FILE,
    FORGET,
    HELLO,
    INPUT,
    KEPT,
    MOUNT,
    NETLINK,
    PAYLOAD_MAX,
    READ,
    RESIZE,
    ROOT,
    RUN,
    SIGNAL,
    TERMINAL,
    WINDOW,
    Connection,
    connected,
    until,
    words,
)

NEEDED = {"gcc": shutil.which("gcc"), "libc6-dev": Path("/usr/include/stdio.h").exists()}
MISSING = [name for name, is_there in NEEDED.items() if not is_there]
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(MISSING), reason=f"the guest's code is compiled by {', '.join(MISSING)}"),
]

AGENT = ROOT / "guest" / "agent"
HARNESS = Path(__file__).with_name("guest_harness.c")
WRAPPED = ("read", "write", "open", "poll", "kill", "execvp")
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Werror")
CHECKED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
KINDS = (*range(HELLO, READ + 1), 0, 16, 99, 255)
PATHS = (
    "/a",
    "/b/c/d",
    "/b",
    "",
    "/",
    "a" * 300,
    "/" + ("x" * 255 + "/") * 17,
    "/fifo",
    "serial:",
    "serial:" + "s" * 90,
)
ROUNDS, FRAMES = 12, 150
LEFT_S = 0.05
PAUSE_S, ATTEMPTS = 0.15, 20  # less than the guest waits for the rest of a frame


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("guest")
    others = [str(path) for path in sorted(AGENT.glob("*.c")) if path.name not in ("main.c", "boot.c")]
    wraps = [f"-Wl,--wrap={name}" for name in WRAPPED]
    common = ["gcc", *WARNINGS, *CHECKED, f"-I{AGENT}"]
    subprocess.run([*common, "-Dmain=agent_main", "-c", "-o", made / "main.o", AGENT / "main.c"], check=True)
    program = made / "harness"
    subprocess.run([*common, *wraps, "-o", program, HARNESS, made / "main.o", *others], check=True)
    return program


@pytest.mark.parametrize("source", sorted(AGENT.glob("*.c")), ids=lambda source: source.name)
def test_the_compiler_s_analysis_finds_nothing(source: Path) -> None:
    subprocess.run(["gcc", *WARNINGS, "-Os", "-fanalyzer", "-c", "-o", "/dev/null", source], check=True)


class Process:
    """One that runs; its messages are in `said`."""

    def __init__(self, harness: Path, directory: Path, looks: int) -> None:
        root = directory / "root"
        root.mkdir()
        root.chmod(0o777)
        os.mkfifo(root / "fifo")
        self.path = directory / "port"
        self.said = directory / "said"
        with self.said.open("wb") as said:
            command = [harness, root, self.path, str(looks)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=said)
        self.numbers = count(1000)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def files(self) -> int:
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    @property
    def children(self) -> str:
        return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()

    @property
    def allocated(self) -> list[int]:
        """Bytes, whenever a host came that was not the first."""
        return [int(line.split()[1]) for line in self.said.read_text().splitlines() if line.startswith("allocated")]

    def connect(self) -> Connection:
        try:
            return Connection(self.path, self.numbers)
        except (AssertionError, OSError):
            assert self.is_alive, self.said.read_text()
            raise

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def process(harness: Path, looks: int = 0) -> Iterator[Process]:
    """`looks`: so often it looks at its port until it is told of a host that has spoken already."""
    with tempfile.TemporaryDirectory(prefix="ngf") as directory:
        Path(directory).chmod(0o755)
        made = Process(harness, Path(directory), looks)
        try:
            yield made
        finally:
            made.end()


class Host:
    """One that says anything, by its seed alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._payloads: dict[int, Callable[[], bytes]] = {
            HELLO: lambda: self._bytes(32),
            RUN: self._run,
            INPUT: lambda: self._bytes(self._random.choice((0, 1, 100, 30_000, PAYLOAD_MAX))),
            SIGNAL: lambda: bytes([self._random.choice((0, 1, 9, 15, 20, 18, 64, 255))]),
            CLOCK: lambda: self._bytes(12),
            ENTROPY: lambda: self._bytes(self._random.randrange(300)),
            FILE: lambda: (
                self._numbers("III") + bytes([self._random.choice((0, 1, 1, 2))]) + self._path() + self._bytes(9000)
            ),
            DISKS: lambda: b"",
            MOUNT: lambda: self._numbers("I") + b"".join(self._path() for _ in range(4)),
            DIRECTORY: lambda: self._numbers("III") + self._path(),
            NETLINK: self._netlink,
            WINDOW: lambda: struct.pack("<QQ", self._offset(), self._offset()),
            RESIZE: lambda: self._numbers("HH"),
            FORGET: lambda: b"",
            READ: self._path,
        }

    def frame(self) -> bytes:
        kind = self._random.choices(KINDS, [3 if kind in (RUN, INPUT, WINDOW) else 1 for kind in KINDS])[0]
        payload = self._payloads.get(kind, lambda: self._bytes(40))()
        if self._random.random() < 0.15:
            payload = self._bent(payload)
        length = len(payload)
        if self._random.random() < 0.003:
            length = self._random.choice((length + 1, PAYLOAD_MAX + 1, 2**31, 2**32 - 1))
        return struct.pack("<IBI", length, kind, self._stream(kind)) + payload

    def frames(self) -> bytes:
        """Some of them, the last of which may be cut off, as by a kill."""
        said = b"".join(self.frame() for _ in range(FRAMES))
        return said[: len(said) - self._random.choice((0, 0, 1, 8, 30, 41, 5000))]

    def _stream(self, kind: int) -> int:
        return 0 if kind == HELLO else self._random.choice((1, 2, 3, 4, 5, 6, 7, 8, 2**32 - 1, 0))

    def _bent(self, payload: bytes) -> bytes:
        at = self._random.randrange(len(payload) + 1)
        bent = self._random.choice(
            (payload[:at], payload + self._bytes(9), payload[:at] + self._bytes(1) + payload[at + 1 :])
        )
        return bent[:PAYLOAD_MAX]

    def _bytes(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def _numbers(self, form: str) -> bytes:
        largest = {"H": 2**16 - 1, "I": 2**32 - 1}
        return struct.pack(f"<{form}", *(self._random.choice((0, 1, 0o755, largest[letter])) for letter in form))

    def _path(self) -> bytes:
        return words(self._random.choice(PATHS))

    def _offset(self) -> int:
        return self._random.choice((0, 1, 5000, 256 * 1024, self._random.randrange(300_000), EVERYTHING, 2**64 - 1))

    def _run(self) -> bytes:
        flags = self._random.choice((0, TERMINAL, CONTAINER, KEPT, CONTAINER | KEPT, TERMINAL | KEPT, 7, 8, 2**31))
        pid_file, number = self._random.choice(("/p1", "/p2")), str(self._random.randrange(400_000))
        command = self._random.choice(
            (
                ("exit", number),
                ("say", number),
                ("pass",),
                ("wait",),
                ("none",),
                ("",),
                ("make", pid_file, number),
                ("make", pid_file, number, self._random.choice(("0", "1", "-1", "99999999999", "x", "\n"))),
                ("pass",) * self._random.choice((1, 1023, 1024, 1025)),
            )
        )
        return (
            struct.pack("<I", flags) + self._numbers("HH") + words(*([pid_file] if flags & CONTAINER else []), *command)
        )

    def _netlink(self) -> bytes:
        body = self._bytes(self._random.choice((0, 4, 16, 200)))
        kind = self._random.choice(
            (0, 2, 3, 16, 18, 20, 22, 26, 65535)
        )  # links, addresses, routes: made, and asked for
        return struct.pack("<IHHII", 16 + len(body), kind, self._random.choice((0, 1, 5, 0x305)), 1, 0) + body


def tell(process: Process, said: bytes) -> None:
    """All of it, while what the guest says is read; then the host is gone."""
    with closing(connected(process.path)) as port:
        port.setblocking(False)
        left = memoryview(said)
        while left:
            readable, writable, _ = select.select([port], [port], [])
            try:
                if readable and not port.recv(1 << 20):
                    break
                if writable:
                    left = left[port.send(left[:200_000]) :]
            except OSError:
                break  # it is not alive any more, which is asked for after this
        read_on(port)


def read_on(port: socket.socket) -> None:
    while select.select([port], [], [], LEFT_S)[0]:
        try:
            if not port.recv(1 << 20):
                return
        except OSError:
            return


def end_all(guest: Connection) -> None:
    """What is kept ends and is forgotten."""
    for number, told in list(guest.kept.items()):
        if not told[2]:
            guest.send(SIGNAL, number, bytes([signal.SIGKILL]))
            guest.until(lambda number=number: guest.told[number].code is not None)
        guest.done(FORGET, stream=number)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_host_says_the_guest_goes_on(harness: Path, seed: int) -> None:
    host = Host(seed)
    with process(harness) as guest:
        with closing(guest.connect()):
            files = guest.files
        for _ in range(ROUNDS):
            tell(guest, host.frames())
            with closing(guest.connect()) as after:
                number = after.run("say", "200000", limit=200_000)
                assert after.end(number) == (0, "=" * 200_000)
        with closing(guest.connect()) as last:
            end_all(last)
        with closing(guest.connect()) as clean:
            assert clean.kept == {}
            until(lambda: guest.children == "" and guest.files == files)
        with closing(guest.connect()):
            until(lambda: guest.allocated[-1] == guest.allocated[0])
        assert [line for line in guest.said.read_text().splitlines() if not line.startswith("allocated")] == []


HALF = struct.pack("<IBI", 50_000, READ, 77)
LEFT = {
    "far from its end": HALF + words("/a"),
    "shorter than what follows": HALF + bytes(50_000 - 20),
    "with no more missing than a header": HALF + bytes(50_000 - 9),
    "with a byte missing": HALF + bytes(50_000 - 1),
    "after whole ones": struct.pack("<IBI", 0, FORGET, 5) * 3 + HALF,
    "of a header alone": HALF[:5],
    "that is none": b"\xff" * 100,
    "that is none, among many": struct.pack("<IBI", 1, DISKS, 5) + b"\xff" * 200_000,
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT.keys())
def test_a_new_host_is_heard_behind_half_a_frame(harness: Path, left: bytes) -> None:
    """Of a host that was killed while the guest did not look. And what was left is not done."""
    with process(harness) as guest, closing(Connection(guest.path, guest.numbers, left)) as host:
        assert host.hellos == 1
        assert 77 not in host.told
        assert host.end(host.run("exit", "3")) == (3, "")


@pytest.mark.parametrize("looks", [1, 2, 20])
def test_a_hello_before_the_news_of_its_host_is_kept_and_answered(harness: Path, looks: int) -> None:
    """As of a machine that goes on from a saved one: both come at once, by two ways."""
    with process(harness, looks) as guest:
        with closing(guest.connect()):
            pass
        with closing(Connection(guest.path, guest.numbers, HALF)) as host:
            assert host.hellos == 1
            assert host.end(host.run("exit", "3")) == (3, "")


def test_a_frame_that_hello_ends_to_the_byte_takes_one_hello(harness: Path) -> None:
    """Nobody could tell it from one of whole frames; its host says hello once more."""
    with process(harness) as guest:
        tell(guest, HALF + bytes(50_000 - 41) + struct.pack("<IBI", 32, HELLO, 0) + b"n" * 32)
        with closing(guest.connect()) as host:
            assert host.end(host.run("exit", "3")) == (3, "")


def test_words_like_a_hello_s_are_a_frame_s_if_it_goes_on(harness: Path) -> None:
    like = struct.pack("<IBI", 32, HELLO, 0) + b"n" * 32
    for _ in range(ATTEMPTS):
        with process(harness) as guest, closing(guest.connect()) as host:
            number = host.run("pass", limit=1000)
            since = time.monotonic()
            host.send_raw(struct.pack("<IBI", 1 + 2 * len(like), INPUT, number) + b"x" + like)
            until(lambda host=host: host.unread_bytes() == 0)
            host.send_raw(like)
            if time.monotonic() - since < PAUSE_S:
                host.send(INPUT, number)
                assert host.end(number) == (0, "x" + (like * 2).decode())
                return
    pytest.skip("this machine is too slow to go on before the guest believes that it does not")


def test_mistakes_of_memory_are_seen(harness: Path) -> None:
    """The check itself: the program is one that ends by such a mistake."""
    symbols = subprocess.check_output(["nm", harness], text=True)
    assert "__asan_init" in symbols and "__ubsan_handle" in symbols
    assert stat.S_ISREG(harness.stat().st_mode)
