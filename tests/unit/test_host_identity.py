"""Whose connection it is: a key of each host, proved anew each time, and what an agent that was taken over can do."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from neargate.agent.host_key import HostKeyBroken, load_or_make
from neargate.clusters.gateway import Gateway
from neargate.clusters.registrations import Refusal
from neargate.link.host_identity import BULK, LINK, HostKey, is_proved
from neargate.link.messages import (
    PROTOCOL,
    BulkHello,
    Challenge,
    CredentialsAsk,
    CredentialsIssued,
    CredentialsRefused,
    Hello,
    HostUpdate,
    LogAck,
    LogAppend,
    LogOpen,
    LogOpened,
    LogRefused,
    Ping,
    Pong,
    Proof,
    ProtectionAsk,
    ProtectionTold,
    Report,
    TagsAsk,
    TagsTold,
    Welcome,
)
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import ACCOUNT, DEFINITION, ZONES, CellRig, host_of, id_of, in_cell, subnet
from neargate.testing.fake_task_roles import FakeTaskRoles
from neargate.testing.gateway_rig import AgentEnd, LogGroups, VpcPlans, facts_of
from neargate.testing.host_proofs import key_of
from neargate.testing.virtual_time import VirtualWorld

MINE, THEIRS = ZONES[0], ZONES[1]
KNOBS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/app"
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/execution"


def definition(**options: str) -> dict[str, Any]:
    logs = {"awslogs-group": "/a", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p", **options}
    container = {"name": "web", "image": "w", "logConfiguration": {"logDriver": "awslogs", "options": logs}}
    return {
        **DEFINITION,
        "taskDefinitionArn": DEFINITION["taskDefinitionArn"] + str(sorted(options.items())),
        "taskRoleArn": ROLE,
        "executionRoleArn": EXECUTION_ROLE,
        "containerDefinitions": [container],
    }


class Region:
    def __init__(self, rig: CellRig) -> None:
        self.rig = rig
        self.sink = LogGroups(rig.world)
        self.roles = FakeTaskRoles()
        self.gateway = Gateway(rig.world, rig.cell, rig.capacities, VpcPlans(), self.sink, self.roles, KNOBS)

    def wire(self, channel: str) -> AgentEnd:
        wire = AgentEnd(proves=False)
        serve = self.gateway.accept_bulk(wire) if channel == BULK else self.gateway.accept_link(wire)
        self.rig.world.spawn(serve, "serve")
        return wire

    async def claimed(self, zone: str, key: HostKey, channel: str = LINK) -> tuple[AgentEnd, Challenge]:
        """A connection that has named a host and is asked for the proof."""
        wire = self.wire(channel)
        if channel == LINK:
            wire.say(Hello(protocol=PROTOCOL, host=facts_of(zone), reports=(), public_key=key.public))
        else:
            wire.say(BulkHello(protocol=PROTOCOL, host_id=host_of(zone)))
        challenge = await wire.hear()
        assert isinstance(challenge, Challenge)
        return wire, challenge

    async def proved(self, zone: str, channel: str = LINK, key: HostKey | None = None) -> AgentEnd:
        key = key or key_of(host_of(zone))
        wire, challenge = await self.claimed(zone, key, channel)
        wire.say(Proof(signature=key.sign(channel, challenge.nonce, host_of(zone))))
        return wire

    async def task(self, zone: str, **options: str) -> dict[str, Any]:
        [task] = await self.rig.run(subnets=(subnet(zone),), definition=definition(**options))
        return task


def play(body: Callable[[Region], Awaitable[None]]) -> None:
    async def inner(rig: CellRig) -> None:
        async with asyncio.timeout(20):
            await body(Region(rig))

    in_cell(inner, knobs=KNOBS)


def append(task: dict[str, Any], stream_key: int, lines: bytes = b"x") -> LogAppend:
    return LogAppend(
        request=9,
        stream_key=stream_key,
        task_id=id_of(task),
        container="web",
        start=0,
        end=len(lines),
        runs=((0, 1),),
        lines=lines,
    )


def test_a_task_is_protected_as_its_role_may() -> None:
    """Asked for by its own host; one that is of no service cannot be, and that is ECS's to say."""

    async def body(region: Region) -> None:
        task = await region.task(MINE)
        link = await region.proved(MINE)
        assert isinstance(await link.hear(), Welcome)
        number = 0

        async def told(enabled: bool | None = None, minutes: int = 0) -> ProtectionTold:
            nonlocal number
            number += 1
            link.say(ProtectionAsk(number=number, task_id=id_of(task), enabled=enabled, expires_in_minutes=minutes))
            answer = await link.hear(ProtectionTold)
            assert answer.number == number
            return answer

        assert (await told()).reason == "TASK_NOT_VALID"
        assert (await told(True, 5)).reason == "TASK_NOT_VALID"
        beyond = await told(True, 2881)
        assert (beyond.code, beyond.message) == (
            "InvalidParameterException",
            "expiresInMinutes must be between 1 and 2880.",
        )
        region.roles.denied = {"ecs:UpdateTaskProtection"}
        refused = await told(True, 5)
        assert refused.code == "AccessDeniedException" and "ecs:UpdateTaskProtection" in refused.message
        assert (await told()).reason == "TASK_NOT_VALID"

    play(body)


