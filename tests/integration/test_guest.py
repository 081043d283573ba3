"""The guest of a microVM does what its host says, and no more: a real QEMU without KVM, a real kernel, crun."""

import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
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
    IMAGES,
    INPUT,
    KEPT,
    NETLINK,
    READ,
    RESIZE,
    ROOT,
    RUN,
    SHELL,
    SIGNAL,
    TERMINAL,
    WAIT_S,
    Connection,
    Machine,
    connected,
    make_disk,
    make_disks,
    no_disks,
    until,
    words,
)

PROGRAMS = ("qemu-system-x86_64", "musl-gcc", "mkfs.erofs", "lz4", "crun", "busybox", "apt-cache")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"a guest needs {', '.join(MISSING)}")

SPOOL = 256 * 1024
STREAMS = 512
THEN_S = 1_000_000_000  # a date that no clock shows by itself
MS_RDONLY, MS_BIND = 1, 4096
NUMBERS = "".join(f"{number}\n" for number in range(1, 100_001)).encode()  # what `seq 100000` writes: 588895 bytes


@pytest.fixture(scope="module")
def build() -> Path:
    if given := os.environ.get("NEARGATE_TEST_GUEST"):
        return Path(given)
    known = subprocess.run(["apt-cache", "show", "linux-image-cloud-amd64"], capture_output=True, check=False)
    if known.returncode != 0:
        pytest.skip("a guest needs Debian's linux-image-cloud-amd64, which this system's package lists don't have")
    cache = Path(os.environ.get("NEARGATE_GUEST_DIR") or "/var/cache/neargate/guest")
    if os.geteuid() != 0 and "NEARGATE_GUEST_DIR" not in os.environ:
        cache = Path.home() / ".cache" / "neargate" / "guest"
    subprocess.run([ROOT / "scripts" / "build-guest", "--directory", cache], check=True, stdout=subprocess.DEVNULL)
    return cache


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ngg") as short:  # a socket's path has 107 bytes at most
        yield Path(short)


@pytest.fixture(scope="module")
def disks(scratch: Path) -> list[str]:
    return make_disks(scratch)


@pytest.fixture(scope="module")
def machine(build: Path, scratch: Path, disks: list[str]) -> Iterator[Machine]:
    """Booted, with the task's disks; each test has a connection of its own, which kills what the last one left."""
    machine = Machine(build, scratch / "cold", disks, scratch / "memory")
    try:
        with machine.connection() as guest:
            guest.done(DISKS)
            set_up(guest)
        yield machine
    finally:
        machine.end()


@pytest.fixture
def guest(machine: Machine) -> Iterator[Connection]:
    with machine.connection() as guest:
        yield guest


def set_up(guest: Connection) -> None:
    """A shell, and cgroups that containers' limits can be set in."""
    assert guest.mount("serial:image-0", "/run/image-0", "erofs", flags=MS_RDONLY) is None
    assert guest.mount("/run/image-0/bin/busybox", SHELL, flags=MS_BIND) is None
    assert guest.mount("serial:disk", "/run/disk", "ext4") is None
    guest.done(DIRECTORY, struct.pack("<III", 0o755, 0, 0) + words("/sys/fs/cgroup/task"))
    for name in ("memory", "pids"):
        guest.file("/sys/fs/cgroup/task/cgroup.subtree_control", f"+{name}\n".encode())


def bundle(guest: Connection, name: str, *argv: str, image: int = 0) -> str:
    """A container's, of an image and a layer on the task's disk above it; memory and processes bounded."""
    place, layer = f"/run/bundles/{name}", f"/run/disk/{name}"
    if image:
        assert guest.mount(f"serial:image-{image}", f"/run/image-{image}", "erofs", flags=MS_RDONLY) is None
    for made in (f"{layer}/upper", f"{layer}/work"):
        guest.done(DIRECTORY, struct.pack("<III", 0o755, 0, 0) + words(made))
    layers = f"lowerdir=/run/image-{image},upperdir={layer}/upper,workdir={layer}/work"
    assert guest.mount("overlay", f"{place}/rootfs", "overlay", layers) is None
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    resources = {"memory": {"limit": 1 << 26}, "pids": {"limit": 64}}
    spec = {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": list(argv), "cwd": "/", "env": ["PATH=/bin"]},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"cgroupsPath": f"/task/{name}", "namespaces": namespaces, "resources": resources},
    }
    guest.file(f"{place}/config.json", json.dumps(spec).encode())
    return place


