"""What a program that runs in a machine monitor's place can touch, held against what it may.

The program is a shell of a static busybox: what it sees from inside it says on a pipe, what it is says the host's
/proc.
"""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from neargate.sandbox.microvm import cgroup, confinement
from neargate.sandbox.microvm.confinement import ConfinedDevice, ConfinedFile, Plan
from neargate.sandbox.microvm.vmm import MachineRefused
from neargate.world import OsWorld

BUSYBOX = Path("/usr/bin/busybox")
CGROUPS = Path("/sys/fs/cgroup")
UID = 2_000_000_001
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")
# Says what it finds, then waits for a word on descriptor 4: meanwhile the host looks at it.
SCRIPT = """
b=/bin/busybox
look() {
$b find / | $b sort | $b sed 's/^/file /'
for f in $($b find / -type f) /new /dev/new; do ($b true >> $f) && echo writable $f; done
$b ip -o link | $b sed 's/^[0-9]*: *\\([^:]*\\):.*/interface \\1/'
$b id | $b sed 's/^/id /'
kill -0 $ONLY && echo sees another process
$b mount -t tmpfs none / && echo mounts
$b chroot / /bin/busybox true && echo chroots
$b mknod /dev/mem2 c 1 1 && echo makes devices
echo pid $$
echo end
}
look | $b cat >&3
read word <&4
"""


