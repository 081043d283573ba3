"""Task roles on a host: who gets which credentials, when they are renewed, what is left of them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from neargate.agent.agent import Agent
from neargate.agent.credential_files import CredentialFiles, credential_files, is_in_memory
from neargate.agent.metadata.endpoint import Metadata, Reply
from neargate.agent.metadata.machine import LinuxMachine
from neargate.agent.points import Point
from neargate.link.messages import CredentialsIssued, CredentialsRefused
from neargate.model.launch import TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, VPC, AgentHost, launch
from neargate.testing.virtual_time import EPOCH, run_virtual

ROLE = "arn:aws:iam::123456789012:role/app"
OTHER = "f" * 32
LIFETIME_S = 21_600.0
ADDRESS, OTHER_ADDRESS = "10.0.1.5", "10.0.1.6"


def issued(task_id: str = TASK_ID, *, at: float = EPOCH, number: int = 1) -> CredentialsIssued:
    return CredentialsIssued(
        task_id=task_id,
        role_arn=ROLE,
        access_key_id=f"ASIA{number:016d}",
        secret_access_key=f"secret-{number}-of-{task_id}",
        token="token",
        issued_at=at,
        expires_at=at + LIFETIME_S,
    )


def with_role(task_id: str = TASK_ID, address: str = ADDRESS) -> TaskLaunch:
    task = launch(task_role_arn=ROLE)
    eni = replace(task.eni, private_ipv4=address, eni_id=f"eni-{task_id[:17]}")
    return replace(task, task_id=task_id, eni=eni)


def metadata_of(host: AgentHost, agent: Agent) -> Metadata:
    return Metadata(
        host.clock,
        host.knobs,
        records=agent.tasks.records,
        plans=_NoPlans(),
        network=host.host.network,
        disks=host.host.disks,
        cgroups=host.host.cgroups,
        machine=LinuxMachine(),
        credentials=agent.credentials,
        tags=agent.tags,
        protection=agent.metadata.protection,
    )


class _NoPlans:
    async def ready(self, vpc_id: str) -> None:
        """Every plan is in force."""

    def plan(self, vpc_id: str) -> None:
        return None


def path_of(host: AgentHost, task_id: str = TASK_ID) -> str:
    """As the task's containers know it."""
    [config] = [item.config for key, item in host.sandbox.containers.items() if key.startswith(task_id)]
    return dict(config.environment)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]


