"""What a guest's host asks of the machine: containers, disks, files, the network; and a guest that was saved."""

import hashlib
import json
import os
import signal
import socket
import struct
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
    IMAGES,
    KEPT,
    MS_BIND,
    MS_RDONLY,
    NETLINK,
    READ,
    SHELL,
    SIGNAL,
    WAIT_S,
    Connection,
    Machine,
    make_disk,
    no_disks,
    set_up,
    words,
)

THEN_S = 1_000_000_000  # a date that no clock shows by itself
CONTENT_MAX = 32759


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


def test_a_container_s_exit_code_is_the_stream_s(guest: Connection) -> None:
    number = start(guest, "exits", "/bin/sh", "-c", "cat /which; exit 7", image=1)
    assert guest.end(number) == (7, "image 1\n")
    assert (guest.told[number].pid or 0) > 1
    assert guest.end(guest.run("crun", "delete", "exits"))[0] == 0


# A shell takes the end of its child for itself, if it sees it: the first ends when its own has gone, and its command
# when the kernel alone knows of it; the second when its shell has become a program that asks for no child.
ORPHAN = """(sh -c 'while [ $PPID != 1 ] && [ -d /proc/$PPID ]; do :; done; exit 9' & echo $! > {0})
until grep -q '^State:.Z' /proc/$(cat {0})/status; do :; done"""
CHILD = "sh -c 'while grep -q while /proc/$PPID/cmdline; do :; done; exit 9' & echo $! > {0}; exec sleep 1"


@pytest.mark.parametrize("script", [ORPHAN, CHILD], ids=["orphan", "child"])
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


def test_a_saved_guest_is_restored_over_ten_images(
    guest_build: Path, guest_directory: Path, guest_disks: list[str]
) -> None:
    memory, state = guest_directory / "saved-memory", guest_directory / "state"
    disks = [*guest_disks[:IMAGES], make_disk(guest_directory / "restored-disk")]  # the other is the booted machine's
    saved = Machine(guest_build, guest_directory / "saved", no_disks(), memory)
    try:
        with saved.connection() as guest:
            assert guest.end(guest.run("crun", "--version"))[0] == 0
            saved.save(state)
    finally:
        saved.end()
    seen = []
    for name in ("first", "second"):
        restored = Machine(guest_build, guest_directory / name, disks, memory, restored=True)
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