class Place:
    """A task's cgroup, a directory, and what was started there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = f"/neargate-vmm{OsWorld().random.getrandbits(24):06x}"
        self.cgroup_path = f"{self.name}/task"
        for root in self._roots():
            (root / self.cgroup_path[1:]).mkdir(parents=True)
        self.pid = 0
        self.ours: list[int] = []

    def plan(self, *, devices: tuple[ConfinedDevice, ...] = (), has_proc: bool = False) -> Plan:
        (self.directory / "base").mkdir()
        script, disk = self.directory / "script", self.directory / "disk"
        script.write_text(SCRIPT)
        script.chmod(0o644)
        disk.write_bytes(bytes(512))
        confinement.give(str(disk), UID)
        inside, self.said = self._pipe(writes=True)
        waits, self.word = self._pipe(writes=False)
        said_errors, self.errors = self._pipe(writes=True)
        return Plan(
            command=("/bin/busybox", "sh", "/script"),
            uid=UID,
            base=str(self.directory / "base"),
            files=(
                ConfinedFile(source=str(BUSYBOX), target="/bin/busybox", is_program=True),
                ConfinedFile(source=str(script), target="/script"),
                ConfinedFile(source=str(disk), target="/disks/0", is_writable=True),
            ),
            cgroups=tuple(str(path) for path in cgroup.join_paths(CGROUPS, self.cgroup_path)),
            descriptors=(inside, waits),
            errors=said_errors,
            limits={"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 64},
            devices=devices,
            has_proc=has_proc,
            environment={"ONLY": str(os.getpid())},
        )

    def start(self, plan: Plan) -> None:
        remembered: list[int] = []
        # Its output is descriptor 3; the shell has it from there.
        self.pid = confinement.launch(plan, remembered.append)
        assert remembered == [self.pid]
        self.close()

    def lines(self) -> list[str]:
        text = b""
        while not text.endswith(b"end\n"):
            more = os.read(self.said, 65536)
            assert more, (text, os.read(self.errors, 4096))
            text += more
        return text.decode().splitlines()

    def ended(self) -> int:
        os.write(self.word, b"go\n")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return status

    def close(self) -> None:
        while self.ours:
            os.close(self.ours.pop())

    def remove(self) -> None:
        self.close()
        while cgroup.kill(CGROUPS, self.cgroup_path):
            if self.pid:
                with suppress(ChildProcessError):  # the test has asked for its end
                    os.waitpid(self.pid, 0)
        cgroup.remove(CGROUPS, self.cgroup_path)
        for root in self._roots():
            (root / self.cgroup_path[1:]).rmdir()
            (root / self.name[1:]).rmdir()
        for descriptor in (self.said, self.word, self.errors) if hasattr(self, "said") else ():
            os.close(descriptor)

    def _pipe(self, *, writes: bool) -> tuple[int, int]:
        reader, writer = os.pipe()
        self.ours.append(writer if writes else reader)
        return (writer, reader) if writes else (reader, writer)

    def _roots(self) -> list[Path]:
        if (CGROUPS / "cgroup.controllers").exists():
            return [CGROUPS]
        return [CGROUPS / name for name in ("memory", "cpu", "pids")]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.remove()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.root
def test_it_sees_its_files_alone_and_writes_only_its_disk(place: Place) -> None:
    place.start(place.plan())
    said = place.lines()
    files = [line.removeprefix("file ") for line in said if line.startswith("file ")]
    assert files == ["/", "/bin", "/bin/busybox", "/disks", "/disks/0", "/script"]
    others = [line for line in said if not line.startswith("file ")]
    # No interface, though it has a loopback: it makes no socket to ask by.
    assert others == ["writable /disks/0", f"id uid={UID} gid={UID}", "pid 1", "end"]
    assert place.ended() == 0


@pytest.mark.root
def test_it_has_no_right_and_no_way_to_one(place: Place) -> None:
    ours = os.getgroups()
    os.setgroups([*ours, 4])
    try:
        place.start(place.plan())
    finally:
        os.setgroups(ours)
    place.lines()
    found = status(place.pid)
    assert found["Uid"].split() == [str(UID)] * 4
    assert found["Gid"].split() == [str(UID)] * 4
    assert found["Groups"] == ""
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[name], 16) == 0, name
    assert found["NoNewPrivs"] == "1"
    assert found["Umask"] == "0077"
    limits = Path(f"/proc/{place.pid}/limits").read_text()
    assert [line.split()[-3:-1] for line in limits.splitlines() if "core" in line] == [["0", "0"]]
    assert [line.split()[-3:-1] for line in limits.splitlines() if "open files" in line] == [["64", "64"]]
    assert Path(f"/proc/{place.pid}/environ").read_bytes() == f"ONLY={os.getpid()}\0".encode()
    assert Path(f"/proc/{place.pid}/oom_score_adj").read_text() == "0\n"


@pytest.mark.root
def test_it_shares_no_namespace_with_the_host_and_has_no_interface_but_a_loopback_that_is_down(place: Place) -> None:
    place.start(place.plan(has_proc=True))
    place.lines()
    for name in NAMESPACES:
        assert os.readlink(f"/proc/{place.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
    assert status(place.pid)["NSpid"].split() == [str(place.pid), "1"]
    devices = Path(f"/proc/{place.pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    assert Path(f"/proc/{place.pid}/net/fib_trie").read_text() == "", "lo is up"


@pytest.mark.root
def test_it_holds_only_the_descriptors_that_it_was_given(place: Place) -> None:
    other, peer = socket.socketpair()
    with other, peer:
        os.set_inheritable(other.fileno(), True)
        place.start(place.plan())
        place.lines()
        held = waiting_descriptors(place.pid)
    # While the shell waits for its word: 10 is its script, 11 the standard input that it goes back to.
    assert sorted(held) == [0, 1, 2, 3, 4, 10, 11], held
    assert [os.stat(f"/proc/{place.pid}/fd/{number}").st_rdev for number in (1, 11)] == [os.makedev(1, 3)] * 2
    assert held[10] == "/script"
    assert all(held[number].startswith("pipe:") for number in (2, 3, 4)) and held[0] == held[4]


def waiting_descriptors(pid: int) -> dict[int, str]:
    """Once the shell has come to its last line."""
    for _ in range(10_000):
        held = {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        if held.get(0) == held[4]:
            return held
        os.sched_yield()
    raise AssertionError(held)


@pytest.mark.root
def test_its_mounts_are_its_files_and_nothing_of_the_host(place: Place) -> None:
    place.start(place.plan(has_proc=True))
    said = place.lines()
    mounts = [line.split() for line in Path(f"/proc/{place.pid}/mountinfo").read_text().splitlines()]
    options = {mount[4]: set(mount[5].split(",")) for mount in mounts}
    assert set(options) == {"/", "/bin/busybox", "/disks/0", "/proc", "/script"}
    assert all({"nosuid", "nodev"} <= found for found in options.values()), options
    assert {path for path, found in options.items() if "rw" in found} == {"/disks/0"}
    assert {path for path, found in options.items() if "noexec" not in found} == {"/bin/busybox"}
    inside = {line.split("/")[2] for line in said if line.startswith("file /proc/")}
    assert not {name for name in inside if not name.isdecimal()} - {"self", "thread-self"}


@pytest.mark.root
def test_it_is_in_its_tasks_cgroup_before_it_begins(place: Place) -> None:
    plan = place.plan()
    seen: list[set[int]] = []
    pid = confinement.launch(plan, lambda _: seen.append(cgroup.processes(CGROUPS, place.cgroup_path)))
    place.pid = pid
    place.close()
    assert pid in seen[0]
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert {line.split(":", 2)[2] for line in lines} >= {f"{place.cgroup_path}/machine"}


@pytest.mark.root
def test_a_device_is_its_users_own(place: Place) -> None:
    place.start(place.plan(devices=(ConfinedDevice(target="/dev/null", major=1, minor=3),)))
    said = place.lines()
    assert "file /dev/null" in said
    node = os.stat(f"/proc/{place.pid}/root/dev/null")
    assert (node.st_uid, node.st_mode & 0o777, node.st_rdev) == (UID, 0o600, os.makedev(1, 3))
    os.close(os.open(f"/proc/{place.pid}/root/dev/null", os.O_RDWR))
    assert "makes devices" not in said


@pytest.mark.root
def test_an_agent_that_dies_before_it_knows_the_pid_leaves_nothing(place: Place) -> None:
    class Killed(OSError):
        pass

    def remember(pid: int) -> None:
        raise Killed(pid)

    with pytest.raises(Killed) as failure:
        confinement.launch(place.plan(), remember)
    with pytest.raises(ChildProcessError):  # it was ended and collected
        os.waitpid(failure.value.args[0], os.WNOHANG)
    assert cgroup.processes(CGROUPS, place.cgroup_path) == set()


@pytest.mark.root
def test_what_cannot_be_confined_is_refused_with_the_reason_and_never_run(place: Place) -> None:
    plan = place.plan()
    files = (*plan.files, ConfinedFile(source=str(place.directory / "absent"), target="/absent"))
    with pytest.raises(MachineRefused, match="absent"):
        confinement.launch(_with(plan, files=files), lambda _: None)
    with pytest.raises(MachineRefused, match="FileNotFoundError"):
        confinement.launch(_with(plan, command=("/bin/absent",)), lambda _: None)
    with pytest.raises(MachineRefused, match="cgroup"):
        confinement.launch(_with(plan, cgroups=("/sys/fs/cgroup/absent",)), lambda _: None)
    assert cgroup.processes(CGROUPS, place.cgroup_path) == set()


def _with(plan: Plan, **changed: object) -> Plan:
    values = {name: getattr(plan, name) for name in plan.__struct_fields__} | changed
    return Plan(**values)


@pytest.mark.root
def test_who_is_killed_by_the_cgroup_is_gone(place: Place) -> None:
    place.start(place.plan())
    place.lines()
    assert place.pid in cgroup.kill(CGROUPS, place.cgroup_path)
    _, status = os.waitpid(place.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert cgroup.kill(CGROUPS, place.cgroup_path) == set()


@pytest.mark.root
def test_a_disk_is_no_link_and_no_device(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"")
    (tmp_path / "link").symlink_to(disk)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "absent"):
        with pytest.raises(MachineRefused):
            confinement.give(str(tmp_path / name), UID)
    confinement.give(str(disk), UID)
    assert (disk.stat().st_uid, disk.stat().st_gid, disk.stat().st_mode & 0o777) == (UID, UID, 0o600)