def start(guest: Connection, name: str, *argv: str, flags: int = 0, image: int = 0) -> int:
    place = bundle(guest, name, *argv, image=image)
    command = ("crun", "create", "--pid-file", f"{place}/pid", "--bundle", place, name)
    number = guest.run(f"{place}/pid", *command, flags=CONTAINER | flags)
    told = guest.told[number]
    guest.until(lambda: told.pid is not None or told.code is not None)
    if told.pid is not None:
        assert guest.end(guest.run("crun", "start", name)) == (0, "")
    return number


def sh(guest: Connection, script: str, flags: int = 0, limit: int = EVERYTHING) -> int:
    return guest.run(SHELL, "sh", "-c", script, flags=flags, limit=limit)


def test_it_says_what_it_is(guest: Connection, build: Path) -> None:
    manifest = json.loads((build / "manifest.json").read_text())
    assert guest.words == {"protocol": 2, "kernel": manifest["kernel"]}
    assert manifest["protocol"] == 2


def test_a_process_has_input_output_and_an_end(guest: Connection) -> None:
    number = guest.run(SHELL, "cat")
    guest.send(INPUT, number, b"through\n")
    guest.send(INPUT, number)
    assert guest.end(number) == (0, "through\n")
    assert guest.told[number].taken == len("through\n")
    assert guest.end(sh(guest, "echo one; echo two >&2; exit 3")) == (3, "one\ntwo\n")
    assert guest.end(guest.run("not-there")) == (127, "")
    assert guest.end(sh(guest, "kill -9 $$")) == (128 + 9, "")


def test_a_process_begins_with_nothing_of_the_first_ones(guest: Connection) -> None:
    """Neither its ignored signals nor its mask nor its limits, which the kernel takes from the machine's memory."""
    status = guest.shell("cat /proc/self/status; ulimit -u; umask; ls /proc/self/fd | wc -l")
    assert "SigIgn:\t0000000000000000" in status and "SigBlk:\t0000000000000000" in status
    assert status.split()[-3:] == ["unlimited", "0022", "4"]  # the three, and the directory that is listed


def test_output_beyond_the_window_waits_and_comes_whole(guest: Connection) -> None:
    number = guest.run(SHELL, "seq", "100000", limit=0)
    told = guest.told[number]
    guest.until(lambda: told.pid is not None)
    guest.quiet()
    assert told.output == b""
    guest.window(number, 0, 1000)
    guest.until(lambda: len(told.output) >= 1000)
    guest.quiet()
    assert told.output == NUMBERS[:1000]
    guest.window(number, 0, EVERYTHING)
    guest.until(lambda: len(told.output) >= SPOOL)
    guest.quiet()
    assert told.output == NUMBERS[:SPOOL] and told.code is None  # so much is kept, and its writer waits
    while not told.is_over:
        guest.window(number, len(told.output), len(told.output) + 50_000)
        before = len(told.output)
        guest.until(lambda before=before: len(told.output) > before or told.is_over)
    assert (told.output, told.length, told.code) == (NUMBERS, len(NUMBERS), 0)
    guest.done(FORGET, stream=number)


