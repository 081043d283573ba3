"""What Firecracker is told: the jailer's words, the calls and their order, taken or refused by a scripted peer."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.sandbox.microvm import firecracker, firecracker_command
from neargate.sandbox.microvm.connection import dial
from neargate.sandbox.microvm.firecracker_api import Api, Call, fault, request
from neargate.sandbox.microvm.firecracker_command import FirecrackerProgram, JailedInterface
from neargate.sandbox.microvm.vmm import MachineDisk, MachineRefused, MachineSpec, MachineStuck
from neargate.testing import fake_firecracker
from neargate.testing.fake_firecracker import FakeFirecracker
from neargate.world import OsWorld, within

SPEC = MachineSpec(
    machine_id="task-1",
    vcpus=2,
    memory_mib=512,
    kernel="/guest/vmlinux",
    initramfs="/guest/initramfs.cpio",
    tools="/guest/tools.erofs",
    disks=(
        MachineDisk(serial="image-0", path="/images/a.erofs", read_only=True),
        MachineDisk(serial="disk", path="/disks/task-1.img", read_only=False),
    ),
    mac="02:00:00:00:00:01",
    directory="/run/machines/task-1",
    cgroup_path="/neargate/task-1",
    accelerator="kvm",
)
TAP = JailedInterface(namespace="/run/netns/ng-task-1", name="tap0")
PROGRAM = FirecrackerProgram(path="/opt/firecracker", jailer="/opt/jailer", version="v1.14.0", identity="1")
WAIT_S = 20.0
QUICK_S = 0.2


class Peer:
    """A scripted Firecracker behind its socket, with the files that a jail has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "disks").mkdir()
        for name in ("kernel", "initramfs", "disks/0", "disks/1", "disks/2"):
            (root / name).touch()
        self.ports: list[asyncio.Server] = []
        self.fake = FakeFirecracker(root, self._listen)
        self.api = Api(OsWorld(), lambda: dial(str(root), "api.sock"))

    async def _listen(self, path: str) -> None:
        self.ports.append(await fake_firecracker.serve_vsock(path, firecracker_command.GUEST_PORT))

    async def ask(self, *calls: Call) -> None:
        for call in calls:
            await self.api.ask(call, timeout_s=WAIT_S)


def play(root: Path, story: Callable[[Peer], Awaitable[None]]) -> None:
    async def run() -> None:
        peer = Peer(root)
        async with await fake_firecracker.serve(peer.fake, str(root / "api.sock")):
            await story(peer)
            for port in peer.ports:
                port.close()

    asyncio.run(run())


BOOT = firecracker_command.boot_calls(SPEC, TAP)
RESTORE = firecracker_command.restore_calls(SPEC, TAP)


def test_the_calls_of_a_boot_are_taken_in_their_order(tmp_path: Path) -> None:
    async def story(peer: Peer) -> None:
        await peer.ask(*BOOT)
        assert peer.fake.state == "Running"
        assert peer.fake.calls == [
            "PUT /machine-config",
            "PUT /boot-source",
            "PUT /drives/tools",
            "PUT /drives/image_0",
            "PUT /drives/disk",
            "PUT /network-interfaces/eth0",
            "PUT /vsock",
            "PUT /entropy",
            "PUT /actions",
        ]
        assert {name: drive.is_read_only for name, drive in peer.fake.drives.items()} == {
            "tools": True,
            "image_0": True,
            "disk": False,
        }
        assert b"Running" in await peer.api.ask(Call(method="GET", path="/"), timeout_s=WAIT_S)

    play(tmp_path, story)


