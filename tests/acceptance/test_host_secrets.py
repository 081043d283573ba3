"""What a host's agent knows: its own tasks' secrets and no others, searched for in its memory and its files.

Another host joins the region's socket as an agent would; a task is placed on it, and it is given that task's secrets.
"""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, unix_connect

from neargate.agent.credential_files import CredentialFiles
from neargate.cli import processes
from neargate.link.host_identity import LINK, HostKey
from neargate.link.messages import (
    PROTOCOL,
    Challenge,
    CredentialsAsk,
    CredentialsIssued,
    Hello,
    Proof,
    Report,
    RunOrder,
    StopOrder,
    Welcome,
    encode,
    messages_to_agent,
)
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.launch import TaskLaunch, TaskReport

from .region import LiveRegion

HOST_ID = "h-0000000000000beef"
CHUNK_BYTES = 16 * 1024 * 1024


class OtherHost:
    """The newest software of all, so that the next task is placed on it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: list[Any] = []
        key = HostKey(os.urandom(32))
        facts = HostFacts(
            host_id=HOST_ID,
            boot_id="1",
            capacity=HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=100),
            software="99.0.0",
        )
        self.say(Hello(protocol=PROTOCOL, host=facts, reports=(), public_key=key.public))
        challenge = self.hear(Challenge)
        self.say(Proof(signature=key.sign(LINK, challenge.nonce, HOST_ID)))
        self.hear(Welcome)

    def say(self, message: Any) -> None:
        self._socket.send(encode(message))

    def hear(self, kind: type) -> Any:
        """The next message of this kind."""
        while True:
            for message in self._waiting:
                if isinstance(message, kind):
                    self._waiting.remove(message)
                    return message
            data = self._socket.recv(timeout=30)
            assert isinstance(data, bytes)
            self._waiting += messages_to_agent(data)

    def end(self, launch: TaskLaunch) -> None:
        self.say(
            Report(
                report=TaskReport(
                    task_id=launch.task_id, incarnation=launch.incarnation, report_seq=10, known_status="STOPPED"
                )
            )
        )


@pytest.fixture
def with_role(own_region: LiveRegion) -> LiveRegion:
    own_region.task_role("app")
    return own_region


def test_an_agent_knows_the_secrets_of_its_own_tasks_only(with_role: LiveRegion) -> None:
    region = with_role

    def run(planted: str) -> str:
        container = {
            "command": ["sleep", "600"],
            "stopTimeout": 2,
            "environment": [{"name": "PLANTED", "value": planted}],
            "logConfiguration": region.log_config("/test/output"),
        }
        return region.run(region.register(container, taskRoleArn="arn:aws:iam::123456789012:role/app"))

    own_planted, other_planted = f"own-{os.urandom(12).hex()}", f"other-{os.urandom(12).hex()}"
    own = run(own_planted)
    region.wait_status(own, "RUNNING")
    held = CredentialFiles(region.paths.role_credentials).load()[own.rpartition("/")[2]]
    assert held is not None
    link = str(region.paths.link_socket)
    with unix_connect(link, "ws://localhost/link", compression=None, max_size=None) as socket:
        other_host = OtherHost(socket)
        other = run(other_planted)
        launch = other_host.hear(RunOrder).launch
        assert launch.task_arn == other and launch.containers[0].environment == (("PLANTED", other_planted),)
        other_host.say(CredentialsAsk(task_id=launch.task_id))
        issued = other_host.hear(CredentialsIssued)
        assert issued.secret_access_key != held.secret_access_key

        agent = processes.find(region.paths.pid_file("agent"))
        assert agent is not None
        own_secrets = [own_planted, held.secret_access_key, held.token]
        other_secrets = [other_planted, issued.secret_access_key, issued.token, launch.task_id]
        memory = found_in_memory(agent.pid, own_secrets + other_secrets)
        files = found_in_files((region.paths.agent, region.paths.run), own_secrets + other_secrets)
        assert memory >= set(own_secrets[:2]) and files >= set(own_secrets), "the search finds what is there"
        assert not (memory | files) & set(other_secrets)

        region.stop(other)
        other_host.hear(StopOrder)
        other_host.end(launch)
        region.wait_status(other, "STOPPED")
    region.stop(own)
    region.wait_status(own, "STOPPED")
    gone = found_in_files((region.paths.run,), own_secrets)
    assert not gone, "with the task"


def found_in_memory(pid: int, secrets: list[str]) -> set[str]:
    """Those of the secrets that are in the process's writable memory, in any of Python's widths."""
    wanted = {secret: secret.encode() for secret in secrets}
    overlap = max(map(len, wanted.values()))
    found: set[str] = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split(" ")[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(edge, 16) for edge in span.split("-"))
            for start in range(begin, end, CHUNK_BYTES):
                try:
                    memory.seek(start)
                    data = memory.read(min(CHUNK_BYTES + overlap, end - start))
                except OSError:
                    continue  # a mapping that went away meanwhile
                found |= {secret for secret, text in wanted.items() if text in data}
    return found


def found_in_files(directories: tuple[Path, ...], secrets: list[str]) -> set[str]:
    found: set[str] = set()
    for directory in directories:
        for parent, names, files in os.walk(directory):
            # The disks and namespaces of tasks are theirs; the server's directory has sockets only.
            names[:] = [name for name in names if not os.path.ismount(Path(parent) / name) or name == "credentials"]
            for name in files:
                path = Path(parent) / name
                try:
                    if not stat.S_ISREG(path.lstat().st_mode):
                        continue
                    data = path.read_bytes()
                except OSError:
                    continue  # gone meanwhile
                found |= {secret for secret in secrets if secret.encode() in data}
    return found