def test_one_that_waits_keeps_no_other_waiting(guest: Connection) -> None:
    waiting = [guest.run(SHELL, "yes", limit=0) for _ in range(3)]
    unread = guest.run(SHELL, "sleep", "1000")
    guest.send(INPUT, unread, bytes(65536))
    assert guest.shell("echo on") == "on\n"
    for number in (*waiting, unread):
        guest.send(SIGNAL, number, bytes([signal.SIGKILL]))
    for number in waiting:
        guest.until(lambda number=number: guest.told[number].code is not None)
        guest.done(FORGET, stream=number)  # its output is in nobody's way


def test_input_that_is_not_taken_waits(guest: Connection) -> None:
    """The pipe and 64 KiB: what goes beyond that is the host's mistake. The rest is taken when the process reads."""
    guest.shell("rm -f /run/fifo; mkfifo /run/fifo")
    number = sh(guest, "read line < /run/fifo; wc -c")
    told = guest.told[number]
    guest.send(INPUT, number, bytes(65536))
    guest.until(lambda: told.taken == 65536)  # into the pipe
    guest.send(INPUT, number, bytes(65536))
    guest.quiet()
    assert told.taken == 65536 and told.errno is None
    guest.send(INPUT, number, b"1")
    guest.until(lambda: told.errno is not None)
    assert told.errno == 75  # EOVERFLOW
    guest.send(INPUT, number)
    guest.shell("echo go > /run/fifo")
    assert guest.end(number) == (0, "131072\n")
    assert told.taken == 131072


def test_input_that_nobody_can_take_any_more_is_taken(guest: Connection) -> None:
    number = sh(guest, "exec < /dev/null; echo shut; sleep 1000")
    guest.until(lambda: guest.told[number].output == b"shut\n")
    guest.send(INPUT, number, bytes(1000))
    guest.until(lambda: guest.told[number].taken == 1000)


def test_a_signal_goes_to_the_whole_group(guest: Connection) -> None:
    number = sh(guest, "sleep 1000 & echo $!; wait")
    told = guest.told[number]
    guest.until(lambda: told.output.endswith(b"\n"))
    guest.send(SIGNAL, number, bytes([signal.SIGTERM]))
    assert guest.end(number)[0] == 128 + signal.SIGTERM  # the output has ended too: the child had it open
    guest.send(SIGNAL, number, bytes([signal.SIGTERM]))  # nobody is there any more, which is no failure
    guest.quiet()
    assert told.errno is None


def test_a_forgotten_stream_is_gone_and_a_running_one_is_not_forgotten(guest: Connection) -> None:
    number = guest.run(SHELL, "sleep", "1000")
    assert guest.ask(FORGET, stream=number).errno == 16  # EBUSY
    guest.send(SIGNAL, number, bytes([signal.SIGKILL]))
    guest.end(number)
    assert guest.ask(FORGET, stream=number).is_done  # done already is done
    kept = guest.run(SHELL, "true", flags=KEPT)
    guest.until(lambda: guest.told[kept].is_over)
    guest.told[kept].errno = None
    guest.send(RUN, kept, struct.pack("<IHH", 0, 0, 0) + words(SHELL))
    guest.until(lambda: guest.told[kept].errno is not None)
    assert guest.told[kept].errno == 17  # EEXIST
    guest.done(FORGET, stream=kept)


def test_a_full_table_says_so(guest: Connection) -> None:
    numbers = [guest.run(SHELL, "true", limit=0) for _ in range(STREAMS)]
    assert guest.ask(RUN, struct.pack("<IHH", 0, 0, 0) + words(SHELL)).errno == 11  # EAGAIN
    guest.until(lambda: guest.told[numbers[0]].code is not None)
    guest.done(FORGET, stream=numbers[0])
    assert guest.shell("echo room") == "room\n"
    guest.until(lambda: all(guest.told[number].is_over for number in numbers[1:]))


def test_a_host_that_does_not_listen_loses_nothing(guest: Connection) -> None:
    """The port is full, and much waits behind it; when the host listens again all of it comes."""
    numbers = [guest.run(SHELL, "seq", "100000") for _ in range(4)]
    until(lambda: guest.unheard_bytes() > 100_000)
    for number in numbers:
        told = guest.told[number]
        while not told.is_over:
            seen = len(told.output)
            guest.window(number, seen, EVERYTHING)
            guest.until(lambda told=told, seen=seen: len(told.output) > seen or told.is_over)
        assert (told.output, told.code) == (NUMBERS, 0)


