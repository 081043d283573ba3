"""Tasks in user namespaces, for real: who they are on the host, whose files are whose, and what works as without."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet.disks import LinuxDisks
from neargate.hostnet.mounts import is_mounted
from neargate.hostnet.network import LinuxNetwork
from neargate.hostnet.task_namespaces import NO_USERS_NOTE, TRIAL
from neargate.hostnet.user_namespaces import CLAIMS, UserNamespaces
from neargate.interfaces.hostnet import TWINS, TaskNetwork
from neargate.interfaces.sandbox import BindMount, ContainerConfig, SandboxError
from neargate.model.host_ids import IDS, UserNamespace
from neargate.model.launch import Ulimit
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.user_namespace_trial import NAME, why_no_user_namespaces
from neargate.testing.container_rig import ContainerRig
from neargate.testing.netlab import NetLab, eni, plan
from neargate.testing.oci_image import Entry, build_image, build_layer, busybox_layer
from neargate.world import OsWorld

from .engine_waits import stopped
from .own_network import Run

pytestmark = pytest.mark.root

PINGED = "ping -c 1 -W 2 127.0.0.1 > /dev/null; echo $?"
# By user 1000 of a task's namespaces: argv has their paths. The kernel lets only a process of one thread in.
PING_SOCKET = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
for path in sys.argv[1:]:
    assert libc.setns(os.open(path, os.O_RDONLY), 0) == 0, path
os.setgroups([])
os.setresgid(1000, 1000, 1000)
os.setresuid(1000, 1000, 1000)
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
except PermissionError:
    print("refused")
else:
    print("made")
"""
PEOPLE = b"root:x:0:0::/root:/bin/sh\nweb:x:1000:1000::/:/bin/sh\nlast:x:65534:65534::/:/bin/sh\n"


@pytest.fixture(scope="module")
def rig() -> Iterator[ContainerRig]:
    with closing(ContainerRig(user_namespaces=True)) as rig:
        yield rig


@pytest.fixture(scope="module")
def reference(rig: ContainerRig) -> str:
    """Of many owners, one of whom has an id that no task has here."""
    entries = [
        Entry(path="etc/passwd", content=PEOPLE),
        Entry(path="srv/web", content=b"web\n", mode=0o600, uid=1000, gid=1000),
        Entry(path="srv/last", content=b"last\n", mode=0o600, uid=65533, gid=65532),
        Entry(path="srv/beyond", content=b"beyond\n", mode=0o644, uid=100000, gid=100000),
        Entry(path="tools/ping", content=Path("/bin/busybox").read_bytes(), mode=0o4755),
    ]
    return rig.push("owners", build_image([busybox_layer(), build_layer(entries)]))


def said(rig: ContainerRig, reference: str, script: str, **fields: Any) -> list[str]:
    return rig.run(lambda engine: say(rig, engine, reference, script, **fields))


async def say(rig: ContainerRig, engine: ContainerdSandbox, reference: str, script: str, **fields: Any) -> list[str]:
    """The lines that a shell script prints in a container of its own."""
    config = await begun(rig, engine, reference, script, **fields)
    state = await stopped(engine, config.runtime_id)
    await engine.delete_container(config.runtime_id)
    assert state.exit_code == 0, rig.log(config)
    return rig.log(config).splitlines()


async def begun(
    rig: ContainerRig, engine: ContainerdSandbox, reference: str, script: str, **fields: Any
) -> ContainerConfig:
    config = rig.config(await rig.pull(engine, reference), "sh", "-c", script, **fields)
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    return config


