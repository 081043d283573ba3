"""What a task reads of itself: documents, who may ask what, the rate limit, statistics."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neargate.agent.metadata.documents import ClockDrift, timestamp
from neargate.agent.metadata.endpoint import Metadata, Reply
from neargate.agent.metadata.machine import HostCpu
from neargate.agent.rate_limit import take
from neargate.agent.task_record import TaskRecord
from neargate.model.launch import AwsLogs, HealthCheck, PortMapping
from neargate.model.network import VpcPlan
from neargate.testing.agent_host import TASK_ID, VPC, AgentHost, container, launch
from neargate.testing.virtual_time import run_virtual

ADDRESS = "10.0.1.5"


class SteadyMachine:
    """A machine whose counters move by one second of one processor at each look."""

    def __init__(self) -> None:
        self._looks = 0

    def cpu(self) -> HostCpu:
        self._looks += 1
        return HostCpu(total_ns=self._looks * 1_000_000_000, online=2)

    def clock_drift(self, now: float) -> ClockDrift | None:
        return ClockDrift(error_bound_ms=0.5, reference_at=now, synchronised=True)


Scenario = Callable[[AgentHost, Metadata, str], Awaitable[None]]


def play(root: Path, scenario: Scenario) -> None:
    """A running task of two containers, the metadata of its agent, and the token of its web container."""

    async def whole() -> None:
        async with AgentHost(root) as host:
            agent = await host.started()
            web = container(
                logs=AwsLogs(group="/web", region="us-east-1", stream="p/web/x", create_group=True),
                port_mappings=(PortMapping(container_port=80, host_port=80),),
                health_check=HealthCheck(command=("CMD", "x")),
                memory_mib=256,
                docker_labels=(("team", "blue"),),
            )
            task = launch(web, container("side", essential=False), tags=(("env", "test"),))
            host.server.run(task)
            await host.server.status(TASK_ID, "RUNNING")
            metadata = Metadata(
                host.clock,
                host.knobs,
                records=agent.tasks.records,
                plans=_Resolver(),
                network=host.host.network,
                disks=host.host.disks,
                cgroups=host.host.cgroups,
                machine=SteadyMachine(),
                credentials=agent.credentials,
                tags=agent.tags,
                protection=agent.metadata.protection,
            )
            await scenario(host, metadata, host.sandbox.named("web").config.runtime_id)

    run_virtual(whole())


class _Resolver:
    async def ready(self, vpc_id: str) -> None:
        """Every plan is in force."""

    def plan(self, vpc_id: str) -> VpcPlan:
        return VpcPlan(vpc_id=vpc_id, generation=1, cidrs=("10.0.0.0/16",), groups=())


def body(reply: Reply) -> Any:
    assert reply.status == 200, reply
    return msgspec.json.decode(reply.body)


def test_the_containers_own_document(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        document = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}"))
        assert document["DockerId"] == token and document["Name"] == "web"
        assert document["ImageID"] == host.sandbox.named("web").config.image.digest
        assert (document["DesiredStatus"], document["KnownStatus"]) == ("RUNNING", "RUNNING")
        assert document["Limits"] == {"CPU": 2, "Memory": 256}
        assert document["Labels"]["team"] == "blue"
        assert document["Labels"]["com.amazonaws.ecs.container-name"] == "web"
        assert document["Ports"] == [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 80}]
        assert document["LogDriver"] == "awslogs" and document["LogOptions"]["awslogs-create-group"] == "true"
        assert document["Networks"] == [
            {
                "NetworkMode": "awsvpc",
                "IPv4Addresses": [ADDRESS],
                "AttachmentIndex": 0,
                "MACAddress": "0a:00:00:00:00:01",
                "IPv4SubnetCIDRBlock": "10.0.1.0/24",
                "SubnetGatewayIpv4Address": "10.0.1.1/24",
                "DomainNameServers": ["10.0.0.2"],
                "PrivateDNSName": "ip-10-0-1-5.ec2.internal",
                "DomainNameSearchList": ["ec2.internal"],
            }
        ]
        third = body(await metadata.answer(VPC, ADDRESS, f"/v3/{token}"))
        assert third["Networks"] == [{"NetworkMode": "awsvpc", "IPv4Addresses": [ADDRESS]}]
        assert "LogDriver" not in third

    play(tmp_path, scenario)


def test_the_tasks_document(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        document = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/task"))
        assert document["TaskARN"].endswith(TASK_ID) and document["Family"] == "web" and document["Revision"] == "1"
        assert document["Limits"] == {"CPU": 0.25, "Memory": 512}
        assert [item["Name"] for item in document["Containers"]] == ["web", "side"]
        assert document["LaunchType"] == "FARGATE" and document["AvailabilityZone"] == "us-east-1a"
        assert document["EphemeralStorageMetrics"]["Reserved"] == 20 * 1024
        assert document["ClockDrift"]["ClockSynchronizationStatus"] == "SYNCHRONIZED"
        assert document["PullStartedAt"] <= document["PullStoppedAt"]
        assert "TaskTags" not in document
        tagged = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/taskWithTags"))
        assert tagged["TaskTags"] == {"env": "test"}

    play(tmp_path, scenario)


def test_tags_are_those_of_now_while_there_is_somebody_to_ask(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        async def tags() -> dict[str, str]:
            document = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/taskWithTags"))
            found: dict[str, str] = document.get("TaskTags", {})
            return found

        assert await tags() == {"env": "test"}, "nobody answers: as it was launched"
        host.server.tags[TASK_ID] = (("env", "live"), ("team", "a"))
        assert await tags() == {"env": "live", "team": "a"}
        before = len(host.server.tag_asks)
        assert [*(await asyncio.gather(tags(), tags(), tags()))] == [{"env": "live", "team": "a"}] * 3
        assert len(host.server.tag_asks) == before + 1, "side by side one asks for all"
        host.server.tags[TASK_ID] = ()
        assert await tags() == {}
        host.server.tags[TASK_ID] = (("env", "last"),)
        assert await tags() == {"env": "last"}
        del host.server.tags[TASK_ID]
        assert await tags() == {"env": "last"}, "what was said last"

    play(tmp_path, scenario)


def test_a_task_asks_for_its_protection(tmp_path: Path) -> None:
    """The server's answers as AWS's agent gives them, and what is refused before anybody is asked."""
    arn = launch(container("web")).task_arn

    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        path = f"/api/{token}/task-protection/v1/state"

        async def asked(given: bytes | None = None) -> tuple[int, Any]:
            reply = await metadata.answer(VPC, ADDRESS, path, given)
            return reply.status, msgspec.json.decode(reply.body)

        def told(status: int, code: str, message: str) -> tuple[int, Any]:
            return status, {"error": {"Arn": arn, "Code": code, "Message": message}}

        assert await asked() == told(504, "RequestCanceled", "Timed out calling ECS Task Protection API")
        host.server.protections = [
            {"enabled": True, "expires_at": 1700000000.0},
            {},
            {"reason": "TASK_NOT_VALID"},
            {"code": "AccessDeniedException", "message": "no"},
            {"code": "ServerException", "message": "oh"},
        ]
        protected = {"ExpirationDate": "2023-11-14T22:13:20Z", "ProtectionEnabled": True, "TaskArn": arn}
        unprotected = {"ExpirationDate": None, "ProtectionEnabled": False, "TaskArn": arn}
        assert await asked(b'{"ProtectionEnabled":true,"ExpiresInMinutes":7}') == (200, {"protection": protected})
        assert await asked(b'{"ProtectionEnabled":false}') == (200, {"protection": unprotected})
        failure = {"Arn": arn, "Detail": None, "Reason": "TASK_NOT_VALID"}
        assert await asked() == (200, {"failure": failure})
        assert await asked() == told(400, "AccessDeniedException", "no")
        assert await asked() == told(500, "ServerException", "oh")
        asks = [(ask.task_id, ask.enabled, ask.expires_in_minutes) for ask in host.server.protection_asks]
        assert asks[1:4] == [(TASK_ID, True, 7), (TASK_ID, False, 120), (TASK_ID, None, 0)]
        undecoded = told(400, "InvalidParameterException", "UpdateTaskProtection: failed to decode request")
        for wrong in (b"", b"[]", b'{"ProtectionEnabled":1}', b'{"ProtectionEnabled":true,"x":1}', b"\xff"):
            assert await asked(wrong) == undecoded
        assert await asked(b'{"ExpiresInMinutes":5}') == told(
            400, "InvalidParameterException", "Invalid request: does not contain 'ProtectionEnabled' field"
        )
        assert len(host.server.protection_asks) == len(asks), "nobody was asked"
        other = f"/api/{'0' * 32}-0123456789/task-protection/v1/state"
        assert (await metadata.answer(VPC, ADDRESS, other, b"{}")).status == 404
        assert (await metadata.answer(VPC, ADDRESS, f"/v4/{token}/task", b"{}")).status == 405

    play(tmp_path, scenario)


def test_a_task_sees_only_itself(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        for vpc, address, path in (
            (VPC, "10.0.1.6", f"/v4/{token}"),
            ("vpc-other", ADDRESS, f"/v4/{token}"),
            (VPC, ADDRESS, f"/v4/{'f' * 32}-0000000001"),
            (VPC, ADDRESS, "/v4/"),
            (VPC, ADDRESS, f"/v4/{token}/../task"),
            (VPC, ADDRESS, f"/v3/{token}/taskWithTags"),
            (VPC, ADDRESS, f"/api/{'f' * 32}-0000000001/task-protection/v1/state"),
            (VPC, ADDRESS, f"/api/{token}/task-protection/v2/state"),
            (VPC, "10.0.1.6", f"/api/{token}/task-protection/v1/state"),
        ):
            assert (await metadata.answer(vpc, address, path)).status == 404, path
        assert (await metadata.answer(VPC, ADDRESS, f"/v4/{token}/?x=1")).status == 200

    play(tmp_path, scenario)


def test_statistics_come_from_two_samples(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        document = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/stats"))
        cpu, before = document["cpu_stats"], document["precpu_stats"]
        assert cpu["cpu_usage"]["total_usage"] > before["cpu_usage"]["total_usage"] > 0
        assert cpu["system_cpu_usage"] > before["system_cpu_usage"] and cpu["online_cpus"] == 2
        assert document["memory_stats"]["usage"] == 3 * 1024 * 1024
        assert document["networks"]["eth0"]["rx_bytes"] == 1000
        assert document["network_rate_stats"] == {"rx_bytes_per_sec": 0.0, "tx_bytes_per_sec": 0.0}
        assert document["pids_stats"] == {"current": 3} and document["read"] > document["preread"]
        whole = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/task/stats"))
        assert set(whole) == {item.config.runtime_id for item in host.sandbox.containers.values()}

    play(tmp_path, scenario)


def test_a_container_that_stopped_has_no_statistics(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        side = host.sandbox.named("side").config.runtime_id
        host.sandbox.end(side, 0)
        await host.clock.sleep(1)
        whole = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/task/stats"))
        assert whole[side] is None and whole[token] is not None

    play(tmp_path, scenario)


@pytest.mark.parametrize("behind_s", [0.3, 60.0])
def test_who_asks_before_its_start_is_recorded_is_answered_all_the_same(tmp_path: Path, behind_s: float) -> None:
    """Its first words may be a question. One that never starts, asked for by its sibling, has no statistics."""

    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        known, begun = metadata._records, host.clock.monotonic()

        def behind() -> list[TaskRecord]:
            late = host.clock.monotonic() < begun + behind_s
            return [record.with_container("web", known_status="PENDING") if late else record for record in known()]

        metadata._records = behind
        for path in ("stats", "task/stats"):
            document = body(await metadata.answer(VPC, ADDRESS, f"/v4/{token}/{path}"))
            document = document if path == "stats" else document[token]
            assert (document is None) is (behind_s == 60.0), path
        assert host.clock.monotonic() - begun < 5

    play(tmp_path, scenario)


def test_who_asks_too_often_is_told_so(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, metadata: Metadata, token: str) -> None:
        statuses = [(await metadata.answer(VPC, ADDRESS, f"/v4/{token}")).status for _ in range(70)]
        assert statuses == [200] * 60 + [429] * 10
        await host.clock.sleep(0.51)  # a hair more: tokens are counted in floating point
        statuses = [(await metadata.answer(VPC, ADDRESS, f"/v4/{token}")).status for _ in range(30)]
        assert statuses.count(200) == 20

    play(tmp_path, scenario)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket, allowed = take(None, 0.0, 40.0, 60.0)
    assert allowed and bucket.tokens == 59
    assert take(bucket, 1000.0, 40.0, 60.0)[0].tokens == 59
    empty = type(bucket)(tokens=0.5, at=5.0)
    assert take(empty, 5.0, 40.0, 60.0)[1] is False
    assert take(empty, 4.0, 40.0, 60.0)[1] is False, "a clock that goes back gives nothing"


def test_timestamps_are_rfc3339_without_trailing_zeros() -> None:
    assert timestamp(0.0) == "1970-01-01T00:00:00Z"
    assert timestamp(1.5) == "1970-01-01T00:00:01.5Z"