def test_a_kept_stream_goes_on_over_connections_and_another_does_not(machine: Machine) -> None:
    with machine.connection() as guest:
        kept = guest.run(SHELL, "seq", "100000", flags=KEPT, limit=300_000)
        other = sh(guest, "echo other; sleep 1000")
        told = guest.told[kept]
        guest.until(lambda: len(told.output) >= 200_000 and bool(guest.told[other].output))
        had = bytes(told.output)
        pid, other_pid = told.pid, guest.told[other].pid
    with machine.connection() as guest:
        assert list(guest.kept) == [kept]
        flags, kept_pid, has_exited, _, _, acknowledged, produced = guest.kept[kept]
        assert (flags, kept_pid, has_exited, acknowledged) == (KEPT, pid, 0, 0)
        assert len(had) <= produced <= SPOOL
        guest.quiet()
        assert guest.told[kept].output == b""  # no window yet
        assert f"{other_pid}" not in guest.shell("ls /proc").split()
        guest.window(kept, 150_000, 170_000)
        guest.until(lambda: len(guest.told[kept].output) == 20_000)
    with machine.connection() as guest:
        told = guest.told[kept]
        assert guest.kept[kept][5] == told.begin == 150_000
        while not told.is_over:
            seen = told.begin + len(told.output)
            guest.window(kept, seen, seen + SPOOL)
            guest.until(lambda seen=seen: told.begin + len(told.output) > seen or told.is_over)
        assert NUMBERS[:150_000] + told.output == NUMBERS
        assert had == NUMBERS[: len(had)]
    with machine.connection() as guest:
        assert guest.kept[kept] == (KEPT, pid, 1, 0, 1, guest.kept[kept][5], len(NUMBERS))
        guest.window(kept, len(NUMBERS), EVERYTHING)
        guest.until(lambda: guest.told[kept].length == len(NUMBERS))  # said once more, of one that had ended before
        guest.done(FORGET, stream=kept)
    with machine.connection() as guest:
        assert guest.kept == {}


def test_an_end_while_nobody_was_connected_is_told(machine: Machine) -> None:
    with machine.connection() as guest:
        guest.shell("rm -f /run/gate; mkfifo /run/gate")
        kept = sh(guest, "read line < /run/gate; exit 9", flags=KEPT)
        opener = sh(guest, "sleep 0.2; echo > /run/gate", flags=KEPT)
        guest.until(lambda: guest.told[opener].pid is not None)
    while True:
        with machine.connection() as guest:
            if all(told[2] for told in guest.kept.values()):
                break
    with machine.connection() as guest:
        assert guest.kept[kept][2:5] == (1, 9, 1)
        guest.quiet()
        assert guest.told[kept].code == 9  # by that alone: an EXIT would have been a second one
        for number in (kept, opener):
            guest.done(FORGET, stream=number)


def test_half_a_frame_of_a_host_that_is_gone_is_dropped(machine: Machine, scratch: Path) -> None:
    head = struct.pack("<IBI", 60_000, FILE, 1 << 31)
    body = struct.pack("<IIIB", 0o600, 0, 0, 0) + words("/run/half") + b"half"
    with closing(connected(scratch / "cold" / "agent")) as gone:
        gone.sendall(head + body)
    with machine.connection() as guest:
        assert guest.ask(READ, words("/run/half")).errno == 2  # ENOENT


def test_frames_are_heard_however_they_are_cut(guest: Connection) -> None:
    number = guest.run(SHELL, "cat")
    frames = b"".join(
        struct.pack("<IBI", len(part), INPUT, number) + part for part in (b"one ", b"two ", bytes(5000), b"three", b"")
    )
    for at in range(60):
        guest.send_raw(frames[at : at + 1])
    guest.send_raw(frames[60:])
    assert guest.end(number) == (0, "one two " + "\0" * 5000 + "three")