def test_an_agent_that_was_taken_over_gets_nowhere_with_another_hosts_task() -> None:
    """It has its own key and the victim's task id, and says everything that an agent can say."""

    async def body(region: Region) -> None:
        victim, own = await region.task(THEIRS), await region.task(MINE)
        before = await region.rig.described(id_of(victim))
        link, bulk = await region.proved(MINE), await region.proved(MINE, BULK)
        assert isinstance(await link.hear(), Welcome)
        for status in ("PENDING", "RUNNING", "STOPPED"):
            link.say(Report(report=region.rig.task_report(victim, status, 10**6)))
        for kind in ("task", "execution", ""):
            link.say(CredentialsAsk(task_id=id_of(victim), kind=kind))
            refused = await link.hear(CredentialsRefused)
            assert refused.is_final and refused.message == "This host runs no such task with a role."
        link.say(TagsAsk(task_id=id_of(victim)))
        link.say(TagsAsk(task_id=id_of(own)))
        assert (await link.hear(TagsTold)).task_id == id_of(own), "nothing of another's"
        link.say(ProtectionAsk(number=1, task_id=id_of(victim), enabled=True, expires_in_minutes=9))
        told = await link.hear(ProtectionTold)
        assert (told.number, told.message) == (1, "This host runs no such task.")
        bulk.say(LogOpen(request=1, task_id=id_of(victim), container="web"))
        assert (await bulk.hear()).code == "AccessDeniedException"
        bulk.say(LogOpen(request=2, task_id=id_of(own), container="web"))
        opened = await bulk.hear()
        assert isinstance(opened, LogOpened), "its own task's"
        bulk.say(append(victim, opened.stream_key))
        assert (await bulk.hear()).code == "AccessDeniedException"
        link.say(Ping(n=1))
        assert await link.hear(Pong) == Pong(n=1)
        link.say(HostUpdate(host=facts_of(THEIRS)))
        assert await link.hear() is None
        assert region.roles.issued == [] and region.sink.stored == []
        assert await region.rig.described(id_of(victim)) == before

    play(body)


@pytest.mark.parametrize("channel", [LINK, BULK])
def test_who_names_another_host_without_its_key_is_not_let_in(channel: str) -> None:
    async def body(region: Region) -> None:
        mine = key_of(host_of(MINE))
        wire, challenge = await region.claimed(THEIRS, mine, channel)
        wire.say(Proof(signature=mine.sign(channel, challenge.nonce, host_of(THEIRS))))
        assert await wire.hear() is None, "its own key, however well proved"
        public = key_of(host_of(THEIRS)).public
        for forged in (b"", bytes(64), mine.sign(channel, challenge.nonce, host_of(THEIRS))):
            wire = region.wire(channel)
            wire.say(
                BulkHello(protocol=PROTOCOL, host_id=host_of(THEIRS))
                if channel == BULK
                else Hello(protocol=PROTOCOL, host=facts_of(THEIRS), reports=(), public_key=public)
            )
            assert isinstance(await wire.hear(), Challenge)
            wire.say(Proof(signature=forged))
            assert await wire.hear() is None
        assert region.rig.cell.refusals.counts[Refusal.KEY] == 4, "an operator is told of each"

    play(body)