def ids(pid: int, kind: str) -> set[int]:
    """Uid or Gid of a process as the host sees it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(word) for line in lines if line.startswith(f"{kind}:") for word in line.split()[1:]}


def maps_of(pid: int) -> list[list[str]]:
    return [Path(f"/proc/{pid}/{name}").read_text().split() for name in ("uid_map", "gid_map")]


def owners(directory: str) -> dict[str, int]:
    """Of the files in its directories, as the host sees them."""
    return {path.name: path.stat().st_uid for path in Path(directory).glob("[!uwm]*/*")}


def half_made_and_mounted_twice(disk: str) -> None:
    """Beside a disk."""
    half, twin = (Path(f"{disk}{suffix}") for suffix in TWINS)
    for directory in (half, twin):
        directory.mkdir()
    for _ in range(2):
        subprocess.run(["mount", "--bind", disk, twin], check=True)


def mounts_below(directory: Path) -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


def test_root_of_a_task_is_nobody_of_the_host_and_no_other_task(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        both = [await begun(rig, engine, reference, "sleep 1000", user=user) for user in ("", "last")]
        firsts = []
        for config, inside in zip(both, (0, 65534), strict=True):
            state = await engine.get_container(config.runtime_id)
            assert state is not None and state.pid is not None and config.user_namespace is not None
            first = config.user_namespace.first
            assert ids(state.pid, "Uid") == ids(state.pid, "Gid") == {first + inside}
            assert maps_of(state.pid) == [["0", str(first), str(IDS)]] * 2, "root of the host is none of its users"
            run = await engine.exec(config.runtime_id, "look", ("id", "-u"), timeout_s=10)
            assert int(run.output) == inside, "an executed command is its user, too"
            firsts.append(first)
        assert abs(firsts[0] - firsts[1]) >= IDS
        for config in both:
            await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_files_of_an_image_have_the_owners_that_it_says(rig: ContainerRig, reference: str) -> None:
    script = "stat -c '%n %u:%g' /srv/* /etc /; cat /srv/beyond; ln /srv/last /srv/x; cat /srv/x"
    lines = said(rig, reference, script, user="0")
    assert lines[:5] == ["/srv/beyond 65534:65534", "/srv/last 65533:65532", "/srv/web 1000:1000", "/etc 0:0", "/ 0:0"]
    assert lines[5:] == ["beyond", "last"]
    # Its network has no address: who may make the socket hears so, and who may not that he may not.
    pings = "for ping in /bin/ping /tools/ping; do $ping -c 1 127.0.0.1 2>&1 | grep -c denied; done"
    script = f"cat /srv/web 2>&1; {pings}; true"
    assert said(rig, reference, script, user="4711") == ["cat: can't open '/srv/web': Permission denied", "1", "0"]


def test_what_a_task_writes_is_on_its_disk_as_it_says(rig: ContainerRig, reference: str) -> None:
    """So that the host's own work there needs no arithmetic, and a file given to root is nobody's outside."""

    async def story(engine: ContainerdSandbox) -> None:
        disk = rig.made("written")
        for name, owner in (("shared", 0), ("given", 1000)):
            os.makedirs(os.path.join(disk, name), mode=0o755)
            os.chown(os.path.join(disk, name), owner, owner)
        mounts = tuple(BindMount(source=os.path.join(disk, name), target=f"/{name}") for name in ("shared", "given"))
        fields: dict[str, Any] = {"disk_path": disk, "task_id": "writes", "mounts": mounts}
        tool = "cp /bin/busybox /shared/touch; chown web:web /shared/touch; chmod 4755 /shared/touch"
        script = f"echo x > /shared/roots; {tool}"
        assert await say(rig, engine, reference, script, name="one", **fields) == []
        script = "stat -c '%n %u:%g %a' /shared/* /given; echo y > /given/own; /shared/touch /given/tools; id -u"
        lines = await say(rig, engine, reference, script, name="two", user="web", readonly_root=True, **fields)
        assert lines == ["/shared/roots 0:0 644", "/shared/touch 1000:1000 4755", "/given 1000:1000 755", "1000"]
        assert owners(disk) == {"roots": 0, "touch": 1000, "own": 1000, "tools": 1000}
        kept = tuple(replace(mount, read_only=True) for mount in mounts)
        script = "cat /shared/roots; touch /given/more 2>&1 | grep -c ead-only"
        assert await say(rig, engine, reference, script, name="reads", **fields | {"mounts": kept}) == ["x", "1"]
        script = "chown 65536 /shared/roots 2>&1; mknod /shared/null c 1 3 2>&1; mkdir -p /etc/new; stat -c %u /etc/new"
        lines = await say(rig, engine, reference, script, name="three", **fields)
        assert "Invalid argument" in lines[0] and "not permitted" in lines[1] and lines[2] == "0"

    rig.run(story)


def test_a_secret_in_memory_is_its_users_alone(rig: ContainerRig, reference: str) -> None:
    secret = Path(rig.made("memory")) / "0-0"
    secret.write_text("secret\n")
    secret.chmod(0o400)
    mount = BindMount(source=str(secret), target="/run/key", read_only=True, is_data=True, is_private=True)
    script = "cat /run/key; stat -c %u:%g /run/key"
    assert said(rig, reference, script, mounts=(mount,), user="web") == ["secret", "1000:1000"]
    assert said(
        rig, reference, "cat /run/key 2>&1 || true", mounts=(replace(mount, is_private=False),), user="4711"
    ) == ["cat: can't open '/run/key': Permission denied"]


def test_output_is_opened_again_by_its_name(rig: ContainerRig, reference: str) -> None:
    """As web servers do whose log files are links to it; by exec too, and after a restart."""

    async def story(engine: ContainerdSandbox) -> None:
        for user in ("", "web"):
            script = "echo one > /proc/1/fd/1; echo two > /dev/stdout; sleep 1000"
            config = await begun(rig, engine, reference, script, user=user, may_restart=True)
            await logged(rig, config, ["one", "two"])
            done = await engine.exec(config.runtime_id, "say", ("sh", "-c", "echo x > /proc/1/fd/1"), timeout_s=10)
            assert done.exit_code == 0, done.output
            await engine.kill_container(config.runtime_id, 9)
            await stopped(engine, config.runtime_id)
            await engine.restart_container(config.runtime_id)
            await logged(rig, config, ["one", "two", "x", "one", "two"])
            await engine.delete_container(config.runtime_id)

    rig.run(story)


async def logged(rig: ContainerRig, config: ContainerConfig, lines: list[str]) -> None:
    for _ in range(400):
        if rig.log(config).splitlines() == lines:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(rig.log(config))


def test_a_user_beyond_the_range_is_told_so(rig: ContainerRig, reference: str) -> None:
    with pytest.raises(SandboxError) as caught:
        said(rig, reference, "true", user="65536")
    assert caught.value.reason.startswith("CannotStartContainerError: ")
    assert (
        "unable to start container process: 65536 is none of a task's 65536 ids, which is all that tasks have on this "
        "host (--user-namespaces)"
    ) in caught.value.reason


def test_limits_and_ports_are_those_of_any_task(rig: ContainerRig, reference: str) -> None:
    limits = (Ulimit(name="nofile", soft=1024, hard=4096),)
    bound = "(timeout 1 nc -l -p 80; test $? = 143; echo $?) 2>/dev/null"
    script = f"ulimit -n; ulimit -Hn; {bound}; grep CapBnd /proc/self/status"
    lines = said(rig, reference, script, ulimits=limits)
    assert lines[:3] == ["1024", "4096", "0"] and lines[3].split() == ["CapBnd:", "00000000a80425fb"]
    assert int(said(rig, reference, "mount -t tmpfs none /tmp 2>/dev/null; echo $?")[0]) != 0


def test_the_network_belongs_to_the_tasks_users(rig: ContainerRig, reference: str, run: Run) -> None:
    """Its parameters, raw and ping sockets: as with a network of the host's."""

    async def scenario(lab: NetLab) -> None:
        await lab.network.close()
        lab.network = in_user_namespaces(lab)
        await lab.network.start()
        await lab.network.apply_vpc(plan(1))
        first, second = [await lab.attach(f"t{number}", eni(number + 4)) for number in range(2)]
        assert first.user_namespace is not None and second.user_namespace is not None
        assert abs(first.user_namespace.first - second.user_namespace.first) >= IDS
        controls = (("net.ipv4.ping_group_range", "0 2147483647"), ("net.core.somaxconn", "77"))
        await lab.network.set_controls("t0", controls)
        script = (
            "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ping_group_range; "
            "ls /sys/class/net; ip route | head -1; "
            "(echo 1 > /proc/sys/net/core/somaxconn) 2>&1 | grep -c ead-only"
        )
        for user in ("0", "web"):
            lines = await asyncio.to_thread(said, rig, reference, script, **of_network(first), user=user)
            assert lines[:4] == ["77", "0\t65535", "eth0", "lo"]
            assert lines[4].startswith("default via 172.31.0.1 dev eth0") and lines[5] == "1"
        assert await asyncio.to_thread(said, rig, reference, PINGED, **of_network(first)) == ["0"], "a raw socket"
        assert [makes_ping_socket(network) for network in (first, second)] == [True, False]
        await lab.restart()
        assert await lab.network.list_tasks() == [first, second], "an agent that comes later finds them as they are"
        later = await lab.attach("t2", eni(6))
        assert later.user_namespace is None, "without a word of them it gives none"
        claims = {path: os.readlink(path) for path in CLAIMS.iterdir() if str(lab.directory) in os.readlink(path)}
        assert len(claims) == 2
        await lab.network.detach_eni("t0")
        await lab.network.detach_eni("t0")
        assert [path for path in claims if path.is_symlink()] == [
            path for path, holder in claims.items() if holder.endswith("t1")
        ]
        assert [path.name.partition(".")[0] for path in (lab.directory / "userns").iterdir()] == ["task-t1"] * 3
        await lab.network.remove_all()
        assert not any(path.is_symlink() for path in claims) and not (lab.directory / "userns").exists()

    run(scenario)