def test_what_breaks_the_rules_is_refused(guest: Connection) -> None:
    for kind, payload, errno in (
        (RUN, b"", 22),
        (RUN, struct.pack("<IHH", 8, 0, 0) + words(SHELL), 22),  # a flag that is none
        (RUN, struct.pack("<IHH", CONTAINER, 0, 0) + words("/run/pid"), 22),  # no command
        (RUN, struct.pack("<IHH", 0, 0, 0) + b"/run/busybox", 22),  # no end
        (FILE, struct.pack("<IIIB", 0, 0, 0, 2) + words("/run/a"), 22),
        (FILE, b"\0\0\0\0", 22),
        (DIRECTORY, b"", 22),
        (READ, b"", 22),
        (READ, b"/proc/version", 22),  # no end
        (NETLINK, struct.pack("<IHHII", 17, 16, 0, 0, 0), 22),  # longer than it is
        (CLOCK, bytes(11), 22),
        (ENTROPY, bytes(257), 22),
        (99, b"", 71),  # EPROTO
    ):
        assert guest.ask(kind, payload).errno == errno, (kind, payload)


def test_a_terminal_is_the_process_s_own_and_changes_its_size(guest: Connection) -> None:
    script = 'trap "stty size" WINCH; stty size; tty; echo ready > /dev/tty; while :; do read line && echo "<$line>"; done'
    number = guest.run(SHELL, "sh", "-c", script, flags=TERMINAL, size=(80, 24))
    told = guest.told[number]
    guest.until(lambda: b"ready" in told.output)
    assert told.output.startswith(b"24 80\r\n/dev/pts/")
    guest.send(RESIZE, number, struct.pack("<HH", 132, 50))
    guest.until(lambda: b"50 132\r\n" in told.output)
    guest.send(INPUT, number, b"typed\n")
    guest.until(lambda: b"typed\r\n<typed>\r\n" in told.output)  # echoed, then read
    guest.send(INPUT, number)  # a terminal's input does not end
    guest.send(INPUT, number, b"\x03")  # but an interrupt is typed
    guest.until(lambda: told.is_over)
    assert told.code == 128 + signal.SIGINT
    guest.done(FORGET, stream=number)


def test_a_container_s_exit_code_is_the_stream_s(guest: Connection) -> None:
    number = start(guest, "exits", "/bin/sh", "-c", "cat /which; exit 7", image=1)
    assert guest.end(number) == (7, "image 1\n")
    assert (guest.told[number].pid or 0) > 1
    assert guest.end(guest.run("crun", "delete", "exits"))[0] == 0


@pytest.mark.parametrize("script", ["(sh -c 'exit 9' & echo $! > {0}); sleep 0.2", "sh -c 'exit 9' & echo $! > {0}"])
def test_an_end_before_its_command_s_is_told_after_it(guest: Connection, script: str) -> None:
    """Nobody's child by then, or the command's: its number is not given to another before it is known whose it was."""
    number = guest.run("/run/pid", SHELL, "sh", "-c", script.format("/run/pid"), flags=CONTAINER)
    assert guest.end(number) == (9, "")
    assert (guest.told[number].pid or 0) > 1


def test_a_container_outlives_the_connection_and_is_signalled_alone(machine: Machine) -> None:
    with machine.connection() as guest:
        number = start(guest, "lives", "/bin/sh", "-c", "trap 'exit 5' TERM; echo up; sleep 1000 & wait", flags=KEPT)
        told = guest.told[number]
        guest.until(lambda: told.pid is not None and bool(told.output))
        pid = told.pid
    with machine.connection() as guest:
        assert guest.kept[number][:3] == (CONTAINER | KEPT, pid, 0)
        memory = int(guest.read("/sys/fs/cgroup/task/lives/memory.current"))
        assert 0 < memory < 1 << 26
        assert guest.read("/sys/fs/cgroup/task/lives/pids.max") == b"64\n"
        guest.window(number, 0, EVERYTHING)
        guest.send(SIGNAL, number, bytes([signal.SIGTERM]))
        assert guest.end(number) == (5, "up\n")
        guest.end(guest.run("crun", "delete", "lives"))