def document(reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(reply.body)
    return found


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            await scenario(host)

    run_virtual(whole())


def test_a_task_gets_its_own_credentials_and_nobody_elses(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        agent = await host.started()
        for task_id, address in ((TASK_ID, ADDRESS), (OTHER, OTHER_ADDRESS)):
            host.server.credentials[task_id] = issued(task_id)
            host.server.run(with_role(task_id, address))
            await host.server.status(task_id, "RUNNING")
        metadata = metadata_of(host, agent)
        own, others = path_of(host), path_of(host, OTHER)
        assert own != others and own.startswith("/v2/credentials/")
        reply = await metadata.answer(VPC, ADDRESS, own)
        assert (reply.status, document(reply)) == (
            200,
            {
                "RoleArn": ROLE,
                "AccessKeyId": "ASIA0000000000000001",
                "SecretAccessKey": f"secret-1-of-{TASK_ID}",
                "Token": "token",
                "Expiration": "2025-06-15T21:06:40Z",
            },
        )
        for path, code in (
            (others, "InvalidIdInRequest"),
            ("/v2/credentials/" + TASK_ID, "InvalidIdInRequest"),
            ("/v2/credentials/\u00e9", "InvalidIdInRequest"),
            ("/v2/credentials/", "NoIdInRequest"),
            ("/v2/credentials", "NoIdInRequest"),
        ):
            refused = await metadata.answer(VPC, ADDRESS, path)
            assert (refused.status, document(refused)["code"], document(refused)["HTTPErrorCode"]) == (400, code, 400)
        nobody = await metadata.answer(VPC, "10.0.1.7", own)
        assert nobody.status == 404

    play(tmp_path, scenario)


def test_a_task_without_a_role_has_none_and_asks_for_none(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        agent = await host.started()
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")
        assert host.server.asks == []
        reply = await metadata_of(host, agent).answer(VPC, ADDRESS, "/v2/credentials/")
        assert document(reply)["code"] == "NoIdInRequest"
        host.server.issue(issued())
        await host.clock.sleep(60)
        assert agent.credentials.current(TASK_ID) is None, "what nobody asked for is nobody's"

    play(tmp_path, scenario)


def test_no_container_starts_before_its_role_is_there_and_a_lost_ask_is_repeated(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await host.started()
        host.server.run(with_role())
        await host.server.asked(3)
        assert Point.CONTAINER_STARTED not in host.seen
        host.server.credentials[TASK_ID] = CredentialsRefused(task_id=TASK_ID, message="busy", is_final=False)
        await host.server.asked(5)
        host.server.credentials[TASK_ID] = issued()
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


def test_a_role_that_cannot_be_assumed_fails_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await host.started()
        host.server.credentials[TASK_ID] = CredentialsRefused(task_id=TASK_ID, message="ECS was unable", is_final=True)
        host.server.run(with_role())
        report = await host.server.status(TASK_ID, "STOPPED")
        assert (report.stop_code, report.stopped_reason) == ("TaskFailedToStart", "ECS was unable")
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_stop_while_the_role_is_waited_for_ends_the_task(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await host.started()
        host.server.run(with_role())
        await host.server.asked(1)
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        host.server.issue(issued())
        await host.clock.sleep(60)
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_they_are_renewed_at_half_and_kept_when_that_is_refused(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        agent = await host.started()
        host.server.credentials[TASK_ID] = issued()
        host.server.run(with_role())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.credentials[TASK_ID] = CredentialsRefused(task_id=TASK_ID, message="gone", is_final=True)
        await host.server.asked(2)
        assert LIFETIME_S / 2 <= host.clock.monotonic() <= LIFETIME_S / 2 + 10
        held = agent.credentials.current(TASK_ID)
        assert held is not None and held.access_key_id == "ASIA0000000000000001"
        host.server.credentials[TASK_ID] = issued(at=host.clock.now(), number=2)
        await host.server.asked(3)
        await host.clock.sleep(1)
        held = agent.credentials.current(TASK_ID)
        assert held is not None and held.access_key_id == "ASIA0000000000000002"

    play(tmp_path, scenario)


def test_without_a_server_they_are_served_until_their_time_is_over(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        agent = await host.started()
        host.server.credentials[TASK_ID] = issued()
        host.server.run(with_role())
        await host.server.status(TASK_ID, "RUNNING")
        host.server.is_down = True
        host.server.drop()
        metadata = metadata_of(host, agent)
        await host.clock.sleep(LIFETIME_S - 60)
        assert (await metadata.answer(VPC, ADDRESS, path_of(host))).status == 200
        await host.clock.sleep(120)
        over = await metadata.answer(VPC, ADDRESS, path_of(host))
        assert (over.status, document(over)["code"]) == (503, "CredentialsUninitialized")
        host.server.credentials[TASK_ID] = issued(at=host.clock.now(), number=2)
        host.server.is_down = False
        await host.server.asked(2)
        await host.clock.sleep(1)
        assert (await metadata.answer(VPC, ADDRESS, path_of(host))).status == 200

    play(tmp_path, scenario)


def test_they_outlive_the_agent_in_a_file_of_root_and_end_with_the_task(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await host.started()
        host.server.credentials[TASK_ID] = issued()
        host.server.run(with_role())
        await host.server.status(TASK_ID, "RUNNING")
        path = path_of(host)
        [file] = host.credentials.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        host.kill()
        host.server.is_down = True
        CredentialFiles(host.credentials).save(issued(OTHER))  # of a task that is over
        (host.credentials / "x.unfinished").write_bytes(b"")
        agent = host.start()
        while not agent.is_adopted:
            await host.clock.sleep(0.1)
        assert [item.name for item in host.credentials.iterdir()] == [TASK_ID]
        reply = await metadata_of(host, agent).answer(VPC, ADDRESS, path)
        assert document(reply)["SecretAccessKey"] == f"secret-1-of-{TASK_ID}"
        assert host.server.asks == [TASK_ID]
        host.server.is_down = False
        await host.server.connected()
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        assert host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "content", [b"", b"\x81", b"x" * 100, msgspec.msgpack.encode(issued(OTHER)), msgspec.msgpack.encode(issued())[:-1]]
)
def test_a_file_that_is_not_whole_or_not_the_tasks_own_is_nothing(tmp_path: Path, content: bytes) -> None:
    files = CredentialFiles(tmp_path)
    (tmp_path / TASK_ID).write_bytes(content)
    assert files.load() == {TASK_ID: None}
    files.save(issued())
    assert files.load() == {TASK_ID: issued()}


def test_nothing_is_written_to_a_disk(tmp_path: Path) -> None:
    assert credential_files(Path("/dev/shm") / f"neargate-test-{tmp_path.name}") is not None
    (Path("/dev/shm") / f"neargate-test-{tmp_path.name}").rmdir()
    device = tmp_path.stat().st_dev
    line = f"36 35 {device >> 8 & 0xFFF}:{device & 0xFF} / {tmp_path} rw,noatime shared:1 - KIND /dev/sda rw"
    assert not is_in_memory(tmp_path, line.replace("KIND", "ext4"))
    assert is_in_memory(tmp_path, line.replace("KIND", "tmpfs"))
    assert not is_in_memory(tmp_path, "")
