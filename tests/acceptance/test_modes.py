"""What other users of the machine see of a region: modes of everything it keeps, and who its processes are."""

import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from neargate.cli import processes

from .region import LiveRegion

SECRET = "a-password-in-an-environment-variable"
NOBODY = 65534


@pytest.fixture(scope="module")
def task(region: LiveRegion) -> Iterator[str]:
    """A running task with a secret in its environment, a volume, logs, and a standard input."""
    container = {
        "command": ["sh", "-c", f"echo {SECRET}; cp /bin/busybox /v/su; chmod 4755 /v/su; sleep 300"],
        "environment": [{"name": "PASSWORD", "value": SECRET}],
        "mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}],
        "logConfiguration": region.log_config("/test/modes"),
        "interactive": True,
        "stopTimeout": 2,
    }
    arn = region.run(region.register(container, volumes=[{"name": "v"}]))
    region.wait_status(arn, "RUNNING")
    yield arn
    region.stop(arn)
    region.wait_status(arn, "STOPPED")


def as_nobody(look: Callable[[str, list[str]], object], *arguments: str) -> list[str]:
    """What `look` finds in a process of an unprivileged user of this machine."""
    context = get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        found: list[str] = []
        for argument in arguments:
            look(argument, found)
        theirs.send(found)

    process = context.Process(target=child)
    process.start()
    assert ours.poll(30), "the look came to an end"
    found: list[str] = ours.recv()
    process.join(30)
    return found


def _readable(top: str, found: list[str]) -> None:
    """Every file that can be opened and every socket that can be connected to."""
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    with socket.socket(socket.AF_UNIX) as probe:
                        probe.connect(path)
                    found.append(path)
                elif stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb"):
                        found.append(path)
            except OSError:
                continue  # which is right


def _writable(top: str, found: list[str]) -> None:
    for directory, _, names in os.walk(top):
        found += [
            path for path in [directory, *(os.path.join(directory, n) for n in names)] if os.access(path, os.W_OK)
        ]


def test_other_users_read_nothing_but_what_is_public(region: LiveRegion, task: str) -> None:
    assert task
    found = as_nobody(_readable, str(region.paths.data), str(region.paths.run))
    names = sorted(os.path.basename(path) for path in found)
    # Options and pid files hold no secrets.
    public = ["agent.pid", "containerd.pid", "images.pid", "oci-runtime.json", "region.json"]
    assert names == sorted([*public, "server.pid", "up.pid"])
    assert not any(SECRET.encode() in Path(path).read_bytes() for path in found)


def test_other_users_write_nothing(region: LiveRegion, task: str) -> None:
    assert task
    assert as_nobody(_writable, str(region.paths.data), str(region.paths.run)) == []


def test_sockets_databases_and_keys_are_their_owners_alone(region: LiveRegion) -> None:
    paths = region.paths
    owner = pwd.getpwnam("neargate").pw_uid
    private = [paths.link_socket, paths.admin_socket, paths.administrator, *paths.databases.iterdir()]
    for path in private:
        facts = path.stat()
        assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o600, owner), path
    closed = dict.fromkeys((paths.databases, paths.images, paths.server_run), owner)
    closed |= dict.fromkeys((paths.agent, paths.disks, paths.containerd, paths.logs), 0)
    for path, user in closed.items():
        facts = path.stat()
        assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o700, user), path
    # What root opens by name lies in directories that only root can change.
    for path in (paths.data, paths.run, paths.run.parent):
        assert path.stat().st_uid == 0 and not path.stat().st_mode & 0o022, path


def status_of(region: LiveRegion, name: str) -> dict[str, str]:
    """`databases`: the process that writes them, which is the server's only child."""
    running = processes.find(region.paths.pid_file("server" if name == "databases" else name))
    assert running is not None, f"{name} runs"
    pid = str(running.pid)
    if name == "databases":
        [pid] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("name", ["server", "databases", "images"])
def test_what_answers_callers_has_no_privileges_and_can_gain_none(region: LiveRegion, name: str) -> None:
    status = status_of(region, name)
    user = pwd.getpwnam("neargate")
    assert status["Uid"].split() == [str(user.pw_uid)] * 4
    assert status["Gid"].split() == [str(user.pw_gid)] * 4
    assert status["Groups"] == ""
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Umask"] == "0077"
    assert user.pw_shell.endswith("nologin") and user.pw_uid < 1000


@pytest.mark.parametrize("name", ["server", "agent"])
def test_open_files_are_as_many_as_root_lets_there_be(region: LiveRegion, name: str) -> None:
    """Not as many as the shell had that typed `neargate up`: 1024, where a task may open that many connections."""
    running = processes.find(region.paths.pid_file(name))
    assert running is not None
    limits = Path(f"/proc/{running.pid}/limits").read_text()
    [line] = [line for line in limits.splitlines() if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert int(soft) == int(hard) > 1024


def test_everything_listens_on_loopback(region: LiveRegion) -> None:
    """The region's own processes; tasks listen in their own namespaces."""
    own = set()
    for name in ("server", "agent", "images"):
        running = processes.find(region.paths.pid_file(name))
        assert running is not None, f"{name} runs"
        for handle in Path(f"/proc/{running.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                own.add(os.readlink(handle))
    listening = set()
    for line in (*Path("/proc/net/tcp").read_text().splitlines(), *Path("/proc/net/tcp6").read_text().splitlines()):
        fields = line.split()
        if fields[3] == "0A":
            address, port = fields[1].split(":")
            if f"socket:[{fields[9]}]" in own:
                listening.add((address, int(port, 16)))
    assert listening == {("0100007F", region.port)}


def test_no_process_shows_a_secret_on_its_command_line(region: LiveRegion, task: str) -> None:
    assert task
    keys = region.paths.administrator.read_text()
    secret = keys.partition('"secret_access_key": "')[2].partition('"')[0]
    assert len(secret) > 20
    for name in ("server", "agent", "containerd", "images", "up"):
        running = processes.find(region.paths.pid_file(name))
        if running is not None:
            words = Path(f"/proc/{running.pid}/cmdline").read_bytes()
            assert secret.encode() not in words and SECRET.encode() not in words