def test_a_container_that_cannot_be_made_ends_with_the_command_s_code(guest: Connection) -> None:
    number = start(guest, "fails", "/bin/not-there")
    code, output = guest.end(number)
    assert code == 1 and "not-there" in output and guest.told[number].pid is None
    number = guest.run("/run/no-pid", SHELL, "true", flags=CONTAINER)  # the command ends well and names nobody
    assert guest.end(number)[0] == 255
    number = guest.run("/run/wrong-pid", SHELL, "sh", "-c", "echo 2 > /run/wrong-pid", flags=CONTAINER)
    assert guest.end(number)[0] == 255  # a thread of the kernel is no child


def test_orphans_are_collected(guest: Connection) -> None:
    guest.shell("for one in 1 2 3; do (sleep 0.01 &); done")
    number = guest.run("/run/none", SHELL, "sh", "-c", "(sleep 0.05 &); sleep 0.3", flags=CONTAINER)
    guest.end(number)
    states = guest.shell("sleep 0.2; cat /proc/[0-9]*/stat")
    assert not [line for line in states.splitlines() if " Z " in line]


def test_disks_are_found_by_their_serial(guest: Connection) -> None:
    for image in (9, 2):
        assert guest.mount(f"serial:image-{image}", f"/run/by/serial/{image}", "erofs", flags=MS_RDONLY) is None
        assert guest.read(f"/run/by/serial/{image}/which") == f"image {image}\n".encode()
    assert guest.mount("serial:image-10", "/run/by/none", "erofs") == 19  # ENODEV
    assert guest.mount("serial:", "/run/by/none", "erofs") == 19
    assert guest.mount("tmpfs", "/run/by/tmp", "tmpfs", "size=64k,mode=700") is None
    assert "size=64k,mode=700" in guest.read("/proc/mounts").decode()
    assert guest.mount("tmpfs", "/run/by/tmp", "no-such-type") == 19
    assert guest.mount("/run/by/serial/9/which", "/run/by/file", flags=MS_BIND) is None  # over a file that was made
    assert guest.read("/run/by/file") == b"image 9\n"


def test_netlink_gives_the_kernel_s_answer(guest: Connection) -> None:
    """`lo` gets up and an address; the second time it is there already."""
    up = struct.pack("<BBHiII", 0, 0, 0, 1, 1, 1)
    guest.done(NETLINK, struct.pack("<IHHII", 16 + len(up), 16, 5, 1, 0) + up)
    local = struct.pack("<HH", 8, 2) + socket.inet_aton("10.9.8.7")
    address = struct.pack("<BBBBI", socket.AF_INET, 32, 0, 0, 1) + local
    message = struct.pack("<IHHII", 16 + len(address), 20, 0x605, 2, 0) + address  # request, ack, create, exclusively
    guest.done(NETLINK, message)
    assert guest.ask(NETLINK, message).errno == 17  # EEXIST
    assert b"10.9.8.7" in guest.read("/proc/net/fib_trie")
    assert guest.shell("ping -c 1 -W 5 10.9.8.7 > /dev/null && echo up") == "up\n"