def test_what_comes_in_the_wrong_order_is_refused_in_firecrackers_words(tmp_path: Path) -> None:
    async def story(peer: Peer) -> None:
        with pytest.raises(MachineRefused, match="without kernel configuration"):
            await peer.ask(BOOT[-1])
        for early in (firecracker_command.state_call("Paused"), firecracker_command.save_call(), RESTORE[1]):
            with pytest.raises(MachineRefused, match="not supported before starting the microVM"):
                await peer.ask(early)
        await peer.ask(*BOOT)
        for late in (*BOOT, RESTORE[0]):
            with pytest.raises(MachineRefused, match="not supported after starting the microVM"):
                await peer.ask(late)
        with pytest.raises(MachineRefused, match="not paused"):
            await peer.ask(firecracker_command.save_call())
        with pytest.raises(MachineRefused, match="Invalid request method and/or path: PUT /reboot"):
            await peer.ask(Call(method="PUT", path="/reboot", body={}))

    play(tmp_path, story)


def test_a_saved_machine_is_loaded_into_a_fresh_process_alone_and_its_disks_are_opened_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()

    async def save(peer: Peer) -> None:
        await peer.ask(*BOOT, firecracker_command.state_call("Paused"), firecracker_command.save_call())
        (first / "saved-state").rename(second / "state")
        (first / "saved-memory").rename(second / "memory")

    async def load(peer: Peer) -> None:
        await peer.ask(*RESTORE)
        assert peer.fake.state == "Running"
        assert peer.fake.calls[1:-1] == ["PATCH /drives/tools", "PATCH /drives/image_0", "PATCH /drives/disk"]
        assert (second / "channel.sock").is_socket()

    async def late(peer: Peer) -> None:
        await peer.ask(BOOT[0])
        with pytest.raises(MachineRefused, match="not allowed after configuring"):
            await peer.ask(RESTORE[0])

    play(first, save)
    play(second, load)
    third = tmp_path / "third"
    third.mkdir()
    play(third, late)


def test_a_file_that_is_not_in_the_jail_is_refused_with_its_name(tmp_path: Path) -> None:
    async def story(peer: Peer) -> None:
        (tmp_path / "disks/1").unlink()
        with pytest.raises(MachineRefused, match="/disks/1: No such file"):
            await peer.ask(*BOOT)

    play(tmp_path, story)


def test_the_channel_is_the_guests_once_the_handshake_is_done(tmp_path: Path) -> None:
    async def story(peer: Peer) -> None:
        await peer.ask(*BOOT)
        connection = dial(str(tmp_path), firecracker_command.CHANNEL_SOCKET)
        with connection:
            await within(WAIT_S, firecracker._shaken_hands(connection))
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(connection, b"a frame")
            assert await within(WAIT_S, loop.sock_recv(connection, 100)) == b"a frame"

    play(tmp_path, story)


@pytest.mark.parametrize(
    "said", [b"", b"OK\n", b"OK 1", b"OK -1\n", b"NO 1\n", b"\n", b"O" * 100, b"OK 1\r\n", b"OK 12345678901\n"]
)
def test_a_handshake_that_is_answered_otherwise_is_none(said: bytes) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            theirs.sendall(said)
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(OSError):  # noqa: PT011  whatever the words
                await within(WAIT_S, firecracker._shaken_hands(ours))
            assert theirs.recv(100) == b"CONNECT 52\n"
            theirs.close()

    asyncio.run(run())


def test_not_a_byte_of_the_guests_is_taken_for_the_handshakes() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            theirs.sendall(b"OK 1073741824\nthe guest's first words")
            await within(WAIT_S, firecracker._shaken_hands(ours))
            assert ours.recv(100) == b"the guest's first words"

    asyncio.run(run())