def test_a_proof_is_good_for_one_connection_and_one_channel() -> None:
    async def body(region: Region) -> None:
        key = key_of(host_of(MINE))
        _, heard = await region.claimed(MINE, key)
        seen = key.sign(LINK, heard.nonce, host_of(MINE))
        again, fresh = await region.claimed(MINE, key)
        assert fresh.nonce != heard.nonce
        again.say(Proof(signature=seen))
        assert await again.hear() is None, "a proof that was overheard"
        bulk, challenge = await region.claimed(MINE, key, BULK)
        bulk.say(Proof(signature=key.sign(LINK, challenge.nonce, host_of(MINE))))
        assert await bulk.hear() is None, "a proof for the other channel"

    play(body)


@pytest.mark.parametrize(
    "message",
    [
        Ping(n=1),
        CredentialsAsk(task_id="t"),
        TagsAsk(task_id="t"),
        ProtectionAsk(number=1, task_id="t"),
        LogOpen(request=1, task_id="t", container="c"),
    ],
)
@pytest.mark.parametrize("channel", [LINK, BULK])
def test_before_the_proof_nothing_is_heard(channel: str, message: Any) -> None:
    async def body(region: Region) -> None:
        wire, _ = await region.claimed(MINE, key_of(host_of(MINE)), channel)
        wire.say(message)
        assert await wire.hear() is None
        assert region.roles.issued == []

    play(body)


def test_the_first_key_of_a_host_is_its_key_for_good() -> None:
    async def body(region: Region) -> None:
        zone = ZONES[2]
        fresh = f"h-{'0' * 17}"

        async def come(key: HostKey) -> Any:
            wire = region.wire(LINK)
            capacity = HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1)
            host = HostFacts(host_id=fresh, boot_id="1", capacity=capacity, zone=zone)
            wire.say(Hello(protocol=PROTOCOL, host=host, reports=(), public_key=key.public))
            challenge = await wire.hear()
            wire.say(Proof(signature=key.sign(LINK, challenge.nonce, fresh)))
            return await wire.hear()

        bulk = region.wire(BULK)
        bulk.say(BulkHello(protocol=PROTOCOL, host_id=fresh))
        assert await bulk.hear() is None, "nobody has that host's key yet"
        first, second = HostKey(b"1" * 32), HostKey(b"2" * 32)
        assert isinstance(await come(first), Welcome)
        assert await come(second) is None
        await region.rig.reopen()
        region = Region(region.rig)
        assert region.rig.cell.host_keys.of(fresh) == first.public

    play(body)


def test_an_agent_of_the_protocol_before_is_told_so() -> None:
    async def body(region: Region) -> None:
        wire = region.wire(LINK)
        wire.say(Hello(protocol=1, host=facts_of(MINE), reports=(), public_key=key_of(host_of(MINE)).public))
        assert await wire.hear() is None
        assert wire.closed == f"the agent speaks link protocol 1, this server {PROTOCOL}"

    play(body)


def test_a_live_task_of_the_host_gets_its_roles_credentials_and_a_stopped_one_none() -> None:
    async def body(region: Region) -> None:
        own = await region.task(MINE)
        link = await region.proved(MINE)
        link.say(CredentialsAsk(task_id=id_of(own)))
        issued = await link.hear(CredentialsIssued)
        assert issued.role_arn == ROLE and issued.expires_at - issued.issued_at == KNOBS.task_credentials_lifetime_s
        assert region.roles.issued == [(ROLE, own["taskArn"])]
        region.roles.missing.add(ROLE)
        link.say(CredentialsAsk(task_id=id_of(own)))
        assert "ECS was unable to assume the role" in (await link.hear(CredentialsRefused)).message
        region.roles.missing.clear()
        link.say(CredentialsAsk(task_id=id_of(own), kind="another"))
        assert (await link.hear(CredentialsRefused)).is_final
        link.say(CredentialsAsk(task_id=id_of(own), kind="execution"))
        issued = await link.hear(CredentialsIssued)
        assert (issued.kind, issued.role_arn) == ("execution", EXECUTION_ROLE)
        assert issued.expires_at - issued.issued_at == KNOBS.execution_credentials_lifetime_s
        region.roles.missing.add(EXECUTION_ROLE)
        link.say(CredentialsAsk(task_id=id_of(own), kind="execution"))
        refused = await link.hear(CredentialsRefused)
        assert refused.kind == "execution" and f"unable to assume the role '{EXECUTION_ROLE}'" in refused.message
        region.roles.missing.clear()
        await region.rig.report(own, "STOPPED", 5)
        for kind in ("task", "execution"):
            link.say(CredentialsAsk(task_id=id_of(own), kind=kind))
            assert (await link.hear(CredentialsRefused)).is_final

    play(body)