def test_files_are_written_whole_and_in_parts(guest: Connection) -> None:
    content = os.urandom(200_000)
    guest.file("/run/disk/large", content, 0o640)
    found = guest.shell("sha256sum < /run/disk/large; stat -c '%a %u %g' /run/disk/large").split()
    assert found[0] == hashlib.sha256(content).hexdigest()
    assert found[-3:] == ["640", "0", "0"]
    guest.file("/run/disk/large", b"short")  # whole again: what was longer is gone
    guest.file("/run/disk/large", b" and more", more=True)
    assert guest.read("/run/disk/large") == b"short and more"
    guest.done(FILE, struct.pack("<IIIB", 0o4755, 7, 8, 0) + words("/run/disk/owned") + b"x")
    guest.done(DIRECTORY, struct.pack("<III", 0o1777, 7, 8) + words("/run/disk/a/b/c"))
    stat = guest.shell("stat -c '%a %u %g' /run/disk/owned /run/disk/a/b/c /run/disk/a")
    assert stat == "4755 7 8\n1777 7 8\n755 0 0\n"
    guest.done(DIRECTORY, struct.pack("<III", 0o700, 0, 0) + words("/run/disk/a/b/c"))
    assert guest.ask(DIRECTORY, struct.pack("<III", 0o700, 0, 0) + words("/run/disk/owned")).errno == 20  # ENOTDIR
    assert guest.shell("stat -c '%a' /run/disk/a/b/c") == "1777\n"  # it was there


def test_files_of_the_kernel_are_written_and_read(guest: Connection) -> None:
    guest.file("/proc/sys/net/ipv4/ip_local_port_range", b"20000 30000\n")
    assert guest.read("/proc/sys/net/ipv4/ip_local_port_range") == b"20000\t30000\n"
    guest.file("/sys/fs/cgroup/task/memory.high", b"100M\n")
    assert guest.read("/sys/fs/cgroup/task/memory.high") == b"104857600\n"
    bad = struct.pack("<IIIB", 0o600, 0, 0, 0) + words("/sys/fs/cgroup/task/memory.high") + b"much\n"
    assert guest.ask(FILE, bad).errno == 22
    guest.file("/sys/fs/cgroup/task/memory.high", b"max\n")
    assert b"memory" in guest.read("/sys/fs/cgroup/cgroup.controllers")
    assert len(guest.read("/run/image-0/bin/busybox")) == 32759  # a part, and no more
    assert guest.ask(READ, words("/run")).errno == 21  # EISDIR


def random_bytes(guest: Connection) -> str:
    return guest.shell("head -c 32 /dev/urandom | sha256sum")


def test_a_saved_guest_is_restored_over_ten_images(build: Path, scratch: Path, disks: list[str]) -> None:
    memory, state = scratch / "saved-memory", scratch / "state"
    disks = [*disks[:IMAGES], make_disk(scratch / "restored-disk")]  # the other is the booted machine's
    saved = Machine(build, scratch / "saved", no_disks(), memory)
    try:
        with saved.connection() as guest:
            assert guest.end(guest.run("crun", "--version"))[0] == 0
            saved.save(state)
    finally:
        saved.end()
    seen = []
    for name in ("first", "second"):
        restored = Machine(build, scratch / name, disks, memory, restored=True)
        try:
            restored.restore(state)
            with restored.connection() as guest:
                seen.append(check_restored(guest, disks, given=name == "second"))
        finally:
            restored.end()
    assert seen[0] != seen[1]


def check_restored(guest: Connection, disks: list[str], *, given: bool) -> str:
    """What its generator gives."""
    guest.done(CLOCK, struct.pack("<QI", THEN_S, 0))
    guest.done(ENTROPY, os.urandom(64))
    guest.done(DISKS)
    set_up(guest)
    assert 0 <= int(guest.shell("date +%s")) - THEN_S < WAIT_S
    found = guest.shell('for disk in /sys/block/*; do echo "$(cat $disk/serial) $(cat $disk/size)"; done').splitlines()
    for number, disk in enumerate(disks):
        name = f"image-{number}" if number < IMAGES else "disk"
        assert f"{name} {Path(disk.removeprefix('file=')).stat().st_size // 512}" in found, (name, found)
    number = start(guest, f"restored-{given}", "/bin/cat", "/which", image=3)
    assert guest.end(number) == (0, "image 3\n")
    return random_bytes(guest)