def makes_ping_socket(network: TaskNetwork) -> bool:
    assert network.user_namespace is not None
    argv = [sys.executable, "-c", PING_SOCKET, network.user_namespace.path, network.netns_path]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return {"made\n": True, "refused\n": False}[done.stdout]


def in_user_namespaces(lab: NetLab, reason: str | None = None) -> LinuxNetwork:
    async def against(users: UserNamespace, netns_path: str) -> str | None:
        assert is_mounted(Path(users.path)) and is_mounted(Path(netns_path))
        return reason

    made = lab.another_agent()
    made._against_users = against
    return made


def test_where_a_trial_fails_tasks_run_as_without(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.close()
        lab.network = in_user_namespaces(lab, "crun: too old")
        await lab.network.start()
        await lab.network.apply_vpc(plan(1))
        assert (await lab.attach("t0", eni(4))).user_namespace is None
        assert not any((lab.directory / "userns").iterdir()), "nothing is left of the trial"
        assert not (lab.directory / "netns" / TRIAL).exists()
        assert (lab.directory / NO_USERS_NOTE).read_text() == "crun: too old"

    run(scenario)


def of_network(network: TaskNetwork) -> dict[str, Any]:
    return {
        "task_id": network.task_id,
        "netns_path": network.netns_path,
        "user_namespace": network.user_namespace,
    }


@pytest.fixture
def task_users(tmp_path: Path) -> Iterator[tuple[UserNamespace, str]]:
    """A task's, and the path of its network's namespace."""
    users = UserNamespaces(tmp_path / "users", tmp_path / "claims")
    try:
        with users.made("task-a") as network:
            found = users.find("task-a")
            assert found is not None
            yield found, network
    finally:
        users.delete("task-a")


def test_a_trial_says_whether_this_machine_can(tmp_path: Path, task_users: tuple[UserNamespace, str]) -> None:
    (tmp_path / "run").mkdir()
    for directory in (tmp_path, *tmp_path.parents):
        assert directory.stat().st_mode & 0o001 or directory.chmod(0o711) is None
    users, network = task_users

    def trial(namespace: UserNamespace, netns_path: str) -> str | None:
        return why_no_user_namespaces(
            namespace,
            netns_path,
            run_dir=str(tmp_path / "run"),
            directory=str(tmp_path),
            cgroup_path=f"/neargate-test-trial-{os.getpid()}",
        )

    assert trial(users, network) is None
    # The kernel mounts it all the same, read-only, when root of the host has no place among the owners.
    assert "ead-only file system" in str(trial(replace(users, mounts_path=users.path), network))
    assert trial(users, "/proc/self/ns/net") is not None, "a network of the host's"
    assert not (tmp_path / NAME).exists() and not (tmp_path / "run" / NAME).exists()
    assert [line for line in mounts_below(tmp_path) if "/users/" not in line] == []


def test_twins_go_with_their_disk(tmp_path: Path) -> None:
    """Also one that was mounted twice, and what a kill left before it was mounted."""

    async def scenario() -> None:
        disks = LinuxDisks(OsWorld(), directory=tmp_path / "disks")
        disk = await disks.create_disk("task", 1)
        half_made_and_mounted_twice(disk.path)
        assert await disks.list_disks() == ["task"]
        await disks.delete_disk("task")
        assert await disks.list_disks() == [] and list((tmp_path / "disks" / "mnt").iterdir()) == []
        assert mounts_below(tmp_path) == []

    asyncio.run(scenario())