async def _opened(region: Region, task: dict[str, Any]) -> Any:
    bulk = await region.proved(MINE, BULK)
    bulk.say(LogOpen(request=1, task_id=id_of(task), container="web"))
    return await bulk.hear()


def test_a_stream_is_made_as_the_execution_role() -> None:
    async def body(region: Region) -> None:
        task = await region.task(MINE)
        region.roles.denied.add("logs:CreateLogStream")
        refused = await _opened(region, task)
        assert isinstance(refused, LogRefused) and refused.code == "AccessDeniedException"
        text, _, request_id = refused.message.rpartition(", request id: ")
        assert text == (
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/execution/{id_of(task)} is not authorized to perform: "
            f"logs:CreateLogStream on resource: arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/a:log-stream:"
            f"p/web/{id_of(task)} because no identity-based policy allows the logs:CreateLogStream action "
            "status code: 400"
        )
        assert len(request_id) == 36
        await region.rig.report(task, "RUNNING", 5)
        assert isinstance(await _opened(region, task), LogOpened), "the stream is there since the start"
        region.roles.missing.add(EXECUTION_ROLE)
        other = await region.task(MINE)
        refused = await _opened(region, other)
        assert refused.operation == "AssumeRole" and refused.message.startswith("ECS was unable to assume the role")

    play(body)


def test_a_group_is_made_only_when_it_is_missing_and_the_role_may() -> None:
    async def body(region: Region) -> None:
        region.roles.denied.add("logs:CreateLogGroup")
        there = await region.task(MINE, **{"awslogs-create-group": "true"})
        assert isinstance(await _opened(region, there), LogOpened), "the group exists: nobody asks"
        missing = await region.task(MINE, **{"awslogs-create-group": "true", "awslogs-group": "/b"})
        refused = await _opened(region, missing)
        assert (refused.operation, refused.code) == ("CreateLogGroup", "AccessDeniedException")
        assert ":log-group:/b:log-stream: because" in refused.message and region.sink.groups == {"/a"}
        region.roles.denied.clear()
        assert isinstance(await _opened(region, missing), LogOpened) and region.sink.groups == {"/a", "/b"}

    play(body)


def test_lines_are_written_as_the_execution_role() -> None:
    async def body(region: Region) -> None:
        task = await region.task(MINE)
        bulk = await region.proved(MINE, BULK)
        bulk.say(LogOpen(request=1, task_id=id_of(task), container="web"))
        opened = await bulk.hear()
        region.roles.denied.add("logs:PutLogEvents")
        bulk.say(append(task, opened.stream_key))
        refused = await bulk.hear()
        assert refused.code == "AccessDeniedException" and "logs:PutLogEvents" in refused.message
        assert region.sink.stored == []
        region.roles.denied.clear()
        bulk.say(append(task, opened.stream_key))
        assert isinstance(await bulk.hear(), LogAck) and region.sink.stored == [b"x"]

    play(body)


def test_signatures() -> None:
    key, nonce = HostKey(b"k" * 32), bytes(32)
    signature = key.sign(LINK, nonce, "h-1")

    def holds(
        public: bytes = key.public, sig: bytes = signature, ch: str = LINK, n: bytes = nonce, h: str = "h-1"
    ) -> bool:
        return is_proved(public, sig, channel=ch, nonce=n, host_id=h)

    assert holds()
    assert not holds(public=HostKey(b"l" * 32).public) and not holds(public=b"") and not holds(public=b"\xff" * 32)
    assert not holds(sig=b"") and not holds(sig=signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not holds(ch=BULK) and not holds(n=b"1" * 32) and not holds(h="h-2")


def test_a_hosts_key_is_made_once_for_root_alone(tmp_path: Path) -> None:
    world = VirtualWorld()
    (tmp_path / "host.unfinished").write_bytes(b"cut short")
    seed = load_or_make(world, tmp_path)
    assert len(seed) == 32 and load_or_make(world, tmp_path) == seed
    assert [path.name for path in tmp_path.iterdir()] == ["host.key"]
    assert (tmp_path / "host.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "host.key").write_bytes(seed[:-1])
    with pytest.raises(HostKeyBroken):
        load_or_make(world, tmp_path)