HOSTILE = {
    "says nothing and hangs up": b"",
    "says no HTTP": b"SSH-2.0-x\r\n\r\n",
    "has an endless head": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4000,
    "has a body that is too long": b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n",
    "hangs up in its body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    "has a status that is none": b"HTTP/1.1 999 OK\r\n\r\n",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_that_is_none_is_one_error(answer: bytes) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(WAIT_S)
        api = Api(OsWorld(), lambda: ours)
        asked = asyncio.ensure_future(api.ask(BOOT[0], timeout_s=WAIT_S))
        await asyncio.to_thread(theirs.recv, 65536)
        await asyncio.to_thread(_say, theirs, answer)
        with pytest.raises(MachineStuck):
            await asked
        assert ours.fileno() == -1, "closed"

    asyncio.run(run())


def _say(theirs: socket.socket, answer: bytes) -> None:
    try:
        theirs.sendall(answer)
    except OSError:
        pass  # it has heard enough
    theirs.close()


def test_who_does_not_answer_is_not_waited_for_longer_than_was_said() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, pytest.raises(MachineStuck, match="does not answer /machine-config"):
            await Api(OsWorld(), lambda: ours).ask(BOOT[0], timeout_s=QUICK_S)

    asyncio.run(run())


def test_a_strangers_words_are_shown_printable_and_bounded() -> None:
    assert fault(b'{"fault_message":"no\\u001b[2J such\\u0000 file"}') == "no [2J such  file"
    assert len(fault(b'{"fault_message":"' + b"x" * 100_000 + b'"}')) <= 300
    assert fault(b"[" * 100_000) == fault(b"\xff") == fault(b"[]") == ""


def test_a_request_is_laid_out_as_http_says() -> None:
    assert request(Call(method="PUT", path="/entropy", body={})) == (
        b"PUT /entropy HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_the_jailer_is_told_where_and_as_whom_and_makes_no_cgroup() -> None:
    place = Path(SPEC.directory)
    words = firecracker_command.jailer(PROGRAM, SPEC, uid=1234, place=place, interface=TAP, written_bytes=1 << 30)
    assert words == (
        "/opt/jailer", "--id", "task-1", "--exec-file", "/opt/firecracker", "--uid", "1234", "--gid", "1234",
        "--cgroup-version", "2", "--chroot-base-dir", "/run/machines/task-1/jail",
        "--netns", "/run/netns/ng-task-1",
        "--resource-limit", "fsize=1073741824", "--resource-limit", "no-file=512",
        "--", "--api-sock", "/api.sock",
    )  # fmt: skip
    root = firecracker_command.jail_root(place, PROGRAM, "task-1")
    assert str(root) == "/run/machines/task-1/jail/firecracker/task-1/root"


@pytest.mark.parametrize(
    ("changed", "interface", "words"),
    [
        ({"accelerator": "tcg"}, TAP, "KVM alone"),
        ({"vcpus": 33}, TAP, "more than the 32"),
        ({"disks": (MachineDisk(serial="image-0", path="", read_only=True),)}, TAP, "a disk without a file"),
        ({}, None, "by its name"),
        ({}, JailedInterface(namespace="/x", name="../../etc"), "no name of an interface"),
        ({"mac": "02:00:00:00:00:01 x"}, TAP, "no MAC"),
    ],
)
def test_what_firecracker_cannot_make_is_refused(
    changed: dict[str, object], interface: JailedInterface | None, words: str
) -> None:
    with pytest.raises(MachineRefused, match=words):
        firecracker_command.check(replace(SPEC, **changed), interface)
    firecracker_command.check(SPEC, TAP)


def test_a_snapshot_is_of_one_kind_of_machine() -> None:
    told = firecracker_command.key(SPEC, PROGRAM, ("k", "i", "t"))
    assert told == firecracker_command.key(replace(SPEC, machine_id="task-2", directory="/x"), PROGRAM, ("k", "i", "t"))
    others = [
        firecracker_command.key(replace(SPEC, memory_mib=1024), PROGRAM, ("k", "i", "t")),
        firecracker_command.key(replace(SPEC, disks=SPEC.disks[:1]), PROGRAM, ("k", "i", "t")),
        firecracker_command.key(replace(SPEC, mac=None), PROGRAM, ("k", "i", "t")),
        firecracker_command.key(SPEC, replace(PROGRAM, version="v1.15.0"), ("k", "i", "t")),
        firecracker_command.key(SPEC, PROGRAM, ("k", "i", "u")),
    ]
    assert told not in others and len(set(others)) == len(others)
